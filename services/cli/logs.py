"""`slopewatch log`, `topics` and `dead-letters`."""

from __future__ import annotations

from typing import Annotated

import typer

from services.cli._shared import AnySite, service_of

log_app = typer.Typer(help="Read the event log, or move to another.", no_args_is_help=True)
topics_app = typer.Typer(help="The topics of the log.", no_args_is_help=True)
dead_app = typer.Typer(help="Input that could not be used.", no_args_is_help=True)


@log_app.command("tail")
def log_tail(
    context: typer.Context,
    topic: Annotated[
        str, typer.Argument(help="observations, assessments, alerts or dead-letters")
    ] = "alerts",
    site: AnySite = None,
    count: Annotated[int, typer.Option("--count", "-n", help="how many of the newest")] = 20,
) -> None:
    """One line for each of the newest events of a topic."""
    from services.commands.logs import tail

    tail(service_of(context), topic, site, count, typer.echo)


@log_app.command("show")
def log_show(
    context: typer.Context,
    event: Annotated[str, typer.Argument(help="id of the event, or its start")],
) -> None:
    """One event, whole."""
    from services.commands.logs import show

    show(service_of(context), event, typer.echo)


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
    copy_log(service_of(context), source, target, into, typer.echo)


@topics_app.command("create")
def topics_create(context: typer.Context) -> None:
    """Make the topics that are missing; on a broker this is done once, before the services."""
    from services.commands.topics import create_topics

    create_topics(service_of(context), typer.echo)


@topics_app.command("list")
def topics_list(context: typer.Context) -> None:
    """One line for each topic: partitions, how long it is kept, records."""
    from services.commands.topics import list_topics

    list_topics(service_of(context), typer.echo)


@dead_app.command("list")
def dead_list(context: typer.Context, site: AnySite = None) -> None:
    """Every dead letter: id, site, numbered reason."""
    from services.commands.logs import list_dead

    list_dead(service_of(context), site, typer.echo)


@dead_app.command("show")
def dead_show(
    context: typer.Context, letter: Annotated[str, typer.Argument(help="id, or its start")]
) -> None:
    """One dead letter with its payload."""
    from services.commands.logs import show_dead

    show_dead(service_of(context), letter, typer.echo)


@dead_app.command("retry")
def dead_retry(
    context: typer.Context, letter: Annotated[str, typer.Argument(help="id, or its start")]
) -> None:
    """Put the event of a dead letter on the log again, after its cause was mended."""
    from services.commands.logs import retry_dead

    retry_dead(service_of(context), letter, typer.echo)
