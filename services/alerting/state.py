"""What alerting remembers of a site between two inputs; canonical JSON in the ledger."""

from __future__ import annotations

from datetime import date, datetime
from typing import Literal

import msgspec

from core.errors import BadInputError, NewerVersionError, SettingsError
from core.events import ArtifactRef, Coverage, Level, Vote
from core.ledger import canonical
from services.alerting.message import MessageKind

STATE_VERSION = 1
"""Version of the JSON that `encode_state` writes."""

Waiting = Literal[
    "historical", "catching up", "yesterday not closed", "silenced", "recipients changed"
]
"""Why news waits to be told."""


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
    """What one recipient knows of a unit."""

    level: Level = "blue"
    coverage: Coverage = "watched"


class Silence(msgspec.Struct, frozen=True, kw_only=True):
    """An operator's silence; news of a level above `level` passes it."""

    deadline: str
    until: datetime
    operator: str
    level: Level


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
    was not told yet, and why. `told`: by recipient id.
    """

    level: Level = "blue"
    arose: date | None = None
    known_since: datetime | None = None
    because: str = ""
    asked_less: tuple[Level, ...] = ()
    votes: dict[str, tuple[Vote, ...]] = {}
    sights: dict[str, Sight] = {}
    coverage: Coverage = "watched"
    coverage_reason: str = "no day closed yet"
    coverage_since: date | None = None
    coverage_known_since: datetime | None = None
    next_pass: date | None = None
    waiting: dict[MessageKind, Waiting] = {}
    told: dict[str, Told] = {}
    silence: Silence | None = None
    acknowledged: Acknowledgement | None = None


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


class SiteAlerts(msgspec.Struct, frozen=True, kw_only=True):
    """One site. `configured_on`: the day on which it was configured first."""

    version: int = STATE_VERSION
    settings: ArtifactRef | None = None
    configured_on: date | None = None
    watched_from: date | None = None
    retired: bool = False
    release: Release | None = None
    table: ArtifactRef | None = None
    closed: ClosedDay | None = None
    units: dict[str, UnitAlert] = {}


class _Version(msgspec.Struct):
    version: int


_VERSION = msgspec.json.Decoder(_Version)
_STATE = msgspec.json.Decoder(SiteAlerts)


def encode_state(state: SiteAlerts) -> str:
    """Canonical JSON; the same state gives the same text."""
    return canonical(state)


def decode_state(text: str | None) -> SiteAlerts:
    """Inverse of `encode_state`; None is a site of which nothing is known yet.

    Raises `NewerVersionError` for a state that a newer release wrote, `SettingsError` for an older
    one: the ledger's `lift` turns it into this version before anybody reads it.
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
        if version < STATE_VERSION:
            raise SettingsError(
                f"alert state is of version {version} and nothing lifts it to {STATE_VERSION}: go "
                "back to the release that wrote it"
            )
        return _STATE.decode(text)
    except msgspec.MsgspecError as error:
        raise BadInputError(f"alert state cannot be read: {error}") from error
