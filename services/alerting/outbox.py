"""What a sender needs of the ledger; `core.ledger.ledger.Ledger` has it."""

from __future__ import annotations

from collections.abc import Collection
from datetime import datetime
from typing import Protocol

from core.ledger import Attempt, QueuedNotification
from core.ledger.outbox import FinalOutcome
from core.ledger.routes import Route


class Outbox(Protocol):
    """Notifications that wait, lent to one sender at a time."""

    def due_notifications(
        self, now: datetime, limit: int, owner: str, lease_s: float
    ) -> list[QueuedNotification]:
        """Claim due notifications, one of each recipient."""
        ...

    def renew_claims(
        self, claims: Collection[tuple[str, str]], now: datetime, lease_s: float
    ) -> int:
        """Claim (id, owner) for longer; how many still are the owner's."""
        ...

    def claim_too(
        self, ids: Collection[str], owner: str, now: datetime, lease_s: float
    ) -> list[QueuedNotification]:
        """Claim more for a recipient of whom one is claimed."""
        ...

    def give_back(
        self, notification_id: str, owner: str, not_before: datetime | None = None
    ) -> None:
        """Take back a claim of which nothing came."""
        ...

    def queued_beside(self, one: QueuedNotification) -> list[QueuedNotification]:
        """What else waits for its recipient."""
        ...

    def later_notifications(self, one: QueuedNotification) -> list[QueuedNotification]:
        """What was decided after it for its recipient."""
        ...

    def record_attempt(
        self,
        notification_id: str,
        owner: str,
        at: datetime,
        outcome: FinalOutcome,
        detail: str = "",
        receipt: str = "",
        retry_at: datetime | None = None,
    ) -> None:
        """Write down what came of one."""
        ...

    def routes(self, site: str | None = None) -> list[Route]:
        """How it stands with every recipient."""
        ...

    def attempts(self, notification_id: str) -> list[Attempt]:
        """What was written down about one."""
        ...
