"""Local sinks for mail and webhooks: they keep what they get and count repeats apart.

Both listen on 127.0.0.1 and hold everything in one folder, so what was received outlives a
restart. They are for demos and tests; nothing is ever passed on. Whatever a client may send is
bounded. The mail sink speaks enough of RFC 5321 to take a mail in.
"""

from __future__ import annotations

import email
import email.policy
import hashlib
import json
import re
import socket
import socketserver
import threading
from contextlib import suppress
from email.message import EmailMessage
from http.server import BaseHTTPRequestHandler, HTTPServer
from pathlib import Path
from typing import Any, ClassVar, Self

from core.clock import Clock, SystemClock
from services.alerting.notifiers.webhook import KEY_HEADER, SIGNATURE_HEADER, verify_signature

HOST = "127.0.0.1"
MAX_BYTES = 4 << 20
MAX_KEPT = 10_000
MAX_CONNECTIONS = 32
MAX_ADDRESSES = 100
MAX_LINE = 4096
IDLE_S = 10.0

_KEY = re.compile(r"[A-Za-z0-9._-]{1,128}")
_PATH = re.compile(r"(?i)(?:FROM|TO):\s*<([^<>\s]*)>.*")


class _Server(socketserver.ThreadingMixIn, socketserver.TCPServer):
    """Few threads, all waited for; closing it cuts open connections."""

    allow_reuse_address = True

    def __init__(self, *args: Any) -> None:
        self._open: set[socket.socket] = set()
        self._lock = threading.Lock()
        super().__init__(*args)

    def verify_request(self, request: Any, client_address: Any) -> bool:
        with self._lock:
            if len(self._open) >= MAX_CONNECTIONS:
                return False
            self._open.add(request)
        request.settimeout(IDLE_S)
        return True

    def shutdown_request(self, request: Any) -> None:
        with self._lock:
            self._open.discard(request)
        super().shutdown_request(request)

    def handle_error(self, request: Any, client_address: Any) -> None:
        """A client that went away is no news."""

    def server_close(self) -> None:
        with self._lock:
            for one in self._open:
                with suppress(OSError):
                    one.shutdown(socket.SHUT_RDWR)
        super().server_close()


class _HttpServer(_Server, HTTPServer):
    """HTTP with the same manners."""


class Sink:
    """A folder and a server in a thread, as a context manager. `port` 0: the system chooses."""

    SUFFIX: ClassVar[str]

    def __init__(self, folder: Path, port: int = 0) -> None:
        self.folder = folder
        self.port = port
        self._lock = threading.Lock()

    def __enter__(self) -> Self:
        self.folder.mkdir(parents=True, exist_ok=True)
        self._server = self._make_server()
        self.port = self._server.server_address[1]
        self._thread = threading.Thread(target=self._server.serve_forever, args=(0.05,))
        self._thread.start()
        return self

    def __exit__(self, *unused: object) -> None:
        self._server.shutdown()
        self._server.server_close()
        self._thread.join()

    @property
    def repeats(self) -> int:
        """How many came again under an id that was here already."""
        return len(list(self.folder.glob(f"*.repeat-*{self.SUFFIX}")))

    def files(self) -> list[Path]:
        """What was received, without repeats."""
        every = sorted(self.folder.glob(f"*{self.SUFFIX}"))
        return [path for path in every if ".repeat-" not in path.name]

    def _make_server(self) -> _Server:
        raise NotImplementedError

    def _keep(self, name: str, content: bytes) -> bool:
        """Store under `name`, a later copy as a repeat; False when the folder is full."""
        with self._lock:
            if len(list(self.folder.iterdir())) >= MAX_KEPT:
                return False
            path = self.folder / f"{name}{self.SUFFIX}"
            if path.exists():
                number = len(list(self.folder.glob(f"{name}.repeat-*"))) + 1
                path = self.folder / f"{name}.repeat-{number:04}{self.SUFFIX}"
            path.write_bytes(content)
            return True


class SmtpSink(Sink):
    """Takes any mail and keeps it as an .eml file, named by Message-ID and envelope.

    The same Message-ID to the same addresses again is a repeat and kept apart.
    """

    SUFFIX = ".eml"

    def messages(self) -> list[EmailMessage]:
        """The mails, without repeats."""
        contents = [path.read_bytes() for path in self.files()]
        return [email.message_from_bytes(one, policy=email.policy.SMTP) for one in contents]

    def take(self, sender: str, to: list[str], content: bytes) -> bool:
        """Keep one mail; False when the sink is full."""
        parsed = email.message_from_bytes(content, policy=email.policy.compat32)
        known_by = str(parsed.get("Message-ID", "")) or hashlib.sha256(content).hexdigest()
        causes = "\n".join([known_by.strip(), sender, *sorted(to)])
        return self._keep(hashlib.sha256(causes.encode("utf-8", "replace")).hexdigest(), content)

    def _make_server(self) -> _Server:
        handler = type("Handler", (_SmtpSession,), {"sink": self})
        return _Server((HOST, self.port), handler)


class _SmtpSession(socketserver.StreamRequestHandler):
    """One connection: EHLO, HELO, MAIL, RCPT, DATA, RSET, NOOP, QUIT."""

    sink: SmtpSink
    _sender: str | None
    _to: list[str]

    def handle(self) -> None:
        self._reset()
        self._say("220 localhost slopewatch mail sink")
        while (line := self._line()) is not None:
            verb, _, rest = line.decode("ascii", "replace").strip().partition(" ")
            if not self._obey(verb.upper(), rest.strip()):
                return

    def _obey(self, verb: str, rest: str) -> bool:
        """Answer one command; False ends the connection."""
        if verb == "DATA":
            return self._data()
        if verb in ("EHLO", "HELO", "RSET"):
            self._reset()
        if verb in ("MAIL", "RCPT"):
            self._say(self._envelope(verb, _PATH.fullmatch(rest)))
        elif verb == "EHLO":
            self._say(f"250-localhost\r\n250-SIZE {MAX_BYTES}\r\n250 8BITMIME")
        else:
            known = {"HELO": "250 ok", "RSET": "250 ok", "NOOP": "250 ok", "QUIT": "221 bye"}
            self._say(known.get(verb, "502 command not known"))
        return verb != "QUIT"

    def _envelope(self, verb: str, found: re.Match[str] | None) -> str:
        if found is None:
            return "501 write an address in angle brackets"
        if verb == "MAIL":
            self._sender, self._to = found[1], []
        elif self._sender is None:
            return "503 MAIL comes first"
        elif len(self._to) >= MAX_ADDRESSES:
            return "452 too many recipients"
        else:
            self._to.append(found[1])
        return "250 ok"

    def _data(self) -> bool:
        if self._sender is None or not self._to:
            self._say("503 MAIL and RCPT come first")
            return True
        self._say("354 end with a dot on a line of its own")
        content = bytearray()
        while (line := self._line()) != b".\r\n":
            if line is None:
                return False
            content += line.removeprefix(b".")
            if len(content) > MAX_BYTES:
                self._say("552 too large")
                return False
        kept = self.sink.take(self._sender, self._to, bytes(content))
        self._say("250 kept" if kept else "452 the sink is full")
        self._reset()
        return True

    def _reset(self) -> None:
        self._sender, self._to = None, []

    def _line(self) -> bytes | None:
        """A whole line; None when the client has gone or writes without end."""
        line = self.rfile.readline(MAX_LINE)
        return line if line.endswith(b"\n") else None

    def _say(self, text: str) -> None:
        self.wfile.write(text.encode("ascii") + b"\r\n")


class WebhookSink(Sink):
    """Takes signed posts and keeps each once as JSON, named by its Idempotency-Key.

    The same key with the same body again is a repeat; with another body a conflict, not kept.
    What is not signed with `secret`, or is no JSON object, is refused.
    """

    SUFFIX = ".json"

    def __init__(
        self, folder: Path, secret: str, port: int = 0, clock: Clock | None = None
    ) -> None:
        super().__init__(folder, port)
        self._secret = secret
        self._clock = clock or SystemClock()
        self.refused = 0
        self.conflicts = 0

    @property
    def url(self) -> str:
        """Where to post to."""
        return f"http://{HOST}:{self.port}/"

    def bodies(self) -> list[dict[str, Any]]:
        """The bodies, without repeats."""
        return [json.loads(path.read_bytes()) for path in self.files()]

    def take(self, key: str, signature: str, body: bytes) -> int:
        """Judge one post and keep it; the HTTP status to answer with."""
        signed = verify_signature(self._secret, signature, body, self._clock.now())
        if not (signed and _KEY.fullmatch(key) and _is_object(body)):
            self.refused += 1
            return 400 if signed else 401
        first = self.folder / f"{key}{self.SUFFIX}"
        if first.exists() and first.read_bytes() != body:
            self.conflicts += 1
            return 422
        return 200 if self._keep(key, body) else 507

    def _make_server(self) -> _Server:
        handler = type("Handler", (_PostHandler,), {"sink": self})
        return _HttpServer((HOST, self.port), handler)


class _PostHandler(BaseHTTPRequestHandler):
    timeout = IDLE_S
    sink: WebhookSink

    def do_POST(self) -> None:
        length = self.headers.get("Content-Length", "")
        if not re.fullmatch(r"[0-9]{1,12}", length):
            return self._answer(411)
        if int(length) > MAX_BYTES:
            return self._answer(413)
        body = self.rfile.read(int(length))
        key, signature = (self.headers.get(name, "") for name in (KEY_HEADER, SIGNATURE_HEADER))
        return self._answer(self.sink.take(key, signature, body))

    def _answer(self, status: int) -> None:
        self.send_response(status)
        self.send_header("Content-Length", "0")
        self.end_headers()

    def log_message(self, *unused: object) -> None:
        """The folder is the log."""


def _is_object(body: bytes) -> bool:
    try:
        return isinstance(json.loads(body), dict)
    except ValueError:
        return False
