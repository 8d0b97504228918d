"""A simulated season at several sites, and the ways in which it may reach the log."""

from __future__ import annotations

import random
from collections.abc import Sequence
from pathlib import Path
from typing import Any

import msgspec

from core.artifacts import Artifacts
from core.clock import end_of
from core.events import Event, decode, encode
from tests.pipeline import Scene, day, make_site

SITES = ("amber", "birch", "cedar", "delta", "ember", "fjord")
WATCHED_FROM = 30


def season(days: int, artifacts: Artifacts, recipients: Sequence[dict[str, Any]]) -> list[Event]:
    """What is said of every site, in the order in which it becomes known.

    Each site has two tracks, a third one that comes late, rain, level, and a runaway at the end.
    """
    said: list[Event] = []
    for seed, name in enumerate(SITES):
        watched = day(WATCHED_FROM).isoformat()
        site = make_site(name, watched_from=watched, recipients=list(recipients))
        scene = Scene(site, artifacts, seed)
        late = [scene.epoch(40, -14.0, track="L1", available=end_of(day(days - 6)))]
        late += [scene.epoch(n, -0.3 * n, track="L1") for n in range(30, days - 16, 6)]
        late += [scene.rain(55, 80.0, available=end_of(day(70)))]
        said += [scene.configured(), *scene.story(days, mm_a_day=-0.25 - 0.05 * seed), *late]
    return sorted(said, key=lambda event: event.available_at)


def muddled(said: Sequence[Event], seed: int) -> tuple[list[Event], dict[str, int]]:
    """The same with some events doubled, delayed and out of order; and how many of each.

    The first event of a site, its settings, stays first: what comes before it is no input.
    """
    chance = random.Random(seed)
    counts = {"duplicated": 0, "delayed": 0, "reordered": 0}
    placed: list[tuple[float, Event]] = []
    known: set[str] = set()
    for place, event in enumerate(said):
        if event.site not in known:
            known.add(event.site)
            placed.append((place, event))
            continue
        draw = chance.random()
        if draw < 0.02:
            counts["duplicated"] += 1
            placed += [(place, event), (place + chance.randrange(1, 200), event)]
        elif draw < 0.04:
            counts["delayed"] += 1
            placed.append((place + chance.randrange(50, 400), event))
        elif draw < 0.06:
            counts["reordered"] += 1
            placed.append((place + 1.5 * len(SITES), event))
        else:
            placed.append((place, event))
    return [event for _, event in sorted(placed, key=lambda one: one[0])], counts


def save(said: Sequence[Event], path: Path) -> None:
    """Keep a story for another process."""
    path.write_bytes(b"[" + b",".join(map(encode, said)) + b"]")


def load(path: Path) -> list[Event]:
    """A story that was saved."""
    raws = msgspec.json.decode(path.read_bytes(), type=list[msgspec.Raw])
    return [decode(bytes(raw)) for raw in raws]
