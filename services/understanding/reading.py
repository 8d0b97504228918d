"""Everything that is read from one record at one day."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass

import numpy as np

from core.errors import BadInputError, SlopewatchError
from core.evidence import Floats
from services.inference.known import History, Known
from services.understanding.along_slope import along_slope
from services.understanding.basis import DailyDrivers, observed_drivers
from services.understanding.independence import Independence, independence
from services.understanding.lagmap import LagMap, lag_map
from services.understanding.network_shares import NetworkShares, network_shares
from services.understanding.rhythm import SURROGATES, Rhythm, driver_steps, rates_of, rhythm
from services.understanding.shares import Shares, driver_shares, inflation


@dataclass(frozen=True)
class Reading:
    """What moves S series, as known at the end of `day`."""

    day: int
    names: tuple[str, ...]
    known: Known
    drivers: DailyDrivers
    lags: LagMap
    shares: Shares
    """Of each series by itself."""
    rain_share: Floats
    """(S,) pooled along each slope where distances are known."""
    inflation: Floats
    """(3, D) of rain, drawdown and level."""
    ridge: int
    """Series that stands for the ridge, and the one for the toe."""
    toe: int
    rhythms: tuple[Rhythm, ...]
    tests: dict[str, tuple[Independence | None, ...]]
    """By driver: each series, None where it has too few steps."""
    network: NetworkShares | str = ""
    """Shares in the forecasts of MUSEnetC, or why there are none; empty where none were asked."""

    @property
    def placed(self) -> bool:
        """Whether it is known where `ridge` and `toe` lie; else they are what rain and the
        reservoir explain best."""
        ends = [self.ridge, self.toe]
        return any(bool(np.isfinite(part[ends]).all()) for part in _along(self.known))


def read(
    history: History,
    day: int,
    names: Sequence[str] | None = None,
    *,
    surrogates: int = SURROGATES,
    network: bool = False,
    seed: int = 0,
) -> Reading:
    """Read a record.

    Args:
        history: a site's archive or a pool.
        day: as known at its end.
        names: of the series; their numbers without it.
        surrogates: for coherence; tests of independence take a fifth.
        network: whether MUSEnetC's forecasts are asked too, which takes a minute or so.
        seed: of all draws.

    Raises:
        BadInputError: drivers are missing, or no series can be read.
    """
    known = history.known(day)
    drivers = observed_drivers(known)
    lags = lag_map(known, seed=seed)
    if all(lags.reason):
        raise BadInputError(
            f"no series can be read on day {day}: the first one has {lags.reason[0]}"
        )
    shares = driver_shares(known)
    pooled = along_slope(shares.rain, known.setting.bank_distance_m, known.place)
    ridge, toe = _ends(known, lags)
    follows = "level" if bool(lags.follows_level[toe]) else "drawdown"
    rhythms = tuple(
        rhythm(known, drivers, series, driver, surrogates=surrogates, seed=seed)
        for series, driver in ((ridge, "rain"), (toe, follows))
    )
    tests = {
        driver: tuple(
            _test(known, drivers, series, driver, max(surrogates // 5, 99), seed)
            for series in range(known.series)
        )
        for driver in ("rain", "level")
    }
    return Reading(
        day=day,
        names=tuple(names or (str(n) for n in range(known.series))),
        known=known,
        drivers=drivers,
        lags=lags,
        shares=shares,
        rain_share=pooled,
        inflation=inflation(drivers.rain_mm, drivers.level_m),
        ridge=ridge,
        toe=toe,
        rhythms=rhythms,
        tests=tests,
        network=_network(history, day) if network else "",
    )


def _network(history: History, day: int) -> NetworkShares | str:
    try:
        return network_shares(history, day)
    except SlopewatchError as error:
        return str(error)


def _along(known: Known) -> tuple[Floats, Floats, Floats]:
    """What tells the order of series along a slope, the best first; NaN where unknown."""
    setting = known.setting
    return setting.bank_distance_m, setting.height_m, setting.position


def _ends(known: Known, lags: LagMap) -> tuple[int, int]:
    """Series farthest from the bank and nearest to it, of those with lags.

    Without distances, the highest and lowest; without heights, those that rain and the reservoir
    explain best.
    """
    usable = np.flatnonzero([not reason for reason in lags.reason])
    for along in _along(known):
        where = along[usable]
        if np.isfinite(where).any():
            return int(usable[np.nanargmax(where)]), int(usable[np.nanargmin(where)])
    rain, water = lags.rain.correlation[usable], lags.reservoir().correlation[usable]
    return int(usable[np.nanargmax(rain)]), int(usable[np.nanargmax(water)])


def _test(
    known: Known, drivers: DailyDrivers, series: int, driver: str, surrogates: int, seed: int
) -> Independence | None:
    try:
        rates = rates_of(known, drivers, series)
        values = driver_steps(drivers, driver, int(known.place[series]), rates)
        return independence(values, rates.rate_mm_d[0], surrogates=surrogates, seed=seed)
    except BadInputError:
        return None
