"""The sender drains the ledger's outbox: claim, find the recipient, send, write down what came.

Each recipient has a lane of its own: a server that hangs or refuses holds up its own recipient
only. Rows that a sender had claimed without writing down the end (it died, or the ledger was out of
reach) are sent again under the same id, and counted apart as `repeated`: the first sending may have
arrived.

A failure that somebody must mend (a refused login, a missing secret, a moved webhook) is tried as
long as one that passes by itself, and said as an error each time: an alarm must not be lost to a
mistake that is mended within the day. Only a recipient that is gone ends it at once.
"""

from __future__ import annotations

import random
import socket
import threading
import time
import uuid
from collections.abc import Callable, Sequence
from concurrent.futures import FIRST_COMPLETED, Future, ThreadPoolExecutor, wait
from dataclasses import dataclass
from datetime import datetime, timedelta
from typing import Any, Protocol

import msgspec
import structlog

from core.clock import Clock
from core.errors import ConflictError, SlopewatchError
from core.ledger import Attempt, QueuedNotification
from core.ledger.outbox import FinalOutcome
from core.telemetry import Telemetry
from services.alerting.message import Message
from services.alerting.notifier import DeliveryError, Notifier, Receipt, RecipientGoneError

Resolve = Callable[[str, str], Notifier]
"""(site, recipient id) -> the recipient's notifier by the settings in force."""

Lane = tuple[str, str]

_MESSAGE = msgspec.json.Decoder(Message)
_RECORD_TRIES = 3


class Outbox(Protocol):
    """What a sender needs of `core.ledger.ledger.Ledger`."""

    def due_notifications(
        self, now: datetime, limit: int, owner: str, lease_s: float
    ) -> list[QueuedNotification]:
        """Claim due notifications."""
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

    def attempts(self, notification_id: str) -> list[Attempt]:
        """What was written down about one."""
        ...


@dataclass(frozen=True)
class Retry:
    """When a failed sending is tried again, and when it is given up."""

    first: timedelta = timedelta(seconds=30)
    longest: timedelta = timedelta(minutes=15)
    longest_asked: timedelta = timedelta(hours=1)
    max_attempts: int = 200
    max_age: timedelta = timedelta(hours=24)

    def wait(self, attempt: int, jitter: float, asked: timedelta | None = None) -> timedelta:
        """Wait after failed `attempt` (1, 2, ...): doubling, of which `jitter` (0 to 1) takes up
        to half; at least what the other side `asked` for, within `longest_asked`.
        """
        doubled = min(self.first * (1 << min(attempt - 1, 20)), self.longest)
        return max(doubled * (1 - jitter / 2), min(asked or timedelta(0), self.longest_asked))


class Sender:
    """One sender; several may share an outbox. `owner` must be new after each start.

    `slots`: recipients served at once. A claim lasts `lease_s`: longer than a sending may take.
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
        lease_s: float = 600.0,
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
        self._busy: dict[Lane, Future[int]] = {}
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
        """Claim what is due and send it; returns the number of sendings that were written down.

        Waits for all of them, or with `patience_s` only that long for the first: a slow one then
        goes on beside the next steps. Raises what the outbox raises.
        """
        done = 0
        free = self._slots - len(self._busy)
        rows = self._outbox.due_notifications(now, free, self._owner, self._lease_s) if free else []
        lanes: dict[Lane, list[QueuedNotification]] = {}
        for row in rows:
            lanes.setdefault((row.site, row.recipient), []).append(row)
        for lane, own in lanes.items():
            if lane in self._busy:
                done += self._put_off(own, now, "the sending before it is still under way")
            else:
                self._busy[lane] = self._pool.submit(self._deliver, own, now)
        return done + self._reap(patience_s)

    def close(self) -> None:
        """Finish what is under way, give back what is not, and end the threads."""
        self._closing.set()
        self._pool.shutdown(wait=True)
        self._busy.clear()

    def _reap(self, patience_s: float | None) -> int:
        if patience_s is None:
            wait(self._busy.values())
        else:
            wait(self._busy.values(), timeout=patience_s, return_when=FIRST_COMPLETED)
        ended = {lane: future for lane, future in self._busy.items() if future.done()}
        for lane in ended:
            del self._busy[lane]
        faults = [fault for future in ended.values() if (fault := future.exception())]
        if faults:
            raise faults[0]
        return sum(future.result() for future in ended.values())

    def _deliver(self, rows: Sequence[QueuedNotification], now: datetime) -> int:
        """One recipient's rows, in turn; after one that is tried again the others wait as well."""
        started = time.monotonic()
        for place, row in enumerate(rows):
            if self._closing.is_set():
                return place + self._put_off(rows[place:], now, "the sender stops", at_once=True)
            if time.monotonic() - started > self._lease_s / 2:
                return place + self._put_off(rows[place:], now, "the claim runs out", at_once=True)
            if not self._attempt(row, now):
                reason = "the sending before it failed"
                return place + 1 + self._put_off(rows[place + 1 :], now, reason)
        return len(rows)

    def _attempt(self, row: QueuedNotification, now: datetime) -> bool:
        """Try one row and write it down; False when the recipient is out of reach for now."""
        try:
            try:
                message = _MESSAGE.decode(row.message)
            except msgspec.MsgspecError:
                # A newer release may have written it: after the upgrade it can be read.
                raise DeliveryError(
                    "its message cannot be read; run the release that wrote it", retryable=False
                ) from None
            receipt = self._resolve(row.site, row.recipient).send(message, row.id)
        except SlopewatchError as error:
            return self._failed(row, now, error)
        except Exception as error:
            # A fault of a plug-in must cost nobody else; its text may hold addresses.
            fault = DeliveryError(_where_it_broke(error), retryable=False)
            return self._failed(row, now, fault)
        return self._sent(row, now, receipt)

    def _sent(self, row: QueuedNotification, now: datetime, receipt: Receipt) -> bool:
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
        return True

    def _failed(self, row: QueuedNotification, now: datetime, error: SlopewatchError) -> bool:
        number, logger = row.attempts + 1, self._bound(row)
        gone = isinstance(error, RecipientGoneError)
        limit = None if gone else self._limit_reached(row, now, number)
        reason = f"{error}; {limit}" if limit else str(error)
        if gone or limit:
            self._record(row, now, "failed", detail=reason)
            self._count(row, "failed")
            logger.error("notification failed for good", reason=reason, attempt=number)
            return True
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
        return False

    def _limit_reached(self, row: QueuedNotification, now: datetime, number: int) -> str | None:
        if number >= self._retry.max_attempts:
            return f"given up after {number} attempts"
        # Not `created_at`: what was decided while no sender ran has not been tried yet.
        earlier = self._outbox.attempts(row.id)
        if earlier and now - earlier[0].at >= self._retry.max_age:
            return f"given up after {self._retry.max_age}"
        return None

    def _put_off(
        self,
        rows: Sequence[QueuedNotification],
        now: datetime,
        reason: str,
        *,
        at_once: bool = False,
    ) -> int:
        """Give claimed rows back untried, for the first wait or at once."""
        for row in rows:
            wait = timedelta(0) if at_once else self._retry.wait(1, self._jitter())
            self._record(row, now, "failed", detail=f"not tried: {reason}", retry_at=now + wait)
        return len(rows)

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
                self._outbox.record_attempt(
                    row.id, self._owner, now, outcome, detail, receipt, retry_at
                )
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


def _where_it_broke(error: Exception) -> str:
    trace = error.__traceback__
    while trace is not None and trace.tb_next is not None:
        trace = trace.tb_next
    place = f"{trace.tb_frame.f_code.co_name}, line {trace.tb_lineno}" if trace else "unknown"
    return f"the notifier broke: {type(error).__name__} in {place}"
