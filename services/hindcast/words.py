"""What a hindcast found, in sentences and rows."""

from __future__ import annotations

from collections.abc import Sequence
from datetime import date
from typing import Final, NamedTuple

import numpy as np

from services.hindcast.judge import (
    LEAST_EPOCHS,
    Estimate,
    Judged,
    by_group,
    coverage,
    overall,
    rmse_mm,
    skill,
)
from services.hindcast.replay import Replay, spells
from services.inference.model import HORIZONS_D

TOLD_D: Final = 12
AGAINST: Final = ("persistence", "kalman")
_TOLD: Final = HORIZONS_D.index(TOLD_D)


class Alert(NamedTuple):
    """A unit's level changed: the day on which it became known, and the day of which it speaks.

    `told`: somebody was or would have been notified; history read in at the start is not told.
    """

    unit: str
    known: date
    arose: date
    before: str
    after: str
    reason: str
    told: bool


class Row(NamedTuple):
    """One row of a table: its name and its cells."""

    name: str
    cells: tuple[str, ...]


def number(value: float, decimals: int = 1) -> str:
    """A figure with a true minus sign; a dash where there is none."""
    return f"{value:.{decimals}f}".replace("-", "−") if np.isfinite(value) else "–"


def percent(estimate: Estimate) -> str:
    """A share with its interval."""
    if not np.isfinite(estimate.value):
        return "–"
    value, low, high = (number(100 * v, 0) for v in estimate[:3])
    return f"{value} % ({low} to {high})"


def summary(replay: Replay, judged: Judged) -> tuple[str, ...]:
    """What a reader should know first, as sentences."""
    epochs = int(np.isfinite(judged.los_mm).any(axis=1).sum())
    error = rmse_mm(judged.error_mm[_TOLD], judged)
    issued = int((replay.speaker != "").any(axis=1).sum())
    found = [
        f"{issued} of {replay.day.size} days had a forecast; {epochs} acquisitions arrived later "
        f"and judge them, {error.epochs} of them at +{TOLD_D} days."
    ]
    if not error.epochs:
        return (*found, "That is too little to say how good the forecasts were.")
    found.append(
        f"At +{TOLD_D} days the forecast missed the measured displacement by {number(error.value)} "
        f"mm (root mean square, 95 % interval {number(error.low)} to {number(error.high)} mm). "
        "The noise of the acquisition itself is part of that."
    )
    found += [_against(judged, other) for other in AGAINST if other in judged.by_model]
    return (*found, _kept(overall(judged, 0.9)))


def _against(judged: Judged, other: str) -> str:
    found = skill(judged, _TOLD, other)
    if not np.isfinite(found.value):
        return f"There is nothing to compare with {other}."
    size = f"{abs(100 * found.value):.0f} % {'smaller' if found.value >= 0 else 'larger'}"
    interval = f"{number(100 * found.low, 0)} to {number(100 * found.high, 0)} % smaller"
    proven = found.low > 0 or found.high < 0
    end = "" if proven else ": this record cannot tell the two apart"
    return f"The error is {size} than that of {_NAMES[other]} (95 % interval {interval}){end}."


_NAMES: Final = {
    "persistence": "saying that the slope stays where it was last seen",
    "kalman": "the filter that carries the present rate on and knows no rain or level",
}


def _kept(found: Estimate) -> str:
    verdict = "as promised" if found.low <= 0.9 <= found.high else "not as promised"
    few = "" if found.epochs >= LEAST_EPOCHS else " With so few acquisitions this is a weak test."
    return (
        f"The 90 % interval held {percent(found)} of what was measured, over all horizons and "
        f"{found.epochs} acquisitions: {verdict}.{few}"
    )


def horizon_rows(replay: Replay, judged: Judged) -> tuple[Row, ...]:
    """RMSE, skill, coverage and width by horizon."""
    nine, half = coverage(judged, 0.9), coverage(judged, 0.5)
    others = [other for other in AGAINST if other in judged.by_model]
    rows = []
    for h, horizon in enumerate(HORIZONS_D):
        error = rmse_mm(judged.error_mm[h], judged)
        width = judged.half_mm[1, h][np.isfinite(judged.error_mm[h])]
        rows.append(
            Row(
                f"+{horizon} d",
                (
                    str(error.epochs),
                    number(error.value),
                    *(percent(skill(judged, h, other)) for other in others),
                    percent(nine[h]),
                    percent(half[h]),
                    f"± {number(float(np.median(width)))}" if width.size else "–",
                ),
            )
        )
    return tuple(rows)


def horizon_columns(judged: Judged) -> tuple[str, ...]:
    """Heads of `horizon_rows`."""
    others = (f"RMSE below {other}" for other in AGAINST if other in judged.by_model)
    shares = ("inside the 90 % interval", "inside the 50 % interval", "90 % interval, mm")
    return ("acquisitions", "RMSE, mm", *others, *shares)


def group_rows(judged: Judged) -> tuple[Row, ...]:
    """Coverage of the 90 % interval by what was known at issue."""
    return tuple(
        Row(
            f"{division}: {name}",
            (
                str(estimate.epochs),
                percent(estimate),
                ""
                if estimate.epochs >= LEAST_EPOCHS
                else f"fewer than {LEAST_EPOCHS}: shown, not judged",
            ),
        )
        for division, parts in by_group(judged, 0.9).items()
        for name, estimate in parts.items()
    )


def speaker_rows(replay: Replay) -> tuple[Row, ...]:
    """Who spoke for each unit, from when to when, and the newest reason."""
    rows = []
    for series, unit in enumerate(replay.case.units):
        for first, last, who in spells([str(v) for v in replay.speaker[:, series]]):
            reasons = replay.reason[first : last + 1, series]
            times = len(list(spells([str(v) for v in reasons])))
            newest = str(reasons[-1]) + (f" (the newest of {times} reasons)" if times > 1 else "")
            rows.append(Row(unit, (_days(replay, first, last), who or "nobody", newest)))
    return tuple(rows)


def reason_rows(replay: Replay) -> tuple[Row, ...]:
    """Every reason with its days."""
    return tuple(
        Row(unit, (_days(replay, first, last), str(replay.speaker[last, series]) or "nobody", why))
        for series, unit in enumerate(replay.case.units)
        for first, last, why in spells([str(v) for v in replay.reason[:, series]])
    )


def _days(replay: Replay, first: int, last: int) -> str:
    dates = (replay.case.date_of(int(replay.day[row])).isoformat() for row in (first, last))
    return " to ".join(dates)


def limits(*, simulated: bool, alerts: bool, issued_drivers: bool) -> tuple[str, ...]:
    """What this replay cannot show."""
    found = [
        "One site and a few years cannot prove that a model is better or that an interval is "
        "right in each season: the intervals of the figures say how much they leave open. The "
        "tables over many simulated sites are where such claims are tested.",
        "Displacement is along the line of sight, positive toward the satellite. Motion across "
        "it is not seen.",
        "The intervals promise to hold the displacement as it will be measured, noise included. "
        "Whether they hold the motion of the ground between acquisitions cannot be checked here.",
        "Today's code, settings and models are replayed over the archive: this is what would be "
        "issued now with what was known then, not what was issued then.",
        "Models are fitted on the first day on which there is enough, then on the first of each "
        "month, and chosen by the year before.",
    ]
    if not issued_drivers:
        found.append(
            "Of rain and reservoir level nothing was issued for the days ahead: models assume the "
            "usual rain of the season and a level that stays."
        )
    if alerts:
        found.append(
            "Levels are those that the ledger holds. Thresholds that changed since are not "
            "applied to the past."
        )
    if simulated:
        found.append("The site is simulated: nothing here is a real place.")
    return tuple(found)


def alert_rows(alerts: Sequence[Alert]) -> tuple[Row, ...]:
    """Changes of level in the order in which they became known."""
    return tuple(
        Row(
            one.unit,
            (
                one.known.isoformat(),
                one.arose.isoformat(),
                f"{one.before} → {one.after}",
                one.reason,
                "yes" if one.told else "no: history at that time",
            ),
        )
        for one in sorted(alerts, key=lambda a: (a.known, a.unit))
        if one.before != one.after
    )
