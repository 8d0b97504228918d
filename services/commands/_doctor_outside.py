"""The world outside: endpoints, clocks of others, certificates, the mail server.

Nothing is sent or asked for.
"""

from __future__ import annotations

import smtplib
import ssl
from collections.abc import Iterator, Sequence

from core.errors import SettingsError, UnavailableError
from core.settings import Service, Site, Smtp
from services.commands._findings import Finding, valid_until
from services.ingest import http
from services.vitals.certificates import expiry_of
from services.vitals.clocks import ask
from services.vitals.look import Fault
from services.vitals.servers import tls_servers, web_servers

SMTP_TIMEOUT_S = 5.0
WRONG_CLOCK_S = 300.0
SLOW_CLOCK_S = 30.0


def outside_findings(service: Service, sites: Sequence[Site]) -> Iterator[Finding]:
    """Endpoints, this clock against theirs, certificates and, where mail is used, its server."""
    skews: list[float] = []
    away: set[str] = set()
    for name, url in {**dict(service.endpoints), **web_servers(service, sites)}.items():
        answer = ask(url)
        if isinstance(answer, str):
            away.add(name)
            advice = "whoever asks it waits and tries again; check network, proxy and address"
            yield Finding(f"endpoint {name}", "warning", answer, advice)
            continue
        skews += [] if answer.skew_s is None else [answer.skew_s]
        told = f"{http.shown(url)} answers {answer.status}"
        if answer.status >= 500:
            yield Finding(f"endpoint {name}", "warning", told, "it is out of order: look later")
        else:
            yield Finding(f"endpoint {name}", "ok", told)
    yield from _clock(skews)
    yield from _certificates(service, sites, away)
    if any(r.notifier.kind == "email" for site in sites for r in site.recipients):
        yield _smtp(service.smtp)


def _clock(skews: list[float]) -> Iterator[Finding]:
    """The median of several is right even if one of them is wrong."""
    if not skews:
        return
    skew_s = sorted(skews)[len(skews) // 2]
    told = f"this clock is {abs(skew_s):.0f} s {'behind' if skew_s < 0 else 'ahead of'} others"
    if abs(skew_s) >= SLOW_CLOCK_S:
        wrong = abs(skew_s) >= WRONG_CLOCK_S
        advice = "set the clock (NTP): signatures and times in records depend on it"
        yield Finding("clock, others", "problem" if wrong else "warning", told, advice)
    else:
        yield Finding("clock, others", "ok", told)


def _certificates(service: Service, sites: Sequence[Site], away: set[str]) -> Iterator[Finding]:
    """Whether certificates are trusted and for how long; what is away was told already."""
    for server in tls_servers(service, sites):
        if isinstance(server, Fault):
            yield Finding("certificate", "problem", server.sentence, "mend what this says")
            continue
        if server.name in away:
            continue
        what = f"certificate of {server.name}"
        try:
            until = expiry_of(server)
        except UnavailableError as error:
            yield Finding(what, "problem", str(error), "mend it, or set the address right")
        else:
            yield valid_until(what, until, "have it renewed")


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
