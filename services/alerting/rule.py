"""What a rule is: evidence in, one vote per slope unit out."""

from __future__ import annotations

from collections.abc import Sequence
from typing import Protocol

import numpy as np
import numpy.typing as npt

from core import plugins
from core.errors import BadInputError
from core.events import LEVELS, Level, Vote
from core.evidence import Evidence, Floats
from core.settings import Plugin, Site
from services.alerting.thresholds import Limits, ThresholdTable

LevelIndex = npt.NDArray[np.int8]
Flags = npt.NDArray[np.bool_]

RULES = "services.alerting.rules"
DEFAULT_RULES = tuple(
    Plugin(kind=kind)
    for kind in (
        *("velocity", "excess", "cusum", "edetector", "acceleration", "failure_time"),
        *("change_point", "forecast_residual", "tangential_angle", "rain", "level"),
    )
)
"""What votes, or is shown without a vote, at a site whose file names no rule."""
SHOWN_ONLY = frozenset({"tangential_angle"})
"""Rules that ask for no level, whatever they find."""
DRIVERS_TRACK = "-"
"""Name under which the water of a closed day is judged."""


class Rule(Protocol):
    """One verdict on the motion of slope units, made from evidence alone."""

    daily: bool
    """Whether it judges the water of each closed day, rather than a track's epochs."""

    def levels(self, evidence: Evidence) -> LevelIndex:
        """Index into `LEVELS` (..., epoch, unit) asked for after each epoch, from it and earlier.

        Any batch axes may lead: the same function scores one site or hundreds.
        """
        ...

    def vote(self, evidence: Evidence, track: str) -> list[Vote]:
        """The verdict after the last epoch, one vote for each of `evidence.units`.

        `evidence` is of one site, without batch axes.
        """
        ...


def open_rules(site: Site, table: ThresholdTable) -> tuple[Rule, ...]:
    """The rules of a site with the thresholds in force.

    Raises `SettingsError` for an unknown rule or a wrong setting.
    """
    opened = []
    for place, plugin in enumerate(site.rules or DEFAULT_RULES, start=1):
        settings = plugins.settings(RULES, plugin.model_dump(), f"{site.name} rules, {place}:")
        opened.append(plugins.load(RULES, plugin.kind).open(settings, table))
    return tuple(opened)


def without_limits(rules: Sequence[Rule], table: ThresholdTable) -> str | None:
    """Why no rule on motion can ask for a level under `table`; None where one can."""
    limits = [
        getattr(rule, name, Limits())
        for rule in rules
        if not rule.daily
        for name in ("limits", "without_water")
    ]
    if not table.version or any(one.known for one in limits):
        return None
    return f"no rule of this site has a limit, in its file or in threshold table {table.version}"


def votes_of(rules: Sequence[Rule], evidence: Evidence, track: str) -> dict[str, tuple[Vote, ...]]:
    """Votes of all rules by unit. Raises `BadInputError` for evidence whose shapes do not fit."""
    shape = (len(evidence.epoch_day), len(evidence.units))
    for name in ("innovation_z", "velocity_mm_d", "velocity_sd_mm_d", "out_of_range"):
        if getattr(evidence, name).shape != shape:
            raise BadInputError(f"evidence of track {track}: {name} is not of shape {shape}")
    if evidence.los_factor.shape != shape[1:]:
        raise BadInputError(f"evidence of track {track}: los_factor is not one value per unit")
    daily = track == DRIVERS_TRACK
    by_rule = [rule.vote(evidence, track) for rule in rules if rule.daily == daily]
    return dict(zip(evidence.units, zip(*by_rule, strict=True), strict=True)) if by_rule else {}


def with_data(evidence: Evidence) -> Flags:
    """Epochs (..., epoch, unit) that told something: assimilated, with an innovation."""
    return np.isfinite(evidence.innovation_z) & ~evidence.out_of_range


def highest(passed: Sequence[Flags]) -> LevelIndex:
    """Level index where `passed` says for yellow, orange and red whether it is asked for."""
    level = np.zeros(np.shape(passed[0]), dtype=np.int8)
    for index, flags in enumerate(passed, start=1):
        level[flags] = index
    return level


def level_of(index: int) -> Level:
    """Name of a level index."""
    return LEVELS[int(index)]


def silent(rule: str, track: str, reason: str, **figures: float) -> Vote:
    """A vote that asks for nothing because the rule cannot say."""
    return Vote(
        rule=rule, track=track, level="blue", calibrated=False, reason=reason, figures=figures
    )


def last(series: Floats | Flags, unit: int, epoch: int = -1) -> float:
    """Value of one unit at one epoch of a (epoch, unit) series."""
    return float(series[epoch, unit])


def uncalibrated(limits: Limits, table: ThresholdTable) -> str | None:
    """Why a rule without any threshold cannot vote; None when it has one."""
    if limits.known:
        return None
    if not table.version:
        return "not calibrated: no threshold table is active"
    return f"no vote: threshold table {table.version} has no limit for this rule"
