"""Which sites a pool has: seeds, kinds and families, read from the frozen file."""

from __future__ import annotations

import json
from collections.abc import Mapping
from dataclasses import dataclass, replace
from functools import cache
from importlib.resources import files
from typing import Any

FROZEN = "forecast-1.json"
"""The pools in force. What is frozen never changes; other pools need another file."""


@dataclass(frozen=True)
class Plan:
    """Sites of a pool, in order, and how long and how they are observed. Tuples have one entry a
    site; a runaway family is None for a site that does not run away."""

    years: int
    repeat_days: int
    flank_pixels: int
    """Pixels over which the flank's motion falls to none: as wide as keeps every quiet training
    site within what the wavelength can tell, so that cycles are lost only in a runaway."""
    seeds: tuple[int, ...]
    kind: tuple[str, ...]
    runaway_family: tuple[str | None, ...]
    hydrology_family: tuple[str, ...]
    drainage: tuple[str, ...]

    def first(self, sites: int | None) -> Plan:
        """The plan of the first `sites` sites; the whole plan for None.

        Raises ValueError where the pool does not have so many.
        """
        if sites is None:
            return self
        if not 1 <= sites <= len(self.seeds):
            raise ValueError(f"{sites} sites asked for: the pool has {len(self.seeds)}")
        return replace(
            self,
            seeds=self.seeds[:sites],
            kind=self.kind[:sites],
            runaway_family=self.runaway_family[:sites],
            hydrology_family=self.hydrology_family[:sites],
            drainage=self.drainage[:sites],
        )


Frozen = Mapping[str, Any]
"""Content of a frozen file: `pool`, `years`, `repeat_days`, `flank_pixels`, `versions`, and for
each of `roles` the `plan`, `figures` and `fingerprints`."""


@cache
def load_frozen() -> Frozen:
    """The frozen pools in force. Do not change what is returned."""
    text = files("core.twin.pools").joinpath(FROZEN).read_text(encoding="utf-8")
    content: Frozen = json.loads(text)
    return content


def role_plan(frozen: Frozen, role: str) -> Plan:
    """Plan of one role; ValueError for an unknown one."""
    roles = frozen["roles"]
    if role not in roles:
        raise ValueError(f"{role!r} is not one of {', '.join(roles)}")
    columns = {name: tuple(values) for name, values in roles[role]["plan"].items()}
    return Plan(frozen["years"], frozen["repeat_days"], frozen["flank_pixels"], **columns)
