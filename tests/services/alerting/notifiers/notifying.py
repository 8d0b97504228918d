"""A message to send, and servers that misbehave, for the tests of notifiers and sender."""

from __future__ import annotations

import socketserver
import threading
import time
from collections.abc import Iterator
from contextlib import contextmanager
from dataclasses import dataclass, field
from datetime import UTC, date, datetime
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer
from typing import Any

from core.events import Vote
from services.alerting.message import Message

KEY = "0f" * 16
NOW = datetime(2026, 3, 14, 6, 30, tzinfo=UTC)

VOTES = (
    Vote(
        rule="velocity",
        track="84D",
        level="orange",
        calibrated=True,
        reason="121.4 ± 8.2 mm/yr downslope: past 100 mm/yr at 2 of the last 3 epochs",
        figures={
            "velocity_mm_yr": 121.4,
            "velocity_sd_mm_yr": 8.2,
            "probability_orange": 0.9953,
            "probability_red": 0.0002,
        },
    ),
    Vote(
        rule="cusum",
        track="84D",
        level="blue",
        calibrated=False,
        reason="not calibrated: 21 of 30 epochs",
        figures={"usable_epochs": 21.0},
    ),
)


def message(**changes: Any) -> Message:
    """An orange level, as alerting would write it."""
    values: dict[str, Any] = {
        "id": KEY,
        "kind": "level",
        "site": "xinpu",
        "title": "Xinpu landslide",
        "unit": "toe",
        "unit_name": "Toe",
        "level": "orange",
        "previous_level": "yellow",
        "coverage": "watched",
        "previous_coverage": "watched",
        "coverage_reason": "track 84D last measured the unit on 12 March 2026",
        "reason": "velocity on track 84D: past 100 mm/yr at 2 of the last 3 epochs",
        "votes": VOTES,
        "arose": date(2026, 3, 12),
        "known_since": datetime(2026, 3, 14, 6, tzinfo=UTC),
        "late_days": 1,
        "next_pass": date(2026, 3, 24),
        "simulated": False,
        "ledger_head": "a1" * 32,
        "seq": 412,
    }
    return Message(**{**values, **changes})


@contextmanager
def served(server: socketserver.BaseServer) -> Iterator[int]:
    """Run a server in a thread; gives its port."""
    thread = threading.Thread(target=server.serve_forever, args=(0.02,))
    thread.start()
    try:
        yield server.server_address[1]  # type: ignore[index]
    finally:
        server.shutdown()
        server.server_close()
        thread.join()


@dataclass
class Script:
    """What a scripted mail server answers to each verb; `heard` is what it was told.

    Several answers to a verb are given in turn, the last for ever. None hangs up, a number waits
    that many seconds and says nothing.
    """

    answers: dict[str, list[str | float | None]]
    heard: list[str] = field(default_factory=list)

    def answer(self, verb: str, default: str) -> str | float | None:
        own = self.answers.get(verb, [default])
        return own.pop(0) if len(own) > 1 else own[0]


class _ScriptedSession(socketserver.StreamRequestHandler):
    script: Script
    timeout = 5

    def handle(self) -> None:
        if not self.say("CONNECT", "220 scripted"):
            return
        while line := self.rfile.readline(4096).decode():
            verb = line.split()[0].upper()
            self.script.heard.append(line.strip())
            defaults = {"QUIT": "221 bye", "DATA": "354 go on", "EHLO": "250-scripted\r\n250 SIZE"}
            if not self.say(verb, defaults.get(verb, "250 ok")):
                return
            if verb == "DATA" and not self.take_content():
                return

    def take_content(self) -> bool:
        while (line := self.rfile.readline(4096)) not in (b".\r\n", b""):
            self.script.heard.append(line.decode().strip())
        return self.say("CONTENT", "250 queued as 42")

    def say(self, verb: str, default: str) -> bool:
        answer = self.script.answer(verb, default)
        if isinstance(answer, float):
            time.sleep(answer)
            return False
        if answer is None:
            return False
        self.wfile.write(answer.encode() + b"\r\n")
        return True


@contextmanager
def smtp_server(script: Script) -> Iterator[int]:
    """A mail server that follows `script`; gives its port."""
    handler = type("Handler", (_ScriptedSession,), {"script": script})

    class Server(socketserver.ThreadingTCPServer):
        def handle_error(self, request: Any, client_address: Any) -> None:
            """The client hung up."""

    with served(Server(("127.0.0.1", 0), handler)) as port:
        yield port


@contextmanager
def http_server(
    status: int, headers: dict[str, str] | None = None, *, wait_s: float = 0.0, body: bytes = b""
) -> Iterator[tuple[str, list[tuple[dict[str, str], bytes]]]]:
    """A web server that always answers the same; gives its url and what was posted to it."""
    posts: list[tuple[dict[str, str], bytes]] = []

    class Handler(BaseHTTPRequestHandler):
        def do_POST(self) -> None:
            content = self.rfile.read(int(self.headers["Content-Length"]))
            posts.append((dict(self.headers), content))
            time.sleep(wait_s)
            self.send_response(status)
            for name, value in (headers or {}).items():
                self.send_header(name, value)
            self.end_headers()
            self.wfile.write(body)

        def log_message(self, *unused: object) -> None:
            """Quiet."""

    class Server(ThreadingHTTPServer):
        daemon_threads = False

        def handle_error(self, request: Any, client_address: Any) -> None:
            """The client hung up."""

    with served(Server(("127.0.0.1", 0), Handler)) as port:
        yield f"http://127.0.0.1:{port}/hook/s3cret-path", posts
