"""The past of a site, lived through once more: forecast every day, fit every month, learn, go on.

Each day sees what was known at its end and nothing else, through the same functions as the
service: arrived epochs teach the intervals, at the first of a month models are fitted and chosen
by the year before, then every series gets its forecast.
"""

from __future__ import annotations

from collections.abc import Iterator, Mapping, Sequence
from dataclasses import dataclass, field
from datetime import date, timedelta
from typing import Final, NamedTuple

import numpy as np
import numpy.typing as npt
from tqdm import tqdm

from core.errors import BadInputError, SlopewatchError
from core.evidence import Floats
from services.inference.known import FURTHEST_D, History, Ints, Known
from services.inference.model import HORIZONS_D, Model, Parameters, Path
from services.inference.trust import conformal, gate
from services.inference.trust.gate import Choice
from services.inference.trust.inner import FEWEST_EPOCHS, inner_scores

SOONEST_D: Final = 15
"""Days after the first fit before which the first of a month fits nothing anew."""

_H: Final = np.array(HORIZONS_D)
Names = npt.NDArray[np.str_]


@dataclass(frozen=True)
class Case:
    """What is replayed: the S series of `units` in a history, and the models that may speak.

    `day_zero` is the date of day 0. `absent`: models that cannot be opened, and why. `named`: a
    model that the site's settings put in the place of the gate's choice. `bands`: where the
    intervals begin at each fit, before the year before it teaches them. `reputation`: see `gate`.
    """

    name: str
    units: tuple[str, ...]
    history: History
    models: Mapping[str, Model]
    absent: Mapping[str, str] = field(default_factory=dict)
    named: str | None = None
    day_zero: date = date(1970, 1, 1)
    bands: conformal.State = field(default_factory=conformal.begin)
    reputation: Mapping[str, float] = field(default_factory=dict)

    def date_of(self, day: int) -> date:
        """The date of a day of the history."""
        return self.day_zero + timedelta(days=int(day))

    def day_of(self, when: date) -> int:
        """The day of the history of a date."""
        return (when - self.day_zero).days


class Fit(NamedTuple):
    """One monthly fit: the choice of each unit, and models that could not be fitted."""

    day: int
    choices: tuple[Choice, ...]
    failed: Mapping[str, str]


@dataclass(frozen=True)
class Replay:
    """What was issued on each of D days for S series; LOS mm on each series' own zero.

    `path_mm` (D, 31, S): mean of the forecast that was published; `issued`: the same at the
    horizons, with intervals. `speaker`, `reason` (D, S). `last_mm` (D, S): the newest value that
    had arrived. `by_model` (D, H, S): what every fitted model said. Days before the first fit
    hold NaN and no speaker. `known`: everything at the end of the last day.
    """

    case: Case
    day: Ints
    path_mm: Floats
    issued: tuple[conformal.Issued, ...]
    speaker: Names
    reason: Names
    last_mm: Floats
    by_model: Mapping[str, Floats]
    fits: tuple[Fit, ...]
    known: Known


class _Fitted(NamedTuple):
    fit: Fit
    parameters: Mapping[str, Parameters]


def replay(case: Case, first: int, last: int, *, progress: bool = False) -> Replay:
    """Live through the days `first` to `last`.

    Raises `BadInputError` where the days are in the wrong order or nothing was known by `last`.
    """
    _check(case, first, last)
    days = np.arange(first, last + 1)
    record = _Record.of(case, days)
    bands, kept, fitted = case.bands, list[conformal.Issued](), None
    before: Known | None = None
    bar = tqdm(days, desc=case.name, unit="day", disable=not progress)
    for row, day in enumerate(bar):
        known = case.history.known(int(day))
        for epoch in conformal.arrivals(before, known) if before is not None else ():
            bands = conformal.learn(bands, epoch, kept)
        before = known
        if _is_due(case, int(day), fitted, known):
            bar.set_postfix_str(f"fitting, {case.date_of(int(day))}")
            first_fit = fitted is None
            fitted, begun = _fit(case, int(day))
            bands = begun if first_fit else conformal.refitted(bands, begun)
            bar.set_postfix_str("")
        issued = record.write(row, known, fitted, bands)
        kept = [*(one for one in kept if one.day > day - conformal.MEMORY_D), issued]
    assert before is not None
    return record.done(before)


def _check(case: Case, first: int, last: int) -> None:
    if last < first:
        raise BadInputError(
            f"hindcast from {case.date_of(first)} to {case.date_of(last)}: the last day comes first"
        )
    if not np.isfinite(case.history.known(last).los_mm).any():
        raise BadInputError(
            f"{case.name}: nothing was measured by {case.date_of(last)}; choose later days"
        )


def _is_due(case: Case, day: int, fitted: _Fitted | None, known: Known) -> bool:
    """Whether models are fitted on this day: when there is enough at first, then every month."""
    if fitted is not None:
        return case.date_of(day).day == 1 and day - fitted.fit.day >= SOONEST_D
    epochs = np.isfinite(known.los_mm).any(axis=1).sum() if len(known.los_mm) else 0
    return bool(epochs >= FEWEST_EPOCHS)


def _fit(case: Case, day: int) -> tuple[_Fitted, conformal.State]:
    """Fit all models, choose, and begin the intervals with the inner year, as training does."""
    series = len(case.units)
    parameters, failed = {}, {}
    for name, model in case.models.items():
        try:
            parameters[name] = model.fit(case.history, day)
        except SlopewatchError as error:
            failed[name] = str(error)
    there = {name: case.models[name] for name in parameters}
    scores = inner_scores(case.history, there, day)
    absent = {**case.absent, **failed}
    choices = gate.choose(scores, np.arange(series), series, absent, case.reputation)
    if case.named is not None:
        choices = (Choice(case.named, f"{case.named}: the site's settings name it"),) * series
    bands = case.bands
    if not scores.refusal:
        bands = conformal.taught(bands, scores, [choice.model for choice in choices])
    return _Fitted(Fit(day, choices, failed), parameters), bands


@dataclass(frozen=True)
class _Record:
    """Arrays that are filled day by day."""

    case: Case
    day: Ints
    path_mm: Floats
    speaker: Names
    reason: npt.NDArray[np.object_]
    last_mm: Floats
    by_model: dict[str, Floats]
    issued: list[conformal.Issued]
    fits: list[Fit]

    @staticmethod
    def of(case: Case, day: Ints) -> _Record:
        shape = (day.size, len(case.units))
        return _Record(
            case=case,
            day=day,
            path_mm=np.full((day.size, FURTHEST_D + 1, shape[1]), np.nan),
            speaker=np.full(shape, "", "<U32"),
            reason=np.full(shape, "no model was fitted yet", object),
            last_mm=np.full(shape, np.nan),
            by_model={n: np.full((day.size, len(_H), shape[1]), np.nan) for n in case.models},
            issued=[],
            fits=[],
        )

    def write(
        self, row: int, known: Known, fitted: _Fitted | None, bands: conformal.State
    ) -> conformal.Issued:
        """Forecast one day, and note all of it."""
        series = len(self.case.units)
        self.last_mm[row] = last_values(known)
        nothing = np.full((FURTHEST_D + 1, series), np.nan)
        path, speaker = Path(nothing, nothing), ("",) * series
        if fitted is not None:
            if not self.fits or self.fits[-1] is not fitted.fit:
                self.fits.append(fitted.fit)
            models = {name: self.case.models[name] for name in fitted.parameters}
            paths = {n: m.forecast(fitted.parameters[n], known) for n, m in models.items()}
            spoken = gate.speak(
                fitted.fit.choices, np.arange(series), paths, models, gate.missing(known)
            )
            path, speaker = spoken.path, spoken.speaker
            self.reason[row] = spoken.reason
            for name, said in paths.items():
                self.by_model[name][row] = said.displacement_mm[_H]
        self.path_mm[row], self.speaker[row] = path.displacement_mm, speaker
        self.issued.append(conformal.issue(bands, known, path, speaker))
        return self.issued[-1]

    def done(self, known: Known) -> Replay:
        """The whole replay."""
        return Replay(
            case=self.case,
            day=self.day,
            path_mm=self.path_mm,
            issued=tuple(self.issued),
            speaker=self.speaker,
            reason=self.reason.astype(np.str_),
            last_mm=self.last_mm,
            by_model=self.by_model,
            fits=tuple(self.fits),
            known=known,
        )


def last_values(known: Known) -> Floats:
    """The newest measured value of each series, (S,); NaN without any."""
    measured = np.isfinite(known.los_mm)
    if not len(measured):
        return np.full(known.series, np.nan)
    row = np.where(measured, np.arange(len(measured))[:, None], -1).max(axis=0)
    value = known.los_mm[np.maximum(row, 0), np.arange(known.series)]
    return np.asarray(np.where(row >= 0, value, np.nan))


def spells(values: Sequence[str]) -> Iterator[tuple[int, int, str]]:
    """Runs of equal values: first and last index, and the value."""
    start = 0
    for place in range(1, len(values) + 1):
        if place == len(values) or values[place] != values[start]:
            yield start, place - 1, str(values[start])
            start = place
