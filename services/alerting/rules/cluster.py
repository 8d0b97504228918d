"""Cluster: do several neighbouring points of the unit move surely faster than a limit?

A unit's mean can hide a part of the slope that runs away. A level is asked for where, at 2 of the
last 3 epochs, at least 3 points that hang together surely passed its limit, or at least 15 % of the
unit's points did. Surely: the point's filtered rate less 1.645 standard deviations. Points hang
together where a chain of steps of at most 150 m, from point to point past the limit, joins them
(single linkage). In a unit of fewer than seven points one point is 15 % of them.

No limit ships: the six points of a simulated slope cannot calibrate the rule, so it has a vote only
where a site's file gives limits. Evidence holds points after the last three epochs alone, so the
rule speaks of the newest epoch and asks for nothing before it.

Sources: F. Raspini et al., Scientific Reports 8 (2018) 7253 for clusters of anomalous points; R.
Sibson, The Computer Journal 16 (1973) 30-34 for single linkage.
"""

from __future__ import annotations

import math
from typing import NamedTuple

import numpy as np
from pydantic import Field
from scipy.sparse import coo_array
from scipy.sparse.csgraph import connected_components
from scipy.spatial import KDTree

from core.events import Vote
from core.evidence import Evidence, Floats
from core.settings import Tree
from services.alerting.rule import LevelIndex, highest, level_of, silent, uncalibrated
from services.alerting.statistic import (
    Direction,
    component_of,
    danger_signs,
    mm_yr_downslope,
)
from services.alerting.thresholds import Overrides, ThresholdTable

NAME = "cluster"
QUANTILE = 1.6448536269514722
"""Standard deviations below which 5 % of a normal distribution lie."""
HITS = 2
"""Of the last three epochs, how many must pass."""
_METRES_A_DEGREE = 111_195.0

__all__ = ["NAME", "Cluster", "Settings", "largest_cluster", "open", "statistic"]


class Settings(Tree):
    """How many points make a cluster, how near they are, and their limits."""

    distance_m: float = Field(150.0, gt=0, description="longest step between points of a cluster")
    points: int = Field(3, ge=2, description="points past the limit that make a cluster")
    share: float = Field(
        0.15, gt=0, le=1, description="or this part of the unit's points, wherever they lie"
    )
    direction: Direction = Field(
        "either",
        description="of line-of-sight motion, where the downslope direction is not known or the "
        "line of sight sees less than a fifth of it; either: both sides are watched",
    )
    thresholds_mm_per_year: Overrides = Field(
        Overrides(), description="no limits ship: without these the rule has no vote"
    )


class Points(NamedTuple):
    """Judged points of one unit on one side: metres east and north (N, 2), rate mm/yr (N,)."""

    place_m: Floats
    surely_mm_yr: Floats


class Past(NamedTuple):
    """How many points of a unit surely passed a limit, their share, and the largest cluster."""

    points: int
    share: float
    cluster: int


def largest_cluster(place_m: Floats, distance_m: float) -> int:
    """Points (N, 2) in the largest group that steps of at most `distance_m` join."""
    count = len(place_m)
    if not count:
        return 0
    pairs = KDTree(place_m).query_pairs(distance_m, output_type="ndarray")
    steps = coo_array((np.ones(len(pairs)), (pairs[:, 0], pairs[:, 1])), shape=(count, count))
    return int(np.bincount(connected_components(steps, directed=False)[1]).max())


def statistic(evidence: Evidence, settings: Settings) -> Floats:
    """Highest limit (..., epoch, unit), mm/yr, at which the rule would ask, at the newest epoch.

    Minus infinity at every epoch before, and of a batch, which has no points of its own.
    """
    found = np.full(evidence.velocity_mm_d.shape, -np.inf)
    if found.ndim == 2 and len(found):
        for unit in range(len(evidence.units)):
            found[-1, unit] = max(
                _highest_limit(side, settings) for side in _sides(evidence, unit, settings)
            )
    return found


def past_limit(points: Points, limit: float, settings: Settings) -> Past:
    """What of one side surely passes `limit`, mm/yr."""
    over = points.surely_mm_yr >= limit
    count = int(over.sum())
    share = count / len(over) if len(over) else 0.0
    return Past(count, share, largest_cluster(points.place_m[over], settings.distance_m))


def _asks(past: Past, settings: Settings) -> bool:
    return past.cluster >= settings.points or (past.points > 0 and past.share >= settings.share)


def _highest_limit(points: Points, settings: Settings) -> float:
    """By halving over the points' rates: a lower limit never makes a cluster or a share smaller."""
    rates = np.sort(points.surely_mm_yr[np.isfinite(points.surely_mm_yr)])
    low, high = -1, len(rates)
    while high - low > 1:
        middle = (low + high) // 2
        if _asks(past_limit(points, rates[middle], settings), settings):
            low = middle
        else:
            high = middle
    return float(rates[low]) if low >= 0 else -math.inf


def _sides(evidence: Evidence, unit: int, settings: Settings) -> list[Points]:
    """The unit's judged points toward danger; both sides where either may be."""
    mine = evidence.point_unit == unit
    factor = evidence.los_factor[[unit]]
    sign = int(danger_signs(factor, settings.direction)[0])
    rates = evidence.point_velocity_mm_d[:, mine]
    sds = evidence.point_velocity_sd_mm_d[:, mine]
    judged = (np.isfinite(rates) & np.isfinite(sds)).sum(axis=0) >= HITS
    place = _metres(evidence.point_lon[mine], evidence.point_lat[mine])[judged]
    sides = []
    for side in (sign,) if sign else (1, -1):
        surely = side * rates[:, judged] - QUANTILE * sds[:, judged]
        surely = mm_yr_downslope(surely[..., np.newaxis], factor)[..., 0]
        ranked = np.sort(np.where(np.isnan(surely), -np.inf, surely), axis=0)
        sides.append(Points(place, ranked[-HITS]))
    return sides


def _metres(lon: Floats, lat: Floats) -> Floats:
    """Metres east and north of the middle (N, 2), good to a thousandth over some kilometres.

    Places that are not known lie apart from each other: they make no cluster.
    """
    known = np.isfinite(lon) & np.isfinite(lat)
    if not known.any():
        return np.column_stack([np.arange(1.0, lon.size + 1.0) * 1e9, np.zeros(lon.size)])
    lon0, lat0 = lon[known].mean(), lat[known].mean()
    east = (lon - lon0) * _METRES_A_DEGREE * math.cos(math.radians(lat0))
    north = (lat - lat0) * _METRES_A_DEGREE
    apart = 1e9 * np.arange(1.0, lon.size + 1.0)
    return np.column_stack([np.where(known, east, apart), np.where(known, north, 0.0)])


class Cluster:
    """The rule with its settings and limits."""

    daily = False

    def __init__(self, settings: Settings, table: ThresholdTable) -> None:
        self._settings = settings
        self._table = table
        self.limits = table.limits(NAME, settings.thresholds_mm_per_year)

    def levels(self, evidence: Evidence) -> LevelIndex:
        """Level index (..., epoch, unit): blue but at the newest epoch of one site's evidence."""
        value = statistic(evidence, self._settings)
        return highest([value >= limit for limit in self.limits])

    def vote(self, evidence: Evidence, track: str) -> list[Vote]:
        """One vote for each unit from its points after the newest epochs."""
        value = statistic(evidence, self._settings)
        levels = highest([value >= limit for limit in self.limits])
        return [
            self._vote(evidence, track, unit, value, levels) for unit in range(len(evidence.units))
        ]

    def _vote(
        self, evidence: Evidence, track: str, unit: int, value: Floats, levels: LevelIndex
    ) -> Vote:
        sides = _sides(evidence, unit, self._settings)
        judged = len(sides[0].surely_mm_yr)
        if not judged or not len(value):
            few = f"no vote: no point of the unit has a rate at {HITS} of the last 3 epochs"
            return silent(NAME, track, few)
        figures = {"points_judged": float(judged)}
        if np.isfinite(value[-1, unit]):
            figures["surely_mm_yr"] = round(float(value[-1, unit]), 1)
        if why := uncalibrated(self.limits, self._table):
            return silent(NAME, track, why, **figures)
        level = int(levels[-1, unit])
        limit = self.limits[level - 1] if level else min(self.limits)
        past = max(past_limit(side, limit, self._settings) for side in sides)
        figures |= {
            "points_past": float(past.points),
            "share_past": round(past.share, 3),
            "largest_cluster": float(past.cluster),
        }
        where = component_of(float(evidence.los_factor[unit]))
        return Vote(
            rule=NAME,
            track=track,
            level=level_of(level),
            calibrated=True,
            reason=f"{past.points} of {judged} points surely past {limit:g} mm/yr {where}, "
            f"{past.cluster} of them within steps of {self._settings.distance_m:g} m: "
            f"{'past' if level else 'not past'} {self._settings.points} together or "
            f"{100 * self._settings.share:g} %",
            figures=figures,
        )


def open(settings: Settings, table: ThresholdTable) -> Cluster:
    """The rule; without limits in `settings` and `table` it votes `not calibrated`."""
    return Cluster(settings, table)
