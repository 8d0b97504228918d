"""Skill of every forecast model on simulated slopes that none of them was made on.

Models x horizons x noise modes on the frozen test pool, under issued drivers (operational) and
true ones (what-if), with intervals over sites and blocks of time, beside persistence and the
floor; the gate's choice, the coverage of the intervals and their width beside the oracle's.
Peers are the baselines: what an expert would use instead, fitted with statsmodels and scikit-learn
where those have them. The full run writes `docs/skill.md` and `docs/skill.json`; `--short` ends in
ten minutes and says what it leaves out.

How to read it: errors are RMSE in mm against the noise-free truth, intervals are 95 %. Absolute
errors scale with how fast these slopes are; only what stands in one table can be compared.
"""

from __future__ import annotations

import os
import sys
import time

from benchmarks.frame import Table, conditions
from services.scoring.forecasts import page
from services.scoring.forecasts.run import FULL, QUICK, SHORT
from services.scoring.forecasts.run import run as score


def run(quick: bool, short: bool = False) -> list[Table]:
    """All tables; the full run writes the page as well."""
    scale = QUICK if quick else SHORT if short else FULL
    begin = time.perf_counter()
    sections = score(scale, _say, workers=min(len(os.sched_getaffinity(0)), len(scale.noises)))
    hours = (time.perf_counter() - begin) / 3600
    left = page.left_out(scale)
    notes = [*page.METHOD, f"Libraries: {page.peers()}", f"The run took {hours:.2f} h."]
    notes += [f"Left out: {'; '.join(left)}."] if left else []
    if not left:
        page.write(sections, conditions(), hours)
        notes.append(f"Wrote {page.PAGE.name} and {page.DATA.name} in docs.")
    head = Table("How it is scored", ("",), (), tuple(notes))
    return [head, *(Table(*table) for section in sections for table in section.tables)]


def _say(line: str) -> None:
    print(f"  {line}", file=sys.stderr, flush=True)
