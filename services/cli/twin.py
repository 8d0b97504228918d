"""`slopewatch twin`."""

from __future__ import annotations

from pathlib import Path
from typing import Annotated

import typer

app = typer.Typer(help="Simulated slopes: the frozen pools.", no_args_is_help=True)

Role = Annotated[str, typer.Option("--role", help="training, development, test or events")]
NoiseName = Annotated[str, typer.Option("--noise", help="white-3, white-5 or radar")]


@app.command("make")
def twin_make(
    role: Role,
    out: Annotated[Path, typer.Option(help="the file, ending in .nc")],
    noise: NoiseName = "radar",
    sites: Annotated[
        int | None, typer.Option(help="how many, from the first; all without it")
    ] = None,
) -> None:
    """Write a pool of simulated slopes as netCDF: truth, what was seen, what had been issued."""
    from services.commands.twins import make_twin

    make_twin(role, noise, out, sites, typer.echo)


@app.command("plot")
def twin_plot(
    role: Role,
    out: Annotated[Path, typer.Option(help="the picture, ending in .png, .svg or .pdf")],
    site: Annotated[int, typer.Option(help="number of the slope in its pool, from 0")] = 0,
    noise: NoiseName = "radar",
) -> None:
    """Draw one simulated slope: rain, level, and its toe and ridge as they moved and were seen."""
    from services.commands.twins import plot_twin

    plot_twin(role, noise, site, out, typer.echo)
