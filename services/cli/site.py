"""`slopewatch site`."""

from __future__ import annotations

from pathlib import Path
from typing import Annotated

import typer

from core.errors import SlopewatchError
from services.cli._shared import service_of

app = typer.Typer(help="Site files: one YAML file is one watched place.", no_args_is_help=True)


@app.command("new")
def site_new(
    context: typer.Context,
    name: Annotated[str, typer.Argument(help="letters, digits, - and _")],
    source: Annotated[
        Path | None, typer.Option("--from", help="slope units as GeoJSON or KML polygons")
    ] = None,
    at: Annotated[str | None, typer.Option(help="LAT,LON of the slope, in degrees")] = None,
    radius: Annotated[float, typer.Option(help="km round that point")] = 1.0,
    offline: Annotated[bool, typer.Option(help="ask no outside service")] = False,
) -> None:
    """Write a commented site file, with the tracks and stations that can be found."""
    from services.commands.site_new import create

    service = service_of(context)
    create(
        name,
        source=source,
        at=_place(at),
        radius_km=radius,
        service=service,
        path=service.sites / f"{name}.yaml",
        offline=offline,
        echo=typer.echo,
    )


def _place(text: str | None) -> tuple[float, float] | None:
    """`LAT,LON` as numbers."""
    if text is None:
        return None
    try:
        lat, lon = (float(part) for part in text.split(","))
    except ValueError:
        raise SlopewatchError(
            f"--at {text!r}: write LAT,LON in degrees, such as 31.0,110.5"
        ) from None
    return lat, lon
