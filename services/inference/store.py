"""How a site's deformation state lies in its repository, group by group.

`inputs` and `drivers` list what was taken in (`services.inference.rows`). Per track: `archive`
(epochs by arrival), `history` (units, in valid time), `checkpoints` (filter after an epoch),
`present` (filter after the newest epoch) and, for interferograms, `window` (the network's
information). `feedback` holds the forecasts that wait to be judged, and what others taught.
"""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import replace
from datetime import date
from typing import Any

import msgspec
import numpy as np
import structlog
import xarray as xr

from core.artifacts import Artifacts
from core.errors import NewerVersionError, SettingsError, UnavailableError
from core.events import (
    ArtifactRef,
    Event,
    ForecasterFitted,
    ForecastIssued,
    ReleaseActivated,
    decode,
    encode,
)
from core.kalman import TrendState
from core.settings import Thinning, site_from_bytes
from core.stage import Bookmark, Held
from core.statestore import Change, Drop, Extend, Put, SiteRepository, States
from services.inference.evidence import POINT_EPOCHS
from services.inference.issuing.feedback import Feedback, packed, unpacked
from services.inference.pairs import PairWindow, Waiting
from services.inference.points import read_points
from services.inference.rows import (
    DRIVERS,
    INPUTS,
    from_text,
    full_blocks,
    read_drivers,
    read_inputs,
    rest,
    to_text,
)
from services.inference.state import DriverRow, SiteState
from services.inference.timeseries.links import Pair
from services.inference.timeseries.motion import Motion
from services.inference.timeseries.sequential import WindowState
from services.inference.track import Entry, Track, Values, checkpoint_of, new_track

STATE_VERSION = 2
OLDEST_READ = 1
"""Version 1 had no forecast models and no feedback: it is read as having none."""
POSITION_ATTRS = ("bookmark",)
THIN_EVERY = 64


class InferenceStore:
    """`core.stage.SiteStore` over one site's repository."""

    def __init__(self, states: States, artifacts: Artifacts, site: str, thinning: Thinning) -> None:
        self._states = states
        self._artifacts = artifacts
        self._site = site
        self._thinning = thinning
        self._repository: SiteRepository | None = None
        self._seen: set[str] = set()
        self._commits = 0
        self._feedback = Feedback()

    def open(self) -> Held[SiteState]:
        """Read the state.

        Raises `NewerVersionError` where a newer release wrote it, `SettingsError` where an older
        one did whose state this one cannot rebuild.
        """
        repository = self._states.open(self._site)
        self._repository = repository
        attrs = repository.attrs()
        if not attrs:
            return Held(SiteState(), None, ())
        self._check_version(attrs["version"])
        self._seen = set(read_inputs(repository))
        bookmark = msgspec.convert(attrs["bookmark"], Bookmark)
        outcomes = tuple(decode(o) for o in repository.outcomes())
        state = read_state(repository, self._artifacts)
        self._feedback = state.feedback
        return Held(state, bookmark, outcomes)

    def _check_version(self, version: int) -> None:
        """Refuse what this release would misread."""
        if version > STATE_VERSION:
            raise NewerVersionError(
                f"site {self._site}: its state has version {version}, this release reads up to "
                f"{STATE_VERSION}: upgrade slopewatch"
            )
        if version < OLDEST_READ:
            raise SettingsError(
                f"site {self._site}: its state has version {version} and this release does not "
                f"rebuild it as version {STATE_VERSION}: go back to the release that wrote it"
            )

    def seen(self, event_id: str) -> bool:
        """Whether a commit took this input in."""
        return event_id in self._seen

    def commit(
        self,
        state: SiteState,
        bookmark: Bookmark,
        ids: Sequence[str],
        outcomes: Sequence[Event],
    ) -> SiteState:
        """Write what changed; one Icechunk commit."""
        repository = self._repository
        assert repository is not None
        changes = [
            *full_blocks(repository, INPUTS, state.inputs),
            *full_blocks(repository, DRIVERS, state.drivers),
        ]
        for track in state.tracks.values():
            changes += _track_changes(repository, track, self._thinning)
        if state.feedback is not self._feedback:
            changes.append(_feedback_change(state.feedback))
        waiting = rest(state.drivers)
        past = state.drivers[: len(state.drivers) - len(waiting)]
        state = replace(
            state,
            inputs=rest(state.inputs),
            drivers=waiting,
            past_drivers=(*state.past_drivers, *past) if past else state.past_drivers,
        )
        attrs = {**_attrs(state), "bookmark": msgspec.to_builtins(bookmark)}
        repository.commit(changes, attrs, [encode(o) for o in outcomes])
        self._seen.update(ids)
        self._feedback = state.feedback
        self._commits += 1
        if self._commits % THIN_EVERY == 0:
            self._thin(repository)
        tracks = {n: _stored(t, repository, self._thinning) for n, t in state.tracks.items()}
        return replace(state, tracks=tracks)

    def _thin(self, repository: SiteRepository) -> None:
        try:
            repository.thin(self._thinning.snapshots)
        except UnavailableError as error:
            # The commit stands; somebody is looking at the site, so next time.
            structlog.get_logger().info("not thinned", site=self._site, reason=str(error))

    def close(self) -> None:
        """Let go of the repository."""
        if self._repository is not None:
            self._repository.close()


def read_state(repository: SiteRepository, artifacts: Artifacts) -> SiteState:
    """The site's state as its last commit holds it; large arrays stay in the store."""
    attrs = repository.attrs()
    settings = msgspec.convert(attrs["settings"], ArtifactRef)
    site = site_from_bytes(artifacts.get(settings))
    inputs, drivers = from_text(attrs["waiting"])
    past = tuple(read_drivers(repository, waiting=False))
    fitted, issued = attrs.get("fitted"), attrs.get("issued")
    state = SiteState(
        site=site,
        settings=settings,
        watched_from=_date(attrs["watched_from"]),
        release=msgspec.convert(attrs["release"], ReleaseActivated) if attrs["release"] else None,
        passes={k: date.fromisoformat(v) for k, v in attrs["passes"].items()},
        last_closed=_date(attrs["last_closed"]),
        vintages=_vintages((*past, *drivers)),
        inputs=inputs,
        drivers=drivers,
        past_drivers=past,
        fitted=msgspec.convert(fitted, ForecasterFitted) if fitted else None,
        issued=msgspec.convert(issued, ForecastIssued) if issued else None,
        feedback=_read_feedback(repository),
    )
    tracks = {
        name: _read_track(repository, artifacts, state, name, ref)
        for name, ref in attrs["tracks"].items()
    }
    return replace(state, tracks=tracks)


def _read_track(
    repository: SiteRepository,
    artifacts: Artifacts,
    state: SiteState,
    name: str,
    ref: dict[str, Any],
) -> Track:
    assert state.site is not None
    points_ref = msgspec.convert(ref, ArtifactRef)
    points = read_points(artifacts.get(points_ref), state.site)
    track = new_track(name, points, points_ref, state.site.noise)
    references = repository.attrs().get("references", {}).get(name, [])
    track = replace(
        track,
        **_readers(repository, name),
        window=_read_window(repository, name),
        references=tuple(map(date.fromisoformat, references)),
    )
    if not repository.length(f"tracks/{name}/archive", "entry"):
        return track
    archive = repository.read(
        f"tracks/{name}/archive",
        variables=["day", "available_ns", "processed_ns", "seq", "vintage"],
    )
    entries = tuple(
        Entry(*map(int, row))
        for row in zip(*(archive[n].values for n in Entry._fields), strict=True)
    )
    history = repository.read(f"tracks/{name}/history")
    checkpoints = repository.read(f"tracks/{name}/checkpoints", variables=["day"])
    present = repository.read(f"tracks/{name}/present")
    return replace(
        track,
        entries=entries,
        days=tuple(int(d) for d in history["day"].values),
        history=history["figures"].values,
        checkpoint_days=tuple(int(d) for d in checkpoints["day"].values),
        motion=_motion(present["points"].values, present["units"].values),
    )


def _readers(
    repository: SiteRepository, name: str, kept: Mapping[int, Motion] | None = None
) -> dict[str, Any]:
    """How a track fetches what it does not hold in memory; `kept` are checkpoints that it does."""

    def values(number: int) -> Values:
        part = repository.read(
            f"tracks/{name}/archive",
            "entry",
            number,
            number + 1,
            ["displacement_mm", "sigma_mm"],
        )
        return Values(part["displacement_mm"].values[0], part["sigma_mm"].values[0])

    def checkpoint(day: int) -> Motion:
        if kept and day in kept:
            return kept[day]
        group = f"tracks/{name}/checkpoints"
        days = repository.read(group, variables=["day"])["day"].values
        at = int(np.searchsorted(days, day))
        part = repository.read(group, "checkpoint", at, at + 1, ["points", "units"])
        return _motion(part["points"].values[0], part["units"].values[0])

    return {"read_values": values, "read_checkpoint": checkpoint}


def _attrs(state: SiteState) -> dict[str, Any]:
    return {
        "version": STATE_VERSION,
        "settings": msgspec.to_builtins(state.settings),
        "watched_from": state.watched_from.isoformat() if state.watched_from else None,
        "release": msgspec.to_builtins(state.release) if state.release else None,
        "passes": {k: v.isoformat() for k, v in sorted(state.passes.items())},
        "last_closed": state.last_closed.isoformat() if state.last_closed else None,
        "tracks": {n: msgspec.to_builtins(t.points_ref) for n, t in sorted(state.tracks.items())},
        "references": {
            n: [d.isoformat() for d in t.references]
            for n, t in sorted(state.tracks.items())
            if t.references
        },
        "waiting": to_text(state.inputs, state.drivers),
        "fitted": msgspec.to_builtins(state.fitted) if state.fitted else None,
        "issued": msgspec.to_builtins(state.issued) if state.issued else None,
    }


def _feedback_change(feedback: Feedback) -> Put:
    content = np.frombuffer(packed(feedback), np.uint8)
    return Put("feedback", xr.Dataset({"packed": ("byte", content)}))


def _read_feedback(repository: SiteRepository) -> Feedback:
    if not repository.length("feedback", "byte"):
        return Feedback()
    return unpacked(repository.read("feedback")["packed"].values.tobytes())


def _track_changes(repository: SiteRepository, track: Track, thinning: Thinning) -> list[Change]:
    changes: list[Change] = []
    if track.loaded:
        changes.append(_archive_change(track))
    if track.first_change is not None:
        changes += _history_changes(track)
        changes += _checkpoint_changes(repository, track, thinning)
        points, units = _stacked(track.motion)
        present = {"points": (("state", "point"), points), "units": (("unit_state", "unit"), units)}
        changes.append(Put(f"tracks/{track.name}/present", xr.Dataset(present)))
    if track.window is not None and track.window_changed:
        changes.append(_window_change(track.name, track.window))
    return changes


def _archive_change(track: Track) -> Extend:
    numbers = sorted(track.loaded)
    entries = [track.entries[n] for n in numbers]
    columns: dict[str, Any] = {
        name: ("entry", np.array([getattr(e, name) for e in entries], np.int64))
        for name in Entry._fields
    }
    for name in Values._fields:
        stack = np.stack([getattr(track.loaded[n], name) for n in numbers])
        columns[name] = (("entry", "point"), stack)
    return Extend(f"tracks/{track.name}/archive", "entry", numbers[0], xr.Dataset(columns))


def _history_changes(track: Track) -> list[Change]:
    start = track.first_change or 0
    columns = {
        "day": ("epoch", np.array(track.days[start:], np.int64)),
        "figures": (("epoch", "figure", "unit"), track.history[start:]),
    }
    return _extended(f"tracks/{track.name}/history", "epoch", start, xr.Dataset(columns))


def _extended(group: str, dim: str, start: int, dataset: xr.Dataset) -> list[Change]:
    """An extension; from the start on everything is new, also the number of slope units."""
    extend = Extend(group, dim, start, dataset)
    return [extend] if start else [Drop(group), extend]


def kept_checkpoints(days: Sequence[int], thinning: Thinning) -> tuple[int, ...]:
    """Which epochs keep a checkpoint: the newest ones, and one in `every` of the older.

    A function of the epochs alone, never of how they were cut into commits. The newest are
    between `checkpoints` and twice as many, so that only one commit in as many rewrites them, and
    no fewer than evidence needs.
    """
    newest = max(thinning.checkpoints, POINT_EPOCHS)
    older = max(0, len(days) // newest - 1) * newest
    return tuple(d for i, d in enumerate(days) if i >= older or i % thinning.every == 0)


def _checkpoint_changes(
    repository: SiteRepository, track: Track, thinning: Thinning
) -> list[Change]:
    group = f"tracks/{track.name}/checkpoints"
    stored = _int_days(repository, group, "checkpoint")
    wanted = _wanted_checkpoints(track, thinning)
    same = 0
    while same < min(len(stored), len(wanted)) and stored[same] == wanted[same]:
        if wanted[same] in track.fresh:
            break
        same += 1
    stacked = [_stacked(checkpoint_of(track, d)) for d in wanted[same:]]
    shape = _stacked(track.motion)
    empty = [np.zeros((0, *part.shape)) for part in shape]
    points, units = (np.stack([s[i] for s in stacked]) if stacked else empty[i] for i in range(2))
    columns = {
        "day": ("checkpoint", np.array(wanted[same:], np.int64)),
        "points": (("checkpoint", "state", "point"), points),
        "units": (("checkpoint", "unit_state", "unit"), units),
    }
    return _extended(group, "checkpoint", same, xr.Dataset(columns))


def _wanted_checkpoints(track: Track, thinning: Thinning) -> tuple[int, ...]:
    """Those of the existing checkpoints that are kept."""
    kept = set(kept_checkpoints(track.days, thinning))
    return tuple(d for d in track.checkpoint_days if d in kept)


def _stored(track: Track, repository: SiteRepository, thinning: Thinning) -> Track:
    """The track after its commit: nothing is pending, and the store is where values are read.

    The checkpoints that the next epoch's evidence needs stay in memory.
    """
    if track.first_change is None and not track.window_changed:
        return track
    newest = track.checkpoint_days[-POINT_EPOCHS:]
    kept = {day: checkpoint_of(track, day) for day in newest}
    return replace(
        track,
        **_readers(repository, track.name, kept),
        loaded={},
        fresh={},
        first_change=None,
        window_changed=False,
        checkpoint_days=_wanted_checkpoints(track, thinning),
    )


def _stacked(motion: Motion) -> tuple[np.ndarray, np.ndarray]:
    units = [*motion.units, motion.offset_mm, motion.seen_mm, motion.calm]
    return np.stack(list(motion.points)), np.stack(units)


def _motion(points: np.ndarray, units: np.ndarray) -> Motion:
    return Motion(TrendState(*points), TrendState(*units[:5]), units[5], units[6], units[7])


def _window_change(name: str, window: PairWindow) -> Put:
    """Dates as text, information as arrays; the waiting pairs as one JSON text."""
    notes = {
        "waiting": msgspec.json.encode([tuple(w) for w in window.waiting]).decode(),
        "issued": [d.isoformat() for d in window.issued],
        "known": [[p.reference.isoformat(), p.secondary.isoformat()] for p in window.known],
        "origin": window.state.origin.isoformat() if window.state else None,
        "dates": [d.isoformat() for d in window.state.dates] if window.state else [],
    }
    arrays: dict[str, Any] = {"notes": ((), np.array(msgspec.json.encode(notes).decode()))}
    if window.state is not None:
        arrays["links"] = (("pixel", "epoch", "other"), np.asarray(window.state.links))
        arrays["vector"] = (("pixel", "epoch"), np.asarray(window.state.vector))
    return Put(f"tracks/{name}/window", xr.Dataset(arrays))


def _read_window(repository: SiteRepository, name: str) -> PairWindow | None:
    group = f"tracks/{name}/window"
    if group not in repository.groups():
        return None
    data = repository.read(group)
    notes = msgspec.json.decode(str(data["notes"].values[()]))
    waiting = msgspec.json.decode(
        notes["waiting"], type=list[tuple[tuple[date, date], ArtifactRef, float, float, str]]
    )
    state = None
    if notes["origin"]:
        dates = tuple(date.fromisoformat(d) for d in notes["dates"])
        origin = date.fromisoformat(notes["origin"])
        state = WindowState(origin, dates, data["links"].values, data["vector"].values)
    return PairWindow(
        waiting=tuple(Waiting(Pair(*w[0]), w[1], w[2], w[3], w[4]) for w in waiting),
        state=state,
        issued=tuple(date.fromisoformat(d) for d in notes["issued"]),
        known=tuple(Pair(*(date.fromisoformat(d) for d in p)) for p in notes["known"]),
    )


def _vintages(drivers: Sequence[DriverRow]) -> dict[str, int]:
    counts: dict[str, int] = {}
    for row in drivers:
        key = f"{row.quantity}/{row.station}/{row.day}"
        counts[key] = counts.get(key, 0) + 1
    return counts


def _int_days(repository: SiteRepository, group: str, dim: str) -> list[int]:
    if not repository.length(group, dim):
        return []
    return [int(d) for d in repository.read(group, variables=["day"])["day"].values]


def _date(text: str | None) -> date | None:
    return date.fromisoformat(text) if text else None
