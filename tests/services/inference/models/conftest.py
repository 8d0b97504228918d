"""Small records for the forecast models: made by hand, and from a tiny simulated pool."""

from dataclasses import dataclass, field

import numpy as np
import pytest

from core.twin.pools import forecast_pool
from services.inference.known import FURTHEST_D, Drivers, Known, Setting
from services.scoring.forecasts.series import PoolHistory


@dataclass
class MadeHistory:
    """Epochs arrive two days after they are taken; rain and level a day after their day."""

    epoch_day: np.ndarray
    los_mm: np.ndarray
    sd_mm: np.ndarray
    place: np.ndarray
    rain_mm: np.ndarray
    level_m: np.ndarray
    first_day: int = 0
    asked: list[int] = field(default_factory=list)

    def known(self, day: int) -> Known:
        self.asked.append(day)
        here = (self.epoch_day + 2 <= day).all(axis=1)
        rows = np.nonzero(here)[0]
        end = day - self.first_day + FURTHEST_D + 1
        issued = np.zeros((end, self.rain_mm.shape[1]), np.bool_)
        issued[day - self.first_day :] = True
        series = self.place.size
        nothing = np.full(series, np.nan)
        return Known(
            day=day,
            epoch_day=self.epoch_day[rows],
            los_mm=self.los_mm[rows],
            sd_mm=self.sd_mm[rows],
            place=self.place,
            drivers=Drivers(
                self.first_day, self.rain_mm[:end], self.level_m[:end], issued, issued.copy()
            ),
            setting=Setting(nothing, nothing, nothing, nothing),
        )


def made_history(rate_mm_d=0.0, days=1400, series=2, sd_mm=1.0, seed=0) -> MadeHistory:
    """Series that move at `rate_mm_d` (T,) or a number, without noise; rain, a seasonal level."""
    rng = np.random.default_rng(seed)
    epochs = np.arange(3, days, 12)
    moved = np.cumsum(np.broadcast_to(np.asarray(rate_mm_d, float), days))
    shown = np.repeat((moved[epochs] - moved[epochs[0]])[:, None], series, axis=1)
    rain = rng.gamma(0.3, 12.0, (days + FURTHEST_D + 1, 1))
    level = 160.0 + 12.0 * np.cos(2 * np.pi * np.arange(days + FURTHEST_D + 1) / 365.0)[:, None]
    return MadeHistory(
        np.repeat(epochs[:, None], series, axis=1),
        shown,
        np.full(shown.shape, sd_mm),
        np.zeros(series, np.int64),
        rain,
        level,
    )


@pytest.fixture(scope="session")
def make_history():
    """`made_history`."""
    return made_history


@pytest.fixture(scope="session")
def tiny_pool():
    """Two simulated development sites, twelve series."""
    return PoolHistory(forecast_pool("development", "white-3", 2, check=False))
