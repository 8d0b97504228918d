"""Run the replica: every model under both readings, on both kinds of labels.

Source: comparators KF, KF-ARIMA and KF-LSTM; ablations IFP, IFW and IFPW of the network's drivers.
Our reading: IFP has rain alone, IFW the level alone, IFPW is the whole.
Our choice: the run without either, the other comparators, 3 mm of noise an epoch, and ablations
on raw labels only.
"""

from __future__ import annotations

import platform
import time
from collections.abc import Callable, Iterator, Mapping, Sequence
from contextlib import contextmanager
from dataclasses import dataclass
from importlib.metadata import version
from typing import TYPE_CHECKING, NamedTuple

import numpy as np
from tqdm import tqdm

from core.evidence import Floats
from services.scoring.replica import filters, level_rule, rules
from services.scoring.replica.filters import START_D, Filtered
from services.scoring.replica.stack import (
    FIRST_LABEL_D,
    LABELS_END_D,
    SITE_SEEDS,
    TEST_D,
    TRAIN_D,
    Stack,
    simulated_sites,
    stack_of,
)
from services.scoring.replica.windows import LAGS_D, TEST, Windows, scaled, windows

if TYPE_CHECKING:
    from services.scoring.replica.network import Training

NOISE_MM = 3.0
"""Noise of an epoch for the models that are trained."""
OTHER_NOISE_MM = (0.0, 5.0)
"""Further noise, for what costs little."""
LABEL, PERSISTENCE, ONE_LINER, RIDGE = "the label itself", "persistence", "one-liner", "ridge"
LEVEL_RULE, KF, KF_ARIMA, KF_LSTM = "Criss–Yao", "KF", "KF-ARIMA", "KF-LSTM"
MUSENET = "MUSEnetPaper"
ABLATIONS: Mapping[str, tuple[str, ...]] = {
    "without hydrology": ("deformation",),
    "rain alone (IFP)": ("deformation", "rain"),
    "level alone (IFW)": ("deformation", "level"),
}
RAW, RELATIVE = "raw", "relative"
_TRAININGS = 4 * 3 + 2 * len(ABLATIONS)


@dataclass(frozen=True)
class Row:
    """Errors of one model on the test part, over all series and days, in mm.

    `rmse_mm` and `mae_mm` are against the interpolated label, as published; `true_*` against the
    simulated motion of the same day. `inputs` says whether deformation is 'raw' or 'relative' to
    the window's newest value, where a model can be given either.
    """

    reading: str
    labels: str
    noise_mm: float
    model: str
    inputs: str
    rmse_mm: float
    mae_mm: float
    true_rmse_mm: float
    true_mae_mm: float
    remark: str = ""


@dataclass(frozen=True)
class Replica:
    """All rows, and the conditions they were measured under."""

    rows: tuple[Row, ...]
    conditions: tuple[str, ...]
    hours: float


class Case(NamedTuple):
    """One reading of one stack."""

    labels: str
    noise_mm: float
    stack: Stack
    given: Windows

    def row(self, model: str, forecast_mm: Floats, inputs: str = "", remark: str = "") -> Row:
        """Score a forecast of the test days, (558, S) mm."""
        miss = forecast_mm - self.given.label_mm[TEST]
        off = forecast_mm - self.given.truth_mm[TEST]
        errors = (_rms(miss), _mean(miss), _rms(off), _mean(off))
        return Row(self.given.reading, self.labels, self.noise_mm, model, inputs, *errors, remark)


def measure(
    seeds: Sequence[int] = SITE_SEEDS,
    training: Training | None = None,
    *,
    progress: bool = False,
) -> Replica:
    """Train and score everything, on one thread.

    Args:
        seeds: sites.
        training: how the networks are trained; None for the defaults.
        progress: whether a bar of trainings goes to standard error.
    """
    from services.scoring.replica.network import Training

    training = training or Training()
    began = time.perf_counter()
    rows: list[Row] = []
    with _one_thread(), tqdm(total=_TRAININGS, unit="training", disable=not progress) as bar:
        for case in _cases(seeds):
            filtered = filters.fit_filter(case.stack, case.given.reading)
            rows += _cheap(case, filtered)
            if case.noise_mm == NOISE_MM:
                rows.append(_arima(case, filtered))
                rows += _networks(case, filtered, training, bar.update)
    hours = (time.perf_counter() - began) / 3600
    return Replica(tuple(rows), _conditions(seeds, training), hours)


def _cases(seeds: Sequence[int]) -> Iterator[Case]:
    truth = simulated_sites(seeds)
    for smoothed in (False, True):
        for noise in (NOISE_MM, *OTHER_NOISE_MM):
            stack = stack_of(truth, noise_mm=noise, smoothed=smoothed)
            for reading in LAGS_D:
                labels = "smoothed" if smoothed else "raw"
                yield Case(labels, noise, stack, windows(stack, reading))


def _cheap(case: Case, filtered: Filtered) -> Iterator[Row]:
    """What costs little: rules, linear fits and the filter."""
    given = case.given
    yield case.row(LABEL, given.label_mm[TEST])
    yield case.row(PERSISTENCE, rules.persistence(given)[TEST])
    yield case.row(ONE_LINER, rules.one_liner(given)[TEST])
    for inputs in (RAW, RELATIVE):
        yield case.row(RIDGE, rules.ridge(scaled(given, relative=inputs == RELATIVE)), inputs)
    rule = level_rule.fit_level_rule(case.stack)
    yield case.row(LEVEL_RULE, level_rule.forecast_level_rule(rule, given)[TEST])
    yield case.row(KF, filtered.forecast_mm[_tested()])


def _arima(case: Case, filtered: Filtered) -> Row:
    forecast, failed = filters.arima(filtered, case.given.reading)
    remark = f"{failed} of {forecast.shape[1]} fits did not converge" if failed else ""
    return case.row(KF_ARIMA, forecast[_tested()], remark=remark)


def _networks(
    case: Case, filtered: Filtered, training: Training, tick: Callable[[], object]
) -> Iterator[Row]:
    """The published network, its ablations, and the same LSTM on filtered deformation."""
    from services.scoring.replica.network import BLOCKS

    after_filter = windows_of_filtered(case, filtered)
    ablations = ABLATIONS.items() if case.labels == RAW else ()
    runs: list[tuple[str, Windows, str, tuple[str, ...]]] = [
        (KF_LSTM, after_filter, RELATIVE, ("deformation",)),
        *((name, case.given, RELATIVE, blocks) for name, blocks in ablations),
        (MUSENET, case.given, RAW, BLOCKS),
        (MUSENET, case.given, RELATIVE, BLOCKS),
    ]
    for model, given, inputs, blocks in runs:
        yield _trained(case, model, given, inputs, blocks, training)
        tick()


def _trained(
    case: Case, model: str, given: Windows, inputs: str, blocks: tuple[str, ...], how: Training
) -> Row:
    from services.scoring.replica.network import forecast, train

    data = scaled(given, relative=inputs == RELATIVE)
    trained = train(data, how, blocks)
    remark = f"best of {trained.training_epochs} training epochs: {trained.best_epoch}"
    return case.row(model, forecast(trained, data, TEST), inputs, remark)


def windows_of_filtered(case: Case, filtered: Filtered) -> Windows:
    """The case's windows with what the filter had made of each deformation by its own day."""
    label = case.stack.label_mm.copy()
    label[START_D:] = filtered.filtered_mm
    known = windows(case.stack._replace(label_mm=label), case.given.reading)
    return known._replace(label_mm=case.given.label_mm)


def _tested() -> slice:
    """Rows of the test days in a `Filtered`."""
    return slice(FIRST_LABEL_D - START_D + TRAIN_D, LABELS_END_D - START_D)


def _rms(error_mm: Floats) -> float:
    return float(np.sqrt((error_mm**2).mean()))


def _mean(error_mm: Floats) -> float:
    return float(np.abs(error_mm).mean())


@contextmanager
def _one_thread() -> Iterator[None]:
    """One torch thread, so that figures do not depend on the number of cores."""
    import torch

    before = torch.get_num_threads()
    torch.set_num_threads(1)
    try:
        yield
    finally:
        torch.set_num_threads(before)


def _conditions(seeds: Sequence[int], training: Training) -> tuple[str, ...]:
    versions = ", ".join(
        f"{name} {version(name)}" for name in ("numpy", "scikit-learn", "statsmodels", "torch")
    )
    return (
        f"{len(seeds)} simulated sites of 6 points, development seeds {', '.join(map(str, seeds))}",
        f"{TRAIN_D} daily labels train, the {TEST_D} after them test; epochs every 12 days",
        f"Networks: at most {training.training_epochs} training epochs, patience "
        f"{training.patience}, {training.site_days} site-days in each, batch of {training.batch}, "
        f"seed {training.seed}, Adam 1e-4, one thread",
        f"Python {platform.python_version()}; {versions}",
    )
