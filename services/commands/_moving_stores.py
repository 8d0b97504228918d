"""Moving house, the stores: where each stage stands with every site, and copies of them."""

from __future__ import annotations

from collections.abc import Callable, Mapping
from contextlib import closing

import msgspec

from core.errors import SettingsError, SlopewatchError
from core.ledger.carrying import Place
from core.ledger.ledger import Ledger
from core.stage import Bookmark
from core.statestore import Drop, Put, SiteRepository, States, equal
from services.inference.store import POSITION_ATTRS

Echo = Callable[[str], None]


def state_marks(states: States) -> dict[str, Bookmark]:
    """The bookmark of every site with a state."""
    marks = {}
    for name in states.sites():
        with closing(states.open(name)) as site:
            if attrs := site.attrs():
                marks[name] = msgspec.convert(attrs["bookmark"], Bookmark)
    return marks


def ledger_marks(ledger: Ledger) -> dict[str, Bookmark]:
    """The bookmark of every site in the ledger."""
    views = {name: ledger.state(name) for name in ledger.sites()}
    return {name: view.bookmark for name, view in views.items() if view is not None}


def place_states(states: States, places: Mapping[str, Place]) -> None:
    """Give each site its place on another log, in one commit a site; all else stays."""
    for name, place in places.items():
        with closing(states.open(name)) as site:
            mark = msgspec.convert(site.attrs()["bookmark"], Bookmark)
            if mark.log_id != place.log_id:
                moved = msgspec.structs.replace(mark, **place._asdict())
                attrs = {**site.attrs(), "bookmark": msgspec.to_builtins(moved)}
                site.commit([], attrs, site.outcomes())


def copy_states(source: States, target: States, old_id: str, new_id: str, echo: Echo) -> None:
    """Copy every site's present state, one commit a site; what is there already stays.

    `old_id` and `new_id` are the inboxes that a site may stand on: one on the new one is in
    force, and left alone. Raises SettingsError for a site that was not copied from here.
    """
    marks, there = state_marks(source), state_marks(target)
    for name, mark in there.items():
        if name not in marks or mark.log_id not in {old_id, new_id}:
            raise SettingsError(
                f"the new state store holds a site {name} that is not the old one's: "
                "name an empty place"
            )
    copied = 0
    for name in marks:
        if name in there and there[name].log_id == new_id:
            continue
        with closing(source.open(name)) as a, closing(target.open(name)) as b:
            copied += copy_site(name, a, b)
    echo(f"state: {copied} sites copied, {len(marks) - copied} were there already")


def copy_site(name: str, source: SiteRepository, target: SiteRepository) -> bool:
    """Copy a site's present state in one commit and compare; whether anything had to be written."""
    if target.attrs() and _same(source, target):
        return False
    written = [Put(group, source.read(group)) for group in source.groups()]
    dropped = [Drop(group) for group in target.groups() if group not in source.groups()]
    target.commit([*dropped, *written], source.attrs(), source.outcomes())
    if not _same(source, target):
        raise SlopewatchError(f"the copied state of site {name} differs from the old one")
    return True


def _same(a: SiteRepository, b: SiteRepository) -> bool:
    return a.outcomes() == b.outcomes() and not equal(a, b, POSITION_ATTRS)


def copy_ledger(source: Ledger, target: Ledger, new_id: str, echo: Echo) -> None:
    """Copy every row, unless the copy stands on the log `new_id` and is in force; then verify."""
    if any(mark.log_id == new_id for mark in ledger_marks(target).values()):
        echo("ledger: the copy is in force already")
        return
    rows = source.copy_into(target)
    lines = list(source.export())
    problems = target.verify()
    if list(target.export()) != lines or problems:
        raise SlopewatchError(
            f"the copied ledger is not the old one ({'; '.join(problems) or 'other decisions'}): "
            "empty the new database, then run this again"
        )
    told = f"{rows} rows copied" if rows else "was there already"
    echo(f"ledger: {told}; its {len(lines)} decisions are equal, its chains are whole")
