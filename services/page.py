"""The page of a running slopewatch: what its stores know, as `services.console` draws it."""

from __future__ import annotations

from core.errors import SlopewatchError
from services.compose import Slopewatch, load_sites
from services.console.page import render
from services.console.view import SiteView
from services.view import view_site


def views(app: Slopewatch, only: str | None = None) -> list[SiteView]:
    """One view a site file, in the order of the files."""
    if app.states is None or app.ledger is None:
        raise SlopewatchError("the page needs inference and alerting in this process")
    parked = {name: p.reason for worker in app.workers for name, p in worker.parked.items()}
    return [
        view_site(site, app.states, app.ledger, app.artifacts, app.clock, parked.get(site.name, ""))
        for site in load_sites(app.service, only)
    ]


def render_sites(app: Slopewatch, only: str | None = None) -> str:
    """The page as one HTML text."""
    title = f"slopewatch: {only}" if only else "slopewatch"
    return render(views(app, only), title=title)
