"""`slopewatch cap`."""

from __future__ import annotations

from pathlib import Path
from typing import Annotated

import typer

app = typer.Typer(help="Messages in the Common Alerting Protocol.", no_args_is_help=True)


@app.command("check")
def cap_check(
    files: Annotated[list[Path], typer.Argument(metavar="FILE...", help="CAP 1.2 messages")],
) -> None:
    """Say of files whether they are valid CAP 1.2, and what is wrong with those that are not."""
    from services.commands.capping import check_files

    if not check_files(files, typer.echo):
        raise typer.Exit(1)
