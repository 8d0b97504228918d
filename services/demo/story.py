"""`slopewatch demo`: three simulated slopes, watched from the satellite pass to the inbox.

The slopes are the digital twin's. A stand-in server speaks the protocols of the real catalogues
and the real clients poll it; mail and webhook go to sinks on this machine. Time is replayed.
"""

from __future__ import annotations

import shutil
from collections.abc import Callable, Iterable
from dataclasses import dataclass, replace
from datetime import date, timedelta
from pathlib import Path

import numpy as np
from tqdm import tqdm

from core.clock import ReplayClock, midnight
from core.events import ALERTS, AlertChanged, Event
from core.settings import rank
from core.twin import Kind, Observed, Truth, observe, simulate
from services.commands.logs import events
from services.compose import Slopewatch, load_sites
from services.console.page import render
from services.console.view import ScoreTable, SiteView, TimelineEntry
from services.demo.sinks import SmtpSink, WebhookSink
from services.demo.standin import from_twin
from services.demo.world import outside_world
from services.page import views
from services.schedule import Scheduler

FIRST_DAY = date(2020, 1, 1)
YEARS = 5
WATCHED_FROM = date(2023, 11, 1)
TICK = timedelta(hours=1)
AFTER_FAILURE = timedelta(days=20)

INTRO = """Everything here is simulated: three slopes above a reservoir that does not exist. Their \
true motion is known every day, so the page can show it beside what the satellite saw.

The failing slope accelerates and fails, the aborting one accelerates and stops, the quiet one \
only creeps. Data were polled by the real clients from a stand-in for the real catalogues, and \
every alert was sent by mail and as a signed webhook to sinks on this machine.

This is one story, chosen because the warning comes in time. How often that is so, and how often \
the rules cry wolf, stands in the table at the end: on simulated slopes that nothing was tuned on, \
most failures are not caught two weeks ahead."""

Echo = Callable[[str], None]


@dataclass(frozen=True)
class Slope:
    """One slope of the story."""

    name: str
    title: str
    seed: int
    kind: Kind


SLOPES = (
    Slope("failing", "Slope that fails (simulated)", 3_000_211, Kind.FAILING),
    Slope("aborting", "Slope that accelerates and stops (simulated)", 3_020_014, Kind.ABORTED),
    Slope("quiet", "Slope that only creeps (simulated)", 3_040_004, Kind.QUIET),
)


@dataclass(frozen=True)
class Twin:
    """Truth and observation of the story's slopes, in their order."""

    truth: Truth
    observed: Observed

    def day(self, days: np.ndarray, index: int) -> date | None:
        """A day of the twin as a date; None for none."""
        return None if days[index] < 0 else FIRST_DAY + timedelta(days=int(days[index]))


def run_demo(folder: Path, *, fresh: bool, echo: Echo) -> Path:
    """Replay the story into `folder`; returns the page's path.

    A second run goes on where the first stopped and repeats no notification.
    """
    if fresh and folder.exists():
        shutil.rmtree(folder)
    folder.mkdir(parents=True, exist_ok=True)
    echo("Simulated slopes: nothing here is a real place.")
    twin = make_twin()
    places = {
        s.title: from_twin(twin.truth, twin.observed, i, s.name, FIRST_DAY)
        for i, s in enumerate(SLOPES)
    }
    clock = ReplayClock(midnight(WATCHED_FROM))
    with outside_world(folder, places, WATCHED_FROM, clock) as (service, smtp, webhook):
        with Slopewatch(service, clock=clock) as app:
            told = replay(app, clock, twin)
            page = write_page(app, folder, twin, told, echo)
        _tell_inbox(smtp, webhook, echo)
    echo(f"The page to look at first: {page.resolve()}")
    return page


def make_twin() -> Twin:
    """The three slopes; the same every time."""
    truth = simulate([s.seed for s in SLOPES], [s.kind for s in SLOPES], years=YEARS)
    return Twin(truth, observe(truth, noise="radar", flank_pixels=2))


def replay(app: Slopewatch, clock: ReplayClock, twin: Twin) -> list[Event]:
    """Take history in, then live through the watched season day by day; all alerts of it."""
    sites = load_sites(app.service)
    scheduler = Scheduler(app)
    for site in sites:
        app.configure(site)
    app.activate_release(sites)
    start = app.ingest.closed_until(sites) or WATCHED_FROM - timedelta(days=1)
    if start < WATCHED_FROM:
        for site in tqdm(sites, desc="history", unit="site"):
            app.ingest.backfill(site, FIRST_DAY, WATCHED_FROM - timedelta(days=1))
        app.settle()
    told = _alerts(app)
    last = _last_day(twin)
    for day in tqdm(_days(start, last), desc="season", unit="day"):
        clock.set(midnight(day + timedelta(days=1)) + TICK)
        live_one_day(app, scheduler)
        fresh = _alerts(app)[len(told) :]
        for event in fresh:
            tqdm.write(f"  {event.available_at:%Y-%m-%d}  {event.site:9} {_sentence(event)}")
        told += fresh
        for index, slope in enumerate(SLOPES):
            if twin.day(twin.truth.failure_day, index) == day:
                tqdm.write(f"  {day}  {slope.name:9} *** THE SIMULATED SLOPE FAILS ***")
    clock.set(midnight(last + timedelta(days=1)) + TICK)
    return told


def live_one_day(app: Slopewatch, scheduler: Scheduler) -> None:
    """What the running services do in a day, one after the other."""
    scheduler.tick()
    app.settle()
    if app.pass_deadlines():
        app.settle()
    if app.sender is not None:
        app.sender.step(app.clock.now())


def _days(after: date, last: date) -> list[date]:
    return [after + timedelta(days=n) for n in range(1, (last - after).days + 1)]


def _last_day(twin: Twin) -> date:
    """The season ends some weeks after the failure, for all slopes alike."""
    failure = twin.day(twin.truth.failure_day, 0)
    end = FIRST_DAY + timedelta(days=twin.truth.rain_mm.shape[1] - 1)
    return min(end, failure + AFTER_FAILURE) if failure else end


def _alerts(app: Slopewatch) -> list[Event]:
    """All alerts since the slopes are watched, in their order."""
    found = [e for e in events(app.log, ALERTS) if isinstance(e.data, AlertChanged)]
    news = [e for e in found if e.available_at.date() >= WATCHED_FROM]
    return sorted(news, key=lambda e: (e.available_at, e.site, e.number or 0))


def _sentence(event: Event) -> str:
    data = event.data
    assert isinstance(data, AlertChanged)
    if data.level != data.previous_level:
        return f"{data.level.upper()} (was {data.previous_level}): {data.reason}"
    return f"{data.coverage} (was {data.previous_coverage}): {data.reason}"


def lead_days(told: Iterable[Event], twin: Twin, index: int) -> dict[str, int]:
    """Days from the first time each level stood since the onset to the failure of a slope."""
    onset = twin.day(twin.truth.onset_day, index)
    failure = twin.day(twin.truth.failure_day, index)
    leads: dict[str, int] = {}
    if onset is None or failure is None:
        return leads
    for event in told:
        data = event.data
        mine = isinstance(data, AlertChanged) and event.site == SLOPES[index].name
        day = event.available_at.date()
        if mine and onset <= day <= failure and isinstance(data, AlertChanged):
            if rank(data.level) > rank(data.previous_level):
                leads.setdefault(data.level, (failure - day).days)
            if data.coverage == "out of range":
                leads.setdefault("out of range", (failure - day).days)
    return leads


def _story_lines(told: list[Event], twin: Twin) -> list[TimelineEntry]:
    """The story as the page tells it, the twin's truth beside what was said."""
    entries = [
        TimelineEntry(e.available_at, f"{e.site}: {_sentence(e)}", e.data.level)
        for e in told
        if isinstance(e.data, AlertChanged)
    ]
    for index, slope in enumerate(SLOPES):
        for days, text in (
            (twin.truth.onset_day, "the simulated acceleration begins"),
            (twin.truth.failure_day, "THE SIMULATED SLOPE FAILS"),
        ):
            day = twin.day(days, index)
            if day is not None:
                entries.append(TimelineEntry(midnight(day), f"{slope.name}: {text}"))
    return sorted(entries, key=lambda entry: entry.at)


def write_page(app: Slopewatch, folder: Path, twin: Twin, told: list[Event], echo: Echo) -> Path:
    """The page with truth and scores; prints the lead times and the table as well."""
    from services.scoring.table import score_rules

    found = views(app)
    order = {slope.name: index for index, slope in enumerate(SLOPES)}
    shown = [_with_truth(view, twin, order[view.site], told) for view in found]
    shown.sort(key=lambda view: order[view.site])
    for slope, view in zip(SLOPES, shown, strict=True):
        unit = view.units[0]
        leads = ", ".join(f"{level} {days} d ahead" for level, days in unit.lead_days.items())
        fate = f"fails on {unit.failure}: {leads or 'not warned'}" if unit.failure else "stands"
        echo(f"{slope.name:9} {fate}; now {unit.level}, {unit.coverage}")
    echo("That was one story. The same rules on simulated slopes that nothing was tuned on:")
    table = score_rules()
    _echo_table(table, echo)
    page = folder / "page.html"
    page.write_text(
        render(
            shown,
            title="slopewatch demo: three simulated slopes",
            intro=INTRO,
            scores=[table],
            story=_story_lines(told, twin),
        ),
        encoding="utf-8",
    )
    return page


def _with_truth(view: SiteView, twin: Twin, index: int, told: list[Event]) -> SiteView:
    """The view with the true motion of the unit along the line of sight."""
    truth = twin.truth
    moved = (truth.displacement_mm[index] * truth.los_factor[index]).mean(axis=1)
    first = np.datetime64(FIRST_DAY, "D").astype(float)
    days = first + np.arange(moved.size)
    begin = int(twin.observed.epoch_day[index][0])
    unit = replace(
        view.units[0],
        truth_day=days,
        truth_mm=moved - moved[begin],
        onset=twin.day(truth.onset_day, index),
        failure=twin.day(truth.failure_day, index),
        lead_days=lead_days(told, twin, index),
    )
    return replace(view, units=(unit, *view.units[1:]))


def _echo_table(table: ScoreTable, echo: Echo) -> None:
    rows = [table.columns, *table.rows]
    widths = [max(len(row[i]) for row in rows) for i in range(len(table.columns))]
    for row in rows:
        echo("  " + "  ".join(cell.ljust(width) for cell, width in zip(row, widths, strict=True)))
    echo(f"  {table.note}")


def _tell_inbox(smtp: SmtpSink, webhook: WebhookSink, echo: Echo) -> None:
    mails = smtp.messages()
    echo(
        f"Inbox: {len(mails)} mails in {smtp.folder}, {len(webhook.files())} webhooks with a good "
        f"signature in {webhook.folder}, {webhook.refused} refused"
    )
    for mail in mails:
        echo(f"  {mail['Subject']}")
