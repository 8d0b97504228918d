"""One self-contained HTML file of a hindcast: for the engineer who has to decide what it is worth.

It asks nothing of the network, needs no script and is the same for the same input.
"""

from __future__ import annotations

import base64
from collections.abc import Sequence
from dataclasses import dataclass
from functools import cache

import jinja2
import numpy as np

from core.evidence import Floats
from services.hindcast import words
from services.hindcast.figures import coverage_figure, scatter_figure, skill_figure
from services.hindcast.judge import Judged, judge
from services.hindcast.replay import Replay
from services.hindcast.timeline import Step, unit_figure
from services.hindcast.words import Alert, Row
from services.inference.model import HORIZONS_D


@dataclass(frozen=True)
class Section:
    """One track (or pool) of the site, replayed. `truth_mm` (D, S): simulated motion, if any."""

    replay: Replay
    truth_mm: Floats | None = None


@dataclass(frozen=True)
class _Shown:
    """A section as the template shows it."""

    name: str
    summary: tuple[str, ...]
    units: tuple[tuple[str, str, str], ...]
    scatter: str
    coverage: str
    skill: str
    horizon_columns: tuple[str, ...]
    horizon_rows: tuple[Row, ...]
    group_rows: tuple[Row, ...]
    speaker_rows: tuple[Row, ...]
    reason_rows: tuple[Row, ...]
    judged: bool


def render(
    title: str,
    sections: Sequence[Section],
    *,
    simulated: bool,
    alerts: Sequence[Alert] | None = None,
) -> str:
    """The report of all sections of one site.

    `alerts`: changes of level up to the last day, of the days replayed and before; None where no
    rule was evaluated.
    """
    replays = [section.replay for section in sections]
    case, days = replays[0].case, replays[0].day
    first, last = case.date_of(int(days[0])), case.date_of(int(days[-1]))
    within = [one for one in alerts or () if first <= one.known <= last]
    return (
        _environment()
        .get_template("hindcast.html.j2")
        .render(
            title=title,
            simulated=simulated,
            first=first,
            last=last,
            sections=[_shown(section, alerts) for section in sections],
            alerts=None if alerts is None else words.alert_rows(within),
            limits=words.limits(
                simulated=simulated,
                alerts=alerts is not None,
                issued_drivers=any(_issued_drivers(replay) for replay in replays),
            ),
        )
    )


@cache
def _environment() -> jinja2.Environment:
    return jinja2.Environment(
        loader=jinja2.PackageLoader("services.hindcast"),
        autoescape=True,
        undefined=jinja2.StrictUndefined,
        trim_blocks=True,
        lstrip_blocks=True,
    )


def _shown(section: Section, alerts: Sequence[Alert] | None) -> _Shown:
    replay = section.replay
    judged = judge(replay)
    with_any = bool(np.isfinite(judged.error_mm[HORIZONS_D.index(words.TOLD_D)]).any())
    others = [other for other in words.AGAINST if other in judged.by_model]
    return _Shown(
        name=replay.case.name,
        summary=words.summary(replay, judged),
        units=tuple(
            (
                unit,
                _picture(
                    unit_figure(
                        replay, judged, place, steps_of(alerts, unit, replay), section.truth_mm
                    )
                ),
                _alt(replay, judged, place),
            )
            for place, unit in enumerate(replay.case.units)
        ),
        scatter=_picture(scatter_figure(replay, judged)) if with_any else "",
        coverage=_picture(coverage_figure(judged)) if with_any else "",
        skill=_picture(skill_figure(replay, judged, others)) if with_any else "",
        horizon_columns=words.horizon_columns(judged),
        horizon_rows=words.horizon_rows(replay, judged),
        group_rows=words.group_rows(judged),
        speaker_rows=words.speaker_rows(replay),
        reason_rows=words.reason_rows(replay),
        judged=with_any,
    )


def steps_of(alerts: Sequence[Alert] | None, unit: str, replay: Replay) -> tuple[Step, ...] | None:
    """Stretches of one level of a unit by the day on which it was known; None without alerts."""
    if alerts is None:
        return None
    mine = sorted((a for a in alerts if a.unit == unit), key=lambda a: a.known)
    first, last = int(replay.day[0]), int(replay.day[-1])
    days = [min(max(replay.case.day_of(one.known), first), last + 1) for one in mine]
    levels = [mine[0].before if mine else "blue", *(one.after for one in mine)]
    bounds = zip([first, *days], [*days, last + 1], levels, strict=True)
    return tuple(Step(start, end - 1, level) for start, end, level in bounds if end > start)


def _picture(svg: str) -> str:
    return "data:image/svg+xml;base64," + base64.b64encode(svg.encode()).decode("ascii")


def _alt(replay: Replay, judged: Judged, series: int) -> str:
    seen = int(np.isfinite(judged.los_mm[:, series]).sum())
    return (
        f"{replay.case.units[series]}: {seen} acquisitions with the forecasts that had been issued "
        "of them, who spoke, rain and reservoir level"
    )


def _issued_drivers(replay: Replay) -> bool:
    drivers = replay.known.drivers
    return bool((drivers.rain_issued & np.isfinite(drivers.rain_mm)).any())
