"""An operator's word, put on the log like everything else.

What can be seen to be impossible from here is refused at once; what only alerting knows (whose
alert it is, whether a draft waits) makes the command a dead letter with the reason.
"""

from __future__ import annotations

from collections.abc import Callable
from datetime import UTC, datetime

import msgspec

from core.errors import SettingsError
from core.events import ASSESSMENTS, Event, Level, OperatorCommanded, encode, identity
from core.settings import Service, Site
from services.compose import Slopewatch, load_sites

SEND_TIMEOUT_S = 30.0
Echo = Callable[[str], None]


def acknowledge(
    service: Service, site: str, operator: str, unit: str | None, reason: str, echo: Echo
) -> None:
    """Own the open alert of a unit, or of all units: nobody is called any more."""
    _put(service, site, _said("acknowledge", operator, unit, reason), echo)


def silence(
    service: Service,
    site: str,
    operator: str,
    unit: str | None,
    reason: str,
    until: datetime,
    echo: Echo,
) -> None:
    """Keep news up to the present level back until a moment, UTC where it has no offset."""
    moment = until if until.tzinfo else until.replace(tzinfo=UTC)
    _put(service, site, _said("silence", operator, unit, reason, until=moment), echo)


def unsilence(
    service: Service, site: str, operator: str, unit: str | None, reason: str, echo: Echo
) -> None:
    """End a silence before its time."""
    _put(service, site, _said("unsilence", operator, unit, reason), echo)


def review(
    service: Service, site: str, operator: str, unit: str | None, reason: str, echo: Echo
) -> None:
    """Say as the first officer that a draft may be released."""
    _put(service, site, _said("review", operator, unit, reason), echo)


def release(
    service: Service, site: str, operator: str, unit: str | None, reason: str, echo: Echo
) -> None:
    """Release as the second officer what another one reviewed: now it is told."""
    _put(service, site, _said("release", operator, unit, reason), echo)


def handover(
    service: Service, site: str, operator: str, unit: str | None, to: str, reason: str, echo: Echo
) -> None:
    """Give the alerts that one owns to another operator."""
    _put(service, site, _said("hand over", operator, unit, reason, to=to), echo)


def amend(
    service: Service, site: str, operator: str, unit: str | None, note: str, echo: Echo
) -> None:
    """Tell everyone who was told of an alert what is to be added or corrected."""
    _put(service, site, _said("amend", operator, unit, note), echo)


def cancel(
    service: Service, site: str, operator: str, unit: str | None, reason: str, echo: Echo
) -> None:
    """Withdraw an alert; fresh data may raise another."""
    _put(service, site, _said("cancel", operator, unit, reason), echo)


def drill(
    service: Service, site: str, operator: str, unit: str, level: Level, reason: str, echo: Echo
) -> None:
    """Exercise a level on a unit, with those who take exercises."""
    _put(service, site, _said("drill", operator, unit, reason, level=level), echo)


def _said(
    command: str, operator: str, unit: str | None, reason: str, **more: object
) -> OperatorCommanded:
    """The payload; SettingsError for what is no command, such as an unknown level."""
    tree = {"command": command, "operator": operator, "unit": unit, "reason": reason, **more}
    try:
        return msgspec.convert(tree, OperatorCommanded)
    except msgspec.ValidationError as error:
        raise SettingsError(f"{command}: {error}") from error


def _put(service: Service, name: str, data: OperatorCommanded, echo: Echo) -> None:
    """Append `operator commanded` to the site's inbox at alerting."""
    (site,) = load_sites(service, name)
    _check(site, data)
    with Slopewatch(service, roles=[]) as app:
        now = app.clock.now()
        event = Event(
            id=identity(
                "operator", name, now.isoformat(), data.operator, data.command, data.unit or "*"
            ),
            site=name,
            source="slopewatch/cli",
            valid_time=now,
            available_at=now,
            processed_at=now,
            data=data,
        )
        producer = app.log.producer()
        producer.send(ASSESSMENTS, name, encode(event)).wait(SEND_TIMEOUT_S)
        producer.close()
    echo(f"{data.command} of {data.unit or 'all units'} of {name} is on the log")


def _check(site: Site, data: OperatorCommanded) -> None:
    """Raise SettingsError for what the site's file shows to be impossible."""
    units = [unit.id for unit in site.slope_units]
    if data.unit is not None and data.unit not in units:
        raise SettingsError(
            f"site {site.name} has no slope unit {data.unit!r}; known: {', '.join(units)}"
        )
    for what, text in (("operator's name", data.operator), ("reason", data.reason)):
        if not text.strip():
            raise SettingsError(f"{data.command} needs a {what}: leave none empty")
    if data.command in ("review", "release"):
        officers = site.two_persons.officers if site.two_persons else ()
        if data.operator not in officers:
            raise SettingsError(
                f"{data.operator} is no officer of site {site.name} who may {data.command}; "
                f"officers: {', '.join(officers) or 'none, its file has no two_persons'}"
            )
