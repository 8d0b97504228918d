"""`slopewatch ingest`."""

from __future__ import annotations

from typing import Annotated

import typer

from services.cli._shared import Day, SiteName, SomeSites, service_of

app = typer.Typer(help="Ask feeds and sources by hand.", no_args_is_help=True)


@app.command("poll")
def ingest_poll(
    context: typer.Context,
    feed: Annotated[str, typer.Argument(help="kind of the feed or source, as in the site file")],
    site: SiteName,
    since: Day = None,
    until: Day = None,
) -> None:
    """Ask one feed once; what it says is available now."""
    from services.commands.polling import poll_feed

    poll_feed(service_of(context), site, feed, since, until, typer.echo)


@app.command("backfill")
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

    backfill_site(service_of(context), site, since, until, typer.echo, append=append)


@app.command("groups")
def ingest_groups(
    context: typer.Context,
    size: Annotated[int, typer.Option(min=1, help="most sites in a group")] = 50,
) -> None:
    """Print the names of the watched sites in groups, as one line of JSON."""
    from services.commands.news import list_groups

    list_groups(service_of(context), size, typer.echo)


@app.command("news")
def ingest_news(
    context: typer.Context,
    kind: Annotated[str, typer.Argument(help="acquisitions, rainfall or level")],
    sites: SomeSites = None,
) -> None:
    """Ask for what is new of one kind, and say what changed in the site files before."""
    from services.commands.news import ask_for_news

    if not ask_for_news(service_of(context), kind, sites, typer.echo):
        raise typer.Exit(1)


@app.command("close-days")
def ingest_close_days(context: typer.Context, sites: SomeSites = None) -> None:
    """Close every UTC day that is over and not closed yet, in order."""
    from services.commands.news import close_days

    if not close_days(service_of(context), sites, typer.echo):
        raise typer.Exit(1)
