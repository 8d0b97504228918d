"""The stand-in on the wire: a threaded HTTP server on this machine alone."""

from __future__ import annotations

import logging
import socket
import threading
from collections import Counter
from collections.abc import Iterable
from email.utils import format_datetime
from http import HTTPStatus
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer
from typing import Any
from urllib.parse import SplitResult, parse_qsl, unquote, urlsplit

from core.clock import Clock
from core.settings import Endpoints
from services.demo.standin.answers import Fields, RefusedError, Reply, Request, refusal
from services.demo.standin.desk import Desk
from services.demo.standin.site import StandInSite

HOST = "127.0.0.1"
MAX_BODY_BYTES = 1_000_000
MAX_FIELDS = 5000
IDLE_S = 60.0

_log = logging.getLogger(__name__)


class StandIn:
    """Stand-in for the outside services of `sites`, as of `clock`; a context manager.

    >>> with StandIn([site], clock) as outside:  # doctest: +SKIP
    ...     service = Service(endpoints=outside.endpoints)
    """

    def __init__(self, sites: Iterable[StandInSite], clock: Clock, *, port: int = 0) -> None:
        self._desk = Desk(sites, clock)
        self._clock = clock
        self._port = port
        self._server: _Server | None = None
        self._thread: threading.Thread | None = None
        self._lock = threading.Lock()
        self._counts: Counter[str] = Counter()
        self._failing: list[tuple[int, int, str | None]] = []

    def __enter__(self) -> StandIn:
        self.start()
        return self

    def __exit__(self, *exc: object) -> None:
        self.close()

    def start(self) -> None:
        """Listen; `OSError` where the port is taken."""
        if self._server is not None:
            raise RuntimeError("the stand-in runs already")
        self._server = _Server(self, self._port)
        self._thread = threading.Thread(
            target=self._server.serve_forever, args=(0.05,), name="stand-in", daemon=True
        )
        self._thread.start()

    def close(self) -> None:
        """Stop listening, end open connections and wait for their threads."""
        if self._server is None or self._thread is None:
            return
        self._server.shutdown()
        self._thread.join()
        self._server.end_connections()
        self._server.server_close()
        self._server = self._thread = None

    @property
    def base_url(self) -> str:
        """Where it listens, without a slash at the end."""
        if self._server is None:
            raise RuntimeError("the stand-in does not run")
        return f"http://{HOST}:{self._server.server_address[1]}"

    @property
    def endpoints(self) -> Endpoints:
        """The base addresses that turn a live service into one that polls the stand-in."""
        base = self.base_url
        return Endpoints(cmr=base, gsod=f"{base}/gsod", usgs=f"{base}/usgs/")

    def counts(self) -> dict[str, int]:
        """Requests so far by endpoint: cmr, gsod, usgs, displacement, points, other."""
        with self._lock:
            return {name: self._counts[name] for name in self._desk.endpoints}

    def fail_next(self, n: int, status: int, endpoint: str | None = None) -> None:
        """Answer the next `n` requests, of `endpoint` or of any, with an error `status`."""
        if not 400 <= status <= 599 or endpoint not in (None, *self._desk.endpoints):
            raise ValueError(f"cannot fail {endpoint or 'requests'} with {status}")
        with self._lock:
            self._failing += [(n, status, endpoint)] if n > 0 else []

    def date(self) -> str:
        """The clock's time as HTTP headers write it."""
        return format_datetime(self._clock.now(), usegmt=True)

    def answer(self, request: Request) -> Reply:
        """Count the request and answer it; whatever goes wrong becomes an error for the client."""
        endpoint = self._desk.endpoint(request.path)
        if (status := self._noted(endpoint)) is not None:
            return refusal(status, f"{HTTPStatus(status).phrase}, as ordered by the demo")
        try:
            return self._desk.answer(request)
        except RefusedError as refused:
            return refusal(refused.status, *refused.messages)
        except Exception as error:  # a client is told, whatever breaks here
            _log.error("%s cannot be answered: %r", request.path, error)
            return refusal(500, "An Internal Error has occurred.")

    def _noted(self, endpoint: str) -> int | None:
        """Count the request; the status it must fail with, if any."""
        with self._lock:
            self._counts[endpoint] += 1
            for place, (left, status, where) in enumerate(self._failing):
                if where in (None, endpoint):
                    rest = [(left - 1, status, where)] if left > 1 else []
                    self._failing[place : place + 1] = rest
                    return status
        return None


class _Server(ThreadingHTTPServer):
    """Knows its open connections, so that it can end them."""

    daemon_threads = False
    block_on_close = True
    request_queue_size = 128

    def __init__(self, stand_in: StandIn, port: int) -> None:
        self.stand_in = stand_in
        self._open: set[socket.socket] = set()
        self._open_lock = threading.Lock()
        super().__init__((HOST, port), _Handler)

    def process_request(self, request: Any, client_address: Any) -> None:
        with self._open_lock:
            self._open.add(request)
        super().process_request(request, client_address)

    def shutdown_request(self, request: Any) -> None:
        with self._open_lock:
            self._open.discard(request)
        super().shutdown_request(request)

    def end_connections(self) -> None:
        """Wake the threads that wait for a kept connection's next request."""
        with self._open_lock:
            for request in self._open:
                try:
                    request.shutdown(socket.SHUT_RDWR)
                except OSError:
                    _log.debug("a connection had ended already")

    def handle_error(self, request: Any, client_address: Any) -> None:
        _log.debug("a client broke off", exc_info=True)


class _Handler(BaseHTTPRequestHandler):
    """HTTP/1.1 with kept connections; a reply leaves in one piece."""

    server: _Server
    protocol_version = "HTTP/1.1"
    default_request_version = "HTTP/1.0"
    timeout = IDLE_S
    wbufsize = -1
    disable_nagle_algorithm = True

    def do_GET(self) -> None:
        self._handle()

    def do_HEAD(self) -> None:
        self._handle()

    def do_POST(self) -> None:
        self._handle()

    def _handle(self) -> None:
        try:
            parts = _parts(self.path)
            body = self._body()
            fields = _fields(parts.query) + _fields(body.decode("utf-8", errors="replace"))
        except RefusedError as refused:
            self.close_connection = True
            self._send(refusal(refused.status, *refused.messages))
            return
        headers = {name.lower(): value for name, value in self.headers.items()}
        request = Request(self.command, unquote(parts.path), fields, headers)
        self._send(self.server.stand_in.answer(request))

    def _body(self) -> bytes:
        if "Transfer-Encoding" in self.headers:
            raise RefusedError(411, "say the length of the body")
        length = self.headers.get("Content-Length", "0").strip()
        if not length.isascii() or not length.isdecimal():
            raise RefusedError(400, "the length of the body is no number")
        if len(length) > 9 or int(length) > MAX_BODY_BYTES:
            raise RefusedError(413, f"the body is over {MAX_BODY_BYTES} bytes")
        body = self.rfile.read(int(length))
        if len(body) < int(length):
            raise RefusedError(400, "the body is shorter than it says")
        return body

    def _send(self, reply: Reply) -> None:
        self.send_response(reply.status)
        self.send_header("Content-Type", reply.content_type)
        for name, value in reply.headers.items():
            self.send_header(name, value)
        if reply.status != HTTPStatus.NOT_MODIFIED:
            self.send_header("Content-Length", str(len(reply.body)))
        if self.close_connection:
            self.send_header("Connection", "close")
        self.end_headers()
        if getattr(self, "command", None) != "HEAD":
            self.wfile.write(reply.body)

    def send_error(self, code: int, message: str | None = None, explain: str | None = None) -> None:
        self.close_connection = True
        self._send(refusal(code, message or HTTPStatus(code).phrase))

    def date_time_string(self, timestamp: float | None = None) -> str:
        return self.server.stand_in.date()

    def version_string(self) -> str:
        return "slopewatch-stand-in"

    def log_message(self, format: str, *args: Any) -> None:
        _log.debug(format, *args)


def _parts(target: str) -> SplitResult:
    try:
        return urlsplit(target)
    except ValueError:
        raise RefusedError(400, "the address cannot be read") from None


def _fields(text: str) -> Fields:
    try:
        return parse_qsl(text, keep_blank_values=True, max_num_fields=MAX_FIELDS)
    except ValueError:
        raise RefusedError(400, f"more than {MAX_FIELDS} fields") from None
