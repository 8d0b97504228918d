"""The embedded scheduler of laptop mode."""

from __future__ import annotations

import threading
from datetime import timedelta

import structlog

from core.errors import SlopewatchError
from core.settings import Site
from services.compose import Slopewatch, load_sites
from services.ingest.service import Poll, first_day


class Scheduler:
    """Asks the feeds and closes the days."""

    def __init__(self, app: Slopewatch, only: str | None = None) -> None:
        self._app = app
        self._only = only

    def tick(self) -> dict[str, Poll]:
        """Read the site files again, say what changed, ask every feed once."""
        polls = {}
        sites = load_sites(self._app.service, self._only, without_broken=True)
        for site in sites:
            changed = self._app.configure(site)
            if changed:
                structlog.get_logger().info("site configured", site=site.name, changes=changed)
        self._app.activate_release(sites)
        if self._only is None:
            self._app.miss_vanished(sites)
        for site in sites:
            if site.retired:
                continue
            try:
                polls[site.name] = self._poll(site)
            except SlopewatchError as error:
                # One site's trouble must not keep the others from being asked.
                structlog.get_logger().error("site not asked", site=site.name, reason=str(error))
        return polls

    def _poll(self, site: Site) -> Poll:
        """News of a site; of a new one its history first, as it would have become known."""
        ingest, today = self._app.ingest, self._app.clock.now().date()
        if ingest.closed_until([site]) is None and first_day(site, today) < today:
            yesterday = today - timedelta(days=1)
            ingest.backfill(site, first_day(site, today), yesterday, without_failed=True)
        return ingest.tick(site)

    def run(self, stop: threading.Event) -> None:
        """Tick until `stop`; a tick that fails is told and tried again."""
        while not stop.is_set():
            try:
                self.tick()
            except SlopewatchError as error:
                structlog.get_logger().error("scheduler", reason=str(error))
            stop.wait(self._app.service.poll_minutes * 60)
