"""The Kalman filter of the replica, and ARIMA on what it filtered.

Source: a Kalman filter (KF), KF with ARIMA and KF with LSTM are compared; how they were set up is
not in what we hold.
Our choice: a local linear trend, its two variances those of a grid with the highest likelihood of
the innovations on the training part, one pair a series; ARIMA(1,1,1) on the filtered series. A
filter that is tuned may do far better than the published one.
"""

from __future__ import annotations

import warnings
from typing import NamedTuple

import numpy as np

from core.evidence import Floats
from core.kalman import predict, start, update
from services.scoring.replica.stack import FIRST_LABEL_D, LONGEST_LAG_D, TRAIN_D, Stack
from services.scoring.replica.windows import LAGS_D

RATE_WALKS_MM2_D3 = 10.0 ** np.arange(-7.0, 1.0)
VARIANCES_MM2 = 10.0 ** np.arange(-4.0, 2.5, 0.5)
START_D = FIRST_LABEL_D - LONGEST_LAG_D
ORDER = (1, 1, 1)


class Filtered(NamedTuple):
    """A filter's words on each day of a stack from `START_D`, (T - START_D, S) each, mm."""

    forecast_mm: Floats
    """Of the day, from the labels up to one step (R1: a day, R2: 12 days) before."""
    filtered_mm: Floats
    """Of the day, its own label included."""


def run_filter(
    label_mm: Floats, step_d: int, rate_walk_mm2_d3: Floats, variance_mm2: Floats
) -> tuple[Filtered, Floats]:
    """Filter labels that stand `step_d` days apart: with 12, twelve interleaved series each.

    Args:
        label_mm: (T, S) daily.
        step_d: days between the labels that one filter takes in.
        rate_walk_mm2_d3: (..., S) intensity of the walk of the rate.
        variance_mm2: (..., S) variance of a label.

    Returns:
        Forecasts and filtered values, (T, ..., S); and the log-likelihood of each day's
        innovation, the same shape, NaN on a series' first.
    """
    days, series = label_mm.shape
    rows = -(-days // step_d)
    padded = np.full((rows * step_d, series), np.nan)
    padded[:days] = label_mm
    lead = np.broadcast_shapes(rate_walk_mm2_d3.shape, variance_mm2.shape)[:-1]
    walk, variance = (np.asarray(a)[..., None, :] for a in (rate_walk_mm2_d3, variance_mm2))
    phases = padded.reshape(rows, step_d, series)
    shape = (rows, *lead, step_d, series)
    forecast, filtered, likelihood = (np.full(shape, np.nan) for _ in range(3))
    state = start(np.broadcast_to(phases[0], shape[1:]).copy(), variance)
    filtered[0] = phases[0]
    for row in range(1, rows):
        state = predict(state, float(step_d), walk)
        forecast[row] = state.displacement_mm
        state, seen = update(state, np.broadcast_to(phases[row], shape[1:]), variance)
        filtered[row] = state.displacement_mm
        likelihood[row] = -0.5 * (np.log(seen.variance_mm2) + seen.value_mm**2 / seen.variance_mm2)
    forecast, filtered, likelihood = (
        np.moveaxis(a, -2, 1).reshape(rows * step_d, *lead, series)[:days]
        for a in (forecast, filtered, likelihood)
    )
    return Filtered(forecast, filtered), likelihood


def fit_filter(stack: Stack, reading: str) -> Filtered:
    """The filter with the variances that fit each series' training part best."""
    step = int(LAGS_D[reading][0])
    label = stack.label_mm[START_D:]
    grid = np.stack(np.meshgrid(RATE_WALKS_MM2_D3, VARIANCES_MM2, indexing="ij"), -1).reshape(-1, 2)
    part = label[: LONGEST_LAG_D + TRAIN_D]
    wide = np.broadcast_to(grid[:, :, None], (*grid.shape, label.shape[1]))
    _, likelihood = run_filter(part, step, wide[:, 0], wide[:, 1])
    best = grid[np.nansum(likelihood, axis=0).argmax(axis=0)]
    return run_filter(label, step, best[:, 0], best[:, 1])[0]


def arima(known: Filtered, reading: str) -> tuple[Floats, int]:
    """One step ahead by ARIMA on filtered values, and how many series' fits did not converge.

    Fitted to a series' training part (R2: to one of its twelve interleaved series), then run
    over all days with these parameters. Forecasts as in `Filtered`, NaN on each first day.
    """
    step = int(LAGS_D[reading][0])
    forecast = np.full_like(known.filtered_mm, np.nan)
    failed = 0
    for series in range(forecast.shape[1]):
        values = known.filtered_mm[:, series]
        parameters, converged = _arima_fit(values[: LONGEST_LAG_D + TRAIN_D : step])
        failed += not converged
        for phase in range(step):
            forecast[phase::step, series] = _arima_run(values[phase::step], parameters)
    return forecast, failed


def _arima_fit(values: Floats) -> tuple[Floats, bool]:
    from statsmodels.tsa.arima.model import ARIMA

    with warnings.catch_warnings():
        warnings.simplefilter("ignore")  # a fit that does not converge is counted and told
        fit = ARIMA(values, order=ORDER, trend="t").fit()
    return np.asarray(fit.params), bool(fit.mle_retvals["converged"])


def _arima_run(values: Floats, parameters: Floats) -> Floats:
    from statsmodels.tsa.arima.model import ARIMA

    with warnings.catch_warnings():
        warnings.simplefilter("ignore")
        run = ARIMA(values, order=ORDER, trend="t").filter(parameters)
    ahead = np.asarray(run.fittedvalues, dtype=float)
    ahead[0] = np.nan
    return ahead
