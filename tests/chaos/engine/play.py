"""`python -m tests.chaos.engine.play [--faults N] [--seed S]`: a season under faults, judged.

Real Kafka, PostgreSQL and an S3 stand-in; every service in a process of its own. Prints faults by
kind and what was lost, doubled or changed against an undisturbed run over the log that is left.
"""

from __future__ import annotations

import argparse
import random
import sys
import tempfile
import time
from collections import Counter
from dataclasses import dataclass
from pathlib import Path

from tqdm import tqdm

from core.artifacts import open_artifacts
from tests.chaos.engine import faults
from tests.chaos.engine.cluster import PARTS, Cluster, cluster
from tests.chaos.engine.season import SITES, muddled, save, season
from tests.chaos.engine.verdict import Verdict, judge

DAYS = 132
PAUSE_S = (0.3, 2.0)
PATIENCE_S = 300.0


@dataclass(frozen=True)
class Outcome:
    """What was done to the cluster, what the story held besides, and what came of it."""

    faults: Counter[str]
    muddle: dict[str, int]
    verdict: Verdict
    seconds: float

    @property
    def kills_and_stops(self) -> int:
        """How often a process may have died or stood between a sending and its record."""
        plain = {"kill", "stop", "stop_long", "ask_to_end", "restart_postgres", "step_clocks"}
        return (
            sum(n for kind, n in self.faults.items() if kind in plain) + 2 * self.faults["kill_two"]
        )


def play(folder: Path, number: int, seed: int, days: int = DAYS) -> Outcome:
    """Let a season pass under `number` faults and judge what is left."""
    chance = random.Random(seed)
    began = time.monotonic()
    with cluster(folder) as made:
        artifacts = open_artifacts(str(made.service.artifacts))
        said, muddle = muddled(season(days, artifacts, made.recipients), seed)
        save(said, folder / "story.json")
        deck = faults.deck(number, seed)
        expected_s = number * (sum(PAUSE_S) / 2 + 3.0)
        (folder / "pace").write_text(str(0.8 * expected_s / (len(said) / 6)))
        made.open_nursery()
        counts = _disturb(made, deck, chance)
        (folder / "pace").write_text("0")
        made.end_one(("ingest", "0"))
        made.finish(PARTS, PATIENCE_S)
        made.end()
        verdict = judge(made, folder / "undisturbed")
    return Outcome(counts, muddle, verdict, time.monotonic() - began)


def _disturb(made: Cluster, deck: list[faults.Fault], chance: random.Random) -> Counter[str]:
    counts: Counter[str] = Counter()
    for fault in tqdm(deck, desc="faults", unit="fault", disable=not sys.stderr.isatty()):
        _heal(made)
        time.sleep(chance.uniform(*PAUSE_S))
        fault(made, chance)
        counts[fault.__name__] += 1
    return counts


def _heal(made: Cluster) -> None:
    for part in PARTS:
        made.start(part)


def render(outcome: Outcome) -> str:
    """The figures, as text."""
    verdict = outcome.verdict
    lines = [f"{kind:18} {count:5}" for kind, count in sorted(outcome.faults.items())]
    lines += [f"{kind:18} {count:5} (events)" for kind, count in sorted(outcome.muddle.items())]
    lines += [
        f"{'faults':18} {sum(outcome.faults.values()):5} in {outcome.seconds:.0f} s, over "
        f"{verdict.events} events of {len(SITES)} simulated sites",
        f"{'decisions':18} {verdict.decisions:5}, notifications {verdict.notifications}",
        f"{'lost':18} {len(verdict.lost):5}",
        f"{'doubled':18} {len(verdict.doubled):5}",
        f"{'changed':18} {len(verdict.changed):5}",
        f"{'repeated':18} {verdict.repeats:5} under the same id (kills and stops: "
        f"{outcome.kills_and_stops})",
    ]
    lines += [f"  {fault}" for fault in (*verdict.lost, *verdict.doubled, *verdict.changed)]
    return "\n".join(lines)


def main() -> None:
    """Play once and say what came of it."""
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("--faults", type=int, default=220)
    parser.add_argument("--seed", type=int, default=1)
    parser.add_argument("--keep", type=Path, help="folder for data and logs, else a temporary one")
    asked = parser.parse_args()
    with tempfile.TemporaryDirectory() as temporary:
        folder = asked.keep or Path(temporary)
        folder.mkdir(parents=True, exist_ok=True)
        outcome = play(folder, asked.faults, asked.seed)
        print(render(outcome))
    verdict = outcome.verdict
    bad = verdict.lost or verdict.doubled or verdict.changed
    sys.exit(1 if bad or verdict.repeats > outcome.kills_and_stops else 0)


if __name__ == "__main__":
    main()
