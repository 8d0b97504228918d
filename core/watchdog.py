"""The watchdog says when the pipeline itself is silent; it needs neither broker nor ledger.

Alerting leaves a small file a site, `<data>/heartbeat/<site>.json`, whenever a closed day reaches
it (`beat`). The watchdog reads these by the wall clock. Silence is not safety: while a site is
silent nobody is warned, whatever the slope does.
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
from core.errors import SettingsError, SlopewatchError

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
    beat: Heartbeat | None
    fault: str | None


def folder_in(data: Path) -> Path:
    """Where heartbeats lie under the service's data folder."""
    return data / "heartbeat"


def beat(folder: Path, site: str, day: date, now: datetime) -> None:
    """Note that the closed `day` of `site` reached alerting at `now` (wall clock, aware)."""
    path = _path(folder, site)
    folder.mkdir(parents=True, exist_ok=True)
    _write(path, msgspec.json.encode(Heartbeat(site=site, day=day, at=now)))


def last_beat(folder: Path, site: str) -> date | None:
    """The closed day that the heartbeat of `site` speaks of; None where there is none."""
    beat = _read(_path(folder, site), site).beat
    return beat.day if beat else None


@contextmanager
def watching_alone(folder: Path, site: str | None = None) -> Iterator[str | None]:
    """Hold the watch over `folder`, or over one `site` of it; gives None, else who holds it.

    Two that watch would tell everything twice. The kernel frees the lock when its holder dies,
    however it dies; what is in the file is only there to be read.
    """
    name = f"watchdog.{_path(folder, site).stem}.lock" if site else LOCK_NAME
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
    """Watches the heartbeats of `sites`; silent for longer than `limit_hours` means: tell."""

    def __init__(
        self, folder: Path, sites: Iterable[str], limit_hours: float, notify: Notify, clock: Clock
    ) -> None:
        self._folder = folder
        self._paths = {site: _path(folder, site) for site in sites}
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
        told = [
            sentence
            for site, path in self._paths.items()
            if (sentence := self._look(site, _read(path, site), now)) is not None
        ]
        if self._memory != before:
            self._keep_memory()
        return told

    def _look(self, site: str, reading: _Reading, now: datetime) -> str | None:
        known = self._waiting(site, reading, now)
        self._memory[site] = known
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
            memory = msgspec.json.decode(_bounded(path), type=dict[str, _Memory])
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
    else:
        last = f"the last was {reading.beat.day}" if reading.beat else "none ever did"
        why = f"no closed day has reached alerting for {hours} ({allowed}); {last}"
    return (
        f"Site {site} is silent: {why}. Until it is heard again, count on no warning of motion "
        "there: no alarm is not safety."
    )


def _read(path: Path, site: str) -> _Reading:
    try:
        found = msgspec.json.decode(_bounded(path), type=Heartbeat)
    except FileNotFoundError:
        return _Reading(None, None)
    except (OSError, msgspec.MsgspecError, UnicodeDecodeError):
        return _Reading(None, "its heartbeat file is damaged or cannot be read")
    if found.site != site or found.at.tzinfo is None:
        return _Reading(None, "its heartbeat file is damaged or of another site")
    return _Reading(found, None)


def _is_aware(one: _Memory) -> bool:
    moments = (one.beat_at, one.since, one.told_at)
    return all(moment is None or moment.tzinfo is not None for moment in moments)


def _bounded(path: Path) -> bytes:
    with path.open("rb") as file:
        content = file.read(_MAX_BYTES + 1)
    if len(content) > _MAX_BYTES:
        raise OSError(f"{path} is too large")
    return content


def _path(folder: Path, site: str) -> Path:
    if not _SITE.fullmatch(site):
        raise SettingsError(f"{site!r} is not the name of a site")
    return folder / f"{site}.json"


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
