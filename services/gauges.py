"""What the ledger and the topic of alerts say of each site, as gauges."""

from __future__ import annotations

from collections.abc import Callable, Iterator, Mapping
from contextlib import contextmanager
from datetime import datetime, timedelta
from typing import Final, get_args

import structlog

from core.artifacts import Artifacts
from core.clock import Clock, end_of, midnight
from core.errors import SlopewatchError
from core.eventlog import EventLog
from core.events import LEVELS, Coverage
from core.figures import Figure, Shown
from core.ledger import SiteView
from core.ledger.ledger import Ledger
from core.settings import Site, site_from_bytes
from core.stage import Bookmark
from core.telemetry import Telemetry
from services.alerting.coverage import Judging, awaited_pass, blind_on
from services.alerting.service import judges_downslope
from services.alerting.state import SiteAlerts, decode_state
from services.alerting.tally import Tally
from services.alerting.thresholds import budgets_in

TALLY_EVERY: Final = timedelta(minutes=1)
LOOK: Final = "alerts"
"""The name of this look among the vitals."""


class Standing:
    """The state of alerting by site, decoded once a commit."""

    def __init__(self, ledger: Ledger) -> None:
        self._ledger = ledger
        self._known: dict[str, tuple[Bookmark, SiteAlerts | None]] = {}

    def sites(self) -> dict[str, SiteAlerts]:
        """All sites of the ledger whose state this release can read.

        Raises `UnavailableError` when the ledger is out of reach.
        """
        found = {}
        for site in self._ledger.sites():
            view = self._ledger.state(site)
            known = self._known.get(site)
            if view is not None and (known is None or known[0] != view.bookmark):
                known = view.bookmark, _decoded(view)
            if known is not None:
                found[site] = known
        self._known = found
        return {site: state for site, (_, state) in found.items() if state is not None}


def _decoded(view: SiteView) -> SiteAlerts | None:
    """One site's state of another release must not hide the others."""
    try:
        return decode_state(view.state)
    except SlopewatchError as error:
        structlog.get_logger().warning("state not shown", site=view.site, reason=str(error))
        return None


@contextmanager
def _or_nothing(*shown: Shown) -> Iterator[None]:
    """What cannot be read again is taken away: an old figure is worse than none."""
    try:
        yield
    except SlopewatchError:
        for one in shown:
            one.show(())
        raise


class AlertGauges:
    """Levels, coverage, what is awaited, what waits to be sent, and what alerts cost."""

    def __init__(
        self,
        telemetry: Telemetry,
        ledger: Ledger,
        log: EventLog,
        artifacts: Artifacts,
        clock: Clock,
    ) -> None:
        self._telemetry = telemetry
        self._ledger = ledger
        self._artifacts = artifacts
        self._clock = clock
        self._shown, self._told = Shown(), Shown()
        self._tally = Tally(log)
        self._tallied: datetime | None = None
        self._files: dict[str, Site] = {}
        self._budgets: dict[str, Mapping[str, float]] = {}
        self._left_out = False
        self._succeeded()

    def refresh(self, standing: Standing) -> None:
        """Show what is so now; a site that is retired or gone shows nothing.

        What cannot be read of one site is left out and costs no other, but the look has failed.
        Raises `UnavailableError` when a store is out of reach; what it said is shown no more.
        """
        self._left_out = False
        with _or_nothing(self._shown, self._told):
            known = standing.sites().items()
            watched = {site: state for site, state in known if not state.retired}
            self._shown.show([*self._of(watched, self._standing), *self._outbox()])
        with _or_nothing(self._told):
            now = self._clock.now()
            if self._tallied is None or abs(now - self._tallied) >= TALLY_EVERY:
                if not self._tally.read_on():
                    return
                self._tallied = now
            self._told.show(self._of(watched, self._alerts))
        if not self._left_out:
            self._succeeded()

    def _succeeded(self) -> None:
        self._telemetry.vitals.labels(LOOK).set(self._clock.now().timestamp())

    def _of(
        self,
        watched: Mapping[str, SiteAlerts],
        figures_of: Callable[[str, SiteAlerts], Iterator[Figure]],
    ) -> Iterator[Figure]:
        """The figures of all sites, of each as far as they can be read."""
        for site, state in watched.items():
            try:
                yield from figures_of(site, state)
            except SlopewatchError as error:
                self._left_out = True
                structlog.get_logger().warning("figures left out", site=site, reason=str(error))

    def _standing(self, site: str, state: SiteAlerts) -> Iterator[Figure]:
        shown, units = self._telemetry, state.units.values()
        if state.closed is not None:
            yield Figure(shown.day_closed, (site,), end_of(state.closed.day).timestamp())
        for level in LEVELS:
            count = sum(unit.level == level for unit in units)
            yield Figure(shown.alert_units, (site, level), count)
        for coverage in get_args(Coverage):
            count = sum(unit.coverage == coverage for unit in units)
            yield Figure(shown.coverage_units, (site, coverage), count)
        epochs = [sight.epoch for unit in units for sight in unit.sights.values()]
        if epochs:
            yield Figure(shown.state_valid, (site,), midnight(max(epochs)).timestamp())
        file = self._file(state)
        if file is not None:
            yield from self._awaited(site, state, file)

    def _awaited(self, site: str, state: SiteAlerts, file: Site) -> Iterator[Figure]:
        repeat = timedelta(days=file.repeat_days)
        yield Figure(self._telemetry.repeat, (site,), repeat.total_seconds())
        awaited = state.closed and awaited_pass(state.closed, file.repeat_days)
        if awaited:
            yield Figure(self._telemetry.next_pass, (site,), end_of(awaited).timestamp())
        judging = Judging(judges_downslope(file))
        seeing = [unit for unit in state.units.values() if unit.coverage != "blind"]
        blind = [blind_on(unit.sights, file.repeat_days, judging) for unit in seeing]
        if days := [day for day in blind if day is not None]:
            yield Figure(self._telemetry.blind_from, (site,), end_of(min(days)).timestamp())

    def _outbox(self) -> Iterator[Figure]:
        waiting = self._ledger.waiting()
        for site in self._ledger.sites():
            count, oldest = waiting.get(site, (0, None))
            yield Figure(self._telemetry.outbox_waiting, (site,), count)
            if oldest is not None:
                yield Figure(self._telemetry.outbox_oldest, (site,), oldest.timestamp())

    def _alerts(self, site: str, state: SiteAlerts) -> Iterator[Figure]:
        shown = self._telemetry
        for level, count in self._tally.counts(site, self._clock.now()).items():
            yield Figure(shown.alerts_raised, (site, level), count.raised)
            yield Figure(shown.alerts_false, (site, level), count.false)
        for name, a_unit_year in self._budget(state).items():
            allowed = a_unit_year * len(state.units)
            yield Figure(shown.false_alarm_budget, (site, name), allowed)

    def _file(self, state: SiteAlerts) -> Site | None:
        """The site's settings that alerting works with; they are content, so they may be kept."""
        ref = state.settings
        if ref is not None and ref.sha256 not in self._files:
            self._files[ref.sha256] = site_from_bytes(self._artifacts.get(ref))
        return self._files[ref.sha256] if ref is not None else None

    def _budget(self, state: SiteAlerts) -> Mapping[str, float]:
        """False alarms a unit-year by level that the table in force was made for."""
        ref = state.table
        if ref is not None and ref.sha256 not in self._budgets:
            self._budgets[ref.sha256] = budgets_in(self._artifacts.get(ref))
        return self._budgets[ref.sha256] if ref is not None else {}
