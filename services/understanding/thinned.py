"""Some series of a record, as a record."""

from __future__ import annotations

from dataclasses import replace

import numpy as np

from services.inference.known import History, Ints, Known, Setting

MOST = 200
"""Points read for a map: more would say no more, and take minutes."""


class Thinned:
    """`services.inference.known.History` of chosen series of another one."""

    def __init__(self, history: History, series: Ints) -> None:
        self._history = history
        self._series = series

    @property
    def first_day(self) -> int:
        """The first day of which anything is known."""
        return self._history.first_day

    def known(self, day: int) -> Known:
        """Everything known at the end of `day` of the chosen series, in their order."""
        known, use = self._history.known(day), self._series
        return replace(
            known,
            epoch_day=known.epoch_day[:, use],
            los_mm=known.los_mm[:, use],
            sd_mm=known.sd_mm[:, use],
            place=known.place[use],
            setting=Setting(*(part[use] for part in known.setting)),
        )


def evenly(series: Ints, most: int = MOST) -> Ints:
    """At most `most` of `series` (N,), evenly spread in their order."""
    if len(series) <= most:
        return series
    return series[np.linspace(0, len(series) - 1, most).astype(np.int64)]
