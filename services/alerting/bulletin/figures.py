"""What is known of a vote's figures in any language: measured or modelled, and how sure."""

from __future__ import annotations

from collections.abc import Mapping
from typing import Final, NamedTuple

from services.alerting.bulletin.language import Language

MEASURED: Final = frozenset(
    {
        *("velocity_mm_yr", "surely_mm_yr", "usable_epochs"),
        *("points_judged", "points_past", "share_past", "largest_cluster"),
        *("rain_short_mm", "rain_antecedent_mm", "rain_unknown_days", "rain_ratio"),
        *("level_m", "level_change_m_d", "level_ratio"),
    }
)
"""Figures that need no model of how a slope moves."""
_MODELLED_PREFIXES: Final = (
    *("probability", "forecast_", "failure_", "excess_", "expected_", "acceleration_"),
    *("bayes_", "angle_", "onset_", "uniform_creep_", "surely_", "log10_", "epochs_in_"),
)
_MODELLED: Final = frozenset({"statistic"})
FORECASTS: Final = ("forecast_", "failure_", "probability_30d")
"""Figures that say something of days to come."""
FAILURE: Final = ("failure_low_days", "failure_median_days", "failure_high_days")
_MOST_POWER: Final = 6
_SHARES: Final = ("probability", "share_")


class Figure(NamedTuple):
    """One figure of a vote, with its standard deviation or 8 of 10 where the rule gave them."""

    name: str
    value: float
    sd: float | None = None
    span: tuple[float, float] | None = None

    @property
    def is_modelled(self) -> bool:
        """Whether it hangs on a model of how the slope moves."""
        if self.name in MEASURED:
            return False
        return self.name in _MODELLED or self.name.startswith(_MODELLED_PREFIXES)

    def words(self, language: Language) -> str:
        """The figure with name, unit and uncertainty; a name without words stands as it is."""
        value = language.number(self.value)
        if self.name.startswith("log10_"):
            value = _round_power(self.value, language)
        elif self.name.startswith(_SHARES):
            value = _percent(self.value, language)
        elif self.sd is not None:
            value = language.say("write.with_sd", value=value, sd=language.number(self.sd))
        elif self.span is not None:
            low, high = (language.number(end) for end in self.span)
            value = language.say("write.with_span", value=value, low=low, high=high)
        key = f"figures.{self.name}"
        if language.has(key):
            return language.say(key, value=value)
        return language.say("write.other_figure", name=self.name.replace("_", " "), value=value)


def figures_of(given: Mapping[str, float]) -> list[Figure]:
    """Figures in their order; what says how sure one is goes with it.

    Of `velocity_mm_yr` the standard deviation is `velocity_sd_mm_yr`; of `angle_deg` 8 of 10 lie
    between `angle_low_deg` and `angle_high_deg`.
    """
    found, taken = [], set()
    for name, value in given.items():
        sd, low, high = (_beside(name, word, given) for word in ("sd", "low", "high"))
        if sd is not None:
            found.append(Figure(name, value, sd=given[sd]))
        elif low is not None and high is not None:
            found.append(Figure(name, value, span=(given[low], given[high])))
        else:
            found.append(Figure(name, value))
            low = high = None
        taken |= {one for one in (sd, low, high) if one is not None}
    return [figure for figure in found if figure.name not in taken]


def _beside(name: str, word: str, given: Mapping[str, float]) -> str | None:
    """The figure named as `name` with `word` before its unit."""
    parts = name.split("_")
    spelled = ("_".join([*parts[:i], word, *parts[i:]]) for i in range(1, len(parts) + 1))
    return next((one for one in spelled if one in given), None)


def _round_power(exponent: float, language: Language) -> str:
    """Ten to the `exponent`, which nobody needs in more than one digit."""
    if exponent > _MOST_POWER:
        return language.say("write.above", value=language.number(10.0**_MOST_POWER))
    return language.number(float(f"{10.0**exponent:.1g}"))


def _percent(share: float, language: Language) -> str:
    # Nothing that a model says is certain, so rounding must not make it look so.
    if share > 0.999:
        return language.say("write.above", value=language.number(99.9))
    if share < 0.001:
        return language.say("write.below", value=language.number(0.1))
    return language.number(round(100 * share, 1))
