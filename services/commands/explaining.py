"""`slopewatch alerts explain`: the evidence chain of an alert, down to scenes, rain and level rows.

The ledger says what was decided and what it stood on by name; the log holds the outcomes and
observations of those names, and the store of artifacts the files. Each may be out of reach, and
what is gets its sentence.
"""

from __future__ import annotations

from collections.abc import Callable, Sequence
from contextlib import closing
from datetime import date, datetime
from typing import Any

import msgspec

from core.artifacts import Artifacts, open_artifacts
from core.errors import BadInputError, SlopewatchError
from core.events import ArtifactRef, Level, Vote
from core.ledger import Attempt, open_ledger
from core.ledger.chain import first_fault
from core.ledger.ledger import Ledger
from core.settings import Service
from services.alerting.message import WHOLE_SITE
from services.alerting.state import Release, decode_state
from services.commands import _explained
from services.commands._case import Book, Case, Row, find_case, notifications_in
from services.commands._grounds import (
    Observation,
    Step,
    Taken,
    read_taken,
    step_of,
    steps_before,
)

Echo = Callable[[str], None]
DESCRIBED = frozenset(
    {
        *("cause", "settings", "release", "table", "historical", "votes", "changes", "notified"),
        *("suppressed", "dropped", "evidence", "inference", "operator", "on", "day", "deadline"),
        "handled",
    }
)
"""Facts of a decision that have a place of their own here; others are shown as they are."""


class File(msgspec.Struct, frozen=True, kw_only=True):
    """An artifact by name; `fault` says why it cannot be read, empty where it can."""

    sha256: str
    fault: str = ""


class Ground(msgspec.Struct, frozen=True, kw_only=True):
    """The step of inference behind the votes of one track.

    It stands on every observation up to `place`; `inputs` are those that called for it. `track` and
    `epoch` are None for a closed day, and where the log does not have the `outcome`. `daily`: it
    speaks of rain and level up to the day `epoch`, for the whole site.
    """

    track: str | None
    epoch: date | None
    daily: bool
    place: int
    inputs: tuple[str, ...]
    outcome: str
    evidence: File | None


class Telling(msgspec.Struct, frozen=True, kw_only=True):
    """A notification of the decision, and every attempt to deliver it with its receipt."""

    notification: str
    recipient: str
    channel: str
    outcome: str
    attempts: tuple[Attempt, ...]


class Explained(msgspec.Struct, frozen=True, kw_only=True):
    """One decision of the alert."""

    seq: int
    now: datetime
    hash: str
    cause: dict[str, Any]
    release: Release | None
    table: File | None
    settings: File | None
    changes: tuple[dict[str, Any], ...]
    handled: tuple[dict[str, Any], ...]
    operator: dict[str, Any] | None
    deadline: str | None
    votes: tuple[Vote, ...]
    grounds: tuple[Ground, ...]
    told: tuple[Telling, ...]
    dropped: tuple[dict[str, Any], ...]
    other: dict[str, Any]


class Explanation(msgspec.Struct, frozen=True, kw_only=True):
    """The whole chain. `observations`: all that the alert's steps stand on, in inference's order.

    `faults`: what is damaged or was changed. `missing`: what is out of reach from here.
    """

    alert: str
    site: str
    unit: str
    level: Level | None
    opened: int
    closed: int | None
    drill: bool
    head: str
    decisions: tuple[Explained, ...]
    observations: tuple[Observation, ...]
    faults: tuple[str, ...]
    missing: tuple[str, ...]


def explain(service: Service, name: str, as_json: bool, echo: Echo) -> bool:
    """Print the evidence chain of an alert; False where something of it is damaged or changed.

    Raises `SlopewatchError` where there is no such alert.
    """
    with closing(open_ledger(str(service.ledger))) as ledger:
        book, case = find_case(ledger, name)
        taken = read_taken(service, book.site)
        artifacts = open_artifacts(str(service.artifacts))
        found = explained(ledger, book, case, taken, artifacts)
    if as_json:
        echo(msgspec.json.format(msgspec.json.encode(found), indent=2).decode())
    else:
        for line in _explained.lines(found):
            echo(_explained.printable(line))
    return not found.faults


def explained(
    ledger: Ledger, book: Book, case: Case, taken: Taken, artifacts: Artifacts
) -> Explanation:
    """The chain of `case` from what the ledger, the log and the artifacts hold."""
    fault = first_fault(book.site, [row.row for row in book.rows], book.head, set())
    faults = [fault] if fault else []
    missing = list(taken.missing)
    reader = _Files(artifacts, taken, faults, missing)
    decisions = tuple(_decision(ledger, book, case, row, taken, reader) for row in case.rows)
    for one in decisions:
        missing += _out_of_reach(one, book, taken)
    last = max((g.place for one in decisions for g in one.grounds), default=0)
    view = ledger.state(book.site)
    unit = decode_state(view.state if view else None).units.get(case.unit)
    return Explanation(
        alert=case.id,
        site=case.site,
        unit=case.unit,
        level=unit.level if unit else None,
        opened=case.opened,
        closed=case.closed,
        drill=case.drill,
        head=book.head,
        decisions=decisions,
        observations=taken.observations[:last],
        faults=tuple(dict.fromkeys(faults)),
        missing=tuple(dict.fromkeys(missing)),
    )


class _Files:
    """Looks whether artifacts can be read; each once."""

    def __init__(
        self, artifacts: Artifacts, taken: Taken, faults: list[str], missing: list[str]
    ) -> None:
        self._artifacts = artifacts
        self._refs = taken.artifacts
        self.faults = faults
        self._missing = missing
        self._known: dict[str, str] = {}

    def named(self, what: str, sha256: str | None, ref: ArtifactRef | None = None) -> File | None:
        """The artifact `sha256`, and why it cannot be read."""
        if sha256 is None:
            return None
        if sha256 not in self._known:
            self._known[sha256] = self._fault(what, sha256, ref or self._refs.get(sha256))
        return File(sha256=sha256, fault=self._known[sha256])

    def _fault(self, what: str, sha256: str, ref: ArtifactRef | None) -> str:
        if ref is None:
            fault = f"{what} {sha256}: not looked for, since the log does not say its size"
            self._missing.append(fault)
            return fault
        try:
            self._artifacts.get(ref)
        except BadInputError as error:
            self.faults.append(f"{what}: {error}")
            return str(error)
        except SlopewatchError as error:
            self._missing.append(f"{what}: {error}")
            return str(error)
        return ""


def _decision(
    ledger: Ledger, book: Book, case: Case, row: Row, taken: Taken, files: _Files
) -> Explained:
    facts, unit = row.facts, case.unit
    votes = facts.get("votes", {}).get(unit, {})
    return Explained(
        seq=row.seq,
        now=row.now,
        hash=row.row.hash,
        cause=facts["cause"],
        release=msgspec.convert(facts["release"], Release) if facts["release"] else None,
        table=files.named("the threshold table", facts["table"]),
        settings=files.named("the site file", facts["settings"]),
        changes=_of(unit, facts.get("changes", ())),
        handled=_of(unit, facts.get("handled", ())),
        operator=facts.get("operator"),
        deadline=facts.get("deadline"),
        votes=tuple(
            msgspec.convert(vote, Vote) for track in sorted(votes) for vote in votes[track]
        ),
        grounds=_grounds(row, set(votes), taken, files),
        told=tuple(
            _telling(ledger, book, one["notification"], one["recipient"])
            for one in _of(unit, list(notifications_in(facts)))
        ),
        dropped=_of(unit, facts.get("dropped", ())),
        other={key: value for key, value in facts.items() if value and key not in DESCRIBED},
    )


def _of(unit: str, entries: Sequence[dict[str, Any]]) -> tuple[dict[str, Any], ...]:
    return tuple(one for one in entries if one["unit"] in (unit, WHOLE_SITE))


def _grounds(row: Row, tracks: set[str], taken: Taken, files: _Files) -> tuple[Ground, ...]:
    """The row's own step first, then those of the other tracks whose votes stood."""
    cause = row.facts["cause"]["id"]
    own = _own(row, step_of(taken, cause), files)
    others = steps_before(taken, cause, tracks - {own.track if own and own.track else ""})
    return (*([own] if own else []), *(_ground(step, files) for step in others))


def _own(row: Row, step: Step | None, files: _Files) -> Ground | None:
    """The step as the decision recorded it; what the log says otherwise is a fault."""
    recorded, evidence = row.facts.get("inference"), row.facts.get("evidence")
    if recorded is None:
        return None
    place, inputs = recorded["seq"], tuple(recorded["inputs"])
    said = step.evidence.sha256 if step and step.evidence else None
    if step is not None and (step.place, step.inputs, said) != (place, inputs, evidence):
        files.faults.append(
            f"decision {row.seq} recorded step {place} with evidence {evidence}, and its cause on "
            f"the log says step {step.place} with evidence {said}: one of them was changed since"
        )
    ref = step.evidence if step and said == evidence else None
    return Ground(
        track=step.track if step else None,
        epoch=step.epoch if step else None,
        daily=bool(step and step.daily),
        place=place,
        inputs=inputs,
        outcome=row.facts["cause"]["id"],
        evidence=files.named(f"evidence of decision {row.seq}", evidence, ref),
    )


def _ground(step: Step, files: _Files) -> Ground:
    ref = step.evidence
    return Ground(
        track=step.track,
        epoch=step.epoch,
        daily=step.daily,
        place=step.place,
        inputs=step.inputs,
        outcome=step.outcome,
        evidence=files.named(f"evidence of track {step.track}", ref.sha256 if ref else None, ref),
    )


def _telling(ledger: Ledger, book: Book, notification: str, recipient: str) -> Telling:
    queued = book.notifications.get(notification)
    return Telling(
        notification=notification,
        recipient=recipient,
        channel=queued.channel if queued else "",
        outcome=queued.outcome if queued else "not in the outbox",
        attempts=tuple(ledger.attempts(notification)) if queued else (),
    )


def _out_of_reach(one: Explained, book: Book, taken: Taken) -> list[str]:
    """What the decision names and the stores of this machine lack."""
    said = [
        f"notification {told.notification} of decision {one.seq} is not in the outbox"
        for told in one.told
        if told.notification not in book.notifications
    ]
    if one.cause["id"] not in taken.assessments:
        said.append(
            f"event {one.cause['id']}, on which decision {one.seq} was made, is not on the log"
        )
    said += [
        f"observation {name}, which called for the step of decision {one.seq}, is not on the log"
        for ground in one.grounds
        for name in ground.inputs
        if name not in taken.by_id
    ]
    for ground in one.grounds:
        last = taken.by_id.get(ground.inputs[-1]) if ground.inputs else None
        if last is not None and last.place != ground.place:
            said.append(
                f"decision {one.seq}: the log has the observation of step {ground.place} at place "
                f"{last.place}: observations before it were lost, added, or their dead letters are "
                "gone; what is listed up to that place may be more or less than the step stood on"
            )
    return said
