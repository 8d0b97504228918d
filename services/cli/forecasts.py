"""Commands about forecasts: fit, ask, judge, and what moves a slope."""

from __future__ import annotations

from datetime import datetime
from pathlib import Path
from typing import Annotated

import typer

from services.cli._shared import AnySite, SiteName, SomeSites, service_of


def train(
    context: typer.Context,
    site: AnySite = None,
    sites: SomeSites = None,
    as_of: Annotated[
        datetime | None,
        typer.Option(formats=["%Y-%m-%d"], help="UTC day; the last closed one without it"),
    ] = None,
    pool: Annotated[
        Path | None,
        typer.Option(help="folder for the network's weights; an unfinished training goes on"),
    ] = None,
    seeds: Annotated[int, typer.Option(min=1, help="networks of the ensemble, with --pool")] = 3,
    device: Annotated[str, typer.Option(help="cpu or cuda, with --pool")] = "cpu",
) -> None:
    """Fit the forecast models of sites; the last year says which one may speak for which unit.

    With --pool: train the network anew on simulated slopes (needs torch; tens of minutes).
    """
    if pool is not None:
        from services.commands.training import train_network

        train_network(pool, seeds, device, typer.echo)
        return
    from services.commands.fitting import train_sites

    if not train_sites(service_of(context), sites, as_of, typer.echo, site):
        raise typer.Exit(1)


def forecast(
    context: typer.Context,
    site: SiteName,
    rain: Annotated[str | None, typer.Option(help="rain to come, such as 150mm/3d")] = None,
    level: Annotated[
        str | None, typer.Option(help="change of the reservoir's level, such as -0.6m/d")
    ] = None,
    days: Annotated[int, typer.Option(help="days ahead, up to 30")] = 30,
    out: Annotated[Path | None, typer.Option(help="also draw it: a .png or .svg")] = None,
) -> None:
    """What a slope would do under a scenario of rain and level, beside the issued forecast."""
    from services.commands.forecasting import forecast_site

    forecast_site(service_of(context), site, rain, level, days, out, typer.echo)


def export(
    context: typer.Context,
    site: SiteName,
    out: Annotated[Path, typer.Option(help="a file that ends in .nc, or a new folder in .zarr")],
    as_of: Annotated[
        datetime | None,
        typer.Option(formats=["%Y-%m-%d"], help="UTC day; the last closed one without it"),
    ] = None,
) -> None:
    """Write state and forecasts per point and per unit as netCDF or Zarr (CF-1.11)."""
    from services.commands.exporting import export_site

    export_site(service_of(context), site, out, as_of, typer.echo)


def hindcast(
    context: typer.Context,
    site: SiteName,
    first: Annotated[datetime, typer.Option("--from", formats=["%Y-%m-%d"], help="first day")],
    last: Annotated[datetime, typer.Option("--to", formats=["%Y-%m-%d"], help="last day")],
    out: Annotated[Path, typer.Option(help="HTML file to write")],
    model: Annotated[
        list[str] | None, typer.Option(help="a model to try beside the ladder; repeatable")
    ] = None,
) -> None:
    """Replay a site's past with what was known then, and report what forecasts were worth."""
    from services.commands.hindcasting import hindcast_site

    days = first.date(), last.date()
    hindcast_site(service_of(context), site, *days, out, typer.echo, model or ())


def skill(
    context: typer.Context,
    site: AnySite = None,
    sites: SomeSites = None,
    days: Annotated[int, typer.Option(min=1, help="how far back to look")] = 365,
    metrics: Annotated[
        Path | None, typer.Option(help="also write them as Prometheus text to this file")
    ] = None,
) -> None:
    """How issued forecasts did against the epochs that arrived since, by model and horizon."""
    from services.commands.skill import report_skill

    if not report_skill(service_of(context), sites, days, metrics, typer.echo, site):
        raise typer.Exit(1)


def understand(
    context: typer.Context,
    site: SiteName,
    out: Annotated[Path, typer.Option(help="folder for the pages and pictures")],
    as_of: Annotated[
        datetime | None,
        typer.Option(formats=["%Y-%m-%d"], help="UTC day; the last closed one without it"),
    ] = None,
) -> None:
    """What moves a slope, and how late: lags behind rain and reservoir, shares, rhythms."""
    from services.commands.understanding import understand as write_pages

    write_pages(service_of(context), site, out, as_of, typer.echo)
