"""Which of a stream of e-values are named, so that few of those named are false: e-LOND.

An e-value is a figure of at least 0 whose mean is at most 1 where nothing has changed; large ones
speak for a change. The t-th of a stream is named where it is at least 1 / level, with

    level(t) = q * weight(t) * (1 + number named before t),    weights that sum to 1.

Promised: the mean of (false among the named) / (named, at least 1) is at most q after every t,
however the e-values hang together. The proof is one line: where t is named at least 1 + (named
before) are named, so a false one adds at most level(t) e(t) / (1 + named before) = q weight(t) e(t)
to the ratio, and e(t) is at most 1 in the mean.

Not promised: that the ratio of one list is below q; anything where the order of the stream or the
moment of looking was picked for what it showed, or where the mean of an e-value is above 1; that
what is not named has not changed. Early places have larger levels than late ones.

Source: Z. Xu and A. Ramdas, Online multiple testing with e-values, AISTATS 2024 (PMLR 238), after
LOND for p-values: A. Javanmard and A. Montanari, On online control of false discovery rate,
arXiv:1502.06197.
"""

from __future__ import annotations

from collections.abc import Iterable
from typing import NamedTuple

import numpy as np
import numpy.typing as npt

from core.errors import BadInputError

Floats = npt.NDArray[np.float64]

DECAY = 0.25
"""Weights fall as t^-1.25: slowly enough that the hundredth of a list can still be named."""


class Tested(NamedTuple):
    """One e-value after its test: the level (0 to q) that it was tested at, and the answer."""

    e_value: float
    level: float
    named: bool


def weights(count: int) -> Floats:
    """The first `count` weights t^-a - (t+1)^-a with a = `DECAY`; n of them sum to 1 - (n+1)^-a."""
    place = np.arange(1, count + 1, dtype=float)
    return np.asarray(-(place**-DECAY) * np.expm1(-DECAY * np.log1p(1.0 / place)))


def e_lond(e_values: Iterable[float], q: float) -> list[Tested]:
    """Test a stream in its order at false discovery rate `q`, a share between 0 and 1.

    Raises `BadInputError` for another `q`, and for an e-value that is negative or no number.
    """
    stream = [float(value) for value in e_values]
    if not 0 < q < 1:
        raise BadInputError(f"a false discovery rate q is between 0 and 1, got {q:g}")
    if wrong := [value for value in stream if not value >= 0]:
        raise BadInputError(f"an e-value is a number of at least 0, got {wrong[0]:g}")
    tested: list[Tested] = []
    named = 0
    for value, weight in zip(stream, weights(len(stream)), strict=True):
        level = q * float(weight) * (1 + named)
        tested.append(Tested(value, level, value >= 1.0 / level))
        named += tested[-1].named
    return tested
