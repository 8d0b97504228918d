"""What simulated providers had issued of the days ahead, at the end of every day.

Rain: with a probability that falls from 0.9 on the issue day to nothing ten days later, the number
behind the forecast is the gauge reading to come, else a reading drawn from the climate; both carry
a lognormal error. So the number has the climate's law whether it is right or not. Issued is the
mean: that number weighed by the probability, and the climate's mean by the rest.

Level: the operator's published plan, which returns from the last known level to the rule curve. It
knows no flood and no departure to come.
"""

from __future__ import annotations

from dataclasses import dataclass
from functools import cache

import numpy as np
from numpy.typing import NDArray

from core.twin import forcing
from core.twin.forcing import YEAR_DAYS
from core.twin.radar import Observed
from core.twin.seeds import Purpose, site_rng
from core.twin.truth import Truth

Floats = NDArray[np.float64]
Ints = NDArray[np.int64]

FURTHEST_D = 30
"""Last day ahead of which something is issued."""
SKILL_D = 10
"""Days ahead from which on a rain forecast is the climate's mean."""
FORECAST_LOG_SD = 0.5
"""Log standard deviation of the error of a number behind a rain forecast; its mean is one."""


@cache
def hit_probability() -> Floats:
    """Probability that the number behind a forecast is the day's own reading, (31,), read-only."""
    ahead = np.arange(FURTHEST_D + 1)
    probability = 0.9 * np.maximum(1 - ahead / SKILL_D, 0.0)
    probability.setflags(write=False)
    return probability


def climate_gauge_mm(day: Ints) -> Floats:
    """Mean gauge reading (mm/d) of days counted from 1 January, any shape."""
    mean_mm = forcing.rain_climate().mean_mm
    return np.asarray((1 - forcing.GAUGE_MISSES) * mean_mm[day % YEAR_DAYS])


@dataclass(frozen=True)
class Prospects:
    """What had been issued for S sites at the end of each of T days.

    Row h of an answer speaks of `day` + h; row 0 is `day` itself, which no gauge has told yet.
    """

    rain_issued_mm: Floats
    """(S, T, 10) expected gauge reading of the issue day and the nine days after it, mm/d."""
    level_known_m: Floats
    """(S, T) level that the plan of each issue day starts from: that of the day before, m a.s.l.;
    NaN where there is none."""

    def rain_mm(self, day: int) -> Floats:
        """Expected gauge readings of `day` .. `day` + 30 as issued at the end of `day`, (S, 31)."""
        issued = np.empty((len(self.rain_issued_mm), FURTHEST_D + 1))
        issued[:] = climate_gauge_mm(self._asked(day) + np.arange(FURTHEST_D + 1))
        issued[:, :SKILL_D] = self.rain_issued_mm[:, day]
        return issued

    def level_m(self, day: int) -> Floats:
        """Planned level of `day` .. `day` + 30 as published at the end of `day`, (S, 31)."""
        ahead = self._asked(day) + np.arange(FURTHEST_D + 1)
        rule = forcing.level_rule()
        departure = self.level_known_m[:, day] - rule[(day - 1) % YEAR_DAYS]
        departure = np.where(np.isfinite(departure), departure, 0.0)
        memory = forcing.WANDER_PERSISTENCE ** np.arange(1, FURTHEST_D + 2)
        plan = rule[ahead % YEAR_DAYS] + departure[:, None] * memory
        return np.asarray(np.clip(plan, forcing.LOWEST_LEVEL_M, forcing.HIGHEST_LEVEL_M))

    def _asked(self, day: int) -> int:
        days = self.level_known_m.shape[1]
        if not 0 <= day < days:
            raise ValueError(f"nothing was issued on day {day}: the record has {days} days")
        return day


def prospects(truth: Truth, seen: Observed) -> Prospects:
    """Issue forecasts of rain and plans of level for every day of a record.

    Each site's are drawn from its own seed. Days past the end of the record have no reading to
    forecast, so the number behind their forecast is drawn from the climate.
    """
    issued = [
        _issue_rain(int(seed), gauge)
        for seed, gauge in zip(truth.seeds, seen.gauge_mm, strict=True)
    ]
    known = np.full_like(seen.level_m, np.nan)
    known[:, 1:] = seen.level_m[:, :-1]
    return Prospects(np.stack(issued), known)


def _issue_rain(seed: int, gauge_mm: Floats) -> Floats:
    """Rain issued for one site, (T, 10), from its gauge (T,)."""
    rng = site_rng(seed, Purpose.PROSPECTS)
    days = len(gauge_mm)
    target = np.arange(days)[:, None] + np.arange(SKILL_D)
    probability = hit_probability()[:SKILL_D]
    hit = (rng.random(target.shape) < probability) & (target < days)
    reading = np.where(hit, gauge_mm[np.minimum(target, days - 1)], draw_climate_gauge(rng, target))
    error = np.exp(rng.normal(0.0, FORECAST_LOG_SD, target.shape) - FORECAST_LOG_SD**2 / 2)
    climate = climate_gauge_mm(target)
    return np.asarray(probability * reading * error + (1 - probability) * climate)


def draw_climate_gauge(rng: np.random.Generator, day: Ints) -> Floats:
    """Draw gauge readings (mm/d) of `day`, any shape, each independent of every other."""
    climate, season = forcing.rain_climate(), day % YEAR_DAYS
    wet = rng.random(day.shape) < climate.share_wet[season]
    amount = rng.standard_gamma(forcing.RAIN_SHAPE, day.shape) * climate.wet_day_scale_mm(season)
    rain = np.where(wet, np.minimum(amount, forcing.HIGHEST_RAIN_MM), 0.0)
    return forcing.read_gauge(rng, rain)
