"""Who speaks for each unit and each point on a day: the chosen model, a rung below, the filter.

Before any fit a slope goes on as its own filter has it. After it each unit's chosen model speaks,
and where that cannot, the next rung of the ladder (`trust.gate`), with the reason; at
the end the filter again. A model that the site's settings name takes the place of the choice.
"""

from __future__ import annotations

from collections.abc import Iterable, Mapping, Sequence
from typing import Final, NamedTuple

import numpy as np

from core import plugins
from core.errors import SlopewatchError
from core.kalman import TrendState, predict
from core.settings import Plugin, Site
from services.inference.issuing.archive import Series
from services.inference.issuing.forecaster import Forecaster, TrackFit, motion_of
from services.inference.known import FURTHEST_D, Ints, Known
from services.inference.model import MODELS, Model, Parameters, Path
from services.inference.trust.gate import LADDER, Choice, Spoken, missing, speak

BEST: Final = "best"
"""What the site's settings ask for where they name no model."""
FILTER: Final = "filter"
"""The site's own filter: the trend of model `kalman` with the noise of the site file."""
NOT_FITTED: Final = "no model was fitted yet"


class Voice(NamedTuple):
    """Who spoke for each of S series: path (31, S), names, reasons, whether a rung was taken."""

    path: Path
    speaker: tuple[str, ...]
    reason: tuple[str, ...]
    stepped_down: tuple[bool, ...]


def wanted_model(site: Site) -> str:
    """The model that the settings name, or `best`."""
    return site.model.kind if site.model else BEST


def opened(
    names: Iterable[str], named: Plugin | None = None
) -> tuple[dict[str, Model], dict[str, str]]:
    """The models of these names that can be opened here, and why the others cannot.

    `named` are the settings of one of them; the others are opened as they ship.
    """
    models, absent = {}, {}
    for name in names:
        given = named.model_dump() if named and named.kind == name else {"kind": name}
        try:
            models[name] = plugins.load(MODELS, name).open(plugins.settings(MODELS, given))
        except (SlopewatchError, ImportError) as error:
            absent[name] = " ".join(str(error).split())
    return models, absent


def track_fit(forecaster: Forecaster | None, site: Site, track: str) -> TrackFit | str:
    """The fit that holds for a track, or why there is none."""
    if forecaster is None:
        return NOT_FITTED
    if forecaster.motion != motion_of(site):
        return "the site's units, reference or noise changed since the models were fitted"
    return forecaster.tracks.get(track, "no model was fitted to this track yet")


def own_filter(now: TrendState, site: Site, why: str) -> Voice:
    """The slope goes on at its filtered rate, ever less certainly (`core.kalman.predict`)."""
    path, wanted = filter_path(now, site.noise.rate_walk_mm2_d3), wanted_model(site)
    series, down = now.displacement_mm.size, wanted not in {BEST, "kalman"}
    reason = f"{wanted} was chosen: {why}" if down else why
    return Voice(path, (FILTER,) * series, (reason,) * series, (down,) * series)


def filter_path(now: TrendState, rate_walk_mm2_d3: float) -> Path:
    """A filter's state carried on for 30 days, (31, S)."""
    days = np.arange(FURTHEST_D + 1, dtype=float)[:, None]
    ahead = predict(now, days, rate_walk_mm2_d3)
    return Path(ahead.displacement_mm, np.sqrt(ahead.var_displacement))


def voice_of(
    fit: TrackFit,
    known: Known,
    now: TrendState,
    site: Site,
    models: Mapping[str, Model],
    unit: Ints,
    series: Series = "units",
) -> Voice:
    """Who speaks for the units of a track, or for its points; `unit` (S,) says whose they are."""
    fitted = fit.of_units if series == "units" else fit.of_points
    fitted = {name: what for name, what in fitted.items() if name in models}
    choices = _choices(fit, site, fitted, series)
    lost = missing(known)
    lacking = frozenset(lost[0] if lost else ())
    first = {choice.model for choice in choices} | ({LADDER[0]} if (unit < 0).any() else set())
    paths = _paths(first, fitted, known, models, lacking)
    spoken = speak(choices, unit, paths, models, lost)
    if _stepped_down(spoken, choices, unit).any():
        paths |= _paths(set(LADDER) - first, fitted, known, models, lacking)
        spoken = speak(choices, unit, paths, models, lost)
    return _with_filter(spoken, _stepped_down(spoken, choices, unit), now, site)


def _choices(
    fit: TrackFit, site: Site, fitted: Mapping[str, Parameters], series: Series
) -> tuple[Choice, ...]:
    """Of each unit: what the settings name, else what the gate chose.

    Points follow their unit where its model was fitted to points, else they begin at the ladder:
    one that is fitted to a whole unit is not for thousands of points.
    """
    choices = fit.choices
    if site.model is not None:
        named = Choice(site.model.kind, "the site's settings name it")
        choices = (named,) * len(choices)
    if series == "points":
        ladder = Choice(LADDER[0], "for points")
        choices = tuple(one if one.model in fitted else ladder for one in choices)
    return choices


def _paths(
    names: Iterable[str],
    fitted: Mapping[str, Parameters],
    known: Known,
    models: Mapping[str, Model],
    lacking: frozenset[str],
) -> dict[str, Path]:
    """What each of these models forecasts, of those that were fitted and lack no driver.

    One that lacks a driver is listed without a forecast, so that the reason names the driver.
    """
    nothing = np.full((FURTHEST_D + 1, known.series), np.nan)
    return {
        name: Path(nothing, nothing)
        if models[name].needs & lacking
        else models[name].forecast(fitted[name], known)
        for name in sorted(names)
        if name in fitted
    }


def _stepped_down(spoken: Spoken, choices: Sequence[Choice], unit: Ints) -> np.ndarray:
    chosen = [choices[u].model if u >= 0 else LADDER[0] for u in unit]
    pairs = zip(spoken.speaker, chosen, strict=True)
    return np.array([said != wanted for said, wanted in pairs], bool)


def _with_filter(spoken: Spoken, down: np.ndarray, now: TrendState, site: Site) -> Voice:
    """The filter at the ladder's foot, for series of which no model can speak."""
    silent = np.array([name == "" for name in spoken.speaker], bool)
    path = spoken.path
    if silent.any():
        own = filter_path(now, site.noise.rate_walk_mm2_d3)
        path = Path(*(np.where(silent, a, b) for a, b in zip(own, path, strict=True)))
    return Voice(
        path=path,
        speaker=tuple(name or FILTER for name in spoken.speaker),
        reason=tuple(
            f"the filter goes on: {why}" if quiet else why
            for why, quiet in zip(spoken.reason, silent, strict=True)
        ),
        stepped_down=tuple(bool(one) for one in down),
    )
