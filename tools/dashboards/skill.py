"""Is slopewatch right? Forecasts against what came true, and false alarms against their budget."""

from __future__ import annotations

from grafana_foundation_sdk.models.dashboard import Dashboard

from tools.dashboards import looks
from tools.dashboards.looks import DAY, LATE, SOON, WRONG
from tools.dashboards.panels import bar_chart, board, columns, graph, stat, table
from tools.dashboards.queries import (
    Sql,
    cells,
    labels,
    line,
    metrics_source,
    now,
    projection_source,
)

CHOSEN = 'site=~"$site"'
COVERED_LIMITS = ((0.8, SOON), (0.85, looks.FINE), (0.96, SOON))
"""Of intervals that are to hold 90 %: too few inside is worse than too many."""


def made() -> Dashboard:
    """The dashboard."""
    return board(
        "skill",
        "slopewatch: skill and false alarms",
        "How forecasts did lately, which models speak, and what of the false-alarm budget is left.",
        [
            metrics_source(),
            projection_source(),
            labels("site", "Site", "slopewatch:coverage_units", "sites that are shown"),
        ],
        [
            ("Now", _now()),
            ("Forecasts", [_skill(), _errors(), _covered()]),
            ("Models", [_speaking(), _standing_in()]),
            ("False alarms", [_budget(), _raised(), _reviews()]),
        ],
        since="now-30d",
        refresh="5m",
    )


def _now() -> list[object]:
    spent = (
        f"sum by (site, level) (slopewatch:alerts_false{{{CHOSEN}}}) / "
        f"(sum by (site, level) (slopewatch:false_alarm_budget{{{CHOSEN}}}) > 0)"
    )
    return [
        stat(
            "Intervals that held",
            "Share of epochs that fell inside the 90 % interval issued for them, over all sites, "
            "models and horizons shown.",
            "percentunit",
            now(f"avg(slopewatch_forecast_coverage_ratio{{{CHOSEN}}})"),
            first=LATE,
            limits=COVERED_LIMITS,
        ),
        stat(
            "Largest error",
            "Root mean square of epoch minus forecast, for the site, model and horizon where it is "
            "largest.",
            "lengthmm",
            now(f"max(slopewatch_forecast_error_mm{{{CHOSEN}}})"),
            decimals=1,
        ),
        stat(
            "Series stood in for",
            "Series of slope units for which another model stands in for the chosen one.",
            "none",
            now(f"sum(slopewatch:forecast_fallback_units{{{CHOSEN}}})"),
            limits=((1, SOON),),
            runbooks=["ModelFallback"],
        ),
        stat(
            "Oldest fit",
            "Time since forecast models were fitted, at the site where it is longest.",
            "s",
            now(f"max(slopewatch:forecast_fit_age_seconds{{{CHOSEN}}})"),
            limits=((35 * DAY, SOON), (65 * DAY, LATE)),
            empty="no site has been fitted yet",
            runbooks=["ForecastFitOld"],
        ),
        stat(
            "False alarms",
            "Alerts of the last 365 days at orange or red that an officer's review called false.",
            "none",
            now(f'sum(slopewatch:alerts_false{{{CHOSEN}, level=~"orange|red"}})'),
            limits=((1, SOON),),
            runbooks=["FalseAlarmBudgetSpent"],
        ),
        stat(
            "Budget spent",
            "False alarms of the last 365 days as a share of what the threshold table allows, at "
            "the site and level where it is largest.",
            "percentunit",
            now(f"max({spent})"),
            limits=((0.5, SOON), (1, WRONG)),
            runbooks=["FalseAlarmBudgetSpent"],
        ),
    ]


def _skill() -> object:
    by = "max by (site, model, horizon_days)"
    return table(
        "How forecasts did lately",
        "By site, model that spoke and days ahead: root mean square error, and the share of epochs "
        "inside the interval that was to hold 90 %.",
        cells(f"{by} (slopewatch_forecast_error_mm{{{CHOSEN}}})"),
        cells(f"{by} (slopewatch_forecast_coverage_ratio{{{CHOSEN}}})", ref="B"),
        empty="no forecast has been judged yet",
        changes=columns(
            {
                "site": "Site",
                "model": "Model",
                "horizon_days": "Days ahead",
                "Value #A": "Error",
                "Value #B": "Inside 90 %",
            },
            merged=True,
        ),
        columns={
            "Error": looks.measure("lengthmm", 1),
            "Inside 90 %": looks.judged("percentunit", *COVERED_LIMITS, first=LATE),
        },
        height=8,
    )


def _errors() -> object:
    return graph(
        "Error of forecasts",
        "Root mean square of epoch minus forecast, lately, by site, model that spoke and days "
        "ahead.",
        "lengthmm",
        line(
            f"max by (site, model, horizon_days) (slopewatch_forecast_error_mm{{{CHOSEN}}})",
            "{{site}}: {{model}}, {{horizon_days}} d",
        ),
        lowest=0,
    )


def _covered() -> object:
    return graph(
        "Epochs inside the 90 % interval",
        "Should stay near 90 %: below, intervals are too narrow; above, wider than they need be.",
        "percentunit",
        line(
            f"max by (site, model, horizon_days) (slopewatch_forecast_coverage_ratio{{{CHOSEN}}})",
            "{{site}}: {{model}}, {{horizon_days}} d",
        ),
        lowest=0,
        highest=1,
        first=LATE,
        limits=COVERED_LIMITS,
    )


def _speaking() -> object:
    return graph(
        "Who speaks",
        "Series of slope units that each model speaks for.",
        "none",
        line(
            f"sum by (model) (max by (site, model) (slopewatch_forecast_units{{{CHOSEN}}}))",
            "{{model}}",
        ),
        stacked=True,
        lowest=0,
    )


def _standing_in() -> object:
    return table(
        "Who stands in, and why",
        "Newest forecasts whose model stands in for the one that was chosen, and the others: slope "
        "unit, model, reason, and the day on which the models were fitted.",
        Sql(
            """
            SELECT DISTINCT ON (f.site, f.unit, f.track) s.title,
                COALESCE(n.title, f.unit) AS name, f.track, f.model,
                CASE WHEN f.stepped_down THEN 'yes' ELSE 'no' END AS stands_in, f.reason,
                f.issued_for::timestamp AT TIME ZONE 'UTC' AS issued
            FROM forecasts f
            JOIN sites s ON s.site = f.site
            LEFT JOIN unit_names n ON n.site = f.site AND n.unit = f.unit
            WHERE f.site IN (${site:sqlstring})
            ORDER BY f.site, f.unit, f.track, f.horizon_d
            """
        ),
        width=12,
        empty="no forecast has been issued yet",
        changes=columns(
            {
                "title": "Site",
                "name": "Slope unit",
                "track": "Track",
                "model": "Model",
                "stands_in": "Stands in",
                "reason": "Why",
                "issued": "Issued for",
            }
        ),
        columns={
            "Stands in": looks.painted({"yes": LATE, "no": "transparent"}),
            "Issued for": looks.moment(),
        },
        runbooks=["ModelFallback"],
    )


def _budget() -> object:
    by = "max by (site, level)"
    return table(
        "False-alarm budget",
        "Alerts of the last 365 days that reached each level, those among them that a review "
        "called false, and the false alerts a year that the threshold table in force allows. "
        "Exercises, tests and history do not count.",
        cells(f"{by} (slopewatch_alerts_raised{{{CHOSEN}}})"),
        cells(f"{by} (slopewatch_alerts_false{{{CHOSEN}}})", ref="B"),
        cells(f"{by} (slopewatch_false_alarm_budget{{{CHOSEN}}})", ref="C"),
        cells(
            f"{by} (slopewatch_alerts_false{{{CHOSEN}}}) / "
            f"({by} (slopewatch:false_alarm_budget{{{CHOSEN}}}) > 0)",
            ref="D",
        ),
        width=12,
        changes=columns(
            {
                "site": "Site",
                "level": "Level",
                "Value #A": "Raised",
                "Value #B": "False",
                "Value #C": "Budget a year",
                "Value #D": "Spent",
            },
            merged=True,
        ),
        columns={
            "Level": looks.painted(looks.LEVELS),
            "Budget a year": looks.measure("none", 2),
            "Spent": looks.judged("percentunit", (0.5, SOON), (1, WRONG)),
        },
        runbooks=["FalseAlarmBudgetSpent"],
    )


def _raised() -> object:
    reached = ", ".join(
        f"count(DISTINCT alert) FILTER (WHERE level_number >= {number}) AS {level}"
        for number, level in enumerate(looks.LEVELS)
        if number
    )
    return bar_chart(
        "Alerts by month",
        "Alerts of the last twelve months that reached each level, by the month in which they did, "
        "by the time of what was known. Exercises and history do not count.",
        "none",
        Sql(
            f"""
            SELECT to_char(date_trunc('month', at AT TIME ZONE 'UTC'), 'YYYY-MM') AS month,
                {reached}
            FROM alert_changes
            WHERE site IN (${{site:sqlstring}}) AND NOT historical AND status = 'actual'
                AND alert <> '' AND at > now() - interval '12 months'
            GROUP BY 1
            ORDER BY 1
            """
        ),
        empty="no alert in twelve months",
        colours={level: looks.LEVELS[level] for level in list(looks.LEVELS)[1:]},
    )


def _reviews() -> object:
    return table(
        "What officers did",
        "Acknowledgements, reviews and other acts of operators, the newest first.",
        Sql(
            """
            SELECT a.at, s.title, COALESCE(n.title, a.unit) AS name, a.action, a.operator,
                a.level_number AS level, a.reason, a.alert
            FROM alert_actions a
            JOIN sites s ON s.site = a.site
            LEFT JOIN unit_names n ON n.site = a.site AND n.unit = a.unit
            WHERE a.site IN (${site:sqlstring}) AND a.operator <> ''
            ORDER BY a.at DESC, a.site, a.number DESC
            LIMIT 100
            """
        ),
        empty="no operator has done anything yet",
        changes=columns(
            {
                "at": "When",
                "title": "Site",
                "name": "Slope unit",
                "action": "What",
                "operator": "Who",
                "level": "Level",
                "reason": "Reason",
                "alert": "Alert",
            }
        ),
        columns={
            "When": looks.moment(),
            "Level": looks.painted_numbers(looks.LEVELS),
            "Reason": [looks.wide(420)],
        },
    )
