"""Does the word get out? Sendings, what waits, who cannot be reached, who answered."""

from __future__ import annotations

from grafana_foundation_sdk.models.dashboard import Dashboard

from tools.dashboards import looks
from tools.dashboards.looks import HOUR, LATE, SOON, WRONG
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
OUTCOMES = {
    "sent": looks.FINE,
    "repeated": looks.MEASURED,
    "suppressed": looks.PLAIN,
    "retried": looks.SOON,
    "failed": looks.WRONG,
}
OLDEST = f"slopewatch:outbox_age_seconds{{{CHOSEN}}}"
WAIT_LIMITS = ((300, SOON), (1800, LATE), (2 * HOUR, WRONG))


def made() -> Dashboard:
    """The dashboard."""
    return board(
        "notifications",
        "slopewatch: notifications",
        "Whether every message gets through: sendings by outcome, what waits, who answers.",
        [
            metrics_source(),
            projection_source(),
            labels("site", "Site", "slopewatch:outbox_waiting", "sites that are shown"),
        ],
        [
            ("Now", _now()),
            ("Sendings", [_outcomes(), _channels(), _waiting(), _oldest()]),
            ("Routes", [_unreachable(), _sites()]),
            ("Answers", [_answers()]),
        ],
    )


def _now() -> list[object]:
    return [
        stat(
            "Waiting",
            "Notifications that are due and not delivered yet.",
            "none",
            now(f"sum(slopewatch:outbox_waiting{{{CHOSEN}}})"),
            limits=((1, SOON), (20, LATE)),
            runbooks=["OutboxOld"],
        ),
        stat(
            "Waits longest",
            "How long the first of them is due.",
            "s",
            now(f"max({OLDEST}) or vector(0)"),
            limits=WAIT_LIMITS,
            runbooks=["OutboxOld"],
        ),
        stat(
            "Unreachable",
            "Recipients to whom nothing gets through; `slopewatch alerts contacts` names them.",
            "none",
            now(f"sum(slopewatch:recipients_unreachable{{{CHOSEN}}})"),
            limits=((1, WRONG),),
            runbooks=["RecipientsUnreachable"],
        ),
        *(
            stat(title, says, "none", _counted(outcome), limits=limits, decimals=0, runbooks=books)
            for title, outcome, says, limits, books in (
                (
                    "Sent",
                    "sent|repeated",
                    "Sendings of the last hour that a server accepted.",
                    (),
                    [],
                ),
                (
                    "Retried",
                    "retried",
                    "Sendings of the last hour that failed and are tried again.",
                    ((1, SOON), (50, LATE)),
                    ["SendingsFailing"],
                ),
                (
                    "Given up",
                    "failed",
                    "Sendings of the last hour that failed for good.",
                    ((1, WRONG),),
                    ["RecipientsUnreachable"],
                ),
            )
        ),
    ]


def _counted(outcome: str) -> object:
    counted = f'slopewatch:notifications:increase1h{{outcome=~"{outcome}"}}'
    return now(f"sum({counted}) or vector(0)")


def _outcomes() -> object:
    return graph(
        "Sendings by outcome",
        "Sendings since alerting started. Repeated: perhaps delivered before, sent again with the "
        "same id. Suppressed: kept back on purpose, with a reason in the ledger.",
        "none",
        line("sum by (outcome) (slopewatch_notifications_total)", "{{outcome}}"),
        colours=OUTCOMES,
    )


def _channels() -> object:
    return table(
        "Sendings by channel",
        "Sendings since alerting started, by channel and outcome.",
        cells("sort_desc(sum by (channel, outcome) (slopewatch_notifications_total))"),
        width=12,
        changes=columns({"channel": "Channel", "outcome": "Outcome", "Value": "Sendings"}),
        columns={
            "Outcome": looks.painted(OUTCOMES),
            "Sendings": looks.measure("none", 0),
        },
    )


def _waiting() -> object:
    return graph(
        "Waiting",
        "Notifications that are due and not delivered yet, by site.",
        "none",
        line(f"sum by (site) (slopewatch:outbox_waiting{{{CHOSEN}}})", "{{site}}"),
        lowest=0,
        runbooks=["OutboxOld"],
    )


def _oldest() -> object:
    return graph(
        "How long the first one waits",
        "Time since the first undelivered notification of each site is due; no line while none "
        "waits.",
        "s",
        line(f"max by (site) ({OLDEST})", "{{site}}"),
        empty="none waits",
        limits=WAIT_LIMITS,
        runbooks=["OutboxOld"],
    )


def _unreachable() -> object:
    return graph(
        "Recipients who cannot be reached",
        "Recipients to whom nothing gets through, by site.",
        "none",
        line(f"sum by (site) (slopewatch:recipients_unreachable{{{CHOSEN}}})", "{{site}}"),
        lowest=0,
        limits=((1, WRONG),),
        runbooks=["RecipientsUnreachable"],
    )


def _sites() -> object:
    return table(
        "By site",
        "What waits, how long the first of it is due, and how many recipients cannot be reached.",
        cells(f"sum by (site) (slopewatch:outbox_waiting{{{CHOSEN}}})"),
        cells(f"max by (site) ({OLDEST})", ref="B"),
        cells(f"sum by (site) (slopewatch:recipients_unreachable{{{CHOSEN}}})", ref="C"),
        width=12,
        changes=columns(
            {
                "site": "Site",
                "Value #A": "Waiting",
                "Value #B": "First is due since",
                "Value #C": "Unreachable",
            },
            merged=True,
        ),
        columns={
            "Site": [
                looks.leads_to("Open the site", "/d/slopewatch-site?var-site=${__data.fields.Site}")
            ],
            "Waiting": looks.judged("none", (1, SOON), (20, LATE)),
            "First is due since": looks.judged("s", *WAIT_LIMITS),
            "Unreachable": looks.judged("none", (1, WRONG)),
        },
        runbooks=["OutboxOld", "RecipientsUnreachable"],
    )


def _answers() -> object:
    return table(
        "Alerts and who answered them",
        "Every alert of the last year that left blue and was news: when it was raised, the highest "
        "level it reached, when an operator first did something about it, and after how long.",
        Sql(
            """
            SELECT s.title, c.alert, min(c.at) AS raised, max(c.level_number) AS level,
                a.at AS answered, a.operator,
                extract(epoch FROM a.at - min(c.at)) AS after
            FROM alert_changes c
            JOIN sites s ON s.site = c.site
            LEFT JOIN LATERAL (SELECT at, operator FROM alert_actions
                WHERE site = c.site AND alert = c.alert AND operator <> ''
                ORDER BY number LIMIT 1) AS a ON true
            WHERE c.site IN (${site:sqlstring}) AND NOT c.historical AND c.alert <> ''
                AND c.status <> 'exercise' AND c.at > now() - interval '1 year'
            GROUP BY s.title, c.alert, a.at, a.operator
            ORDER BY 3 DESC
            LIMIT 100
            """
        ),
        empty="no alert in a year",
        changes=columns(
            {
                "title": "Site",
                "alert": "Alert",
                "raised": "Raised",
                "level": "Highest level",
                "answered": "Answered",
                "operator": "By",
                "after": "After",
            }
        ),
        columns={
            "Raised": looks.moment(),
            "Highest level": looks.painted_numbers(looks.LEVELS),
            "Answered": looks.moment(),
            "After": looks.judged("s", (HOUR, SOON), (6 * HOUR, LATE)),
        },
    )
