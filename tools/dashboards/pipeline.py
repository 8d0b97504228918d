"""The machinery: does every record get through, how fast, and what does it run on?"""

from __future__ import annotations

from grafana_foundation_sdk.models.dashboard import Dashboard

from tools.dashboards import looks
from tools.dashboards.looks import DAY, HOUR, LATE, SOON, WRONG
from tools.dashboards.panels import board, columns, graph, stat, table
from tools.dashboards.queries import cells, labels, line, metrics_source, now

STAGE = 'stage=~"$stage"'
RATE = "[$__rate_interval]"
WORKING_LIMITS = ((0.5, SOON), (5.0, LATE), (60.0, WRONG))
"""Seconds for one input; a fold of years may take some."""


def made() -> Dashboard:
    """The dashboard."""
    return board(
        "pipeline",
        "slopewatch: pipeline",
        "Stages, log and machines: lag, throughput, time per input, commits, what stands still.",
        [
            metrics_source(),
            labels("stage", "Stage", "slopewatch_commits_total", "stages that are shown"),
        ],
        [
            ("Now", _now()),
            ("Log", [_lag(), _throughput(), _seconds(), _slow()]),
            ("Stores", [_commits(), _commit_seconds()]),
            ("What does not get through", [_dead_letters(), _parked()]),
            ("Clockwork", [_days(), _vitals()]),
            ("Machines", [_disks(), _clocks(), _expiry(), _builds()]),
        ],
        since="now-6h",
    )


def _now() -> list[object]:
    return [
        stat(
            "Processes up",
            "Processes of slopewatch that Prometheus reaches.",
            "none",
            now('sum(up{job="slopewatch"})'),
            width=3,
            first=WRONG,
            limits=((1, looks.FINE),),
            runbooks=["SlopewatchAbsent"],
        ),
        stat(
            "Processes down",
            "Processes of slopewatch that Prometheus knows of and does not reach.",
            "none",
            now('count(up{job="slopewatch"} == 0) or vector(0)'),
            width=3,
            limits=((1, WRONG),),
            runbooks=["ServiceDown"],
        ),
        stat(
            "Longest lag",
            "Records that wait in the inbox of the stage that is furthest behind.",
            "none",
            now(f"max(slopewatch:log_lag_records{{{STAGE}}})"),
            width=3,
            limits=((500, SOON), (5000, LATE)),
            runbooks=["LogLagGrowing"],
        ),
        stat(
            "Sites parked",
            "Sites that stand still in a stage until a retry or an upgrade.",
            "none",
            now(f"sum(slopewatch:site_parked{{{STAGE}}}) or vector(0)"),
            width=3,
            limits=looks.ZERO_IS_FINE,
            runbooks=["SiteParked"],
        ),
        stat(
            "Dead letters",
            "Inputs of the last six hours that could not be used.",
            "none",
            now(f"sum(slopewatch:dead_letters:increase6h{{{STAGE}}}) or vector(0)"),
            width=3,
            decimals=0,
            limits=looks.ZERO_IS_FINE,
            runbooks=["DeadLetters"],
        ),
        stat(
            "Watchdog looked",
            "Time since the watchdog last looked at the heartbeats of all sites.",
            "s",
            now("max(slopewatch:watchdog_age_seconds)"),
            width=3,
            limits=((180, SOON), (600, WRONG)),
            runbooks=["WatchdogSilent"],
        ),
        stat(
            "Silent sites",
            "Sites whose closed days the watchdog misses.",
            "none",
            now("max(slopewatch_watchdog_silent_sites)"),
            width=3,
            limits=((1, WRONG),),
            runbooks=["SitesSilent"],
        ),
        stat(
            "Oldest closed day",
            "Time since the end of the last closed day that reached alerting, at the site where it "
            "is oldest.",
            "s",
            now("max(slopewatch:day_closed_age_seconds)"),
            width=3,
            limits=((25 * HOUR, SOON), (26 * HOUR, WRONG)),
            runbooks=["DayNotClosed"],
        ),
    ]


def _lag() -> object:
    return graph(
        "Lag",
        "Records in each stage's inbox that it has not read. It may grow during a backfill, then "
        "falls.",
        "none",
        line(f"sum by (stage) (slopewatch:log_lag_records{{{STAGE}}})", "{{stage}}"),
        runbooks=["LogLagGrowing", "StageNotReading", "ProjectorBehind"],
    )


def _throughput() -> object:
    return graph(
        "Throughput",
        "Distinct inputs that each stage handles a second, by type of event.",
        "cps",
        line(
            f"sum by (stage, type) (rate(slopewatch_events_handled_total{{{STAGE}}}{RATE}))",
            "{{stage}}: {{type}}",
        ),
        stacked=True,
    )


def _seconds() -> object:
    buckets = f"sum by (stage, le) (rate(slopewatch_handler_seconds_bucket{{{STAGE}}}{RATE}))"
    return graph(
        "Time for an input",
        "Time a handler takes for one input: half of them are faster than the median, 99 of 100 "
        "than the other.",
        "s",
        line(f"histogram_quantile(0.5, {buckets})", "{{stage}}, median"),
        line(f"histogram_quantile(0.99, {buckets})", "{{stage}}, 99 %", ref="B"),
        limits=WORKING_LIMITS,
    )


def _slow() -> object:
    seconds = f"slopewatch_handler_seconds_sum{{{STAGE}}}[$__range]"
    inputs = f"slopewatch_handler_seconds_count{{{STAGE}}}[$__range]"
    return table(
        "What takes the time",
        "Inputs of the time shown by stage and type, with the mean time for one and all of it.",
        cells(f"sum by (stage, type) (increase({seconds}))"),
        cells(f"sum by (stage, type) (increase({inputs}))", ref="B"),
        cells(
            f"sum by (stage, type) (increase({seconds})) / "
            f"(sum by (stage, type) (increase({inputs})) > 0)",
            ref="C",
        ),
        width=12,
        changes=columns(
            {
                "stage": "Stage",
                "type": "Event",
                "Value #B": "Inputs",
                "Value #C": "Mean",
                "Value #A": "All of it",
            },
            merged=True,
        ),
        columns={
            "Inputs": looks.measure("short", 0),
            "Mean": looks.judged("s", *WORKING_LIMITS),
            "All of it": looks.measure("s", 1),
        },
    )


def _commits() -> object:
    return graph(
        "Commits",
        "Commits a second: of a site's state, position and outcomes, or of a projection's rows.",
        "cps",
        line(f"sum by (stage) (rate(slopewatch_commits_total{{{STAGE}}}{RATE}))", "{{stage}}"),
    )


def _commit_seconds() -> object:
    buckets = f"sum by (stage, le) (rate(slopewatch_commit_seconds_bucket{{{STAGE}}}{RATE}))"
    return graph(
        "Time for a commit",
        "Time the stores take for one commit: the median, and what 99 of 100 stay below.",
        "s",
        line(f"histogram_quantile(0.5, {buckets})", "{{stage}}, median"),
        line(f"histogram_quantile(0.99, {buckets})", "{{stage}}, 99 %", ref="B"),
        limits=WORKING_LIMITS,
    )


def _dead_letters() -> object:
    return graph(
        "Dead letters",
        "Inputs that could not be used since each process started, by stage and numbered reason; "
        "`slopewatch dead-letters list` shows them.",
        "none",
        line(
            f"sum by (stage, code) (slopewatch_dead_letters_total{{{STAGE}}})",
            "{{stage}}: {{code}}",
        ),
        empty="none since the processes started",
        runbooks=["DeadLetters"],
    )


def _parked() -> object:
    return table(
        "Sites that stand still",
        "Each site that a stage has parked; the reason is in its log and on slopewatch's page.",
        cells(f"max by (stage, site) (slopewatch:site_parked{{{STAGE}}}) == 1"),
        width=12,
        empty="no site stands still",
        changes=columns({"site": "Site", "stage": "Stage"}),
        runbooks=["SiteParked"],
    )


def _days() -> object:
    return graph(
        "Age of the last closed day",
        "Time since the end of each site's last closed day that reached alerting; it falls once a "
        "day.",
        "s",
        line("max by (site) (slopewatch:day_closed_age_seconds)", "{{site}}"),
        limits=((25 * HOUR, SOON), (26 * HOUR, WRONG)),
        runbooks=["DayNotClosed"],
    )


def _vitals() -> object:
    return table(
        "Looks",
        "Time since each look succeeded: at feeds, forecasts, certificates, disks and clocks. What "
        "a look that fails should have brought is missing, never old.",
        cells("max by (look) (slopewatch:vitals_age_seconds)"),
        width=12,
        changes=columns({"look": "Look", "Value": "Succeeded before"}),
        columns={"Succeeded before": looks.judged("s", (26 * HOUR, LATE))},
        runbooks=["VitalsOld"],
    )


def _disks() -> object:
    return graph(
        "Free disk",
        "Share of the disk under each folder of the settings that can still be written.",
        "percentunit",
        line(
            "min by (service, folder) (slopewatch:disk_free_ratio)",
            "{{service}} {{folder}}",
        ),
        width=8,
        lowest=0,
        highest=1,
        first=WRONG,
        limits=((0.1, LATE), (0.2, looks.FINE)),
        runbooks=["DiskFilling"],
    )


def _clocks() -> object:
    return graph(
        "Clock",
        "How far this machine's clock is from that of each server it is compared with.",
        "s",
        line("max by (against) (slopewatch:clock_skew_seconds)", "{{against}}"),
        width=8,
        limits=((30, SOON), (300, WRONG)),
        runbooks=["ClockSkew"],
    )


def _expiry() -> object:
    certificates = _named("certificate", "server", "slopewatch:certificate_left_seconds")
    tokens = _named("token", "secret", "slopewatch:token_left_seconds")
    return table(
        "Certificates and tokens",
        "Time for which each certificate, and each token that says so, is still valid.",
        cells(f"sort(min by (what) ({certificates} or {tokens}))"),
        width=8,
        empty="none that says until when it is valid",
        changes=columns({"what": "What", "Value": "Valid for"}),
        columns={
            "Valid for": looks.judged(
                "s", (0, LATE), (3 * DAY, SOON), (21 * DAY, looks.FINE), first=WRONG
            )
        },
        runbooks=["CertificateExpiring", "TokenExpiring"],
    )


def _named(kind: str, label: str, metric: str) -> str:
    """The metric with a label `what` that says kind and name."""
    return f'label_replace({metric}, "what", "{kind} $1", "{label}", "(.*)")'


def _builds() -> object:
    return table(
        "What runs",
        "Versions of code, model and threshold table, and how many processes run them. More than "
        "one line: an upgrade is under way, or one process was forgotten.",
        cells("count by (version, model, thresholds) (slopewatch_build_info)"),
        changes=columns(
            {
                "version": "Code",
                "model": "Model",
                "thresholds": "Thresholds",
                "Value": "Processes",
            }
        ),
        columns={"Processes": looks.measure("none", 0)},
        height=5,
        runbooks=["VersionsDiffer"],
    )
