"""A small made-up record with its expectation: series, drivers, and nothing simulated."""

from __future__ import annotations

from collections.abc import Iterator
from importlib.util import find_spec

import numpy as np
import pytest

from services.inference.known import Drivers, Known, Setting
from services.inference.model import Path
from services.inference.musenet.examples import Examples, examples_of, joined, later_epochs
from services.inference.musenet.expectation import Expectation
from services.inference.musenet.inputs import gather
from services.inference.numerics import hydrology

PLACES, POINTS, DAYS = 6, 3, 900
SERIES = PLACES * POINTS


class Record:
    """Slopes whose rate answers to rain twice as much as their expectation says."""

    def __init__(self) -> None:
        random = np.random.default_rng(3)
        self.rain = random.gamma(0.3, 12.0, (DAYS, PLACES))
        self.level = 160 + 10 * np.cos(2 * np.pi * np.arange(DAYS) / 365)[:, None]
        self.level = self.level + random.normal(0, 0.2, (DAYS, PLACES)).cumsum(axis=0) * 0.1
        self.place = np.repeat(np.arange(PLACES), POINTS)
        self.factor = np.where(self.place % 2 == 0, -0.5, 0.7)
        self.features = hydrology.daily(self._drivers(DAYS - 31))
        self.coefficients = np.zeros((self.features.shape[-1], SERIES))
        self.coefficients[0] = 0.2 * self.factor
        self.coefficients[2] = 0.3 * self.factor
        self.days = np.arange(5, DAYS, 12)
        truth = (
            self.coefficients * np.where(np.arange(len(self.coefficients)) == 2, 2.0, 1.0)[:, None]
        )
        rate = np.stack([self.features[:, p] @ truth[:, s] for s, p in enumerate(self.place)], 1)
        self.truth = np.cumsum(rate, axis=0)
        self.los = self.truth[self.days] + random.normal(0, 1.0, (len(self.days), SERIES))

    def _drivers(self, day: int) -> Drivers:
        end = day + 31
        issued = np.zeros((end, PLACES), bool)
        issued[day:] = True
        return Drivers(0, self.rain[:end], self.level[:end], issued, issued.copy())

    def known(self, day: int) -> Known:
        """What was known at the end of `day`, two days of latency."""
        here = self.days + 2 <= day
        nothing = np.full(SERIES, np.nan)
        return Known(
            day=day,
            epoch_day=np.repeat(self.days[here][:, None], SERIES, axis=1),
            los_mm=self.los[here],
            sd_mm=np.full((int(here.sum()), SERIES), 1.0),
            place=self.place,
            drivers=self._drivers(day),
            setting=Setting(self.factor, nothing, nothing, nothing),
        )

    def expectation(self, known: Known) -> Expectation:
        """A base that knows half the answer to rain and filters nothing."""
        features = hydrology.daily(known.drivers)
        rate = np.stack(
            [features[:, p] @ self.coefficients[:, s] for s, p in enumerate(known.place)], axis=1
        )
        moved = np.cumsum(rate, axis=0)
        explained = moved[known.epoch_day[:, 0]]
        beyond = known.los_mm - explained
        last = known.epoch_day[-1, 0]
        path = moved[known.day : known.day + 31] - moved[last] + known.los_mm[-1]
        return Expectation(
            path=Path(path, 1.0 + 0.05 * np.arange(31)[:, None] + 0 * path),
            features=features,
            coefficients=self.coefficients,
            at_epochs_mm=explained,
            innovation_mm=np.diff(beyond, axis=0, prepend=np.nan),
            innovation_variance=np.full_like(beyond, 2.0),
            residual_mm=beyond[-1],
            residual_rate_mm_d=np.zeros(SERIES),
            residual_rate_sd_mm_d=np.full(SERIES, 0.05),
            last_mm=known.los_mm[-1],
            typical_mm_d=np.sqrt((rate[-365:] ** 2).mean(axis=0)),
            measured=np.full(SERIES, len(known.epoch_day), float),
        )


@pytest.fixture(scope="session")
def record() -> Record:
    return Record()


@pytest.fixture(scope="session")
def examples(record: Record) -> Examples:
    """Issues every 12 days of the second half."""
    complete = record.known(DAYS - 31)
    parts = []
    for day in range(430, DAYS - 70, 12):
        known = record.known(day)
        inputs = gather(known, record.expectation(known))
        parts.append(examples_of(inputs, later_epochs(known, complete), known.place))
    return joined(parts)


@pytest.fixture(scope="session", autouse=True)
def one_thread() -> Iterator[None]:
    """Tiny networks are slower on many threads than on one."""
    if find_spec("torch") is None:
        yield
        return
    import torch

    before = torch.get_num_threads()
    torch.set_num_threads(1)
    yield
    torch.set_num_threads(before)
