"""Issued forecasts against the acquisitions that arrived later: errors, coverage, skill.

One forecast is judged for each epoch and horizon: the one issued exactly that many days before the
epoch. Units of one epoch share their atmosphere, so an epoch counts once, however many units there
are, and every interval resamples blocks of 60 days.
"""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass
from typing import Final, NamedTuple

import numpy as np

from core.evidence import Floats
from services.hindcast.replay import Names, Replay
from services.inference.known import Flags, Ints
from services.inference.model import HORIZONS_D
from services.inference.trust.conformal import LEVELS
from services.inference.trust.groups import NOISES, RATES, SEASONS, ZONES

BLOCK_D: Final = 60
RESAMPLES: Final = 1000
LEAST_EPOCHS: Final = 60
"""Epochs below which a group's coverage is shown and not judged."""

_H: Final = np.array(HORIZONS_D)


@dataclass(frozen=True)
class Judged:
    """E epochs of S series that arrived, and the forecasts of them at H horizons; NaN where none.

    `error_mm` (H, E, S): forecast less observation. `half_mm` (L, H, E, S): half-widths of the
    intervals. `group` (H, E, S), `speaker` (H, E, S). `moved_mm`, `expected_mm` (H, E, S): seen
    and forecast change since the newest value known at issue. `by_model` (H, E, S): their errors.
    """

    epoch_day: Ints
    los_mm: Floats
    sd_mm: Floats
    error_mm: Floats
    half_mm: Floats
    group: Ints
    speaker: Names
    moved_mm: Floats
    expected_mm: Floats
    by_model: Mapping[str, Floats]

    @property
    def block(self) -> Ints:
        """Number of the block of 60 days of each epoch, (E,)."""
        since = self.epoch_day - self.epoch_day.min(initial=np.iinfo(np.int64).max)
        return np.asarray(since // BLOCK_D)


class Estimate(NamedTuple):
    """A figure with its 95 % interval and the epochs behind it; NaN where there is nothing."""

    value: float
    low: float
    high: float
    epochs: int


def judge(replay: Replay) -> Judged:
    """Meet every forecast with the epoch of its day, where that had arrived by the last day."""
    known, first = replay.known, int(replay.day[0])
    good = np.isfinite(known.los_mm) & (known.epoch_day >= first)
    days = np.unique(known.epoch_day[good])
    los, sd = np.full((2, days.size, known.series), np.nan)
    row, series = np.nonzero(good)
    at = np.searchsorted(days, known.epoch_day[good])
    los[at, series], sd[at, series] = known.los_mm[row, series], known.sd_mm[row, series]
    issued = days - _H[:, None] - first  # row of the replay, (H, E)
    there = (issued >= 0)[..., None]
    row = np.maximum(issued, 0)
    horizon = np.arange(len(_H))[:, None]

    def met(values: Floats) -> Floats:
        """Those of (D, H, S) that meet an epoch, (H, E, S)."""
        return np.where(there, values[row, horizon], np.nan)

    mean = met(np.stack([one.mean_mm for one in replay.issued]))
    half = np.stack([one.half_mm for one in replay.issued])
    group = np.stack([one.group for one in replay.issued])[row]
    last = np.where(there, replay.last_mm[row], np.nan)
    return Judged(
        epoch_day=days,
        los_mm=los,
        sd_mm=sd,
        error_mm=mean - los,
        half_mm=np.stack([met(half[:, level]) for level in range(len(LEVELS))]),
        group=group,
        speaker=np.where(there, replay.speaker[row], ""),
        moved_mm=np.where(np.isfinite(mean), los - last, np.nan),
        expected_mm=mean - last,
        by_model={name: met(said) - los for name, said in replay.by_model.items()},
    )


def by_epoch(values: Floats) -> Floats:
    """Mean over the series of each epoch, (..., E) of (..., E, S); NaN where no series has one."""
    good = np.isfinite(values)
    count = good.sum(axis=-1)
    total = np.where(good, values, 0.0).sum(axis=-1)
    return np.asarray(np.where(count, total / np.maximum(count, 1), np.nan))


def held(judged: Judged, level: float) -> Floats:
    """1 where an observation lay in its interval, 0 where not, (H, E, S)."""
    half = judged.half_mm[LEVELS.index(level)]
    return np.where(np.isfinite(judged.error_mm + half), np.abs(judged.error_mm) <= half, np.nan)


def coverage(judged: Judged, level: float, among: Flags | None = None) -> tuple[Estimate, ...]:
    """Share of observations in their intervals by horizon, of those `among` (H, E, S)."""
    inside = held(judged, level)
    share = by_epoch(inside if among is None else np.where(among, inside, np.nan))
    return tuple(_share(one, judged.block) for one in share)


def overall(judged: Judged, level: float, among: Flags | None = None) -> Estimate:
    """The same over all horizons; epochs are counted once."""
    inside = held(judged, level)
    share = by_epoch(inside if among is None else np.where(among, inside, np.nan))
    return _share(by_epoch(share.T), judged.block)


def by_group(judged: Judged, level: float) -> dict[str, dict[str, Estimate]]:
    """Coverage over all horizons in the classes known at issue; classes without epochs left out."""
    rest, noise = np.divmod(judged.group, len(NOISES))
    rest, zone = np.divmod(rest, len(ZONES))
    rate, season = np.divmod(rest, len(SEASONS))
    divisions = {
        "season": (SEASONS, season),
        "predicted rate": (RATES, rate),
        "part of the slope": (ZONES, zone),
        "noise": (NOISES, noise),
    }
    found = {
        division: {
            name: estimate
            for place, name in enumerate(names)
            if (estimate := overall(judged, level, of == place)).epochs
        }
        for division, (names, of) in divisions.items()
    }
    return {division: parts for division, parts in found.items() if len(parts) > 1}


def rmse_mm(error_mm: Floats, judged: Judged, *, without_noise: bool = False) -> Estimate:
    """Root mean square of errors (E, S) of one horizon; the observations' variance taken out.

    Where the noise explains all of it the value is 0.
    """
    square = error_mm**2
    noise = np.where(np.isfinite(square), judged.sd_mm**2, np.nan)
    mean = _mean(by_epoch(square - noise if without_noise else square), judged.block)
    value, low, high = (float(np.sqrt(max(v, 0.0))) for v in (mean.value, mean.low, mean.high))
    return Estimate(value, low, high, mean.epochs)


def skill(judged: Judged, horizon: int, other: str) -> Estimate:
    """One less the ratio of our RMSE to that of model `other`, at `HORIZONS_D[horizon]`.

    On the epochs that both forecast; numerator and denominator share the resampled blocks.
    """
    ours, theirs = judged.error_mm[horizon] ** 2, judged.by_model[other][horizon] ** 2
    both = np.isfinite(ours + theirs)
    mine, yours = (by_epoch(np.where(both, one, np.nan)) for one in (ours, theirs))
    epochs = int(np.isfinite(mine).sum())
    drawn = _drawn(judged.block)
    good = np.isfinite(mine)
    sums = [drawn[:, good] @ one[good] for one in (mine, yours)]
    if not epochs or sums[1][0] <= 0:
        return Estimate(np.nan, np.nan, np.nan, epochs)
    ratio = np.sqrt(np.divide(sums[0], sums[1], out=np.full(len(drawn), np.nan), where=sums[1] > 0))
    return _estimate(1.0 - ratio, epochs)


def _share(values: Floats, block: Ints) -> Estimate:
    """Mean of shares with the wider, at each end, of the blocks' interval and Wilson's (1927).

    A few blocks that are all alike say nothing of their spread, so each epoch is a trial besides.
    """
    mean = _mean(values, block)
    n, z2 = mean.epochs, 1.959964**2
    if not n:
        return mean
    centre = (mean.value + z2 / (2 * n)) / (1 + z2 / n)
    half = np.sqrt(z2 * mean.value * (1 - mean.value) / n + z2**2 / (4 * n * n)) / (1 + z2 / n)
    low, high = float(max(centre - half, 0.0)), float(min(centre + half, 1.0))
    return mean._replace(low=float(np.fmin(mean.low, low)), high=float(np.fmax(mean.high, high)))


def _mean(values: Floats, block: Ints) -> Estimate:
    good = np.isfinite(values)
    if not good.any():
        return Estimate(np.nan, np.nan, np.nan, 0)
    drawn = _drawn(block)[:, good]
    count = drawn.sum(axis=1)
    mean = np.divide(drawn @ values[good], count, out=np.full(len(drawn), np.nan), where=count > 0)
    return _estimate(mean, int(good.sum()))


def _drawn(block: Ints) -> Floats:
    """Weights (R + 1, E) of the epochs in each resample of blocks, the sample itself first."""
    blocks = int(block.max(initial=0)) + 1
    draws = np.random.default_rng(blocks).multinomial(
        blocks, np.full(blocks, 1 / blocks), RESAMPLES
    )
    return np.concatenate([np.ones((1, blocks)), draws])[:, block]


def _estimate(values: Floats, epochs: int) -> Estimate:
    rest = values[1:][np.isfinite(values[1:])]
    low, high = np.quantile(rest, (0.025, 0.975)) if rest.size else (np.nan, np.nan)
    return Estimate(float(values[0]), float(low), float(high), epochs)
