"""The world outside: clocks of others, endpoints, the mail server. Nothing is sent or asked for."""

from __future__ import annotations

import smtplib
import ssl
from collections.abc import Iterator
from datetime import UTC, datetime
from email.utils import parsedate_to_datetime
from typing import NamedTuple

import requests

from core.errors import SettingsError
from core.settings import Service, Smtp
from services.commands._findings import Finding
from services.ingest import http

TIMEOUT_S = (3.0, 5.0)
SMTP_TIMEOUT_S = 5.0
WRONG_CLOCK_S = 300.0
SLOW_CLOCK_S = 30.0


class _Answer(NamedTuple):
    """What an endpoint said at all."""

    status: int
    date: str | None
    asked_at: datetime


def outside_findings(service: Service, *, mail: bool) -> Iterator[Finding]:
    """Endpoints, this clock against theirs and, where `mail` is used, the mail server."""
    others: list[_Answer] = []
    for name, url in service.endpoints:
        answer = _ask(url)
        if isinstance(answer, str):
            advice = "its feeds wait and try again; check network, proxy and address"
            yield Finding(f"endpoint {name}", "warning", answer, advice)
            continue
        others.append(answer)
        told = f"{http.shown(url)} answers {answer.status}"
        if answer.status >= 500:
            yield Finding(f"endpoint {name}", "warning", told, "it is out of order: look later")
        else:
            yield Finding(f"endpoint {name}", "ok", told)
    yield from _clock(others)
    if mail:
        yield _smtp(service.smtp)


def _ask(url: str) -> _Answer | str:
    try:
        with requests.Session() as session:
            session.trust_env = not http.is_loopback(url)
            session.headers["User-Agent"] = http.USER_AGENT
            asked_at = datetime.now(UTC)
            # HEAD is refused by some, and the body of a GET need not be read.
            with session.get(url, stream=True, timeout=TIMEOUT_S, allow_redirects=False) as answer:
                return _Answer(answer.status_code, answer.headers.get("Date"), asked_at)
    except requests.exceptions.SSLError:
        return f"{http.shown(url)} has no certificate that is trusted"
    except requests.Timeout:
        return f"{http.shown(url)} does not answer in time"
    except requests.RequestException as error:
        return f"{http.shown(url)} is out of reach ({type(error).__name__})"


def _clock(others: list[_Answer]) -> Iterator[Finding]:
    """The median of several is right even if one of them is wrong."""
    off = sorted(seconds for one in others if (seconds := _behind(one)) is not None)
    if not off:
        return
    seconds = off[len(off) // 2]
    told = f"this clock is {abs(seconds):.0f} s {'behind' if seconds > 0 else 'ahead of'} others"
    if abs(seconds) >= SLOW_CLOCK_S:
        wrong = abs(seconds) >= WRONG_CLOCK_S
        advice = "set the clock (NTP): signatures and times in records depend on it"
        yield Finding("clock, others", "problem" if wrong else "warning", told, advice)
    else:
        yield Finding("clock, others", "ok", told)


def _behind(answer: _Answer) -> float | None:
    try:
        date = parsedate_to_datetime(answer.date or "")
    except ValueError:
        return None
    date = date if date.tzinfo else date.replace(tzinfo=UTC)
    return (date - answer.asked_at).total_seconds()


def _smtp(smtp: Smtp) -> Finding:
    place = f"{smtp.host}:{smtp.port}"
    try:
        return Finding("mail server", "ok", f"{place} {_greeted(smtp)}; no mail was sent")
    except _NoTlsError:
        told = f"{place} does not offer STARTTLS, so it gets nothing"
        return Finding("mail server", "problem", told, "set smtp.security to what it offers")
    except ssl.SSLCertVerificationError:
        told = f"{place} has no certificate that is trusted"
        return Finding("mail server", "problem", told, "have it renewed, or set smtp.host right")
    except ssl.SSLError:
        told = f"{place} does not speak TLS as asked"
        return Finding("mail server", "problem", told, "set smtp.security: starttls is for 587")
    except smtplib.SMTPAuthenticationError as error:
        told = f"{place} does not accept the login ({error.smtp_code})"
        return Finding("mail server", "problem", told, "check smtp.user and the password")
    except SettingsError as error:
        return Finding("mail server", "warning", str(error), "set it, then look again")
    except (smtplib.SMTPException, OSError) as error:
        told = f"{place} does not answer as a mail server ({type(error).__name__})"
        return Finding("mail server", "problem", told, "check smtp.host, smtp.port and firewall")


class _NoTlsError(Exception):
    """STARTTLS is wanted and not offered."""


def _greeted(smtp: Smtp) -> str:
    """Greet, encrypt, log in as for a mail, and leave."""
    from services.alerting.notifier import is_loopback, required_secret

    timeout = min(smtp.timeout_s, SMTP_TIMEOUT_S)
    context = ssl.create_default_context()
    server = (
        smtplib.SMTP_SSL(smtp.host, smtp.port, timeout=timeout, context=context)
        if smtp.security == "tls"
        else smtplib.SMTP(smtp.host, smtp.port, timeout=timeout)
    )
    try:
        server.ehlo_or_helo_if_needed()
        if smtp.security == "starttls":
            if not server.has_extn("starttls"):
                raise _NoTlsError
            server.starttls(context=context)
            server.ehlo()
        told = "answers" if smtp.security == "none" else "answers with TLS"
        if smtp.user is None:
            return told
        if smtp.security == "none" and not is_loopback(smtp.host):
            raise SettingsError("smtp.security none would send the password for all to read")
        server.login(smtp.user, required_secret(smtp.password_env))
        return f"{told}, the login is accepted"
    finally:
        server.close()
