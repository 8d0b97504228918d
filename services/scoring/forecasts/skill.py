"""Tables of skill: errors by horizon, against the reference and the best baseline, by group."""

from __future__ import annotations

from collections.abc import Mapping
from typing import NamedTuple

import numpy as np

from core.evidence import Floats
from services.inference.known import Flags
from services.inference.model import HORIZONS_D
from services.scoring.forecasts.folds import FOLDS
from services.scoring.forecasts.issue import Issued
from services.scoring.forecasts.models import BASELINES, REFERENCE
from services.scoring.forecasts.resample import interval, of_two, root_ratio_percent
from services.scoring.forecasts.ruler import AHEAD, Group, Ruler, Table, shown
from services.scoring.score import Interval

DECIDING_D = 12
"""The horizon at which models are compared and chosen."""

Said = Mapping[str, Issued]
"""Forecasts of one pool and kind of drivers, by model."""


def rmse(ruler: Ruler, issued: Issued, horizon: int, inside: Flags | None = None) -> Interval:
    """Root mean squared error against the latent truth, mm, with its interval."""
    squared = ruler.cells(ruler.error_mm(issued, horizon) ** 2, inside)
    return interval(np.sqrt(squared.means(ruler.draws)))


def against(
    ruler: Ruler, one: Issued, other: Issued, horizon: int, inside: Flags | None = None
) -> Interval:
    """How much larger `one`'s RMSE is than `other`'s, %, where both spoke; resampled in pairs."""
    first = ruler.error_mm(one, horizon) ** 2
    second = ruler.error_mm(other, horizon) ** 2
    both = np.isfinite(first) & np.isfinite(second)
    inside = both if inside is None else both & inside
    cells = ruler.cells(first, inside), ruler.cells(second, inside)
    return of_two(*cells, ruler.draws, root_ratio_percent)


def best_baseline(ruler: Ruler, said: Said, horizon: int = DECIDING_D) -> str:
    """The baseline with the smallest error on this very pool: chosen in its favour.

    Judged where all baselines spoke.
    """
    squared = {n: ruler.error_mm(said[n], horizon) ** 2 for n in BASELINES if n in said}
    common = np.logical_and.reduce([np.isfinite(values) for values in squared.values()])
    return min(squared, key=lambda name: float(np.mean(squared[name][common])))


def by_horizon(ruler: Ruler, said: Said, title: str, extra: Said) -> Table:
    """RMSE of each model at each horizon; `extra` are rows that are no competitors."""
    rows = []
    for name, one in {**said, **extra}.items():
        share = 100 * float(one.spoke.mean())
        label = name if share > 99.95 else f"{name} (speaks {share:.0f} %)"
        rows.append((label, *(shown(rmse(ruler, one, h)) for h in HORIZONS_D)))
    return Table(title, ("RMSE, mm", *AHEAD), tuple(rows))


def by_skill(ruler: Ruler, said: Said, title: str) -> Table:
    """1 - RMSE / RMSE of the reference at each horizon, %."""
    if REFERENCE not in said:
        note = f"{REFERENCE} did not run: there is nothing to take skill against."
        return Table(title, ("skill",), (), (note,))
    reference, rows = said[REFERENCE], []
    for name, one in said.items():
        if name == REFERENCE:
            continue
        lost = [against(ruler, one, reference, h) for h in HORIZONS_D]
        gained = [Interval(-v.value, -v.high, -v.low) for v in lost]
        rows.append((name, *(shown(value, 1) for value in gained)))
    return Table(title, (f"skill over {REFERENCE}, %", *AHEAD), tuple(rows))


def by_group(
    ruler: Ruler, said: Said, groups: list[Group], title: str, horizon: int = DECIDING_D
) -> Table:
    """RMSE of each model in each group at one horizon, mm."""
    named = [group for group in groups if group.inside.any()]
    squared = {name: ruler.error_mm(one, horizon) ** 2 for name, one in said.items()}
    rows = []
    for group in named:
        cells = [f"{_root_mean(values, group.inside):.2f}" for values in squared.values()]
        rows.append((f"{group.division}: {group.part}", *cells))
    return Table(title, ("group", *said), tuple(rows))


def _root_mean(values: Floats, inside: Flags) -> float:
    good = inside & np.isfinite(values)
    return float(np.sqrt(values[good].mean())) if good.any() else np.nan


class Verdict(NamedTuple):
    """A model against the best baseline at the deciding horizon: differences of RMSE in percent,
    negative where the model is better."""

    overall: Interval
    folds: tuple[Interval, ...]
    worst_class: str
    worst: Interval

    @property
    def holds(self) -> bool:
        """At least 5 % better with an interval below 0 on 2 folds of 3, and overall; never more
        than 2 % worse at a class of sites."""
        good = [fold.value <= -5 and fold.high < 0 for fold in self.folds]
        better = self.overall.value <= -5 and self.overall.high < 0
        return better and sum(good) >= 2 and self.worst.value <= 2


def verdict(
    ruler: Ruler, one: Issued, best: Issued, groups: list[Group], horizon: int = DECIDING_D
) -> Verdict:
    """Hold a model against the best baseline."""
    parts = [g for g in groups if g.division in ("fold", "site") and g.inside.any()]
    found = {(g.division, g.part): against(ruler, one, best, horizon, g.inside) for g in parts}
    classes = {part: value for (division, part), value in found.items() if division == "site"}
    worst = max(classes, key=lambda part: np.nan_to_num(classes[part].value, nan=-np.inf))
    return Verdict(
        against(ruler, one, best, horizon),
        tuple(found[("fold", f"{f + 1}")] for f in range(FOLDS) if ("fold", f"{f + 1}") in found),
        worst,
        classes[worst],
    )


def comparison(ruler: Ruler, said: Said, groups: list[Group], title: str) -> Table:
    """Every model against the best baseline at the deciding horizon."""
    best = best_baseline(ruler, said)
    rows = []
    for name, one in said.items():
        if name == best:
            continue
        held = verdict(ruler, one, said[best], groups)
        rows.append(
            (
                name,
                shown(held.overall, 1),
                *(shown(fold, 1) for fold in held.folds),
                held.worst_class,
                shown(held.worst, 1),
                "yes" if held.holds else "no",
            )
        )
    folds = [f"fold {group.part}" for group in groups if group.division == "fold"]
    columns = ("RMSE above the best baseline's, %", "all folds", *folds, "worst class of sites")
    notes = (
        f"Best baseline: {best}, the one with the smallest RMSE at +{DECIDING_D} d on these very "
        "sites, a choice in its favour. Negative: the model is better.",
        "Goal: at least 5 % better, interval below 0, overall and on two folds of three, and "
        "nowhere more than 2 % worse.",
    )
    return Table(title, (*columns, "there", "goal reached"), tuple(rows), notes)


def seeds(ruler: Ruler, members: Said, title: str, horizon: int = DECIDING_D) -> Table:
    """Error of each network of an ensemble by itself, and their spread."""
    errors = {name: rmse(ruler, one, horizon) for name, one in members.items()}
    values = np.array([error.value for error in errors.values()])
    spread = float(values.std(ddof=1)) if values.size > 1 else np.nan
    rows = [(name, shown(error)) for name, error in errors.items()]
    rows.append(("mean and sd of networks", f"{values.mean():.3f} ± {spread:.3f}"))
    return Table(title, ("network", f"RMSE +{horizon} d, mm"), tuple(rows))
