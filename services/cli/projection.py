"""`slopewatch projection`."""

from __future__ import annotations

import typer

from services.cli._shared import service_of

app = typer.Typer(help="The tables for dashboards.", no_args_is_help=True)


@app.command("upgrade")
def projection_upgrade(context: typer.Context) -> None:
    """Make the tables of this release; older ones are dropped, the projector fills them again.

    The projector does the same by itself: this is for a database in which it may not.
    """
    from services.commands.projecting import upgrade

    upgrade(service_of(context), typer.echo)


@app.command("rebuild")
def projection_rebuild(context: typer.Context) -> None:
    """Empty the tables and fill them again from the log."""
    from services.commands.projecting import rebuild

    rebuild(service_of(context), typer.echo)
