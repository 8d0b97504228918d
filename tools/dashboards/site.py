"""One slope unit: how it moves, what is expected, what drives it, and what was decided."""

from __future__ import annotations

from grafana_foundation_sdk.models.common import BigValueTextMode, GraphDrawStyle, VisibilityMode
from grafana_foundation_sdk.models.dashboard import Dashboard, DynamicConfigValue

from tools.dashboards import looks
from tools.dashboards.looks import DAY, LATE, SOON, WRONG
from tools.dashboards.panels import board, columns, graph, stat, table, timeline
from tools.dashboards.queries import (
    Marks,
    Sql,
    metrics_source,
    now,
    projection_source,
    rows,
)
from tools.dashboards.site_sql import (
    EXPECTED,
    HISTORY,
    MEASURED,
    RAIN,
    RESERVOIR,
    SERIES,
    SITE,
    SITES,
    SPEAKING,
    UNIT,
    UNITS,
    VELOCITY,
    VERDICTS,
    steps,
    stretches,
)
from tools.dashboards.standing import AGE_LIMITS, BLIND_LIMITS, COVERAGE_NUMBER

SAFELY_NOW = "24h"
"""Time of panels that ask Prometheus: the dashboard's reaches into the future."""


def made() -> Dashboard:
    """The dashboard."""
    return board(
        "site",
        "slopewatch: one site",
        "One slope unit of one site: motion, forecast, drivers, level and why.",
        [
            metrics_source(),
            projection_source(),
            rows(
                "site",
                "Site",
                SITES,
                "site that is shown; the highest level comes first",
            ),
            rows(
                "unit",
                "Slope unit",
                UNITS,
                "slope unit that is shown; the highest level comes first",
            ),
            rows(
                "track",
                "Track",
                f"SELECT DISTINCT track FROM motion WHERE {UNIT} ORDER BY 1",
                "track that motion and forecast are shown of",
            ),
        ],
        [
            ("Now", _now()),
            ("Motion", [_displacement(), _velocity(), _drivers()]),
            ("Level and coverage", [_standing(), _verdicts(), _history()]),
            ("Who spoke", [_models()]),
        ],
        marks=[_stretches(level) for level in ("yellow", "orange", "red")],
        since="now-1y",
        until="now+45d",
        refresh="5m",
    )


def _stretches(level: str) -> Marks:
    """The time at a level, shaded in every graph."""
    return Marks(
        f"At {level}",
        looks.LEVELS[level],
        stretches(level),
    )


def _now() -> list[object]:
    unit = f"FROM units WHERE {UNIT}"
    return [
        stat(
            "Level",
            "Level of the slope unit.",
            "none",
            Sql(f"SELECT COALESCE(max(level_number), 0) AS level {unit}"),
            width=3,
            mapped=looks.LEVELS,
        ),
        stat(
            "Coverage",
            "Whether the slope unit can be seen.",
            "none",
            Sql(
                f"SELECT COALESCE(max({COVERAGE_NUMBER.format('coverage')}), 0) AS coverage {unit}"
            ),
            width=3,
            mapped=looks.COVERAGE,
            runbooks=["SiteBlind", "SiteStale"],
        ),
        stat(
            "Newest epoch",
            "Age of the slope unit's newest epoch on any track.",
            "s",
            Sql(
                "SELECT extract(epoch FROM now() - max(epoch)::timestamp AT TIME ZONE 'UTC') "
                f"AS age FROM motion WHERE {UNIT} AND los_displacement_mm IS NOT NULL"
            ),
            width=3,
            limits=AGE_LIMITS,
            runbooks=["StateOld"],
        ),
        stat(
            "Next pass within",
            "Time until the end of the day of the next pass that is expected; below zero: since.",
            "s",
            now('-slopewatch:pass_overdue_seconds{site="$site"}'),
            width=3,
            first=LATE,
            limits=((-3 * DAY, SOON), (0, looks.FINE)),
            time_from=SAFELY_NOW,
            runbooks=["ExpectedPassMissing"],
        ),
        stat(
            "Blind in",
            "Time until a slope unit of the site becomes blind if no epoch comes.",
            "s",
            now('slopewatch:blind_in_seconds{site="$site"}'),
            width=3,
            first=WRONG,
            limits=BLIND_LIMITS,
            time_from=SAFELY_NOW,
            runbooks=["SlopeBlindSoon"],
        ),
        stat(
            "Data",
            "Whether the site's data are real or those of the digital twin.",
            "none",
            Sql(f"SELECT simulated::int AS simulated FROM sites WHERE {SITE}"),
            width=3,
            mapped={"real": looks.FINE, "simulated": looks.PLAIN},
        ),
        stat(
            "Forecast by",
            "Model that spoke last for this slope unit on this track; orange: it stands in for the "
            "one that was chosen.",
            "none",
            Sql(
                "SELECT model || CASE WHEN stepped_down THEN ' (standing in)' ELSE '' END AS "
                f"model FROM forecasts WHERE {SERIES} ORDER BY issued_for DESC LIMIT 1"
            ),
            width=3,
            fields="/^model$/",
            text=BigValueTextMode.VALUE,
            marked={"standing in": LATE},
            runbooks=["ModelFallback"],
        ),
        stat(
            "Forecast issued",
            "Age of the day at whose end the newest forecast was issued.",
            "s",
            Sql(
                "SELECT extract(epoch FROM now() - (max(issued_for) + 1)::timestamp AT TIME ZONE "
                f"'UTC') AS age FROM forecasts WHERE {SERIES}"
            ),
            width=3,
            limits=((1.5 * DAY, SOON), (3 * DAY, LATE)),
            runbooks=["DayNotClosed"],
        ),
    ]


def _displacement() -> object:
    panel = graph(
        "Displacement and forecast: $unit, track $track",
        "Along the line of sight since the reference epoch, + toward the satellite. Points: mean "
        "of the slope unit at each epoch with its 90 % interval; from the newest forecast the "
        "motion expected with the intervals of 50 and 90 %. Shaded: time at yellow, orange, red.",
        "lengthmm",
        Sql(MEASURED, series=True),
        Sql(EXPECTED, series=True, ref="B"),
        width=24,
        height=11,
    )
    _pointed(panel, "measured", looks.MEASURED)
    _banded(panel, "measured, high", "measured, low", looks.BAND, 18)
    panel.override_by_name(
        "forecast",
        [looks.fixed(looks.FORECAST), DynamicConfigValue("custom.lineStyle", _dashes())],
    )
    for share, opacity in (("90", 16), ("50", 30)):
        high, low = f"forecast, high {share} %", f"forecast, low {share} %"
        _banded(panel, high, low, looks.FORECAST_BAND, opacity)
    return panel


def _velocity() -> object:
    panel = graph(
        "Velocity: $unit, track $track",
        "Filtered velocity along the line of sight after each epoch, with its 90 % interval; "
        "+ toward the satellite.",
        "suffix: mm/yr",
        Sql(VELOCITY, series=True),
        width=24,
        height=8,
    )
    _pointed(panel, "velocity", looks.MEASURED)
    _banded(panel, "velocity, high", "velocity, low", looks.BAND, 18)
    return panel


def _drivers() -> object:
    panel = graph(
        "Rain and reservoir level",
        "Rain of each UTC day (bars, left axis) and reservoir level above the station's datum "
        "(line, right axis), as each gauge reported it last.",
        "lengthmm",
        Sql(RAIN, series=True),
        Sql(RESERVOIR, series=True, ref="B"),
        width=24,
        height=8,
        bars=True,
        empty="the site has no feed of rain or level",
    )
    panel.override_by_query("A", [looks.fixed(looks.RAIN)])
    return panel.override_by_query(
        "B",
        [
            looks.fixed(looks.RESERVOIR),
            DynamicConfigValue("unit", "lengthm"),
            DynamicConfigValue("custom.axisPlacement", "right"),
            DynamicConfigValue("custom.drawStyle", GraphDrawStyle.LINE),
            DynamicConfigValue("custom.lineWidth", 2),
            DynamicConfigValue("custom.fillOpacity", 0),
        ],
    )


def _standing() -> object:
    return timeline(
        "Level and coverage: $unit",
        "What the slope unit stood at, by the time of what was known.",
        Sql(steps("level_number", "level"), series=True),
        Sql(steps(COVERAGE_NUMBER.format("coverage"), "coverage"), series=True, ref="B"),
        height=6,
        colours=looks.LEVELS,
        others={"B": looks.COVERAGE},
    )


def _verdicts() -> object:
    return table(
        "What each rule asked for last: $unit",
        "The newest verdict of each rule on each track, given when a level or coverage changed. A "
        "rule that is not calibrated has no threshold, or too few data to use it.",
        Sql(VERDICTS),
        empty="no rule has spoken: the slope unit never left blue",
        changes=columns(
            {
                "rule": "Rule",
                "track": "Track",
                "level": "Asks for",
                "calibrated": "Calibrated",
                "at": "When",
                "reason": "Reason",
            }
        ),
        columns={
            "Rule": [looks.wide(150)],
            "Track": [looks.wide(120)],
            "Asks for": [*looks.painted_numbers(looks.LEVELS), looks.wide(100)],
            "Calibrated": [looks.wide(100)],
            "When": looks.moment(),
        },
        height=8,
    )


def _history() -> object:
    return table(
        "What was decided and done: $unit",
        "Changes of level and coverage, and what operators did about them, the newest first.",
        Sql(HISTORY),
        empty="nothing in this time",
        changes=columns(
            {
                "at": "When",
                "what": "What",
                "level": "Level",
                "coverage": "Coverage",
                "alert": "Alert",
                "who": "Who",
                "reason": "Reason",
                "status": "Status",
            }
        ),
        columns={
            "When": looks.moment(),
            "Level": [*looks.painted_numbers(looks.LEVELS), looks.wide(90)],
            "Coverage": [*looks.painted({**looks.COVERAGE, "": "transparent"}), looks.wide(110)],
            "Reason": [looks.wide(560)],
        },
        height=10,
    )


def _models() -> object:
    return table(
        "Which model spoke for each slope unit of the site",
        "Newest forecast of each slope unit and track: the model, why it was this one, when it was "
        "fitted, and the motion expected until its last day with the 90 % interval.",
        Sql(SPEAKING),
        empty="no forecast has been issued yet",
        changes=columns(
            {
                "name": "Slope unit",
                "track": "Track",
                "model": "Model",
                "stands_in": "Stands in",
                "reason": "Why",
                "fitted": "Fitted",
                "horizon_d": "Days ahead",
                "expected": "Expected",
                "low": "Low 90 %",
                "high": "High 90 %",
            }
        ),
        columns={
            "Stands in": looks.painted({"yes": LATE, "no": "transparent"}),
            "Fitted": looks.moment(),
            "Days ahead": looks.measure("none", 0),
            "Expected": looks.measure("lengthmm", 1),
            "Low 90 %": looks.measure("lengthmm", 1),
            "High 90 %": looks.measure("lengthmm", 1),
        },
        height=7,
        runbooks=["ModelFallback"],
    )


def _pointed(panel: object, name: str, colour: str) -> None:
    panel.override_by_name(  # type: ignore[attr-defined]
        name,
        [
            looks.fixed(colour),
            DynamicConfigValue("custom.showPoints", VisibilityMode.ALWAYS),
            DynamicConfigValue("custom.pointSize", 5),
            DynamicConfigValue("custom.lineWidth", 1),
        ],
    )


def _banded(panel: object, high: str, low: str, colour: str, opacity: int) -> None:
    """The area between two lines, neither of which is drawn or named."""
    silent = [
        looks.fixed(colour),
        DynamicConfigValue("custom.lineWidth", 0),
        DynamicConfigValue("custom.hideFrom", {"legend": True, "tooltip": False, "viz": False}),
    ]
    filled = [
        DynamicConfigValue("custom.fillBelowTo", low),
        DynamicConfigValue("custom.fillOpacity", opacity),
    ]
    panel.override_by_name(high, [*silent, *filled])  # type: ignore[attr-defined]
    panel.override_by_name(low, silent)  # type: ignore[attr-defined]


def _dashes() -> dict[str, object]:
    return {"fill": "dash", "dash": [8, 6]}
