"""Which passes of the satellites were due, and what became of each."""

from __future__ import annotations

from collections.abc import Iterable, Mapping, Sequence
from datetime import date, timedelta
from typing import NamedTuple

SAME_PASS = timedelta(days=1)
"""A pass that is due on a day and one that is found belong together so far apart."""


class Pass(NamedTuple):
    """One pass of a satellite over the site: its relative orbit and its UTC day."""

    orbit: str
    day: date


class Account(NamedTuple):
    """Passes that were due, by what became of them.

    `missing` were due and not found in the catalogue; `unprocessed` were found and have brought no
    displacement; `processed` have.
    """

    missing: tuple[Pass, ...]
    unprocessed: tuple[Pass, ...]
    processed: tuple[Pass, ...]


def due_days(found: Iterable[date], repeat_days: int, since: date, until: date) -> list[date]:
    """Days in [since, until] on which an orbit was due, counted back and on from its newest pass.

    It was due on no day before its first pass; an orbit without one is never due.
    """
    days = sorted(found)
    if not days:
        return []
    since, newest = max(since, days[0]), days[-1]
    first = (since - newest).days // repeat_days
    last = (until - newest).days // repeat_days
    every = [newest + timedelta(days=repeat_days * n) for n in range(first, last + 1)]
    return [day for day in every if since <= day <= until]


def account(
    found: Mapping[str, Sequence[date]],
    epochs: Iterable[date],
    repeat_days: int,
    since: date,
    until: date,
) -> Account:
    """What became of every pass in [since, until]: those that were due and those found besides.

    `found` are the days of the passes in the catalogue, by orbit; `epochs` the days of which there
    is displacement, whatever track brought it.
    """
    known = set(epochs)
    missing: list[Pass] = []
    unprocessed: list[Pass] = []
    processed: list[Pass] = []
    for orbit, days in sorted(found.items()):
        seen = sorted({day for day in days if since <= day <= until})
        for day in seen:
            (processed if _near(day, known) else unprocessed).append(Pass(orbit, day))
        missing += [
            Pass(orbit, day)
            for day in due_days(days, repeat_days, since, until)
            if not _near(day, set(seen))
        ]
    return Account(tuple(missing), tuple(unprocessed), tuple(processed))


def _near(day: date, days: set[date]) -> bool:
    return any(abs(other - day) <= SAME_PASS for other in days)
