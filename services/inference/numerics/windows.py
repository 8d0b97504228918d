"""What boosted trees are told of a series on an issue day, one row a series and horizon.

Everything is known at issue. Displacements are in units of the series' own typical motion over 12
days, and turned so that downslope is positive, so that slow and fast slopes, toward and away from
the satellite, share one set of trees.
"""

from __future__ import annotations

from typing import NamedTuple

import numpy as np

from core.evidence import Floats
from services.inference.known import FURTHEST_D, Ints, Known
from services.inference.model import Parameters, Path
from services.inference.numerics import hydrology, recent
from services.inference.numerics.structural import Filtered, Structural

HORIZONS_D = (0, 6, 12, 18, 24, 30)
"""Days ahead for which trees are asked; between them their answer is taken linearly."""
_REPEAT_D = 12.0
_SLOWEST_MM_D = 0.02
_LARGEST = 20.0
_FARTHEST = 500.0
_INNOVATIONS = 4
_YEARS = (1, 2, 3)
_AHEAD_D = (6, 12, 24)


class Issue(NamedTuple):
    """S series on an issue day: the expectation, and what the trees are told beside a horizon."""

    base: Path
    said: Filtered
    unit_mm: Floats
    """(S,) typical motion in 12 days, negative where downslope is away from the satellite."""
    inputs: Floats
    """(S, inputs), the same at every horizon."""
    increments: Floats
    """(31, S) expected displacement since the last epoch, in units."""
    spreads: Floats
    """(31, S) its standard deviation, in units."""
    years: Floats
    """(years, 31, S) what the same days of earlier years brought, beyond the expected."""


def look(model: Structural, parameters: Parameters, known: Known) -> Issue:
    """Everything that trees are told of an issue."""
    base, said = model.issue(parameters, known)
    unit = _unit(parameters, known)
    state = said.run.state
    last = state.displacement_mm + said.run.lost_mm[-1]
    increments = (base.displacement_mm - base.displacement_mm[0]) / unit
    return Issue(
        base=base,
        said=said,
        unit_mm=unit,
        inputs=_inputs(parameters, known, said, unit, last),
        increments=increments,
        spreads=base.sd_mm / np.abs(unit),
        years=_earlier(known, base, unit),
    )


def rows(issue: Issue, horizons: Ints | tuple[int, ...], series: Ints | None = None) -> Floats:
    """Rows for trees: every series at every one of `horizons` (series fastest), or `horizons`
    (N,) matched with `series` (N,)."""
    ahead = np.asarray(horizons, np.int64)
    if series is None:
        count = issue.unit_mm.size
        series = np.tile(np.arange(count), ahead.size)
        ahead = np.repeat(ahead, count)
    varying = [ahead.astype(float), issue.increments[ahead, series], issue.spreads[ahead, series]]
    varying += [year[ahead, series] for year in issue.years]
    table = np.column_stack([*varying, issue.inputs[series]])
    return np.asarray(np.clip(np.nan_to_num(table), -_FARTHEST, _FARTHEST))


def _unit(parameters: Parameters, known: Known) -> Floats:
    """Typical motion in 12 days: root mean square of the explained rate over the last year."""
    daily = hydrology.daily(known.drivers)
    now = known.day - known.drivers.first_day
    size = np.empty(known.series)
    for place in np.unique(known.place):
        series = np.nonzero(known.place == place)[0]
        rate = daily[max(now - 364, 0) : now + 1, place] @ parameters["coefficients"][series].T
        size[series] = np.sqrt((rate**2).mean(axis=0))
    factor = known.setting.los_factor
    steady = np.where(parameters["coefficients"][:, 0] < 0, -1.0, 1.0)
    sign = np.where(np.isfinite(factor) & (factor != 0), np.sign(factor), steady)
    return np.asarray(sign * _REPEAT_D * np.maximum(size, _SLOWEST_MM_D))


def _inputs(
    parameters: Parameters, known: Known, said: Filtered, unit: Floats, last: Floats
) -> Floats:
    daily = hydrology.daily(known.drivers)
    now = known.day - known.drivers.first_day
    rate = said.rate_ahead_mm_d * _REPEAT_D / unit
    phase = hydrology.season(np.array(known.day))
    innovations = _innovations(said, unit)
    setting = known.setting
    columns = [
        said.age_d,
        np.log(np.abs(unit)),
        np.sqrt(said.run.state.var_displacement) / np.abs(unit),
        said.run.state.velocity_mm_d * _REPEAT_D / unit,
        *(rate[ahead] for ahead in (0, *_AHEAD_D)),
        *innovations,
        *(_mean_of_place(one, known) for one in innovations),
        *daily[now, :, 1:10].T[:, known.place],
        *(
            daily[now + ahead, :, column].T[known.place]
            for ahead in _AHEAD_D
            for column in range(1, 10)
        ),
        np.full(known.series, np.cos(phase)),
        np.full(known.series, np.sin(phase)),
        setting.position,
        np.log1p(np.maximum(np.nan_to_num(setting.bank_distance_m, nan=0.0), 0.0)),
        np.nan_to_num(setting.height_m, nan=0.0) / 100.0,
        *(
            parameters["coefficients"][:, column] * _REPEAT_D / unit
            for column in range(len(hydrology.FEATURES))
        ),
    ]
    return np.column_stack([np.clip(np.nan_to_num(c), -_LARGEST, _LARGEST) for c in columns])


def _innovations(said: Filtered, unit: Floats) -> list[Floats]:
    """The newest innovations in units, newest first, (S,) each."""
    run = said.run
    return [
        recent.at(run.innovation_mm, recent.newest(run.innovation_mm, back)) / unit
        for back in range(_INNOVATIONS)
    ]


def _mean_of_place(values: Floats, known: Known) -> Floats:
    told = np.isfinite(values)
    total = np.bincount(known.place, np.where(told, values, 0.0))
    count = np.bincount(known.place, told.astype(float))
    return np.asarray((total / np.maximum(count, 1.0))[known.place])


def _earlier(known: Known, base: Path, unit: Floats) -> Floats:
    """What the same days of earlier years brought beyond what is expected now, in units."""
    ahead = np.arange(FURTHEST_D + 1)[:, None]
    asked = np.repeat((known.day + ahead).astype(float), known.series, axis=1)
    expected = base.displacement_mm - base.displacement_mm[0]
    result = []
    for years in _YEARS:
        then = recent.interpolated(known, asked - 365.0 * years)
        result.append((then - then[0] - expected) / unit)
    return np.asarray(np.clip(np.stack(result), -_LARGEST, _LARGEST))
