"""What was known at the end of a day: all that a forecast model ever sees.

Days are whole numbers: since 1970-01-01 for sites, since the record's first day for pools. A datum
is in a `Known` of `day` only if its `available_at` lies before the end of that day.
"""

from __future__ import annotations

from dataclasses import dataclass
from typing import NamedTuple, Protocol

import numpy as np
import numpy.typing as npt

from core.evidence import Floats

Ints = npt.NDArray[np.int64]
Flags = npt.NDArray[np.bool_]

FURTHEST_D = 30
"""Days ahead that a forecast reaches."""


class Drivers(NamedTuple):
    """Daily rain and reservoir level of D places, from `first_day` to 30 days past the issue day.

    Arrays are (T, D), one row a day. NaN = nothing known of that day. `*_issued` marks what is not
    an observation but a forecast or a plan that had been issued by the issue day; observed values
    end where their latency says.
    """

    first_day: int
    rain_mm: Floats
    level_m: Floats
    rain_issued: Flags
    level_issued: Flags


class Setting(NamedTuple):
    """What stands still about S series; NaN where nobody knows it. All (S,)."""

    los_factor: Floats
    """LOS mm toward the satellite for a mm downslope, signed."""
    bank_distance_m: Floats
    height_m: Floats
    """Above the bank."""
    position: Floats
    """Along the slope, 0 at its toe and 1 at its head."""


@dataclass(frozen=True)
class Known:
    """S displacement series and their drivers as known at the end of `day`.

    `epoch_day` (K, S) ascends along each series; a series with fewer epochs is padded at its end
    with its last day and NaN values. `los_mm` is cumulative on the series' own zero, positive
    toward the satellite, NaN where not measured; `sd_mm` is the standard deviation of that value
    as an observation, atmosphere included. `place` (S,) is the series' column in `drivers`, and
    series with one place belong to one slope.
    """

    day: int
    epoch_day: Ints
    los_mm: Floats
    sd_mm: Floats
    place: Ints
    drivers: Drivers
    setting: Setting

    @property
    def series(self) -> int:
        """Number of series, S."""
        return self.place.size


class History(Protocol):
    """A record that says what was known at any day since `first_day`."""

    @property
    def first_day(self) -> int:
        """The first day of which anything is known."""
        ...

    def known(self, day: int) -> Known:
        """Everything known at the end of `day`, and nothing else."""
        ...
