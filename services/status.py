"""The little HTTP server of every service: /metrics, /healthz, /readyz, and the page.

It changes nothing and listens on 127.0.0.1 unless told otherwise.
"""

from __future__ import annotations

import threading
from collections.abc import Callable
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer
from types import TracebackType

import structlog
from prometheus_client import CONTENT_TYPE_LATEST, generate_latest

from core.errors import SlopewatchError, UnavailableError
from core.telemetry import Telemetry

Answer = tuple[int, str, bytes]
SLOWEST_CLIENT_S = 30.0


class StatusServer:
    """Serves until closed. `ready` says what is missing, empty when all is well."""

    def __init__(
        self,
        host: str,
        port: int,
        telemetry: Telemetry,
        ready: Callable[[], list[str]],
        page: Callable[[], str] | None = None,
    ) -> None:
        self._telemetry = telemetry
        self._ready = ready
        self._page = page
        answer = self._answer

        class Handler(BaseHTTPRequestHandler):
            timeout = SLOWEST_CLIENT_S

            def do_GET(self) -> None:
                code, kind, body = answer(self.path.partition("?")[0])
                self.send_response(code)
                self.send_header("Content-Type", kind)
                self.send_header("Content-Length", str(len(body)))
                self.send_header("X-Content-Type-Options", "nosniff")
                self.end_headers()
                self.wfile.write(body)

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

    def _answer(self, path: str) -> Answer:
        text = "text/plain; charset=utf-8"
        if path == "/metrics":
            return 200, CONTENT_TYPE_LATEST, generate_latest(self._telemetry.registry)
        if path == "/healthz":
            return 200, text, b"ok\n"
        if path == "/readyz":
            missing = self._ready()
            return (503 if missing else 200), text, ("\n".join(missing) or "ready").encode()
        if path == "/" and self._page is not None:
            try:
                return 200, "text/html; charset=utf-8", self._page().encode()
            except SlopewatchError as error:
                return 503, text, str(error).encode()
            except Exception as error:
                # Its text may hold anything; the log has the whole of it.
                structlog.get_logger().exception("page broken")
                return 500, text, f"the page broke: {type(error).__name__}\n".encode()
        return 404, text, b"here are /metrics, /healthz, /readyz and /\n"

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
