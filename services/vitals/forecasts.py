"""How forecasts did against the epochs that came since, wherever inference runs.

The state is read beside its worker, without its lock; a site is judged once a closed day. A state
that lies where this process cannot see it looks like one without sites, which is told.
"""

from __future__ import annotations

from collections.abc import Iterator, Sequence
from contextlib import closing
from datetime import date, timedelta
from typing import Final, NamedTuple

from core import plugins
from core.clock import end_of
from core.errors import SlopewatchError
from core.eventlog import EventLog
from core.events import ASSESSMENTS, ForecastIssued
from core.figures import Figure
from core.statestore import States, open_states_to_read
from core.telemetry import Telemetry
from services.compose import Slopewatch, newest
from services.inference.issuing.ladder import FILTER
from services.inference.issuing.skill import SkillRow, skill_of
from services.inference.model import HORIZONS_D, MODELS
from services.inference.state import SiteState, day_number
from services.inference.store import read_state
from services.vitals.look import Fault
from services.vitals.sites import Sites

SKILL_DAYS: Final = 365
"""Days of epochs by which recent forecasts are judged."""


class _Judged(NamedTuple):
    """What was found for the last closed day, as the state names it."""

    closed: str
    figures: tuple[Figure, ...]


class ForecastSkill:
    """Of every watched site that has a state."""

    name = "forecasts"
    every_s = 600.0
    lasting = False

    def __init__(self, app: Slopewatch, sites: Sites) -> None:
        self._app = app
        self._sites = sites
        self._states: States | None = app.states
        self._judged: dict[str, _Judged] = {}

    def look(self) -> Iterator[Figure | Fault]:
        """See `Look.look`."""
        if self._states is None:
            self._states = open_states_to_read(str(self._app.service.state))
        known = set(self._states.sites())
        watched = self._sites.watched()
        if watched and not known:
            yield Fault(
                f"state: {self._app.service.state} has no site yet; if inference runs on, it lies "
                "elsewhere: let the projector see that folder, or use s3://"
            )
        for site in watched:
            if site.name not in known:
                continue
            try:
                yield from self._figures(self._states, site.name)
            except SlopewatchError as error:
                yield Fault(str(error))

    def _figures(self, states: States, site: str) -> tuple[Figure, ...]:
        with closing(states.open(site)) as repository:
            closed = repository.attrs().get("last_closed")
            judged = self._judged.get(site)
            if closed is None or (judged is not None and judged.closed == closed):
                return judged.figures if judged else ()
            state = read_state(repository, self._app.artifacts)
            rows = recent_skill(self._app.log, state, date.fromisoformat(closed))
        figures = tuple(forecast_figures(self._app.telemetry, site, state, rows))
        self._judged[site] = _Judged(closed, figures)
        return figures


def recent_skill(
    log: EventLog, state: SiteState, last: date, days: int = SKILL_DAYS
) -> list[SkillRow]:
    """How the forecasts did that met an epoch in the `days` before `last`."""
    assert state.site is not None
    first = last - timedelta(days=days)
    said = newest(log, ASSESSMENTS, state.site.name, first - timedelta(days=max(HORIZONS_D)))
    issued = [event.data for event in said if isinstance(event.data, ForecastIssued)]
    return skill_of(state, issued, day_number(first))


def forecast_figures(
    shown: Telemetry, site: str, state: SiteState, rows: Sequence[SkillRow]
) -> Iterator[Figure]:
    """What there is to show of the site's forecasts."""
    for row in rows:
        labels = (site, row.model, str(row.horizon_d))
        yield Figure(shown.forecast_error, labels, row.rmse_mm)
        yield Figure(shown.forecast_coverage, labels, row.covered)
    units = state.issued.units if state.issued else ()
    for name in (*plugins.names(MODELS), FILTER):
        count = sum(unit.model == name for unit in units)
        yield Figure(shown.forecast_units, (site, name), count)
    stepped_down = sum(unit.stepped_down for unit in units)
    yield Figure(shown.forecast_fallback, (site,), stepped_down)
    if state.fitted is not None:
        yield Figure(shown.forecast_fitted, (site,), end_of(state.fitted.day).timestamp())
