"""One way to get a bounded document over HTTP: tries, waits, limits and plain errors."""

from __future__ import annotations

import ipaddress
import threading
import time
from collections.abc import Mapping
from http.cookiejar import DefaultCookiePolicy
from urllib.parse import urlsplit

import requests
from tenacity import Retrying, retry_if_exception, stop_after_attempt, wait_random_exponential

from core.clock import SystemClock
from core.errors import BadInputError, SettingsError, UnavailableError
from core.retry_after import wait_asked_for

MAX_BYTES = 64 << 20
ATTEMPTS = 3
FIRST_WAIT_S = 1.0
LONGEST_WAIT_S = 8.0
CONNECT_TIMEOUT_S = 10.0
READ_TIMEOUT_S = 60.0
WHOLE_TIMEOUT_S = 300.0
USER_AGENT = "slopewatch"
_CHUNK = 1 << 16
_BUSY = (408, 425, 429)
_ours = threading.local()


class MissingError(BadInputError):
    """The service answered that it has no such document (404 or 410)."""


def get(url: str, parameters: Mapping[str, str] | None = None) -> bytes:
    """The document at `url`, decoded from its transfer coding, at most `MAX_BYTES` long.

    Broken connections, time-outs, 5xx, 408 and 429 are tried `ATTEMPTS` times, then raise
    `UnavailableError`; with Retry-After at once, carrying the wait. 404 and 410 raise
    `MissingError`, other 4xx `SettingsError`, too long a document `BadInputError`.
    """
    return _retrying()(_get_once, _session(url), url, parameters)


def _session(url: str) -> requests.Session:
    """This thread's session for outside or for this machine; it keeps connections, no cookies."""
    loopback = is_loopback(url)
    if not hasattr(_ours, "sessions"):
        _ours.sessions = {}
    sessions: dict[bool, requests.Session] = _ours.sessions
    if loopback not in sessions:
        session = requests.Session()
        session.headers["User-Agent"] = USER_AGENT
        session.max_redirects = 5
        session.trust_env = not loopback
        session.cookies.set_policy(DefaultCookiePolicy(allowed_domains=()))
        sessions[loopback] = session
    return sessions[loopback]


def _retrying() -> Retrying:
    return Retrying(
        retry=retry_if_exception(
            lambda e: isinstance(e, UnavailableError) and e.retry_after is None
        ),
        wait=wait_random_exponential(FIRST_WAIT_S, LONGEST_WAIT_S),
        stop=stop_after_attempt(ATTEMPTS),
        reraise=True,
    )


def _get_once(session: requests.Session, url: str, parameters: Mapping[str, str] | None) -> bytes:
    try:
        with session.get(
            url,
            params=parameters,
            stream=True,
            timeout=(CONNECT_TIMEOUT_S, READ_TIMEOUT_S),
        ) as answer:
            check_status(answer, shown(url))
            return _body(answer, shown(url))
    except (requests.ConnectionError, requests.Timeout, requests.exceptions.ChunkedEncodingError):
        # The library's own text may repeat the whole address, with keys in it.
        raise UnavailableError(f"{shown(url)} does not answer or broke off") from None
    except requests.RequestException as error:
        reason = type(error).__name__
        raise SettingsError(f"{shown(url)} cannot be asked ({reason}): check it") from None


def check_status(answer: requests.Response, where: str) -> None:
    """Raise what the status of `answer` means; nothing for 2xx."""
    status = answer.status_code
    if 200 <= status < 300:
        return
    if status >= 500 or status in _BUSY:
        raise UnavailableError(
            f"{where} answers {status}: it is out of order or busy just now",
            retry_after=wait_asked_for(answer.headers.get("Retry-After"), SystemClock().now()),
        )
    if status in (404, 410):
        raise MissingError(f"{where} answers {status}: it has no such document")
    raise SettingsError(f"{where} refuses with {status}: check address, ids and credentials")


def shown(url: str) -> str:
    """`url` without what may be secret: user, password, query."""
    parts = urlsplit(url)
    host = parts.netloc.rpartition("@")[2]
    return f"{parts.scheme}://{host}{parts.path}"


def is_loopback(url: str) -> bool:
    """Whether `url` stays on this machine, where no proxy may be asked."""
    host = urlsplit(url).hostname or ""
    try:
        return host == "localhost" or ipaddress.ip_address(host).is_loopback
    except ValueError:
        return False


def _body(answer: requests.Response, where: str) -> bytes:
    """The decoded body; the bound counts unpacked bytes, and a trickle has an end."""
    started = time.monotonic()
    content = bytearray()
    for chunk in answer.iter_content(_CHUNK):
        content += chunk
        if len(content) > MAX_BYTES:
            raise BadInputError(f"{where} sends over {MAX_BYTES >> 20} MiB: that is no such table")
        if time.monotonic() - started > WHOLE_TIMEOUT_S:
            raise UnavailableError(f"{where} sends too slowly")
    return bytes(content)
