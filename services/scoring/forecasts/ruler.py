"""What forecasts of a pool are held against: targets, groups, and the draws of all intervals."""

from __future__ import annotations

from collections.abc import Iterator
from typing import Final, NamedTuple

import numpy as np

from core.evidence import Floats
from services.inference.known import Flags, Ints
from services.inference.model import HORIZONS_D
from services.inference.trust.groups import RATE_AHEAD_D, RATE_SHARES, RATES, SEASONS, season_of
from services.scoring.forecasts.folds import FOLDS, block_of
from services.scoring.forecasts.issue import Issued, Singles, targets
from services.scoring.forecasts.resample import Cells, Draws, cells, draws
from services.scoring.forecasts.series import PoolHistory
from services.scoring.score import Interval

ZONES: Final = ("toe", "middle", "ridge")


class Group(NamedTuple):
    """Some of the forecasts: `part` of which division, and which, (I, S)."""

    division: str
    part: str
    inside: Flags


class Ruler:
    """Targets and groups of I issue days and S series; every score of a run uses one."""

    def __init__(self, history: PoolHistory, day: Ints, fold: Ints) -> None:
        truth = history.pool.truth
        self.day, self.fold = day, fold
        self.target_mm: Singles = targets(history, day)
        self.last_mm: Floats = np.stack([last_measured(history, int(d)) for d in day])
        self.sites, self.series = history.sites, history.place.size
        self.place = history.place
        self.los_factor = history.setting.los_factor
        blocks, self.block = np.unique(block_of(day), return_inverse=True)
        self.blocks = blocks.size
        self.season = np.array([season_of(int(d)) for d in day])
        self.zone = np.minimum((history.setting.position * 3).astype(np.int64), 2)
        kinds = [f"{d}, {h}" for d, h in zip(truth.drainage, truth.hydrology_family, strict=True)]
        self.site_classes = tuple(sorted(set(kinds)))
        self.site_class = np.array([self.site_classes.index(k) for k in kinds])[self.place]
        self.draws: Draws = draws(self.sites, self.blocks)

    def error_mm(self, issued: Issued, horizon: int) -> Floats:
        """Predicted less true displacement `horizon` days ahead, (I, S)."""
        said = issued.displacement_mm[:, horizon].astype(np.float64)
        return np.asarray(said - self.target_mm[:, horizon])

    def cells(self, values: Floats, inside: Flags | None = None) -> Cells:
        """Cells of values (I, S), where `inside`."""
        kept = values if inside is None else np.where(inside, values, np.nan)
        return cells(kept, self.block, self.sites, self.blocks)

    def groups(self, rate_from: Issued) -> Iterator[Group]:
        """All divisions by what is known at issue, and by kind of site, which nobody is told.

        The predicted rates of `rate_from` divide the forecasts of all models alike.
        """
        everywhere = np.ones((self.day.size, self.series), np.bool_)
        for fold in range(FOLDS):
            yield Group("fold", f"{fold + 1}", everywhere & (self.fold == fold)[:, None])
        for season, name in enumerate(SEASONS):
            yield Group("season", name, everywhere & (self.season == season)[:, None])
        for zone, name in enumerate(ZONES):
            yield Group("zone", name, everywhere & (self.zone == zone))
        rate = predicted_rate(rate_from)
        edges = np.nanquantile(rate, RATE_SHARES)
        classes = np.searchsorted(edges, rate, side="right")
        for one, name in enumerate(RATES):
            yield Group("predicted rate", name, classes == one)
        for one, name in enumerate(self.site_classes):
            yield Group("site", name, everywhere & (self.site_class == one))


def predicted_rate(issued: Issued) -> Floats:
    """Size of the predicted mean LOS rate over the next 12 days, (I, S) mm/d."""
    ahead = issued.displacement_mm[:, RATE_AHEAD_D] - issued.displacement_mm[:, 0]
    return np.asarray(np.abs(ahead).astype(np.float64) / RATE_AHEAD_D)


def last_measured(history: PoolHistory, day: int) -> Floats:
    """Value of each series' last arrived epoch (S,), mm; NaN without any."""
    los = history.known(day).los_mm
    count = np.isfinite(los).sum(axis=0)
    last = np.take_along_axis(los, np.maximum(count - 1, 0)[None], axis=0)[0]
    return np.asarray(np.where(count > 0, last, np.nan))


class Table(NamedTuple):
    """One result: a title, column heads, rows of text, and remarks below."""

    title: str
    columns: tuple[str, ...]
    rows: tuple[tuple[str, ...], ...]
    notes: tuple[str, ...] = ()


def shown(value: Interval, digits: int = 2) -> str:
    """An estimate with its interval as text."""
    if not np.isfinite(value.value):
        return "-"
    return f"{value.value:.{digits}f} [{value.low:.{digits}f}, {value.high:.{digits}f}]"


AHEAD: Final = tuple(f"+{h} d" if h else "nowcast" for h in HORIZONS_D)
