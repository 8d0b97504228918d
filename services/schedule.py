"""What is done before a site is asked, whoever asks; and the embedded scheduler of laptop mode."""

from __future__ import annotations

import threading
from collections.abc import Sequence

import structlog

from core.errors import SlopewatchError
from core.settings import Site
from services.compose import Slopewatch, load_sites
from services.ingest.service import Poll


def announce(app: Slopewatch, sites: Sequence[Site]) -> None:
    """Put on the log what changed in the site files, and the release that runs now."""
    for site in sites:
        changed = app.configure(site)
        if changed:
            structlog.get_logger().info("site configured", site=site.name, changes=changed)
    app.activate_release(sites)


class Scheduler:
    """Asks the feeds and closes the days."""

    def __init__(self, app: Slopewatch, only: str | None = None) -> None:
        self._app = app
        self._only = only

    def tick(self) -> dict[str, Poll]:
        """Read the site files again, say what changed, ask every feed once."""
        polls = {}
        sites = load_sites(self._app.service, self._only, without_broken=True)
        announce(self._app, sites)
        if self._only is None:
            self._app.miss_vanished(sites)
        for site in sites:
            if site.retired:
                continue
            try:
                self._app.ingest.begin(site)
                polls[site.name] = self._app.ingest.tick(site)
            except SlopewatchError as error:
                # One site's trouble must not keep the others from being asked.
                structlog.get_logger().error("site not asked", site=site.name, reason=str(error))
        return polls

    def run(self, stop: threading.Event) -> None:
        """Tick until `stop`; a tick that fails is told and tried again."""
        while not stop.is_set():
            try:
                self.tick()
            except SlopewatchError as error:
                structlog.get_logger().error("scheduler", reason=str(error))
            stop.wait(self._app.service.poll_minutes * 60)
