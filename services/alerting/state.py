"""What alerting remembers of a site between two inputs; canonical JSON in the ledger."""

from __future__ import annotations

from collections.abc import Callable
from datetime import date, datetime
from typing import Any, Literal

import msgspec

from core.errors import BadInputError, NewerVersionError, SettingsError
from core.events import ArtifactRef, Coverage, Level, Vote
from core.ledger import canonical
from services.alerting.alert import Case
from services.alerting.message import CoverageFacts, LevelCause

STATE_VERSION = 2
"""Version of the JSON that `encode_state` writes."""

NewsKind = Literal["level", "coverage", "amended", "review"]
"""What there may be to tell of a unit: it is told once, be it later."""

Waiting = Literal[
    "historical", "catching up", "yesterday not closed", "silenced", "recipients changed"
]
"""Why news waits to be told to anybody."""

Held = Literal["quiet", "rate"]
"""Why news waits to be told to one recipient: quiet hours, or enough messages for a day."""


class Sight(msgspec.Struct, frozen=True, kw_only=True):
    """What one track showed of a unit: its last epoch, and the last one that measured the unit.

    `few`: points measured and usual at the last epoch where so few were that it does not count.
    `los_factor`: line-of-sight motion per downslope motion, None where unknown.
    """

    epoch: date
    measured: date | None
    out_of_range: bool
    few: tuple[int, int] | None = None
    los_factor: float | None = None


class Told(msgspec.Struct, frozen=True, kw_only=True):
    """What one recipient knows of a unit.

    `under_review`: the level they know to wait for its two persons. `asked` and `amended`: inputs
    of the last draft they were asked to review and of the last amendment they were told.
    """

    level: Level = "blue"
    coverage: Coverage = "watched"
    under_review: Level | None = None
    asked: int = 0
    amended: int = 0


class Silence(msgspec.Struct, frozen=True, kw_only=True):
    """An operator's silence; news of a level above `level`, or of a worse `coverage`, passes it."""

    deadline: str
    until: datetime
    operator: str
    level: Level
    reason: str = ""
    coverage: Coverage = "watched"


class Acknowledgement(msgspec.Struct, frozen=True, kw_only=True):
    """An operator has seen the present level; it lasts until the level rises or clears."""

    operator: str
    at: datetime
    level: Level


class UnitAlert(msgspec.Struct, frozen=True, kw_only=True):
    """One slope unit.

    `arose`, `known_since` and `because` speak of the present level, `coverage_since` of the
    present coverage. `asked_less`: levels asked for by the latest fresh epochs in a row that asked
    for less than `level`. `votes` and `sights` are the latest of each track. `waiting`: news that
    was not told yet, and why. `told` and `held`, news that waits for one recipient alone, are by
    recipient id. `case` is the alert that is open, or the last one.

    `drivers_floor`: where only rain and level asked for the level, the one down to which closed
    days may lower it, else None; `drivers_asked`: rules that asked for it, `drivers_judged`: the
    last day that all of these could judge; `calm_days`: levels asked for by the latest closed days
    in a row that asked for less.
    """

    level: Level = "blue"
    arose: date | None = None
    known_since: datetime | None = None
    because: str = ""
    cause: LevelCause | None = None
    asked_less: tuple[Level, ...] = ()
    votes: dict[str, tuple[Vote, ...]] = {}
    sights: dict[str, Sight] = {}
    coverage: Coverage = "watched"
    coverage_reason: str = "no day closed yet"
    coverage_facts: CoverageFacts | None = None
    coverage_since: date | None = None
    coverage_known_since: datetime | None = None
    next_pass: date | None = None
    waiting: dict[NewsKind, Waiting] = {}
    told: dict[str, Told] = {}
    held: dict[str, dict[NewsKind, Held]] = {}
    silence: Silence | None = None
    acknowledged: Acknowledgement | None = None
    case: Case | None = None
    drivers_floor: Level | None = None
    calm_days: tuple[Level, ...] = ()
    drivers_asked: tuple[str, ...] = ()
    drivers_judged: date | None = None

    @property
    def open_case(self) -> Case | None:
        """The alert of a unit above blue."""
        return self.case if self.case is not None and self.case.is_open else None

    @property
    def under_review(self) -> Level | None:
        """The level that waits for its two persons, if one does."""
        draft = self.open_case.draft if self.open_case else None
        return draft.level if draft else None

    @property
    def to_tell(self) -> Level:
        """The highest level that may be told now."""
        draft = self.open_case.draft if self.open_case else None
        return draft.tell if draft else self.level


class Release(msgspec.Struct, frozen=True, kw_only=True):
    """Versions in force."""

    code: str
    model: str
    thresholds: str


class ClosedDay(msgspec.Struct, frozen=True, kw_only=True):
    """The last closed day, and what was known of passes and epochs by then."""

    day: date
    passes: dict[str, date]
    epochs: dict[str, date]
    sources: tuple[str, ...]
    catching_up: bool = False


class Mailbox(msgspec.Struct, frozen=True, kw_only=True):
    """What one recipient is waited for, and what they were sent lately.

    `deadline`: row at whose moment, `due`, what is held is tried again. `sent`: moments of the
    messages of the last day, kept only where the recipient limits them.
    """

    deadline: str | None = None
    due: datetime | None = None
    sent: tuple[datetime, ...] = ()


class SiteAlerts(msgspec.Struct, frozen=True, kw_only=True):
    """One site. `configured_on`: the day on which it was configured first.

    `evidence` is the last artifact of each track, `mailboxes` are by recipient id. `patience`: the
    row at whose moment urgent news is told, however many days are missing.
    """

    version: int = STATE_VERSION
    settings: ArtifactRef | None = None
    configured_on: date | None = None
    watched_from: date | None = None
    retired: bool = False
    release: Release | None = None
    table: ArtifactRef | None = None
    closed: ClosedDay | None = None
    units: dict[str, UnitAlert] = {}
    evidence: dict[str, ArtifactRef] = {}
    mailboxes: dict[str, Mailbox] = {}
    patience: str | None = None


class _Version(msgspec.Struct):
    version: int


_VERSION = msgspec.json.Decoder(_Version)
_STATE = msgspec.json.Decoder(SiteAlerts)


def encode_state(state: SiteAlerts) -> str:
    """Canonical JSON; the same state gives the same text."""
    return canonical(state)


def decode_state(text: str | None) -> SiteAlerts:
    """Inverse of `encode_state`, of an older release's state too; None: nothing is known yet.

    Raises `NewerVersionError` for a state that a newer release wrote, `SettingsError` for one that
    is too old to be read.
    """
    if text is None:
        return SiteAlerts()
    try:
        version = _VERSION.decode(text).version
        if version > STATE_VERSION:
            raise NewerVersionError(
                f"alert state is of version {version}, this release reads up to {STATE_VERSION}: "
                "upgrade slopewatch"
            )
        return _STATE.decode(text if version == STATE_VERSION else lifted(text, version))
    except msgspec.MsgspecError as error:
        raise BadInputError(f"alert state cannot be read: {error}") from error


def lifted(text: str, version: int) -> str:
    """The state of an older `version` as this release writes it; the ledger's `lift`.

    Nothing in it is news: who was told what stays as it is. Raises `SettingsError` where nothing
    lifts that version.
    """
    tree = msgspec.json.decode(text, type=dict[str, Any])
    for step in range(version, STATE_VERSION):
        if step not in _LIFTS:
            raise SettingsError(
                f"alert state is of version {version} and nothing lifts it to {STATE_VERSION}: go "
                "back to the release that wrote it"
            )
        tree = {**_LIFTS[step](tree), "version": step + 1}
    return canonical(_STATE.decode(msgspec.json.encode(tree)))


def _without_cases(tree: dict[str, Any]) -> dict[str, Any]:
    """Version 1 knew no cases: the next input opens one for a unit that stands above blue."""
    return tree


_LIFTS: dict[int, Callable[[dict[str, Any]], dict[str, Any]]] = {1: _without_cases}
