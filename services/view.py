"""Fills the page's values from the state store and the ledger: now-known state, decisions made."""

from __future__ import annotations

from collections.abc import Mapping
from datetime import date, datetime, timedelta
from typing import Any

import msgspec
import numpy as np

from core.artifacts import Artifacts
from core.clock import Clock
from core.events import Level, UnitForecast
from core.evidence import Floats
from core.ledger.ledger import Ledger
from core.settings import Site
from core.statestore import SiteRepository, States
from services.alerting.message import WHOLE_SITE
from services.alerting.state import UnitAlert, decode_state
from services.console.view import ForecastView, SiteView, Span, TimelineEntry, TrackView, UnitView
from services.inference.issuing.archive import SiteHistory
from services.inference.rows import read_drivers
from services.inference.state import SiteState, day_number, day_of
from services.inference.store import read_state
from services.inference.track import Track, figure
from services.inference.unit_states import daily


def view_site(
    site: Site, states: States, ledger: Ledger, artifacts: Artifacts, clock: Clock, parked: str = ""
) -> SiteView:
    """What the page shows of `site`, before and after it has any state."""
    repository = states.open(site.name) if site.name in states.sites() else None
    try:
        state = read_state(repository, artifacts) if repository else SiteState(site=site)
        rain, level = _drivers(repository)
    finally:
        if repository is not None:
            repository.close()
    view = ledger.state(site.name)
    alerts = decode_state(view.state).units if view else {}
    decisions = [msgspec.json.decode(d.body) for d in ledger.decisions(site.name)]
    tracks = [t for _, t in sorted(state.tracks.items()) if t.days]
    last = state.last_closed or clock.now().date()
    polygons = {u.id: u.polygon for u in site.slope_units}
    ahead = _forecasts(state, tracks)
    points = [np.stack([t.points.lon, t.points.lat], axis=1) for t in tracks]
    return SiteView(
        site=site.name,
        title=site.title or site.name,
        simulated=site.simulated,
        as_of=clock.now(),
        watched_from=state.watched_from,
        units=tuple(
            _unit(index, site, tracks, alerts.get(unit.id, UnitAlert()), decisions, last, ahead)
            for index, unit in enumerate(site.slope_units)
        ),
        rain_day=rain[0],
        rain_mm=rain[1],
        level_day=level[0],
        level_m=level[1],
        polygons=polygons,
        points=np.concatenate(points) if points else np.zeros((0, 2)),
        parked=parked,
    )


def _drivers(repository: SiteRepository | None) -> tuple[Any, Any]:
    """Newest vintage of rain and level by day, as (days, values) each."""
    rows = read_drivers(repository) if repository else []
    found = []
    for quantity in ("rain", "level"):
        newest = {row.day: row.value for row in rows if row.quantity == quantity}
        days = sorted(newest)
        found.append((np.array(days, float), np.array([newest[d] for d in days], float)))
    return found[0], found[1]


def _unit(
    index: int,
    site: Site,
    tracks: list[Track],
    alert: UnitAlert,
    decisions: list[dict[str, Any]],
    last: date,
    ahead: Mapping[tuple[str, str], ForecastView],
) -> UnitView:
    unit = site.slope_units[index]
    first = min((day_of(t.days[0]) for t in tracks), default=None)
    changes = [
        (d, c) for d in decisions for c in d["facts"].get("changes", ()) if c["unit"] == unit.id
    ]
    return UnitView(
        unit=unit.id,
        name=unit.name or unit.id,
        level=alert.level,
        coverage=alert.coverage,
        coverage_reason=alert.coverage_reason,
        next_pass=alert.next_pass,
        tracks=tuple(
            _track(t, index, last, site.noise.rate_walk_mm2_d3, ahead.get((t.name, unit.id)))
            for t in tracks
            if np.isfinite(figure(t, "seen_mm")[:, index]).any()
        ),
        levels=_spans(changes, "level", first, alert.level, last),
        coverages=_spans(changes, "coverage", first, alert.coverage, last),
        timeline=_timeline(decisions, unit.id),
    )


def _forecasts(state: SiteState, tracks: list[Track]) -> dict[tuple[str, str], ForecastView]:
    """The last forecast of each unit on each track, on the track's zero; none where none was."""
    issued = state.issued
    if issued is None or state.site is None:
        return {}
    day = day_number(issued.issued_for)
    ids = [unit.id for unit in state.site.slope_units]
    starts = {t.name: SiteHistory(state, t).filtered(day).displacement_mm for t in tracks}
    return {
        (said.track, said.unit): _ahead(
            said, day + np.array(issued.horizons_d, float), starts[said.track][ids.index(said.unit)]
        )
        for said in issued.units
        if said.track in starts and said.unit in ids
    }


def _ahead(said: UnitForecast, days: Floats, start_mm: float) -> ForecastView:
    return ForecastView(
        day=days,
        mm=start_mm + np.array(said.los_increment_mm),
        low_mm=start_mm + np.array(said.low_90_mm),
        high_mm=start_mm + np.array(said.high_90_mm),
        model=said.model,
        reason=said.reason,
        stepped_down=said.stepped_down,
    )


def _track(
    track: Track, index: int, last: date, rate_walk: float, forecast: ForecastView | None
) -> TrackView:
    days = np.arange(track.days[0], max(day_number(last), track.days[-1]) + 1, dtype=float)
    state = daily(track, days, rate_walk)
    epochs = np.array(track.days, float)
    return TrackView(
        track=track.name,
        epoch_day=epochs,
        epoch_mm=figure(track, "seen_mm")[:, index],
        epoch_sd_mm=figure(track, "seen_sd_mm")[:, index],
        epoch_out_of_range=figure(track, "out_of_range")[:, index],
        day=days,
        day_mm=state.displacement_mm[:, index],
        day_sd_mm=np.sqrt(state.var_displacement[:, index]),
        velocity_mm_d=state.velocity_mm_d[:, index],
        velocity_sd_mm_d=np.sqrt(state.var_velocity[:, index]),
        forecast=forecast,
    )


def _spans(
    changes: list[tuple[dict[str, Any], Any]], what: str, first: date | None, now: str, last: date
) -> tuple[Span, ...]:
    """Stretches of one level or coverage from the first known day to `last`.

    `now` is what holds at the end; what held before the first change is that change's past.
    """
    moments = [
        (date.fromisoformat(d["now"][:10]), c[what], c["reason"])
        for d, c in changes
        if c[what][0] != c[what][1]
    ]
    start = first or (moments[0][0] if moments else last)
    values = [(start, moments[0][1][0] if moments else now, "")]
    values += [(day, pair[1], reason) for day, pair, reason in moments]
    ends = [day for day, _, _ in values[1:]] + [last + timedelta(days=1)]
    return tuple(
        Span(day, end, value, reason)
        for (day, value, reason), end in zip(values, ends, strict=True)
        if end > day
    )


def _timeline(decisions: list[dict[str, Any]], unit: str) -> tuple[TimelineEntry, ...]:
    """What changed for a unit, and when somebody was told: those entries carry the level."""
    entries: list[TimelineEntry] = []
    level: Level = "blue"
    for decision in decisions:
        facts, at = decision["facts"], msgspec.convert(decision["now"], datetime)
        told = [r for r in facts.get("notified", ()) if r["unit"] in (unit, WHOLE_SITE)]
        changed = [c for c in facts.get("changes", ()) if c["unit"] == unit]
        for change in changed:
            level = change["level"][1]
            entries.append(TimelineEntry(at, change["reason"], level if told else None))
        if told and not changed:
            who = ", ".join(sorted({row["recipient"] for row in told}))
            entries.append(TimelineEntry(at, f"told: {who}", level))
    return tuple(entries)
