"""The state machine of a slope unit: raise at once, lower slowly and on fresh data only."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from datetime import date, datetime
from typing import TypeGuard

import msgspec
from msgspec.structs import replace

from core.events import Coverage, Level, UnitState, Vote
from core.settings import rank
from services.alerting.coverage import View
from services.alerting.message import MessageKind
from services.alerting.state import Sight, UnitAlert

FRESH_EPOCHS_TO_LOWER = 3
LEAST_SHARE_OF_POINTS = 3
"""An epoch with less than one in so many of a unit's usual points does not measure the unit."""


class Change(msgspec.Struct, frozen=True, kw_only=True):
    """A unit's level or coverage is another than before; `arose` is the day of which it speaks."""

    unit: str
    level: tuple[Level, Level]
    coverage: tuple[Coverage, Coverage]
    reason: str
    arose: date
    historical: bool

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

    It must be newer than the track's last, assimilated, and at least one rule must have been able
    to judge it.
    """
    before = unit.sights.get(track)
    newer = before is None or epoch > before.epoch
    assimilated = _measures(seen) and not seen.out_of_range
    return newer and assimilated and any(vote.calibrated for vote in votes)


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
    for less, to the highest level asked for in them.
    """
    unit = replace(unit, votes={**unit.votes, track: tuple(votes)})
    asked = asked_level(unit.votes)
    if rank(asked) > rank(unit.level):
        return _at_level(unit, asked, _why_raised(unit.votes, asked), epoch, now)
    if asked == unit.level:
        return replace(unit, asked_less=()) if fresh else unit
    if not fresh:
        return unit
    asked_less = (*unit.asked_less, asked)
    if len(asked_less) < FRESH_EPOCHS_TO_LOWER:
        return replace(unit, asked_less=asked_less)
    lower = max(asked_less, key=rank)
    why = f"{FRESH_EPOCHS_TO_LOWER} fresh epochs in a row asked for no more than {lower}"
    return _at_level(unit, lower, why, epoch, now)


def viewed(unit: UnitAlert, view: View, day: date, now: datetime) -> UnitAlert:
    """The unit with its coverage as of `day`."""
    unit = replace(unit, coverage_reason=view.reason, next_pass=view.next_pass)
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
            new = UnitAlert(coverage=old.coverage, arose=today, because="no longer in the site")
        change = Change(
            unit=name,
            level=(old.level, new.level),
            coverage=(old.coverage, new.coverage),
            reason=_reason(old, new),
            arose=(new.arose if old.level != new.level else new.coverage_since) or today,
            historical=historical,
        )
        if change.kinds:
            found.append(change)
    return tuple(found)


def _at_level(unit: UnitAlert, level: Level, because: str, epoch: date, now: datetime) -> UnitAlert:
    cleared = rank(level) > rank(unit.level) or level == "blue"
    return replace(
        unit,
        level=level,
        arose=epoch,
        known_since=now,
        because=because,
        asked_less=(),
        acknowledged=None if cleared else unit.acknowledged,
    )


def _why_raised(votes: Mapping[str, Sequence[Vote]], level: Level) -> str:
    asking = [vote for track in sorted(votes) for vote in votes[track] if vote.level == level]
    return "; ".join(f"{vote.rule} on track {vote.track}: {vote.reason}" for vote in asking)


def _reason(old: UnitAlert, new: UnitAlert) -> str:
    reasons = []
    if old.level != new.level:
        reasons.append(new.because)
    if old.coverage != new.coverage:
        reasons.append(f"{new.coverage}: {new.coverage_reason}")
    return "; ".join(reasons)
