"""The rules that may vote, each as a statistic whose passing a limit asks for a level."""

from __future__ import annotations

from collections.abc import Sequence
from typing import Final

from core import plugins
from core.evidence import Floats
from services.alerting.rule import RULES, Rule
from services.alerting.statistic import WITHOUT_WATER
from services.alerting.thresholds import ThresholdTable
from services.scoring.pool import Pool

MOTION: Final = (
    "velocity",
    "excess",
    "cusum",
    "edetector",
    "acceleration",
    "failure_time",
    "change_point",
    "forecast_residual",
)
"""Rules on motion, which may ask for any level."""
CONTEXT: Final = ("rain", "level")
"""Rules on water: reason to look, not to warn. They may ask for yellow at most."""
ON_WATER: Final = ("excess", "cusum", "edetector", "acceleration", "change_point")
"""Rules on the conditioned filter: other limits where rain or level is not known."""


def statistic(pool: Pool, rule: str) -> Floats:
    """A rule's statistic (S, K) with the settings of a site whose file names none."""
    module = plugins.load(RULES, rule)
    found: Floats = module.statistic(pool.evidence, module.Settings())
    return found[..., 0]


def voting_rules(table: ThresholdTable, names: Sequence[str] | None = None) -> list[Rule]:
    """These rules with their default settings and the limits of `table`.

    Without `names` all that have a limit: the others ask for nothing.
    """
    if names is None:
        has_limits = {name.removesuffix(WITHOUT_WATER.format(rule="")) for name in table.rules}
        names = [name for name in (*MOTION, *CONTEXT) if name in has_limits]
    modules = [plugins.load(RULES, name) for name in names]
    return [module.open(module.Settings(), table) for module in modules]
