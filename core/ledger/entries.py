"""What the ledger holds, as frozen types; all times are aware UTC."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass, replace
from datetime import datetime
from typing import Literal

from core.errors import SlopewatchError
from core.ledger.chain import canonical, chain_hash
from core.stage import Bookmark

SendOutcome = Literal["queued", "sent", "failed", "suppressed", "moved"]
"""`moved`: it waits in the ledger that this one was copied into."""


@dataclass(frozen=True)
class Decision:
    """One row of a site's chain: the input's place `seq`, canonical JSON, and the two hashes."""

    seq: int
    body: str
    previous: str
    hash: str


@dataclass(frozen=True, kw_only=True)
class Notification:
    """One message to one recipient over one channel, as a decision wants it.

    `id` is made of the causes (`core.events.identity`), so a replay makes the same. `recipient`
    is an id, never an address. `message` is canonical JSON. `created_at` is the decision's now.
    `outcome` is `suppressed` for what a silence keeps back: recorded and never sent.
    """

    id: str
    seq: int
    recipient: str
    channel: str
    message: str
    created_at: datetime
    not_before: datetime
    urgent: bool = False
    outcome: SendOutcome = "queued"


@dataclass(frozen=True, kw_only=True)
class QueuedNotification(Notification):
    """A notification as it stands in the outbox.

    `claims` counts how often a sender took it, `attempts` how often one wrote down what came of
    it. `claims` above `attempts` on a free row: a sender died with it, and the message may have
    gone twice under the same id.
    """

    site: str
    claims: int
    attempts: int
    lease_owner: str | None
    lease_until: datetime | None


@dataclass(frozen=True)
class Attempt:
    """One recorded try to send; `detail` says why it failed, `receipt` is the server's answer."""

    notification_id: str
    number: int
    at: datetime
    outcome: SendOutcome
    detail: str
    receipt: str


@dataclass(frozen=True, kw_only=True)
class Deadline:
    """A moment a site waits for. `id` is used once; `body` is canonical JSON."""

    id: str
    site: str
    due: datetime
    kind: str
    body: str


@dataclass(frozen=True)
class SiteView:
    """A site for reading only; `state` is the alerting stage's canonical JSON."""

    site: str
    state: str | None
    state_version: int
    head: str
    bookmark: Bookmark


@dataclass(frozen=True)
class LedgerState:
    """A site's state between two commits.

    `state` is opaque canonical JSON (None before the first commit), `head` the head of the chain
    with the pending decisions. The tuples are what handlers added since the last commit.
    """

    state: str | None
    head: str
    decisions: tuple[Decision, ...] = ()
    notifications: tuple[Notification, ...] = ()
    deadlines: tuple[Deadline, ...] = ()
    done_deadlines: tuple[str, ...] = ()

    def decide(
        self, site: str, seq: int, now: datetime, facts: Mapping[str, object]
    ) -> LedgerState:
        """Add the one decision of input `seq`; the new state's `head` is the chain's head then.

        The row's body holds `facts` beside `now`, `seq` and `site`: what a replay finds again,
        so no random ids, offsets, host names or machine times. Raises BadInputError for facts
        that canonical JSON cannot say, SlopewatchError when the input has its decision already.
        """
        if self.decisions and self.decisions[-1].seq >= seq:
            raise SlopewatchError(f"site {site}: input {seq} has its decision already")
        body = canonical({"facts": facts, "now": now, "seq": seq, "site": site})
        row = Decision(seq, body, self.head, chain_hash(self.head, body))
        return replace(self, head=row.hash, decisions=(*self.decisions, row))

    def settled(self) -> LedgerState:
        """The same state with nothing pending."""
        return LedgerState(self.state, self.head)
