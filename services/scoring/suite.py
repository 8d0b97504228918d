"""The frozen suite of simulated sites that a release is certified on, and its variants.

The sites are of test seeds that no other pool uses. Every group is seen as the radar saw it, with
gaps, and with blind winters; the two variants take epochs away and leave the others as they are, so
that an epoch after a gap carries no more lost cycles than it did. What a certificate records of the
simulation are fingerprints of its bytes and a few sums: bytes may differ between processors, where
sums are taken in another order; the sums may not.
"""

from __future__ import annotations

from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass, fields, replace
from types import MappingProxyType
from typing import Any, Final

import numpy as np
import numpy.typing as npt

from core.twin import SEED_RANGES, Kind, Observed, Truth, fingerprint, observe, simulate
from core.twin.pools.figures import seen_figures, truth_figures
from services.scoring.pool import FLANK_PIXELS, YEAR_DAYS, YEARS
from services.scoring.pools import HYDROLOGY_FAMILIES, OFFSET

Flags = npt.NDArray[np.bool_]

SHORT_PART: Final = 10
"""The short form takes one site in so many of each group, the first ones."""
GAP_EPOCHS: Final = 5
TOLERANCE: Final = 1e-6
"""Largest difference of a sum from the recorded one, relative to it."""
_BEYOND: Final = 100_000
"""Into each block of test seeds: pools take theirs from its beginning."""
_WINTER: Final = (59, 334)
"""First day of March and of December in a year of 365 days from 0."""


@dataclass(frozen=True)
class Group:
    """Sites of one kind: `count` seeds from `first` on; hydrology families by turns."""

    kind: str
    runaway_family: str | None
    hydrology: tuple[str, ...]
    first: int
    count: int

    def short(self) -> Group:
        """The first tenth of it."""
        return replace(self, count=max(self.count // SHORT_PART, 1))


Simulate = Callable[[Group], tuple[Truth, Observed]]


def _groups() -> dict[str, Group]:
    begin = SEED_RANGES["test"].start + _BEYOND
    both, (first, second) = HYDROLOGY_FAMILIES, HYDROLOGY_FAMILIES
    found = {
        "quiet": Group(Kind.QUIET, None, both, begin, 300),
        "aborted": Group(Kind.ABORTED, None, both, begin + OFFSET, 60),
        "step": Group(Kind.STEP, None, both, begin + 2 * OFFSET, 60),
    }
    for block, family in ((3, "voight"), (4, "weakening")):
        for place, hydrology in enumerate((first, second)):
            seed = begin + block * OFFSET + 50 * place
            found[f"failing, {family}, {hydrology}"] = Group(
                Kind.FAILING, family, (hydrology,), seed, 50
            )
    return found


GROUPS: Final[Mapping[str, Group]] = MappingProxyType(_groups())
"""What a new certificate is recorded on."""


def simulated(group: Group) -> tuple[Truth, Observed]:
    """Truth and observation of a group."""
    families = [group.hydrology[n % len(group.hydrology)] for n in range(group.count)]
    truth = simulate(
        range(group.first, group.first + group.count),
        Kind(group.kind),
        years=YEARS,
        runaway_family=group.runaway_family,
        hydrology_family=families,
    )
    return truth, observe(truth, flank_pixels=FLANK_PIXELS)


def first_sites(record: Any, count: int) -> Any:
    """The first `count` sites of a `Truth` or an `Observed`."""
    return type(record)(**{f.name: getattr(record, f.name)[:count] for f in fields(record)})


def without(seen: Observed, dropped: Flags) -> Observed:
    """The observation without the epochs of `dropped` (S, K); padding stays at the end."""
    kept = (seen.epoch_day >= 0) & ~dropped
    order = np.argsort(~kept, axis=1, kind="stable")
    there = np.take_along_axis(kept, order, axis=1)
    # Cycles that an epoch left out had lost are lost at the next one that is kept.
    lost = np.take_along_axis(np.cumsum(seen.wrapped, axis=1), order, axis=1)
    return replace(
        seen,
        epoch_day=np.where(there, np.take_along_axis(seen.epoch_day, order, axis=1), -1),
        arrival_day=np.where(there, np.take_along_axis(seen.arrival_day, order, axis=1), -1),
        los_mm=_epochs(seen.los_mm, order, there),
        sigma_mm=_epochs(seen.sigma_mm, order, there),
        wrapped=(np.diff(lost, axis=1, prepend=0) > 0) & there,
    )


def _epochs(
    series: npt.NDArray[np.float64], order: npt.NDArray[np.intp], there: Flags
) -> npt.NDArray[np.float64]:
    """(S, K, P) in the order of the epochs kept, NaN in padding."""
    taken = np.take_along_axis(series, order[..., None], axis=1)
    return np.where(there[..., None], taken, np.nan)


def with_gaps(truth: Truth, seen: Observed) -> Observed:
    """Five epochs in a row missing each year; which ones depends on the site's seed alone."""
    dropped = np.zeros(seen.epoch_day.shape, dtype=bool)
    for row, seed in enumerate(truth.seeds):
        year = np.where(seen.epoch_day[row] >= 0, seen.epoch_day[row] // YEAR_DAYS, -1)
        for number in range(truth.rain_mm.shape[1] // YEAR_DAYS):
            here = np.flatnonzero(year == number)
            starts = max(len(here) - GAP_EPOCHS + 1, 1)
            start = int(np.random.default_rng([int(seed), number]).integers(starts))
            dropped[row, here[start : start + GAP_EPOCHS]] = True
    return without(seen, dropped)


def with_blind_winters(truth: Truth, seen: Observed) -> Observed:
    """No epoch from December to February."""
    day = seen.epoch_day % YEAR_DAYS
    march, december = _WINTER
    return without(seen, (day < march) | (day >= december))


Variant = Callable[[Truth, Observed], Observed]
VARIANTS: Final[Mapping[str, Variant]] = MappingProxyType(
    {
        "as seen": lambda _, seen: seen,
        "gaps": with_gaps,
        "blind winters": with_blind_winters,
    }
)


def fingerprints(truth: Truth, seen: Mapping[str, Observed]) -> dict[str, str]:
    """Fingerprints of the truth of a group and of what was seen of it, by variant."""
    return {"truth": fingerprint(truth), **{name: fingerprint(one) for name, one in seen.items()}}


def sums(truth: Truth, seen: Mapping[str, Observed]) -> dict[str, float]:
    """Sums over the sites of a group, by which a changed simulation is noticed."""
    parts = {"truth": truth_figures(truth)} | {n: seen_figures(one) for n, one in seen.items()}
    return {
        f"{part}, {name}": float(np.abs(np.asarray(values, float)).sum())
        for part, figures in parts.items()
        for name, values in figures.items()
        if name != "kind"
    }


def changed(recorded: Mapping[str, float], now: Mapping[str, float]) -> Sequence[str]:
    """Names of the sums that are no longer the recorded ones."""
    return [
        name
        for name in sorted({*recorded, *now})
        if not np.isclose(
            now.get(name, np.nan), recorded.get(name, np.nan), rtol=TOLERANCE, atol=TOLERANCE
        )
    ]
