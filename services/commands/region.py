"""`slopewatch alerts region`: the units of all sites in one list, ranked by online FDR.

A unit's e-value is made from the newest figure of its rule `edetector` on each track. Its R is no
e-value itself: an e-detector (J. Shin, A. Ramdas and A. Rinaldo, E-detectors, The New England
Journal of Statistics in Data Science 2 (2024)) has a mean of at most the number of epochs so far,
k. So R / k is one after a fixed epoch, R / 2k where the larger of two sides counts, and the mean
over tracks is one, however these hang together. The units are tested by `core.online_fdr` in the
order of epoch day, site and unit, which does not depend on what the e-values are.

At an epoch that was picked because of what R showed (right after an alert, say) R / k is none, and
over many looks at the list more is false than in one.
"""

from __future__ import annotations

from collections.abc import Callable, Iterable, Iterator, Sequence
from contextlib import closing
from datetime import date
from typing import NamedTuple

import msgspec
from msgspec.structs import replace

from core.events import Coverage, Level
from core.geometry import LEAST_LOS_FACTOR
from core.ledger import open_ledger
from core.ledger.ledger import Ledger
from core.online_fdr import e_lond
from core.settings import Service, rank
from services.alerting.rules import edetector
from services.alerting.state import SiteAlerts, UnitAlert, decode_state

Echo = Callable[[str], None]
HEADINGS = ("site", "unit", "level", "coverage", "e-value", "named", "epoch", "alert", "")
NOT_SEEN: tuple[Coverage, ...] = ("blind", "out of range")
ROUNDED = 0.005
"""log10 R is written down to two digits: so much it may be too large."""
PROMISE = (
    "named at q = {q:g}: of the units named in a list like this, read on a day that was not picked "
    "for what it shows, on average at most {percent:g} % have not changed, if innovations of "
    "unchanged slopes are standard normal whatever came before; a unit that is not named is not "
    "safe for that"
)
RANKS_ONLY = "this ranks only: it changes no level and tells nobody"


class UnitEvidence(NamedTuple):
    """The e-value of a unit, the newest epoch day in it, and where there is none why not."""

    e_value: float | None
    epoch: date | None
    lacks: str


class Listed(msgspec.Struct, frozen=True, kw_only=True):
    """One unit. `named_from` is the e-value from which on it is named.

    `e_value` and `named_from` are None where it could not be tested, `lacks` says why; `reason` is
    of its coverage. `alert` is empty at blue.
    """

    site: str
    unit: str
    level: Level
    coverage: Coverage
    reason: str
    e_value: float | None
    epoch: date | None
    lacks: str
    alert: str
    named_from: float | None = None
    named: bool = False


class Region(msgspec.Struct, frozen=True, kw_only=True):
    """The list: units that are not seen, then those named, then the others from `level` on.

    `below`: how many of the others are below it. `retired` and `without_units` are sites.
    """

    q: float
    level: Level
    promise: str
    tested: int
    not_seen: tuple[Listed, ...]
    named: tuple[Listed, ...]
    others: tuple[Listed, ...]
    below: int
    retired: tuple[str, ...]
    without_units: tuple[str, ...]


def show_region(service: Service, level: Level, q: float, as_json: bool, echo: Echo) -> None:
    """Print the ranked list of all sites that the ledger has.

    Raises `BadInputError` for a `q` that is no share between 0 and 1.
    """
    with closing(open_ledger(str(service.ledger))) as ledger:
        states = _states(ledger)
    found = ranked(states, level, q)
    if as_json:
        echo(msgspec.json.format(msgspec.json.encode(found), indent=2).decode())
        return
    if not states:
        echo("the ledger has no site yet: nothing is watched, so there is nothing to rank")
        return
    for line in _lines(found):
        echo(line)


def ranked(states: dict[str, SiteAlerts], level: Level, q: float) -> Region:
    """The list from the state of each site; all units are tested, whatever is then shown."""
    watched = {site: state for site, state in states.items() if not state.retired}
    units = _tested(
        [
            _listed(site, name, unit)
            for site, state in watched.items()
            for name, unit in state.units.items()
        ],
        q,
    )
    seen = [one for one in units if one.coverage not in NOT_SEEN]
    others = [one for one in seen if not one.named]
    shown = [one for one in others if rank(one.level) >= rank(level)]
    return Region(
        q=q,
        level=level,
        promise=PROMISE.format(q=q, percent=100 * q),
        tested=sum(one.e_value is not None for one in units),
        not_seen=_by_level([one for one in units if one.coverage in NOT_SEEN]),
        named=tuple(sorted((one for one in seen if one.named), key=_evidence)),
        others=_by_level(shown),
        below=len(others) - len(shown),
        retired=tuple(site for site in states if site not in watched),
        without_units=tuple(site for site, state in watched.items() if not state.units),
    )


def evidence_of(unit: UnitAlert) -> UnitEvidence:
    """The e-value of one unit: the mean over its tracks of R / k, or R / 2k for either side."""
    values, epochs, lacks = list[float](), list[date](), list[str]()
    for track, votes in sorted(unit.votes.items()):
        for vote in votes:
            if vote.rule != edetector.NAME:
                continue
            run_length = vote.figures.get("log10_run_length_epochs")
            usable = vote.figures.get("usable_epochs")
            if run_length is None or not usable:
                lacks.append(f"{track}: {vote.reason}")
                continue
            sight = unit.sights[track]
            sides = 1 if _one_sided(sight.los_factor) else 2
            values.append(10 ** (run_length - ROUNDED) / (sides * usable))
            epochs.append(sight.epoch)
    if values:
        return UnitEvidence(sum(values) / len(values), max(epochs), "")
    why = "; ".join(lacks) or f"no vote of the rule {edetector.NAME}"
    return UnitEvidence(None, max((s.epoch for s in unit.sights.values()), default=None), why)


def _one_sided(los_factor: float | None) -> bool:
    """Whether downslope is surely seen, so that the rule follows one side alone.

    The site's file may name a side elsewhere too; to halve then is on the safe side.
    """
    return los_factor is not None and abs(los_factor) >= LEAST_LOS_FACTOR


def _states(ledger: Ledger) -> dict[str, SiteAlerts]:
    views = {site: ledger.state(site) for site in ledger.sites()}
    return {site: decode_state(view.state if view else None) for site, view in views.items()}


def _listed(site: str, name: str, unit: UnitAlert) -> Listed:
    """Not yet tested; an alert of an older release goes by the name that means its newest."""
    evidence, case = evidence_of(unit), unit.open_case
    above = f"{site}.{name}" if unit.level != "blue" else ""
    return Listed(
        site=site,
        unit=name,
        level=unit.level,
        coverage=unit.coverage,
        reason=unit.coverage_reason,
        e_value=evidence.e_value,
        epoch=evidence.epoch,
        lacks=evidence.lacks,
        alert=case.id if case else above,
    )


def _tested(units: Sequence[Listed], q: float) -> list[Listed]:
    """The units with what online FDR says of them, in the order of the test; untested ones last."""
    ordered = sorted(units, key=lambda one: (one.epoch or date.min, one.site, one.unit))
    stream = [(one, one.e_value) for one in ordered if one.e_value is not None]
    answers = e_lond((value for _, value in stream), q)
    tested = [
        replace(one, named=answer.named, named_from=1.0 / answer.level)
        for (one, _), answer in zip(stream, answers, strict=True)
    ]
    return [*tested, *(one for one in ordered if one.e_value is None)]


def _evidence(one: Listed) -> tuple[float, int, str, str]:
    """Sorts the strongest evidence first."""
    strength = -1.0 if one.e_value is None else one.e_value
    return (-strength, -rank(one.level), one.site, one.unit)


def _by_level(units: Iterable[Listed]) -> tuple[Listed, ...]:
    return tuple(sorted(units, key=lambda one: (-rank(one.level), *_evidence(one))))


def _lines(found: Region) -> Iterator[str]:
    every = (*found.not_seen, *found.named, *found.others)
    widths = [max(map(len, column)) for column in zip(HEADINGS, *map(_cells, every), strict=True)]
    parts = (
        ("not seen, and silence is not safety", found.not_seen),
        ("named, strongest evidence first", found.named),
        (f"not named, {found.level} and above, highest level first", found.others),
    )
    for title, units in parts:
        yield f"{title}: {len(units) or 'none'}"
        for row in (HEADINGS, *map(_cells, units)) if units else ():
            cells = (cell.ljust(width) for cell, width in zip(row, widths, strict=True))
            yield f"  {'  '.join(cells)}".rstrip()
    if found.below:
        yield f"not named and below {found.level}: {found.below} (`--level blue` shows them)"
    if found.without_units:
        yield f"sites of which no unit is known yet: {', '.join(found.without_units)}"
    if found.retired:
        yield f"retired sites, left out: {', '.join(found.retired)}"
    yield f"{found.tested} units tested; {found.promise}"
    yield RANKS_ONLY


def _cells(one: Listed) -> tuple[str, ...]:
    notes = (one.reason if one.coverage != "watched" else "", one.lacks)
    return (
        one.site,
        one.unit,
        one.level,
        one.coverage,
        "-" if one.e_value is None else f"{one.e_value:.3g}",
        "not tested" if one.e_value is None else "named" if one.named else "no",
        str(one.epoch or "-"),
        one.alert or "-",
        "; ".join(filter(None, notes)),
    )
