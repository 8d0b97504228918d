"""What a reading says, in plain sentences, and what it cannot say."""

from __future__ import annotations

import numpy as np

from services.understanding.lagmap import LONGEST_D, Lags
from services.understanding.reading import Reading
from services.understanding.rhythm import Rhythm
from services.understanding.shares import INFLATED

ENOUGH_CORRELATION = 0.3
"""Below this a lag is named but not leaned on."""
_VAGUE_D = 30.0

LIMITS = (
    "A lag says when a driver explains the motion best, not that the driver causes it.",
    "Radar passes are twelve days apart: nothing faster than 24 days is in the data, and no period "
    "below 36 days is read. Lags in days come from a model between the passes.",
    "Intervals are for 80 %. Their width was set on simulated slopes, and a real slope may differ "
    "from all of these.",
    "Shares are of the motion that is unusual for the season. What comes back every year belongs "
    "to rain and reservoir together.",
    "Seasonal delay of the radar signal in the air looks like seasonal motion. A model allows for "
    "2 mm of it; more would shift lags at the period of a year.",
    "Epochs in which the motion was out of the wavelength's range are not in the series.",
)


def sentences(reading: Reading) -> list[str]:
    """What is to be known first, about five sentences."""
    ridge, toe = reading.names[reading.ridge], reading.names[reading.toe]
    follows = "level" if reading.lags.follows_level[reading.toe] else "drawdown"
    said = [
        _lag_sentence(
            f"The ridge ({ridge})" if reading.placed else ridge,
            "rain",
            reading.lags.rain,
            reading.ridge,
        ),
        _lag_sentence(
            f"The toe ({toe})" if reading.placed else toe,
            follows,
            reading.lags.reservoir(),
            reading.toe,
        ),
    ]
    said += _share_sentences(reading)
    said += [_rhythm_sentence(rhythm, reading.names[rhythm.series]) for rhythm in reading.rhythms]
    said += _inflation_sentences(reading)
    return said


def _lag_sentence(who: str, driver: str, lags: Lags, series: int) -> str:
    what = {
        "rain": "rain",
        "drawdown": "the fall of the reservoir",
        "level": "the level of the reservoir",
    }[driver]
    lag, low, high = (float(part[series]) for part in (lags.lag_d, lags.low_d, lags.high_d))
    if not np.isfinite(lag):
        return f"{who} says nothing about {what}."
    if lags.correlation[series] < ENOUGH_CORRELATION:
        return f"{who} follows {what} too weakly to name a lag."
    if lag >= LONGEST_D:
        return f"{who} follows {what} after {LONGEST_D} days or more."
    vague = ", which is vague" if high - low > _VAGUE_D else ""
    return (
        f"{who} follows {what} after about {lag:.0f} days (80 % interval {low:.0f} to "
        f"{high:.0f}){vague}."
    )


def _share_sentences(reading: Reading) -> list[str]:
    share = reading.rain_share
    if not np.isfinite(share[[reading.ridge, reading.toe]]).all():
        return []
    high, low = (100 * np.clip(share[n], 0, 1) for n in (reading.ridge, reading.toe))
    return [
        f"Of the motion beyond the usual season, rain has about {_ends_of(reading, high, low)}; "
        "the reservoir has the rest."
    ]


def _ends_of(reading: Reading, high: float, low: float) -> str:
    """Percentages of the two series that stand for the slope's ends."""
    if reading.placed:
        return f"{high:.0f} % at the ridge and {low:.0f} % at the toe"
    ridge, toe = reading.names[reading.ridge], reading.names[reading.toe]
    if ridge == toe:
        return f"{high:.0f} % at {ridge}"
    return f"{high:.0f} % at {ridge} and {low:.0f} % at {toe}"


def _rhythm_sentence(rhythm: Rhythm, name: str) -> str:
    periods = rhythm.coherence.period_d[rhythm.stands]
    if not periods.size:
        return (
            f"{name} and {rhythm.driver} share no rhythm beyond what unrelated series show by "
            "chance."
        )
    spans = ", ".join(_spans(rhythm))
    return f"{name} moves in step with {rhythm.driver}, beyond chance, at periods of {spans} days."


def _spans(rhythm: Rhythm) -> list[str]:
    rows = np.flatnonzero(rhythm.stands)
    runs = np.split(rows, np.flatnonzero(np.diff(rows) > 1) + 1)
    period = rhythm.coherence.period_d
    return [
        f"{period[run[0]]:.0f}" if len(run) == 1 else f"{period[run[0]]:.0f}–{period[run[-1]]:.0f}"
        for run in runs
    ]


def _inflation_sentences(reading: Reading) -> list[str]:
    worst = float(np.nanmax(reading.inflation))
    names = ("rain", "drawdown", "level")
    factors = ", ".join(
        f"{name} {value:.1f}"
        for name, value in zip(names, np.nanmax(reading.inflation, axis=1), strict=True)
    )
    tail = (
        f"above {INFLATED:.0f}: the drivers are hardly told apart here, and shares mean little"
        if worst > INFLATED
        else f"below {INFLATED:.0f}: the drivers can be told apart"
    )
    return [f"Variance inflation of 30-day means: {factors}; {tail}."]


def independence_sentences(reading: Reading) -> list[str]:
    """How many series depend on each driver, by the usual test and by the one that holds."""
    said = []
    for driver, results in reading.tests.items():
        done = [one for one in results if one is not None]
        if not done:
            continue
        usual = sum(one.p_chi_square < 0.05 for one in done)
        held = sum(one.p_surrogates < 0.05 for one in done)
        said.append(
            f"{driver}: the chi-square test calls {usual} of {len(done)} series dependent at 5 %; "
            f"against surrogates as slow as the driver {held} are."
        )
    return said


def network_sentence(reading: Reading) -> str:
    """What the forecasts of MUSEnetC answer to; empty where it was not asked."""
    found = reading.network
    if isinstance(found, str):
        return f"MUSEnetC's forecasts were not asked: {found}." if found else ""
    ends = [reading.ridge, reading.toe]
    if not np.isfinite(found.ablation[ends]).all():
        return "MUSEnetC forecasts too little of this record to say what it answers to."
    high, low = (100 * np.clip(found.ablation[ends], 0, 1)).tolist()
    return (
        f"In MUSEnetC's forecasts on {len(found.issue_days)} days that no fit had seen, "
        "expectation and correction together, rain has "
        f"{_ends_of(reading, high, low)} of what is unusual; the level has the rest."
    )
