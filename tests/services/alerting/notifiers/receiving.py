"""A receiver on this machine that behaves as badly as it is told, and what is told to it."""

from __future__ import annotations

import threading
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from dataclasses import dataclass, field, replace
from datetime import datetime
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer
from typing import Any, Literal

from notifying import NOW, message, served
from sqlalchemy import event

from core.ledger import Notification, canonical
from core.ledger.ledger import Ledger
from core.settings import Plugin, Service
from core.stage import Bookmark
from services.alerting.message import Message
from services.alerting.notifier import Notifier, open_notifier
from services.alerting.notifiers.webhook import KEY_HEADER

Manner = int | Literal["cut", "cut after taking", "torn", "slow"]
"""A status to answer with; to hang up within the message, or when it counts and before the answer,
or within the answer; or to answer too late."""

SECRET_NAME = "SLOPEWATCH_WEBHOOK_SECRET"


@dataclass
class Receiver:
    """What a receiver takes, by Idempotency-Key: `effects` happen once a key, in this order.

    `manner` says how it behaves to the next post of a key; it is asked for each.
    """

    manner: Callable[[str], Manner] = lambda key: 200
    headers: dict[str, str] = field(default_factory=dict)
    effects: list[str] = field(default_factory=list)
    posts: list[str] = field(default_factory=list)
    bodies: dict[str, set[bytes]] = field(default_factory=dict)
    url: str = ""
    lock: threading.Lock = field(default_factory=threading.Lock)

    def meet(self, key: str) -> Manner:
        """A post begins: how it is met."""
        with self.lock:
            self.posts.append(key)
            return self.manner(key)

    def take(self, key: str, body: bytes, manner: Manner) -> None:
        """A post came in whole; unless it is refused, it has its effect, once a key."""
        with self.lock:
            self.bodies.setdefault(key, set()).add(body)
            if key not in self.effects and not (isinstance(manner, int) and manner >= 300):
                self.effects.append(key)


def unflushed(ledger: Ledger) -> Ledger:
    """The same SQLite ledger without waiting for the disk: there is no power loss in a test."""
    engine = ledger._database._engine

    @event.listens_for(engine, "connect")
    def prepare(connection: Any, _record: Any) -> None:
        connection.execute("PRAGMA synchronous=OFF")

    engine.dispose()
    return ledger


@contextmanager
def receiver(**settings: Any) -> Iterator[Receiver]:
    """A `Receiver` that listens."""
    one = Receiver(**settings)

    class Handler(BaseHTTPRequestHandler):
        def do_POST(self) -> None:
            length = int(self.headers["Content-Length"])
            body = self.rfile.read(length // 2)
            manner = one.meet(self.headers[KEY_HEADER])
            if manner != "cut":
                one.take(
                    self.headers[KEY_HEADER], body + self.rfile.read(length - len(body)), manner
                )
                self.answer(manner)

        def answer(self, manner: Manner) -> None:
            if manner == "slow":
                threading.Event().wait(0.5)
            elif manner == "torn":
                self.wfile.write(b"HTTP/1.1 200 OK\r\nContent-Length: 99\r\n\r\ntor")
            elif manner != "cut after taking":
                self.send_response(int(manner))
                for name, value in one.headers.items():
                    self.send_header(name, value)
                self.end_headers()

        def log_message(self, *unused: object) -> None:
            """Quiet."""

    class Server(ThreadingHTTPServer):
        daemon_threads = False

        def handle_error(self, request: Any, client_address: Any) -> None:
            """The client hung up."""

    with served(Server(("127.0.0.1", 0), Handler)) as port:
        one.url = f"http://127.0.0.1:{port}/s3cret-path"
        yield one


def webhook(url: str, timeout_s: float = 5.0) -> Notifier:
    """The real notifier; its secret must be in the environment."""
    values = {"url": url, "allow_private": True, "timeout_s": timeout_s}
    return open_notifier(Plugin(kind="webhook", **values), Service())


def decide(ledger: Ledger, id: str, now: datetime = NOW, to: str = "x", **changes: Any) -> None:
    """The next decision tells one recipient one message; `changes` are the message's."""
    store = ledger.site("a")
    held = store.open()
    seq = (held.bookmark.seq if held.bookmark else 0) + 1
    told: Message = message(**{"id": id, "site": "a", "seq": seq, **changes})
    row = Notification(
        id=id,
        seq=seq,
        recipient=to,
        channel="webhook",
        message=canonical(told),
        created_at=now,
        not_before=now,
        urgent=told.level in ("orange", "red"),
    )
    state = replace(held.state.decide("a", seq, now, {}), state="{}", notifications=(row,))
    mark = Bookmark(log_id="l", partition=0, offset=seq, seq=seq, taken=seq, given=0, now=now)
    store.commit(state, mark, [], [])
