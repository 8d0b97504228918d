"""What is done before a site is asked, whoever asks; and the embedded scheduler of laptop mode."""

from __future__ import annotations

import threading
from collections.abc import Sequence
from contextlib import closing
from datetime import date

import structlog

from core.errors import SlopewatchError
from core.settings import Site
from services.compose import Slopewatch, append_observation, load_sites
from services.inference.issuing.fitting import fit_site, fitted_event, is_due
from services.inference.state import day_number
from services.inference.store import read_state
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
        self._looked: dict[str, str] = {}

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

    def look_after(self) -> int:
        """Once a closed day of each site: a fit of models that have grown old.

        Only where this process holds the state. Returns how many sites were fitted.
        """
        fitted = 0
        for site in load_sites(self._app.service, self._only, without_broken=True):
            try:
                fitted += not site.retired and self._look_after(site)
            except Exception as error:
                # Whatever goes wrong in a fit, feeds must go on being asked and days closed.
                structlog.get_logger().error(
                    "forecast models not fitted", site=site.name, reason=repr(error)
                )
        return fitted

    def _look_after(self, site: Site) -> bool:
        app = self._app
        if app.states is None or site.name not in app.states.sites():
            return False
        with closing(app.states.open(site.name)) as repository:
            closed = repository.attrs().get("last_closed")
            if closed is None or closed == self._looked.get(site.name):
                return False
            self._looked[site.name] = closed
            state = read_state(repository, app.artifacts)
            last = date.fromisoformat(closed)
            if not is_due(state, app.service.refit_days):
                return False
            fit = fit_site(state, day_number(last))
        now = app.clock.now()
        append_observation(
            app.log, fitted_event(site.name, day_number(last), fit, app.artifacts, now)
        )
        structlog.get_logger().info("forecast models fitted", site=site.name, day=closed)
        return True

    def run(self, stop: threading.Event) -> None:
        """Tick until `stop`; a tick that fails is told and tried again."""
        while not stop.is_set():
            try:
                self.tick()
                self.look_after()
            except SlopewatchError as error:
                structlog.get_logger().error("scheduler", reason=str(error))
            stop.wait(self._app.service.poll_minutes * 60)
