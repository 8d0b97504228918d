"""The sender drains the ledger's outbox: claim, find the recipient, send, write down what came.

Each recipient has a lane of its own, in which one message is under way at a time: a server that
hangs or refuses holds up its own recipient only. A claim is a short lease, renewed for what is
under way and looked at again just before sending. Rows that a sender had claimed without writing
down the end (it died, or the ledger was out of reach) are sent again under the same id, and counted
apart as `repeated`: the first sending may have arrived.

A failure that somebody must mend (a refused login, a missing secret, a moved webhook) is tried as
long as one that passes by itself: an alarm must not be lost to a mistake that is mended within the
week. Only a recipient that is gone ends it at once. `delivery` says what is tried in which order,
`reachability` who cannot be reached.
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
from typing import NamedTuple

import structlog

from core.clock import Clock
from core.errors import SlopewatchError
from core.ledger import QueuedNotification
from core.telemetry import Telemetry
from services.alerting.delivery import Delivery, Resolve, claim_of
from services.alerting.outbox import Outbox
from services.alerting.reachability import Watch
from services.alerting.retry import Retry

Lane = tuple[str, str]


def _told_by_the_log_alone(site: str, count: int) -> None:
    """No metric is wanted."""


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
    """A turn of a recipient and all that is claimed for it."""

    claims: list[tuple[str, str]]
    future: Future[int]


class Sender:
    """One sender; several may share an outbox. `owner` must be new after each start.

    `slots`: recipients served at once. A claim lasts `lease_s` and is renewed while its sending is
    under way: what a dead sender had claimed waits that long. `unreachable` is told of each site
    how many of its recipients cannot be reached, whenever that may have changed.
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
        unreachable: Callable[[str, int], None] = _told_by_the_log_alone,
    ) -> None:
        self._outbox = outbox
        self._owner = owner or f"{socket.gethostname()}-{uuid.uuid4().hex[:12]}"
        self._slots = slots
        self._lease_s = lease_s
        self._pool = ThreadPoolExecutor(slots, thread_name_prefix="sender")
        self._claims = itertools.count(1)
        self._under_way: dict[Lane, _UnderWay] = {}
        self._moment = _Moment.at(datetime.now(UTC))
        self._closing = threading.Event()
        self._delivery = Delivery(
            outbox,
            resolve,
            telemetry,
            retry or Retry(),
            jitter,
            self._closing,
            self._now,
            lease_s,
        )
        self._watch = Watch(outbox, resolve, unreachable)
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
        self._watch.look(now)
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

    def _now(self) -> datetime:
        return self._moment.now()

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
                self._under_way[lane] = self._begin(row, now)

    def _begin(self, row: QueuedNotification, now: datetime) -> _UnderWay:
        claims = [claim_of(row)]
        return _UnderWay(claims, self._pool.submit(self._delivery.turn, row, now, claims))

    def _renew(self) -> None:
        """Go on claiming what is under way, however long it takes."""
        if self._under_way:
            claims = [claim for one in self._under_way.values() for claim in list(one.claims)]
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
            self._watch.stir()
        faults = [fault for future in ended.values() if (fault := future.exception())]
        if faults:
            raise faults[0]
        return sum(future.result() for future in ended.values())
