"""Silence is not safety: is a slope unit watched, stale, blind or out of range, and why?"""

from __future__ import annotations

from collections.abc import Mapping
from datetime import date, timedelta
from typing import NamedTuple

from msgspec.structs import replace

from core.events import Coverage
from core.geometry import LEAST_LOS_FACTOR
from services.alerting.message import CoverageFacts
from services.alerting.state import ClosedDay, Sight

STALE_AFTER_INTERVALS = 2
BLIND_AFTER_INTERVALS = 4

BEST_FIRST: tuple[Coverage, ...] = ("watched", "out of range", "stale", "blind")
_ACROSS = "the line of sight sees less than a fifth of downslope motion"
_MONTHS = (
    *("January", "February", "March", "April", "May", "June"),
    *("July", "August", "September", "October", "November", "December"),
)


class View(NamedTuple):
    """Coverage of a unit, a plain reason, the next pass to be expected where one is known, and
    the facts behind the reason."""

    coverage: Coverage
    reason: str
    next_pass: date | None
    facts: CoverageFacts


class _Verdict(NamedTuple):
    """What one track says."""

    coverage: Coverage
    reason: str
    facts: CoverageFacts


class Judging(NamedTuple):
    """How the rules look: down the slope alone, and why none of them can ask for a level, if so."""

    downslope: bool = False
    mute: str | None = None


def assess(
    sights: Mapping[str, Sight],
    closed: ClosedDay,
    repeat_days: int,
    judging: Judging = Judging(),  # noqa: B008
) -> View:
    """Coverage of one unit as of `closed.day`; the best of its tracks counts.

    Stale: not measured for more than 2 repeat intervals, or decorrelated at the last epoch; blind:
    for more than 4, or never, or, where the rules judge downslope motion, in a line of sight that
    hardly sees that; and where no rule can ask for a level.
    """
    next_pass = expected_pass(closed, repeat_days)
    if judging.mute:
        return View("blind", judging.mute, next_pass, CoverageFacts(cause="no limit"))
    epochs = dict(closed.epochs)
    for track, sight in sights.items():
        epochs[track] = max(sight.epoch, epochs.get(track, sight.epoch))
    if not epochs:
        reason, facts = _why_no_epoch(closed)
        return View("blind", reason, next_pass, facts)
    verdicts = [
        _Verdict("blind", f"{_ACROSS} on track {track}", CoverageFacts(cause="across", track=track))
        if judging.downslope and _across(sights.get(track))
        else _track(track, sights.get(track), epochs[track], closed.day, repeat_days)
        for track in sorted(epochs)
    ]
    best = min(verdicts, key=lambda verdict: BEST_FIRST.index(verdict.coverage))
    reasons = [best.reason]
    if best.coverage == "watched":
        reasons += [one.reason for one in verdicts if one.coverage == "out of range"]
    elif next_pass is not None:
        reasons.append(f"next pass expected on {plain_date(next_pass)}")
    return View(best.coverage, "; ".join(reasons), next_pass, best.facts)


def expected_pass(closed: ClosedDay, repeat_days: int) -> date | None:
    """First pass of any track to be expected after `closed.day`; None when none was ever seen."""
    expected = [
        last + timedelta(days=repeat_days * max(1, (closed.day - last).days // repeat_days + 1))
        for last in (closed.passes or closed.epochs).values()
    ]
    return min(expected, default=None)


def awaited_pass(closed: ClosedDay, repeat_days: int) -> date | None:
    """The pass that follows the last one known of each track, come or not; the earliest of them.

    A track that was not seen for more than 4 repeat intervals is not waited for, unless none was.
    None when none was ever seen.
    """
    last = list((closed.passes or closed.epochs).values())
    longest = timedelta(days=BLIND_AFTER_INTERVALS * repeat_days)
    lively = [day for day in last if closed.day - day <= longest]
    return min((day + timedelta(days=repeat_days) for day in lively or last), default=None)


def blind_on(
    sights: Mapping[str, Sight],
    repeat_days: int,
    judging: Judging = Judging(),  # noqa: B008
) -> date | None:
    """The first day as of which `assess` calls the unit blind if no track measures it again.

    None where no track has measured it in a way that counts.
    """
    measured = [
        sight.measured
        for sight in sights.values()
        if sight.measured is not None and not (judging.downslope and _across(sight))
    ]
    last = max(measured, default=None)
    return last and last + timedelta(days=BLIND_AFTER_INTERVALS * repeat_days + 1)


def plain_date(day: date) -> str:
    """A date as people write it, the same on every machine: 3 March 2024."""
    return f"{day.day} {_MONTHS[day.month - 1]} {day.year}"


def _why_no_epoch(closed: ClosedDay) -> tuple[str, CoverageFacts]:
    if not closed.passes:
        return "no pass seen and no displacement", CoverageFacts(cause="no pass")
    if not closed.sources:
        return "passes seen, no displacement source", CoverageFacts(cause="no source")
    sources = ", ".join(closed.sources)
    return f"passes seen, no epoch from {sources} yet", CoverageFacts(cause="no epoch")


def _across(sight: Sight | None) -> bool:
    """Whether the line of sight is known to run across the unit's downslope direction."""
    factor = sight.los_factor if sight else None
    return factor is not None and abs(factor) < LEAST_LOS_FACTOR


def _track(track: str, sight: Sight | None, epoch: date, day: date, repeat_days: int) -> _Verdict:
    few = sight.few if sight else None
    if sight is None or sight.measured is None:
        reason = f"no measured points in the unit on track {track}"
        if few:
            reason += f"; {_too_few(few)}"
        return _Verdict("blind", reason, CoverageFacts(cause="no points", track=track, few=few))
    age = (day - sight.measured).days
    since = f"track {track} last measured the unit on {plain_date(sight.measured)}"

    facts = CoverageFacts(
        cause="measured", track=track, measured=sight.measured, age_days=max(0, age), few=few
    )
    if age > STALE_AFTER_INTERVALS * repeat_days:
        late = f"{since}, {age} days ago"
        if few:
            late += f"; {_too_few(few)}"
        elif epoch > sight.measured:
            late += ", and had no measured points in it since"
        blind = age > BLIND_AFTER_INTERVALS * repeat_days
        facts = replace(facts, cause="decorrelated" if few else "old")
        return _Verdict("blind" if blind else "stale", late, facts)
    if sight.out_of_range:
        past = (
            f"motion up to {plain_date(sight.measured)} is past what track {track} can tell "
            "between two passes"
        )
        return _Verdict("out of range", past, replace(facts, cause="out of range"))
    if few:
        reason = f"{_too_few(few)}; {since}"
        return _Verdict("stale", reason, replace(facts, cause="decorrelated"))
    return _Verdict("watched", since, facts)


def _too_few(points: tuple[int, int]) -> str:
    return f"decorrelated: {points[0]} of usually {points[1]} points measured"
