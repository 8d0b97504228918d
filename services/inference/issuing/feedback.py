"""Forecasts that wait to be judged, and what epochs have taught the site's intervals so far.

A forecast is judged by the epochs that arrive later, so it is kept for 45 days, as it was issued.
All of it is small and lies as one packed array in the state's group `feedback`.
"""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field, replace
from typing import Any, Final

import numpy as np
import numpy.typing as npt

from core.artifacts import pack, unpack
from services.inference.known import Known
from services.inference.trust import conformal
from services.inference.trust.conformal import MEMORY_D, Arrived, Issued

_FORECAST: Final = tuple(name for name in Issued._fields if name != "day")


@dataclass(frozen=True)
class Feedback:
    """Feedback on the forecasts of one site.

    `bands`: what the intervals have learned, None until models were fitted. `pending`: by track,
    what was issued for its units in the last 45 days, oldest first. `judged`: by track, how many
    entries of its archive were looked at, in their order of arrival.
    """

    bands: conformal.State | None = None
    pending: Mapping[str, tuple[Issued, ...]] = field(default_factory=dict)
    judged: Mapping[str, int] = field(default_factory=dict)

    def keeping(self, track: str, issued: Issued) -> Feedback:
        """The same with one more forecast; what is too old to be judged goes."""
        since = issued.day - MEMORY_D
        kept = tuple(one for one in self.pending.get(track, ()) if since < one.day != issued.day)
        return replace(self, pending={**self.pending, track: (*kept, issued)})

    def learning(self, track: str, arrived: Sequence[Arrived], judged: int) -> Feedback:
        """The same after epochs of a track have judged the forecasts of their days."""
        bands = self.bands
        for epoch in arrived:
            if bands is not None:
                bands = conformal.learn(bands, epoch, self.pending.get(track, ()))
        return replace(self, bands=bands, judged={**self.judged, track: judged})

    def beginning(self, bands: conformal.State, judged: Mapping[str, int]) -> Feedback:
        """Feedback from here on, after models were fitted: older forecasts are not theirs."""
        return Feedback(bands, {}, dict(judged))


def arrived_on(known: Known, epoch_day: int) -> Arrived:
    """The epoch of one day as the units of a track saw it, NaN where they did not."""
    rows = known.epoch_day[:, 0] == epoch_day if known.epoch_day.size else np.zeros(0, bool)
    seen = known.los_mm[rows][-1] if rows.any() else np.full(known.series, np.nan)
    return Arrived(np.full(known.series, epoch_day, np.int64), seen, known.place)


def packed(feedback: Feedback) -> bytes:
    """The feedback as bytes; the same feedback gives the same bytes."""
    arrays: dict[str, npt.NDArray[Any]] = {}
    if feedback.bands is not None:
        arrays |= {f"bands/{n}": a for n, a in conformal.arrays(feedback.bands).items()}
    for track, kept in feedback.pending.items():
        arrays[f"pending/{track}/day"] = np.array([one.day for one in kept], np.int64)
        for name in _FORECAST:
            arrays[f"pending/{track}/{name}"] = np.stack([getattr(one, name) for one in kept])
    for track, count in feedback.judged.items():
        arrays[f"judged/{track}"] = np.array(count, np.int64)
    return pack(arrays)


def unpacked(content: bytes) -> Feedback:
    """Inverse of `packed`."""
    arrays = unpack(content)
    bands = {n.removeprefix("bands/"): a for n, a in arrays.items() if n.startswith("bands/")}
    days = {n.split("/")[1]: a for n, a in arrays.items() if n.endswith("/day")}
    pending = {
        track: tuple(
            Issued(int(day), *(arrays[f"pending/{track}/{name}"][row] for name in _FORECAST))
            for row, day in enumerate(numbers)
        )
        for track, numbers in days.items()
    }
    judged = {n.split("/")[1]: int(a) for n, a in arrays.items() if n.startswith("judged/")}
    return Feedback(conformal.from_arrays(bands) if bands else None, pending, judged)
