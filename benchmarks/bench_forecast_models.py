"""Forecasts of a large site: every model of the ladder, one issue of all series at once.

One slope's rain and level, 200 epochs 12 days apart, series of simulated motion with season and
noise. A model is fitted once on 300 of the series and its parameters are repeated for the others,
since fits are monthly and not what a closed day waits for. Then one issue from `Known` to `Path` is
timed, three times, and the best counts. There is no peer: the budget of a closed day is 2 s for all
models of the ladder. A model whose weights are not there is named and left out.
"""

from __future__ import annotations

from dataclasses import dataclass
from functools import partial

import numpy as np

from benchmarks.frame import Table, best
from core import plugins
from core.errors import SlopewatchError
from services.inference.known import FURTHEST_D, Drivers, Known, Setting
from services.inference.model import MODELS, Model, Parameters

LADDER = ("persistence", "kalman", "kalman_transfer", "boosting")
OTHERS = ("persistence_rate", "linear", "last_year", "harmonic", "transfer", "gaussian_process")
REPEAT_D = 12
FITTED = 300


@dataclass
class Record:
    """A history of S series of one place."""

    epochs: int
    series: int
    first_day: int = 0

    def known(self, day: int) -> Known:
        """Everything up to `day`; drivers were issued from then on."""
        rng = np.random.default_rng(20180106)
        days = self.epochs * REPEAT_D + 4 * FURTHEST_D
        taken = np.arange(self.epochs) * REPEAT_D
        rate = -0.2 - 0.15 * np.cos(2 * np.pi * np.arange(days) / 365.25)
        size = rng.uniform(0.2, 2.0, self.series)
        shown = np.cumsum(rate)[taken][:, None] * size + rng.normal(
            0, 3, (self.epochs, self.series)
        )
        arrived = taken + 2 <= day
        end = day + FURTHEST_D + 1
        rain = rng.gamma(0.3, 12.0, (days, 1))[:end]
        level = 160.0 + 12.0 * np.cos(2 * np.pi * np.arange(days) / 365.25)[:end, None]
        issued = (np.arange(end) >= day)[:, None]
        ones = np.ones(self.series)
        return Known(
            day=day,
            epoch_day=np.repeat(taken[arrived, None], self.series, axis=1),
            los_mm=shown[arrived],
            sd_mm=np.full((int(arrived.sum()), self.series), 3.0),
            place=np.zeros(self.series, np.int64),
            drivers=Drivers(0, rain, level, issued, issued),
            setting=Setting(-0.4 * ones, 200.0 * ones, 50.0 * ones, 0.5 * ones),
        )


def repeated(parameters: Parameters, fitted: int, series: int) -> Parameters:
    """Parameters of `series` series from those of `fitted`, in turn."""
    who = np.arange(series) % fitted
    result = {}
    for name, values in parameters.items():
        axes = [axis for axis, size in enumerate(values.shape) if size == fitted]
        result[name] = np.take(values, who, axis=axes[-1 if name == "sd_mm" else 0])
    return result


def run(quick: bool) -> list[Table]:
    """Time every model that can be opened."""
    series, epochs, fitted = (200, 40, 20) if quick else (5000, 200, FITTED)
    day = epochs * REPEAT_D
    known = Record(epochs, series).known(day)
    small = Record(epochs, fitted)
    rows, notes, total = [], [], 0.0
    for name in (*LADDER, *OTHERS):
        try:
            module = plugins.load(MODELS, name)
            model: Model = module.open(module.Settings())
        except SlopewatchError as error:
            notes.append(f"{name} left out: {error}")
            continue
        parameters = repeated(model.fit(small, day), fitted, series)
        seconds, _ = best(partial(model.forecast, parameters, known))
        total += seconds if name in LADDER else 0.0
        ladder = "yes" if name in LADDER else ""
        rows.append((name, f"{seconds * 1e3:.0f}", f"{series / seconds:,.0f}", ladder))
    rows.append(("the ladder together", f"{total * 1e3:.0f}", "", "yes"))
    columns = ("model", "ms an issue", "series a second", "ladder")
    title = f"Forecasts of {series:,} series, {epochs} epochs, 31 days ahead"
    return [Table(title, columns, tuple(rows), tuple(notes))]
