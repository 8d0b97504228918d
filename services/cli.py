"""The command line. Every command imports what it needs when it runs, so that help is quick."""

from __future__ import annotations

import sys
from datetime import datetime
from pathlib import Path
from typing import TYPE_CHECKING, Annotated

import typer

from core.errors import SlopewatchError

if TYPE_CHECKING:
    from core.settings import Service

app = typer.Typer(
    name="slopewatch",
    help="Watches slopes by satellite, rain and reservoir level, and warns when one accelerates.",
    no_args_is_help=True,
    pretty_exceptions_enable=False,
    rich_markup_mode=None,  # plain help in a third of the time
    add_completion=False,
)
site_app = typer.Typer(help="Site files: one YAML file is one watched place.", no_args_is_help=True)
ingest_app = typer.Typer(help="Ask feeds and sources by hand.", no_args_is_help=True)
config_app = typer.Typer(help="Check and show the settings.", no_args_is_help=True)
log_app = typer.Typer(help="Read the event log, or move to another.", no_args_is_help=True)
topics_app = typer.Typer(help="The topics of the log.", no_args_is_help=True)
dead_app = typer.Typer(help="Input that could not be used.", no_args_is_help=True)
twin_app = typer.Typer(help="Simulated slopes: the frozen pools.", no_args_is_help=True)
ledger_app = typer.Typer(help="The ledger of decisions.", no_args_is_help=True)
alerts_app = typer.Typer(help="Say an operator's word on an alert.", no_args_is_help=True)
for name, group in {
    "site": site_app,
    "ingest": ingest_app,
    "config": config_app,
    "log": log_app,
    "topics": topics_app,
    "dead-letters": dead_app,
    "twin": twin_app,
    "ledger": ledger_app,
    "alerts": alerts_app,
}.items():
    app.add_typer(group, name=name)

SiteName = Annotated[str, typer.Option("--site", help="name of the site")]
SomeSites = Annotated[
    str | None, typer.Option("--sites", help="names with commas between; all without it")
]
AnySite = Annotated[str | None, typer.Option("--site", help="name of the site; all without it")]
Role = Annotated[str, typer.Option("--role", help="training, development, test or events")]
NoiseName = Annotated[str, typer.Option("--noise", help="white-3, white-5 or radar")]
Day = Annotated[datetime | None, typer.Option(formats=["%Y-%m-%d"], help="UTC day")]


@app.callback()
def options(
    context: typer.Context,
    config: Annotated[
        Path | None,
        typer.Option("--config", "-c", help="service settings (YAML); else SLOPEWATCH_CONFIG"),
    ] = None,
    verbose: Annotated[bool, typer.Option("--verbose", "-v", help="log every step")] = False,
) -> None:
    """Options before the command."""
    context.obj = (config, verbose)


def _service(context: typer.Context) -> Service:
    """Service settings of this call."""
    from core.settings import load_service
    from core.telemetry import configure_logging

    config, verbose = context.find_root().obj
    configure_logging("debug" if verbose else "info")
    return load_service(config)


@app.command()
def demo(
    folder: Annotated[Path, typer.Option(help="where the demo keeps its things")] = Path("demo"),
    fresh: Annotated[bool, typer.Option(help="forget what an earlier demo did")] = False,
) -> None:
    """Show three simulated slopes being watched, from the pass to the warning in the inbox."""
    from core.telemetry import configure_logging
    from services.demo.story import run_demo

    configure_logging("warning")
    run_demo(folder, fresh=fresh, echo=typer.echo)


@app.command()
def run(
    context: typer.Context,
    role: Annotated[
        str | None,
        typer.Argument(help="ingest, inference, alerting or watchdog; all of them without it"),
    ] = None,
    site: AnySite = None,
    member: Annotated[
        str, typer.Option(help="name of this worker among those of its service, kept over restarts")
    ] = "0",
) -> None:
    """Run the services until stopped; the page is at the printed address."""
    from services.commands.running import run_services

    run_services(_service(context), role, site, typer.echo, member)


@app.command()
def replay(
    context: typer.Context,
    site: SiteName,
    into: Annotated[Path, typer.Option(help="new folder for the replayed state and ledger")],
) -> None:
    """Read a site's log again from the start into a new folder and compare with what stands."""
    from services.commands.replaying import replay_site

    if not replay_site(_service(context), site, into, typer.echo):
        raise typer.Exit(1)


@app.command()
def report(
    context: typer.Context,
    site: SiteName,
    out: Annotated[Path | None, typer.Option(help="also write the site's page here")] = None,
) -> None:
    """What is known of a site: epochs, rates, network inversion, closure, levels."""
    from services.commands.reporting import report_site

    report_site(_service(context), site, out, typer.echo)


@app.command()
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

    if not train_sites(_service(context), sites, as_of, typer.echo, site):
        raise typer.Exit(1)


@app.command()
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

    forecast_site(_service(context), site, rain, level, days, out, typer.echo)


@app.command()
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

    export_site(_service(context), site, out, as_of, typer.echo)


@app.command()
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
    hindcast_site(_service(context), site, *days, out, typer.echo, model or ())


@app.command()
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

    if not report_skill(_service(context), sites, days, metrics, typer.echo, site):
        raise typer.Exit(1)


@app.command()
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

    write_pages(_service(context), site, out, as_of, typer.echo)


@app.command()
def doctor(
    context: typer.Context,
    network: Annotated[bool, typer.Option(help="also ask the outside services")] = True,
) -> None:
    """Check what slopewatch stands on and say what to do."""
    from services.commands.doctor import examine, render

    findings = examine(_service(context), network=network)
    typer.echo(render(findings))
    if any(finding.status == "problem" for finding in findings):
        raise typer.Exit(1)


@app.command()
def reconcile(
    context: typer.Context,
    sites: SomeSites = None,
    days: Annotated[int, typer.Option(min=1, help="how far back to look")] = 60,
) -> None:
    """Compare the passes that were due with those found, processed and told; ask for the rest."""
    from services.commands.reconciling import reconcile as compare

    if not compare(_service(context), sites, days, typer.echo):
        raise typer.Exit(1)


@site_app.command("new")
def site_new(
    context: typer.Context,
    name: Annotated[str, typer.Argument(help="letters, digits, - and _")],
    source: Annotated[
        Path | None, typer.Option("--from", help="slope units as GeoJSON or KML polygons")
    ] = None,
    at: Annotated[str | None, typer.Option(help="LAT,LON of the slope, in degrees")] = None,
    radius: Annotated[float, typer.Option(help="km round that point")] = 1.0,
    offline: Annotated[bool, typer.Option(help="ask no outside service")] = False,
) -> None:
    """Write a commented site file, with the tracks and stations that can be found."""
    from services.commands.site_new import create

    service = _service(context)
    create(
        name,
        source=source,
        at=_place(at),
        radius_km=radius,
        service=service,
        path=service.sites / f"{name}.yaml",
        offline=offline,
        echo=typer.echo,
    )


@ingest_app.command("poll")
def ingest_poll(
    context: typer.Context,
    feed: Annotated[str, typer.Argument(help="kind of the feed or source, as in the site file")],
    site: SiteName,
    since: Day = None,
    until: Day = None,
) -> None:
    """Ask one feed once; what it says is available now."""
    from services.commands.polling import poll_feed

    poll_feed(_service(context), site, feed, since, until, typer.echo)


@ingest_app.command("backfill")
def ingest_backfill(
    context: typer.Context,
    site: SiteName,
    since: Day = None,
    until: Day = None,
    append: Annotated[
        bool, typer.Option("--append", help="only put it on the log; running services read it")
    ] = False,
) -> None:
    """Take history in as it would have become known: all feeds and closed days, merged."""
    from services.commands.polling import backfill_site

    backfill_site(_service(context), site, since, until, typer.echo, append=append)


@ingest_app.command("groups")
def ingest_groups(
    context: typer.Context,
    size: Annotated[int, typer.Option(min=1, help="most sites in a group")] = 50,
) -> None:
    """Print the names of the watched sites in groups, as one line of JSON."""
    from services.commands.news import list_groups

    list_groups(_service(context), size, typer.echo)


@ingest_app.command("news")
def ingest_news(
    context: typer.Context,
    kind: Annotated[str, typer.Argument(help="acquisitions, rainfall or level")],
    sites: SomeSites = None,
) -> None:
    """Ask for what is new of one kind, and say what changed in the site files before."""
    from services.commands.news import ask_for_news

    if not ask_for_news(_service(context), kind, sites, typer.echo):
        raise typer.Exit(1)


@ingest_app.command("close-days")
def ingest_close_days(context: typer.Context, sites: SomeSites = None) -> None:
    """Close every UTC day that is over and not closed yet, in order."""
    from services.commands.news import close_days

    if not close_days(_service(context), sites, typer.echo):
        raise typer.Exit(1)


@config_app.command("check")
def config_check(context: typer.Context) -> None:
    """Check the settings, every site file and every plug-in's settings."""
    from services.commands.config import check

    if not check(_service(context), typer.echo):
        raise typer.Exit(1)


@config_app.command("show")
def config_show(context: typer.Context, site: AnySite = None) -> None:
    """Print the settings in force, with the meaning of each."""
    from services.commands.config import show

    typer.echo(show(_service(context), site), nl=False)


@log_app.command("tail")
def log_tail(
    context: typer.Context,
    topic: Annotated[str, typer.Argument()] = "alerts",
    site: AnySite = None,
    count: Annotated[int, typer.Option("--count", "-n", help="how many of the newest")] = 20,
) -> None:
    """One line for each of the newest events of a topic."""
    from services.commands.logs import tail

    tail(_service(context), topic, site, count, typer.echo)


@log_app.command("show")
def log_show(
    context: typer.Context,
    event: Annotated[str, typer.Argument(help="id of the event, or its start")],
) -> None:
    """One event, whole."""
    from services.commands.logs import show

    show(_service(context), event, typer.echo)


@log_app.command("copy")
def log_copy(
    context: typer.Context,
    source: Annotated[str, typer.Argument(metavar="FROM", help="url of the log used so far")],
    target: Annotated[str, typer.Argument(metavar="TO", help="url of the log to be used")],
    state: Annotated[str | None, typer.Option(help="also copy the state to this url")] = None,
    ledger: Annotated[str | None, typer.Option(help="also copy the ledger to this url")] = None,
    artifacts: Annotated[str | None, typer.Option(help="also copy artifacts to this url")] = None,
    memory: Annotated[str | None, typer.Option(help="also copy ingest's notes here")] = None,
) -> None:
    """Move to another log, and to other stores: stop the services first; run again if stopped."""
    from services.commands.moving import copy_log

    into = {"state": state, "ledger": ledger, "artifacts": artifacts, "memory": memory}
    copy_log(_service(context), source, target, into, typer.echo)


@topics_app.command("create")
def topics_create(context: typer.Context) -> None:
    """Make the topics that are missing; on a broker this is done once, before the services."""
    from services.commands.topics import create_topics

    create_topics(_service(context), typer.echo)


@topics_app.command("list")
def topics_list(context: typer.Context) -> None:
    """One line for each topic: partitions, how long it is kept, records."""
    from services.commands.topics import list_topics

    list_topics(_service(context), typer.echo)


@dead_app.command("list")
def dead_list(context: typer.Context, site: AnySite = None) -> None:
    """Every dead letter: id, site, numbered reason."""
    from services.commands.logs import list_dead

    list_dead(_service(context), site, typer.echo)


@dead_app.command("show")
def dead_show(
    context: typer.Context, letter: Annotated[str, typer.Argument(help="id, or its start")]
) -> None:
    """One dead letter with its payload."""
    from services.commands.logs import show_dead

    show_dead(_service(context), letter, typer.echo)


@dead_app.command("retry")
def dead_retry(
    context: typer.Context, letter: Annotated[str, typer.Argument(help="id, or its start")]
) -> None:
    """Put the event of a dead letter on the log again, after its cause was mended."""
    from services.commands.logs import retry_dead

    retry_dead(_service(context), letter, typer.echo)


@twin_app.command("make")
def twin_make(
    role: Role,
    out: Annotated[Path, typer.Option(help="the file, ending in .nc")],
    noise: NoiseName = "radar",
    sites: Annotated[
        int | None, typer.Option(help="how many, from the first; all without it")
    ] = None,
) -> None:
    """Write a pool of simulated slopes as netCDF: truth, what was seen, what had been issued."""
    from services.commands.twins import make_twin

    make_twin(role, noise, out, sites, typer.echo)


@twin_app.command("plot")
def twin_plot(
    role: Role,
    out: Annotated[Path, typer.Option(help="the picture, ending in .png, .svg or .pdf")],
    site: Annotated[int, typer.Option(help="number of the slope in its pool, from 0")] = 0,
    noise: NoiseName = "radar",
) -> None:
    """Draw one simulated slope: rain, level, and its toe and ridge as they moved and were seen."""
    from services.commands.twins import plot_twin

    plot_twin(role, noise, site, out, typer.echo)


@ledger_app.command("export")
def ledger_export(context: typer.Context, site: AnySite = None) -> None:
    """Every decision, one canonical JSON line each."""
    from services.commands.ledgers import export

    export(_service(context), site)


@ledger_app.command("verify")
def ledger_verify(context: typer.Context) -> None:
    """Check every chain, and the heads that alerts and notifications carried."""
    from services.commands.ledgers import verify

    if not verify(_service(context), typer.echo):
        raise typer.Exit(1)


@ledger_app.command("upgrade")
def ledger_upgrade(
    context: typer.Context,
    down_to: Annotated[
        str | None,
        typer.Option(metavar="REVISION", help="go back to this schema instead; base: to none"),
    ] = None,
    yes: Annotated[bool, typer.Option("--yes", help="go back without being asked")] = False,
) -> None:
    """Bring the tables of the ledger to this release; a PostgreSQL server's only change this way.

    Stop the services first.
    """
    from services.commands.ledgers import downgrade_schema, upgrade_schema

    service = _service(context)
    if down_to is None:
        upgrade_schema(service, typer.echo)
    elif not downgrade_schema(
        service, down_to, typer.echo, lambda: yes or typer.confirm("Go back?")
    ):
        raise typer.Exit(1)


@alerts_app.command("acknowledge")
def alerts_acknowledge(
    context: typer.Context,
    site: SiteName,
    operator: Annotated[str, typer.Option(help="who says so")],
    reason: Annotated[str, typer.Option(help="for the ledger")],
    unit: Annotated[str | None, typer.Option(help="slope unit; all without it")] = None,
) -> None:
    """Say that somebody has seen the alert and looks after it."""
    from services.commands.operators import command

    command(_service(context), site, "acknowledge", operator, unit, reason, None, typer.echo)


@alerts_app.command("silence")
def alerts_silence(
    context: typer.Context,
    site: SiteName,
    operator: Annotated[str, typer.Option(help="who says so")],
    reason: Annotated[str, typer.Option(help="for the ledger")],
    until: Annotated[datetime, typer.Option(formats=["%Y-%m-%d", "%Y-%m-%dT%H:%M"], help="UTC")],
    unit: Annotated[str | None, typer.Option(help="slope unit; all without it")] = None,
) -> None:
    """Keep quiet until a moment; a higher level is told all the same."""
    from services.commands.operators import command

    command(_service(context), site, "silence", operator, unit, reason, until, typer.echo)


@alerts_app.command("unsilence")
def alerts_unsilence(
    context: typer.Context,
    site: SiteName,
    operator: Annotated[str, typer.Option(help="who says so")],
    reason: Annotated[str, typer.Option(help="for the ledger")],
    unit: Annotated[str | None, typer.Option(help="slope unit; all without it")] = None,
) -> None:
    """End a silence before its time."""
    from services.commands.operators import command

    command(_service(context), site, "unsilence", operator, unit, reason, None, typer.echo)


def _place(text: str | None) -> tuple[float, float] | None:
    """`LAT,LON` as numbers."""
    if text is None:
        return None
    try:
        lat, lon = (float(part) for part in text.split(","))
    except ValueError:
        raise SlopewatchError(
            f"--at {text!r}: write LAT,LON in degrees, such as 31.0,110.5"
        ) from None
    return lat, lon


def main() -> None:
    """Entry point: a user's mistake is one sentence, never a traceback."""
    try:
        app()
    except SlopewatchError as error:
        typer.echo(f"slopewatch: {error}", err=True)
        sys.exit(1)
    except KeyboardInterrupt:
        typer.echo("stopped", err=True)
        sys.exit(130)


if __name__ == "__main__":
    main()
