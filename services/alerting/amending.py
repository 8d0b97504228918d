"""Late data that change what was said of an open alert."""

from __future__ import annotations

from collections.abc import Sequence
from datetime import date

from msgspec.structs import replace

from core.events import Level, Vote
from services.alerting.alert import Revision
from services.alerting.state import UnitAlert


def is_late(unit: UnitAlert, track: str, epoch: date) -> bool:
    """Whether `track` had this epoch, or a later one, already."""
    sight = unit.sights.get(track)
    return sight is not None and epoch <= sight.epoch


def revised(before: UnitAlert, after: UnitAlert, track: str, epoch: date, seq: int) -> UnitAlert:
    """The unit after the late epoch of input `seq`, its alert amended if that changed anything.

    That is: if the level is the same and other rules ask for a level above blue than before, or
    the same ones for another. A level that rises is told as such.
    """
    case = after.open_case
    if case is None or before.level != after.level or not is_late(before, track, epoch):
        return after
    if _asking(before.votes.get(track, ())) == _asking(after.votes.get(track, ())):
        return after
    revision = Revision(seq=seq, track=track, epoch=epoch)
    return replace(after, case=replace(case, revision=revision))


def _asking(votes: Sequence[Vote]) -> set[tuple[str, Level]]:
    return {(vote.rule, vote.level) for vote in votes if vote.level != "blue"}
