"""Boosted trees correct what Kalman + transfer function expects.

Trees are grown once on many slopes (`train`) and ship with the project; a site adds nothing but its
own fit of `kalman_transfer`. They are told what is known at issue (`numerics.windows`)
with the horizon as one more number, and answer by how much the expectation will be off, in units
of the series' typical motion. Grown on simulated slopes; served as plain arrays
(`numerics.trees`). Source: J. H. Friedman, Greedy Function Approximation, Annals of
Statistics 29, 2001.
"""

from __future__ import annotations

from collections.abc import Iterable
from importlib.resources import files
from pathlib import Path as File

import numpy as np
from pydantic import Field

from core.artifacts import unpack
from core.errors import BadInputError, SettingsError
from core.evidence import Floats
from core.settings import Tree
from services.inference.known import FURTHEST_D, History, Known
from services.inference.model import Parameters, Path
from services.inference.models import kalman_transfer
from services.inference.numerics import trees, windows
from services.inference.numerics.trees import Growth, Trees
from services.inference.numerics.windows import HORIZONS_D

_SHIPPED = "weights/boosting.npz"
_MOST = 6.0
"""Units that an error counts for at most in training."""


class Settings(Tree):
    """Which trees speak."""

    weights: File | None = Field(None, description="file of trees; none: those that ship")


class Boosting:
    """The `boosting` model."""

    name = "boosting"
    needs = frozenset({"rain", "level"})

    def __init__(self, grown: Trees, spread: Floats) -> None:
        self._trees = grown
        self._spread = spread
        self._base = kalman_transfer.open(kalman_transfer.Settings())

    def fit(self, history: History, day: int) -> Parameters:
        """The parameters of `kalman_transfer`: the trees learn nothing of a site."""
        return self._base.fit(history, day)

    def forecast(self, parameters: Parameters, known: Known) -> Path:
        """See `services.inference.model.Model.forecast`."""
        issue = windows.look(self._base, parameters, known)
        table = windows.rows(issue, HORIZONS_D)
        said = trees.predict(self._trees, table).reshape(len(HORIZONS_D), -1)
        daily = _between(said) * issue.unit_mm
        spread = np.interp(np.arange(FURTHEST_D + 1), HORIZONS_D, self._spread)[:, None]
        return Path(issue.base.displacement_mm + daily, issue.base.sd_mm * spread)


def _between(said: Floats) -> Floats:
    """Corrections on every day, linear between horizons, (31, S)."""
    days = np.arange(FURTHEST_D + 1.0)
    weights = np.stack([np.interp(days, HORIZONS_D, one) for one in np.eye(len(HORIZONS_D))], 1)
    return np.asarray(weights @ said)


def train(
    histories: Iterable[tuple[History, int, int]],
    growth: Growth | None = None,
    every_d: int = 6,
    seed: int = 0,
) -> dict[str, Floats]:
    """Grow trees on issues of many series.

    Args:
        histories: records, each with the day of the fit and the last day to be known.
        growth: how trees are grown; None for the defaults.
        every_d: days between issues.
        seed: of the growing.

    Returns:
        Named arrays as `open` reads them: the trees and `spread`, the ratio of the error with the
        trees to that without them at each of the horizons asked for, on a third of the places that
        these trees were not grown on.
    """
    growth = growth or Growth()
    parts = [_examples(history, fit, last, every_d) for history, fit, last in histories]
    shift = np.cumsum([0, *(int(part[4].max(initial=0)) + 1 for part in parts)])
    table, target, weight, ahead = (np.concatenate([p[i] for p in parts]) for i in range(4))
    place = np.concatenate([p[4] + at for p, at in zip(parts, shift[:-1], strict=True)])
    held = place % 3 == 0
    inner = trees.grow(table[~held], target[~held], weight[~held], growth, seed)
    left = target[held] - trees.predict(inner, table[held])
    ratio = _ratios(target[held], left, weight[held], ahead[held])
    return {
        **trees.packed(trees.grow(table, target, weight, growth, seed)),
        "spread": ratio,
    }


def _ratios(before: Floats, after: Floats, weight: Floats, ahead: Floats) -> Floats:
    """Error after over error before at each horizon; 1 where no example is near."""
    ratios = []
    for horizon in HORIZONS_D:
        near = np.abs(ahead - horizon) <= 3
        without = (weight[near] * before[near] ** 2).sum()
        share = (weight[near] * after[near] ** 2).sum() / without if without > 0 else 1.0
        ratios.append(np.clip(np.sqrt(share), 0.5, 1.0))
    return np.array(ratios)


def _examples(history: History, fit: int, last: int, every_d: int) -> tuple[Floats, ...]:
    """Rows, targets, weights, horizons and places of the issues from `fit` to `last` - 30."""
    base = kalman_transfer.open(kalman_transfer.Settings())
    parameters = base.fit(history, fit)
    later = history.known(last)
    came = later.los_mm - base.filtered(parameters, later).run.lost_mm
    parts: list[tuple[Floats, ...]] = []
    for day in range(fit, last - FURTHEST_D, every_d):
        known = history.known(day)
        issue = windows.look(base, parameters, known)
        ahead = later.epoch_day - day
        here = np.isfinite(came) & (ahead >= 0) & (ahead <= FURTHEST_D)
        row, series = np.nonzero(here)
        horizon = ahead[row, series]
        expected = issue.base.displacement_mm - issue.said.run.lost_mm[-1]
        unit = issue.unit_mm[series]
        off = (came[row, series] - expected[horizon, series]) / unit
        noise = later.sd_mm[row, series] / unit
        good = np.isfinite(off)
        parts.append(
            (
                windows.rows(issue, horizon[good], series[good]),
                np.clip(off, -_MOST, _MOST)[good],
                (unit**2 / (1.0 + noise**2) / 25.0)[good],
                horizon[good].astype(float),
                known.place[series[good]],
            )
        )
    return tuple(np.concatenate(pieces) for pieces in zip(*parts, strict=True))


def open(settings: Settings) -> Boosting:
    """The model of these settings; `SettingsError` where there are no trees to read."""
    try:
        shipped = files("services.inference").joinpath(_SHIPPED)
        content = (settings.weights or shipped).read_bytes()
        arrays = unpack(content)
        return Boosting(trees.unpacked(arrays), arrays["spread"].astype(float))
    except (OSError, KeyError, BadInputError) as error:
        where = settings.weights or _SHIPPED
        raise SettingsError(f"boosting: no trees can be read from {where}: {error}") from error
