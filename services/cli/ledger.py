"""`slopewatch ledger`."""

from __future__ import annotations

from typing import Annotated

import typer

from services.cli._shared import AnySite, service_of

app = typer.Typer(help="The ledger of decisions.", no_args_is_help=True)


@app.command("export")
def ledger_export(context: typer.Context, site: AnySite = None) -> None:
    """Every decision, one canonical JSON line each."""
    from services.commands.ledgers import export

    export(service_of(context), site)


@app.command("verify")
def ledger_verify(context: typer.Context) -> None:
    """Check every chain, and the heads that alerts and notifications carried."""
    from services.commands.ledgers import verify

    if not verify(service_of(context), typer.echo):
        raise typer.Exit(1)


@app.command("upgrade")
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

    service = service_of(context)
    if down_to is None:
        upgrade_schema(service, typer.echo)
    elif not downgrade_schema(
        service, down_to, typer.echo, lambda: yes or typer.confirm("Go back?")
    ):
        raise typer.Exit(1)
