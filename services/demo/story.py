"""`slopewatch demo`: simulated slopes, watched from the satellite pass to the inbox.

The slopes are the digital twin's. A stand-in server speaks the protocols of the real catalogues
and the real clients poll it; mail and webhook go to sinks on this machine. Time is replayed.
"""

from __future__ import annotations

import shutil
from collections.abc import Callable
from datetime import date, timedelta
from pathlib import Path

from tqdm import tqdm

from core.clock import ReplayClock, midnight
from core.events import ALERTS, AlertChanged, Event
from services.commands.logs import events
from services.compose import ALL, Slopewatch, load_sites
from services.demo.cast import STORY, Cast, Story, cast_of
from services.demo.show import sentence, show, show_inbox
from services.demo.standin import from_twin
from services.demo.world import outside_world
from services.schedule import Scheduler

TICK = timedelta(hours=1)

Echo = Callable[[str], None]


def run_demo(folder: Path, *, fresh: bool, echo: Echo, story: Story = STORY) -> Path:
    """Replay the story into `folder`; returns the page's path.

    A second run goes on where the first stopped and repeats no notification.
    """
    if fresh and folder.exists():
        shutil.rmtree(folder)
    folder.mkdir(parents=True, exist_ok=True)
    echo("Simulated slopes: nothing here is a real place.")
    cast = cast_of(story)
    places = {
        slope.title: from_twin(cast.truth, cast.observed, i, slope.name, story.first_day)
        for i, slope in enumerate(story.slopes)
    }
    clock = ReplayClock(midnight(story.watched_from))
    with outside_world(folder, places, story.watched_from, clock) as (service, smtp, webhook):
        with Slopewatch(service, roles=ALL, clock=clock) as app:
            told = replay(app, clock, cast)
            page = show(app, folder, cast, told, echo)
        show_inbox(smtp, webhook, echo)
    echo(f"The page to look at first: {page.resolve()}")
    return page


def replay(app: Slopewatch, clock: ReplayClock, cast: Cast) -> list[Event]:
    """Take history in, then live through the watched season day by day; all alerts of it."""
    story, last = cast.story, cast.last_day()
    start = _take_history(app, story)
    told = _alerts(app, story)
    scheduler = Scheduler(app)
    for day in tqdm(_days(start, last), desc="season", unit="day"):
        clock.set(midnight(day + timedelta(days=1)) + TICK)
        live_one_day(app, scheduler)
        fresh = _alerts(app, story)[len(told) :]
        for event in fresh:
            tqdm.write(f"  {event.available_at:%Y-%m-%d}  {event.site:9} {sentence(event)}")
        told += fresh
        for index, slope in enumerate(story.slopes):
            if cast.failure(index) == day:
                tqdm.write(f"  {day}  {slope.name:9} *** THE SIMULATED SLOPE FAILS ***")
    clock.set(midnight(last + timedelta(days=1)) + TICK)
    return told


def _take_history(app: Slopewatch, story: Story) -> date:
    """Everything before the watch begins, unless an earlier demo did; the last closed day."""
    sites = load_sites(app.service)
    for site in sites:
        app.configure(site)
    app.activate_release(sites)
    before = story.watched_from - timedelta(days=1)
    closed = app.ingest.closed_until(sites)
    if closed is not None:
        return closed
    for site in tqdm(sites, desc="history", unit="site"):
        app.ingest.backfill(site, story.first_day, before)
    app.settle()
    return before


def live_one_day(app: Slopewatch, scheduler: Scheduler) -> None:
    """What the running services do in a day, one after the other."""
    scheduler.tick()
    app.settle()
    if app.pass_deadlines():
        app.settle()
    if app.sender is not None:
        while app.sender.step(app.clock.now()):
            pass


def _days(after: date, last: date) -> list[date]:
    return [after + timedelta(days=n) for n in range(1, (last - after).days + 1)]


def _alerts(app: Slopewatch, story: Story) -> list[Event]:
    """All alerts since the slopes are watched, in their order."""
    found = [e for e in events(app.log, ALERTS) if isinstance(e.data, AlertChanged)]
    news = [e for e in found if e.available_at.date() >= story.watched_from]
    return sorted(news, key=lambda e: (e.available_at, e.site, e.number or 0))
