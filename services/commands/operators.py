"""An operator's word, put on the log like everything else."""

from __future__ import annotations

from collections.abc import Callable
from datetime import UTC, datetime
from typing import Literal

from core.events import ASSESSMENTS, Event, OperatorCommanded, encode, identity
from core.settings import Service
from services.compose import Slopewatch, load_sites

SEND_TIMEOUT_S = 30.0


def command(
    service: Service,
    site: str,
    what: Literal["acknowledge", "silence", "unsilence"],
    operator: str,
    unit: str | None,
    reason: str,
    until: datetime | None,
    echo: Callable[[str], None],
) -> None:
    """Append `operator commanded` to the site's inbox at alerting."""
    load_sites(service, site)
    with Slopewatch(service, roles=[]) as app:
        now = app.clock.now()
        data = OperatorCommanded(
            command=what,
            operator=operator,
            unit=unit,
            reason=reason,
            until=until.replace(tzinfo=UTC) if until else None,
        )
        event = Event(
            id=identity("operator", site, now.isoformat(), operator, what),
            site=site,
            source="slopewatch/cli",
            valid_time=now,
            available_at=now,
            processed_at=now,
            data=data,
        )
        producer = app.log.producer()
        producer.send(ASSESSMENTS, site, encode(event)).wait(SEND_TIMEOUT_S)
        producer.close()
    echo(f"{what} of {unit or 'all units'} of {site} is on the log")
