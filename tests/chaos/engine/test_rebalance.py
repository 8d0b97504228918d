"""Inference workers of one group come and go at random: no effect is lost or doubled."""

from __future__ import annotations

import random
import signal
import time
from collections import Counter
from pathlib import Path

import pytest

from core.artifacts import open_artifacts
from tests.chaos.engine.cluster import LEASE_S, Cluster, Part, cluster
from tests.chaos.engine.season import save, season
from tests.chaos.engine.verdict import judge

pytestmark = [pytest.mark.timeout(600), pytest.mark.usefixtures("engines")]

FIRST, SECOND, THIRD = (("inference", member) for member in "012")
STEADY: tuple[Part, ...] = (("ingest", "0"), ("alerting", "0"))
ACTS: tuple[tuple[Part, ...], ...] = ((FIRST, SECOND), (FIRST, SECOND, THIRD), (THIRD,))
"""Who works: two, then three, then one."""


def disturb(made: Cluster, workers: tuple[Part, ...], chance: random.Random) -> str:
    """Kill one of them, stop it until its partitions have moved, or ask it to end."""
    worker = chance.choice(workers)
    what = chance.choice(["kill", "stop", "end"])
    if what == "stop":
        made.signal(worker, signal.SIGSTOP)
        time.sleep(1.5 * LEASE_S)
        made.signal(worker, signal.SIGCONT)
    else:
        made.signal(worker, signal.SIGKILL if what == "kill" else signal.SIGTERM)
    time.sleep(chance.uniform(0.2, 1.5))
    return what


@pytest.mark.parametrize("rounds", [1, pytest.param(4, marks=pytest.mark.slow)])
def test_two_then_three_then_one_worker(tmp_path: Path, rounds: int) -> None:
    chance = random.Random(7)
    counts: Counter[str] = Counter()
    with cluster(tmp_path) as made:
        artifacts = open_artifacts(str(made.service.artifacts))
        said = season(84, artifacts, made.recipients)
        save(said, tmp_path / "story.json")
        (tmp_path / "pace").write_text("0.05")
        made.open_nursery()
        for workers in ACTS:
            for part in (FIRST, SECOND, THIRD):
                if part in made.pids and part not in workers:
                    made.signal(part, signal.SIGTERM)
            for _ in range(rounds):
                for part in (*STEADY, *workers):
                    made.start(part)
                counts[disturb(made, workers, chance)] += 1
        made.finish((*STEADY, *ACTS[-1]), 240)
        made.end()
        verdict = judge(made, tmp_path / "undisturbed")
    print(f"{dict(counts)}; {verdict.events} events, {verdict.decisions} decisions, lost 0")
    assert verdict.lost == verdict.doubled == verdict.changed == []
    assert verdict.notifications > 0
