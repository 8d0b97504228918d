"""Who speaks for a slope unit: chosen by the inner fold, with a ladder down where that is silent.

The best model by score speaks; of models within 1 % of the best, the simplest. Thirty epochs are
few, and the luckiest of ten models looks better than it is. So a score is drawn toward the model's
reputation, what it scored on a pool of other slopes, which counts as `POOL_EPOCHS` more epochs
(shrinkage as of B. Efron and C. Morris, JASA 70, 1975; the weight is set, not estimated).

The learned network speaks only where on the inner fold alone it beats persistence *and* Kalman +
transfer function, each by at least 2 % in RMSE and in at least 80 of 100 resamples of the fold in
blocks of five epochs. A stricter test would never let any model speak; these bounds are our choice.

Scores are of observations, noise included: the same epochs for all, so the noise adds the same to
each model's mean square and no order changes by it. It makes ratios look smaller than they are.
"""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from typing import Final, NamedTuple

import numpy as np

from core.evidence import Floats
from services.inference.known import FURTHEST_D, Flags, Ints, Known
from services.inference.model import HORIZONS_D, Model, Path
from services.inference.numerics.hydrology import RECENT_D, filled
from services.inference.trust.inner import Scores

SIMPLEST_FIRST: Final = (
    *("persistence", "persistence_rate", "linear", "last_year", "harmonic", "kalman"),
    *("transfer", "kalman_transfer", "gaussian_process", "boosting", "musenet"),
)
"""Order in which ties are resolved; a model that is not listed comes last."""
NETWORK: Final = "musenet"
MUST_BEAT: Final = ("persistence", "kalman_transfer")
DEFAULT: Final = "kalman_transfer"
"""Who is chosen where the inner fold cannot tell."""

LADDER: Final = (DEFAULT, "kalman", "persistence")
"""Who speaks where the choice cannot, in this order."""
MOST_FILLED: Final = 0.25
"""Share of the last 120 days of which a driver may be unknown before it counts as missing."""

JUDGED_D: Final = (6, 12, 24)
"""Horizons that decide, each counted alike in units of persistence's mean square."""
TOLD_D: Final = 12
TIE: Final = 0.01
MARGIN: Final = 0.02
SURE: Final = 0.8
LEAST_EPOCHS: Final = 12
RESAMPLES: Final = 200
BLOCK_EPOCHS: Final = 5
POOL_EPOCHS: Final = 60
"""Epochs that a reputation is worth."""

_JUDGED: Final = np.array([HORIZONS_D.index(h) for h in JUDGED_D])


class Choice(NamedTuple):
    """The model that may speak for a slope unit, and why, as one sentence without a full stop.

    `rmse_mm`: RMSE at +12 d by model against the observations, their noise included.
    """

    model: str
    reason: str
    epochs: int = 0
    rmse_mm: Mapping[str, float] = {}


class _Judged(NamedTuple):
    """Mean squares of the models that were there, on the epochs that all of them forecast."""

    names: tuple[str, ...]
    square_mm2: Floats
    """(M, Hj, E) mean over the unit's series."""


def choose(
    scores: Scores,
    unit: Ints,
    units: int,
    absent: Mapping[str, str] | None = None,
    reputation: Mapping[str, float] | None = None,
) -> tuple[Choice, ...]:
    """The choice of each of `units` slope units; `unit` (S,) says whose series are whose, -1 none.

    `absent`: models that could not be tried and why ("torch is not installed"). `reputation`: see
    `reputation_of`; without one the inner fold alone decides.
    """
    return tuple(
        _choose(scores, np.asarray(unit == u), absent or {}, reputation or {}) for u in range(units)
    )


def reputation_of(scores: Scores) -> dict[str, float]:
    """What models score on a pool of slopes, each slope counting alike: 1 is persistence.

    Models that were not judged on every slope have none.
    """
    found: dict[str, list[float]] = {}
    places = np.unique(scores.place)
    for place in places:
        judged = _judged(scores, np.asarray(scores.place == place))
        if judged.names and judged.square_mm2.shape[-1] >= LEAST_EPOCHS:
            for name, score in zip(
                judged.names, relative(judged.square_mm2, judged.names), strict=True
            ):
                found.setdefault(name, []).append(float(score))
    most = max(map(len, found.values()), default=0)
    return {name: float(np.mean(each)) for name, each in found.items() if len(each) == most}


def _choose(
    scores: Scores, of_unit: Flags, absent: Mapping[str, str], reputation: Mapping[str, float]
) -> Choice:
    if scores.refusal:
        return Choice(DEFAULT, f"{DEFAULT}: {scores.refusal}{_because(absent)}")
    judged = _judged(scores, of_unit)
    epochs = judged.square_mm2.shape[-1]
    if epochs < LEAST_EPOCHS or not judged.names:
        few = f"{DEFAULT}: only {epochs} epochs of the last year to judge by"
        return Choice(DEFAULT, few + _because(absent), epochs)
    return _best(judged, absent, reputation)


def _judged(scores: Scores, of_unit: Flags) -> _Judged:
    """Models that spoke on at least 90 % of the epochs, on those epochs that all of them share."""
    los = scores.los_mm[:, of_unit]
    error = scores.mean_mm[:, _JUDGED][..., of_unit] - los
    told = np.asarray(np.isfinite(error) | ~np.isfinite(los))
    whole: Flags = np.asarray(told.all(axis=(1, 3)) & np.isfinite(los).any(axis=1))  # (M, E)
    due = _due(scores, los)
    kept = [m for m in range(len(scores.models)) if due.any() and whole[m, due].mean() >= 0.9]
    shared = due & whole[kept].all(axis=0)
    error = error[kept][:, :, shared]
    good = np.isfinite(error)
    count = np.maximum(good.sum(axis=-1), 1)
    square = (np.where(good, error, 0.0) ** 2).sum(axis=-1) / count
    return _Judged(tuple(scores.models[m] for m in kept), square)


def _due(scores: Scores, los: Floats) -> Flags:
    """Epochs (E,) of the unit that the fold could forecast at all judged horizons."""
    issued = scores.epoch_day - max(JUDGED_D) >= scores.first_day
    return np.asarray(issued & np.isfinite(los).any(axis=1))


def _best(judged: _Judged, absent: Mapping[str, str], reputation: Mapping[str, float]) -> Choice:
    order = sorted(range(len(judged.names)), key=lambda m: (_rank(judged.names[m]), m))
    inner = relative(judged.square_mm2, judged.names)
    barred = _barred(judged, inner)
    free = [m for m in order if judged.names[m] not in barred]
    if not free:
        return Choice(DEFAULT, f"{DEFAULT}: no model passed the inner fold", 0)
    total = _drawn(inner, judged, reputation)
    best = min(total[m] for m in free)
    chosen = next(m for m in free if total[m] <= best * (1 + TIE) ** 2)
    epochs = judged.square_mm2.shape[-1]
    rmse = _rmse_mm(judged)
    reason = _reason(judged, chosen, rmse, epochs, barred) + _because(absent)
    return Choice(judged.names[chosen], reason, epochs, rmse)


def _drawn(inner: Floats, judged: _Judged, reputation: Mapping[str, float]) -> Floats:
    """Scores (M,) drawn toward the reputations; a model without one has persistence's."""
    if not reputation:
        return inner
    epochs = judged.square_mm2.shape[-1]
    known = np.array([reputation.get(name, 1.0) for name in judged.names])
    return np.asarray((epochs * inner + POOL_EPOCHS * known) / (epochs + POOL_EPOCHS))


def relative(square_mm2: Floats, names: Sequence[str]) -> Floats:
    """Score (M, ...) of mean squares (M, Hj, E): mean over epochs, each horizon in units of
    persistence's (of the mean of all models where persistence is not among them)."""
    mean = square_mm2.mean(axis=-1)
    base = mean[names.index("persistence")] if "persistence" in names else mean.mean(axis=0)
    return np.asarray((mean / np.maximum(base, 1e-12)).mean(axis=-1))


def _barred(judged: _Judged, total: Floats) -> dict[str, str]:
    """Why the network may not speak, by its name; empty where it may or is not there."""
    if NETWORK not in judged.names:
        return {}
    network = judged.names.index(NETWORK)
    for rival in MUST_BEAT:
        if rival not in judged.names:
            return {NETWORK: f"{rival} is missing to compare it with"}
        other = judged.names.index(rival)
        ratio = float(np.sqrt(total[network] / total[other]))
        if ratio > 1 - MARGIN:
            return {NETWORK: f"it is {_percent(ratio)} {rival}, and 2 % below is asked for"}
        share = _share_won(judged.square_mm2[network], judged.square_mm2[other])
        if share < SURE:
            return {
                NETWORK: f"it is below {rival} in {100 * share:.0f} of 100 resamples only, "
                f"and {100 * SURE:.0f} are asked for"
            }
    return {}


def _share_won(mine_mm2: Floats, other_mm2: Floats) -> float:
    """Share of resamples of blocks of epochs in which `mine` (Hj, E) has the lower score.

    Circular block bootstrap (Politis and Romano 1992), always with the same draws.
    """
    gain = ((other_mm2 - mine_mm2) / np.maximum(other_mm2.mean(axis=1), 1e-12)[:, None]).mean(
        axis=0
    )
    epochs = gain.size
    blocks = -(-epochs // BLOCK_EPOCHS)
    start = np.random.default_rng(epochs).integers(0, epochs, (RESAMPLES, blocks, 1))
    drawn = (start + np.arange(BLOCK_EPOCHS)).reshape(RESAMPLES, -1)[:, :epochs] % epochs
    return float((gain[drawn].mean(axis=1) > 0).mean())


def _rmse_mm(judged: _Judged) -> dict[str, float]:
    """RMSE at +12 d."""
    root = np.sqrt(judged.square_mm2[:, JUDGED_D.index(TOLD_D)].mean(axis=-1))
    return {name: float(value) for name, value in zip(judged.names, root, strict=True)}


def _reason(
    judged: _Judged, chosen: int, rmse: Mapping[str, float], epochs: int, barred: Mapping[str, str]
) -> str:
    name = judged.names[chosen]
    rivals = [n for n in ("kalman_transfer", "kalman", "persistence") if n in rmse and n != name]
    ratios = [f"{_percent(rmse[name] / rmse[n])} {n}" for n in rivals if rmse[n] > 0]
    said = f"{name}: {', '.join(ratios)}" if ratios else f"{name}: RMSE {rmse[name]:.1f} mm"
    said += f" at +{TOLD_D} d over {epochs} epochs"
    return said + "".join(f"; {who} does not speak because {why}" for who, why in barred.items())


def _percent(ratio: float) -> str:
    return f"{100 * abs(1 - ratio):.0f} % {'below' if ratio <= 1 else 'above'}"


def _because(absent: Mapping[str, str]) -> str:
    return "".join(f"; {name} was not tried: {why}" for name, why in absent.items())


def _rank(name: str) -> int:
    return SIMPLEST_FIRST.index(name) if name in SIMPLEST_FIRST else len(SIMPLEST_FIRST)


Missing = Mapping[str, str]
"""Drivers that are not known well enough at a place, and in words how much of them is unknown."""


def missing(known: Known) -> tuple[Missing, ...]:
    """Missing drivers of each series, (S,).

    A driver that was never known is not missing: the models were fitted without it.
    """
    share = filled(known.drivers, known.day)
    never: dict[str, Flags] = {
        "rain": np.asarray(np.isnan(known.drivers.rain_mm).all(axis=0)),
        "level": np.asarray(np.isnan(known.drivers.level_m).all(axis=0)),
    }
    unknown = {"rain": share.rain_past, "level": share.level_past}
    by_place = [
        {
            name: f"{name} is unknown on {100 * unknown[name][d]:.0f} % of the last {RECENT_D} days"
            for name in never
            if unknown[name][d] > MOST_FILLED and not never[name][d]
        }
        for d in range(known.drivers.rain_mm.shape[1])
    ]
    return tuple(by_place[d] for d in known.place)


class Spoken(NamedTuple):
    """One path for all series, who spoke for each, and why: (31, S) and S names and sentences."""

    path: Path
    speaker: tuple[str, ...]
    reason: tuple[str, ...]


def speak(
    choices: Sequence[Choice],
    unit: Ints,
    paths: Mapping[str, Path],
    models: Mapping[str, Model],
    lost: Sequence[Missing],
) -> Spoken:
    """The path of each series' chosen model, or of the first rung below that can speak.

    `unit` (S,) indexes `choices`, -1 begins with the ladder. `lost` (S,): see `missing`. Where no
    model can speak the path is NaN, the speaker '' and the reason says what each one lacked.
    """
    series = len(unit)
    displacement, sd = np.full((2, FURTHEST_D + 1, series), np.nan)
    speaker, reason = [""] * series, [""] * series
    finite = {name: _finite(path) for name, path in paths.items()}
    for s in range(series):
        choice = choices[unit[s]] if unit[s] >= 0 else Choice(DEFAULT, "of no slope unit")
        rungs = (choice.model, *(rung for rung in LADDER if rung != choice.model))
        lacks: list[str] = []
        for name in rungs:
            lack = _lack(name, s, finite, models, lost[s])
            if not lack:
                displacement[:, s] = paths[name].displacement_mm[:, s]
                sd[:, s] = paths[name].sd_mm[:, s]
                speaker[s] = name
                reason[s] = choice.reason if not lacks else f"{name}: {'; '.join(lacks)}"
                break
            lacks.append(lack)
        else:
            reason[s] = "no model can speak: " + "; ".join(lacks)
    return Spoken(Path(displacement, sd), tuple(speaker), tuple(reason))


def _finite(path: Path) -> Flags:
    return np.asarray(np.isfinite(path.displacement_mm + path.sd_mm).all(axis=0), np.bool_)


def _lack(
    name: str,
    series: int,
    finite: Mapping[str, Flags],
    models: Mapping[str, Model],
    lost: Missing,
) -> str:
    """What keeps a model from speaking for a series; empty where nothing does."""
    if name not in finite:
        return f"{name} is not installed or was not fitted"
    wanting = [lost[driver] for driver in sorted(models[name].needs & set(lost))]
    if wanting:
        return f"{name} cannot speak because {' and '.join(wanting)}"
    return "" if finite[name][series] else f"{name} gives no finite forecast"
