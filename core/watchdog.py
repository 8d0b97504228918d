"""The watchdog says when the pipeline itself is silent; it needs neither broker nor ledger.

Alerting leaves a small note a site in the memory, `heartbeat/<site>`, whenever a closed day reaches
it, so that the watchdog may live on another machine (`Heartbeats`). The watchdog reads these by
the wall clock. Silence is not safety: while a site is silent nobody is warned, whatever the slope
does.
"""

from __future__ import annotations

import fcntl
import os
import re
import tempfile
import threading
from collections.abc import Callable, Iterable, Iterator
from contextlib import ExitStack, contextmanager
from datetime import date, datetime, timedelta
from pathlib import Path
from typing import Final, NamedTuple

import msgspec
import structlog
from msgspec.structs import replace

from core.clock import Clock
from core.errors import SettingsError, SlopewatchError, UnavailableError
from core.notes import Notes, open_notes

REPEAT_AFTER: Final = timedelta(hours=24)
MEMORY_NAME: Final = "watchdog.memory"
LOCK_NAME: Final = "watchdog.lock"
_MAX_BYTES: Final = 1 << 20
_SITE = re.compile(r"[A-Za-z0-9_-]{1,64}")

Notify = Callable[[str, str, bool], None]
"""(site, sentence, heard again): tells operations and recipients, outside the ledger."""


class Heartbeat(msgspec.Struct, frozen=True, kw_only=True):
    """The last closed day that reached alerting, and when by the wall clock."""

    site: str
    day: date
    at: datetime


class _Memory(msgspec.Struct, frozen=True, kw_only=True):
    """What the watchdog knows of a site: its last beat and since when it waits for another.

    `told_at`: when it told that the site is silent; `told_of`: the last beat it knew then.
    """

    beat_at: datetime | None
    since: datetime
    told_at: datetime | None = None
    told_of: datetime | None = None


class _Reading(NamedTuple):
    """A site's heartbeat. `fault`: why it counts as none; `away`: it may only be out of reach."""

    beat: Heartbeat | None = None
    fault: str | None = None
    away: bool = False


class Heartbeats:
    """The heartbeats in the memory at `url`; nothing is opened before the first one.

    A memory on this machine that cannot be read is a fault at once, one elsewhere may be out of
    reach for a while.
    """

    def __init__(self, url: str) -> None:
        self._url = url
        self._local = not url.startswith("s3://")
        self._notes: Notes | None = None

    def beat(self, site: str, day: date, now: datetime) -> None:
        """Note that the closed `day` of `site` reached alerting at `now` (wall clock, aware).

        Raises `UnavailableError` when the memory is out of reach.
        """
        name = _named(site)
        self._opened().put(name, msgspec.json.encode(Heartbeat(site=site, day=day, at=now)))

    def last(self, site: str) -> date | None:
        """The closed day that the heartbeat of `site` speaks of; None where none can be read."""
        beat = self.read(site).beat
        return beat.day if beat else None

    def read(self, site: str) -> _Reading:
        """The heartbeat of `site` as it stands now, or why it cannot be read.

        Raises `SettingsError` for a memory of which nobody knows what it is.
        """
        name = _named(site)
        try:
            content = self._opened().get(name)
        except UnavailableError:
            if self._local:
                return _Reading(fault="its heartbeat is damaged or cannot be read")
            return _Reading(away=True)
        if content is None:
            return _Reading()
        try:
            found = msgspec.json.decode(_bounded(content), type=Heartbeat)
        except (msgspec.MsgspecError, UnicodeDecodeError):
            return _Reading(fault="its heartbeat is damaged or cannot be read")
        if found.site != site or found.at.tzinfo is None:
            return _Reading(fault="its heartbeat is damaged or of another site")
        return _Reading(found)

    def _opened(self) -> Notes:
        if self._notes is None:
            self._notes = open_notes(self._url)
        return self._notes


def folder_in(data: Path) -> Path:
    """Where the watchdog keeps its lock and whom it told, under the service's data folder."""
    return data / "heartbeat"


@contextmanager
def watching_alone(folder: Path, site: str | None = None) -> Iterator[str | None]:
    """Hold the watch over `folder`, or over one `site` of it; gives None, else who holds it.

    Two that watch would tell everything twice. The kernel frees the lock when its holder dies,
    however it dies; what is in the file is only there to be read.
    """
    name = f"watchdog.{_checked(site)}.lock" if site else LOCK_NAME
    with ExitStack() as stack:
        try:
            folder.mkdir(parents=True, exist_ok=True)
            file = os.open(folder / name, os.O_RDWR | os.O_CREAT | os.O_CLOEXEC, 0o644)
            stack.callback(os.close, file)
            fcntl.flock(file, fcntl.LOCK_EX | fcntl.LOCK_NB)
            os.ftruncate(file, 0)
            os.pwrite(file, f"pid {os.getpid()}".encode(), 0)
        except BlockingIOError:
            yield os.pread(file, 100, 0).decode(errors="replace") or "pid unknown"
            return
        except OSError as error:
            # To tell twice is better than not to watch.
            structlog.get_logger().error("watchdog cannot lock", reason=error.strerror)
        yield None


class Watchdog:
    """Watches the heartbeats of `sites`; silent for longer than `limit_hours` means: tell.

    Whom it told it remembers in `folder`. `silent` are the sites that were at the last check,
    `away` whether their heartbeats were out of reach then.
    """

    def __init__(
        self,
        folder: Path,
        beats: Heartbeats,
        sites: Iterable[str],
        limit_hours: float,
        notify: Notify,
        clock: Clock,
    ) -> None:
        self.silent: frozenset[str] = frozenset()
        self.away = False
        self._folder = folder
        self._beats = beats
        self._sites = [_checked(site) for site in sites]
        self._limit = timedelta(hours=limit_hours)
        self._notify = notify
        self._clock = clock
        self._logger = structlog.get_logger().bind(stage="watchdog")
        self._memory = self._read_memory()

    def run(self, stop: threading.Event, every_s: float = 300.0) -> None:
        """Check every `every_s` seconds until `stop` is set."""
        while not stop.is_set():
            self.check()
            stop.wait(every_s)

    def check(self) -> list[str]:
        """Look at every site once; returns the sentences that were told.

        A silent site is told once in 24 h, and once when its beats are back. What could not be
        told is tried again at the next check.
        """
        now = self._clock.now()
        before = dict(self._memory)
        readings = self._readings()
        silent = []
        told = []
        for site, reading in readings.items():
            self._memory[site] = known = self._waiting(site, reading, now)
            if reading.fault is not None or now - known.since > self._limit:
                silent.append(site)
            sentence = self._look(site, reading, known, now)
            if sentence is not None:
                told.append(sentence)
        self.silent = frozenset(silent)
        self.away = any(reading.away for reading in readings.values())
        if self._memory != before:
            self._keep_memory()
        return told

    def _readings(self) -> dict[str, _Reading]:
        """All heartbeats. A memory out of reach is not asked for every site in turn: each waits."""
        readings: dict[str, _Reading] = {}
        away = False
        for site in self._sites:
            readings[site] = _Reading(away=True) if away else self._beats.read(site)
            away = away or readings[site].away
        return readings

    def _look(self, site: str, reading: _Reading, known: _Memory, now: datetime) -> str | None:
        silent_for = now - known.since
        if reading.fault is None and silent_for <= self._limit:
            # Only a new beat ends a silence: a clock that was set back makes an old one look young.
            if known.told_at is None or reading.beat is None or reading.beat.at == known.told_of:
                return None
            day = reading.beat.day.isoformat()
            sentence = f"Site {site} is heard again: the day {day} was closed."
            return self._tell(site, sentence, replace(known, told_at=None, told_of=None))
        if known.told_at is not None and now - known.told_at < REPEAT_AFTER:
            return None
        sentence = _silence(site, reading, silent_for, self._limit)
        return self._tell(site, sentence, replace(known, told_at=now, told_of=known.beat_at))

    def _waiting(self, site: str, reading: _Reading, now: datetime) -> _Memory:
        """What is known of the site now; times in the future (the clock went back) become now."""
        known = self._memory.get(site)
        beat_at = reading.beat.at if reading.beat else None
        if known is None:
            return _Memory(beat_at=beat_at, since=min(beat_at or now, now))
        since = min(known.since, now)
        if beat_at is not None and beat_at != known.beat_at:
            since = min(beat_at, now)
        told_at = known.told_at and min(known.told_at, now)
        beat_at = beat_at or known.beat_at
        return replace(known, beat_at=beat_at, since=since, told_at=told_at)

    def _tell(self, site: str, sentence: str, then: _Memory) -> str | None:
        try:
            self._notify(site, sentence, then.told_at is None)
        except Exception as error:
            # One site's recipients must not keep the others from being told.
            # Only our own errors are known to hold no addresses.
            reason = str(error) if isinstance(error, SlopewatchError) else type(error).__name__
            self._logger.error("watchdog could not tell", site=site, reason=reason)
            return None
        self._memory[site] = then
        self._logger.warning("watchdog told", site=site, sentence=sentence)
        return sentence

    def _read_memory(self) -> dict[str, _Memory]:
        path = self._folder / MEMORY_NAME
        try:
            memory = msgspec.json.decode(_content(path), type=dict[str, _Memory])
        except FileNotFoundError:
            return {}
        except (OSError, msgspec.MsgspecError) as error:
            self._logger.warning("watchdog forgot whom it told", error=type(error).__name__)
            return {}
        return {site: one for site, one in memory.items() if _is_aware(one)}

    def _keep_memory(self) -> None:
        try:
            self._folder.mkdir(parents=True, exist_ok=True)
            _write(self._folder / MEMORY_NAME, msgspec.json.encode(self._memory))
        except OSError as error:
            # A full disk is a time to watch on; a restart may then tell twice.
            self._logger.error("watchdog cannot write", error=error.strerror)


def _silence(site: str, reading: _Reading, silent_for: timedelta, limit: timedelta) -> str:
    hours = f"{silent_for / timedelta(hours=1):.0f} h"
    allowed = f"limit {limit / timedelta(hours=1):g} h"
    if reading.fault is not None:
        why = f"{reading.fault}, so nobody knows whether days are closed"
    elif reading.away:
        why = f"its heartbeat has been out of reach, or none came, for {hours} ({allowed})"
    else:
        last = f"the last was {reading.beat.day}" if reading.beat else "none ever did"
        why = f"no closed day has reached alerting for {hours} ({allowed}); {last}"
    return (
        f"Site {site} is silent: {why}. Until it is heard again, count on no warning of motion "
        "there: no alarm is not safety."
    )


def _is_aware(one: _Memory) -> bool:
    moments = (one.beat_at, one.since, one.told_at)
    return all(moment is None or moment.tzinfo is not None for moment in moments)


def _content(path: Path) -> bytes:
    with path.open("rb") as file:
        return _bounded(file.read(_MAX_BYTES + 1))


def _bounded(content: bytes) -> bytes:
    if len(content) > _MAX_BYTES:
        raise msgspec.DecodeError("too large for what it should be")
    return content


def _named(site: str) -> str:
    """The note that holds the heartbeat of `site`."""
    return f"heartbeat/{_checked(site)}"


def _checked(site: str) -> str:
    if not _SITE.fullmatch(site):
        raise SettingsError(f"{site!r} is not the name of a site")
    return site


def _write(path: Path, content: bytes) -> None:
    """Put `content` in place whole or not at all."""
    handle, name = tempfile.mkstemp(dir=path.parent, prefix=f".{path.name}.")
    try:
        with os.fdopen(handle, "wb") as file:
            file.write(content)
        os.replace(name, path)
    except BaseException:
        Path(name).unlink(missing_ok=True)
        raise
