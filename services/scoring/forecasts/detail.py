"""Tables of detail at one horizon: other measures, significance by site, later epochs."""

from __future__ import annotations

from typing import NamedTuple

import numpy as np

from core.evidence import Floats
from services.inference.known import FURTHEST_D, Flags, Ints
from services.inference.trust.groups import RATE_SHARES
from services.scoring.forecasts.folds import BLOCK_D
from services.scoring.forecasts.issue import Issued
from services.scoring.forecasts.measures import correlation, crps_mm, diebold_mariano
from services.scoring.forecasts.resample import interval
from services.scoring.forecasts.ruler import Ruler, Table, predicted_rate, shown
from services.scoring.forecasts.series import PoolHistory
from services.scoring.forecasts.skill import DECIDING_D, Said

LEADS_D = ((0, 6), (7, 18), (19, 30))


def measures(ruler: Ruler, said: Said, best: str, title: str, horizon: int = DECIDING_D) -> Table:
    """MAE, correlation, CRPS, bias of the fastest and Diebold-Mariano at one horizon."""
    rows = []
    step = int(np.diff(ruler.day).min()) if ruler.day.size > 1 else BLOCK_D
    other = _site_loss(ruler, said[best], horizon)
    for name, one in said.items():
        error = ruler.error_mm(one, horizon)
        sd = one.sd_mm[:, horizon].astype(np.float64)
        tested = diebold_mariano(_site_loss(ruler, one, horizon), other, BLOCK_D // step)
        rows.append(
            (
                name,
                shown(interval(ruler.cells(np.abs(error)).means(ruler.draws))),
                shown(interval(ruler.cells(crps_mm(error, sd)).means(ruler.draws))),
                _number(correlation(*_from_last(ruler, one, horizon))),
                _number(correlation(*_ahead(ruler, one, horizon))),
                fastest_bias(ruler, one, horizon),
                "-" if name == best else f"{tested.better} / {tested.worse} / {tested.sites}",
            )
        )
    columns = ("model", "MAE, mm", "CRPS, mm", "PCC, since last epoch", "PCC, motion ahead")
    notes = (
        "PCC since the last epoch: predicted and true displacement, both less the last arrived "
        "epoch as measured. Motion ahead: both from the issue day on. Never on cumulative values.",
        f"Bias of the fastest: mean of predicted less true motion over {horizon} d where a model's "
        "own predicted rate is in its highest tenth, in the direction it predicted.",
        f"Sites better / worse than {best} by Diebold and Mariano's test of squared errors "
        f"(p < 0.05, Newey-West to {BLOCK_D} d) / tested.",
    )
    return Table(title, (*columns, "bias of the fastest, mm", "DM by site"), tuple(rows), notes)


def _number(value: float) -> str:
    return f"{value:.3f}" if np.isfinite(value) else "-"


def _site_loss(ruler: Ruler, issued: Issued, horizon: int) -> Floats:
    squared = ruler.error_mm(issued, horizon) ** 2
    return np.asarray(squared.reshape(len(squared), ruler.sites, -1).mean(axis=2))


def _from_last(ruler: Ruler, issued: Issued, horizon: int) -> tuple[Floats, Floats]:
    true = ruler.target_mm[:, horizon] - ruler.last_mm
    return ruler.error_mm(issued, horizon) + true, true


def _ahead(ruler: Ruler, issued: Issued, horizon: int) -> tuple[Floats, Floats]:
    said = (issued.displacement_mm[:, horizon] - issued.displacement_mm[:, 0]).astype(np.float64)
    true = (ruler.target_mm[:, horizon] - ruler.target_mm[:, 0]).astype(np.float64)
    return said, true


def fastest_bias(ruler: Ruler, issued: Issued, horizon: int) -> str:
    """Mean bias of predicted motion where it is fastest, mm, with its interval."""
    said, true = _ahead(ruler, issued, horizon)
    rate = predicted_rate(issued)
    finite = rate[np.isfinite(rate)]
    fastest = rate >= np.quantile(finite, RATE_SHARES[-1]) if finite.size else rate > 0
    # A model that expects no motion anywhere has no fastest forecasts.
    fastest &= rate > 0
    if not fastest.any():
        return "-"
    bias = ruler.cells((said - true) * np.sign(said), fastest)
    return shown(interval(bias.means(ruler.draws)))


class Later(NamedTuple):
    """Pairs of a forecast and an epoch that arrived after it; N pairs of all series of a site."""

    issue: Ints
    """(N,) row of the forecast."""
    site: Ints
    lead_d: Ints
    los_mm: Floats
    """(N, P) as measured."""
    sd_mm: Floats
    true_mm: Floats
    """(N, P) the displacement itself on that day."""


def later_epochs(history: PoolHistory, day: Ints) -> Later:
    """All epochs of the issue day to thirty days on that had not arrived at issue."""
    epoch, arrival, los, sd = history.epochs_until(int(day.max()) + FURTHEST_D)
    points = history.points
    found: list[tuple[Ints, ...]] = []
    for row, issue_day in enumerate(day):
        k, site = np.nonzero(
            (epoch >= issue_day) & (epoch <= issue_day + FURTHEST_D) & (arrival > issue_day)
        )
        found.append((np.full(k.size, row), k, site))
    issue, k, site = (np.concatenate(part) for part in zip(*found, strict=True))
    series = site[:, None] * points + np.arange(points)
    at = epoch[k, site]
    true = history.target_mm[at[:, None], series]
    return Later(
        issue, site, at - day[issue], los[k[:, None], series], sd[k[:, None], series], true
    )


def observed(ruler: Ruler, said: Said, later: Later, title: str) -> Table:
    """RMSE against later epochs as measured, corrected for their noise, and against the truth."""
    rows = []
    points = later.los_mm.shape[1]
    series = later.site[:, None] * points + np.arange(points)
    for name, one in said.items():
        value = one.displacement_mm[later.issue[:, None], later.lead_d[:, None], series]
        cells = []
        for first, last in LEADS_D:
            inside = (later.lead_d >= first) & (later.lead_d <= last)
            cells += [f"{part:.2f}" for part in _three(value[inside], later, inside)]
        rows.append((name, *cells))
    heads = [
        f"{what}, {first}-{last} d"
        for first, last in LEADS_D
        for what in ("measured", "less noise", "truth")
    ]
    notes = (
        "Less noise: root of the mean squared error less the stated variance of the epoch, what "
        "can be had without knowing the truth; the truth of the same pairs stands beside it.",
        f"{later.issue.size} pairs of a forecast and a later epoch of a site, six points each.",
    )
    return Table(title, ("RMSE, mm", *heads), tuple(rows), notes)


def _three(value: Floats, later: Later, inside: Flags) -> tuple[float, float, float]:
    los, sd, true = later.los_mm[inside], later.sd_mm[inside], later.true_mm[inside]
    good = np.isfinite(value) & np.isfinite(los)
    if not good.any():
        return np.nan, np.nan, np.nan
    measured = float(np.mean((value[good] - los[good]) ** 2))
    cleaned = measured - float(np.mean(sd[good] ** 2))
    latent = float(np.mean((value[good] - true[good]) ** 2))
    return np.sqrt(measured), np.sqrt(cleaned) if cleaned > 0 else np.nan, np.sqrt(latent)
