"""`slopewatch backup` and `slopewatch restore`."""

from __future__ import annotations

from typing import Annotated

import typer

from services.cli._shared import service_of

app = typer.Typer(help="Backups of everything, made while the services run.")
From = Annotated[str, typer.Option("--from", help="folder or s3://bucket/prefix with backups")]
Name = Annotated[
    str | None,
    typer.Option("--backup", help="name of the backup, or its start; the newest without"),
]


@app.callback(invoke_without_command=True)
def backup(
    context: typer.Context,
    to: Annotated[str | None, typer.Option(help="folder or s3://bucket/prefix to copy to")] = None,
    keep: Annotated[
        int | None, typer.Option(min=1, help="how many backups to keep there; all without")
    ] = None,
) -> None:
    """Back everything up: ledger, state, artifacts, memory, log last. The services may run."""
    if context.invoked_subcommand is not None:
        return
    if to is None:
        raise typer.BadParameter("say where to: --to FOLDER or --to s3://bucket/prefix")
    from services.commands.backing_up import back_up

    back_up(service_of(context), to, typer.echo, keep=keep)


@app.command("list")
def backup_list(source: From) -> None:
    """One line for each backup, the oldest first."""
    from services.commands.restoring import list_backups

    list_backups(source, typer.echo)


@app.command("verify")
def backup_verify(source: From, name: Name = None) -> None:
    """Read a backup again: every byte against its hash, every chain, every place."""
    from services.commands.restoring import verify

    typer.echo(f"backup {verify(source, name, typer.echo)} can be restored")


def restore(
    context: typer.Context,
    source: From,
    name: Name = None,
    only: Annotated[
        list[str] | None,
        typer.Option(help="restore this store alone, beside the others; may be given again"),
    ] = None,
) -> None:
    """Restore a backup into the empty stores of the settings; stop the services first."""
    from services.commands.restoring import restore as restore_backup

    restore_backup(service_of(context), source, typer.echo, name=name, only=only or ())
