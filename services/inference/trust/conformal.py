"""Intervals that keep their promise: conformal, adaptive, fed by epochs when they arrive.

A score is |observed - predicted| / sd, with the sd of the next observation in it: the interval is
for the displacement as it will be measured. Its half-width is the sd times a multiplier, the
product of three: the quantile of such scores in the pool, by model, horizon and group; the
site's own recent scores relative to that, trusted as they grow in number; and a factor that
goes up at each miss and down at each hit, so that coverage comes back after any drift.

The last is the quantile tracker ("P" of conformal PID) of Angelopoulos, Candes and Tibshirani
(2023), on the logarithm; it has the long-run guarantee of adaptive conformal inference (Gibbs and
Candes 2021) and no infinite intervals. Feedback is delayed: a forecast is judged by the epoch of
its day, when that has arrived, once for each epoch and horizon. The order of calls decides,
nothing else.
"""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass, replace
from functools import cached_property
from typing import Any, Final, NamedTuple

import numpy as np
import numpy.typing as npt

from core.errors import BadInputError
from core.evidence import Floats
from services.inference.known import FURTHEST_D, Flags, Ints, Known
from services.inference.model import HORIZONS_D, Path
from services.inference.trust import tally
from services.inference.trust.groups import (
    LEAVES,
    RATE_SHARES,
    predicted_rate_mm_d,
    standing,
    usual_sd_mm,
    with_rate,
)
from services.inference.trust.inner import Scores

LEVELS: Final = (0.5, 0.9)
NORMAL: Final = (0.6744897501960817, 1.6448536269514722)
"""Multipliers of a normal distribution: what holds where nothing was calibrated."""

STEP: Final = 0.05
"""How far a miss moves the logarithm of the multiplier (Gibbs and Candes: 0.01 to 0.05)."""
FORGET: Final = 1 / 200
"""Share of its own recent scores that a group forgets with each new epoch."""
FURTHEST_SHIFT: Final = 2.0
MEMORY_D: Final = 45
"""Days for which issued forecasts are kept to be judged: the furthest horizon and a late epoch."""

_H: Final = np.array(HORIZONS_D)
_NEAREST: Final = np.abs(np.arange(FURTHEST_D + 1)[:, None] - _H).argmin(axis=1)


@dataclass(frozen=True)
class State:
    """What the intervals of one site have learned.

    `models`: names, in the order of `prior` (M, L, H, G), the pool's multipliers at `LEVELS`.
    `edges_mm_d` (2,): between the classes of predicted rate. `scores` (H, G, B): tally of the
    site's scores in units of the pool's 90 % multiplier. `shift` (L, H): the tracker, logarithm.
    """

    models: tuple[str, ...]
    prior: Floats
    edges_mm_d: Floats
    scores: Floats
    shift: Floats

    @cached_property
    def pull(self) -> tally.Pull:
        """Quantiles of the site's scores, leaning on the pool's: made once a state."""
        return tally.pull(self.scores, LEVELS)


class Issued(NamedTuple):
    """Forecasts of S series issued at the end of `day`, at the horizons of `HORIZONS_D`.

    `half_mm` (L, H, S): half-width of the interval of an observation, at `LEVELS`;
    `latent_half_mm`: that of the displacement itself, by the same multipliers. `pool_half_mm`
    (H, S): the pool's 90 % half-width, in which scores are counted. `group` (S,).
    """

    day: int
    mean_mm: Floats
    half_mm: Floats
    latent_half_mm: Floats
    pool_half_mm: Floats
    group: Ints


class Arrived(NamedTuple):
    """One epoch of each series that has just arrived, (S,) each; NaN where a series has none."""

    epoch_day: Ints
    los_mm: Floats
    place: Ints


def begin(prior: Mapping[str, Floats] | None = None, edges_mm_d: Floats | None = None) -> State:
    """A state that has seen nothing of its site.

    `prior`: the pool's multipliers (L, H, G) by model, see `prior_of`. A model without any begins
    with those of a normal distribution, and says so by its absence from `State.models`.
    """
    prior = prior or {}
    tables = [np.broadcast_to(table, _shape()) for table in prior.values()]
    return State(
        models=("", *prior),
        prior=np.stack([normal(), *tables]),
        edges_mm_d=np.full(len(RATE_SHARES), np.inf) if edges_mm_d is None else edges_mm_d,
        scores=tally.empty(),
        shift=np.zeros((len(LEVELS), len(HORIZONS_D))),
    )


def normal() -> Floats:
    """Multipliers (L, H, G) of a normal distribution."""
    return np.array(np.broadcast_to(np.array(NORMAL)[:, None, None], _shape()))


def priors_of(scores: Scores, edges_mm_d: Floats) -> dict[str, Floats]:
    """Multipliers (L, H, G) of each model from the forecasts of a pool of many sites.

    Scores of one site, epoch, horizon and group count as one. Groups below 60 epochs times sites
    lean on their parents, and the root on a normal distribution.
    """
    relative = np.abs(scores.los_mm - scores.mean_mm) / scores.spread_mm
    group = with_rate(scores.standing, scores.rate_mm_d, edges_mm_d)
    shape = (len(_H), scores.los_mm.size)
    epoch = np.arange(len(scores.epoch_day))[:, None]
    at = (scores.place * len(epoch) + epoch).ravel()
    return {
        name: prior_of(relative[m].reshape(shape), group[m].reshape(shape), at)
        for m, name in enumerate(scores.models)
    }


def prior_of(score: Floats, group: Ints, at: Ints) -> Floats:
    """Multipliers (L, H, G) from scores |observed - predicted| / sd and their groups, (H, N).

    `at` (N,): a number for each site and epoch, whose scores count as one in each group.
    """
    counted = tally.added(tally.empty(), group, score, tally.weights(group, at, score), 0.0)
    return tally.quantiles(counted, LEVELS, normal())


def issue(state: State, known: Known, path: Path, speaker: Sequence[str] | None = None) -> Issued:
    """Forecasts with their intervals, from a path (31, S) and who spoke for each series.

    A series that has never been measured has no interval (NaN).
    """
    group = with_rate(standing(known), predicted_rate_mm_d(path), state.edges_mm_d)
    model = _index(state.models, speaker, known.series)
    mean, sd = path.displacement_mm[_H], path.sd_mm[_H]
    observed_sd = np.hypot(sd, usual_sd_mm(known))
    factor, pool = multipliers(state, group, model)
    return Issued(known.day, mean, factor * observed_sd, factor * sd, pool * observed_sd, group)


def multipliers(state: State, group: Ints, model: Ints) -> tuple[Floats, Floats]:
    """Multipliers (L, H, S) in force, and the pool's at 90 % (H, S), of groups and models (S,)."""
    own, trust = state.pull
    prior = state.prior[model, :, :, group].transpose(1, 2, 0)
    pool = prior[-1]
    relative = own[:, :, group] + trust[:, :, group] * np.log(prior / pool)
    return pool * np.exp(relative + state.shift[:, :, None]), pool


def band(issued: Issued, level: float = 0.9, *, latent: bool = False) -> tuple[Floats, Floats]:
    """Lower and upper end (H, S) of the interval of an observation, or of the motion itself.

    That of the motion cannot be checked by observations; its coverage is known on the twin alone.
    Raises `ValueError` for a level that is not in `LEVELS`.
    """
    half = (issued.latent_half_mm if latent else issued.half_mm)[LEVELS.index(level)]
    return issued.mean_mm - half, issued.mean_mm + half


def arrivals(before: Known | None, now: Known) -> list[Arrived]:
    """Epochs in `now` that were not in `before`, oldest first, one a series in each.

    An epoch that comes more than 45 days after its day meets no forecast and is left out.
    """
    fresh = np.isfinite(now.los_mm)
    if before is not None:
        fresh &= now.epoch_day > before.day - MEMORY_D
        fresh[fresh] = ~np.isin(_keys(now, fresh), _keys(before, np.isfinite(before.los_mm)))
    days = np.unique(now.epoch_day[fresh])
    return [_arrived(now, fresh & (now.epoch_day == day), int(day)) for day in days]


def _keys(known: Known, those: Flags) -> Ints:
    """One number for each series and day of `those` (K, S), in the order of the flags."""
    day = known.epoch_day * known.series + np.arange(known.series)
    return np.asarray(day[those])


def _arrived(now: Known, those: Flags, day: int) -> Arrived:
    los = np.where(those, now.los_mm, -np.inf).max(axis=0)
    return Arrived(np.full(now.series, day), np.where(np.isfinite(los), los, np.nan), now.place)


def learn(state: State, epoch: Arrived, issued: Sequence[Issued]) -> State:
    """The state after an epoch has arrived, from the forecasts issued in the last 45 days.

    Of each series and horizon one forecast is judged: the one whose lead is nearest to the
    horizon, the earlier of two. Between horizons mean and width are interpolated.
    """
    met = _met(epoch, [one for one in issued if _reaches(one, epoch)])
    return update(state, met, epoch) if met is not None else state


def refitted(learned: State, begun: State) -> State:
    """Intervals after models were fitted anew: where `begun` stands, with what was `learned`.

    Tallies count in units of the pool's multipliers and in its groups: where those changed with an
    upgrade, what was learned cannot be carried over, and `begun` knows the last year anyway.
    """
    same = learned.models == begun.models and np.array_equal(
        learned.edges_mm_d, begun.edges_mm_d, equal_nan=True
    )
    if not same or not np.array_equal(learned.prior, begun.prior, equal_nan=True):
        return begun
    return replace(begun, scores=learned.scores, shift=learned.shift)


def taught(state: State, scores: Scores, speaker: Sequence[str]) -> State:
    """The state after the inner fold, as if each series' `speaker` (S,) had issued it.

    The interval of each forecast is that of the epochs before its issue. An epoch teaches from its
    own day on: the fold does not keep when it arrived, a few days later. Series whose speaker was
    not scored teach nothing.
    """
    scored = np.array([scores.models.index(n) if n in scores.models else -1 for n in speaker])
    model = _index(state.models, speaker, len(speaker))
    states = [state]
    for e, day in enumerate(scores.epoch_day):
        mean, spread, rate = (
            np.where(scored >= 0, values[scored, :, e, np.arange(len(speaker))].T, np.nan)
            for values in (scores.mean_mm, scores.spread_mm, scores.rate_mm_d)
        )
        group = with_rate(scores.standing[:, e], rate, state.edges_mm_d)
        half, pool = np.empty((len(LEVELS), *mean.shape)), np.empty(mean.shape)
        for h, horizon in enumerate(HORIZONS_D):
            then = states[int(np.searchsorted(scores.epoch_day, day - horizon))]
            factor, pools = multipliers(then, group[h], model)
            half[:, h], pool[h] = factor[:, h] * spread[h], pools[h] * spread[h]
        epoch = Arrived(np.full(len(speaker), day), scores.los_mm[e], scores.place)
        states.append(update(states[-1], Met(mean, half, pool, group), epoch))
    return states[-1]


class Met(NamedTuple):
    """The forecasts that an epoch judges, (H, S), `half_mm` (L, H, S); NaN where there is none."""

    mean_mm: Floats
    half_mm: Floats
    pool_half_mm: Floats
    group: Ints


def update(state: State, met: Met, epoch: Arrived) -> State:
    """The state after these forecasts met their epoch."""
    error = np.abs(epoch.los_mm - met.mean_mm)
    score = error / met.pool_half_mm
    weight = tally.weights(met.group, epoch.place, score)
    scores = tally.added(state.scores, met.group, score, weight, FORGET)
    missed = np.where(np.isfinite(error + met.half_mm), error > met.half_mm, np.nan)
    rate = _mean_by_place(missed, epoch.place)
    wanted = 1.0 - np.array(LEVELS)[:, None]
    shift = state.shift + np.where(np.isfinite(rate), STEP * (rate - wanted), 0.0)
    return replace(state, scores=scores, shift=np.clip(shift, -FURTHEST_SHIFT, FURTHEST_SHIFT))


def arrays(state: State) -> dict[str, npt.NDArray[Any]]:
    """The state as named arrays, for `core.artifacts.pack`."""
    return {
        "models": np.array(state.models),
        "prior": state.prior,
        "edges_mm_d": state.edges_mm_d,
        "scores": state.scores,
        "shift": state.shift,
    }


def from_arrays(named: Mapping[str, npt.NDArray[Any]]) -> State:
    """Inverse of `arrays`. Raises `BadInputError` where an array is missing or of another shape."""
    try:
        models = tuple(str(name) for name in named["models"])
        state = State(models, *(np.asarray(named[n], float) for n in _NAMES))
    except KeyError as error:
        raise BadInputError(f"state of the intervals lacks {error}: train the site again") from None
    wanted = ((len(models), *_shape()), (2,), tally.empty().shape, _shape()[:2])
    for name, shape in zip(_NAMES, wanted, strict=True):
        if getattr(state, name).shape != shape:
            raise BadInputError(
                f"state of the intervals: {name} is not of shape {shape}; train the site again"
            )
    return state


_NAMES: Final = ("prior", "edges_mm_d", "scores", "shift")


def _shape() -> tuple[int, int, int]:
    return len(LEVELS), len(HORIZONS_D), LEAVES


def _index(models: tuple[str, ...], speaker: Sequence[str] | None, series: int) -> Ints:
    names = [""] * series if speaker is None else speaker
    return np.array([models.index(n) if n in models else 0 for n in names], np.int64)


def _reaches(one: Issued, epoch: Arrived) -> bool:
    lead = epoch.epoch_day - one.day
    return bool(((lead >= 0) & (lead <= FURTHEST_D) & np.isfinite(epoch.los_mm)).any())


def _met(epoch: Arrived, issued: Sequence[Issued]) -> Met | None:
    if not issued:
        return None
    lead = epoch.epoch_day - np.array([one.day for one in issued])[:, None]
    inside = (lead >= 0) & (lead <= FURTHEST_D)
    bin_ = np.where(inside, _NEAREST[np.clip(lead, 0, FURTHEST_D)], -1)
    # Twice the distance, less one where the lead is the longer: the earlier of two is preferred.
    far = 2 * np.abs(lead - _H[:, None, None]) - (lead > _H[:, None, None])
    far = np.where(bin_ == np.arange(len(_H))[:, None, None], far, 4 * FURTHEST_D)
    pick = far.argmin(axis=1)  # (H, S)
    series = np.arange(lead.shape[1])
    there = np.take_along_axis(far, pick[:, None], 1)[:, 0] < 4 * FURTHEST_D
    at = np.clip(lead[pick, series], 0, FURTHEST_D)
    low = np.clip(np.searchsorted(_H, at, side="right") - 1, 0, len(_H) - 2)
    share = (at - _H[low]) / (_H[low + 1] - _H[low])

    def between(values: list[Floats]) -> Floats:
        stacked = np.stack(values)
        ahead, behind = stacked[pick, ..., low + 1, series], stacked[pick, ..., low, series]
        share_ = share.reshape(share.shape + (1,) * (ahead.ndim - 2))
        there_ = there.reshape(share_.shape)
        return np.asarray(np.where(there_, behind + share_ * (ahead - behind), np.nan))

    return Met(
        mean_mm=between([one.mean_mm for one in issued]),
        half_mm=between([one.half_mm for one in issued]).transpose(2, 0, 1),
        pool_half_mm=between([one.pool_half_mm for one in issued]),
        group=np.stack([one.group for one in issued])[pick, series],
    )


def _mean_by_place(missed: Floats, place: Ints) -> Floats:
    """Mean over places of the mean over their series, (L, H); NaN where no series has a value."""
    good = np.isfinite(missed)
    member = (place[:, None] == np.unique(place)).astype(float)  # (S, D)
    count = good.astype(float) @ member
    total = np.where(good, missed, 0.0) @ member
    with_any = count > 0
    mean = np.where(with_any, total / np.where(with_any, count, 1.0), 0.0)
    places = with_any.sum(axis=-1)
    return np.asarray(np.where(places, mean.sum(axis=-1) / np.maximum(places, 1), np.nan))
