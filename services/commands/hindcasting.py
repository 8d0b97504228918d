"""`slopewatch hindcast`: a site's past replayed causally, as one HTML report."""

from __future__ import annotations

from collections.abc import Callable, Sequence
from contextlib import closing
from datetime import date, datetime, timedelta
from pathlib import Path
from typing import Any

import msgspec

from core.errors import SlopewatchError
from core.ledger import open_ledger
from core.ledger.ledger import Ledger
from core.settings import Service, Site
from services.commands._site_state import state_of
from services.compose import load_sites
from services.hindcast.replay import Case, replay
from services.hindcast.report import Section, render
from services.hindcast.words import Alert
from services.inference.issuing.archive import SiteHistory, driver_record
from services.inference.issuing.ladder import opened
from services.inference.state import SiteState, day_number
from services.inference.track import Track
from services.inference.trust import priors
from services.inference.trust.gate import LADDER
from services.inference.trust.inner import FEWEST_EPOCHS

Echo = Callable[[str], None]


def hindcast_site(
    service: Service,
    name: str,
    first: date,
    last: date,
    out: Path,
    echo: Echo,
    models: Sequence[str] = (),
) -> None:
    """Replay `name` from `first` to `last` and write the report to `out`.

    `models`: what is fitted each month and may speak, beside the ladder; without any, the ladder.
    Raises `SlopewatchError` for a site without state or days without acquisitions.
    """
    site = load_sites(service, name)[0]
    _check(first, last, out)
    with (
        state_of(service, name, echo) as (state, _),
        closing(open_ledger(str(service.ledger))) as ledger,
    ):
        alerts = alerts_of(ledger, name, last)
        sections = [
            _section(site, state, track, first, last, models, echo)
            for _, track in sorted(state.tracks.items())
            if _epochs(track, last) >= FEWEST_EPOCHS
        ]
    if not sections:
        raise SlopewatchError(
            f"site {name!r} has no track with {FEWEST_EPOCHS} epochs by {last}: choose later days"
        )
    title = site.title or name
    html = render(title, sections, simulated=site.simulated, alerts=alerts)
    out.write_text(html, encoding="utf-8")
    echo(f"hindcast of {title}, {first} to {last}: {out}")


def _check(first: date, last: date, out: Path) -> None:
    if last < first:
        raise SlopewatchError(f"hindcast from {first} to {last}: the last day comes first")
    if not out.parent.is_dir():
        raise SlopewatchError(f"{out.parent} is not a folder: make it, or name another --out")


def _epochs(track: Track, last: date) -> int:
    """Epochs of a track up to a day."""
    return sum(day <= day_number(last) for day in track.days)


def _section(
    site: Site,
    state: SiteState,
    track: Track,
    first: date,
    last: date,
    models: Sequence[str],
    echo: Echo,
) -> Section:
    named = site.model.kind if site.model else None
    wanted = dict.fromkeys((*LADDER, *models, *([named] if named else [])))
    there, absent = opened(wanted, site.model)
    for model, why in absent.items():
        echo(f"track {track.name}: {model} is left out: {why}")
    taught = priors.shipped()
    case = Case(
        name=f"Track {track.name}",
        units=tuple(unit.id for unit in site.slope_units),
        history=SiteHistory(state, track, record=driver_record(state)),
        models=there,
        absent=absent,
        named=named if named in there else None,
        bands=taught.bands,
        reputation=taught.reputation,
    )
    return Section(replay(case, day_number(first), day_number(last), progress=True))


def alerts_of(ledger: Ledger, site: str, last: date) -> list[Alert]:
    """Changes of level that the ledger holds, known up to `last`.

    A change is known on the UTC day that was over at the decision's moment, or is going on.
    """
    found = []
    for decision in ledger.decisions(site):
        body: dict[str, Any] = msgspec.json.decode(decision.body)
        known = (datetime.fromisoformat(body["now"]) - timedelta(microseconds=1)).date()
        for change in body["facts"].get("changes", ()):
            before, after = change["level"]
            if before != after and known <= last:
                found.append(
                    Alert(
                        unit=change["unit"],
                        known=known,
                        arose=date.fromisoformat(change["arose"]),
                        before=before,
                        after=after,
                        reason=change["reason"],
                        told=not change["historical"],
                    )
                )
    return found
