"""The inference stage decides by the order of a site's inputs and by nothing else."""

from __future__ import annotations

from collections.abc import Iterator
from contextlib import contextmanager
from datetime import timedelta
from pathlib import Path
from tempfile import TemporaryDirectory

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st

from core.artifacts import MemoryArtifacts
from core.clock import end_of, midnight
from core.events import ASSESSMENTS, Event
from core.settings import Thinning
from services.inference import store
from services.inference.state import nanoseconds
from services.inference.store import kept_checkpoints
from services.inference.timeseries.links import Pair
from services.inference.timeseries.network import invert
from services.inference.timeseries.noise import phase_variance
from services.inference.timeseries.sequential import estimate
from services.inference.track import Track, as_of
from tests.pipeline import (
    POINTS,
    Bench,
    Scene,
    day,
    distinct,
    few,
    make_site,
    records_of,
    state_differences,
)

THIN = Thinning(checkpoints=1, every=50, snapshots=1)
LINKS = [(n, n + m) for n in range(0, 60, 6) for m in (6, 12)]


@contextmanager
def bench(**options) -> Iterator[Bench]:
    with TemporaryDirectory() as folder, Bench(Path(folder), **options) as made:
        yield made


def phases(seed: int) -> dict[tuple[int, int], np.ndarray]:
    """Unwrapped phases of a network with noise; nothing moves on firm ground."""
    random = np.random.default_rng(seed)
    epochs = sorted({n for link in LINKS for n in link})
    true = {n: np.where(np.arange(POINTS) < 2, 0.0, 0.02 * n) for n in epochs}
    return {
        (a, b): true[b] - true[a] + random.normal(0, 0.1, POINTS) for a, b in LINKS if b in true
    }


def two_sites(artifacts: MemoryArtifacts, days: int = 60) -> list[Event]:
    """All kinds of inputs of two sites, interleaved, with repeats and late data among them."""
    said: list[Event] = []
    for seed, name in enumerate(("lian", "shan")):
        scene = Scene(make_site(name), artifacts, seed)
        story = [scene.configured(), *scene.story(days)]
        pairs = [scene.pair(a, b, phase) for (a, b), phase in phases(seed).items()]
        late = scene.epoch(30, -9.0, track="A44", available=end_of(day(50)))
        vintage = scene.rain(20, 33.0, available=end_of(day(41)))
        story += [*pairs, late, vintage, story[5], story[9]]
        said += sorted(story, key=lambda event: event.available_at)
    return sorted(said, key=lambda event: event.available_at)


def results(made: Bench) -> tuple[list[bytes], list[bytes], list[str]]:
    assert made.parked() == {}
    assert made.letters() == []
    assessments = [
        value
        for site in ("lian", "shan")
        for value in distinct(records_of(made.log, ASSESSMENTS, site))
    ]
    return assessments, list(made.ledger.export()), made.messages()


@pytest.fixture(scope="module", autouse=True)
def thin_at_every_fourth_commit() -> Iterator[None]:
    with pytest.MonkeyPatch.context() as patch:
        patch.setattr(store, "THIN_EVERY", 4)
        yield


@pytest.fixture(scope="module")
def whole() -> Iterator[Bench]:
    """The undisturbed run, in one batch."""
    with bench() as made:
        made.run(two_sites(made.artifacts))
        yield made


@few
@given(cuts=st.lists(st.integers(1, 60), min_size=3, max_size=12), thin=st.booleans())
def test_how_the_log_is_cut_into_batches_changes_nothing(
    whole: Bench, cuts: list[int], thin: bool
) -> None:
    said = two_sites(whole.artifacts)
    thinning = THIN if thin else None
    with bench(artifacts=whole.artifacts, thinning=thinning) as cut:
        place = 0
        for size in cuts:
            cut.run(said[place : place + size])
            place += size
        cut.run(said[place:])
        assert results(cut) == results(whole)
        if not thin:
            for site in ("lian", "shan"):
                assert state_differences(cut.states, whole.states, site) == []


@pytest.mark.parametrize("size", [1, 7, 5000])
def test_thinned_checkpoints_are_a_function_of_the_epochs(size: int) -> None:
    artifacts = MemoryArtifacts()
    scene = Scene(make_site("lian"), artifacts)
    thinning = Thinning(checkpoints=4, every=10, snapshots=1)
    said = [scene.configured(), *(scene.epoch(n, -0.1 * n) for n in range(30))]
    said += [scene.epoch(40, -4.0), scene.epoch(33, -3.3, available=midnight(day(42)))]
    with bench(artifacts=artifacts, thinning=thinning) as made:
        for start in range(0, len(said), size):
            made.run(said[start : start + size])
        track = made.track("lian")
        assert track.checkpoint_days == kept_checkpoints(track.days, thinning)
        assert len(track.checkpoint_days) == 3 + 4


@few
@given(
    late=st.lists(st.integers(1, 28), min_size=2, max_size=4, unique=True),
    gaps=st.lists(st.integers(0, 5), min_size=4, max_size=4),
)
def test_late_epochs_give_the_state_of_the_right_order(late: list[int], gaps: list[int]) -> None:
    """Late epochs in any order (so also the later-dated first or second), thinned in between."""
    artifacts = MemoryArtifacts()
    scene = Scene(make_site("lian"), artifacts)
    ordered = [scene.configured(), *(scene.epoch(3 * n, -0.5 * n) for n in range(30))]
    missing = [ordered[1 + n] for n in late]
    disturbed = [event for event in ordered if event not in missing]
    with bench(artifacts=artifacts) as right, bench(artifacts=artifacts, thinning=THIN) as late_one:
        right.run(ordered)
        late_one.run(disturbed)
        for number, (event, gap) in enumerate(zip(missing, gaps, strict=False)):
            late_one.run([event])
            for filler in range(gap):
                late_one.run([scene.level(200 + 10 * number + filler, 170.0)])
        same(late_one.track("lian"), right.track("lian"))


def same(a: Track, b: Track) -> None:
    """Filter, units and history of two tracks are equal bit for bit."""
    assert a.days == b.days
    assert a.history.tobytes() == b.history.tobytes()
    for one, other in zip(flat(a), flat(b), strict=True):
        assert one.tobytes() == other.tobytes()


def flat(track: Track) -> list[np.ndarray]:
    motion = track.motion
    return [*motion.points, *motion.units, motion.offset_mm, motion.seen_mm, motion.calm]


@few
@given(
    known=st.integers(10, 110),
    touched=st.sets(st.integers(0, 9), min_size=1),
    what=st.sampled_from(["changed", "deleted", "added"]),
)
def test_nothing_known_later_changes_what_was_known(
    known: int, touched: set[int], what: str
) -> None:
    """`as_of` by bits: later data changed, deleted or added, and a run over the earlier alone."""
    artifacts = MemoryArtifacts()
    site = make_site("lian")
    scene = Scene(site, artifacts)
    said = [scene.epoch(12 * n, -4.0 * n) for n in range(10)]
    said += [scene.epoch(12 * n, -4.1 * n, available=end_of(day(12 * n + 40))) for n in (2, 4)]
    said.sort(key=lambda event: event.available_at)
    moment = end_of(day(known))
    earlier = [event for event in said if event.available_at <= moment]
    later = [event for event in said if event.available_at > moment]
    other = [
        scene.epoch(12 * n + 1, 50.0, available=moment + timedelta(days=1 + n)) for n in touched
    ]
    changed = {
        "changed": [*(e for i, e in enumerate(later) if i not in touched), *other],
        "deleted": [event for i, event in enumerate(later) if i not in touched],
        "added": [*later, *other],
    }[what]
    found = []
    for events in ([*earlier, *later], [*earlier, *changed], earlier):
        with bench(artifacts=artifacts) as made:
            made.run([scene.configured(), *events])
            track = made.track("lian") if events else None
            if track:
                found.append(as_of(track, nanoseconds(moment), site.noise))
            if track and events is earlier:
                found.append(track)
    for one in found[1:]:
        same(one, found[0])


def test_sequential_inversion_through_the_stage_equals_batch() -> None:
    artifacts = MemoryArtifacts()
    scene = Scene(make_site("lian"), artifacts)
    network = phases(3)
    pairs = [scene.pair(a, b, phase) for (a, b), phase in network.items()]
    said = [*pairs, *(scene.closed(n) for n in range(72))]
    said.sort(key=lambda event: event.available_at)
    with bench(artifacts=artifacts) as made:
        made.run([scene.configured(), *said])
        assert made.parked() == {}
        assert made.letters() == []
        track = made.track("lian", "pairs")
    referenced = {link: phase - np.median(phase[:2]) for link, phase in network.items()}
    stack = np.stack(list(referenced.values()))
    names = [Pair(day(a), day(b)) for a, b in referenced]
    variance = np.asarray(phase_variance(np.full(stack.shape, 0.8), 20.0))
    batch = invert(stack, names, variance)
    window = estimate(track.window.state)
    place = {epoch: row for row, epoch in enumerate(batch.epochs)}
    rows = [place[epoch] for epoch in window.epochs]
    np.testing.assert_allclose(window.phase, batch.phase[rows], atol=1e-9)
    np.testing.assert_allclose(window.sigma, batch.sigma[rows], atol=1e-9)
    assert len(track.days) == len(batch.epochs)


def test_a_pair_whose_layers_are_damaged_does_not_keep_the_day_from_closing() -> None:
    artifacts = MemoryArtifacts()
    scene = Scene(make_site("lian"), artifacts)
    said = [scene.pair(a, b, phase) for (a, b), phase in list(phases(4).items())[:4]]
    short = scene.pair(6, 24, np.zeros(POINTS - 1))
    nothing_firm = scene.pair(12, 24, np.full(POINTS, np.nan))
    with bench(artifacts=artifacts) as made:
        made.run([scene.configured(), *said, short, nothing_firm, scene.closed(30)])
        assert made.parked() == {}
        assert [letter.code for letter in made.letters()] == ["D03", "D03"]
        assert made.inference_state("lian").last_closed == day(30)
        assert len(made.track("lian", "pairs").days) == 4
