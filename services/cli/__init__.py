"""The command line. Every command imports what it needs when it runs, so that help is quick."""

from __future__ import annotations

import sys
from pathlib import Path
from typing import Annotated

import typer

from core.errors import SlopewatchError
from services.cli import (
    alerts,
    backup,
    cap,
    config,
    forecasts,
    ingest,
    ledger,
    logs,
    operators,
    projection,
    running,
    site,
    twin,
)

app = typer.Typer(
    name="slopewatch",
    help="Watches slopes by satellite, rain and reservoir level, and warns when one accelerates.",
    no_args_is_help=True,
    pretty_exceptions_enable=False,
    rich_markup_mode=None,  # plain help in a third of the time
    add_completion=False,
)
for name, group in {
    "site": site.app,
    "ingest": ingest.app,
    "config": config.app,
    "log": logs.log_app,
    "topics": logs.topics_app,
    "dead-letters": logs.dead_app,
    "twin": twin.app,
    "ledger": ledger.app,
    "projection": projection.app,
    "alerts": alerts.app,
    "cap": cap.app,
    "backup": backup.app,
}.items():
    app.add_typer(group, name=name)
for command in (
    running.demo,
    running.run,
    running.replay,
    running.report,
    forecasts.train,
    forecasts.forecast,
    forecasts.export,
    forecasts.hindcast,
    forecasts.skill,
    forecasts.understand,
    backup.restore,
    running.doctor,
    running.reconcile,
    running.certify,
):
    app.command()(command)
for word in (
    operators.acknowledge,
    operators.silence,
    operators.unsilence,
    operators.review,
    operators.release,
    operators.handover,
    operators.amend,
    operators.cancel,
    operators.drill,
):
    alerts.app.command()(word)


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
