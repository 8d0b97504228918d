"""What the demo leaves behind: lead times, the score table, the page, the inbox."""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import replace
from pathlib import Path

import numpy as np

from core.clock import midnight
from core.events import AlertChanged, Event
from services.compose import Slopewatch
from services.console.page import render
from services.console.view import ScoreTable, SiteView, TimelineEntry
from services.demo.cast import Cast
from services.demo.sinks import SmtpSink, WebhookSink
from services.page import views

INTRO = """Everything here is simulated: three slopes above a reservoir that does not exist. Their \
true motion is known every day, so the page can show it beside what the satellite saw.

The failing slope accelerates and fails, the aborting one accelerates and stops, the quiet one \
only creeps. Data were polled by the real clients from a stand-in for the real catalogues, and \
every alert was sent by mail and as a signed webhook to sinks on this machine.

This is one story, chosen because the warning comes in time. How often that is so, and how often \
the rules cry wolf, stands in the table at the end: on simulated slopes that nothing was tuned on, \
most failures are not caught two weeks ahead."""

Echo = Callable[[str], None]


def sentence(event: Event) -> str:
    """One alert in a line."""
    data = event.data
    if not isinstance(data, AlertChanged):
        return event.data.NAME
    if data.level != data.previous_level:
        return f"{data.level.upper()} (was {data.previous_level}): {data.reason}"
    return f"{data.coverage} (was {data.previous_coverage}): {data.reason}"


def show(app: Slopewatch, folder: Path, cast: Cast, told: list[Event], echo: Echo) -> Path:
    """Print lead times and scores and write the page; returns its path."""
    from services.scoring.table import score_rules

    order = {slope.name: index for index, slope in enumerate(cast.story.slopes)}
    shown = [_with_truth(view, cast, order[view.site], told) for view in views(app)]
    shown.sort(key=lambda view: order[view.site])
    for view in shown:
        echo(_fate(view))
    echo("That was one story. The same rules on simulated slopes that nothing was tuned on:")
    table = score_rules(cast.story.failing, cast.story.quiet)
    echo_table(table, echo)
    page = folder / "page.html"
    text = render(
        shown,
        title="slopewatch demo: simulated slopes",
        intro=INTRO,
        scores=[table],
        story=_story_lines(cast, told),
    )
    page.write_text(text, encoding="utf-8")
    return page


def _fate(view: SiteView) -> str:
    unit = view.units[0]
    leads = ", ".join(f"{level} {days} d ahead" for level, days in unit.lead_days.items())
    fate = f"fails on {unit.failure}: {leads or 'not warned'}" if unit.failure else "stands"
    return f"{view.site:9} {fate}; now {unit.level}, {unit.coverage}"


def _with_truth(view: SiteView, cast: Cast, index: int, told: list[Event]) -> SiteView:
    """The view with the true motion of the unit along the line of sight."""
    moved = cast.true_los_mm(index)
    first = float(np.datetime64(cast.story.first_day, "D").astype(np.int64))
    unit = replace(
        view.units[0],
        truth_day=first + np.arange(moved.size, dtype=np.float64),
        truth_mm=moved,
        onset=cast.onset(index),
        failure=cast.failure(index),
        lead_days=cast.lead_days(told, index),
    )
    return replace(view, units=(unit, *view.units[1:]))


def _story_lines(cast: Cast, told: list[Event]) -> list[TimelineEntry]:
    """The story as the page tells it, the twin's truth beside what was said."""
    entries = [
        TimelineEntry(e.available_at, f"{e.site}: {sentence(e)}", e.data.level)
        for e in told
        if isinstance(e.data, AlertChanged)
    ]
    for index, slope in enumerate(cast.story.slopes):
        for day, text in (
            (cast.onset(index), "the simulated acceleration begins"),
            (cast.failure(index), "THE SIMULATED SLOPE FAILS"),
        ):
            if day is not None:
                entries.append(TimelineEntry(midnight(day), f"{slope.name}: {text}"))
    return sorted(entries, key=lambda entry: entry.at)


def echo_table(table: ScoreTable, echo: Echo) -> None:
    """A score table in aligned columns."""
    rows = [table.columns, *table.rows]
    widths = [max(len(row[i]) for row in rows) for i in range(len(table.columns))]
    for row in rows:
        cells = (cell.ljust(width) for cell, width in zip(row, widths, strict=True))
        echo(f"  {'  '.join(cells).rstrip()}")
    echo(f"  {table.note}")


def show_inbox(smtp: SmtpSink, webhook: WebhookSink, echo: Echo) -> None:
    """What arrived in the sinks."""
    mails = smtp.messages()
    echo(
        f"Inbox: {len(mails)} mails in {smtp.folder}, {len(webhook.files())} webhooks with a good "
        f"signature in {webhook.folder}, {webhook.refused} refused"
    )
    for mail in mails:
        echo(f"  {str(mail['Subject']).strip()}")
