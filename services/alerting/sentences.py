"""The English sentences of a message, for the ledger; bulletins say the same from its fields."""

from __future__ import annotations

from collections.abc import Iterable, Mapping
from datetime import UTC, date, datetime

from core.events import Vote
from core.settings import rank
from services.alerting.coverage import plain_date
from services.alerting.message import WHOLE_SITE, LateBecause, LateData, Unanswered
from services.alerting.rule import DRIVERS_TRACK
from services.alerting.stages import Notice

_LATE: Mapping[LateBecause, str] = {
    "late data": "its data came late",
    "historical": "it arose before the site was watched",
    "catching up": "the service was catching up",
    "silenced": "it was silenced",
    "recipients changed": "this recipient was added since",
    "quiet hours": "this recipient had quiet hours",
    "messages a day": "this recipient had enough messages for a day",
    "under review": "it waited for its two persons",
}


def of_level(name: str, notice: Notice) -> str:
    """A level that rises or falls, also of what stays because a draft was withdrawn."""
    unit, before, level = notice.alert, notice.told.level, notice.level
    if level == before:
        withdrawn = notice.told.under_review
        return f"{name} stays at {level}: {withdrawn} was not released, and now {unit.because}."
    verb = "rises" if rank(level) > rank(before) else "falls"
    waits = f"; {notice.under_review} waits for two persons" if notice.under_review else ""
    sentence = f"{name} {verb} from {before} to {level}{waits}: {unit.because}."
    released = unit.open_case.released if unit.open_case else None
    if verb == "rises" and released and released.released_by:
        sentence += f" Reviewed by {released.reviewed_by}, released by {released.released_by}."
    silence = notice.silence
    if silence is not None and rank(level) > rank(silence.level):
        sentence += f" {silence.operator} had silenced it at {silence.level}."
    return sentence


def of_review(name: str, notice: Notice) -> str:
    """A draft that waits."""
    return (
        f"{name} asks for {notice.under_review}, which waits for two persons to review and release "
        f"it: {notice.alert.because}. Until then {notice.level} is told."
    )


def of_escalation(name: str, notice: Notice, unanswered: Unanswered) -> str:
    """Nobody has answered."""
    level = notice.under_review if unanswered.needs == "release" else notice.level
    done = "released" if unanswered.needs == "release" else "acknowledged"
    sentence = f"Nobody has {done} {level} of {name} since {plain_moment(unanswered.since)}."
    if unanswered.nobody_on_duty:
        sentence += " Nobody is on duty, so everyone on the roster is called."
    if unanswered.last:
        sentence += " This is the last call."
    return sentence


def of_amendment(name: str, notice: Notice, late: LateData | None) -> str:
    """What is other than it was said, the level being the same."""
    sentence = f"{name} stays at {notice.level}."
    if late is not None:
        votes = [vote for said in notice.alert.votes.values() for vote in said]
        sentence += (
            f" Data of {plain_date(late.epoch)} on track {late.track} came late and changed what "
            f"rules ask for: {asking(votes)}."
        )
    return sentence


def of_drill(name: str, notice: Notice) -> str:
    """An exercise."""
    return f"This is an exercise: {name} is taken to rise to {notice.level}."


def of_coverage(name: str, notice: Notice) -> str:
    """What can be seen."""
    be = "are" if notice.unit == WHOLE_SITE else "is"
    reason = notice.alert.coverage_reason
    if notice.coverage == "watched":
        return f"The service sees again: {name} {be} watched; {reason}."
    return f"{name} {be} {notice.coverage}: {reason}."


def of_lateness(arose: date, known: datetime, late_days: int, because: LateBecause) -> str:
    """How late it is told, and why."""
    days = "1 day" if late_days == 1 else f"{late_days} days"
    return (
        f"Arose on {plain_date(arose)}, known since {plain_date(known.astimezone(UTC).date())}: "
        f"{days} late because {_LATE[because]}."
    )


def asking(votes: Iterable[Vote]) -> str:
    """Which rules ask for more than blue."""
    asks = [
        f"{vote.rule} asks for {vote.level}"
        if vote.track == DRIVERS_TRACK
        else f"{vote.rule} on track {vote.track} asks for {vote.level}"
        for vote in votes
        if vote.level != "blue"
    ]
    return "; ".join(asks) or "none asks for more than blue"


def plain_moment(moment: datetime) -> str:
    """A moment as people write it: 3 March 2024, 06:00 UTC."""
    moment = moment.astimezone(UTC)
    return f"{plain_date(moment.date())}, {moment:%H:%M} UTC"
