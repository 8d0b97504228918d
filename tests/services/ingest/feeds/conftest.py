"""A site, and a small HTTP server on this machine that answers what a test tells it to."""

import json
import threading
from collections.abc import Callable, Iterator, Mapping
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer
from types import MappingProxyType
from typing import Any, NamedTuple
from urllib.parse import parse_qsl, urlsplit

import pytest

from core.artifacts import MemoryArtifacts
from core.settings import Site, parse_site
from services.ingest import http
from services.ingest.feed import Feed, Observation, Rejection


class Request(NamedTuple):
    method: str
    path: str
    fields: list[tuple[str, str]]
    headers: dict[str, str]


class Reply(NamedTuple):
    status: int = 200
    body: bytes = b""
    headers: Mapping[str, str] = MappingProxyType({})
    announce: int | None = None
    """Content-Length to claim where it is not the body's: a broken connection."""


class Server:
    """Answers each request with `answer(request)` and keeps the requests."""

    def __init__(self) -> None:
        self.requests: list[Request] = []
        self.answer: Callable[[Request], Reply] = lambda _: Reply(404)
        outer = self

        class Handler(BaseHTTPRequestHandler):
            def _serve(self) -> None:
                length = int(self.headers.get("Content-Length") or 0)
                parts = urlsplit(self.path)
                query = self.rfile.read(length).decode() or parts.query
                request = Request(
                    self.command, parts.path, parse_qsl(query), dict(self.headers.items())
                )
                outer.requests.append(request)
                reply = outer.answer(request)
                self.send_response(reply.status)
                self.send_header("Content-Length", str(reply.announce or len(reply.body)))
                for name, value in reply.headers.items():
                    self.send_header(name, value)
                self.end_headers()
                self.wfile.write(reply.body)

            do_GET = do_POST = _serve  # noqa: N815

            def log_message(self, *_: Any) -> None:
                pass

        self._http = ThreadingHTTPServer(("127.0.0.1", 0), Handler)
        self.url = f"http://127.0.0.1:{self._http.server_port}"
        self._thread = threading.Thread(target=self._http.serve_forever, args=(0.02,))
        self._thread.start()

    def close(self) -> None:
        self._http.shutdown()
        self._thread.join()
        self._http.server_close()

    def files(self, files: dict[str, bytes]) -> None:
        """Serve these bodies by path, 404 otherwise."""
        self.answer = lambda r: Reply(200, files[r.path]) if r.path in files else Reply(404)

    def catalogue(self, items: list[Any], page: int = 250) -> None:
        """Serve `items` as CMR does, `page` at a time, led by the CMR-Search-After header."""

        def answer(request: Request) -> Reply:
            begin = int(request.headers.get("CMR-Search-After", "0"))
            part = items[begin : begin + page]
            body = json.dumps({"hits": len(items), "took": 1, "items": part}).encode()
            headers = {"CMR-Search-After": str(begin + len(part))} if part else {}
            return Reply(200, body, headers)

        self.answer = answer


@pytest.fixture
def server() -> Iterator[Server]:
    server = Server()
    yield server
    server.close()


@pytest.fixture
def reply() -> type[Reply]:
    return Reply


@pytest.fixture(autouse=True)
def _no_waits(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(http, "FIRST_WAIT_S", 0.0)
    monkeypatch.setattr(http, "LONGEST_WAIT_S", 0.0)


@pytest.fixture
def site() -> Site:
    return parse_site(
        {
            "name": "here",
            "area": (-150.5, 63.5, -144.0, 66.0),
            "reference": {"scene_median": True},
            "slope_units": [{"id": "u1", "polygon": [(0, 0), (0, 1), (1, 1)]}],
        }
    )


Polled = tuple[list[Observation], list[Rejection]]


@pytest.fixture
def poll(site: Site) -> Callable[..., Polled]:
    def poll(feed: Feed, since: Any, until: Any) -> Polled:
        found = list(feed.poll(site, since, until, MemoryArtifacts()))
        observed = [x for x in found if isinstance(x, Observation)]
        assert [o.valid_time for o in observed] == sorted(o.valid_time for o in observed)
        return observed, [x for x in found if isinstance(x, Rejection)]

    return poll
