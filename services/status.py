"""The little HTTP server of every service: /metrics, /healthz, /readyz, the page, and CAP at /cap/.

It changes nothing and listens on 127.0.0.1 unless told otherwise. Of the folder with CAP messages
only the feed and messages that are public are served, by their plain names.
"""

from __future__ import annotations

import hashlib
import os
import re
import stat
import threading
from collections.abc import Callable, Mapping
from email.message import Message
from email.utils import formatdate, parsedate_to_datetime
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer
from pathlib import Path
from types import TracebackType
from typing import Final, NamedTuple

import structlog
from prometheus_client import CONTENT_TYPE_LATEST, generate_latest

from core.errors import SlopewatchError, UnavailableError
from core.telemetry import Telemetry

SLOWEST_CLIENT_S = 30.0
CAP_PATH: Final = "/cap/"

_TEXT: Final = "text/plain; charset=utf-8"
_FEED: Final = "feed.xml"
_PUBLIC: Final = b"<scope>Public</scope>"
_CAP_NAME = re.compile(r"[A-Za-z0-9_-][A-Za-z0-9._-]{0,250}\.xml")


class Answer(NamedTuple):
    """What is sent back."""

    code: int
    kind: str
    body: bytes
    headers: Mapping[str, str] = {}


class StatusServer:
    """Serves until closed. `ready` says what is missing and `hung` what stands still, empty when
    all is well.
    """

    def __init__(
        self,
        host: str,
        port: int,
        telemetry: Telemetry,
        ready: Callable[[], list[str]],
        page: Callable[[], str] | None = None,
        cap_folder: Path | None = None,
        hung: Callable[[], list[str]] = list,
    ) -> None:
        self._telemetry = telemetry
        self._ready = ready
        self._page = page
        self._cap_folder = cap_folder
        self._hung = hung
        answer = self._answer

        class Handler(BaseHTTPRequestHandler):
            timeout = SLOWEST_CLIENT_S

            def do_GET(self) -> None:
                found = answer(self.path.partition("?")[0], self.headers)
                self.send_response(found.code)
                self.send_header("Content-Type", found.kind)
                if found.code != 304:
                    self.send_header("Content-Length", str(len(found.body)))
                self.send_header("X-Content-Type-Options", "nosniff")
                for name, value in found.headers.items():
                    self.send_header(name, value)
                self.end_headers()
                self.wfile.write(found.body)

            def log_message(self, *_: object) -> None:
                pass

        try:
            self._server = ThreadingHTTPServer((host, port), Handler)
        except OSError as error:
            raise UnavailableError(
                f"cannot listen on {host}:{port} ({error.strerror}): set metrics_port to a free one"
            ) from error
        self._server.daemon_threads = True
        self._thread = threading.Thread(target=self._server.serve_forever, daemon=True)
        self._thread.start()

    @property
    def url(self) -> str:
        """Where it listens."""
        host, port = self._server.server_address[:2]
        return f"http://{host!s}:{port}"

    def _answer(self, path: str, headers: Message) -> Answer:
        if path == "/metrics":
            return Answer(200, CONTENT_TYPE_LATEST, generate_latest(self._telemetry.registry))
        if path == "/healthz":
            hung = self._hung()
            return Answer(503 if hung else 200, _TEXT, ("\n".join(hung) or "ok\n").encode())
        if path == "/readyz":
            missing = self._ready()
            return Answer(503 if missing else 200, _TEXT, ("\n".join(missing) or "ready").encode())
        if path == "/" and self._page is not None:
            return _page(self._page)
        if path.startswith(CAP_PATH) and self._cap_folder is not None:
            return _cap(self._cap_folder, path.removeprefix(CAP_PATH) or _FEED, headers)
        return Answer(404, _TEXT, b"here are /metrics, /healthz, /readyz and /\n")

    def close(self) -> None:
        """Stop serving."""
        self._server.shutdown()
        self._server.server_close()
        self._thread.join()

    def __enter__(self) -> StatusServer:
        return self

    def __exit__(
        self,
        kind: type[BaseException] | None,
        error: BaseException | None,
        trace: TracebackType | None,
    ) -> None:
        self.close()


def _page(make: Callable[[], str]) -> Answer:
    try:
        return Answer(200, "text/html; charset=utf-8", make().encode())
    except SlopewatchError as error:
        return Answer(503, _TEXT, str(error).encode())
    except Exception as error:
        # Its text may hold anything; the log has the whole of it.
        structlog.get_logger().exception("page broken")
        return Answer(500, _TEXT, f"the page broke: {type(error).__name__}\n".encode())


def _cap(folder: Path, name: str, headers: Message) -> Answer:
    """A file of the folder `folder`, or 304 when the client has it already."""
    found = _read(folder / name) if _CAP_NAME.fullmatch(name) else None
    if found is None or (name != _FEED and _PUBLIC not in found[0]):
        return Answer(404, _TEXT, b"no such CAP message is published here\n")
    content, changed_s = found
    kind = "application/atom+xml" if name == _FEED else "application/cap+xml"
    tag = f'"{hashlib.sha256(content).hexdigest()[:32]}"'
    validators = {
        "ETag": tag,
        "Last-Modified": formatdate(changed_s, usegmt=True),
        "Cache-Control": "no-cache",
    }
    if _is_known(headers, tag, changed_s):
        return Answer(304, kind, b"", validators)
    return Answer(200, kind, content, validators)


def _read(path: Path) -> tuple[bytes, int] | None:
    """Content of a plain file and when it was changed (unix seconds); None where there is none."""
    try:
        handle = os.open(path, os.O_RDONLY | os.O_NOFOLLOW | os.O_NONBLOCK)
    except OSError:
        return None
    state = os.fstat(handle)
    if not stat.S_ISREG(state.st_mode):
        os.close(handle)
        return None
    with os.fdopen(handle, "rb") as file:
        return file.read(), int(state.st_mtime)


def _is_known(headers: Message, tag: str, changed_s: int) -> bool:
    """Whether the client said that it has this version; a tag counts more than a date."""
    tags = headers.get("If-None-Match")
    if tags is not None:
        return tags.strip() == "*" or tag in (t.strip().removeprefix("W/") for t in tags.split(","))
    try:
        since = parsedate_to_datetime(headers.get("If-Modified-Since", ""))
        return changed_s <= since.timestamp()
    except (TypeError, ValueError):
        return False
