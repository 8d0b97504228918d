"""Forecast models so plain that what they must say can be told by hand."""

from __future__ import annotations

import numpy as np

from core.evidence import Floats
from services.inference.known import History, Known
from services.inference.model import Parameters, Path


def last_value(known: Known) -> Floats:
    """(S,) NaN without any."""
    count = np.isfinite(known.los_mm).sum(axis=0)
    value = np.take_along_axis(known.los_mm, np.maximum(count - 1, 0)[None], axis=0)[0]
    return np.asarray(value)


class Stays:
    """The last value, for thirty days."""

    needs: frozenset[str] = frozenset()

    def __init__(self, name: str = "persistence", off_mm: float = 0.0) -> None:
        self.name = name
        self.off_mm = off_mm

    def fit(self, history: History, day: int) -> Parameters:
        return {}

    def forecast(self, parameters: Parameters, known: Known) -> Path:
        path = np.repeat(last_value(known)[None] + self.off_mm, 31, axis=0)
        return Path(path, np.full_like(path, 3.0))


class Drifts:
    """The last value, and a line fitted at the origin."""

    needs: frozenset[str] = frozenset()

    def __init__(self, name: str = "kalman") -> None:
        self.name = name

    def fit(self, history: History, day: int) -> Parameters:
        known = history.known(day)
        rates = []
        for days, values in zip(known.epoch_day.T, known.los_mm.T, strict=True):
            good = np.isfinite(values)
            rates.append(np.polyfit(days[good] - day, values[good], 1)[0])
        return {"rate_mm_d": np.array(rates)}

    def forecast(self, parameters: Parameters, known: Known) -> Path:
        ahead = np.arange(31.0)[:, None] + (known.day - known.epoch_day[-1])
        path = last_value(known) + ahead * parameters["rate_mm_d"]
        return Path(path, 3.0 + 0.1 * ahead)


class Rains:
    """The last value, and a hundredth of a millimetre for each of rain, issued or read."""

    name = "kalman_transfer"
    needs = frozenset({"rain"})

    def fit(self, history: History, day: int) -> Parameters:
        past = history.known(day)
        return {"mean_mm": past.drivers.rain_mm[: day - past.drivers.first_day].mean(axis=0)}

    def forecast(self, parameters: Parameters, known: Known) -> Path:
        rain = known.drivers.rain_mm[known.day - known.drivers.first_day - 30 :]
        effect = 0.01 * np.cumsum(rain - parameters["mean_mm"], axis=0)[30:, known.place]
        path = last_value(known) + effect
        return Path(path, np.full_like(path, 4.0))


class Broken:
    """Cannot be fitted."""

    name = "broken"
    needs: frozenset[str] = frozenset()

    def fit(self, history: History, day: int) -> Parameters:
        raise ValueError("no weights here")

    def forecast(self, parameters: Parameters, known: Known) -> Path:
        raise AssertionError
