"""The tables for dashboards from the command line."""

from __future__ import annotations

from collections.abc import Callable

from tqdm import tqdm

from core.errors import SlopewatchError
from core.settings import Service
from services.compose import Slopewatch
from services.projector import schema_version

MEMBER = "rebuild"


def upgrade(service: Service, echo: Callable[[str], None]) -> None:
    """Bring the tables to this release, making them where there are none."""
    before, after = schema_version.upgrade(str(service.projection))
    if before == after:
        echo(f"the projection has schema {after} already")
    elif before is None:
        echo(f"the projection had no tables and has schema {after}")
    else:
        echo(
            f"the projection had schema {before} and has {after}: it is empty until the projector "
            "has read the log again"
        )


def rebuild(service: Service, echo: Callable[[str], None]) -> None:
    """Empty the tables, read the log again, and tell how many rows there are.

    A projector that runs meanwhile fills its share. SlopewatchError when a site stands still.
    """
    with Slopewatch(service, roles=["projector"], member=MEMBER) as app:
        assert app.projection is not None
        app.projection.reset()
        with tqdm(desc="reading", unit="event", unit_scale=True) as bar:
            app.settle(bar.update)
        for name, count in app.projection.counts().items():
            echo(f"{count:10,d}  {name}")
        standing = {n: p.reason for worker in app.workers for n, p in worker.parked.items()}
    for name, reason in sorted(standing.items()):
        raise SlopewatchError(f"site {name} could not be read to its end: {reason}")
