"""Shares of rain and level in MUSEnetC's forecasts of days that no fit had seen.

Two ways: by ablation (drivers replaced by their day-of-year means, the two orders averaged, as in
`shares`) and by integrated gradients. Both are of the whole forecast, the change of displacement
over the 30 days ahead: expectation and correction together. They say what the forecasts answer to,
which is the slope's own share only as far as the forecasts are right.
"""

from __future__ import annotations

from importlib.util import find_spec
from typing import TYPE_CHECKING, NamedTuple

import numpy as np

from core.errors import BadInputError, SlopewatchError
from core.evidence import Floats
from services.inference.known import History, Ints
from services.inference.models import kalman_transfer
from services.inference.musenet.expectation import expect
from services.inference.numerics.hydrology import YEAR_D
from services.understanding.gradients import (
    Contributions,
    integrated_gradients,
    rain_share_of_gradients,
)
from services.understanding.network_forecast import Asked, WholeForecast, asked
from services.understanding.shares import rain_share_of

if TYPE_CHECKING:
    from services.inference.musenet.network import MUSEnetC

FEWEST_ISSUES = 6
HELD_OUT_D = 2 * 365
EVERY_D = 24
STEPS = 16
"""Of the way of integrated gradients: half of the forecasts are accounted for to 0.005 mm."""
_GRADIENT_ISSUES = 8
_LEARNED_D = int(2 * YEAR_D) + 2
"""Days of drivers before the first issue, for their day-of-year means and the fit."""


class NetworkShares(NamedTuple):
    """Rain's shares of S series, (S,) each, the level has the rest; NaN where none is told."""

    ablation: Floats
    gradients: Floats
    """Mean size of rain's contribution beside the level's, over some of the issue days."""
    missing_mm: Floats
    """Median change of a forecast that the gradients' steps did not account for."""
    issue_days: Ints


def network_shares(
    history: History, day: int, *, every_d: int = EVERY_D, steps: int = STEPS
) -> NetworkShares:
    """Shares over issue days of up to two years before `day`, all later than the fit.

    Args:
        history: of one site or of a pool.
        day: as known at its end.
        every_d: days between issue days.
        steps: of the way of integrated gradients.

    Raises:
        BadInputError: the record is too short, or a driver is missing.
        SlopewatchError: torch is not installed.
    """
    networks = _networks()
    known = history.known(day)
    fit_day = max(known.drivers.first_day + _LEARNED_D, day - HELD_OUT_D)
    days = np.arange(day, fit_day, -every_d)[::-1]
    if len(days) < FEWEST_ISSUES:
        raise BadInputError(
            f"{len(days)} issue days after the first two years are too few: the network's shares "
            f"need {FEWEST_ISSUES}, {every_d} days apart"
        )
    base = kalman_transfer.open(kalman_transfer.Settings())
    parameters = base.fit(history, fit_day)
    traced = set(np.linspace(0, len(days) - 1, _GRADIENT_ISSUES).astype(int).tolist())
    off = np.full((len(days), 3, known.series), np.nan)
    given = np.full((len(days), 3, known.series), np.nan)
    for row, one in enumerate(days):
        then = history.known(int(one))
        question = asked(then, expect(base, parameters, then))
        if not question.series.size:
            continue
        forecast = WholeForecast(networks, question)
        off[row][:, question.series] = ablated(forecast, question)
        if row in traced:
            given[row][:, question.series] = _traced(forecast, question, steps)
    return _shares(off, given, days)


def _networks() -> list[MUSEnetC]:
    if find_spec("torch") is None or find_spec("safetensors") is None:
        raise SlopewatchError("MUSEnetC's shares need torch: install slopewatch[torch]")
    from services.inference.musenet.checkpoint import WEIGHTS, read_ensemble

    return read_ensemble(WEIGHTS, "default")


def ablated(forecast: WholeForecast, question: Asked) -> Floats:
    """Change (3, N) of each forecast in mm: rain only alive, level only, neither."""
    import torch

    rain, level = (torch.from_numpy(np.ascontiguousarray(part)) for part in question.drivers)
    no_rain, no_level = (torch.from_numpy(np.ascontiguousarray(part)) for part in question.usual)
    with torch.inference_mode():
        both = forecast(rain, level)
        runs = [forecast(rain, no_level), forecast(no_rain, level), forecast(no_rain, no_level)]
        return np.stack([(one - both).numpy() for one in runs])


def _traced(forecast: WholeForecast, question: Asked, steps: int) -> Floats:
    """Contributions of rain and of level to each forecast, and what is missing, (3, N) mm."""
    given = integrated_gradients(forecast, question.drivers, question.usual, steps=steps)
    return np.stack([given.rain.sum(axis=1), given.level.sum(axis=1), given.missing])


def _shares(off: Floats, given: Floats, days: Ints) -> NetworkShares:
    """Shares from changes (I, 3, S) by ablation and contributions (I, 3, S), NaN where none."""
    enough = np.isfinite(off[:, 0]).sum(axis=0) >= FEWEST_ISSUES
    ablation = np.where(enough, rain_share_of(*np.nansum(off**2, axis=0)), np.nan)
    gradients, missing = np.full((2, off.shape[2]), np.nan)
    for one in np.flatnonzero(enough):
        rain, level, left = given[np.isfinite(given[:, 0, one])][:, :, one].T
        if rain.size:
            gradients[one] = rain_share_of_gradients(Contributions(rain, level, left))
            missing[one] = np.median(np.abs(left))
    return NetworkShares(ablation, gradients, missing, days)
