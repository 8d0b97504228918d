"""What a notification says, before any notifier gives it a form."""

from __future__ import annotations

from datetime import date, datetime
from typing import Literal

import msgspec

from core.events import ArtifactRef, Coverage, Level, Status, Vote

MessageKind = Literal["level", "coverage"]
"""What alerting has to tell of a unit."""
WHOLE_SITE = "*"
"""`Message.unit` of a notice that speaks of every slope unit of the site."""


MessagePurpose = Literal["escalation", "review", "amended", "cancelled", "drill"]
"""What else a message may be: nobody acknowledged; a draft waits for its two persons; late data or
a person changed what was said; it was withdrawn by a person; an exercise."""

LevelCause = Literal["votes", "fresh epochs", "closed days", "cancelled", "left the site"]
"""Why a unit stands at its level: rules asked for it; as many fresh epochs, or closed days where
only rain and level had asked, asked for no more; a person withdrew the alert; it is gone."""

CoverageCause = Literal[
    "measured",
    "old",
    "decorrelated",
    "out of range",
    "across",
    "no points",
    "no epoch",
    "no source",
    "no pass",
    "no limit",
]
"""Why a unit is covered as it is. `across`: the line of sight hardly sees downslope motion;
`no points`: never measured in the unit; `no epoch`, `no source`, `no pass`: nothing of the site."""

LateBecause = Literal[
    "late data",
    "historical",
    "catching up",
    "silenced",
    "recipients changed",
    "quiet hours",
    "messages a day",
    "under review",
]
"""Why a message is told later than its news arose."""


class Reference(msgspec.Struct, frozen=True, forbid_unknown_fields=True):
    """An earlier public message of the same alert, as CAP refers to it."""

    id: str
    sent: datetime


class CoverageFacts(msgspec.Struct, frozen=True, forbid_unknown_fields=True, kw_only=True):
    """What stands behind a unit's coverage, of the track that sees it best.

    `measured`: when that track last measured the unit, `age_days` before the day the coverage
    speaks of; `few`: points measured and usual at its last epoch where too few were.
    """

    cause: CoverageCause
    track: str = ""
    measured: date | None = None
    age_days: int | None = None
    few: tuple[int, int] | None = None


class LateData(msgspec.Struct, frozen=True, forbid_unknown_fields=True):
    """The epoch that came late, or again, and changed which rules ask for what."""

    track: str
    epoch: date


class Unanswered(msgspec.Struct, frozen=True, forbid_unknown_fields=True, kw_only=True):
    """What an escalation waits for: `since` when, in which round of the roster.

    `last`: nobody is called after this. `nobody_on_duty`: everyone on the roster is called.
    """

    needs: Literal["acknowledgement", "release"]
    since: datetime
    round: int
    last: bool
    nobody_on_duty: bool


class Message(msgspec.Struct, frozen=True, forbid_unknown_fields=True, kw_only=True):
    """One message to one recipient about one slope unit; canonical JSON in the outbox.

    `id` is the notification's and stays the same over every attempt. `kind` is `level` whenever the
    level is news, else `coverage`; `pipeline` when the watchdog speaks past the ledger: levels are
    then not known, and None. `unit` is `WHOLE_SITE` when one notice speaks of all units; `level` is
    then the highest of them. `previous_level` and `previous_coverage` are what this recipient was
    told last. `arose` is the day of which the news speaks, `known_since` the moment at which the
    service knew it, `late_days` the days between `arose` and the telling that should not have
    been. `reason` is plain sentences that stand by themselves. `ledger_head` is the hash
    of the chain after the decision `seq` that sent this.

    `sent` is the moment of the decision. `alert` names the case (`site.unit.seq` of the decision
    that opened it), empty where there is none; this message's own public id is `alert.seq`.
    `references` are the earlier messages of that case to this recipient, oldest first.
    `under_review`: the level that waits for its two persons while `level` is told. `operator`
    and `note` say who acted and why, where a person did; `owner` acknowledged last;
    `reviewed_by` reviewed what `operator` released. `of_100`: how many of 100 such alerts on
    simulated slopes were followed by failure. `evidence` (by track) and `site_file` name what
    pictures are drawn from. The rest says for any language what `reason` and `coverage_reason`
    say in English: `cause` of the level, `coverage_facts`, `late_because` (None unless
    `late_days`), `late_data` of an amended message, what an escalation finds `unanswered`, and
    the silence that a higher level passed.
    """

    id: str
    kind: MessageKind | MessagePurpose | Literal["pipeline"]
    site: str
    title: str
    unit: str
    unit_name: str
    level: Level | None
    previous_level: Level | None
    coverage: Coverage
    previous_coverage: Coverage
    coverage_reason: str
    reason: str
    votes: tuple[Vote, ...]
    arose: date
    known_since: datetime
    late_days: int
    next_pass: date | None
    simulated: bool
    ledger_head: str
    seq: int
    sent: datetime | None = None
    alert: str = ""
    status: Status = "actual"
    references: tuple[Reference, ...] = ()
    under_review: Level | None = None
    operator: str = ""
    note: str = ""
    owner: str = ""
    reviewed_by: str = ""
    of_100: int | None = None
    evidence: dict[str, ArtifactRef] = {}
    site_file: ArtifactRef | None = None
    cause: LevelCause | None = None
    coverage_facts: CoverageFacts | None = None
    late_because: LateBecause | None = None
    late_data: LateData | None = None
    unanswered: Unanswered | None = None
    silenced_by: str = ""
    silenced_at: Level | None = None
