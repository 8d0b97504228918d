"""The held-out test of the alert rules: simulated sites that nothing was chosen on, scored once.

What stands in one table is scored on the same sites. Rules alone and comparators stand at the
threshold at which each has the false-alarm rate of orange on the calibration sites; nothing is set
on the test sites.
"""

from __future__ import annotations

import json
from collections.abc import Iterator, Mapping
from typing import NamedTuple

import numpy as np

from core.events import LEVELS, Level
from core.evidence import Floats
from core.twin import Kind
from services.alerting.displacement import with_displacement
from services.alerting.rule import LevelIndex
from services.alerting.rules import failure_time
from services.alerting.thresholds import Limits, ThresholdTable, load_table
from services.scoring import score
from services.scoring.comparators import COMPARATORS
from services.scoring.levels import (
    ORANGE,
    RED,
    YELLOW,
    Flags,
    fresh_epochs,
    or_out_of_range,
    rule_levels,
    statistic_levels,
)
from services.scoring.pool import YEAR_DAYS, Pool
from services.scoring.pools import HYDROLOGY_FAMILIES, TEST, Counts, held_out_pools
from services.scoring.score import Interval, Score
from services.scoring.voters import MOTION, statistic, voting_rules

RUNAWAY_FAMILIES = ("voight", "weakening")
PEER = "two-epoch velocity"


class Row(NamedTuple):
    """One way to warn, scored on all test sites, and detection by runaway and hydrology family."""

    name: str
    whole: Score
    by_family: Mapping[tuple[str, str], Score]


class Gain(NamedTuple):
    """Detection of orange less that of the peer on the same failures, by lead in days."""

    peer: str
    by_lead: Mapping[int, Interval]
    by_family_14_d: Mapping[tuple[str, str], Interval]


class Alone(NamedTuple):
    """One rule by itself at the limit in force: false alarms a unit-year by level."""

    rule: str
    votes_at: str
    false_alarms: Mapping[Level, Interval]


class FailureTimes(NamedTuple):
    """Times of failure told while an alert stood, at each epoch from onset to failure.

    `covered`: share of the told intervals (8 of 10) that hold the true day. `refused`: share of the
    comparisons from which no time was told. `told_in_vain_a_year`: epochs a unit-year with a time
    told on sites that did not fail.
    """

    told: int
    covered: Interval
    refused: Interval
    compared: int
    told_in_vain_a_year: float


class HeldOut(NamedTuple):
    """Everything that the page tells."""

    version: str
    sites: Mapping[str, int]
    unit_years: float
    failures: Mapping[tuple[str, str], int]
    rows: tuple[Row, ...]
    ceiling: Row
    without_water: Row
    gain: Gain
    alone: tuple[Alone, ...]
    times: FailureTimes


def held_out(table: bytes, counts: Counts = TEST, progress: bool = False) -> HeldOut:
    """Score the rules with the limits of `table` on the test pool."""
    limits = load_table(table)
    pool, told_truth, told_nothing = held_out_pools(counts, ("gauges", "true", "none"), progress)
    peers = json.loads(table)["comparators"]
    level = rule_levels(pool, voting_rules(limits))
    peer = _peer_levels(pool, peers, PEER)
    quiet = pool.kind != Kind.FAILING
    return HeldOut(
        version=limits.version,
        sites={str(kind): int((pool.kind == kind).sum()) for kind in Kind},
        unit_years=float(score.quiet_days(pool)[quiet].sum() / YEAR_DAYS),
        failures={key: int((which & _fails(pool)).sum()) for key, which in _families(pool)},
        rows=tuple(_rows(pool, level, peers)),
        ceiling=_orange(told_truth, limits, "told the true rain and level"),
        without_water=_orange(told_nothing, limits, "told neither rain nor level"),
        gain=_gain(pool, level, peer),
        alone=tuple(_alone(pool, limits)),
        times=_failure_times(pool, level),
    )


def _rows(pool: Pool, level: LevelIndex, peers: Mapping[str, float]) -> Iterator[Row]:
    for index in (ORANGE, RED, YELLOW):
        yield _row(pool, f"slopewatch, {LEVELS[index]}", level, index)
    yield _row(pool, "slopewatch, orange or out of range", or_out_of_range(pool, level))
    for name in (*COMPARATORS, *MOTION):
        if name in peers:
            label = name if name in COMPARATORS else f"{name} alone"
            yield _row(pool, label, _peer_levels(pool, peers, name))
    yield _row(pool, "always on", np.full(level.shape, ORANGE, dtype=np.int8))
    yield _row(pool, "never on", np.zeros(level.shape, dtype=np.int8))


def _row(pool: Pool, name: str, level: LevelIndex, least: int = ORANGE) -> Row:
    parts = {key: score.score(pool.where(w), level[w], least) for key, w in _families(pool)}
    return Row(name, score.score(pool, level, least), parts)


def _fails(pool: Pool) -> Flags:
    return np.asarray(pool.failure_day >= 0)


def _families(pool: Pool) -> Iterator[tuple[tuple[str, str], Flags]]:
    """Sites by (runaway family of those that fail or 'none', hydrology family)."""
    for hydrology in HYDROLOGY_FAMILIES:
        here = pool.hydrology_family == hydrology
        for runaway in RUNAWAY_FAMILIES:
            failing = (pool.kind == Kind.FAILING) & (pool.runaway_family == runaway)
            yield (runaway, hydrology), here & failing
        yield ("none", hydrology), here & (pool.kind != Kind.FAILING)


def _peer_levels(pool: Pool, peers: Mapping[str, float], name: str) -> LevelIndex:
    """Orange where a comparator, or a rule alone, passes its matched threshold (S, K)."""
    measure, fresh = COMPARATORS.get(name, (None, fresh_epochs))
    values = measure(pool) if measure else statistic(pool, name)
    asked = statistic_levels(values, fresh(pool), Limits(yellow=peers[name]))
    return np.asarray(np.where(asked > 0, ORANGE, 0), dtype=np.int8)


def _orange(pool: Pool, limits: ThresholdTable, told: str) -> Row:
    return _row(pool, f"slopewatch, orange, {told}", rule_levels(pool, voting_rules(limits)))


def _gain(pool: Pool, level: LevelIndex, peer: LevelIndex) -> Gain:
    fails = _fails(pool)

    def paired(lead: int, which: Flags) -> Interval:
        ours, theirs = (score.detected(pool, one, lead)[which & fails] for one in (level, peer))
        return _mean(ours.astype(float) - theirs)

    everywhere = np.ones(len(pool), dtype=bool)
    return Gain(
        PEER,
        {lead: paired(lead, everywhere) for lead in score.LEADS_DAYS},
        {key: paired(14, which) for key, which in _families(pool) if key[0] != "none"},
    )


def _mean(values: Floats) -> Interval:
    """Mean with its 95 % interval by resampling sites."""
    if not len(values):
        return Interval(*(float("nan"),) * 3)
    low, high = np.quantile(score.resampled(len(values)) @ values / len(values), [0.025, 0.975])
    return Interval(float(values.mean()), float(low), float(high))


def _alone(pool: Pool, limits: ThresholdTable) -> Iterator[Alone]:
    quiet = pool.where(pool.kind != Kind.FAILING)
    years = score.quiet_days(quiet) / YEAR_DAYS
    for name in MOTION:
        level = rule_levels(quiet, voting_rules(limits, [name]))
        rates = {
            LEVELS[index]: score.rate_interval(
                score.false_starts(quiet, level >= index).sum(axis=1), years
            )
            for index in (1, 2, 3)
        }
        own = limits.rules.get(name, Limits())
        at = ", ".join(f"{n} {v:g}" for n, v in own._asdict().items() if np.isfinite(v))
        yield Alone(name, at or "no vote", rates)


def _failure_times(pool: Pool, level: LevelIndex) -> FailureTimes:
    settings = failure_time.Settings()
    evidence = pool.evidence
    judged = with_displacement(evidence) & failure_time.in_excess(evidence, settings)
    judged &= pool.usable[..., None]
    span = score.watched(pool)
    watched = (span.since >= span.first) & (span.until > span.since)
    fails = _fails(pool)[:, None]
    running = fails & (level >= ORANGE) & (span.since >= pool.onset_day[:, None])
    at = judged & (watched & (running | ~fails))[..., None]
    found = failure_time.compared(evidence, settings, at)
    site, epoch, _ = np.nonzero(at)
    told = found.refused == 0
    left = pool.failure_day[site] - evidence.epoch_day[site, epoch]
    inside = (left >= found.low_days) & (left <= found.high_days)
    of_failing = _fails(pool)[site]
    quiet_years = score.quiet_days(pool)[~_fails(pool)].sum() / YEAR_DAYS
    return FailureTimes(
        told=int((told & of_failing).sum()),
        covered=_by_site(site, told & of_failing, inside),
        refused=_by_site(site, of_failing, ~told),
        compared=int(of_failing.sum()),
        told_in_vain_a_year=float((told & ~of_failing).sum() / quiet_years),
    )


def _by_site(site: score.Ints, counted: Flags, hit: Flags) -> Interval:
    """Share of the counted rows that hit, with its 95 % interval by resampling sites."""
    number, which = np.unique(site[counted], return_inverse=True)
    if not len(number):
        return Interval(*(float("nan"),) * 3)
    rows = np.bincount(which).astype(float)
    hits = np.bincount(which, hit[counted].astype(float))
    drawn = score.resampled(len(number))
    low, high = np.quantile((drawn @ hits) / (drawn @ rows), [0.025, 0.975])
    return Interval(float(hits.sum() / rows.sum()), float(low), float(high))
