"""Rain and reservoir level of the days to come, drawn from the laws that made those behind.

Rain is drawn given what had been issued. With probability p_h the number f behind the forecast of
day h is that day's gauge reading times an error, else a reading of the climate times an error; so
f speaks for or against a wet day, and where it is the day's own, for an amount. Wet and dry days
are drawn together from the Markov chain so weighed (backward messages, forward draws).
"""

from __future__ import annotations

from typing import NamedTuple

import numpy as np
from numpy.typing import NDArray
from scipy.signal import lfilter
from scipy.special import gamma

from core.twin import forcing
from core.twin.forcing import YEAR_DAYS, LevelTarget
from core.twin.prospects import FORECAST_LOG_SD, climate_gauge_mm, hit_probability

Floats = NDArray[np.float64]
Ints = NDArray[np.int64]

AHEAD_D = 30
_LEAST_MM = 1e-6
"""A number behind a forecast that is less stands for a dry reading."""
_LOG_ERROR_VARIANCE = forcing.GAUGE_LOG_SD**2 + FORECAST_LOG_SD**2
_Z = np.linspace(-6.0, 6.0, 241)
_NORMAL = np.exp(-(_Z**2) / 2) / np.exp(-(_Z**2) / 2).sum()


class _Evidence(NamedTuple):
    """What the issued forecast says of each day ahead, (30,) or (30, 241)."""

    dry: Floats
    """Likelihood of a dry day, and of a wet one."""
    wet: Floats
    hit: Floats
    """Probability that f > 0 is the day's own reading, if the day is wet."""
    log_rain: Floats
    """Amounts that may be behind f if it is, and their cumulated probability."""
    cumulated: Floats


def draw_rain_futures(
    rng: np.random.Generator,
    members: int,
    day: int,
    rain_mm: float,
    year_factor: float,
    issued_mm: Floats | None,
) -> Floats:
    """Draw rain of the 30 days after `day`.

    Args:
        rng: generator.
        members: number of futures.
        day: counted from a 1 January.
        rain_mm: rain of `day` itself.
        year_factor: how much wetter than the mean the year of `day` is; the next year's is drawn.
        issued_mm: expected gauge readings of `day` .. `day` + 30 as issued at the end of `day`,
            shape (31,); None for none.

    Returns:
        Rain in mm/d, shape (members, 30).
    """
    ahead = day + np.arange(1, AHEAD_D + 1)
    climate, season = forcing.rain_climate(), ahead % YEAR_DAYS
    same_year = ahead // YEAR_DAYS == day // YEAR_DAYS
    scale = climate.wet_day_scale_mm(season)
    evidence = _weigh(ahead, scale * np.where(same_year, year_factor, 1.0), issued_mm)
    wet = _draw_wet(rng, members, rain_mm > 0, season, evidence)
    next_factor = forcing.draw_year_factor(rng, members)[:, None]
    factor = np.where(same_year, year_factor, next_factor)
    amount = rng.standard_gamma(forcing.RAIN_SHAPE, wet.shape) * scale * factor
    hit = rng.random(wet.shape) < evidence.hit
    level = rng.random(wet.shape)
    for column in np.flatnonzero(evidence.hit > 0):
        log_rain = np.interp(
            level[:, column], evidence.cumulated[column], evidence.log_rain[column]
        )
        amount[:, column] = np.where(hit[:, column], np.exp(log_rain), amount[:, column])
    return np.asarray(np.where(wet, np.minimum(amount, forcing.HIGHEST_RAIN_MM), 0.0))


def _weigh(ahead: Ints, scale_mm: Floats, issued_mm: Floats | None) -> _Evidence:
    probability = hit_probability()[1:] if issued_mm is not None else np.zeros(AHEAD_D)
    told = probability > 0
    number = np.zeros(AHEAD_D)
    if issued_mm is not None:
        rest = (1 - probability) * climate_gauge_mm(ahead)
        number[told] = ((issued_mm[1:] - rest) / np.where(told, probability, 1.0))[told]
    positive = told & (number > _LEAST_MM)
    seen = 1 - forcing.GAUGE_MISSES
    climate, season = forcing.rain_climate(), ahead % YEAR_DAYS
    share = climate.share_wet[season]

    log_number = np.log(np.where(positive, number, 1.0))
    spread = np.sqrt(_LOG_ERROR_VARIANCE)
    log_rain = log_number[:, None] + _LOG_ERROR_VARIANCE / 2 + spread * _Z
    own = _NORMAL * _log_density(log_rain, scale_mm)
    other = (_NORMAL * _log_density(log_rain, climate.wet_day_scale_mm(season))).sum(axis=1)

    by_chance = (1 - probability) * np.where(positive, seen * share * other, 1 - seen * share)
    by_own = probability * np.where(positive, seen * own.sum(axis=1), 1 - seen)
    dry = by_chance + np.where(positive, 0.0, probability)
    wet = by_chance + by_own
    cumulated = np.cumsum(own, axis=1)
    return _Evidence(
        dry=np.where(told, dry, 1.0),
        wet=np.where(told, wet, 1.0),
        hit=np.where(positive, by_own / wet, 0.0),
        log_rain=log_rain,
        cumulated=cumulated / cumulated[:, -1:],
    )


def _log_density(log_rain: Floats, scale_mm: Floats) -> Floats:
    """Density of the logarithm of a wet day's rain, (30, 241)."""
    relative = np.exp(log_rain) / scale_mm[:, None]
    shape = forcing.RAIN_SHAPE
    return np.asarray(relative**shape * np.exp(-relative) / gamma(shape))


def _draw_wet(
    rng: np.random.Generator, members: int, wet_now: bool, season: Ints, evidence: _Evidence
) -> NDArray[np.bool_]:
    """Draw which days are wet given the evidence, (members, 30)."""
    climate = forcing.rain_climate()
    turn = np.stack([climate.wet_after_dry[season], climate.wet_after_wet[season]])
    chance = np.empty((2, AHEAD_D))
    message_dry = message_wet = 1.0
    for day in range(AHEAD_D - 1, -1, -1):
        wet = turn[:, day] * (evidence.wet[day] * message_wet)
        both = wet + (1 - turn[:, day]) * (evidence.dry[day] * message_dry)
        chance[:, day] = wet / both
        message_dry, message_wet = both / both.sum()
    draw = rng.random((members, AHEAD_D))
    result = np.empty((members, AHEAD_D), dtype=np.bool_)
    now = np.full(members, wet_now)
    for day in range(AHEAD_D):
        result[:, day] = now = draw[:, day] < np.where(now, chance[1, day], chance[0, day])
    return result


def draw_level_futures(
    rng: np.random.Generator, members: int, day: int, level_m: float, parts: LevelTarget
) -> Floats:
    """Draw the reservoir level of the 30 days after `day`.

    The rule curve goes on, the wander starts from its present value, floods that have begun by
    `day` take their course and others begin by chance.

    Args:
        rng: generator.
        members: number of futures.
        day: counted from the 1 January that `parts` begin with.
        level_m: level of `day`.
        parts: what the operator's target is made of; nothing of later days is used.

    Returns:
        Level in m a.s.l., shape (members, 30).
    """
    memory = forcing.WANDER_PERSISTENCE
    innovations = rng.normal(0.0, forcing.WANDER_SD_M, (members, AHEAD_D))
    start = np.full((members, 1), memory * parts.wander_m[day])
    wander, _ = lfilter([1.0], [1.0, -memory], innovations, axis=1, zi=start)
    begun = [flood for flood in parts.floods if flood[0] <= day]
    floods = np.tile(forcing.lay_floods(begun, day + 1, AHEAD_D), (members, 1))
    ahead = day + np.arange(1, AHEAD_D + 1)
    first, last = forcing.FLOOD_SEASON
    in_season = (ahead % YEAR_DAYS >= first) & (ahead % YEAR_DAYS < last)
    daily = forcing.FLOODS_A_YEAR / (last - first)
    count = rng.poisson(np.where(in_season, daily, 0.0), (members, AHEAD_D))
    for member, column in np.argwhere(count):
        for _ in range(count[member, column]):
            pulse = forcing.draw_flood(rng)[: AHEAD_D - column]
            floods[member, column : column + len(pulse)] += pulse
    target = forcing.level_target(ahead, wander, floods)
    return forcing.steer_level(target, np.full(members, level_m))
