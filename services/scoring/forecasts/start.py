"""Where intervals begin: at multipliers of development sites, then at a site's own inner year."""

from __future__ import annotations

from collections.abc import Sequence

from services.inference.trust import conformal, priors
from services.inference.trust.priors import Priors
from services.scoring.forecasts.replay import inner_year
from services.scoring.forecasts.series import PoolHistory
from services.scoring.forecasts.skill import Said


def prior_from(history: PoolHistory, said: Said, origin: int) -> Priors:
    """What the year before `origin` of these sites teaches, and no site's own."""
    return priors.from_scores(inner_year(history, said, origin))


def starts(
    history: PoolHistory, said: Said, origin: int, prior: conformal.State, speaker: Sequence[str]
) -> tuple[conformal.State, ...]:
    """Each site's intervals after the year before `origin`, had its `speaker` (sites,) spoken."""
    found = []
    for site, name in enumerate(speaker):
        scores = inner_year(history, {name: said[name]}, origin, site)
        found.append(conformal.taught(prior, scores, [name] * history.points))
    return tuple(found)
