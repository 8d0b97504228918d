"""Alerts scored: false alarms for each unit-year, alarm time, and failures detected by lead.

Watched time is what follows the first three years of a record, up to failure. An *episode* starts
when the level reaches orange (or another level asked about) and ends after 60 days below it. It is
a *false alarm* if it starts in watched time outside [onset, failure] of a failure: every episode of
a quiet site, of an aborted ramp and of a storm step is one.

A failure is *detected at lead h* if on the day h before it an episode that started after onset
stands, and the level stays until failure. An episode that stood at onset detects nothing unless
the level rises above the highest it had in that episode. Days are those on which a verdict was
known: latency and persistence are in every figure.
"""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass
from functools import lru_cache
from typing import NamedTuple

import numpy as np
import numpy.typing as npt
from scipy.stats import chi2, norm

from core.evidence import Floats
from core.twin import Kind
from services.alerting.rule import LevelIndex
from services.scoring.levels import ORANGE
from services.scoring.pool import YEAR_DAYS, Pool

Ints = npt.NDArray[np.int64]
Flags = npt.NDArray[np.bool_]

DROPPED_YEARS = 3
SEPARATION_DAYS = 60
LEADS_DAYS = (7, 14, 30)
RESAMPLES = 1000


class Interval(NamedTuple):
    """An estimate with its 95 % interval; NaN where there is nothing to estimate from."""

    value: float
    low: float
    high: float


class Watched(NamedTuple):
    """Watched days [first, end) of each site, and when each epoch's verdict stands: (S, K) days.

    An epoch that becomes known at failure or later stands for no time.
    """

    first: int
    end: Ints
    since: Ints
    until: Ints


@dataclass(frozen=True)
class Score:
    """One rule on one pool. Rates are a unit-year, shares from 0 to 1.

    `false_alarms` and `alarm_share` by `Kind` and 'all' of those; failing sites, before onset,
    are apart. `detection` by lead in days, 0 for an alert on any day from onset on.
    """

    false_alarms: Mapping[str, Interval]
    episodes: Mapping[str, int]
    site_years: Mapping[str, float]
    alarm_share: Mapping[str, float]
    detection: Mapping[int, Interval]
    failures: int
    median_lead_days: float


def watched(pool: Pool) -> Watched:
    """Watched time of a pool."""
    failed = pool.failure_day >= 0
    end = np.where(failed, pool.failure_day, pool.days)
    since = np.minimum(pool.known_day, end[:, None])
    until = np.concatenate([since[:, 1:], end[:, None]], axis=1)
    return Watched(DROPPED_YEARS * YEAR_DAYS, end, since, until)


def starts(on: Flags, span: Watched) -> Flags:
    """Epochs (S, K) at which an episode starts: `on`, and not in the 60 days before."""
    lasting = on & (span.until > span.since)
    left = np.where(lasting, span.until, -SEPARATION_DAYS)
    before = np.maximum.accumulate(left, axis=1)
    before = np.concatenate([np.full((len(on), 1), -SEPARATION_DAYS), before[:, :-1]], axis=1)
    return np.asarray(lasting & (span.since - before >= SEPARATION_DAYS))


def false_starts(pool: Pool, on: Flags) -> Flags:
    """Episode starts (S, K) in watched time that no failure's runaway explains."""
    span = watched(pool)
    begun = starts(on, span) & (span.since >= span.first)
    runaway = (pool.failure_day >= 0)[:, None] & (span.since >= pool.onset_day[:, None])
    return np.asarray(begun & ~runaway)


def quiet_days(pool: Pool) -> Ints:
    """Watched days (S,) outside a failure's runaway."""
    span = watched(pool)
    end = np.where(pool.failure_day >= 0, pool.onset_day, span.end)
    return np.asarray(np.maximum(end - span.first, 0))


def alarm_days(pool: Pool, on: Flags) -> Ints:
    """Days (S,) `on` in watched time outside a failure's runaway."""
    span = watched(pool)
    end = span.first + quiet_days(pool)[:, None]
    clipped = np.minimum(span.until, end) - np.maximum(span.since, span.first)
    return np.asarray(np.where(on, np.maximum(clipped, 0), 0).sum(axis=1))


def detected(pool: Pool, level: LevelIndex, lead_days: int, least: int = ORANGE) -> Flags:
    """Whether each site's failure is detected at this lead, (S,); false where none fails.

    With `lead_days` 0 it is enough that an alert begins, or rises, before failure.
    """
    span = watched(pool)
    onset = pool.onset_day[:, None]
    lasting = span.until > span.since
    on = level >= least
    news = _news(level, on, span, onset)
    if lead_days == 0:
        found = (news & lasting & (span.since >= onset)).any(axis=1)
        return np.asarray(found & (pool.failure_day >= 0))
    day = (span.end - lead_days)[:, None]
    off = (~on & lasting & (span.until > day)).any(axis=1)
    known = (news & lasting & (span.since >= onset) & (span.since <= day)).any(axis=1)
    # Before the first epoch nothing stands.
    late = span.since[:, 0] > day[:, 0]
    return np.asarray(known & ~off & ~late & (pool.failure_day >= 0))


def leads(pool: Pool, level: LevelIndex, least: int = ORANGE) -> Ints:
    """Days from the standing alert's first day to failure, (S,); -1 where nothing is detected."""
    span = watched(pool)
    on = level >= least
    lasting = span.until > span.since
    gone = np.where(~on & lasting, span.until, -1).max(axis=1)[:, None]
    news = _news(level, on, span, pool.onset_day[:, None]) & lasting & on
    first_news = np.where(news, span.since, span.end[:, None] + 1).min(axis=1)[:, None]
    standing = on & lasting & (span.since >= np.maximum(gone, first_news))
    first = np.where(standing, span.since, span.end[:, None] + 1).min(axis=1)
    found = (pool.failure_day >= 0) & (first < span.end)
    return np.asarray(np.where(found, span.end - first, -1))


def _news(level: LevelIndex, on: Flags, span: Watched, onset: Ints) -> Flags:
    """Epochs (S, K) since onset in an alert that did not stand before it, or stands higher."""
    begun = starts(on, span)
    number = np.cumsum(begun, axis=1)
    before = span.since < onset
    stood = np.where(before & on, number, -1).max(axis=1)[:, None]
    same = (number == stood) & before & on
    height = np.where(same, level, -1).max(axis=1)[:, None]
    return np.asarray(on & ~before & ((number != stood) | (level > height)))


def score(pool: Pool, level: LevelIndex, least: int = ORANGE) -> Score:
    """Score the levels (S, K) of a pool; an alert is a level of at least `least`."""
    on = level >= least
    false, days, alarm = false_starts(pool, on).sum(axis=1), quiet_days(pool), alarm_days(pool, on)
    groups = {str(kind): pool.kind == kind for kind in Kind}
    groups["all"] = pool.kind != Kind.FAILING
    failing = pool.failure_day >= 0
    lead = leads(pool, level, least)
    return Score(
        false_alarms={n: rate_interval(false[w], days[w] / YEAR_DAYS) for n, w in groups.items()},
        episodes={n: int(false[w].sum()) for n, w in groups.items()},
        site_years={n: float(days[w].sum() / YEAR_DAYS) for n, w in groups.items()},
        alarm_share={n: _share(alarm[w].sum(), days[w].sum()) for n, w in groups.items()},
        detection={
            h: wilson(int(detected(pool, level, h, least).sum()), int(failing.sum()))
            for h in (0, *LEADS_DAYS)
        },
        failures=int(failing.sum()),
        median_lead_days=float(np.median(lead[lead >= 0])) if (lead >= 0).any() else float("nan"),
    )


def rate_interval(counts: Ints, years: Floats) -> Interval:
    """Rate of events a year from counts and years of each site.

    The interval is the wider, at each end, of the exact Poisson one (Garwood 1936) and of a
    bootstrap over sites: episodes of one site come together.
    """
    total, exposure = int(counts.sum()), float(years.sum())
    if exposure <= 0:
        return Interval(float("nan"), float("nan"), float("nan"))
    low = chi2.ppf(0.025, 2 * total) / 2 if total else 0.0
    high = chi2.ppf(0.975, 2 * total + 2) / 2
    drawn = resampled(len(counts)) @ np.stack([counts, years], axis=1).astype(float)
    rates = drawn[:, 0] / np.where(drawn[:, 1] > 0, drawn[:, 1], np.inf)
    spread = np.quantile(rates, [0.025, 0.975])
    return Interval(
        total / exposure,
        float(min(low / exposure, spread[0])),
        float(max(high / exposure, spread[1])),
    )


@lru_cache(maxsize=48)
def resampled(sites: int) -> Floats:
    """How often each of `sites` sites is drawn in each resample, (1000, sites); always the same."""
    rng = np.random.default_rng(sites)
    return rng.multinomial(sites, np.full(sites, 1 / sites), size=RESAMPLES).astype(float)


def wilson(hits: int, of: int) -> Interval:
    """Share with its Wilson (1927) 95 % interval."""
    if of == 0:
        return Interval(float("nan"), float("nan"), float("nan"))
    z, share = float(norm.ppf(0.975)), hits / of
    centre = (share + z * z / (2 * of)) / (1 + z * z / of)
    half = z * np.sqrt(share * (1 - share) / of + z * z / (4 * of * of)) / (1 + z * z / of)
    return Interval(share, float(max(centre - half, 0.0)), float(min(centre + half, 1.0)))


def _share(part: float, whole: float) -> float:
    return float(part / whole) if whole else float("nan")
