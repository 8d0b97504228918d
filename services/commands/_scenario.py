"""What a user says of rain and level to come, read and put on what was known.

`150mm/3d` is rain in all over the first three days; `-0.6m/d` a change of level a day, down where
negative, from the last known level on.
"""

from __future__ import annotations

import re
from typing import NamedTuple

import numpy as np

from core.errors import SettingsError
from services.inference.known import FURTHEST_D, Drivers, Known
from services.inference.numerics.hydrology import fill_level

_NUMBER = r"([+-]?\d+(?:\.\d+)?)"
_RAIN = re.compile(rf"{_NUMBER}\s*mm\s*/\s*(\d*)\s*d")
_LEVEL = re.compile(rf"{_NUMBER}\s*m\s*/\s*d")
MOST_RAIN_MM = 5000.0
MOST_LEVEL_M_D = 50.0


class Scenario(NamedTuple):
    """Rain in all (mm) over its first days, and a change of level (m/d); None: as it is."""

    rain_mm: float | None
    rain_days: int
    level_m_d: float | None

    @property
    def empty(self) -> bool:
        """Whether nothing is asked for."""
        return self.rain_mm is None and self.level_m_d is None


def read_scenario(rain: str | None, level: str | None, days: int) -> Scenario:
    """The scenario of these words; one sentence for what cannot be one."""
    if not 1 <= days <= FURTHEST_D:
        raise SettingsError(f"--days {days}: forecasts reach from 1 to {FURTHEST_D} days")
    amount, over = _rain(rain, days) if rain is not None else (None, 0)
    return Scenario(amount, over, _level(level) if level is not None else None)


def _rain(text: str, days: int) -> tuple[float, int]:
    found = _RAIN.fullmatch(text.strip())
    if found is None:
        raise SettingsError(f"--rain {text!r}: write millimetres over days, such as 150mm/3d")
    amount, over = float(found[1]), int(found[2] or 1)
    if not 0 <= amount <= MOST_RAIN_MM:
        raise SettingsError(f"--rain {text!r}: between 0 and {MOST_RAIN_MM:.0f} mm can fall")
    if not 1 <= over <= days:
        raise SettingsError(f"--rain {text!r}: it can fall over 1 to {days} days (see --days)")
    return amount, over


def _level(text: str) -> float:
    found = _LEVEL.fullmatch(text.strip())
    if found is None:
        raise SettingsError(f"--level {text!r}: write metres a day, such as -0.6m/d")
    change = float(found[1])
    if abs(change) > MOST_LEVEL_M_D:
        raise SettingsError(f"--level {text!r}: at most {MOST_LEVEL_M_D:.0f} m a day")
    return change


def with_scenario(known: Known, scenario: Scenario, days: int) -> Known:
    """What was known, with the scenario in place of what was issued of the next `days` days."""
    drivers = known.drivers
    now = known.day - drivers.first_day
    rain, level = drivers.rain_mm.copy(), drivers.level_m.copy()
    rain_issued, level_issued = drivers.rain_issued.copy(), drivers.level_issued.copy()
    if scenario.rain_mm is not None:
        ahead = slice(now + 1, now + 1 + scenario.rain_days)
        rain[ahead] = scenario.rain_mm / scenario.rain_days
        rain_issued[ahead] = True
    if scenario.level_m_d is not None:
        ahead = slice(now + 1, now + 1 + days)
        last = fill_level(drivers)[now]
        steps = np.arange(1, days + 1, dtype=float)[:, None]
        level[ahead] = last + scenario.level_m_d * steps
        level[now + 1 + days :] = level[now + days]
        level_issued[now + 1 :] = True
    changed = Drivers(drivers.first_day, rain, level, rain_issued, level_issued)
    return Known(**{**vars(known), "drivers": changed})
