"""One turn of one recipient: try what is due, in the order of its alert, and write down what came.

What waits of one alert goes out in the order in which it was decided. The first of it that fails
holds up the rest, so that a receiver that was down for days gets all of it, each once and in order.
Two things may pass what fails, for nothing should hold up an alarm: a rise of the level, and, when
one message has failed for `PASSED_AFTER`, the next of the alert, for then the fault may be that
message's own. What was passed and still waits is old then, and said to be so (`overtaking`).
"""

from __future__ import annotations

import threading
from collections.abc import Callable
from datetime import datetime, timedelta
from typing import Any, Final, NamedTuple

import msgspec
import structlog

from core.errors import ConflictError, SlopewatchError
from core.ledger import QueuedNotification
from core.ledger.outbox import FinalOutcome
from core.telemetry import Telemetry
from services.alerting.notifier import DeliveryError, Notifier, Receipt, RecipientGoneError
from services.alerting.outbox import Outbox
from services.alerting.overtaking import overtaken_by, read, rises
from services.alerting.retry import Retry

Resolve = Callable[[str, str], Notifier]
"""(site, recipient id) -> the recipient's notifier by the settings in force."""

PASSED_AFTER: Final = timedelta(hours=1)

_RECORD_TRIES = 3


class Failure(NamedTuple):
    """A try that failed and is made again: of which row, since when it fails, and when again."""

    row: QueuedNotification
    since: datetime
    retry_at: datetime


class Delivery:
    """Delivers what a sender has claimed. May be used by several threads, one a recipient.

    `moment` gives the time now, `lease_s` how long a claim of more lasts; with `closing` set what
    is not under way yet is given back.
    """

    def __init__(
        self,
        outbox: Outbox,
        resolve: Resolve,
        telemetry: Telemetry,
        retry: Retry,
        jitter: Callable[[], float],
        closing: threading.Event,
        moment: Callable[[], datetime],
        lease_s: float,
    ) -> None:
        self._outbox = outbox
        self._resolve = resolve
        self._telemetry = telemetry
        self._retry = retry
        self._jitter = jitter
        self._closing = closing
        self._moment = moment
        self._lease_s = lease_s
        self._logger = structlog.get_logger().bind(stage="sender")

    def turn(self, row: QueuedNotification, now: datetime, claims: list[tuple[str, str]]) -> int:
        """Try `row` and what waits of its alert; returns how many tries were written down.

        Everything that it claims for that is added to `claims`.
        """
        done, failed, passed = 0, None, False
        for one in self._of_the_alert(row, now, claims):
            if self._closing.is_set():
                self._outbox.give_back(*claim_of(one))
            elif failed is not None and (passed or not _may_pass(one, failed, now)):
                self._outbox.give_back(*claim_of(one), failed.retry_at)
            else:
                passed = failed is not None
                tries, failure = self._try(one, now, failed)
                done += tries
                failed = failed or failure
                passed = passed and failure is not None
        return done

    def _of_the_alert(
        self, row: QueuedNotification, now: datetime, claims: list[tuple[str, str]]
    ) -> list[QueuedNotification]:
        """`row` and what else waits of its alert, claimed, in the order of the decisions."""
        alert = _alert_of(row)
        if not alert or self._closing.is_set():
            return [row]
        beside = [one for one in self._outbox.queued_beside(row) if _alert_of(one) == alert]
        tried = {one.not_before for one in beside if one.attempts}
        # What waits behind a failure was put off to the moment of its next try, and comes along.
        # What quiet hours keep back does not.
        ready = [
            one.id
            for one in beside
            if one.not_before <= now or one.attempts or one.not_before in tried
        ]
        if not ready:
            return [row]
        owner = row.lease_owner or ""
        more = self._outbox.claim_too(ready, owner, self._moment(), self._lease_s)
        claims += map(claim_of, more)
        return sorted([row, *more], key=lambda one: (one.seq, one.id))

    def _try(
        self, row: QueuedNotification, now: datetime, first: Failure | None
    ) -> tuple[int, Failure | None]:
        """Try one row and write down what came of it: 1, or 0 when it was not tried.

        `first`: what failed before it in this turn; it is tried again no sooner than that.
        """
        try:
            message = read(row)
            notifier = self._resolve(row.site, row.recipient)
        except Exception as error:
            return 1, self._failed(row, now, _in_our_words(error), first)
        newer = overtaken_by(message, self._outbox.later_notifications(row))
        if newer is not None:
            self._suppressed(row, now, newer)
            return 1, None
        # The last look: whoever was stopped for longer than its lease may have lost the row.
        if not self._outbox.renew_claims([claim_of(row)], self._moment(), self._lease_s):
            self._bound(row).warning("claim lost before the sending")
            return 0, None
        try:
            receipt = notifier.send(message, row.id)
        except Exception as error:
            return 1, self._failed(row, now, _in_our_words(error), first)
        self._sent(row, now, receipt)
        return 1, None

    def _suppressed(self, row: QueuedNotification, now: datetime, newer: str) -> None:
        reason = f"overtaken by notification {newer}"
        self._record(row, now, "suppressed", detail=reason)
        self._count(row, "suppressed")
        self._bound(row).warning("notification not sent any more", reason=reason)

    def _sent(self, row: QueuedNotification, now: datetime, receipt: Receipt) -> None:
        answer, refused = receipt
        self._record(row, now, "sent", detail="; ".join(refused), receipt=answer)
        self._count(row, "sent")
        logger = self._bound(row)
        if row.claims > row.attempts + 1:
            self._count(row, "repeated")
            logger.warning("notification repeated: an earlier claim ended without a record")
        logger.info("notification sent", answer=answer)
        if refused:
            logger.error("notification not taken for all addresses", refused=refused)

    def _failed(
        self, row: QueuedNotification, now: datetime, error: SlopewatchError, first: Failure | None
    ) -> Failure | None:
        """Write down a failure; None when the row is not tried again."""
        number, logger = row.attempts + 1, self._bound(row)
        gone = isinstance(error, RecipientGoneError)
        earlier = self._outbox.attempts(row.id)
        limit = None if gone else self._retry.limit_reached(now, earlier)
        reason = f"{error}; {limit}" if limit else str(error)
        if gone or limit:
            self._record(row, now, "failed", detail=reason)
            self._count(row, "failed")
            logger.error("notification failed for good", reason=reason, attempt=number)
            return None
        retry_at = now + self._retry.wait(number, self._jitter(), error.retry_after)
        retry_at = max(retry_at, first.retry_at) if first else retry_at
        self._record(row, now, "failed", detail=reason, retry_at=retry_at)
        self._count(row, "retried")
        told = "tried again" if error.retryable else "mend what the reason names"
        # Loud once: what goes on failing is the route's news (`reachability`).
        say = logger.info if earlier else logger.warning if error.retryable else logger.error
        say(
            f"notification not sent yet: {told}",
            reason=reason,
            attempt=number,
            tried_for=str(self._retry.max_age),
        )
        return Failure(row, earlier[0].at if earlier else now, retry_at)

    def _record(
        self,
        row: QueuedNotification,
        now: datetime,
        outcome: FinalOutcome,
        *,
        detail: str = "",
        receipt: str = "",
        retry_at: datetime | None = None,
    ) -> None:
        """Write it down, with some patience: what is sent and not written down is sent again."""
        for left in reversed(range(_RECORD_TRIES)):
            try:
                self._outbox.record_attempt(*claim_of(row), now, outcome, detail, receipt, retry_at)
                return
            except ConflictError as error:
                self._bound(row).error("claim lost before the record", reason=str(error))
                return
            except SlopewatchError as error:
                if not (error.retryable and left):
                    self._bound(row).error("not written down", outcome=outcome, reason=str(error))
                    raise
            self._closing.wait(1.0)

    def _count(self, row: QueuedNotification, outcome: str) -> None:
        self._telemetry.notifications.labels(row.channel, outcome).inc()

    def _bound(self, row: QueuedNotification) -> Any:
        return self._logger.bind(
            site=row.site, recipient=row.recipient, channel=row.channel, notification=row.id
        )


def claim_of(row: QueuedNotification) -> tuple[str, str]:
    """Id and owner of a claimed row."""
    return row.id, row.lease_owner or ""


def _alert_of(row: QueuedNotification) -> str:
    """The alert that a row speaks of; empty for none, and for a row that cannot be read."""
    try:
        return read(row).alert
    except msgspec.MsgspecError:
        return ""


def _may_pass(one: QueuedNotification, failed: Failure, now: datetime) -> bool:
    if now - failed.since >= PASSED_AFTER:
        return True
    try:
        return rises(read(failed.row), read(one))
    except msgspec.MsgspecError:
        return False


def _in_our_words(error: Exception) -> SlopewatchError:
    """What is said of a failure; the text of a plug-in's fault may hold addresses."""
    if isinstance(error, SlopewatchError):
        return error
    if isinstance(error, msgspec.MsgspecError):
        # A newer release may have written it: after the upgrade it can be read.
        return DeliveryError(
            "its message cannot be read; run the release that wrote it", retryable=False
        )
    return DeliveryError(_where_it_broke(error), retryable=False)


def _where_it_broke(error: Exception) -> str:
    trace = error.__traceback__
    while trace is not None and trace.tb_next is not None:
        trace = trace.tb_next
    place = f"{trace.tb_frame.f_code.co_name}, line {trace.tb_lineno}" if trace else "unknown"
    return f"the notifier broke: {type(error).__name__} in {place}"
