"""Asking for news: commands that any process may run, any number of times."""

from __future__ import annotations

from collections.abc import Callable, Sequence

import msgspec

from core.errors import SettingsError, SlopewatchError
from core.notes import open_notes
from core.settings import Service, Site
from services.compose import Slopewatch, load_sites
from services.ingest.announced import miss_vanished
from services.ingest.feed import DATA, Datum
from services.ingest.memory import Memory
from services.ingest.service import Poll
from services.schedule import announce

Echo = Callable[[str], None]


def list_groups(service: Service, size: int, echo: Echo) -> None:
    """Names of the sites that are not retired, in groups of at most `size`, as a line of JSON."""
    sites = load_sites(service, without_broken=True)
    miss_vanished(Memory(open_notes(str(service.memory))), sites)
    names = [site.name for site in sites if not site.retired]
    groups = [names[n : n + size] for n in range(0, len(names), size)]
    echo(msgspec.json.encode(groups).decode())


def ask_for_news(service: Service, kind: str, names: str | None, echo: Echo) -> bool:
    """Ask the feeds of these sites that bring `kind`; False when a feed or a site failed.

    What changed in the site files is said first; a new site's history is taken in first.
    """
    datum = _datum(kind)
    sites, well = chosen(service, names, echo)
    with Slopewatch(service, roles=["ingest"]) as app:
        announce(app, sites)
        begun = _begin(app, sites, echo)
        well = well and len(begun) == len([site for site in sites if not site.retired])
        for name, poll in app.ingest.news([site for site, _ in begun], datum).items():
            echo(f"{name}: {_summary(poll) or f'no feed brings {datum}'}")
            _complain(name, poll, echo)
            well = well and not poll.failed
    return well and not any(poll.failed for _, poll in begun)


def close_days(service: Service, names: str | None, echo: Echo) -> bool:
    """Close all days of these sites that are over; False when it failed for a site."""
    sites, well = chosen(service, names, echo)
    with Slopewatch(service, roles=["ingest"]) as app:
        announce(app, sites)
        begun = _begin(app, sites, echo)
        well = well and len(begun) == len([site for site in sites if not site.retired])
        for site, poll in begun:
            try:
                closed = poll.closed + app.ingest.close_days(site)
            except SlopewatchError as error:
                echo(f"{site.name}: days not closed: {error}")
                well = False
                continue
            echo(f"{site.name}: {closed} days closed")
    return well


def _datum(kind: str) -> Datum:
    for datum in DATA:
        if datum == kind:
            return datum
    raise SettingsError(f"no feed brings {kind!r}; choose {', '.join(DATA)}")


def chosen(service: Service, names: str | None, echo: Echo) -> tuple[list[Site], bool]:
    """The sites of these names, all without names; and whether every one of them was found."""
    sites = {site.name: site for site in load_sites(service, without_broken=True)}
    if names is None:
        return list(sites.values()), True
    wanted = list(dict.fromkeys(name.strip() for name in names.split(",") if name.strip()))
    if not wanted:
        raise SettingsError("--sites names no site: write --sites NAME,NAME or leave it out")
    missing = [name for name in wanted if name not in sites]
    for name in missing:
        echo(f"{name}: no readable site file in {service.sites}: mend it, or retire the site")
    return [sites[name] for name in wanted if name in sites], not missing


def _begin(app: Slopewatch, sites: Sequence[Site], echo: Echo) -> list[tuple[Site, Poll]]:
    """The watched sites that can be asked, and what the history of the new ones brought."""
    begun = []
    for site in sites:
        if site.retired:
            echo(f"{site.name}: retired, not asked")
            continue
        try:
            poll = app.ingest.begin(site)
        except SlopewatchError as error:
            # One site's trouble must not keep the others from being asked.
            echo(f"{site.name}: history not taken in: {error}")
            continue
        if poll is not None:
            echo(f"{site.name}: new site, history of {poll.closed} days: {_summary(poll)}")
            _complain(site.name, poll, echo)
        begun.append((site, poll or Poll()))
    return begun


def _summary(poll: Poll) -> str:
    parts = [
        f"{feed} {count}, {poll.appended[feed]} of them new"
        for feed, count in poll.observations.items()
    ]
    parts += [f"{what} {count} rejected" for what, count in poll.rejections.items()]
    return "; ".join([*parts, *(f"{feed} failed" for feed in poll.failed)])


def _complain(name: str, poll: Poll, echo: Echo) -> None:
    for feed, reason in poll.failed.items():
        echo(f"{name}: {feed} failed: {reason}")
