"""How issued forecasts did: against the epochs that arrived since.

Each epoch judges, for each horizon, the forecast that was issued so many days before it. Errors
are of displacement as measured, so the noise of the epoch is in them; beside them stands what
nobody's model would have been wrong by: the filtered state of the issue day held fast.
"""

from __future__ import annotations

from collections import defaultdict
from collections.abc import Iterable, Mapping
from typing import NamedTuple

import numpy as np

from core.events import ForecastIssued, UnitForecast
from services.inference.issuing.archive import Readings, SiteHistory, driver_record
from services.inference.state import SiteState, day_number
from services.inference.track import Track


class SkillRow(NamedTuple):
    """One model at one horizon: `judged` forecasts of units, errors in mm, `covered` of 90 %."""

    model: str
    horizon_d: int
    judged: int
    rmse_mm: float
    bias_mm: float
    held_rmse_mm: float
    covered: float
    width_mm: float


class _Met(NamedTuple):
    error_mm: float
    held_mm: float
    inside: bool
    width_mm: float


def skill_of(state: SiteState, issued: Iterable[ForecastIssued], since: int) -> list[SkillRow]:
    """Rows by model and horizon, for epochs from day `since` on that are known now."""
    if state.last_closed is None:
        return []
    by_day = {day_number(one.issued_for): one for one in issued}
    met: defaultdict[tuple[str, int], list[_Met]] = defaultdict(list)
    record, readings = driver_record(state), Readings()
    for _, track in sorted(state.tracks.items()):
        history = SiteHistory(state, track, record=record, readings=readings)
        _judge(state, track, history, by_day, since, met)
    return [_row(model, horizon, met[model, horizon]) for model, horizon in sorted(met)]


def _judge(
    state: SiteState,
    track: Track,
    history: SiteHistory,
    by_day: Mapping[int, ForecastIssued],
    since: int,
    met: defaultdict[tuple[str, int], list[_Met]],
) -> None:
    assert state.last_closed is not None
    assert state.site is not None
    known = history.known(day_number(state.last_closed))
    place = {unit.id: index for index, unit in enumerate(state.site.slope_units)}
    for row, epoch in enumerate(known.epoch_day[:, 0].tolist()):
        if epoch < since:
            continue
        for horizon in {h for one in by_day.values() for h in one.horizons_d}:
            event = by_day.get(epoch - horizon)
            if event is None or horizon not in event.horizons_d:
                continue
            start = history.filtered(epoch - horizon).displacement_mm
            at = event.horizons_d.index(horizon)
            for said in (one for one in event.units if one.track == track.name):
                unit = place.get(said.unit)
                if unit is not None and np.isfinite(known.los_mm[row, unit] + start[unit]):
                    moved = float(known.los_mm[row, unit] - start[unit])
                    met[said.model, horizon].append(_met(said, at, moved))


def _met(said: UnitForecast, at: int, moved_mm: float) -> _Met:
    low, high = said.low_90_mm[at], said.high_90_mm[at]
    error = moved_mm - said.los_increment_mm[at]
    return _Met(error, moved_mm, low <= moved_mm <= high, high - low)


def _row(model: str, horizon: int, met: list[_Met]) -> SkillRow:
    errors, held = np.array([m.error_mm for m in met]), np.array([m.held_mm for m in met])
    return SkillRow(
        model=model,
        horizon_d=horizon,
        judged=len(met),
        rmse_mm=float(np.sqrt(np.mean(errors**2))),
        bias_mm=float(errors.mean()),
        held_rmse_mm=float(np.sqrt(np.mean(held**2))),
        covered=float(np.mean([m.inside for m in met])),
        width_mm=float(np.mean([m.width_mm for m in met])),
    )
