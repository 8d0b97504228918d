"""Forecasts once issued, as models and as the history of one site, for the service's own gate."""

from __future__ import annotations

from dataclasses import replace

import numpy as np

from services.inference.known import FURTHEST_D, Known
from services.inference.model import Parameters, Path
from services.inference.trust.inner import FOLD_D, Scores, forecast_fold
from services.scoring.forecasts.issue import Issued
from services.scoring.forecasts.series import PoolHistory
from services.scoring.forecasts.skill import Said


class Replay:
    """A model that repeats what was issued last, of all sites or of one.

    Between issue days it reads the last forecast at the days asked for: up to five days old, and
    silent past its thirtieth day.
    """

    needs: frozenset[str] = frozenset()

    def __init__(self, issued: Issued, series: slice = slice(None)) -> None:
        self.name = issued.name
        self._issued = issued
        self._series = series

    def fit(self, history: object, day: int) -> Parameters:
        """Nothing: the fit is that of the forecasts."""
        return {}

    def forecast(self, parameters: Parameters, known: Known) -> Path:
        """The last forecast issued by `known.day`; NaN where there is none, or where it ends."""
        row = int(np.searchsorted(self._issued.day, known.day, side="right")) - 1
        told = np.full((2, FURTHEST_D + 1, known.series), np.nan)
        age = known.day - int(self._issued.day[row])
        if row >= 0 and age <= FURTHEST_D:
            left = slice(FURTHEST_D + 1 - age)
            told[0, left] = self._issued.displacement_mm[row, age:, self._series]
            told[1, left] = self._issued.sd_mm[row, age:, self._series]
        return Path(*told)


class SiteHistory:
    """One site of a pool as a record of its own."""

    def __init__(self, history: PoolHistory, site: int) -> None:
        self._history = history
        self._site = site

    @property
    def first_day(self) -> int:
        """Of the record."""
        return self._history.first_day

    def known(self, day: int) -> Known:
        """What was known of this site."""
        return site_known(self._history.known(day), self._site, self._history.points)


def site_known(known: Known, site: int, points: int) -> Known:
    """What was known of one site of a pool; it is place 0."""
    own, one = slice(site * points, (site + 1) * points), slice(site, site + 1)
    drivers = known.drivers
    return replace(
        known,
        epoch_day=known.epoch_day[:, own],
        los_mm=known.los_mm[:, own],
        sd_mm=known.sd_mm[:, own],
        place=np.zeros(points, np.int64),
        drivers=drivers._replace(
            rain_mm=drivers.rain_mm[:, one],
            level_m=drivers.level_m[:, one],
            rain_issued=drivers.rain_issued[:, one],
            level_issued=drivers.level_issued[:, one],
        ),
        setting=type(known.setting)(*(values[own] for values in known.setting)),
    )


def inner_year(history: PoolHistory, said: Said, origin: int, site: int | None = None) -> Scores:
    """The year before an origin as the service's inner fold, from forecasts already issued in it.

    Of all sites, or of one. Nothing that arrived or was issued after the origin is looked at.
    """
    points = history.points
    series = slice(None) if site is None else slice(site * points, (site + 1) * points)
    models = {name: Replay(one, series) for name, one in said.items()}
    record = history if site is None else SiteHistory(history, site)
    nothing: dict[str, Parameters] = {name: {} for name in models}
    return forecast_fold(record, models, nothing, origin - FOLD_D, origin)
