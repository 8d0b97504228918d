"""False alarms and lead time of the alert rules on simulated slopes that nothing was chosen on.

Peers stand in the same tables at the same false-alarm rate: two-epoch velocity, which needs no
filter, the CUSUM of a filter that knows no water, and the rate beyond the slope's own past seasons.
The full run writes `docs/alert-skill.md` and `docs/alert-skill.json`.
"""

from __future__ import annotations

import time
from pathlib import Path

from benchmarks.frame import Table, conditions
from services.alerting.thresholds import load_table
from services.scoring.calibrate import SHIPPED
from services.scoring.held_out import held_out
from services.scoring.held_out_page import METHOD, as_json, markdown, tables
from services.scoring.pools import QUICK, TEST

PAGE = Path(__file__).parents[1] / "docs" / "alert-skill.md"


def run(quick: bool) -> list[Table]:
    """All tables; the full run writes the page as well."""
    begin = time.perf_counter()
    content = SHIPPED.read_bytes()
    found = held_out(content, QUICK if quick else TEST, progress=not quick)
    minutes = (time.perf_counter() - begin) / 60
    if not quick:
        PAGE.write_text(markdown(found, conditions(), load_table(content).of_100, minutes))
        PAGE.with_suffix(".json").write_bytes(as_json(found))
    head = Table("How it is scored", ("",), (), METHOD)
    return [head, *(Table(*one) for one in tables(found))]
