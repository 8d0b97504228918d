"""An operator's word on an alert: `slopewatch alerts acknowledge`, `silence` and so on."""

from __future__ import annotations

from datetime import datetime
from typing import Annotated, Literal

import typer

from services.cli._shared import SiteName, service_of

Operator = Annotated[str, typer.Option(help="who says so")]
Reason = Annotated[str, typer.Option(help="for the ledger")]
Unit = Annotated[str | None, typer.Option(help="slope unit; all without it")]


def acknowledge(
    context: typer.Context,
    site: SiteName,
    operator: Operator,
    reason: Reason,
    unit: Unit = None,
) -> None:
    """Say that somebody has seen the alert and looks after it."""
    from services.commands import operators

    operators.acknowledge(service_of(context), site, operator, unit, reason, typer.echo)


def silence(
    context: typer.Context,
    site: SiteName,
    operator: Operator,
    reason: Reason,
    until: Annotated[datetime, typer.Option(formats=["%Y-%m-%d", "%Y-%m-%dT%H:%M"], help="UTC")],
    unit: Unit = None,
) -> None:
    """Keep quiet until a moment; a higher level is told all the same."""
    from services.commands import operators

    operators.silence(service_of(context), site, operator, unit, reason, until, typer.echo)


def unsilence(
    context: typer.Context,
    site: SiteName,
    operator: Operator,
    reason: Reason,
    unit: Unit = None,
) -> None:
    """End a silence before its time."""
    from services.commands import operators

    operators.unsilence(service_of(context), site, operator, unit, reason, typer.echo)


def review(
    context: typer.Context,
    site: SiteName,
    operator: Operator,
    reason: Reason,
    unit: Unit = None,
) -> None:
    """Say as the first of two officers that a draft may be released."""
    from services.commands import operators

    operators.review(service_of(context), site, operator, unit, reason, typer.echo)


def release(
    context: typer.Context,
    site: SiteName,
    operator: Operator,
    reason: Reason,
    unit: Unit = None,
) -> None:
    """Release as the second officer what another one reviewed: now it is told."""
    from services.commands import operators

    operators.release(service_of(context), site, operator, unit, reason, typer.echo)


def handover(
    context: typer.Context,
    site: SiteName,
    operator: Operator,
    reason: Reason,
    to: Annotated[str, typer.Option(help="who looks after it from now on")],
    unit: Unit = None,
) -> None:
    """Give the alerts that one owns to another operator."""
    from services.commands import operators

    operators.handover(service_of(context), site, operator, unit, to, reason, typer.echo)


def amend(
    context: typer.Context,
    site: SiteName,
    operator: Operator,
    note: Annotated[str, typer.Option(help="what they are told")],
    unit: Unit = None,
) -> None:
    """Tell everyone who was told of an alert what is to be added or corrected."""
    from services.commands import operators

    operators.amend(service_of(context), site, operator, unit, note, typer.echo)


def cancel(
    context: typer.Context,
    site: SiteName,
    operator: Operator,
    reason: Reason,
    unit: Unit = None,
) -> None:
    """Withdraw an alert; everyone who was told of it hears so."""
    from services.commands import operators

    operators.cancel(service_of(context), site, operator, unit, reason, typer.echo)


def drill(
    context: typer.Context,
    site: SiteName,
    operator: Operator,
    reason: Reason,
    unit: Annotated[str, typer.Option(help="slope unit")],
    level: Annotated[Literal["yellow", "orange", "red"], typer.Option(help="to be exercised")],
) -> None:
    """Exercise a level on a unit, with those alone who take exercises."""
    from services.commands import operators

    operators.drill(service_of(context), site, operator, unit, level, reason, typer.echo)
