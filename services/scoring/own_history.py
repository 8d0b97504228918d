"""A site's own history as a check of limits: when they would have asked for an alert, and how
little that shows.

Evidence is made of what is archived today, late epochs and newest vintages included, so a day here
is the epoch's own, not the one on which it was known. The first year of each track is not counted:
a filter and its rules need it to begin.
"""

from __future__ import annotations

import math
from collections.abc import Iterable, Sequence
from dataclasses import dataclass
from datetime import UTC, date, datetime
from itertools import pairwise
from typing import Final, NamedTuple

import numpy as np
from scipy.stats import chi2

from core.events import LEVELS
from core.evidence import Evidence, unpack_evidence
from core.settings import Site
from services.alerting.rule import LevelIndex, open_rules, with_data
from services.alerting.thresholds import ThresholdTable
from services.inference.evidence import evidence_of
from services.inference.issuing.archive import driver_record
from services.inference.state import SiteState, day_of, nanoseconds
from services.scoring.levels import levels_over_time
from services.scoring.pool import YEAR_DAYS
from services.scoring.score import SEPARATION_DAYS

_FOR_EVER: Final = nanoseconds(datetime(2200, 1, 1, tzinfo=UTC))
_CHANCE: Final = 0.05


class Episode(NamedTuple):
    """A unit stood above blue from one epoch of a track to another; the highest level it had."""

    unit: str
    track: str
    first: date
    last: date
    level: int


@dataclass(frozen=True)
class OwnHistory:
    """Watched unit-years of a site, first and last day watched, and episodes by their first day."""

    site: str
    unit_years: float
    first: date | None
    last: date | None
    episodes: tuple[Episode, ...]


def own_history(site: Site, state: SiteState, table: ThresholdTable) -> OwnHistory:
    """What the site's own rules would have said of its archive with the limits of `table`.

    A unit is watched from a year after the first epoch of any track to the last one of any.
    """
    record = driver_record(state)
    rules = [rule for rule in open_rules(site, table) if not rule.daily]
    episodes: list[Episode] = []
    watched: list[tuple[int, int]] = []
    for name, track in sorted(state.tracks.items()):
        if not track.days or track.days[-1] < track.days[0] + YEAR_DAYS:
            continue
        first = track.days[0] + YEAR_DAYS
        watched.append((first, track.days[-1]))
        evidence = unpack_evidence(evidence_of(track, site, record, _FOR_EVER))
        nothing = np.zeros(evidence.velocity_mm_d.shape, np.int8)
        asked = np.maximum.reduce([nothing, *(rule.levels(evidence) for rule in rules)])
        level = levels_over_time(asked.T, _fresh(evidence).T)
        for unit, series in zip(evidence.units, level, strict=True):
            episodes += _episodes(unit, name, evidence.epoch_day, series, first)
    return OwnHistory(
        site.name,
        _years(watched) * len(site.slope_units),
        day_of(min(a for a, _ in watched)) if watched else None,
        day_of(max(b for _, b in watched)) if watched else None,
        tuple(sorted(episodes, key=lambda one: (one.first, one.unit, one.track))),
    )


def _fresh(evidence: Evidence) -> np.ndarray[tuple[int, ...], np.dtype[np.bool_]]:
    """Epochs (E, U) that may lower a level, as `levels.fresh_epochs` has it for a pool."""
    seen = np.isfinite(evidence.observed_mm) & ~evidence.out_of_range
    return np.asarray(seen & np.logical_or.accumulate(with_data(evidence), axis=0))


def _episodes(
    unit: str, track: str, days: np.ndarray[tuple[int, ...], np.dtype[np.int64]],
    level: LevelIndex, first: int,
) -> Iterable[Episode]:  # fmt: skip
    """Episodes of a level above blue, 60 days of blue between them, from day `first` on."""
    on = np.flatnonzero((level > 0) & (days >= first))
    breaks = [i for i, (a, b) in enumerate(pairwise(on.tolist()), 1) if _apart(days, a, b)]
    for part in np.split(on, breaks):
        if part.size:
            ends = (day_of(int(days[part[0]])), day_of(int(days[part[-1]])))
            yield Episode(unit, track, *ends, int(level[part].max()))


def _apart(days: np.ndarray[tuple[int, ...], np.dtype[np.int64]], one: int, other: int) -> bool:
    """Whether the level was at blue for so long between two epochs above it."""
    return bool(other > one + 1 and days[other] - days[one + 1] >= SEPARATION_DAYS)


def _years(spans: Sequence[tuple[int, int]]) -> float:
    """Years that any of the spans [first, last] of days covers."""
    total, reached = 0, -math.inf
    for first, last in sorted(spans):
        total += max(0, last - int(max(first, reached)))
        reached = max(reached, last)
    return total / YEAR_DAYS


def told(history: OwnHistory) -> list[str]:
    """The check in sentences, with what it cannot show."""
    if history.first is None:
        return [f"{history.site}: no track reaches back more than a year, so there is no check"]
    lines = [
        f"{history.site}: {history.unit_years:.1f} unit-years watched, {history.first} to "
        f"{history.last}"
    ]
    lines += [
        f"  {one.unit}, track {one.track}: {LEVELS[one.level]} from {one.first} to {one.last}"
        for one in history.episodes
    ]
    for index, level in enumerate(LEVELS[1:], start=1):
        count = sum(one.level >= index for one in history.episodes)
        lines.append(f"  {level}: {_bounded(count, history.unit_years)}")
    lines.append(
        "  what it cannot show: whether an episode was a true acceleration, and whether a silent "
        "rule would have spoken before a failure; no limit was set on this history"
    )
    return lines


def _bounded(count: int, years: float) -> str:
    if not count:
        return (
            f"no episode; {years:.1f} silent years only bound the rate at "
            f"{-math.log(_CHANCE) / years:.2g} a year (95 %)"
        )
    high = float(chi2.ppf(1 - _CHANCE, 2 * count + 2)) / 2 / years
    one = "1 episode" if count == 1 else f"{count} episodes"
    return f"{one}, {count / years:.2g} a year, at most {high:.2g} (95 %)"
