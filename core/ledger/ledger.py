"""The open ledger: what senders, schedulers, pages and auditors ask of it."""

from __future__ import annotations

from collections.abc import Collection, Iterable, Iterator, Mapping
from datetime import datetime

from sqlalchemy import Connection, func, select

from core.ledger import carrying, outbox, routes, schema_version
from core.ledger.chain import export_line, first_fault, from_utc_text, utc_text
from core.ledger.database import Database
from core.ledger.entries import (
    Attempt,
    Deadline,
    Decision,
    QueuedNotification,
    SiteView,
)
from core.ledger.routes import Route
from core.ledger.schema import deadline, decision
from core.ledger.schema import site as site_table
from core.ledger.store import LedgerSite, Lift, bookmark_of, known_sites

_PAGE_ROWS = 1000


class Ledger:
    """A ledger, made by `open_ledger`; may be shared by threads.

    Every method raises UnavailableError when the database is locked or out of reach.
    """

    def __init__(self, url: str) -> None:
        self._database = Database(url)
        try:
            schema_version.prepare(self._database)
        except BaseException:
            self._database.close()
            raise

    def sites(self) -> list[str]:
        """Names of all sites that ever committed, sorted."""
        with self._database.read() as connection:
            return known_sites(connection)

    def site(self, name: str, state_version: int = 1, lift: Lift | None = None) -> LedgerSite:
        """The alerting stage's store of one site; nothing is opened yet.

        `state_version` is what the stage writes; `lift(state, version)` turns an older state's
        JSON into it.
        """
        return LedgerSite(self._database, name, state_version, lift)

    def state(self, site: str) -> SiteView | None:
        """State and bookmark of a site, for reading only; None for a site without a commit."""
        with self._database.read() as connection:
            row = connection.execute(
                select(site_table).where(site_table.c.name == site)
            ).one_or_none()
        if row is None:
            return None
        return SiteView(site, row.state, row.state_version, row.head, bookmark_of(row))

    def due_notifications(
        self, now: datetime, limit: int, owner: str, lease_s: float
    ) -> list[QueuedNotification]:
        """Claim up to `limit` due notifications for `owner`, no other sender gets them.

        `owner` names one claim of one sender, a new one each time. What it has neither recorded
        nor renewed `lease_s` seconds after `now` is due again for anyone. Urgent ones come first;
        to one recipient one is lent at a time.
        """
        with self._database.write() as connection:
            return outbox.claim(connection, now, limit, owner, lease_s)

    def renew_claims(
        self, claims: Collection[tuple[str, str]], now: datetime, lease_s: float
    ) -> int:
        """Claim (notification id, owner) until `lease_s` seconds after `now`.

        Returns how many were: not those that another sender claimed since.
        """
        with self._database.write() as connection:
            return outbox.renew(connection, claims, now, lease_s)

    def claim_too(
        self, ids: Collection[str], owner: str, now: datetime, lease_s: float
    ) -> list[QueuedNotification]:
        """Claim more for `owner`, who has claimed one of the same recipient; due or not.

        Returns what it has of `ids` then, in the order of the decisions: not what is sent
        already or claimed by another sender.
        """
        with self._database.write() as connection:
            return outbox.claim_too(connection, ids, owner, now, lease_s)

    def give_back(
        self, notification_id: str, owner: str, not_before: datetime | None = None
    ) -> None:
        """Take back a claim of which nothing came; no attempt is written down.

        With `not_before` it becomes due then.
        """
        with self._database.write() as connection:
            outbox.give_back(connection, notification_id, owner, not_before)

    def queued_beside(self, one: QueuedNotification) -> list[QueuedNotification]:
        """What else is queued for the recipient of `one`, in the order of the decisions."""
        with self._database.read() as connection:
            return outbox.queued_beside(connection, one)

    def later_notifications(self, one: QueuedNotification) -> list[QueuedNotification]:
        """What was decided after `one` for the same recipient and is sent or queued, in order."""
        with self._database.read() as connection:
            return outbox.later_than(connection, one)

    def record_attempt(
        self,
        notification_id: str,
        owner: str,
        at: datetime,
        outcome: outbox.FinalOutcome,
        detail: str = "",
        receipt: str = "",
        retry_at: datetime | None = None,
    ) -> None:
        """Write down what came of a claimed notification and give the claim back.

        `failed` with `retry_at` makes it due again then; any other outcome is final. Raises
        ConflictError when the lease ran out and another sender has claimed it since.
        """
        with self._database.write() as connection:
            outbox.record(
                connection, notification_id, owner, at, outcome, detail, receipt, retry_at
            )

    def notifications(self, site: str | None = None) -> list[QueuedNotification]:
        """Every notification of `site`, or of all sites, whatever became of it."""
        with self._database.read() as connection:
            return outbox.stored(connection, site)

    def waiting(self) -> dict[str, tuple[int, datetime]]:
        """By site how many notifications wait to be sent, and when the oldest was decided."""
        with self._database.read() as connection:
            return outbox.waiting(connection)

    def attempts(self, notification_id: str) -> list[Attempt]:
        """What senders wrote down about one notification, in order."""
        with self._database.read() as connection:
            return outbox.attempts_of(connection, notification_id)

    def routes(self, site: str | None = None) -> list[Route]:
        """How it stands with every recipient that was ever written to, by site and recipient."""
        with self._database.read() as connection:
            return routes.found(connection, site)

    def due_deadlines(self, now: datetime) -> list[Deadline]:
        """Deadlines at or before `now` that no commit has marked as done, earliest first."""
        row = deadline.c
        due = (
            select(row.id, row.site, row.due, row.kind, row.body)
            .where(row.done.is_(False), row.due <= utc_text(now))
            .order_by(row.due, row.site, row.id)
        )
        with self._database.read() as connection:
            return [
                Deadline(**{**one, "due": from_utc_text(one["due"])})
                for one in connection.execute(due).mappings()
            ]

    def next_due(self) -> datetime | None:
        """When the earliest open deadline is due; None when there is none."""
        earliest = select(func.min(deadline.c.due)).where(deadline.c.done.is_(False))
        with self._database.read() as connection:
            text: str | None = connection.scalar(earliest)
        return None if text is None else from_utc_text(text)

    def decisions(self, site: str, since_seq: int = -1) -> list[Decision]:
        """The site's decisions with a seq above `since_seq`, in order."""
        with self._database.read() as connection:
            return list(_chain(connection, site, since_seq))

    def export(self, site: str | None = None) -> Iterator[bytes]:
        """Yield each decision as a line of canonical JSON, by site, then seq.

        The same decisions give the same bytes, whatever the database and however they were cut
        into commits. All lines show the ledger at one moment.
        """
        with self._database.read() as connection:
            for name in known_sites(connection) if site is None else [site]:
                for row in _chain(connection, name):
                    yield export_line(name, row)

    def verify(self, heads: Mapping[str, Iterable[str]] | None = None) -> list[str]:
        """Recompute every chain; a sentence for each problem, an empty list when all is well.

        Of each site the first broken row is named. `heads` are, by site, the heads printed in
        notifications and carried by `alert changed` events: one that its chain does not have
        means that rows were rewritten since.
        """
        problems: list[str] = []
        with self._database.read() as connection:
            rows_of_sites = connection.execute(select(site_table.c.name, site_table.c.head))
            known: dict[str, str] = {one.name: one.head for one in rows_of_sites}
            chained = connection.scalars(select(decision.c.site).distinct())
            for name in sorted({*known, *chained, *(heads or {})}, key=str.encode):
                missing = set((heads or {}).get(name, ()))
                rows = _chain(connection, name)
                problems += filter(None, [first_fault(name, rows, known.get(name, ""), missing)])
                problems += [
                    f"site {name}: the head {head or '(empty)'} was given out, but its chain does"
                    " not have it"
                    for head in sorted(missing)
                ]
        return problems

    def copy_into(self, other: Ledger) -> int:
        """Make `other` a copy of this ledger, in one transaction; returns the rows written.

        0 when it is one already. What waits to be sent is `moved` in the copy until `set_places`
        releases it. Raises SettingsError when `other` holds anything but an earlier copy.
        """
        with self._database.read() as source, other._database.write() as target:
            return carrying.copy_rows(source, target, other._database.name)

    def set_places(
        self, places: Mapping[str, carrying.Place], outbox: carrying.Outbox = "stays"
    ) -> None:
        """Give each site its place on another log, all in one transaction.

        With `outbox` `held` what waits to be sent is `moved` for good, with `released` what was
        `moved` waits to be sent.
        """
        with self._database.write() as connection:
            carrying.set_places(connection, places, outbox)

    def close(self) -> None:
        """Close every connection."""
        self._database.close()


def _chain(connection: Connection, site: str, since_seq: int = -1) -> Iterator[Decision]:
    row = decision.c
    rows = (
        select(row.seq, row.body, row.previous, row.hash)
        .where(row.site == site, row.seq > since_seq)
        .order_by(row.seq)
        .execution_options(yield_per=_PAGE_ROWS)
    )
    for one in connection.execute(rows):
        yield Decision(one.seq, one.body, one.previous, one.hash)
