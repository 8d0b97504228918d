"""What the service would have published: the gate's choice for each site and fold."""

from __future__ import annotations

from collections import Counter
from collections.abc import Mapping, Sequence
from typing import Final, NamedTuple

import numpy as np
from numpy.typing import NDArray

from services.inference.known import FURTHEST_D, Flags
from services.inference.model import HORIZONS_D
from services.inference.trust import gate
from services.inference.trust.gate import Choice
from services.scoring.forecasts.folds import Fold
from services.scoring.forecasts.issue import Issued
from services.scoring.forecasts.replay import inner_year
from services.scoring.forecasts.ruler import Ruler, Table, shown
from services.scoring.forecasts.series import PoolHistory
from services.scoring.forecasts.skill import DECIDING_D, Said, against, rmse

NAME: Final = "published"
_H: Final = np.array(HORIZONS_D)


class Published(NamedTuple):
    """The forecasts that would have gone out, and who spoke, by fold and site."""

    issued: Issued
    speaker: NDArray[np.str_]
    """(I, sites) whose forecast each is; where the ladder stepped in, that of its first rung."""
    choices: Mapping[int, tuple[Choice, ...]]


def publish(
    history: PoolHistory,
    said: Said,
    over: Sequence[Fold],
    absent: Mapping[str, str],
    reputation: Mapping[str, float],
) -> Published:
    """Choose at each origin by the year before it, then let the chosen speak for the year after.

    The inner year's forecasts are those issued in it, with parameters of its beginning; those of
    the first fold's stand in `said` as fold -1. A site's six points are one unit. Where the chosen
    model is silent the service's ladder speaks.
    """
    later = {name: one.of_folds() for name, one in said.items()}
    day, of_fold = next(iter(later.values()))[1:3]
    shape = (day.size, FURTHEST_D + 1, history.place.size)
    path, sd = np.full((2, *shape), np.nan, np.float32)
    speaker = np.full((day.size, history.sites), "", "<U32")
    choices = {}
    for fold in over:
        scores = inner_year(history, said, fold.origin)
        choices[fold.number] = gate.choose(scores, history.place, history.sites, absent, reputation)
        rows = np.flatnonzero(of_fold == fold.number)
        for site, choice in enumerate(choices[fold.number]):
            own = np.ix_(rows, np.arange(FURTHEST_D + 1), np.flatnonzero(history.place == site))
            names = [name for name in (choice.model, *gate.LADDER) if name in later]
            for name in names:
                silent = ~np.isfinite(path[own])
                path[own] = np.where(silent, later[name].displacement_mm[own], path[own])
                sd[own] = np.where(silent, later[name].sd_mm[own], sd[own])
            speaker[rows, site] = names[0] if names else ""
    return Published(Issued(NAME, day, of_fold, path, sd, 0.0, 0.0), speaker, choices)


def who_spoke(ruler: Ruler, said: Said, published: Published, title: str) -> Table:
    """How often each model would have spoken, and the error of what would have gone out."""
    rows = []
    whole = np.ones((ruler.day.size, ruler.series), np.bool_)
    for number, choices in published.choices.items():
        count = Counter(choice.model for choice in choices)
        spoke = ", ".join(f"{name} {sites}" for name, sites in count.most_common())
        inside = whole & (ruler.fold == number)[:, None]
        rows.append((f"fold {number + 1}", spoke, *_beside(ruler, said, published, inside)))
    rows.append(("all", "", *_beside(ruler, said, published, whole)))
    one = next(iter(published.choices.values()))[0]
    columns = ("", "sites by who would speak", f"RMSE +{DECIDING_D} d, mm")
    notes = (
        "Each site's model is chosen by the year before the origin, from its epochs alone; the "
        "best one stands beside it, known only afterwards.",
        f"As the service says it, for the first site: {one.reason}.",
    )
    heads = (*columns, f"above {gate.LADDER[0]}'s, %", "best in hindsight")
    return Table(title, heads, tuple(rows), notes)


def _beside(ruler: Ruler, said: Said, published: Published, inside: Flags) -> tuple[str, ...]:
    """RMSE of what went out, how far above the ladder's first rung, and the best of all models."""
    errors = {name: rmse(ruler, one, DECIDING_D, inside) for name, one in said.items()}
    best = min(errors, key=lambda name: np.nan_to_num(errors[name].value, nan=np.inf))
    rung, out = said.get(gate.LADDER[0]), published.issued
    return (
        shown(rmse(ruler, out, DECIDING_D, inside)),
        shown(against(ruler, out, rung, DECIDING_D, inside), 1) if rung is not None else "-",
        f"{best} {errors[best].value:.2f}",
    )
