"""`slopewatch alerts`: what stands, why it was said, and an operator's word on it."""

from __future__ import annotations

from pathlib import Path
from typing import Annotated, Literal

import typer

from services.cli._shared import AnySite, service_of

app = typer.Typer(
    help="What stands and why it was said; an operator's word on it.", no_args_is_help=True
)

AlertName = Annotated[
    str,
    typer.Argument(
        metavar="ID",
        help="of the alert (SITE.UNIT.NUMBER); SITE.UNIT means its newest, and the id of a "
        "notification the alert that it told of",
    ),
]


@app.command("list")
def alerts_list(
    context: typer.Context,
    site: AnySite = None,
    closed_too: Annotated[bool, typer.Option("--all", help="also those that are over")] = False,
) -> None:
    """One line an alert: level, since when, coverage, owner, and what waits."""
    from services.commands.alerts import list_alerts

    list_alerts(service_of(context), site, closed_too, typer.echo)


@app.command("region")
def alerts_region(
    context: typer.Context,
    level: Annotated[
        Literal["blue", "yellow", "orange", "red"],
        typer.Option(help="of units that are not named, the lowest to be shown"),
    ] = "yellow",
    q: Annotated[float, typer.Option("--q", help="share of false ones among those named")] = 0.1,
    as_json: Annotated[bool, typer.Option("--json", help="all of it, as JSON")] = False,
) -> None:
    """The units of all sites in one list, ranked by online FDR; it changes no level."""
    from services.commands.region import show_region

    show_region(service_of(context), level, q, as_json, typer.echo)


@app.command("explain")
def alerts_explain(
    context: typer.Context,
    alert: AlertName,
    as_json: Annotated[bool, typer.Option("--json", help="all of it, as JSON")] = False,
) -> None:
    """Why it was said: decisions, votes, evidence, down to scenes, rain and level rows."""
    from services.commands.explaining import explain

    if not explain(service_of(context), alert, as_json, typer.echo):
        raise typer.Exit(1)


@app.command("reproduce")
def alerts_reproduce(context: typer.Context, alert: AlertName) -> None:
    """Run rules and decisions again on the recorded inputs; they must be equal to the byte."""
    from services.commands.reproducing import reproduce

    if not reproduce(service_of(context), alert, typer.echo):
        raise typer.Exit(1)


@app.command("contacts")
def alerts_contacts(context: typer.Context, site: AnySite = None) -> None:
    """Who of each site can be reached, by what senders wrote down; fails when somebody cannot."""
    from services.commands.contacts import report

    if not report(service_of(context), site, typer.echo):
        raise typer.Exit(1)


@app.command("tune")
def alerts_tune(
    context: typer.Context,
    out: Annotated[Path, typer.Option(help="table to write; its name is its version: NAME.json")],
    yellow: Annotated[float | None, typer.Option(help="false alarms a unit-year; 0.3")] = None,
    orange: Annotated[float | None, typer.Option(help="false alarms a unit-year; 0.1")] = None,
    red: Annotated[float | None, typer.Option(help="false alarms a unit-year; 0.01")] = None,
    site: AnySite = None,
    plot: Annotated[
        Path | None, typer.Option(help="draw lead time against false alarms: .png, .svg or .pdf")
    ] = None,
    quick: Annotated[bool, typer.Option(help="few sites; a look, not for use")] = False,
) -> None:
    """Find limits for a budget of false alarms, and show what they cost in lead time."""
    from services.commands.tuning import tune

    asked = {"yellow": yellow, "orange": orange, "red": red}
    budgets = {level: budget for level, budget in asked.items() if budget is not None}
    tune(service_of(context), out, budgets, quick, site, plot, typer.echo)
