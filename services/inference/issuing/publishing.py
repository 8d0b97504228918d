"""What is published when a day is closed: the forecast of every unit, and of every point.

Units are told on every closed day. Points are told when a day is closed live and models were
fitted: not in history, and not while several days are caught up.

The artifact of point forecasts holds, for each track and as 32-bit floats, (H, P):
`<track>/displacement_mm` on the track's zero, `/sd_mm`, `/low_90_mm`, `/low_50_mm`,
`/high_50_mm`, `/high_90_mm`; and `<track>/model` (P,), an index into `models`.
"""

from __future__ import annotations

from collections.abc import Callable, Mapping
from dataclasses import replace
from typing import Any, Final, NamedTuple

import numpy as np
import numpy.typing as npt

from core.artifacts import pack
from core.clock import end_of
from core.events import ArtifactRef, ForecastIssued, UnitForecast
from core.evidence import Floats
from core.kalman import TrendState
from core.settings import Site
from services.inference.issuing.archive import DriverRecord, Readings, SiteHistory
from services.inference.issuing.feedback import Feedback, arrived_on
from services.inference.issuing.forecaster import Forecaster
from services.inference.issuing.ladder import (
    NOT_FITTED,
    Voice,
    own_filter,
    track_fit,
    voice_of,
    wanted_model,
)
from services.inference.known import Known
from services.inference.model import HORIZONS_D, Model, Path
from services.inference.state import SiteState, day_of, nanoseconds
from services.inference.track import Track, figure
from services.inference.trust import conformal

USUAL_EPOCHS: Final = 10
BOUNDS: Final = ("low_90_mm", "low_50_mm", "high_50_mm", "high_90_mm")
_H: Final = np.array(HORIZONS_D)
_NORMAL: Final = np.array([-1, -1, 1, 1]) * np.array(conformal.NORMAL)[[1, 0, 0, 1]]


class Tick(NamedTuple):
    """What the forecasts of one day are made from, beside the site's state."""

    day: int
    record: DriverRecord
    readings: Readings
    forecaster: Forecaster | None
    models: Mapping[str, Model]


class Spread(NamedTuple):
    """Forecast of S series at the horizons: mean and sd (H, S), bounds (4, H, S) as `BOUNDS`."""

    mean_mm: Floats
    sd_mm: Floats
    bounds_mm: Floats


def published(
    state: SiteState, tick: Tick, seq: int, put: Callable[[bytes], ArtifactRef] | None = None
) -> tuple[SiteState, ForecastIssued | None]:
    """The state after the forecasts of a day, and what they say; None where no unit is known.

    `put` stores the artifact of the points; without it only units are told.
    """
    site = state.site
    assert site is not None
    feedback, units = state.feedback, list[UnitForecast]()
    for track in (t for _, t in sorted(state.tracks.items()) if t.days):
        history = SiteHistory(state, track, record=tick.record, readings=tick.readings)
        feedback, said = _units_of(history, track, site, tick, feedback)
        units += said
    state = replace(state, feedback=feedback)
    if not units:
        return state, None
    told = put is not None and tick.forecaster is not None
    issued = ForecastIssued(
        model=wanted_model(site),
        issued_for=day_of(tick.day),
        horizons_d=HORIZONS_D,
        units=tuple(units),
        seq=seq,
        fitted=state.fitted.day if state.fitted and tick.forecaster else None,
        point_forecasts=put(point_forecasts(state, tick)) if told and put else None,
    )
    return replace(state, issued=issued), issued


def _units_of(
    history: SiteHistory, track: Track, site: Site, tick: Tick, feedback: Feedback
) -> tuple[Feedback, list[UnitForecast]]:
    """Judge what was forecast by the epochs that came, then forecast the track's units."""
    now = history.filtered(tick.day)
    fit = track_fit(tick.forecaster, site, track.name)
    if isinstance(fit, str) or feedback.bands is None:
        voice = own_filter(now, site, fit if isinstance(fit, str) else NOT_FITTED)
        spread = _normal(voice.path, _usual_sd(history.track_on(tick.day)))
        return feedback, _said(track, site, now, voice, spread)
    known = history.known(tick.day)
    feedback = _judged(feedback, track, known, tick.day)
    assert feedback.bands is not None
    voice = voice_of(fit, known, now, site, tick.models, np.arange(known.series))
    issued = conformal.issue(feedback.bands, known, voice.path, voice.speaker)
    feedback = feedback.keeping(track.name, issued)
    return feedback, _said(track, site, now, voice, _spread(issued, voice.path))


def _judged(feedback: Feedback, track: Track, known: Known, day: int) -> Feedback:
    """Learn from the epochs that had come by the end of the day and were not looked at yet."""
    known_ns = nanoseconds(end_of(day_of(day)))
    place = first = feedback.judged.get(track.name, 0)
    arrived = []
    while place < len(track.entries) and track.entries[place].available_ns <= known_ns:
        if track.entries[place].vintage == 0:
            arrived.append(arrived_on(known, track.entries[place].day))
        place += 1
    return feedback.learning(track.name, arrived, place) if place > first else feedback


def _usual_sd(track: Track) -> Floats:
    """Root mean square sd of the last ten measured epochs of each unit, (U,); NaN without any."""
    sd = np.where(figure(track, "measured") > 0, figure(track, "seen_sd_mm"), np.nan)[-30:]
    last = np.isfinite(sd) & (np.isfinite(sd)[::-1].cumsum(axis=0)[::-1] <= USUAL_EPOCHS)
    total, count = np.where(last, sd, 0.0) ** 2, last.sum(axis=0)
    return np.where(count, np.sqrt(total.sum(axis=0) / np.maximum(count, 1)), np.nan)


def _normal(path: Path, observed_sd_mm: Floats) -> Spread:
    """Intervals of a normal distribution: what holds before anything was calibrated."""
    mean, sd = path.displacement_mm[_H], path.sd_mm[_H]
    return Spread(mean, sd, mean + _NORMAL[:, None, None] * np.hypot(sd, observed_sd_mm))


def _spread(issued: conformal.Issued, path: Path) -> Spread:
    half, outer = conformal.LEVELS.index(0.5), conformal.LEVELS.index(0.9)
    widths = (-issued.half_mm[outer], -issued.half_mm[half])
    bounds = np.stack([*widths, issued.half_mm[half], issued.half_mm[outer]])
    return Spread(issued.mean_mm, path.sd_mm[_H], issued.mean_mm + bounds)


def _said(
    track: Track, site: Site, now: TrendState, voice: Voice, spread: Spread
) -> list[UnitForecast]:
    """The units as the event says them, relative to their filtered state; unknown ones are not."""
    mean, bounds = spread.mean_mm - now.displacement_mm, spread.bounds_mm - now.displacement_mm
    whole = np.isfinite(mean + spread.sd_mm).all(axis=0) & np.isfinite(bounds).all(axis=(0, 1))
    return [
        UnitForecast(
            track=track.name,
            unit=unit.id,
            los_increment_mm=_plain(mean[:, i]),
            increment_sd_mm=_plain(spread.sd_mm[:, i]),
            **{name: _plain(bounds[row, :, i]) for row, name in enumerate(BOUNDS)},
            model=voice.speaker[i],
            reason=voice.reason[i],
            stepped_down=voice.stepped_down[i],
        )
        for i, unit in enumerate(site.slope_units)
        if whole[i]
    ]


def _plain(values: Floats) -> tuple[float, ...]:
    return tuple(map(float, values))


def point_forecasts(state: SiteState, tick: Tick) -> bytes:
    """Forecast of every point of every track, as an artifact; before a fit the filters' own."""
    names: list[str] = []
    arrays: dict[str, npt.NDArray[Any]] = {}
    for track in (t for _, t in sorted(state.tracks.items()) if t.days):
        voice, spread = _points_of(state, track, tick)
        names += [n for n in dict.fromkeys(voice.speaker) if n not in names]
        place = {name: index for index, name in enumerate(names)}
        values = (spread.mean_mm, spread.sd_mm, *spread.bounds_mm)
        for name, value in zip(("displacement_mm", "sd_mm", *BOUNDS), values, strict=True):
            arrays[f"{track.name}/{name}"] = value.astype(np.float32)
        arrays[f"{track.name}/model"] = np.array([place[n] for n in voice.speaker], np.int8)
    return pack({**arrays, "models": np.array(names)})


def _points_of(state: SiteState, track: Track, tick: Tick) -> tuple[Voice, Spread]:
    assert state.site is not None
    history = SiteHistory(state, track, "points", record=tick.record, readings=tick.readings)
    now = history.filtered(tick.day)
    known = history.known(tick.day)
    fit = track_fit(tick.forecaster, state.site, track.name)
    bands = state.feedback.bands
    if isinstance(fit, str) or bands is None:
        voice = own_filter(now, state.site, fit if isinstance(fit, str) else NOT_FITTED)
        bands = conformal.begin()
    else:
        voice = voice_of(fit, known, now, state.site, tick.models, track.points.unit, "points")
    issued = conformal.issue(bands, known, voice.path, voice.speaker)
    return voice, _spread(issued, voice.path)
