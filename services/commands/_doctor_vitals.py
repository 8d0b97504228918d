"""How it goes: whether feeds answer, days are closed, somebody watches, and tokens last."""

from __future__ import annotations

import fcntl
import os
from collections.abc import Iterator, Sequence
from datetime import UTC, datetime, timedelta
from pathlib import Path
from urllib.parse import unquote, urlsplit

from core.errors import SlopewatchError
from core.notes import open_notes
from core.settings import Service, Site, secret
from core.watchdog import LOCK_NAME, Heartbeats, folder_in
from services.commands._findings import Finding, valid_until
from services.ingest.memory import Memory
from services.vitals.feeds import FeedAge, feed_ages
from services.vitals.named import fault_of_secret, secrets_named
from services.vitals.tokens import expiry_of

WATCHDOG_ADVICE = "start `slopewatch run watchdog`, or see that one runs elsewhere"
TOKEN_ADVICE = "get a new one where this one came from, and set it"


def vital_findings(service: Service, sites: Sequence[Site], *, network: bool) -> Iterator[Finding]:
    """What only shows in a slopewatch that has run; without `network` no bucket is asked."""
    yield from _tokens(service, sites)
    watched = [site for site in sites if not site.retired]
    if not _has_memory(str(service.memory), network=network):
        return
    try:
        yield from _feeds(service, watched)
        yield from _heartbeats(service, watched)
    except SlopewatchError:  # what is wrong with the memory is told of the memory
        return


def _has_memory(url: str, *, network: bool) -> bool:
    """Whether there are notes that may be looked at; a folder is not made."""
    parts = urlsplit(url)
    return (
        network
        if parts.scheme == "s3"
        else parts.scheme == "file" and Path(unquote(parts.path)).is_dir()
    )


def _tokens(service: Service, sites: Sequence[Site]) -> Iterator[Finding]:
    for name in secrets_named(service, sites):
        until = None if fault_of_secret(name) else expiry_of(secret(name) or "")
        if until is not None:
            yield valid_until(f"token {name}", until, TOKEN_ADVICE)


def _feeds(service: Service, sites: Sequence[Site]) -> Iterator[Finding]:
    """One finding a site; nothing of one that was never asked."""
    now = datetime.now(UTC)
    memory = Memory(open_notes(str(service.memory)))
    for site in sites:
        ages = list(feed_ages(memory, service, [site]))
        if all(one.answered is None for one in ages):
            continue
        stale = [one for one in ages if one.answered is None or _is_stale(one, now)]
        what = f"feeds {site.name}"
        if stale:
            told = "; ".join(_told(one) for one in stale)
            advice = "the log of whoever asks says why: `slopewatch run ingest`, or Airflow"
            yield Finding(what, "problem", told, advice)
        else:
            yield Finding(what, "ok", f"{len(ages)} answered lately")


def _is_stale(one: FeedAge, now: datetime) -> bool:
    return one.answered is not None and now - one.answered > one.stale_after


def _told(one: FeedAge) -> str:
    if one.answered is None:
        return f"{one.label} has never answered"
    return f"{one.label} last answered on {one.answered:%Y-%m-%d %H:%M} UTC"


def _heartbeats(service: Service, sites: Sequence[Site]) -> Iterator[Finding]:
    """Whether closed days reach alerting; nothing of a site of which none did."""
    beats, now = Heartbeats(str(service.memory)), datetime.now(UTC)
    heard = False
    for site in sites:
        beat, fault, _ = beats.read(site.name)
        what = f"days {site.name}"
        if fault is not None:
            yield Finding(what, "problem", fault, "remove the note: the next closed day mends it")
        if beat is None:
            continue
        heard = True
        told = f"{beat.day} was closed on {beat.at:%Y-%m-%d %H:%M} UTC"
        if now - beat.at > timedelta(hours=service.watchdog_hours):
            advice = "see that ingest closes days, and that inference and alerting run"
            yield Finding(what, "problem", f"the last day that reached alerting, {told}", advice)
        else:
            yield Finding(what, "ok", told)
    if heard:
        yield _watchdog(service)


def _watchdog(service: Service) -> Finding:
    """Whether a watchdog holds the lock of this data folder."""
    try:
        file = os.open(folder_in(service.data) / LOCK_NAME, os.O_RDONLY | os.O_CLOEXEC)
    except OSError:
        told = "none has watched with this data folder"
        return Finding(
            "watchdog",
            "warning",
            told,
            "start `slopewatch run watchdog`, or see that one runs elsewhere",
        )
    try:
        fcntl.flock(file, fcntl.LOCK_SH | fcntl.LOCK_NB)
    except BlockingIOError:
        holder = os.pread(file, 100, 0).decode(errors="replace")
        return Finding("watchdog", "ok", f"it watches as {holder}")
    finally:
        os.close(file)
    told = "it does not run here"
    return Finding(
        "watchdog",
        "warning",
        told,
        "start `slopewatch run watchdog`, or see that one runs elsewhere",
    )
