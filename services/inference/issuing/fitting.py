"""Fits the forecast models to a site's archive, and lets the last year say who may speak.

Never done by a handler: a fit takes minutes. What comes of it is an event with an artifact, and
the handler uses it from there on.
"""

from __future__ import annotations

from collections.abc import Callable, Iterable, Mapping
from datetime import datetime
from typing import NamedTuple

import numpy as np

from core import plugins
from core.artifacts import Artifacts
from core.clock import end_of
from core.errors import SlopewatchError
from core.events import Event, FittedUnit, ForecasterFitted, observation_id
from core.settings import Site
from services.inference.issuing.archive import Readings, SiteHistory, driver_record
from services.inference.issuing.forecaster import Forecaster, TrackFit, motion_of, pack_forecaster
from services.inference.issuing.hull import hull_of
from services.inference.issuing.ladder import opened
from services.inference.model import MODELS, Model
from services.inference.state import SiteState, day_number, day_of
from services.inference.trust import conformal, priors
from services.inference.trust.gate import LADDER, Choice, choose
from services.inference.trust.inner import FEWEST_EPOCHS, LEAST_RECORD_D, inner_scores

Tell = Callable[[str], object]


class NothingToFitError(SlopewatchError):
    """The site has too few epochs yet for any model."""


class Fit(NamedTuple):
    """What a fit found: what goes into the artifact, and what is told of it."""

    forecaster: Forecaster
    models: tuple[str, ...]
    units: tuple[FittedUnit, ...]
    absent: Mapping[str, str]
    skipped: Mapping[str, str]
    """Tracks without a fit, and why."""


def is_due(state: SiteState, refit_days: int) -> bool:
    """Whether models should be fitted: the last fit is old, or there is none and could be one.

    Without a fit the record has to be long enough for the last year to judge by.
    """
    if state.last_closed is None:
        return False
    day = day_number(state.last_closed)
    if state.fitted is not None:
        return day - day_number(state.fitted.day) >= refit_days
    first = min((t.days[0] for t in state.tracks.values() if t.days), default=day)
    return day - first >= LEAST_RECORD_D


def fit_site(
    state: SiteState, day: int, tell: Tell = lambda _: None, names: Iterable[str] | None = None
) -> Fit:
    """Fit every model, or those of `names`, to what was known at the end of `day`.

    `tell` hears each step. Raises `NothingToFitError` where no track has enough epochs.
    """
    site = state.site
    if site is None:
        raise SlopewatchError("the site is not configured")
    models, absent = _models(site, names)
    record, readings = driver_record(state), Readings()
    fits: dict[str, TrackFit] = {}
    skipped: dict[str, str] = {}
    bands, reputation = priors.shipped()
    units, hull = list[FittedUnit](), None
    for name, track in sorted(state.tracks.items()):
        history = SiteHistory(state, track, record=record, readings=readings)
        known = history.known(day)
        epochs = int(np.isfinite(known.los_mm).any(axis=1).sum())
        if epochs < FEWEST_EPOCHS:
            skipped[name] = f"{epochs} epochs were known on {day_of(day)}"
            continue
        tell(f"{name}: scoring {len(models)} models on the last year")
        scores = inner_scores(history, models, day)
        choices = choose(
            scores, np.arange(known.series), known.series, _briefly(absent), reputation
        )
        points = SiteHistory(state, track, "points", record=record, readings=readings)
        fits[name] = _fit_track(site, models, choices, history, points, day, tell)
        if not scores.refusal:
            bands = conformal.taught(bands, scores, [choice.model for choice in choices])
        units += _told(name, site, choices)
        hull = hull or hull_of(known.drivers, day)
    if not fits:
        told = "; ".join(f"track {name}: {why}" for name, why in skipped.items()) or "no track"
        raise NothingToFitError(f"site {site.name}: nothing to fit to ({told})")
    forecaster = Forecaster(motion_of(site), fits, bands, hull)
    return Fit(forecaster, tuple(models), tuple(units), absent, skipped)


def _models(site: Site, names: Iterable[str] | None) -> tuple[dict[str, Model], dict[str, str]]:
    """The models of these names, else all, that can be opened; where the settings name one, that
    one and the ladder.
    """
    found = tuple(names) if names is not None else plugins.names(MODELS)
    if site.model is not None:
        found = tuple(n for n in found if n in {site.model.kind, *LADDER})
    return opened(found, site.model)


def _briefly(absent: Mapping[str, str]) -> dict[str, str]:
    """What an event may say of models that were not tried: nothing of this machine's folders."""
    return dict.fromkeys(absent, "it cannot be opened where the fit was made")


def _fit_track(
    site: Site,
    models: Mapping[str, Model],
    choices: tuple[Choice, ...],
    history: SiteHistory,
    points: SiteHistory,
    day: int,
    tell: Tell,
) -> TrackFit:
    """The chosen models and the ladder fitted to the units, the ladder to the points."""
    wanted = {choice.model for choice in choices} | set(LADDER)
    wanted |= {site.model.kind} if site.model else set()
    of_units, of_points = {}, {}
    for name in (n for n in models if n in wanted):
        tell(f"{history.track}: fitting {name}")
        of_units[name] = models[name].fit(history, day)
        if name in LADDER:
            of_points[name] = models[name].fit(points, day)
    ids = tuple(unit.id for unit in site.slope_units)
    return TrackFit(ids, choices, of_units, of_points)


def _told(track: str, site: Site, choices: tuple[Choice, ...]) -> list[FittedUnit]:
    pairs = zip(site.slope_units, choices, strict=True)
    return [
        FittedUnit(
            track=track,
            unit=unit.id,
            model=choice.model,
            reason=choice.reason,
            scores_mm={name: float(value) for name, value in choice.rmse_mm.items()},
        )
        for unit, choice in pairs
    ]


def fitted_event(site: str, day: int, fit: Fit, artifacts: Artifacts, now: datetime) -> Event:
    """The event of a fit, its artifact stored; the same fit of the same day has the same id."""
    data = ForecasterFitted(
        day=day_of(day),
        parameters=artifacts.put(pack_forecaster(fit.forecaster)),
        models=fit.models,
        units=fit.units,
    )
    return Event(
        id=observation_id(site, f"forecaster/{data.day}", data),
        site=site,
        source="slopewatch/train",
        valid_time=end_of(data.day),
        available_at=now,
        processed_at=now,
        data=data,
    )
