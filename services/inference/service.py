"""The inference stage: observations in, deformation state, evidence and forecasts out."""

from __future__ import annotations

import re
from collections.abc import Iterable, Sequence
from dataclasses import replace
from datetime import date, timedelta

import numpy as np

from core import plugins
from core.artifacts import Artifacts, numbers, unpack
from core.clock import end_of, midnight
from core.errors import BadInputError, SettingsError
from core.events import (
    ASSESSMENTS,
    OBSERVATIONS,
    AcquisitionFound,
    ArtifactRef,
    DayClosed,
    DisplacementMeasured,
    EventData,
    ForecasterFitted,
    InterferogramReady,
    LevelObserved,
    RainfallObserved,
    ReleaseActivated,
    SiteConfigured,
    StateUpdated,
)
from core.settings import Site, Thinning, site_from_bytes
from core.stage import Input, Outcome
from core.statestore import States
from services.inference.evidence import evidence_of, water_evidence
from services.inference.issuing.publishing import published
from services.inference.issuing.remembered import Remembered
from services.inference.model import MODELS
from services.inference.pairs import (
    PairWindow,
    add_pair,
    check_pair,
    check_waiting,
    invert_waiting,
)
from services.inference.points import Points, read_points
from services.inference.state import (
    DriverRow,
    InputRow,
    SiteState,
    day_number,
    day_of,
    nanoseconds,
)
from services.inference.store import InferenceStore
from services.inference.track import (
    Entry,
    Track,
    Values,
    add_epoch,
    new_track,
    newest_vintages,
    refold,
    values_of,
)
from services.inference.trust import conformal
from services.inference.unit_states import predicted, unit_states

Said = tuple[SiteState, list[Outcome]]
FIRST_DAY = date(1900, 1, 1)
FURTHEST_AHEAD = timedelta(days=1)
_TRACK = re.compile(r"[A-Za-z0-9_][A-Za-z0-9_.-]{0,63}")
LARGEST_MM = 1e6
"""A kilometre along the line of sight is no displacement of a slope."""


class InferenceStage:
    """`core.stage.Stage` of inference."""

    name = "inference"
    inbox = OBSERVATIONS
    outbox = ASSESSMENTS

    def __init__(
        self, states: States, artifacts: Artifacts, thinning: Thinning | None = None
    ) -> None:
        self._states = states
        self._artifacts = artifacts
        self._thinning = thinning or Thinning()
        self._remembered = Remembered(artifacts)

    def sites(self) -> Iterable[str]:
        """Names of all sites with a state."""
        return self._states.sites()

    def store(self, site: str) -> InferenceStore:
        """The store of one site's state."""
        return InferenceStore(self._states, self._artifacts, site, self._thinning)

    def handle(self, state: SiteState, given: Input) -> tuple[SiteState, Sequence[Outcome]]:
        """Take one observation in; see `core.stage.Stage.handle`."""
        event = given.event
        if not isinstance(event.data, SiteConfigured):
            _configured(state)
        _check_date(event.data, given)
        row = InputRow(
            event.id,
            event.data.NAME,
            given.seq,
            nanoseconds(event.valid_time),
            nanoseconds(event.available_at),
            nanoseconds(event.processed_at),
        )
        state = replace(state, inputs=(*state.inputs, row))
        match event.data:
            case SiteConfigured() as data:
                return self._configure(state, data, given)
            case ReleaseActivated() as data:
                return replace(state, release=data), [Outcome(data, event.valid_time)]
            case AcquisitionFound() as data:
                return _note_pass(state, data), []
            case RainfallObserved() | LevelObserved() as data:
                return _note_driver(state, data, given), []
            case DisplacementMeasured() as data:
                return self._measure(state, data, given)
            case InterferogramReady() as data:
                return self._await_day(state, data, event.id), []
            case DayClosed() as data:
                return self._close_day(state, data, given)
            case ForecasterFitted() as data:
                return self._take_models(state, data), []
        raise BadInputError(f"{event.data.NAME} does not belong into {self.inbox}")

    def _configure(self, state: SiteState, data: SiteConfigured, given: Input) -> Said:
        """New settings: geometry and noise may differ, so every track is folded anew."""
        site = site_from_bytes(self._artifacts.get(data.settings))
        _check_model(site)
        watched = data.watched_from or state.watched_from or given.now.date()
        changed = state.site is not None and _motion_settings(site) != _motion_settings(state.site)
        state = replace(state, site=site, settings=data.settings, watched_from=watched)
        if changed:
            tracks = {n: self._rebuilt(t, site) for n, t in state.tracks.items()}
            state = replace(state, tracks=tracks)
        said = SiteConfigured(
            settings=data.settings,
            watched_from=watched,
            retired=data.retired,
            difference=data.difference,
        )
        return state, [Outcome(said, given.event.valid_time)]

    def _rebuilt(self, track: Track, site: Site) -> Track:
        points = read_points(self._artifacts.get(track.points_ref), site)
        if track.window is not None:
            check_waiting(
                track.window, self._artifacts, points.in_reference, looks=site.noise.looks
            )
        track = replace(track, points=points, checkpoint_days=(), fresh={}, first_change=0)
        first = min((e.day for e in track.entries), default=0)
        return refold(replace(track, days=(), history=track.history[:0]), first, site.noise)

    def _measure(self, state: SiteState, data: DisplacementMeasured, given: Input) -> Said:
        site = _configured(state)
        points = self._points(state, data.track, data.points)
        track = state.tracks.get(data.track) or new_track(
            data.track, points, data.points, site.noise
        )
        arrays = unpack(self._artifacts.get(data.values))
        known_ns = nanoseconds(given.event.available_at)
        track, values = _from_one_zero(track, data, _values(arrays, points), known_ns)
        return self._fold(state, track, data.epoch, values, given, (given.event.id,))

    def _fold(
        self,
        state: SiteState,
        track: Track,
        epoch: date,
        values: Values,
        given: Input,
        inputs: tuple[str, ...],
    ) -> Said:
        """Archive and fold one epoch that came from `inputs`; say the state after it."""
        site = _configured(state)
        entry = Entry(
            day=day_number(epoch),
            available_ns=nanoseconds(given.event.available_at),
            processed_ns=nanoseconds(given.event.processed_at),
            seq=given.seq,
            vintage=sum(e.day == day_number(epoch) for e in track.entries),
        )
        track = add_epoch(track, entry, values, site.noise)
        state = replace(state, tracks={**state.tracks, track.name: track})
        record = self._remembered.record(state)
        said = StateUpdated(
            reason="epoch",
            track=track.name,
            epoch=epoch,
            seq=given.seq,
            units=unit_states(track, track.motion.units, site),
            evidence=self._artifacts.put(
                evidence_of(
                    track,
                    site,
                    record,
                    nanoseconds(given.event.available_at),
                    self._remembered.runs,
                )
            ),
            inputs=inputs,
            historical=_historical(state, given),
        )
        return state, [Outcome(said, midnight(epoch))]

    def _await_day(self, state: SiteState, data: InterferogramReady, event: str) -> SiteState:
        site = _configured(state)
        points = self._points(state, data.track, data.points)
        track = state.tracks.get(data.track) or new_track(
            data.track, points, data.points, site.noise
        )
        check_pair(data, self._artifacts, points.in_reference, looks=site.noise.looks)
        window = add_pair(track.window or PairWindow(), data, event)
        track = replace(track, window=window, window_changed=True)
        return replace(state, tracks={**state.tracks, track.name: track})

    def _close_day(self, state: SiteState, data: DayClosed, given: Input) -> Said:
        outcomes: list[Outcome] = []
        for name in sorted(state.tracks):
            state, said = self._invert(state, name, given)
            outcomes += said
        site = _configured(state)
        last = max(data.day, state.last_closed or data.day)
        state = replace(state, last_closed=last)
        end = end_of(data.day)
        live = [t for _, t in sorted(state.tracks.items()) if t.days]
        number = day_number(data.day)
        if live:
            units = [
                u
                for t in live
                for u in unit_states(t, predicted(t, number, site.noise.rate_walk_mm2_d3), site)
            ]
            outcomes.append(
                Outcome(
                    StateUpdated(
                        reason="day",
                        track=None,
                        epoch=None,
                        seq=given.seq,
                        units=tuple(units),
                        evidence=self._water_evidence(state, live, number, given),
                        inputs=(given.event.id,),
                        historical=_historical(state, given),
                    ),
                    end,
                )
            )
            news = not (data.catching_up or _historical(state, given))
            tick = self._remembered.tick(state, number)
            put = self._artifacts.put if news else None
            state, issued = published(state, tick, given.seq, put)
            if issued is not None:
                outcomes.append(Outcome(issued, end))
        closed = DayClosed(
            day=data.day,
            catching_up=data.catching_up,
            seq=given.seq,
            passes=dict(sorted(state.passes.items())),
            epochs={t.name: day_of(t.days[-1]) for t in live},
            sources=tuple(s.kind for s in site.sources),
            historical=_historical(state, given),
        )
        return state, [*outcomes, Outcome(closed, end)]

    def _water_evidence(
        self, state: SiteState, live: Sequence[Track], day: int, given: Input
    ) -> ArtifactRef | None:
        """What rules on rain and level judge each day.

        None where nothing is known of either, and for history: nobody is told of its water.
        """
        if _historical(state, given):
            return None
        known_ns = nanoseconds(given.event.available_at)
        record = self._remembered.record(state)
        content = water_evidence(live, _configured(state), record, known_ns, day)
        return self._artifacts.put(content) if content is not None else None

    def _take_models(self, state: SiteState, data: ForecasterFitted) -> SiteState:
        """New forecast models; what the intervals have learned of the site stays."""
        forecaster = self._remembered.forecaster(data.parameters)
        feedback = state.feedback
        if feedback.bands is None:
            counts = {name: len(track.entries) for name, track in state.tracks.items()}
            feedback = feedback.beginning(forecaster.bands, counts)
        else:
            bands = conformal.refitted(feedback.bands, forecaster.bands)
            feedback = replace(feedback, bands=bands)
        return replace(state, fitted=data, feedback=feedback)

    def _invert(self, state: SiteState, name: str, given: Input) -> Said:
        """Turn the pairs that waited for the end of the day into epochs, and fold those."""
        track = state.tracks[name]
        if track.window is None or not track.window.waiting:
            return state, []
        site = _configured(state)
        window, issued = invert_waiting(
            track.window, self._artifacts, track.points.in_reference, looks=site.noise.looks
        )
        inputs = (*(pair.event for pair in track.window.waiting), given.event.id)
        track = replace(track, window=window, window_changed=True)
        state = replace(state, tracks={**state.tracks, name: track})
        outcomes: list[Outcome] = []
        for new in issued:
            values = Values(new.displacement_mm, new.sigma_mm)
            state, said = self._fold(state, state.tracks[name], new.epoch, values, given, inputs)
            outcomes += said
        return state, outcomes

    def _points(self, state: SiteState, track: str, ref: ArtifactRef) -> Points:
        known = state.tracks.get(track)
        if not _TRACK.fullmatch(track):
            raise BadInputError(f"{track!r} is no name for a track: use letters, digits, _ and -")
        if known is None:
            return read_points(self._artifacts.get(ref), _configured(state))
        if known.points_ref != ref:
            raise BadInputError(
                f"track {track}: its points are not those it began with; name the new series as "
                "another track in the site's sources"
            )
        return known.points


def _configured(state: SiteState) -> Site:
    if state.site is None:
        raise BadInputError("the site is not configured")
    return state.site


def _historical(state: SiteState, given: Input) -> bool:
    return state.watched_from is not None and given.now.date() < state.watched_from


def _motion_settings(site: Site) -> tuple[object, ...]:
    return site.slope_units, site.reference, site.noise, site.area


def _check_model(site: Site) -> None:
    """`BadInputError` where the settings name a forecast model that there is not."""
    if site.model is None:
        return
    try:
        plugins.settings(MODELS, site.model.model_dump())
    except SettingsError as error:
        raise BadInputError(f"the site file cannot be used: {error}") from error


def _check_date(data: EventData, given: Input) -> None:
    """`BadInputError` for a datum of a day that is still to come, or of no satellite's time.

    The fold runs in valid time: one epoch of 2099 would be the newest one for good.
    """
    day = given.now.date()
    match data:
        case AcquisitionFound():
            day = data.stop_time.date()
        case RainfallObserved() | LevelObserved() | DayClosed() | ForecasterFitted():
            day = data.day
        case DisplacementMeasured():
            day = data.epoch
        case InterferogramReady():
            day = max(data.reference, data.secondary)
    if day < FIRST_DAY:
        raise BadInputError(f"{data.NAME} of {day} lies before {FIRST_DAY}")
    if day > given.now.date() + FURTHEST_AHEAD:
        raise BadInputError(f"{data.NAME} of {day} was known on {given.now.date()}, before it")


def _values(arrays: dict[str, np.ndarray], points: Points) -> Values:
    """Displacement and its sd as they came; a point without a finite sd was not measured."""
    moved, sigma = numbers(arrays, "los_displacement_mm"), numbers(arrays, "sigma_mm")
    if moved.shape != points.lon.shape or sigma.shape != moved.shape:
        raise BadInputError(
            f"values artifact has {moved.size} points where the track has {points.lon.size}"
        )
    if (np.abs(moved) > LARGEST_MM).any():
        raise BadInputError(f"values artifact: displacement of more than {LARGEST_MM:.0f} mm")
    if (sigma < 0).any() or (sigma[np.isfinite(sigma)] > LARGEST_MM).any():
        raise BadInputError("values artifact: a standard deviation that cannot be one")
    return Values(np.where(np.isfinite(sigma), moved, np.nan), sigma)


def _from_one_zero(
    track: Track, data: DisplacementMeasured, values: Values, known_ns: int
) -> tuple[Track, Values]:
    """`values` relative to the reference epoch with which the track began.

    A series relative to another one is shifted by what the archive, as known at `known_ns`, holds
    of that day, or refused where it holds nothing of it. A series that repeats the archive on its
    own reference epoch was cut short, not made zero there: it stays as delivered.
    """
    new, known = data.reference_epoch, track.references
    if not known or new in known:
        return replace(track, references=known or (new,)), values
    of_day = [
        n
        for n in newest_vintages(track.entries, as_of_ns=known_ns)
        if track.entries[n].day == day_number(new)
    ]
    shift = values_of(track, of_day[0]).displacement_mm if of_day else np.array(np.nan)
    if not np.isfinite(shift).any():
        raise BadInputError(
            f"track {track.name}: displacement is relative to {new}, the track began relative to "
            f"{known[0]}: name the new series as another track, or deliver it relative to "
            f"{known[0]}"
        )
    if data.epoch == new and np.allclose(values.displacement_mm, shift, equal_nan=True):
        return replace(track, references=(*known, new)), values
    return track, Values(values.displacement_mm + shift, values.sigma_mm)


def _note_pass(state: SiteState, data: AcquisitionFound) -> SiteState:
    label = f"path {data.path}" if data.path is not None else data.platform
    day = data.stop_time.date()
    return replace(state, passes={**state.passes, label: max(day, state.passes.get(label, day))})


def _note_driver(
    state: SiteState, data: RainfallObserved | LevelObserved, given: Input
) -> SiteState:
    rain = isinstance(data, RainfallObserved)
    value = data.rain_mm if isinstance(data, RainfallObserved) else data.level_m
    quantity = "rain" if rain else "level"
    key = f"{quantity}/{data.station}/{day_number(data.day)}"
    vintage = state.vintages.get(key, 0)
    row = DriverRow(
        quantity=quantity,
        station=data.station,
        day=day_number(data.day),
        value=float("nan") if value is None else float(value),
        available_ns=nanoseconds(given.event.available_at),
        processed_ns=nanoseconds(given.event.processed_at),
        seq=given.seq,
        vintage=vintage,
    )
    return replace(
        state,
        drivers=(*state.drivers, row),
        vintages={**state.vintages, key: vintage + 1},
    )
