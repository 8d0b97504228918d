"""Commands that run slopewatch, and those that look at how it does."""

from __future__ import annotations

from pathlib import Path
from typing import Annotated

import typer

from services.cli._shared import AnySite, SiteName, SomeSites, service_of


def demo(
    folder: Annotated[Path, typer.Option(help="where the demo keeps its things")] = Path("demo"),
    fresh: Annotated[bool, typer.Option(help="forget what an earlier demo did")] = False,
) -> None:
    """Show three simulated slopes being watched, from the pass to the warning in the inbox."""
    from core.telemetry import configure_logging
    from services.demo.story import run_demo

    configure_logging("warning")
    run_demo(folder, fresh=fresh, echo=typer.echo)


def run(
    context: typer.Context,
    role: Annotated[
        str | None,
        typer.Argument(
            help="ingest, inference, alerting, projector or watchdog; all of them without it"
        ),
    ] = None,
    site: AnySite = None,
    member: Annotated[
        str, typer.Option(help="name of this worker among those of its service, kept over restarts")
    ] = "0",
    sentry: Annotated[bool, typer.Option(hidden=True)] = False,
) -> None:
    """Run the services until stopped; the page is at the printed address."""
    from services.commands.running import run_services

    run_services(service_of(context), role, site, typer.echo, member, sentry=sentry)


def replay(
    context: typer.Context,
    site: SiteName,
    into: Annotated[Path, typer.Option(help="new folder for the replayed state and ledger")],
) -> None:
    """Read a site's log again from the start into a new folder and compare with what stands."""
    from services.commands.replaying import replay_site

    if not replay_site(service_of(context), site, into, typer.echo):
        raise typer.Exit(1)


def report(
    context: typer.Context,
    site: SiteName,
    out: Annotated[Path | None, typer.Option(help="also write the site's page here")] = None,
) -> None:
    """What is known of a site: epochs, rates, network inversion, closure, levels."""
    from services.commands.reporting import report_site

    report_site(service_of(context), site, out, typer.echo)


def doctor(
    context: typer.Context,
    network: Annotated[bool, typer.Option(help="also ask the outside services")] = True,
) -> None:
    """Check what slopewatch stands on and say what to do."""
    from services.commands.doctor import examine, render

    findings = examine(service_of(context), network=network)
    typer.echo(render(findings))
    if any(finding.status == "problem" for finding in findings):
        raise typer.Exit(1)


def reconcile(
    context: typer.Context,
    sites: SomeSites = None,
    days: Annotated[int, typer.Option(min=1, help="how far back to look")] = 60,
) -> None:
    """Compare the passes that were due with those found, processed and told; ask for the rest."""
    from services.commands.reconciling import reconcile as compare

    if not compare(service_of(context), sites, days, typer.echo):
        raise typer.Exit(1)


def certify(
    short: Annotated[bool, typer.Option(help="a tenth of it, in seconds")] = False,
    record: Annotated[
        Path | None, typer.Option(help="write what is found as another certificate to this file")
    ] = None,
) -> None:
    """Replay the frozen suite of simulated slopes; fails when this release warns worse."""
    from services.commands.certifying import certify as replay_suite

    if not replay_suite(short, record, typer.echo):
        raise typer.Exit(1)
