"""The calibrated threshold table: for each rule, the value at which it asks for each level.

A table is JSON: `{"version": "...", "rules": {"velocity": {"yellow": 60.0, ...}, ...}}`. Other
keys, such as how it was calibrated, are left alone. A rule that the table does not name, and a
level that the rule's entry does not name, has no threshold: it is never asked for.
"""

from __future__ import annotations

import math
from typing import Annotated, Any, Literal, NamedTuple

import msgspec
from pydantic import Field, model_validator

from core.errors import BadInputError
from core.settings import Tree


class Limits(NamedTuple):
    """Thresholds of one rule from yellow to red; infinite where there is none."""

    yellow: float = math.inf
    orange: float = math.inf
    red: float = math.inf

    @property
    def known(self) -> bool:
        """Whether any level has a threshold."""
        return min(self) < math.inf


class Overrides(Tree):
    """A site's own thresholds; a level left out is taken from the calibrated table."""

    yellow: float | None = Field(None, gt=0, description="from here on yellow")
    orange: float | None = Field(None, gt=0, description="from here on orange")
    red: float | None = Field(None, gt=0, description="from here on red")

    @model_validator(mode="after")
    def _rising(self) -> Overrides:
        given = [v for v in (self.yellow, self.orange, self.red) if v is not None]
        if given != sorted(given):
            raise ValueError("a higher level needs a threshold that is not lower")
        return self


class ThresholdTable(msgspec.Struct, frozen=True):
    """A calibrated table; an empty one leaves rules without thresholds uncalibrated.

    `of_100`: by level, how many of 100 alerts on simulated slopes were followed by failure.
    """

    version: str = ""
    rules: dict[str, Limits] = {}
    of_100: dict[str, int] = {}

    def limits(self, rule: str, overrides: Overrides) -> Limits:
        """Thresholds of `rule`, the site's own before the table's.

        A level whose own threshold passes the table's next higher one takes that level along, so
        that they never fall with rising level.
        """
        own = (overrides.yellow, overrides.orange, overrides.red)
        found: list[float] = []
        for mine, calibrated in zip(own, self.rules.get(rule, Limits()), strict=True):
            lower = [value for value in found if value < math.inf]
            found.append(max([calibrated if mine is None else mine, *lower]))
        return Limits(*found)


class _Budget(msgspec.Struct):
    false_alarms: Annotated[float, msgspec.Meta(ge=0)]


class _Choices(msgspec.Struct):
    budgets: dict[Literal["yellow", "orange", "red"], _Budget] = {}


class _Made(msgspec.Struct):
    choices: _Choices = msgspec.field(default_factory=_Choices)


def load_table(content: bytes) -> ThresholdTable:
    """Read a table; `BadInputError` says what is wrong with it."""
    try:
        raw = msgspec.json.decode(content, type=dict[str, Any])
        version = str(raw["version"])
        rules = {name: _limits(name, entry) for name, entry in raw["rules"].items()}
        of_100 = _of_100(raw.get("of_100_alerts", {}))
    except (msgspec.MsgspecError, KeyError, AttributeError, TypeError) as error:
        raise BadInputError(
            f'a threshold table is JSON with "version" and "rules": {error!r}'
        ) from error
    return ThresholdTable(version, rules, of_100)


def budgets_in(table: bytes) -> dict[str, float]:
    """False alarms a unit-year by level that a table was made for; empty where it does not say.

    They change no decision, so a table without them, or with others, is as good.
    """
    try:
        made = msgspec.json.decode(table, type=_Made)
    except (msgspec.MsgspecError, UnicodeDecodeError):
        return {}
    return {level: one.false_alarms for level, one in made.choices.budgets.items()}


def _of_100(entry: dict[str, Any]) -> dict[str, int]:
    counts = entry.get("followed_by_failure", {})
    if any(type(n) is not int or not 0 <= n <= 100 for n in counts.values()):
        raise BadInputError("threshold table, of_100_alerts: counts are whole numbers to 100")
    return dict(counts)


def _limits(rule: str, entry: dict[str, Any]) -> Limits:
    found = Limits(*(_threshold(rule, level, entry.get(level)) for level in Limits._fields))
    finite = [value for value in found if value < math.inf]
    if finite != sorted(finite):
        raise BadInputError(f"threshold table, {rule}: a higher level has a lower threshold")
    return found


def _threshold(rule: str, level: str, value: object) -> float:
    if value is None:
        return math.inf
    if isinstance(value, bool) or not isinstance(value, int | float) or not value > 0:
        raise BadInputError(f"threshold table, {rule}, {level}: {value!r} is not a number above 0")
    return float(value)
