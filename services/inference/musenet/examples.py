"""Training examples: what was known at each issue day, and what real epochs showed later.

Everything a network is trained on comes through `History.known`: the inputs from the issue day,
the targets from the epochs that had arrived by the end of the record. Nothing is interpolated and
no truth of a simulation is looked at.
"""

from __future__ import annotations

import hashlib
from collections.abc import Iterator, Sequence
from typing import NamedTuple

import numpy as np
import numpy.typing as npt

from core.evidence import Floats
from services.inference.known import FURTHEST_D, History, Ints, Known
from services.inference.models.kalman_transfer import KalmanTransfer
from services.inference.musenet.expectation import expect
from services.inference.musenet.inputs import Inputs, gather

Singles = npt.NDArray[np.float32]
LATER = 4
"""Later epochs an issue is judged by, at most."""


class Examples(NamedTuple):
    """N issues of series, in the order of their places' B issues.

    Arrays as in `Inputs` (float32, `row` counting on over issue days) and in `loss.Targets`.
    """

    epochs: Singles
    statics: Singles
    rain: Singles
    level: Singles
    row: Ints
    site: Ints
    response_mm: Singles
    scale_mm_d: Singles
    age_d: Singles
    base_mm: Singles
    base_sd_mm: Singles
    base_last_mm: Singles
    offset_d: Ints
    observed_mm: Singles
    sd_mm: Singles
    day: Ints
    """(B,) issue day of each row."""


class Later(NamedTuple):
    """Real epochs after the last one that had arrived, (N, LATER) each; NaN in padding."""

    offset_d: Ints
    observed_mm: Floats
    sd_mm: Floats


def later_epochs(known: Known, complete: Known) -> Later:
    """The epochs of `complete` that follow the last arrived one of `known`, up to 30 days ahead.

    `complete` is what was known much later. Values are LOS mm on the series' own zero.
    """
    last = last_epoch_day(known)
    days = complete.epoch_day
    measured = np.isfinite(complete.los_mm)
    inside = measured & (days > last) & (days <= known.day + FURTHEST_D)
    order = np.argsort(~inside, axis=0, kind="stable")[:LATER]
    chosen = np.take_along_axis(inside, order, axis=0)

    def pick(values: Floats) -> Floats:
        return np.where(chosen, np.take_along_axis(values, order, axis=0), np.nan).T

    offset = np.where(chosen, np.take_along_axis(days, order, axis=0) - known.day, FURTHEST_D)
    return Later(offset.T, pick(complete.los_mm), pick(complete.sd_mm))


def last_epoch_day(known: Known) -> Ints:
    """Day of the last measured epoch of every series, (S,); the issue day where there is none."""
    measured = np.isfinite(known.los_mm)
    days = np.where(measured, known.epoch_day, np.iinfo(np.int64).min).max(axis=0)
    return np.asarray(np.where(measured.any(axis=0), days, known.day))


def examples_of(inputs: Inputs, later: Later, site: Ints, first_row: int = 0) -> Examples:
    """One issue day as examples; series that cannot be scaled or judged are left out."""
    judged = np.isfinite(later.observed_mm).any(axis=1)
    usable = np.flatnonzero(judged & np.isfinite(inputs.base_mm).all(axis=0))
    zero = inputs.last_mm[usable]

    def single(values: Floats) -> Singles:
        return np.ascontiguousarray(values[usable], dtype=np.float32)

    return Examples(
        epochs=single(inputs.epochs),
        statics=single(inputs.statics),
        rain=inputs.rain.astype(np.float32),
        level=inputs.level.astype(np.float32),
        row=inputs.row[usable] + first_row,
        site=site[usable],
        response_mm=single(inputs.response_mm),
        scale_mm_d=single(inputs.scale_mm_d),
        age_d=single(inputs.age_d),
        base_mm=np.asarray(inputs.base_mm.T[usable] - zero[:, None], np.float32),
        base_sd_mm=single(inputs.base_sd_mm.T),
        base_last_mm=np.asarray(inputs.base_last_mm[usable] - zero, np.float32),
        offset_d=later.offset_d[usable],
        observed_mm=np.asarray(later.observed_mm[usable] - zero[:, None], np.float32),
        sd_mm=single(later.sd_mm),
        day=np.full(len(inputs.rain), inputs.day, np.int64),
    )


def joined(parts: Sequence[Examples]) -> Examples:
    """Examples of several issue days or pools, one after the other; rows count on."""
    shifted, rows = [], 0
    for part in parts:
        shifted.append(part._replace(row=part.row + rows))
        rows += len(part.day)
    return Examples(*(np.concatenate(columns) for columns in zip(*shifted, strict=True)))


def chosen_rows(examples: Examples, keep: npt.NDArray[np.bool_]) -> Examples:
    """The examples of the issues `keep` (B,) alone."""
    number = np.cumsum(keep) - 1
    mine = keep[examples.row]
    by_row = {"rain", "level", "day"}
    columns = {
        name: values[keep] if name in by_row else values[mine]
        for name, values in examples._asdict().items()
    }
    return Examples(**columns)._replace(row=number[examples.row[mine]])


def fingerprint(examples: Examples) -> str:
    """SHA-256 over all arrays: equal examples, equal fingerprints."""
    digest = hashlib.sha256()
    for name, values in examples._asdict().items():
        digest.update(f"{name} {values.dtype.str} {values.shape}".encode())
        digest.update(np.ascontiguousarray(values).tobytes())
    return digest.hexdigest()


class Rolling(NamedTuple):
    """When a record is fitted anew and asked: fits every `refit_d` days, issues in between."""

    origins: tuple[int, ...]
    refit_d: int = 365
    every_d: int = 12
    """About one issue an epoch."""
    offset_d: int = 0
    """Days from an origin to its first issue; other pools take others, so that all ages occur."""


def rolling_examples(
    history: History, base: KalmanTransfer, rolling: Rolling, last_day: int
) -> Iterator[Examples]:
    """Examples of one pool, issue day by issue day.

    The base is fitted at each origin on what was known then, so its residuals are those of a
    forecast. `last_day` is the last day that `history` can be asked for.
    """
    complete = history.known(last_day)
    for origin in rolling.origins:
        parameters = base.fit(history, origin)
        for day in range(origin + rolling.offset_d, origin + rolling.refit_d, rolling.every_d):
            if day > last_day:
                return
            known = history.known(day)
            inputs = gather(known, expect(base, parameters, known))
            yield examples_of(inputs, later_epochs(known, complete), known.place)
