"""The page `docs/skill.md` and the same tables as JSON, written by a full run only."""

from __future__ import annotations

import json
from collections.abc import Sequence
from importlib.metadata import version
from importlib.util import find_spec
from pathlib import Path
from typing import Final

from services.scoring.forecasts.ruler import Table
from services.scoring.forecasts.run import FULL, Scale, Section
from services.scoring.replica.table import as_markdown, load

DOCS: Final = Path(__file__).parents[3] / "docs"
PAGE: Final = DOCS / "skill.md"
DATA: Final = DOCS / "skill.json"
_PEERS: Final = ("numpy", "scipy", "scikit-learn", "statsmodels", "torch")

INTRODUCTION: Final = """\
# How good the forecasts are

Written by `python -m benchmarks forecast_skill`; every figure comes from that one run.

**All slopes on this page are simulated.** No real landslide was used, and the figures say nothing
of slopes that obey other laws. What the tables compare holds within one run: ratios and
differences between models on the same days of the same slopes.
"""

METHOD: Final = (
    "Frozen pool `forecast-1`, role `test`: sites of both kinds of drainage and both families of "
    "hydrology, six points each. Errors are predicted less true LOS displacement on the series' "
    "own zero, the truth free of noise.",
    "Rolling origin: a model is fitted on what had arrived by 1 November of year 4, 5 and 6, its "
    "parameters stand still for the 365 days after, and it issues every sixth day from the epochs "
    "that have arrived by then (1 to 7 days after acquisition). The split is by arrival.",
    "Leave-landslide-out is built in for what is learned across sites (boosting, network): it is "
    "learned on other sites, of one family of hydrology only; half of the test sites have the "
    "other. All six points of a site are on one side of every split.",
    "Operational: rain and level of the days ahead as had been issued, a rain forecast that fades "
    "to climate in ten days and a level plan. What-if: what the gauges were to read. True "
    "hydrology: the rain and level that moved the slope, past and future; a ceiling. Floor: a "
    "smoother that knows every true rate and has only the zero of each series to estimate.",
    "Models that read no drivers have the same rows under all three; they are issued once.",
    "Intervals in brackets are 95 %, by resampling sites and blocks of 60 days together, 1,000 "
    "times, with the same draws for all models; differences are resampled in pairs.",
)


def left_out(scale: Scale) -> tuple[str, ...]:
    """What a run of this scale leaves out of the full one; empty for that."""
    told = []
    if scale.role != FULL.role:
        told.append(f"the {FULL.role} sites: these are {scale.role} sites")
    if scale.sites is not None:
        told.append(f"all but the first {scale.sites} sites")
    if scale.names is not None:
        told.append(f"all models but {', '.join(scale.names)}")
    missing = [noise for noise in FULL.noises if noise not in scale.noises]
    if missing:
        told.append(f"noise {', '.join(missing)}")
    if scale.every_d != FULL.every_d:
        told.append(f"issue days but every {scale.every_d}th")
    if not scale.ceiling and FULL.ceiling:
        told.append("the ceiling with true hydrology")
    if not scale.seeds and FULL.seeds:
        told.append("single networks of the ensemble")
    if scale.oracle != FULL.oracle:
        told.append(f"oracle but {scale.oracle.pairs} x {scale.oracle.members} continuations")
    if scale.development_sites != FULL.development_sites:
        told.append(f"development sites but {scale.development_sites} for where intervals begin")
    return tuple(told)


def peers() -> str:
    """Versions of the libraries behind the baselines; those not installed are named."""
    return ", ".join(
        f"{name} {version(name)}" if find_spec(_MODULES.get(name, name)) else f"{name}: not there"
        for name in _PEERS
    )


_MODULES: Final = {"scikit-learn": "sklearn"}


def markdown(table: Table) -> str:
    """A table as Markdown."""
    rule = ["---", *("---:" for _ in table.columns[1:])]
    rows = [table.columns, rule, *table.rows]
    lines = ["| " + " | ".join(row) + " |" for row in rows]
    return "\n\n".join([f"### {table.title}", "\n".join(lines), *table.notes])


def write(sections: Sequence[Section], conditions: Sequence[str], hours: float) -> None:
    """Write page and data."""
    told = [*conditions, f"Libraries: {peers()}", f"The run took {hours:.2f} h."]
    parts = [
        INTRODUCTION.rstrip(),
        "## Conditions",
        "\n".join(f"- {line}" for line in told),
        "## How it is scored",
        "\n".join(f"- {line}" for line in METHOD),
    ]
    for section in sections:
        parts += [f"## Noise: {section.noise}", *map(markdown, section.tables)]
    parts.append(as_markdown(load()).rstrip())
    PAGE.write_text("\n\n".join(parts) + "\n", encoding="utf-8")
    tree = {
        "conditions": told,
        "sections": {
            section.noise: [table._asdict() for table in section.tables] for section in sections
        },
    }
    DATA.write_text(json.dumps(tree, indent=1, allow_nan=False) + "\n", encoding="utf-8")
