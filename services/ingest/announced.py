"""What ingest says about sites and releases: each change once, whoever finds it.

The id of such an event is made of its content and of the id of the one announced before it. Two
tasks that find the same change at once say the same, which readers take in once; a change back and
forth is another event each time. The first event of a site is told apart by its day: a site whose
notes were lost is announced again, once, and goes on from there.
"""

from __future__ import annotations

from collections.abc import Iterable, Mapping, Sequence
from datetime import datetime
from typing import Any

import msgspec
import structlog

from core.artifacts import Artifacts
from core.clock import Clock, midnight
from core.eventlog import EventLog
from core.events import OBSERVATIONS, Event, ReleaseActivated, SiteConfigured
from core.settings import Site, site_bytes
from services.ingest.memory import Memory, ReleaseNote, SettingsNote
from services.ingest.saying import append_whole, event
from services.ingest.tables import bounded
from services.ingest.window import first_day


class Announced:
    """Puts site files and releases on the log when they are new or changed."""

    def __init__(self, log: EventLog, artifacts: Artifacts, clock: Clock, memory: Memory) -> None:
        self._log = log
        self._artifacts = artifacts
        self._clock = clock
        self._memory = memory

    def announce(self, site: Site) -> tuple[str, ...] | None:
        """Append `site configured` when the site differs from the last one said.

        What changed, None if nothing did. A new site's settings are in force from its first day
        on, so that history can be taken in after them; a change is in force from now on.
        """
        note = self._memory.settings(site.name)
        content = site_bytes(site)
        if note is not None and bytes(note.settings) == content:
            return None
        now = self._clock.now()
        changes = difference(note.tree(), site) if note else ()
        data = SiteConfigured(
            settings=self._artifacts.put(content),
            # A site file that does not say it leaves the day as it was said first.
            watched_from=site.watched_from if note else site.watched_from or now.date(),
            retired=site.retired,
            difference=changes,
        )
        since = now if note else _start(site, now)
        key = f"settings/{note.id if note else now.date()}"
        said = event(site.name, key, data, since, since, now)
        append_whole(self._log, OBSERVATIONS, [said])
        self._memory.note_settings(site.name, SettingsNote(said.id, msgspec.Raw(content)))
        return changes if note else ("new site",)

    def activate(self, sites: Sequence[Site], release: ReleaseActivated) -> None:
        """Append `release activated` for the sites that were told of another one, or of none.

        A site's first one is in force from its start, another from now on.
        """
        said = [one for site in sites if (one := self._activated(site, release)) is not None]
        append_whole(self._log, OBSERVATIONS, said)
        for one in said:
            self._memory.note_release(one.site, ReleaseNote(one.id, release))

    def _activated(self, site: Site, release: ReleaseActivated) -> Event | None:
        note = self._memory.release(site.name)
        if note is not None and note.release == release:
            return None
        now = self._clock.now()
        since = now if note else _start(site, now)
        key = f"release/{note.id if note else now.date()}"
        return event(site.name, key, release, since, since, now)


def miss_vanished(memory: Memory, sites: Iterable[Site]) -> None:
    """Say that a site has no readable file: it is not polled, and nobody has retired it.

    `sites` are all that can be read.
    """
    for name in sorted(memory.watched() - {site.name for site in sites}):
        structlog.get_logger().error(
            "a watched site has no readable file: mend it, or keep it with retired: true",
            site=name,
        )


def difference(previous: Mapping[str, Any], site: Site) -> tuple[str, ...]:
    """What changed from a site's earlier settings, one line a field."""
    new = site.model_dump(mode="json")
    return tuple(
        bounded(f"{name}: {previous.get(name)} -> {value}")
        for name, value in new.items()
        if previous.get(name) != value
    )


def _start(site: Site, now: datetime) -> datetime:
    """When a site begins: its first day, or now if that lies ahead."""
    return min(now, midnight(first_day(site, now.date())))
