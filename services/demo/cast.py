"""Who plays in the demo: simulated slopes whose truth is known."""

from __future__ import annotations

from collections.abc import Iterable
from dataclasses import dataclass
from datetime import date, timedelta

import numpy as np

from core.events import AlertChanged, Event
from core.settings import rank
from core.twin import Kind, Observed, Truth, observe, simulate

AFTER_FAILURE = timedelta(days=20)


@dataclass(frozen=True)
class Slope:
    """One slope of a story."""

    name: str
    title: str
    seed: int
    kind: Kind


@dataclass(frozen=True)
class Story:
    """Which slopes, over which years, watched from when, and beside how many others scored."""

    slopes: tuple[Slope, ...]
    first_day: date
    years: int
    watched_from: date
    failing: int = 200
    quiet: int = 200


STORY = Story(
    slopes=(
        Slope("failing", "Slope that fails (simulated)", 3_000_228, Kind.FAILING),
        Slope("aborting", "Slope that accelerates and stops (simulated)", 3_020_016, Kind.ABORTED),
        Slope("quiet", "Slope that only creeps (simulated)", 3_040_000, Kind.QUIET),
    ),
    first_day=date(2020, 1, 1),
    years=5,
    watched_from=date(2023, 11, 1),
)


@dataclass(frozen=True)
class Cast:
    """The slopes of a story with what truly happens and what the satellite sees of it."""

    story: Story
    truth: Truth
    observed: Observed

    def day(self, days: np.ndarray, index: int) -> date | None:
        """A day of the twin as a date; None for none."""
        if days[index] < 0:
            return None
        return self.story.first_day + timedelta(days=int(days[index]))

    def onset(self, index: int) -> date | None:
        """When the acceleration of a slope truly begins."""
        return self.day(self.truth.onset_day, index)

    def failure(self, index: int) -> date | None:
        """When a slope truly fails."""
        return self.day(self.truth.failure_day, index)

    def last_day(self) -> date:
        """The season ends some weeks after the last failure, else with the record."""
        record = self.story.first_day + timedelta(days=self.truth.rain_mm.shape[1] - 1)
        failures = [f for i in range(len(self.story.slopes)) if (f := self.failure(i))]
        return min(record, max(failures) + AFTER_FAILURE) if failures else record

    def true_los_mm(self, index: int) -> np.ndarray:
        """True motion of a slope's unit along the line of sight since its first epoch, daily."""
        factor = self.truth.los_factor[index]
        moved = (self.truth.displacement_mm[index] * factor).mean(axis=1)
        return np.asarray(moved - moved[int(self.observed.epoch_day[index][0])])

    def lead_days(self, told: Iterable[Event], index: int) -> dict[str, int]:
        """Days from when each level (or out of range) first came after the onset to the failure."""
        onset, failure = self.onset(index), self.failure(index)
        leads: dict[str, int] = {}
        if onset is None or failure is None:
            return leads
        for event in told:
            day, data = event.available_at.date(), event.data
            mine = event.site == self.story.slopes[index].name and onset <= day <= failure
            if mine and isinstance(data, AlertChanged):
                if rank(data.level) > rank(data.previous_level):
                    leads.setdefault(data.level, (failure - day).days)
                if data.coverage == "out of range":
                    leads.setdefault("out of range", (failure - day).days)
        return leads


def cast_of(story: Story) -> Cast:
    """The slopes of `story`; the same every time."""
    seeds, kinds = [s.seed for s in story.slopes], [s.kind for s in story.slopes]
    truth = simulate(seeds, kinds, years=story.years)
    return Cast(story, truth, observe(truth, noise="radar", flank_pixels=2))
