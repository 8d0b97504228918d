"""The state machine of a slope unit: raise at once, lower slowly and on fresh data only."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from datetime import UTC, date, datetime
from typing import TypeGuard

import msgspec
from msgspec.structs import replace

from core.events import Coverage, Level, UnitState, Vote
from core.geometry import LEAST_LOS_FACTOR
from core.settings import rank
from services.alerting.coverage import View
from services.alerting.message import LevelCause, MessageKind
from services.alerting.rule import DRIVERS_TRACK, SHOWN_ONLY
from services.alerting.state import Sight, UnitAlert

FRESH_EPOCHS_TO_LOWER = 3
LEAST_SHARE_OF_POINTS = 3
"""An epoch with less than one in so many of a unit's usual points does not measure the unit."""
CALM_DAYS_TO_LOWER = 3
"""Closed days in a row that must ask for less where only rain and level asked for the level."""


class Change(msgspec.Struct, frozen=True, kw_only=True):
    """A unit's level or coverage is another than before; `arose` is the day of which it speaks."""

    unit: str
    level: tuple[Level, Level]
    coverage: tuple[Coverage, Coverage]
    reason: str
    arose: date
    historical: bool
    alert: str = ""

    @property
    def kinds(self) -> tuple[MessageKind, ...]:
        """What is new."""
        kinds: list[MessageKind] = []
        if self.level[0] != self.level[1]:
            kinds.append("level")
        if self.coverage[0] != self.coverage[1]:
            kinds.append("coverage")
        return tuple(kinds)


def observed(unit: UnitAlert, track: str, epoch: date, seen: UnitState | None) -> UnitAlert:
    """The unit after an epoch of `track`; `seen` is what the epoch says of it, if anything."""
    before = unit.sights.get(track)
    if before is not None and epoch < before.epoch:
        return unit
    measured = before.measured if before else None
    out_of_range = before.out_of_range if before else False
    if _measures(seen):
        measured, out_of_range = epoch, seen.out_of_range
    sight = Sight(
        epoch=epoch,
        measured=measured,
        out_of_range=out_of_range,
        few=(seen.measured_points, seen.usual_points) if _decorrelated(seen) else None,
        los_factor=seen.los_factor if seen else None,
    )
    return replace(unit, sights={**unit.sights, track: sight})


def is_fresh(
    unit: UnitAlert, track: str, epoch: date, seen: UnitState | None, votes: Sequence[Vote]
) -> bool:
    """Whether the epoch may lower the level of `unit`, as it was before the epoch.

    It must be newer than the track's last, assimilated, of a track that sees downslope motion where
    that is known, and at least one rule that may ask for a level must have been able to judge it.
    """
    before = unit.sights.get(track)
    newer = before is None or epoch > before.epoch
    assimilated = _measures(seen) and not seen.out_of_range
    judged = any(vote.calibrated and vote.rule not in SHOWN_ONLY for vote in votes)
    return newer and assimilated and judged and not _looks_across(seen)


def _looks_across(seen: UnitState | None) -> bool:
    factor = seen.los_factor if seen else None
    return factor is not None and abs(factor) < LEAST_LOS_FACTOR


def _decorrelated(seen: UnitState | None) -> TypeGuard[UnitState]:
    return seen is not None and seen.measured_points * LEAST_SHARE_OF_POINTS < seen.usual_points


def _measures(seen: UnitState | None) -> TypeGuard[UnitState]:
    return seen is not None and seen.measured_points > 0 and not _decorrelated(seen)


def asked_level(votes: Mapping[str, Sequence[Vote]]) -> Level:
    """Highest level that any rule asks for on any track."""
    levels: list[Level] = [vote.level for of_track in votes.values() for vote in of_track]
    return max(levels, key=rank, default="blue")


def voted(
    unit: UnitAlert, track: str, votes: Sequence[Vote], *, fresh: bool, epoch: date, now: datetime
) -> UnitAlert:
    """The unit after new votes of `track`.

    The level rises at once to what is asked for. It falls after 3 fresh epochs in a row that ask
    for less, to the highest level asked for in them. What a person cancelled rises again only by
    the votes of fresh epochs.
    """
    if not fresh and _is_set_aside(unit, track):
        return unit
    unit = _with_votes(unit, track, votes)
    asked = asked_level(unit.votes)
    if rank(asked) > rank(unit.level):
        why = _why_raised(unit.votes, asked)
        return _at_level(unit, asked, "votes", why, epoch, now)
    if asked == unit.level:
        return replace(unit, asked_less=()) if fresh else unit
    if not fresh:
        return unit
    asked_less = (*unit.asked_less, asked)
    if len(asked_less) < FRESH_EPOCHS_TO_LOWER:
        return replace(unit, asked_less=asked_less)
    lower = max(asked_less, key=rank)
    why = f"{FRESH_EPOCHS_TO_LOWER} fresh epochs in a row asked for no more than {lower}"
    return _at_level(unit, lower, "fresh epochs", why, epoch, now)


def driven(unit: UnitAlert, votes: Sequence[Vote], day: date, now: datetime) -> UnitAlert:
    """The unit after new votes on the rain and level of `day`.

    They raise at once and are no epoch: they never lower by themselves (`calmed` does). What a
    person cancelled rises by them only after a day on which they asked for nothing.
    """
    calm = asked_level({DRIVERS_TRACK: votes}) == "blue"
    speaking = {vote.rule for vote in votes if vote.calibrated}
    if speaking and calm and _is_set_aside(unit, DRIVERS_TRACK):
        return _with_votes(unit, DRIVERS_TRACK, votes)
    unit = voted(unit, DRIVERS_TRACK, votes, fresh=False, epoch=day, now=now)
    if unit.drivers_floor is None:
        return replace(unit, drivers_asked=())
    floor = rank(unit.drivers_floor)
    asking = {vote.rule for vote in votes if rank(vote.level) > floor}
    asked = tuple(sorted({*unit.drivers_asked, *asking}))
    judged = day if speaking >= set(asked) else unit.drivers_judged
    return replace(unit, drivers_asked=asked, drivers_judged=judged)


def calmed(unit: UnitAlert, day: date, now: datetime) -> UnitAlert:
    """The unit after `day` was closed: a level that only rain and level asked for may fall.

    It falls after 3 closed days in a row on which the rules that asked for it could judge and no
    vote of any track asked for it, to the highest level asked for in them, and never below what a
    track asked for. Such a level has nothing to do with passes, so no fresh epoch has to come: the
    gauges are what is fresh on each of these days.
    """
    floor, judged = unit.drivers_floor, unit.drivers_judged
    if floor is None or judged is None or judged < day:
        return unit
    asked = asked_level(unit.votes)
    if rank(asked) >= rank(unit.level):
        return replace(unit, calm_days=())
    calm_days = (*unit.calm_days, asked)
    if len(calm_days) < CALM_DAYS_TO_LOWER:
        return replace(unit, calm_days=calm_days)
    lower = max(floor, *calm_days, key=rank)
    why = f"{CALM_DAYS_TO_LOWER} closed days in a row asked for no more than {lower}"
    return _at_level(unit, lower, "closed days", why, day, now)


def cancelled(unit: UnitAlert, operator: str, reason: str, now: datetime) -> UnitAlert:
    """The unit after a person withdrew its alert: at blue, what rules asked for set aside."""
    why = f"cancelled by {operator}: {reason}"
    unit = _at_level(unit, "blue", "cancelled", why, now.astimezone(UTC).date(), now)
    return replace(unit, votes={})


def _is_set_aside(unit: UnitAlert, track: str) -> bool:
    """Whether a person cancelled what `track` asked for, and it has said nothing new since."""
    cancelled_case = unit.case is not None and unit.case.cancelled is not None
    return cancelled_case and track not in unit.votes


def viewed(unit: UnitAlert, view: View, day: date, now: datetime) -> UnitAlert:
    """The unit with its coverage as of `day`."""
    unit = replace(
        unit, coverage_reason=view.reason, coverage_facts=view.facts, next_pass=view.next_pass
    )
    if view.coverage == unit.coverage:
        return unit
    return replace(unit, coverage=view.coverage, coverage_since=day, coverage_known_since=now)


def changes(
    before: Mapping[str, UnitAlert], after: Mapping[str, UnitAlert], today: date, historical: bool
) -> tuple[Change, ...]:
    """What is other in `after`, by unit id. A unit that has gone and stood above blue is one."""
    found = []
    for name in sorted({*before, *after}):
        old, new = before.get(name, UnitAlert()), after.get(name)
        if new is None:
            new = UnitAlert(
                coverage=old.coverage,
                arose=today,
                cause="left the site",
                because="no longer in the site",
            )
        change = Change(
            unit=name,
            level=(old.level, new.level),
            coverage=(old.coverage, new.coverage),
            reason=_reason(old, new),
            arose=(new.arose if old.level != new.level else new.coverage_since) or today,
            historical=historical,
            alert=_alert_of(old, new),
        )
        if change.kinds:
            found.append(change)
    return tuple(found)


def _at_level(
    unit: UnitAlert, level: Level, cause: LevelCause, because: str, epoch: date, now: datetime
) -> UnitAlert:
    rises = rank(level) > rank(unit.level)
    floor = (unit.drivers_floor or unit.level) if rises else unit.drivers_floor
    return replace(
        unit,
        level=level,
        arose=epoch,
        known_since=now,
        cause=cause,
        because=because,
        asked_less=(),
        calm_days=(),
        drivers_floor=_floor(unit.votes, floor, level),
        acknowledged=None if rises or level == "blue" else unit.acknowledged,
    )


def _with_votes(unit: UnitAlert, track: str, votes: Sequence[Vote]) -> UnitAlert:
    every = {**unit.votes, track: tuple(votes)}
    return replace(unit, votes=every, drivers_floor=_floor(every, unit.drivers_floor, unit.level))


def _floor(votes: Mapping[str, Sequence[Vote]], floor: Level | None, level: Level) -> Level | None:
    """Down to where rain and level alone hold up `level`; None where a track asks for it too."""
    if floor is None:
        return None
    of_tracks = {track: said for track, said in votes.items() if track != DRIVERS_TRACK}
    highest: Level = max(floor, asked_level(of_tracks), key=rank)
    return highest if rank(highest) < rank(level) else None


def _why_raised(votes: Mapping[str, Sequence[Vote]], level: Level) -> str:
    asking = [vote for track in sorted(votes) for vote in votes[track] if vote.level == level]
    return "; ".join(
        f"{vote.rule}: {vote.reason}"
        if vote.track == DRIVERS_TRACK
        else f"{vote.rule} on track {vote.track}: {vote.reason}"
        for vote in asking
    )


def _alert_of(old: UnitAlert, new: UnitAlert) -> str:
    """The alert that a change belongs to; none where it is of coverage alone, at blue."""
    if new.level == "blue" == old.level:
        return ""
    case = new.case or old.case
    return case.id if case else ""


def _reason(old: UnitAlert, new: UnitAlert) -> str:
    reasons = []
    if old.level != new.level:
        reasons.append(new.because)
    if old.coverage != new.coverage:
        reasons.append(f"{new.coverage}: {new.coverage_reason}")
    return "; ".join(reasons)
