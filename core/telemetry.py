"""Prometheus metrics and structured logs. `METRICS` is the table the docs are made from."""

from __future__ import annotations

import logging
import sys
import time
from collections.abc import Iterator
from contextlib import contextmanager
from typing import NamedTuple

import structlog
from prometheus_client import CollectorRegistry, Counter, Gauge, Histogram


class Metric(NamedTuple):
    """One metric as operators see it."""

    name: str
    kind: str
    labels: tuple[str, ...]
    meaning: str


METRICS = (
    Metric(
        "slopewatch_build_info",
        "gauge",
        ("version", "model", "thresholds"),
        "1; the versions of code, model and threshold table that this process runs",
    ),
    Metric(
        "slopewatch_feed_last_success_timestamp_seconds",
        "gauge",
        ("site", "feed"),
        "when the feed last answered, whoever asked it, 0: never; its age is the feed's age",
    ),
    Metric(
        "slopewatch_feed_stale_after_seconds",
        "gauge",
        ("site", "feed"),
        "age of its last answer beyond which the feed is stale",
    ),
    Metric(
        "slopewatch_feed_newest_valid_timestamp_seconds",
        "gauge",
        ("site", "feed"),
        "beginning of the newest day that the feed has brought a datum of",
    ),
    Metric(
        "slopewatch_feed_observations_total",
        "counter",
        ("site", "feed"),
        "observations appended to the log; after a restart some come again",
    ),
    Metric(
        "slopewatch_feed_rejections_total",
        "counter",
        ("site", "feed", "code"),
        "rows and answers that could not be used, by numbered reason; each counts once",
    ),
    Metric(
        "slopewatch_log_lag_records",
        "gauge",
        ("stage", "partition"),
        "records in the inbox that the stage has not read",
    ),
    Metric(
        "slopewatch_events_handled_total", "counter", ("stage", "type"), "distinct inputs handled"
    ),
    Metric(
        "slopewatch_handler_seconds",
        "histogram",
        ("stage", "type"),
        "time a handler took for one input",
    ),
    Metric(
        "slopewatch_commits_total",
        "counter",
        ("stage",),
        "commits of a site's state, position and outcomes, or of a projection's rows",
    ),
    Metric(
        "slopewatch_commit_seconds", "histogram", ("stage",), "time a store took for one commit"
    ),
    Metric(
        "slopewatch_dead_letters_total",
        "counter",
        ("stage", "code"),
        "inputs that could not be used, by numbered reason",
    ),
    Metric(
        "slopewatch_sites_parked",
        "gauge",
        ("stage",),
        "sites that stand still until a retry or an upgrade",
    ),
    Metric(
        "slopewatch_site_parked",
        "gauge",
        ("stage", "site"),
        "1 for each site that stands still; the reason is in the log and on the page",
    ),
    Metric(
        "slopewatch_state_valid_timestamp_seconds",
        "gauge",
        ("site",),
        "last measured epoch of the site's state; its age is the state's age",
    ),
    Metric(
        "slopewatch_last_day_closed_timestamp_seconds",
        "gauge",
        ("site",),
        "end of the last day closed that reached alerting",
    ),
    Metric(
        "slopewatch_alert_units", "gauge", ("site", "level"), "slope units standing at each level"
    ),
    Metric(
        "slopewatch_coverage_units",
        "gauge",
        ("site", "coverage"),
        "slope units watched, stale, blind or out of range",
    ),
    Metric(
        "slopewatch_next_pass_timestamp_seconds",
        "gauge",
        ("site",),
        "end of the day of the pass that is expected next; in the past: it has not come",
    ),
    Metric(
        "slopewatch_repeat_seconds",
        "gauge",
        ("site",),
        "time between two passes of a track, as the site's file says",
    ),
    Metric(
        "slopewatch_blind_from_timestamp_seconds",
        "gauge",
        ("site",),
        "when the first slope unit that is not blind yet becomes blind if no epoch comes",
    ),
    Metric(
        "slopewatch_alerts_raised",
        "gauge",
        ("site", "level"),
        "alerts of the last 365 days that reached the level; no history, exercises or tests",
    ),
    Metric(
        "slopewatch_alerts_false",
        "gauge",
        ("site", "level"),
        "those of them that a person cancelled: all that a review can say to be false",
    ),
    Metric(
        "slopewatch_false_alarm_budget",
        "gauge",
        ("site", "level"),
        "false alerts a year that the threshold table in force allows all the site's units",
    ),
    Metric(
        "slopewatch_forecast_error_mm",
        "gauge",
        ("site", "model", "horizon_days"),
        "root mean square of epoch minus forecast, mm, lately, by the model that spoke",
    ),
    Metric(
        "slopewatch_forecast_coverage_ratio",
        "gauge",
        ("site", "model", "horizon_days"),
        "share of epochs inside the 90 % interval that was issued for them",
    ),
    Metric(
        "slopewatch_forecast_units",
        "gauge",
        ("site", "model"),
        "unit series that each forecast model speaks for",
    ),
    Metric(
        "slopewatch_forecast_fallback_units",
        "gauge",
        ("site",),
        "unit series for which another model stands in for the chosen one",
    ),
    Metric(
        "slopewatch_forecast_fitted_timestamp_seconds",
        "gauge",
        ("site",),
        "end of the day on which the forecast models were fitted",
    ),
    Metric(
        "slopewatch_recipients_unreachable",
        "gauge",
        ("site",),
        "recipients to whom nothing gets through; `slopewatch alerts contacts` names them",
    ),
    Metric(
        "slopewatch_notifications_total",
        "counter",
        ("channel", "outcome"),
        "sendings by outcome: sent, repeated (perhaps before), retried, failed, suppressed",
    ),
    Metric(
        "slopewatch_outbox_waiting",
        "gauge",
        ("site",),
        "notifications that are not delivered yet",
    ),
    Metric(
        "slopewatch_outbox_oldest_timestamp_seconds",
        "gauge",
        ("site",),
        "when the oldest of them was decided; none while none waits",
    ),
    Metric(
        "slopewatch_certificate_expiry_timestamp_seconds",
        "gauge",
        ("server",),
        "until when the certificate that a server of the settings shows is valid",
    ),
    Metric(
        "slopewatch_token_expiry_timestamp_seconds",
        "gauge",
        ("secret",),
        "until when a token that the settings name is valid, where the token says so",
    ),
    Metric(
        "slopewatch_disk_free_bytes",
        "gauge",
        ("folder",),
        "what can still be written on the disk of a folder of the settings",
    ),
    Metric("slopewatch_disk_size_bytes", "gauge", ("folder",), "size of that disk"),
    Metric(
        "slopewatch_clock_skew_seconds",
        "gauge",
        ("against",),
        "this machine's clock minus that of a server of the settings",
    ),
    Metric(
        "slopewatch_backup_last_success_timestamp_seconds",
        "gauge",
        ("place",),
        "when the last backup became whole; none where none was ever made",
    ),
    Metric(
        "slopewatch_vitals_last_success_timestamp_seconds",
        "gauge",
        ("look",),
        "when each look last succeeded, at first its process's start; `alerts` is alerting's own",
    ),
    Metric(
        "slopewatch_watchdog_last_check_timestamp_seconds",
        "gauge",
        (),
        "when the watchdog last could look at all heartbeats, at first when it began",
    ),
    Metric(
        "slopewatch_watchdog_silent_sites",
        "gauge",
        (),
        "sites that are silent: no closed day has reached alerting for too long",
    ),
)


class Telemetry:
    """One registry with every metric of `METRICS`, as attributes without prefix and unit."""

    def __init__(self) -> None:
        self.registry = CollectorRegistry()
        made = {m.name: self._make(m) for m in METRICS}
        self.build: Gauge = made["slopewatch_build_info"]
        self.feed_success: Gauge = made["slopewatch_feed_last_success_timestamp_seconds"]
        self.feed_stale_after: Gauge = made["slopewatch_feed_stale_after_seconds"]
        self.feed_newest: Gauge = made["slopewatch_feed_newest_valid_timestamp_seconds"]
        self.observations: Counter = made["slopewatch_feed_observations_total"]
        self.rejections: Counter = made["slopewatch_feed_rejections_total"]
        self.log_lag: Gauge = made["slopewatch_log_lag_records"]
        self.handled: Counter = made["slopewatch_events_handled_total"]
        self.handler_seconds: Histogram = made["slopewatch_handler_seconds"]
        self.commits: Counter = made["slopewatch_commits_total"]
        self.commit_seconds: Histogram = made["slopewatch_commit_seconds"]
        self.dead_letters: Counter = made["slopewatch_dead_letters_total"]
        self.parked: Gauge = made["slopewatch_sites_parked"]
        self.site_parked: Gauge = made["slopewatch_site_parked"]
        self.state_valid: Gauge = made["slopewatch_state_valid_timestamp_seconds"]
        self.day_closed: Gauge = made["slopewatch_last_day_closed_timestamp_seconds"]
        self.alert_units: Gauge = made["slopewatch_alert_units"]
        self.coverage_units: Gauge = made["slopewatch_coverage_units"]
        self.next_pass: Gauge = made["slopewatch_next_pass_timestamp_seconds"]
        self.repeat: Gauge = made["slopewatch_repeat_seconds"]
        self.blind_from: Gauge = made["slopewatch_blind_from_timestamp_seconds"]
        self.alerts_raised: Gauge = made["slopewatch_alerts_raised"]
        self.alerts_false: Gauge = made["slopewatch_alerts_false"]
        self.false_alarm_budget: Gauge = made["slopewatch_false_alarm_budget"]
        self.forecast_error: Gauge = made["slopewatch_forecast_error_mm"]
        self.forecast_coverage: Gauge = made["slopewatch_forecast_coverage_ratio"]
        self.forecast_units: Gauge = made["slopewatch_forecast_units"]
        self.forecast_fallback: Gauge = made["slopewatch_forecast_fallback_units"]
        self.forecast_fitted: Gauge = made["slopewatch_forecast_fitted_timestamp_seconds"]
        self.unreachable: Gauge = made["slopewatch_recipients_unreachable"]
        self.notifications: Counter = made["slopewatch_notifications_total"]
        self.outbox_waiting: Gauge = made["slopewatch_outbox_waiting"]
        self.outbox_oldest: Gauge = made["slopewatch_outbox_oldest_timestamp_seconds"]
        self.certificate_expiry: Gauge = made["slopewatch_certificate_expiry_timestamp_seconds"]
        self.token_expiry: Gauge = made["slopewatch_token_expiry_timestamp_seconds"]
        self.disk_free: Gauge = made["slopewatch_disk_free_bytes"]
        self.disk_size: Gauge = made["slopewatch_disk_size_bytes"]
        self.clock_skew: Gauge = made["slopewatch_clock_skew_seconds"]
        self.backup_success: Gauge = made["slopewatch_backup_last_success_timestamp_seconds"]
        self.vitals: Gauge = made["slopewatch_vitals_last_success_timestamp_seconds"]
        self.watchdog_check: Gauge = made["slopewatch_watchdog_last_check_timestamp_seconds"]
        self.silent_sites: Gauge = made["slopewatch_watchdog_silent_sites"]
        self._is_watching = False
        self._handling: dict[tuple[str, str], tuple[Counter, Histogram]] = {}
        self._committing: dict[str, tuple[Counter, Histogram]] = {}

    def _make(self, metric: Metric):  # type: ignore[no-untyped-def]  # one of three classes
        kinds = {"gauge": Gauge, "counter": Counter, "histogram": Histogram}
        # One without labels would be shown as 0 before it has a value.
        registry = self.registry if metric.labels else None
        return kinds[metric.kind](metric.name, metric.meaning, metric.labels, registry=registry)

    def watched(self, at: float, silent: int) -> None:
        """The watchdog looked at unix time `at` and found `silent` sites; shown from here on."""
        self.watchdog_check.set(at)
        self.silent_sites.set(silent)
        if not self._is_watching:
            self.registry.register(self.watchdog_check)
            self.registry.register(self.silent_sites)
            self._is_watching = True

    @contextmanager
    def timed(self, stage: str, event_type: str) -> Iterator[None]:
        """Count one handled input and how long it took."""
        start = time.perf_counter()
        yield
        took = time.perf_counter() - start
        handled, seconds = self._of_handling(stage, event_type)
        handled.inc()
        seconds.observe(took)

    @contextmanager
    def committed(self, stage: str) -> Iterator[None]:
        """Count one commit that succeeds and how long it took."""
        start = time.perf_counter()
        yield
        took = time.perf_counter() - start
        if stage not in self._committing:
            labels = self.commits.labels(stage), self.commit_seconds.labels(stage)
            self._committing[stage] = labels
        commits, seconds = self._committing[stage]
        commits.inc()
        seconds.observe(took)

    def _of_handling(self, stage: str, event_type: str) -> tuple[Counter, Histogram]:
        """Both metrics with their labels, found once: to look them up costs as much as an input."""
        key = stage, event_type
        if key not in self._handling:
            self._handling[key] = self.handled.labels(*key), self.handler_seconds.labels(*key)
        return self._handling[key]


def configure_logging(level: str = "info", *, as_json: bool | None = None) -> None:
    """Structured logs to standard error: readable on a terminal, JSON elsewhere."""
    pretty = sys.stderr.isatty() if as_json is None else not as_json
    renderer = structlog.dev.ConsoleRenderer() if pretty else structlog.processors.JSONRenderer()
    structlog.configure(
        processors=[
            structlog.contextvars.merge_contextvars,
            structlog.processors.add_log_level,
            structlog.processors.TimeStamper(fmt="iso", utc=True),
            structlog.processors.format_exc_info,
            renderer,
        ],
        wrapper_class=structlog.make_filtering_bound_logger(
            logging.getLevelNamesMapping()[level.upper()]
        ),
        logger_factory=lambda *_: structlog.PrintLogger(sys.stderr),
        cache_logger_on_first_use=False,
    )
