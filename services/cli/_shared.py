"""What the commands share: options that mean the same everywhere, and the settings of the call."""

from __future__ import annotations

from datetime import datetime
from typing import TYPE_CHECKING, Annotated

import typer

if TYPE_CHECKING:
    from core.settings import Service

SiteName = Annotated[str, typer.Option("--site", help="name of the site")]
SomeSites = Annotated[
    str | None, typer.Option("--sites", help="names with commas between; all without it")
]
AnySite = Annotated[str | None, typer.Option("--site", help="name of the site; all without it")]
Day = Annotated[datetime | None, typer.Option(formats=["%Y-%m-%d"], help="UTC day")]


def service_of(context: typer.Context) -> Service:
    """Service settings of this call."""
    from core.settings import load_service
    from core.telemetry import configure_logging

    config, verbose = context.find_root().obj
    configure_logging("debug" if verbose else "info")
    return load_service(config)
