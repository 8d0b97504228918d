"""`slopewatch train --site`: fit the forecast models of a site and put them in force."""

from __future__ import annotations

from collections.abc import Callable, Sequence
from contextlib import closing
from datetime import datetime

from tqdm import tqdm

from core.clock import SystemClock
from core.errors import SlopewatchError
from core.eventlog import open_log
from core.events import Event
from core.settings import Service, Site
from services.commands._site_state import state_of
from services.commands.news import chosen
from services.compose import append_observation
from services.inference.issuing.fitting import Fit, NothingToFitError, fit_site, fitted_event
from services.inference.state import day_number

Echo = Callable[[str], None]


def train_sites(
    service: Service, names: str | None, as_of: datetime | None, echo: Echo, site: str | None = None
) -> bool:
    """Fit the models of these sites as of a day (the last closed one without it).

    Each fit is appended to the log as an event, which running services take in. False where a site
    could not be fitted; of all sites one that is too young is told and is no failure.
    """
    sites, well = chosen(service, site or names, echo)
    for one in (one for one in sites if not one.retired):
        try:
            train_site(service, one, as_of, echo)
        except NothingToFitError as error:
            echo(str(error))
            well = well and site is None
        except SlopewatchError as error:
            # One site's trouble must not keep the others from being fitted.
            echo(f"{one.name}: not fitted: {error}")
            well = False
        except (ArithmeticError, ValueError, IndexError) as error:
            # Nor must a record that a model's numerics cannot bear.
            echo(f"{one.name}: not fitted: a model failed on its record: {error!r}")
            well = False
    return well


def train_site(service: Service, site: Site, as_of: datetime | None, echo: Echo) -> Event:
    """Fit one site's models and append the event."""
    with state_of(service, site.name, echo) as (state, artifacts):
        if state.last_closed is None:
            raise SlopewatchError(f"no day of {site.name} is closed yet")
        day = day_number(as_of.date()) if as_of else day_number(state.last_closed)
        if day > day_number(state.last_closed):
            raise SlopewatchError(f"--as-of {as_of:%Y-%m-%d} lies after {state.last_closed}")
        with tqdm(desc=site.name, unit="step") as bar:
            fit = fit_site(state, day, lambda step: _advance(bar, step))
        event = fitted_event(site.name, day, fit, artifacts, SystemClock().now())
    with closing(open_log(str(service.log))) as log:
        append_observation(log, event)
    _tell(site.name, event, fit, echo)
    if state.site is not None and state.site.model is not None:
        named = state.site.model.kind
        echo(f"  the site's settings in force name {named}: it speaks, whatever was chosen")
    return event


def _advance(bar: tqdm, step: str) -> None:  # type: ignore[type-arg]
    bar.set_postfix_str(step)
    bar.update()


def _tell(site: str, event: Event, fit: Fit, echo: Echo) -> None:
    """Per unit who may speak and why; what could not be tried."""
    echo(f"{site}: fitted on {event.valid_time:%Y-%m-%d}, in force when inference has read it")
    rows = [("track", "unit", "model", "why")]
    rows += [(one.track, one.unit, one.model, one.reason) for one in fit.units]
    for line in columns(rows):
        echo(line)
    for name, why in fit.absent.items():
        echo(f"  {name} was not tried: {why}")
    for name, why in fit.skipped.items():
        echo(f"  track {name} was not fitted: {why}")


def columns(rows: Sequence[Sequence[str]]) -> list[str]:
    """Rows in aligned columns, indented."""
    widths = [max(len(row[i]) for row in rows) for i in range(len(rows[0]))]
    return [
        "  " + "  ".join(c.ljust(w) for c, w in zip(row, widths, strict=True)).rstrip()
        for row in rows
    ]
