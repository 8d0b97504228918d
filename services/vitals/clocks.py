"""This machine's clock against those of servers of the settings, as their answers are dated.

Signatures, and all times in the records, depend on the clock.
"""

from __future__ import annotations

from collections.abc import Iterator
from datetime import UTC, datetime, timedelta
from email.utils import parsedate_to_datetime
from typing import TYPE_CHECKING, Final, NamedTuple

import requests

from core.figures import Figure
from services.ingest import http
from services.vitals.look import Fault
from services.vitals.servers import web_servers

if TYPE_CHECKING:
    from services.compose import Slopewatch
    from services.vitals.sites import Sites

TIMEOUT_S: Final = (3.0, 5.0)
HALF_A_SECOND: Final = timedelta(seconds=0.5)
"""A date in an answer has no fraction: on the average half a second was cut off."""


class Answer(NamedTuple):
    """What a server said at all; `skew_s`: this clock minus its own, None where it says no date."""

    status: int
    skew_s: float | None


class ClockSkew:
    """Against every web server that the settings name and slopewatch asks anyway."""

    name = "clock"
    every_s = 3600.0
    lasting = False

    def __init__(self, app: Slopewatch, sites: Sites) -> None:
        self._app = app
        self._sites = sites

    def look(self) -> Iterator[Figure | Fault]:
        """See `Look.look`. A server out of reach is no fault as long as another one says."""
        faults, known = [], False
        for name, url in web_servers(self._app.service, self._sites.watched()).items():
            answer = ask(url)
            if isinstance(answer, str):
                faults.append(Fault(answer))
            elif answer.skew_s is not None:
                known = True
                yield Figure(self._app.telemetry.clock_skew, (name,), answer.skew_s)
        if not known:
            yield from faults


def ask(url: str) -> Answer | str:
    """What the server at `url` answers, or a sentence why it does not; its body is not read."""
    try:
        with requests.Session() as session:
            session.trust_env = not http.is_loopback(url)
            session.headers["User-Agent"] = http.USER_AGENT
            asked_at = datetime.now(UTC)
            # HEAD is refused by some, and the body of a GET need not be read.
            with session.get(url, stream=True, timeout=TIMEOUT_S, allow_redirects=False) as answer:
                middle = asked_at + (datetime.now(UTC) - asked_at) / 2
                return Answer(answer.status_code, _skew_s(answer.headers.get("Date"), middle))
    except requests.exceptions.SSLError:
        return f"{http.shown(url)} has no certificate that is trusted"
    except requests.Timeout:
        return f"{http.shown(url)} does not answer in time"
    except requests.RequestException as error:
        return f"{http.shown(url)} is out of reach ({type(error).__name__})"


def _skew_s(dated: str | None, here: datetime) -> float | None:
    try:
        there = parsedate_to_datetime(dated or "")
    except ValueError:
        return None
    there = there if there.tzinfo else there.replace(tzinfo=UTC)
    return (here - there - HALF_A_SECOND).total_seconds()
