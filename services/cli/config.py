"""`slopewatch config`."""

from __future__ import annotations

import typer

from services.cli._shared import AnySite, service_of

app = typer.Typer(help="Check and show the settings.", no_args_is_help=True)


@app.command("check")
def config_check(context: typer.Context) -> None:
    """Check the settings, every site file and every plug-in's settings."""
    from services.commands.config import check

    if not check(service_of(context), typer.echo):
        raise typer.Exit(1)


@app.command("show")
def config_show(context: typer.Context, site: AnySite = None) -> None:
    """Print the settings in force, with the meaning of each."""
    from services.commands.config import show

    typer.echo(show(service_of(context), site), nl=False)
