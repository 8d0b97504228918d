"""`slopewatch skill`: issued forecasts against the epochs that arrived since, daily."""

from __future__ import annotations

from collections.abc import Callable
from contextlib import closing
from pathlib import Path

from prometheus_client import write_to_textfile

from core.errors import SlopewatchError
from core.eventlog import open_log
from core.figures import Shown
from core.settings import Service, Site
from core.telemetry import Telemetry
from services.commands._site_state import state_of
from services.commands.fitting import columns
from services.commands.news import chosen
from services.inference.issuing.skill import SkillRow
from services.inference.state import SiteState
from services.vitals.forecasts import forecast_figures, recent_skill

Echo = Callable[[str], None]
HEAD = ("model", "days ahead", "judged", "RMSE mm", "bias mm", "held mm", "in 90 %", "width mm")


def report_skill(
    service: Service,
    names: str | None,
    days: int,
    metrics: Path | None,
    echo: Echo,
    site: str | None = None,
) -> bool:
    """Print how the forecasts of the last `days` days did; False where a site could not be read.

    `metrics` is a file for a collector of text files, such as that of the node exporter.
    """
    sites, well = chosen(service, site or names, echo)
    telemetry = Telemetry()
    for one in (one for one in sites if not one.retired):
        try:
            report_site_skill(service, one, days, telemetry, echo)
        except SlopewatchError as error:
            # One site's trouble must not keep the others from being looked at.
            echo(f"{one.name}: not looked at: {error}")
            well = False
    if metrics is not None:
        write_to_textfile(str(metrics), telemetry.registry)
    return well


def report_site_skill(
    service: Service, site: Site, days: int, telemetry: Telemetry, echo: Echo
) -> None:
    """One site's table, its model in force and its fallbacks, also as gauges."""
    with state_of(service, site.name, echo) as (state, _):
        if state.last_closed is None:
            echo(f"{site.name}: no day is closed yet")
            return
        with closing(open_log(str(service.log))) as log:
            rows = recent_skill(log, state, state.last_closed, days)
    Shown().show(forecast_figures(telemetry, site.name, state, rows))
    simulated = " (SIMULATED)" if site.simulated else ""
    echo(f"{site.name}{simulated}: {in_force(state)}")
    if not rows:
        echo("  no forecast has met its epoch yet")
        return
    for line in columns([HEAD, *map(_cells, rows)]):
        echo(line)


def _cells(row: SkillRow) -> tuple[str, ...]:
    return (
        row.model,
        f"+{row.horizon_d}",
        str(row.judged),
        f"{row.rmse_mm:.1f}",
        f"{row.bias_mm:+.1f}",
        f"{row.held_rmse_mm:.1f}",
        f"{100 * row.covered:.0f} %",
        f"{row.width_mm:.1f}",
    )


def in_force(state: SiteState) -> str:
    """Which models speak for how many units, and how many of them stand in for another."""
    if state.issued is None:
        return "no forecast was issued yet"
    fitted = f"fitted on {state.issued.fitted}" if state.issued.fitted else "not fitted yet"
    parts = [f"{name} for {count}" for name, count in speakers(state).items()]
    down = sum(unit.stepped_down for unit in state.issued.units)
    return f"{', '.join(parts)} unit series, {fitted}; {down} of them a fallback"


def speakers(state: SiteState) -> dict[str, int]:
    """Number of unit series that each model speaks for, by name."""
    names = sorted(unit.model for unit in state.issued.units) if state.issued else []
    return {name: names.count(name) for name in dict.fromkeys(names)}
