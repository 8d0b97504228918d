"""MUSEnet as published, for the replica only. Importing this module imports torch.

Source: three one-layer LSTM blocks, fed in reverse order; their hidden states at all lags
concatenated; a head of ten linear layers, 64-128-256-512-256-128-64-32-16-1, with ReLU between;
mean squared error; Adam with a learning rate of 1e-4.
Our reading: reverse order is newest first; the usual tanh for the cell candidate.
Our choice, since the source gives none of it: hidden width 64, He initialisation, one network for
all series, batch, number of training epochs, early stopping on the last fifth of the training part.
"""

from __future__ import annotations

from collections.abc import Sequence
from typing import NamedTuple

import numpy as np
import torch
from torch import nn

from core.evidence import Floats
from services.scoring.replica.windows import INNER_TEST, INNER_TRAIN, LAGS, Scaled

BLOCKS = ("deformation", "rain", "level")
HIDDEN = 64
HEAD_WIDTHS = (64, 128, 256, 512, 256, 128, 64, 32, 16, 1)
LEARNING_RATE = 1e-4


class MUSEnetPaper(nn.Module):  # type: ignore[misc]
    """The network; with fewer `blocks`, the published ablation of hydrology."""

    def __init__(self, blocks: Sequence[str] = BLOCKS) -> None:
        super().__init__()
        self.encoders = nn.ModuleDict({b: nn.LSTM(4, HIDDEN, batch_first=True) for b in blocks})
        layers: list[nn.Module] = []
        width = len(blocks) * LAGS * HIDDEN
        for following in HEAD_WIDTHS:
            linear = nn.Linear(width, following)
            nn.init.kaiming_normal_(linear.weight, nonlinearity="relu")
            nn.init.zeros_(linear.bias)
            layers += [linear, nn.ReLU()]
            width = following
        self.head = nn.Sequential(*layers[:-1])

    def forward(self, blocks: dict[str, torch.Tensor]) -> torch.Tensor:
        """Standardised label of B days' windows of P points each, (B, P).

        Deformation is (B, P, 30, 4); rain and level, which the points of a site share, (B, 30, 4).
        """
        days, points = blocks["deformation"].shape[:2]
        states = []
        for name, encoder in self.encoders.items():
            own = name == "deformation"
            rows = blocks[name].reshape(-1, LAGS, 4)
            hidden = encoder(rows)[0].reshape(len(rows), LAGS * HIDDEN)
            states.append(hidden if own else hidden.repeat_interleave(points, dim=0))
        return self.head(torch.cat(states, dim=1)).reshape(days, points)


class Training(NamedTuple):
    """How to train: our choice."""

    training_epochs: int = 20
    patience: int = 4
    batch: int = 16
    """Windows of one site and day; each brings all points of the site."""
    site_days: int = 872
    """Of one training epoch, drawn anew for each: as many as one site has inner training days."""
    seed: int = 0


class Trained(NamedTuple):
    """A trained network and how it got there."""

    network: MUSEnetPaper
    training_epochs: int
    """Rounds that were run, the waiting of the early stop included."""
    best_epoch: int


def train(data: Scaled, training: Training, blocks: Sequence[str] = BLOCKS) -> Trained:
    """Train on the inner training days, and keep the weights that were best on the inner block."""
    generator = torch.Generator().manual_seed(training.seed)
    with torch.random.fork_rng(devices=[]):
        torch.manual_seed(training.seed)
        network = MUSEnetPaper(blocks)
    optimiser = torch.optim.Adam(network.parameters(), lr=LEARNING_RATE)
    tensors = _tensors(data, blocks)
    target = _per_site(data.target, data.level.shape[1])
    sites = target.shape[1]
    pairs = torch.cartesian_prod(torch.arange(INNER_TRAIN.stop), torch.arange(sites))
    best, best_epoch, kept = np.inf, 0, network.state_dict()
    done = 0
    for done in range(1, training.training_epochs + 1):
        order = pairs[torch.randperm(len(pairs), generator=generator)[: training.site_days]]
        for day, site in (part.unbind(1) for part in order.split(training.batch)):
            output = network({name: rows[day, site] for name, rows in tensors.items()})
            loss = nn.functional.mse_loss(output, target[day, site])
            optimiser.zero_grad()
            loss.backward()
            optimiser.step()
        now = float(((_output(network, tensors, INNER_TEST) - data.target[INNER_TEST]) ** 2).mean())
        if now < best:
            best, best_epoch = now, done
            kept = {name: value.clone() for name, value in network.state_dict().items()}
        elif done - best_epoch >= training.patience:
            break
    network.load_state_dict(kept)
    return Trained(network, done, best_epoch)


def forecast(trained: Trained, data: Scaled, days: slice) -> Floats:
    """Displacement on `days`, (n, S), mm."""
    tensors = _tensors(data, tuple(trained.network.encoders))
    return data.forecast_mm(_output(trained.network, tensors, days), days)


def _tensors(data: Scaled, blocks: Sequence[str]) -> dict[str, torch.Tensor]:
    """Deformation (N, G, P, 30, 4), rain and level (N, G, 30, 4)."""
    sites = data.level.shape[1]
    every = {
        "deformation": _per_site(data.deformation, sites),
        "rain": torch.from_numpy(data.rain),
        "level": torch.from_numpy(data.level),
    }
    return {name: every[name] for name in blocks}


def _per_site(values: Floats, sites: int) -> torch.Tensor:
    """(N, S, ...) -> (N, G, P, ...)"""
    days, series = values.shape[:2]
    split = values.reshape(days, sites, series // sites, *values.shape[2:])
    return torch.from_numpy(split.astype(np.float32))


def _output(network: MUSEnetPaper, tensors: dict[str, torch.Tensor], days: slice) -> Floats:
    """Standardised output of all series on `days`, (n, S)."""
    parts = []
    with torch.no_grad():
        for site in range(tensors["deformation"].shape[1]):
            parts.append(network({name: rows[days, site] for name, rows in tensors.items()}))
    return np.asarray(torch.cat(parts, dim=1).numpy(), dtype=np.float64)
