"""The words of a bulletin, for a civil-protection officer: levels, coverage, rules, what to do."""

from __future__ import annotations

from collections.abc import Mapping
from typing import Final

from core.events import Coverage, Level

LEVEL_WORDS: Final[Mapping[Level, str]] = {
    "blue": "BLUE normal",
    "yellow": "YELLOW caution",
    "orange": "ORANGE warning",
    "red": "RED alarm",
}

COLOURS: Final[Mapping[Level, tuple[str, str]]] = {
    "blue": ("#1f5fa8", "#ffffff"),
    "yellow": ("#ffd92f", "#000000"),
    "orange": ("#f58518", "#000000"),
    "red": ("#b3001b", "#ffffff"),
}
"""Background and text; the word stands on the colour, so nothing hangs on seeing it."""

NO_LEVEL_COLOURS: Final = ("#444444", "#ffffff")

COVERAGE_WORDS: Final[Mapping[Coverage, str]] = {
    "watched": "WATCHED",
    "stale": "STALE",
    "blind": "BLIND",
    "out of range": "OUT OF RANGE",
}

COVERAGE_MEANING: Final[Mapping[Coverage, str]] = {
    "watched": "The slope is measured as often as the satellite passes. Between two passes nothing "
    "is seen.",
    "stale": "The last measurement is old. The level stays as it was and says nothing about the "
    "days since.",
    "blind": "The slope is not seen at present. Blind: no alarm is not safety.",
    "out of range": "The slope may move faster than this method can measure. Out of range: no "
    "alarm is not safety.",
}

ADVICE: Final[Mapping[Level, tuple[str, ...]]] = {
    "blue": (
        "Nothing beyond the usual watch.",
        "Measures in force are lifted by whoever ordered them, not by this message.",
    ),
    "yellow": (
        "Read this bulletin and tell the person responsible for the slope.",
        "Look at the rain and reservoir forecast; plan a visit to the slope in daylight.",
        "Check that contact lists and emergency plans are up to date.",
    ),
    "orange": (
        "Inform the duty geologist and the local authority today.",
        "Have the slope inspected from safe ground: cracks, falling stones, tilted trees, springs.",
        "Prepare to close roads and paths and to move people out of the endangered area.",
    ),
    "red": (
        "Act now by your emergency plan; inform the authority that orders evacuations.",
        "Keep people off the slope, away from its foot, and away from the water below it.",
        "Do not wait for the next satellite pass. Check on site only from safe ground.",
    ),
}

NOT_SEEN_ADVICE: Final = (
    "Until the slope is watched again, rely on other means: patrols, instruments on the ground, "
    "reports of residents."
)

PIPELINE_WORDS: Final[Mapping[bool, str]] = {True: "SILENT", False: "HEARD AGAIN"}
"""By whether slopewatch itself is silent about a site."""

PIPELINE_ADVICE: Final[Mapping[bool, tuple[str, ...]]] = {
    True: (
        "Have whoever runs slopewatch find out why: `slopewatch doctor` says what is wrong.",
        "Keep to the measures that were in force; no news is not good news.",
    ),
    False: ("Nothing more: levels and coverage are told as before.",),
}

LEVEL_NOT_KNOWN: Final = "What level the slopes stand at now is not known here; look at the page."

RULES: Final[Mapping[str, str]] = {
    "velocity": "how fast the slope moves",
    "cusum": "whether the slope keeps running ahead of what is expected",
}

FIGURES: Final[Mapping[str, tuple[str, str]]] = {
    "velocity_mm_yr": ("velocity", "mm per year"),
    "velocity_sd_mm_yr": ("standard deviation of the velocity", "mm per year"),
    "statistic": ("CUSUM statistic", ""),
    "usable_epochs": ("usable satellite passes", ""),
    "probability_yellow": ("probability of being past the yellow threshold", "%"),
    "probability_orange": ("probability of being past the orange threshold", "%"),
    "probability_red": ("probability of being past the red threshold", "%"),
}
"""Name of a figure -> what it is called, its unit. What is not here is shown by its name."""

MODELLED_PREFIXES: Final = ("probability_", "forecast_", "failure_")
"""Figures that come from a model rather than from measurements alone."""

MODEL_NOTE: Final = (
    "Velocities are estimated by a filter from radar measurements along the satellite's line of "
    "sight, each with its standard deviation. A downslope velocity assumes that the slope moves "
    "straight downhill."
)
NO_FORECAST_NOTE: Final = "This message holds no forecast of when or whether the slope will fail."

SIMULATED: Final = "SIMULATED - NOT A REAL WARNING"
SIMULATED_NOTE: Final = (
    "The data behind this message come from a digital twin. No real slope has moved. Do not act "
    "on it."
)


def figure(name: str, value: float) -> str:
    """One figure in words with its unit."""
    words, unit = FIGURES.get(name, (name.replace("_", " "), ""))
    if unit == "%":
        return f"{words} {_percent(value)} %"
    return f"{words} {value:g} {unit}".rstrip()


def _percent(probability: float) -> str:
    # Nothing that a model says is certain, so rounding must not make it look so.
    if probability > 0.999:
        return "above 99.9"
    return "below 0.1" if probability < 0.001 else f"{100 * probability:.1f}"


def is_modelled(name: str) -> bool:
    """Whether the figure `name` comes from a model."""
    return name.startswith(MODELLED_PREFIXES)
