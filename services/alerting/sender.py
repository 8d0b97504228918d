"""The sender drains the ledger's outbox: claim, find the recipient, send, write down what came.

Each recipient has a lane of its own, in which one message is under way at a time: a server that
hangs or refuses holds up its own recipient only. A claim is a short lease, renewed for what is
under way and looked at again just before sending. Rows that a sender had claimed without writing
down the end (it died, or the ledger was out of reach) are sent again under the same id, and counted
apart as `repeated`: the first sending may have arrived.

A failure that somebody must mend (a refused login, a missing secret, a moved webhook) is tried as
long as one that passes by itself, and said as an error each time: an alarm must not be lost to a
mistake that is mended within the day. Only a recipient that is gone ends it at once.
"""

from __future__ import annotations

import itertools
import random
import socket
import threading
import time
import uuid
from collections.abc import Callable
from concurrent.futures import ALL_COMPLETED, FIRST_COMPLETED, Future, ThreadPoolExecutor, wait
from datetime import UTC, datetime, timedelta
from typing import Any, NamedTuple

import msgspec
import structlog

from core.clock import Clock
from core.errors import ConflictError, SlopewatchError
from core.ledger import QueuedNotification
from core.ledger.outbox import FinalOutcome
from core.telemetry import Telemetry
from services.alerting.notifier import DeliveryError, Notifier, Receipt, RecipientGoneError
from services.alerting.outbox import Outbox
from services.alerting.overtaking import overtaken_by, read
from services.alerting.retry import Retry

Resolve = Callable[[str, str], Notifier]
"""(site, recipient id) -> the recipient's notifier by the settings in force."""

Lane = tuple[str, str]

_RECORD_TRIES = 3


class _Moment(NamedTuple):
    """A moment of the sender's clock, and when it was by the one that nobody sets."""

    given: datetime
    monotonic: float

    @staticmethod
    def at(given: datetime) -> _Moment:
        return _Moment(given, time.monotonic())

    def now(self) -> datetime:
        return self.given + timedelta(seconds=time.monotonic() - self.monotonic)


class _UnderWay(NamedTuple):
    row: QueuedNotification
    future: Future[int]


class Sender:
    """One sender; several may share an outbox. `owner` must be new after each start.

    `slots`: recipients served at once. A claim lasts `lease_s` and is renewed while its sending is
    under way: what a dead sender had claimed waits that long.
    """

    def __init__(
        self,
        outbox: Outbox,
        resolve: Resolve,
        telemetry: Telemetry,
        *,
        owner: str | None = None,
        retry: Retry | None = None,
        slots: int = 16,
        lease_s: float = 60.0,
        jitter: Callable[[], float] = random.random,
    ) -> None:
        self._outbox = outbox
        self._resolve = resolve
        self._telemetry = telemetry
        self._owner = owner or f"{socket.gethostname()}-{uuid.uuid4().hex[:12]}"
        self._retry = retry or Retry()
        self._slots = slots
        self._lease_s = lease_s
        self._jitter = jitter
        self._pool = ThreadPoolExecutor(slots, thread_name_prefix="sender")
        self._claims = itertools.count(1)
        self._under_way: dict[Lane, _UnderWay] = {}
        self._moment = _Moment.at(datetime.now(UTC))
        self._closing = threading.Event()
        self._logger = structlog.get_logger().bind(stage="sender")

    def run(self, stop: threading.Event, clock: Clock, poll_s: float = 1.0) -> None:
        """Drain the outbox until `stop` is set; what is under way then is finished first."""
        try:
            while not stop.is_set():
                done = 0
                try:
                    done = self.step(clock.now(), patience_s=poll_s)
                except SlopewatchError as error:
                    if not error.retryable:
                        raise
                    self._logger.warning("outbox out of reach", reason=str(error))
                if not done:
                    stop.wait(poll_s)
        finally:
            self.close()

    def step(self, now: datetime, patience_s: float | None = None) -> int:
        """Claim what each recipient is due first and send it; returns how many were written down.

        Waits for all of them, or with `patience_s` only that long for the first: a slow one then
        goes on beside the next steps. Raises what the outbox raises.
        """
        self._moment = _Moment.at(now)
        self._start(now)
        if patience_s is not None:
            return self._reap(patience_s)
        done = 0
        while self._under_way:
            done += self._reap(self._lease_s)
            self._renew()
        return done

    def close(self) -> None:
        """Finish what is under way, give back what is not, and end the threads."""
        self._closing.set()
        while not self._wait(ALL_COMPLETED, self._lease_s / 3):
            try:
                self._renew()
            except SlopewatchError as error:
                self._logger.warning("outbox out of reach", reason=str(error))
        self._pool.shutdown(wait=True)
        self._under_way.clear()

    def _start(self, now: datetime) -> None:
        """Claim one due row of each free lane and begin to send it."""
        self._renew()
        free = self._slots - len(self._under_way)
        # A name for each claim: what an earlier one did must not be taken for this one's.
        owner = f"{self._owner}-{next(self._claims)}"
        rows = self._outbox.due_notifications(now, free, owner, self._lease_s) if free else []
        for row in rows:
            lane = row.site, row.recipient
            if lane in self._under_way:
                # Its lease was lost to another sender, who is done while it still hangs here.
                self._outbox.give_back(row.id, owner)
            else:
                self._under_way[lane] = _UnderWay(row, self._pool.submit(self._deliver, row, now))

    def _renew(self) -> None:
        """Go on claiming what is under way, however long it takes."""
        if self._under_way:
            claims = [_claim(one.row) for one in self._under_way.values()]
            self._outbox.renew_claims(claims, self._moment.now(), self._lease_s)

    def _wait(self, until: str, seconds: float) -> bool:
        """Whether all that is under way ended."""
        futures = [one.future for one in self._under_way.values()]
        return not wait(futures, timeout=seconds, return_when=until).not_done

    def _reap(self, patience_s: float) -> int:
        self._wait(FIRST_COMPLETED, min(patience_s, self._lease_s / 3))
        ended = {lane: one.future for lane, one in self._under_way.items() if one.future.done()}
        for lane in ended:
            del self._under_way[lane]
        faults = [fault for future in ended.values() if (fault := future.exception())]
        if faults:
            raise faults[0]
        return sum(future.result() for future in ended.values())

    def _deliver(self, row: QueuedNotification, now: datetime) -> int:
        """Try one row and write down what came of it; returns 0 when it was not tried, else 1."""
        if self._closing.is_set():
            self._outbox.give_back(*_claim(row))
            return 0
        try:
            message = read(row)
            notifier = self._resolve(row.site, row.recipient)
        except Exception as error:
            return self._failed(row, now, _in_our_words(error))
        newer = overtaken_by(message, self._outbox.later_notifications(row))
        if newer is not None:
            return self._suppressed(row, now, newer)
        # The last look: whoever was stopped for longer than its lease may have lost the row.
        if not self._outbox.renew_claims([_claim(row)], self._moment.now(), self._lease_s):
            self._bound(row).warning("claim lost before the sending")
            return 0
        try:
            receipt = notifier.send(message, row.id)
        except Exception as error:
            return self._failed(row, now, _in_our_words(error))
        return self._sent(row, now, receipt)

    def _suppressed(self, row: QueuedNotification, now: datetime, newer: str) -> int:
        reason = f"overtaken by notification {newer}"
        self._record(row, now, "suppressed", detail=reason)
        self._count(row, "suppressed")
        self._bound(row).warning("notification not sent any more", reason=reason)
        return 1

    def _sent(self, row: QueuedNotification, now: datetime, receipt: Receipt) -> int:
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
        return 1

    def _failed(self, row: QueuedNotification, now: datetime, error: SlopewatchError) -> int:
        number, logger = row.attempts + 1, self._bound(row)
        gone = isinstance(error, RecipientGoneError)
        limit = None if gone else self._retry.limit_reached(now, self._outbox.attempts(row.id))
        reason = f"{error}; {limit}" if limit else str(error)
        if gone or limit:
            self._record(row, now, "failed", detail=reason)
            self._count(row, "failed")
            logger.error("notification failed for good", reason=reason, attempt=number)
            return 1
        retry_at = now + self._retry.wait(number, self._jitter(), error.retry_after)
        self._record(row, now, "failed", detail=reason, retry_at=retry_at)
        self._count(row, "retried")
        if error.retryable:
            logger.warning("notification not sent yet", reason=reason, attempt=number)
        else:
            logger.error(
                "notification not sent: mend what the reason names",
                reason=reason,
                attempt=number,
                tried_for=str(self._retry.max_age),
            )
        return 1

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
                self._outbox.record_attempt(*_claim(row), now, outcome, detail, receipt, retry_at)
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


def _claim(row: QueuedNotification) -> tuple[str, str]:
    return row.id, row.lease_owner or ""


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
