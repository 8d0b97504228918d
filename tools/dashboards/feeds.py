"""What comes in: does every feed answer, is it fresh, how late are its data, what is refused?"""

from __future__ import annotations

from grafana_foundation_sdk.models.dashboard import Dashboard

from tools.dashboards import looks
from tools.dashboards.looks import DAY, LATE, SOON
from tools.dashboards.panels import board, columns, graph, stat, table
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
AGE = f"slopewatch:feed_age_seconds{{{CHOSEN}}}"
LIMIT = f"slopewatch:feed_stale_after_seconds{{{CHOSEN}}}"
SHARE_LIMITS = ((0.7, SOON), (1.0, LATE))
PASSES = """
    SELECT s.title, p.path, p.direction, p.platform, count(*) AS passes,
        max(p.at) AS newest,
        extract(epoch FROM percentile_cont(0.5) WITHIN GROUP (ORDER BY p.available_at - p.at))
            AS delay
    FROM passes p JOIN sites s ON s.site = p.site
    WHERE p.site IN (${site:sqlstring}) AND NOT s.retired
    GROUP BY s.title, p.path, p.direction, p.platform
    ORDER BY 1, 2, 3, 4
"""


def made() -> Dashboard:
    """The dashboard."""
    return board(
        "feeds",
        "slopewatch: feeds",
        "Feeds and sources: when they last answered, how old their data are, what is refused.",
        [
            metrics_source(),
            projection_source(),
            labels("site", "Site", "slopewatch:feed_stale_after_seconds", "sites that are shown"),
        ],
        [
            ("Now", _now()),
            ("Feeds", [_feeds()]),
            ("Lately", [_ages(), _observations(), _rejections(), _codes()]),
            ("What they brought", [_delays(), _passes()]),
        ],
    )


def _now() -> list[object]:
    return [
        stat(
            "Feeds",
            "Feeds and sources that the sites shown ask.",
            "none",
            now(f"count({LIMIT})"),
        ),
        stat(
            "Stale feeds",
            "Feeds that have not answered for longer than their limit.",
            "none",
            now(f"sum({AGE} > bool {LIMIT})"),
            limits=looks.ZERO_IS_FINE,
            runbooks=["FeedStale"],
        ),
        stat(
            "Nearest to its limit",
            "Age of the last answer as a share of the limit, at the feed where it is largest.",
            "percentunit",
            now(f"max({AGE} / {LIMIT})"),
            limits=SHARE_LIMITS,
            runbooks=["FeedStale"],
        ),
        stat(
            "Never answered",
            "Feeds that have not answered since the site is known.",
            "none",
            now(
                "count(max by (site, feed) (slopewatch_feed_last_success_timestamp_seconds"
                f"{{{CHOSEN}}}) == 0) or vector(0)"
            ),
            limits=looks.ZERO_IS_FINE,
            runbooks=["FeedStale"],
        ),
        stat(
            "Observations",
            "Observations of the time shown that were appended to the log.",
            "short",
            now(f"sum(increase(slopewatch_feed_observations_total{{{CHOSEN}}}[$__range]))"),
            decimals=0,
        ),
        stat(
            "Rejections",
            "Rows and answers of the last six hours that could not be used.",
            "short",
            now(f"sum(slopewatch:feed_rejections:increase6h{{{CHOSEN}}}) or vector(0)"),
            decimals=0,
            limits=((1, SOON),),
            runbooks=["FeedRejecting"],
        ),
    ]


def _feeds() -> object:
    by = "max by (site, feed)"
    return table(
        "Every feed",
        "Age of the last answer beside the limit from which the feed is stale, the newest day it "
        "has brought a datum of, observations of the time shown, rejections of six hours.",
        cells(f"{by} ({AGE})"),
        cells(f"{by} ({LIMIT})", ref="B"),
        cells(f"{by} ({AGE} / {LIMIT})", ref="C"),
        cells(f"{by} (slopewatch_feed_newest_valid_timestamp_seconds{{{CHOSEN}}}) * 1000", ref="D"),
        cells(
            "sum by (site, feed) (increase(slopewatch_feed_observations_total"
            f"{{{CHOSEN}}}[$__range]))",
            ref="E",
        ),
        cells(
            f"sum by (site, feed) (slopewatch:feed_rejections:increase6h{{{CHOSEN}}})",
            ref="F",
        ),
        changes=columns(
            {
                "site": "Site",
                "feed": "Feed",
                "Value #A": "Answered before",
                "Value #B": "Limit",
                "Value #C": "Of its limit",
                "Value #D": "Newest day",
                "Value #E": "Observations",
                "Value #F": "Rejections",
            },
            merged=True,
        ),
        columns={
            "Site": [
                looks.leads_to("Open the site", "/d/slopewatch-site?var-site=${__data.fields.Site}")
            ],
            "Answered before": looks.measure("s", 1),
            "Limit": looks.measure("s", 1),
            "Of its limit": looks.judged("percentunit", *SHARE_LIMITS),
            "Newest day": looks.moment(),
            "Observations": looks.measure("short", 0),
            "Rejections": looks.judged("short", (1, SOON)),
        },
        height=10,
        runbooks=["FeedStale", "FeedRejecting"],
    )


def _ages() -> object:
    return graph(
        "Age of the last answer, share of its limit",
        "Above 100 % the feed is stale. Limits differ from feed to feed; the table has them.",
        "percentunit",
        line(f"max by (site, feed) ({AGE} / {LIMIT})", "{{site}}: {{feed}}"),
        limits=SHARE_LIMITS,
        runbooks=["FeedStale"],
    )


def _observations() -> object:
    return graph(
        "Observations",
        "Observations appended to the log, by feed; after a restart some come again and are "
        "dropped by their reader.",
        "cps",
        line(
            "sum by (site, feed) (rate(slopewatch_feed_observations_total"
            f"{{{CHOSEN}}}[$__rate_interval]))",
            "{{site}}: {{feed}}",
        ),
        stacked=True,
    )


def _rejections() -> object:
    return graph(
        "Rejections",
        "Rows and answers that could not be used since ingest started, by feed and numbered "
        "reason; each counts once.",
        "none",
        line(
            f"sum by (site, feed, code) (slopewatch_feed_rejections_total{{{CHOSEN}}})",
            "{{site}}: {{feed}} {{code}}",
        ),
        empty="none since ingest started",
        runbooks=["FeedRejecting"],
    )


def _codes() -> object:
    return table(
        "Rejections by reason",
        "Rejections since ingest started by numbered reason, the most frequent first; the page on "
        "rejections says what each means.",
        cells(f"sort_desc(sum by (code, feed) (slopewatch_feed_rejections_total{{{CHOSEN}}}))"),
        width=12,
        empty="none since ingest started",
        changes=columns({"code": "Reason", "feed": "Feed", "Value": "Rejections"}),
        columns={"Rejections": looks.measure("none", 0)},
        runbooks=["FeedRejecting"],
    )


def _delays() -> object:
    return graph(
        "How late rain and level come",
        "Time from the end of each day until its datum could be known, by site and feed; the "
        "largest of its stations.",
        "s",
        Sql(
            """
            SELECT (day + 1)::timestamp AT TIME ZONE 'UTC' AS time, site || ': ' || feed AS metric,
                extract(epoch FROM max(available_at) - (day + 1)::timestamp AT TIME ZONE 'UTC')
                    AS delay
            FROM (SELECT site, feed, day, available_at FROM rain
                UNION ALL SELECT site, feed, day, available_at FROM reservoir) AS brought
            WHERE site IN (${site:sqlstring}) AND $__timeFilter(day)
            GROUP BY site, feed, day
            ORDER BY 1, 2
            """,
            series=True,
        ),
        empty="no rain or level of this time: choose a longer one",
        limits=((2 * DAY, SOON), (5 * DAY, LATE)),
        points=True,
    )


def _passes() -> object:
    return table(
        "Passes",
        "Satellite passes found for each site by orbit and satellite: how many, the newest, and "
        "the median time until the catalogue had it.",
        Sql(PASSES),
        width=12,
        empty="no pass has been found",
        changes=columns(
            {
                "title": "Site",
                "path": "Orbit",
                "direction": "Direction",
                "platform": "Satellite",
                "passes": "Passes",
                "newest": "Newest",
                "delay": "Found after",
            }
        ),
        columns={
            "Orbit": looks.measure("none", 0),
            "Passes": looks.measure("none", 0),
            "Newest": looks.moment(),
            "Found after": looks.measure("s", 1),
        },
        runbooks=["ExpectedPassMissing"],
    )
