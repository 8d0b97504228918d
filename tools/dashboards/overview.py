"""All sites at a glance: is every slope watched, and does any of them move?"""

from __future__ import annotations

from grafana_foundation_sdk.models.common import BigValueTextMode
from grafana_foundation_sdk.models.dashboard import Dashboard, DynamicConfigValue

from tools.dashboards import looks
from tools.dashboards.looks import WRONG
from tools.dashboards.panels import RUNBOOKS, board, columns, stat, table, timeline
from tools.dashboards.queries import (
    Sql,
    cells,
    labels,
    line,
    metrics_source,
    now,
    projection_source,
)
from tools.dashboards.standing import AGE_LIMITS, BLIND_LIMITS, COVERAGE_NUMBER

SITE_LINK = "/d/slopewatch-site?var-site=${__data.fields.site}"
UNIT_LINK = f"{SITE_LINK}&var-unit=${{__data.fields.unit}}"
CHOSEN = 'site=~"$site"'

FIRING = 'ALERTS{app="slopewatch", alertstate="firing"}'

SITES = f"""
    SELECT s.site, s.title,
        max(COALESCE(u.level_number, 0)) AS level,
        max({COVERAGE_NUMBER.format("u.coverage")}) AS coverage,
        count(n.unit) AS units,
        (SELECT max(m.epoch)::timestamp AT TIME ZONE 'UTC' FROM motion m
            WHERE m.site = s.site) AS newest,
        (SELECT max(c.day)::timestamp AT TIME ZONE 'UTC' FROM closed_days c
            WHERE c.site = s.site) AS closed,
        CASE WHEN s.simulated THEN 'simulated' ELSE 'real' END AS data
    FROM sites s
    LEFT JOIN unit_names n ON n.site = s.site
    LEFT JOIN units u ON u.site = n.site AND u.unit = n.unit
    WHERE NOT s.retired AND s.site IN (${{site:sqlstring}})
    GROUP BY s.site, s.title, s.simulated
    ORDER BY 3 DESC, 4 DESC, 1
"""
UNITS = f"""
    SELECT u.site, u.unit, s.title, COALESCE(n.title, u.unit) AS name, u.level_number AS level,
        u.level_since, {COVERAGE_NUMBER.format("u.coverage")} AS coverage, u.coverage_since,
        u.reason, u.alert, (SELECT a.operator FROM alert_actions a
            WHERE a.site = u.site AND a.alert = u.alert AND a.action = 'acknowledged'
                AND u.alert <> ''
            ORDER BY a.number DESC LIMIT 1) AS acknowledged_by, u.status
    FROM units u
    JOIN sites s ON s.site = u.site
    LEFT JOIN unit_names n ON n.site = u.site AND n.unit = u.unit
    WHERE NOT s.retired AND (u.level_number > 0 OR u.coverage <> 'watched')
        AND u.site IN (${{site:sqlstring}})
    ORDER BY 5 DESC, 7 DESC, 1, 2
"""
CHANGES = f"""
    SELECT c.at, c.site, c.unit, s.title, COALESCE(n.title, c.unit) AS name,
        c.level_number AS level, c.previous_level,
        {COVERAGE_NUMBER.format("c.coverage")} AS coverage, c.reason, c.status
    FROM alert_changes c
    JOIN sites s ON s.site = c.site
    LEFT JOIN unit_names n ON n.site = c.site AND n.unit = c.unit
    WHERE NOT c.historical AND c.site IN (${{site:sqlstring}})
    ORDER BY c.at DESC, c.site, c.number DESC
    LIMIT 50
"""
HIGHEST = f"""
    max by (site) (
    (slopewatch:alert_units{{level="red", {CHOSEN}}} > bool 0) * 3
    or (slopewatch:alert_units{{level="orange", {CHOSEN}}} > bool 0) * 2
    or (slopewatch:alert_units{{level="yellow", {CHOSEN}}} > bool 0))
"""
WORST = f"""
    max by (site) (
    (slopewatch:coverage_units{{coverage="blind", {CHOSEN}}} > bool 0) * 3
    or (slopewatch:coverage_units{{coverage="out of range", {CHOSEN}}} > bool 0) * 2
    or (slopewatch:coverage_units{{coverage="stale", {CHOSEN}}} > bool 0))
"""


def made() -> Dashboard:
    """The dashboard."""
    return board(
        "overview",
        "slopewatch: all sites",
        "Every site at a glance: level, coverage, age of the newest epoch, next pass.",
        [
            metrics_source(),
            projection_source(),
            labels("site", "Site", "slopewatch:coverage_units", "sites that are shown"),
        ],
        [
            ("Now", _now()),
            ("Sites", [_sites()]),
            ("To look at", [_units(), _alarms()]),
            ("How it came about", [*_timelines(), _changes()]),
        ],
    )


def _now() -> list[object]:
    return [
        stat(
            "Slope units by level",
            "How many slope units stand at each level now.",
            "none",
            now(f"sum by (level) (slopewatch:alert_units{{{CHOSEN}}})", "{{level}}"),
            width=7,
            text=BigValueTextMode.VALUE_AND_NAME,
            colours=looks.LEVELS,
        ),
        stat(
            "Slope units by coverage",
            "Watched: measured lately. Stale: not for more than two repeat intervals. Blind: for "
            "more than four, or never. Out of range: moves too fast to be told.",
            "none",
            now(f"sum by (coverage) (slopewatch:coverage_units{{{CHOSEN}}})", "{{coverage}}"),
            width=8,
            text=BigValueTextMode.VALUE_AND_NAME,
            colours=looks.COVERAGE,
            runbooks=["SiteBlind", "SiteStale"],
        ),
        stat(
            "Oldest state",
            "Age of the last measured epoch, at the site where it is oldest.",
            "s",
            now(f"max(slopewatch:state_age_seconds{{{CHOSEN}}})"),
            width=3,
            limits=AGE_LIMITS,
            runbooks=["StateOld"],
        ),
        stat(
            "First blind in",
            "Time until the first slope unit becomes blind if no epoch comes; below zero: since.",
            "s",
            now(f"min(slopewatch:blind_in_seconds{{{CHOSEN}}})"),
            width=3,
            first=WRONG,
            limits=BLIND_LIMITS,
            runbooks=["SiteBlind"],
        ),
        stat(
            "Alarms about slopewatch",
            "Alerting rules of Prometheus that fire: about the service, not about a slope.",
            "none",
            now(f"count({FIRING}) or vector(0)"),
            width=3,
            limits=looks.ZERO_IS_FINE,
        ),
    ]


def _sites() -> object:
    return table(
        "Sites",
        "Highest level and worst coverage of each site's slope units; when it was last measured, "
        "when the next pass is expected, and whether its data are simulated.",
        Sql(SITES),
        cells(f"max by (site) (slopewatch:state_age_seconds{{{CHOSEN}}})", ref="B"),
        cells(
            f"max by (site) (slopewatch_next_pass_timestamp_seconds{{{CHOSEN}}}) * 1000", ref="C"
        ),
        cells(f"min by (site) (slopewatch:blind_in_seconds{{{CHOSEN}}})", ref="D"),
        height=9,
        runbooks=["SiteBlind", "SiteStale", "ExpectedPassMissing", "DayNotClosed"],
        changes=columns(
            {
                "site": "site",
                "title": "Site",
                "level": "Level",
                "coverage": "Coverage",
                "newest": "Newest epoch",
                "Value #B": "Its age",
                "Value #C": "Next pass by",
                "Value #D": "Blind in",
                "closed": "Last day closed",
                "units": "Units",
                "data": "Data",
            },
            by="site",
        ),
        columns={
            "site": [DynamicConfigValue("custom.hidden", True)],
            "Site": [looks.leads_to("Open the site", SITE_LINK)],
            "Level": looks.painted_numbers(looks.LEVELS),
            "Coverage": looks.painted_numbers(looks.COVERAGE),
            "Newest epoch": looks.moment(),
            "Its age": looks.judged("s", *AGE_LIMITS),
            "Next pass by": looks.moment(),
            "Blind in": looks.judged("s", *BLIND_LIMITS, first=WRONG),
            "Last day closed": looks.moment(),
            "Units": looks.measure("none", 0),
            "Data": looks.painted(looks.DATA),
        },
    )


def _units() -> object:
    return table(
        "Slope units above blue or not watched",
        "Every slope unit that stands above blue or is not watched, the highest level first.",
        Sql(UNITS),
        empty="every slope unit is at blue and watched",
        changes=columns(
            {
                "site": "site",
                "unit": "unit",
                "title": "Site",
                "name": "Slope unit",
                "level": "Level",
                "level_since": "Level since",
                "coverage": "Coverage",
                "coverage_since": "Coverage since",
                "reason": "Reason",
                "alert": "Alert",
                "acknowledged_by": "Acknowledged by",
                "status": "Status",
            }
        ),
        columns={
            **_hidden("site", "unit"),
            "Slope unit": [looks.leads_to("Open the slope unit", UNIT_LINK)],
            "Level": looks.painted_numbers(looks.LEVELS),
            "Level since": looks.moment(),
            "Coverage": looks.painted_numbers(looks.COVERAGE),
            "Coverage since": looks.moment(),
            "Reason": [looks.wide(420)],
        },
        runbooks=["SiteBlind", "SiteStale"],
    )


def _alarms() -> object:
    return table(
        "Alarms about slopewatch",
        "Alerting rules that fire: about the service, not about a slope. The runbook of each has "
        "its name.",
        cells(f"sort_desc(count by (alertname, severity, site, stage, service, feed) ({FIRING}))"),
        empty="no rule fires",
        height=6,
        changes=columns(
            {
                "alertname": "Rule",
                "severity": "Severity",
                "site": "Site",
                "stage": "Stage",
                "feed": "Feed",
                "service": "Service",
                "Value": "How many",
            }
        ),
        columns={
            "Rule": [looks.leads_to("Open the runbook", f"{RUNBOOKS}/${{__value.text}}.md")],
            "Severity": looks.painted(looks.SEVERITY),
            "How many": looks.measure("none", 0),
        },
    )


def _timelines() -> list[object]:
    return [
        timeline(
            "Highest level of each site",
            "The highest level of the site's slope units, when Prometheus asked.",
            line(HIGHEST, "{{site}}"),
            colours=looks.LEVELS,
            width=12,
            height=7,
        ),
        timeline(
            "Worst coverage of each site",
            "The worst coverage of the site's slope units, when Prometheus asked.",
            line(WORST, "{{site}}"),
            colours=looks.COVERAGE,
            width=12,
            height=7,
        ),
    ]


def _changes() -> object:
    return table(
        "Last changes of level or coverage",
        "The last 50 changes that were news, by the time of what was known; the whole history of "
        "a slope unit is on its site's dashboard.",
        Sql(CHANGES),
        empty="nothing has changed since the sites are watched",
        changes=columns(
            {
                "site": "site",
                "unit": "unit",
                "at": "When",
                "title": "Site",
                "name": "Slope unit",
                "level": "Level",
                "previous_level": "Was",
                "coverage": "Coverage",
                "reason": "Reason",
                "status": "Status",
            }
        ),
        columns={
            **_hidden("site", "unit"),
            "When": looks.moment(),
            "Slope unit": [looks.leads_to("Open the slope unit", UNIT_LINK)],
            "Level": looks.painted_numbers(looks.LEVELS),
            "Was": looks.painted(looks.LEVELS),
            "Coverage": looks.painted_numbers(looks.COVERAGE),
            "Reason": [looks.wide(560)],
        },
    )


def _hidden(*names: str) -> dict[str, list[DynamicConfigValue]]:
    return {name: [DynamicConfigValue("custom.hidden", True)] for name in names}
