"""Training on a pool: seeded, resumable, early stopping on another pool and a later time.

Every draw of a training_epoch comes from (seed, training_epoch), and all that changes is in the
checkpoint, so a run that was killed and resumed ends with the weights of one that was not.
"""

from __future__ import annotations

import copy
import math
from collections.abc import Iterator
from pathlib import Path
from typing import Any, NamedTuple

import numpy as np
import torch
from pydantic import Field
from torch import Tensor
from tqdm import tqdm

from core.settings import Tree
from services.inference.musenet.checkpoint import read_progress, write_progress
from services.inference.musenet.examples import Examples
from services.inference.musenet.loss import (
    Targets,
    Weights,
    downslope_path,
    integral_loss,
    rain_penalty,
)
from services.inference.musenet.network import UNSEEN, Batch, Correction, MUSEnetC, Shape
from services.inference.musenet.storms import TODAY, expected_gain, with_storm

STORMS_FROM_D, STORMS_TO_D = -30, 20
"""Days from issue on which a storm of the counterfactual may fall."""
STORMS_AMONG = 4
"""One issue in so many is asked about a storm."""


class Training(Tree):
    """How a network is trained."""

    training_epochs: int = Field(14, gt=0, description="passes over the pool, at most")
    issues: int = Field(192, gt=0, description="issues of places in one step")
    share: float = Field(0.25, gt=0, le=1, description="share of the issues in one pass")
    learning_rate: float = Field(2e-3, gt=0)
    last_learning_rate: float = Field(1e-5, gt=0)
    weight_decay: float = Field(1e-3, ge=0)
    patience: int = Field(4, gt=0, description="passes without a better score before it stops")
    average: float = Field(0.98, ge=0, lt=1, description="memory of the averaged weights a step")
    forget_site: float = Field(0.5, ge=0, le=1, description="share of issues on mean embedding")
    level: float = Field(0.5, ge=0, description="weight of the likelihood of the level")
    increments: float = Field(0.5, ge=0, description="weight of the likelihood of increments")
    squared: float = Field(0.5, ge=0, description="weight of the squared error of the level")
    roughness: float = Field(0.01, ge=0)
    uphill: float = Field(0.01, ge=0)
    monotone: float = Field(0.1, ge=0, description="weight against less motion for more rain")
    device: str = Field("cpu", description="cpu or cuda")


class Scores(NamedTuple):
    """Of one pass."""

    training: float
    choosing: float
    """The loss without penalties on the examples that early stopping looks at."""


class Trained(NamedTuple):
    """The best network, and the scores of every pass."""

    network: MUSEnetC
    scores: list[Scores]


class Storm(NamedTuple):
    """A counterfactual: so much more rain on a day of the R-block."""

    day_index: int
    rain_mm: float


class _Drawn(NamedTuple):
    """One step's issues."""

    batch: Batch
    targets: Targets
    response_mm: Tensor
    storm: Storm


class _Run(NamedTuple):
    """All that changes while training."""

    network: MUSEnetC
    averaged: MUSEnetC
    best: MUSEnetC
    optimiser: torch.optim.AdamW
    scores: list[Scores]


def shape_of(examples: Examples, sites: int, **other: Any) -> Shape:
    """The shape that fits these examples; `other` fields of `Shape` as wished."""
    return Shape(
        epochs=examples.epochs.shape[1],
        epoch_channels=examples.epochs.shape[2],
        patches=examples.rain.shape[1],
        rain_channels=examples.rain.shape[2],
        level_channels=examples.level.shape[2],
        statics=examples.statics.shape[1],
        sites=sites,
        **other,
    )


def tiny_shape(examples: Examples) -> Shape:
    """A network for tests, under 50,000 parameters."""
    sites = int(examples.site.max()) + 1
    return shape_of(examples, sites, hidden=8, joined=16, trunk=32, embedding=2)


def train(
    shape: Shape,
    training: Training,
    examples: Examples,
    choosing: Examples,
    *,
    seed: int,
    progress: Path | None = None,
    data: str = "",
    stop_after: int | None = None,
    quiet: bool = True,
) -> Trained:
    """Train one network on `examples`, choosing the pass that does best on `choosing`.

    Args:
        shape: of the network.
        training: settings.
        examples: what gives the gradient.
        choosing: what early stopping looks at: other places, or later days.
        seed: of the first weights and of every draw.
        progress: a file that is rewritten after every training_epoch and resumed from.
        data: fingerprint of the examples, kept with the progress.
        stop_after: end after so many training_epochs in all, as if killed.
        quiet: no progress bar.

    Raises:
        BadInputError: `progress` belongs to another shape, seed, data or settings.
    """
    torch.manual_seed(seed)
    run = _begin(shape, training, seed)
    stamp = {"shape": shape.model_dump(), "training": training.model_dump(), "seed": seed}
    stamp["data"] = data
    if progress is not None and progress.exists():
        run = _resumed(run, read_progress(progress, stamp))
    steps = _steps(examples, training)
    for epoch in range(len(run.scores), stop_after or training.training_epochs):
        if epoch >= training.training_epochs or _waited(run.scores) >= training.patience:
            break
        total = 0.0
        batches = _batches(examples, training, seed, epoch)
        label = f"seed {seed} training_epoch {epoch + 1}"
        bar = tqdm(batches, total=steps, desc=label, disable=quiet, leave=False)
        for number, drawn in enumerate(bar):
            _set_rate(run.optimiser, training, epoch + number / steps)
            total += _step(run, training, drawn)
        scores = Scores(total / steps, evaluate(run.averaged, choosing, training))
        run.scores.append(scores)
        if scores.choosing <= min(s.choosing for s in run.scores):
            run.best.load_state_dict(run.averaged.state_dict())
        if progress is not None:
            write_progress(progress, stamp, _state(run))
    return Trained(run.best, run.scores)


def evaluate(network: MUSEnetC, examples: Examples, training: Training) -> float:
    """Mean likelihood loss of examples, mean embedding, without penalties."""
    weights = Weights(training.squared, training.level, training.increments, 0.0, 0.0)
    total, count = 0.0, 0
    network.eval()
    with torch.no_grad():
        for rows in np.array_split(np.arange(len(examples.day)), max(1, len(examples.day) // 512)):
            batch, targets, _ = _gather(examples, rows, training.device)
            batch = batch._replace(site=torch.full_like(batch.site, UNSEEN))
            loss = integral_loss(network(batch), targets, weights)
            total, count = total + float(loss) * len(batch.row), count + len(batch.row)
    network.train()
    return total / max(count, 1)


def _begin(shape: Shape, training: Training, seed: int) -> _Run:
    network = MUSEnetC(shape).to(training.device)
    optimiser = torch.optim.AdamW(
        network.parameters(), lr=training.learning_rate, weight_decay=training.weight_decay
    )
    return _Run(network, copy.deepcopy(network), copy.deepcopy(network), optimiser, [])


def _waited(scores: list[Scores]) -> int:
    """Passes since the best one."""
    if not scores:
        return 0
    values = [s.choosing for s in scores]
    return len(values) - 1 - values.index(min(values))


def _steps(examples: Examples, training: Training) -> int:
    used = max(1, int(len(examples.day) * training.share))
    return math.ceil(used / training.issues)


def _batches(examples: Examples, training: Training, seed: int, epoch: int) -> Iterator[_Drawn]:
    rng = np.random.default_rng([seed, epoch])
    order = rng.permutation(len(examples.day))
    order = order[: max(1, int(len(order) * training.share))]
    for first in range(0, len(order), training.issues):
        rows = np.sort(order[first : first + training.issues])
        batch, targets, response = _gather(examples, rows, training.device)
        forgotten = rng.random(len(batch.site)) < training.forget_site
        hidden = torch.from_numpy(forgotten).to(training.device)
        site = torch.where(hidden, torch.full_like(batch.site, UNSEEN), batch.site)
        day = int(rng.integers(STORMS_FROM_D, STORMS_TO_D + 1))
        storm = Storm(TODAY + day, float(rng.uniform(10.0, 150.0)))
        yield _Drawn(batch._replace(site=site), targets, response, storm)


def _gather(examples: Examples, rows: np.ndarray, device: str) -> tuple[Batch, Targets, Tensor]:
    """The issues `rows` (ascending) as tensors; series of one issue lie together."""
    first = np.searchsorted(examples.row, rows, side="left")
    last = np.searchsorted(examples.row, rows, side="right")
    mine = np.concatenate([np.arange(a, b) for a, b in zip(first, last, strict=True)])
    where = np.repeat(np.arange(len(rows)), last - first)

    def tensor(values: np.ndarray) -> Tensor:
        return torch.from_numpy(np.ascontiguousarray(values)).to(device)

    batch = Batch(
        epochs=tensor(examples.epochs[mine]),
        statics=tensor(examples.statics[mine]),
        rain=tensor(examples.rain[rows]),
        level=tensor(examples.level[rows]),
        row=tensor(where),
        site=tensor(examples.site[mine]),
    )
    targets = Targets(*(tensor(getattr(examples, name)[mine]) for name in Targets._fields))
    return batch, targets, tensor(examples.response_mm[mine])


def _set_rate(optimiser: torch.optim.AdamW, training: Training, passed: float) -> None:
    """Cosine from the first learning rate to the last, after a short rise."""
    share = min(1.0, passed / training.training_epochs)
    low, high = training.last_learning_rate, training.learning_rate
    rate = low + (high - low) * 0.5 * (1 + math.cos(math.pi * share))
    for group in optimiser.param_groups:
        group["lr"] = rate * min(1.0, 0.1 + 4.0 * passed)


def _step(run: _Run, training: Training, drawn: _Drawn) -> float:
    weights = Weights(*(getattr(training, name) for name in Weights._fields))
    correction = run.network(drawn.batch)
    loss = integral_loss(correction, drawn.targets, weights)
    if training.monotone:
        loss = loss + training.monotone * monotone_penalty(run.network, drawn, correction)
    run.optimiser.zero_grad(set_to_none=True)
    loss.backward()
    torch.nn.utils.clip_grad_norm_(run.network.parameters(), 1.0)
    run.optimiser.step()
    with torch.no_grad():
        for kept, new in zip(run.averaged.parameters(), run.network.parameters(), strict=True):
            kept.lerp_(new, 1.0 - training.average)
    return float(loss.detach())


def monotone_penalty(network: MUSEnetC, drawn: _Drawn, plain: Correction) -> Tensor:
    """What a storm takes away from the motion downslope, for some of the issues."""
    asked = drawn.batch.row % STORMS_AMONG == 0
    targets = Targets(*(values[asked] for values in drawn.targets))
    batch = Batch(
        epochs=drawn.batch.epochs[asked],
        statics=drawn.batch.statics[asked],
        rain=drawn.batch.rain[::STORMS_AMONG],
        level=drawn.batch.level[::STORMS_AMONG],
        row=drawn.batch.row[asked] // STORMS_AMONG,
        site=drawn.batch.site[asked],
    )
    index, rain_mm = drawn.storm
    gain = expected_gain(drawn.response_mm[asked], index, rain_mm)
    stormy = with_storm(batch, gain, targets.scale_mm_d, index, rain_mm)
    less = Correction(*(values[asked] for values in plain))
    more = network(stormy)
    with_gain = targets._replace(base_mm=targets.base_mm + gain)
    return rain_penalty(downslope_path(more, with_gain), downslope_path(less, targets))


def _state(run: _Run) -> dict[str, Tensor]:
    """Everything `_resumed` needs, as named tensors."""
    tensors: dict[str, Tensor] = {}
    for part in ("network", "averaged", "best"):
        for name, value in getattr(run, part).state_dict().items():
            tensors[f"{part}.{name}"] = value
    for index, moments in run.optimiser.state_dict()["state"].items():
        for name, value in moments.items():
            tensors[f"optimiser.{index}.{name}"] = value
    tensors["scores"] = torch.tensor(run.scores, dtype=torch.float64).reshape(-1, 2)
    return tensors


def _resumed(run: _Run, tensors: dict[str, Tensor]) -> _Run:
    for part in ("network", "averaged", "best"):
        prefix = f"{part}."
        getattr(run, part).load_state_dict(
            {n.removeprefix(prefix): t for n, t in tensors.items() if n.startswith(prefix)}
        )
    moments: dict[int, dict[str, Any]] = {}
    for name, value in tensors.items():
        if name.startswith("optimiser."):
            _, index, moment = name.split(".")
            moments.setdefault(int(index), {})[moment] = value
    state = run.optimiser.state_dict()
    run.optimiser.load_state_dict({"state": moments, "param_groups": state["param_groups"]})
    return run._replace(scores=[Scores(*map(float, row)) for row in tensors["scores"]])
