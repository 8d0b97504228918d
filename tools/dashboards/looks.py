"""Colours, limits and words that mean the same on every dashboard.

Levels have the colours of slopewatch's page. Coverage differs in lightness too, from light for
watched to dark for blind, so it can be told apart without colour.
"""

from __future__ import annotations

from grafana_foundation_sdk.builders.dashboard import ThresholdsConfig
from grafana_foundation_sdk.models.dashboard import (
    DashboardRegexMapOptions,
    DynamicConfigValue,
    RegexMap,
    Threshold,
    ThresholdsMode,
    ValueMap,
    ValueMapping,
    ValueMappingResult,
)

LEVELS = {"blue": "#3574b3", "yellow": "#f3c613", "orange": "#ea7a1c", "red": "#c0262d"}
COVERAGE = {
    "watched": "#a8cdbd",
    "stale": "#8b979b",
    "out of range": "#7a4a9c",
    "blind": "#39474f",
}
DATA = {"simulated": "#8b979b", "real": "transparent"}
SEVERITY = {"info": "#5b9bd0", "warning": LEVELS["yellow"], "critical": LEVELS["red"]}
FINE, SOON, LATE, WRONG = COVERAGE["watched"], *list(LEVELS.values())[1:]
MEASURED, BAND, FORECAST, FORECAST_BAND = "#0b6e6e", "#6fb0ab", "#7a4a9c", "#b79ccb"
RAIN, RESERVOIR, PLAIN = "#5b9bd0", "#27408b", "#8b979b"

HOUR, DAY = 3600.0, 86400.0


def limits(*steps: tuple[float, str], first: str = FINE) -> ThresholdsConfig:
    """`first` below the first step; from each step on its colour."""
    made = [Threshold(None, first), *(Threshold(value, colour) for value, colour in steps)]
    return ThresholdsConfig().mode(ThresholdsMode.ABSOLUTE).steps(made)


ZERO_IS_FINE = ((1.0, LATE),)
"""Any at all is to be looked at."""


def words(colours: dict[str, str]) -> list[ValueMapping]:
    """Each word in its colour."""
    return [
        ValueMap({w: ValueMappingResult(text=w, color=c, index=i) for i, (w, c) in _each(colours)})
    ]


def numbered(colours: dict[str, str]) -> list[ValueMapping]:
    """Words for the numbers 0, 1, 2, ..., each in its colour."""
    return [
        ValueMap(
            {str(i): ValueMappingResult(text=w, color=c, index=i) for i, (w, c) in _each(colours)}
        )
    ]


def containing(colours: dict[str, str]) -> list[ValueMapping]:
    """Any text that contains one of the words, in the word's colour."""
    return [
        RegexMap(
            DashboardRegexMapOptions(f".*{word}.*", ValueMappingResult(color=colour, index=place))
        )
        for place, (word, colour) in _each(colours)
    ]


def _each(colours: dict[str, str]) -> enumerate[tuple[str, str]]:
    return enumerate(colours.items())


def fixed(colour: str) -> DynamicConfigValue:
    """A line or a value in one colour."""
    return DynamicConfigValue("color", {"mode": "fixed", "fixedColor": colour})


def painted(colours: dict[str, str]) -> list[DynamicConfigValue]:
    """A column of a table whose cells are filled by their word."""
    cell = {"type": "color-background", "mode": "basic"}
    return [
        DynamicConfigValue("mappings", words(colours)),
        DynamicConfigValue("custom.cellOptions", cell),
    ]


def painted_numbers(colours: dict[str, str]) -> list[DynamicConfigValue]:
    """The same for numbers from 0 on, which sort as the words should."""
    return [DynamicConfigValue("mappings", numbered(colours)), *painted({})[1:]]


def judged(unit: str, *steps: tuple[float, str], first: str = FINE) -> list[DynamicConfigValue]:
    """A column of a table whose figures are coloured by limits."""
    return [
        DynamicConfigValue("unit", unit),
        DynamicConfigValue("thresholds", limits(*steps, first=first).build()),
        DynamicConfigValue("custom.cellOptions", {"type": "color-text"}),
    ]


def moment() -> list[DynamicConfigValue]:
    """A column of times, as UTC on a dashboard in UTC."""
    return [DynamicConfigValue("unit", "dateTimeAsIso"), DynamicConfigValue("custom.width", 175)]


def measure(unit: str, decimals: int | None = None) -> list[DynamicConfigValue]:
    """A column of plain figures."""
    places = [] if decimals is None else [DynamicConfigValue("decimals", decimals)]
    return [DynamicConfigValue("unit", unit), *places]


def wide(pixels: int) -> DynamicConfigValue:
    """A column of this width."""
    return DynamicConfigValue("custom.width", pixels)


def leads_to(title: str, url: str) -> DynamicConfigValue:
    """A column whose cells lead elsewhere."""
    return DynamicConfigValue("links", [{"title": title, "url": url}])
