"""The network: three recurrent blocks and a linear last layer that starts at zero.

D reads the last epochs of a series, R and L the rain and the level of its place, five days a step;
each block hands on its hidden states at all steps, and D reads them in reversed order (Guo et al.
2023, MUSEnet, equation 6). The trunk joins them with what stands still. The last layer is linear
and starts at zero, so an untrained network corrects nothing.

This module imports torch; nothing that runs without the extra imports this module.
"""

from __future__ import annotations

from typing import NamedTuple

import torch
from torch import Tensor, nn

from core.settings import Tree
from services.inference.known import FURTHEST_D

RATES = FURTHEST_D
"""Daily rates corrected: of the days 1 .. 30 after the issue day."""
OUTPUTS = 2 + RATES + 2
"""Displacement at the last epoch, rate since it, daily rates, log-variance at day 0 and day 30."""
UNSEEN = -1
"""Site number of a place that the training did not see: it takes the mean embedding."""


class Shape(Tree):
    """What fixes the network's arrays; a weights file is read only with the same shape."""

    epochs: int = 30
    epoch_channels: int
    patches: int = 30
    rain_channels: int
    level_channels: int
    statics: int
    sites: int
    encoder: str = "lstm"
    recent: int = 8
    """Newest epochs that the trunk sees as they are, beside what the D-block makes of all."""
    hidden: int = 32
    joined: int = 48
    trunk: int = 128
    embedding: int = 8


class Batch(NamedTuple):
    """N series of B places on their issue days; all float32 but the two index arrays."""

    epochs: Tensor
    """(N, epochs, channels), oldest first."""
    statics: Tensor
    """(N, statics)"""
    rain: Tensor
    """(B, patches, channels), oldest first."""
    level: Tensor
    """(B, patches, channels), oldest first."""
    row: Tensor
    """(N,) int64: the series' row of `rain` and `level`."""
    site: Tensor
    """(N,) int64: number of the site in training, UNSEEN elsewhere."""


class Correction(NamedTuple):
    """What the network says, in units of each series' own scale and on the downslope side."""

    displacement: Tensor
    """(N,) correction of the displacement at the last epoch, in scales of displacement."""
    rate_since: Tensor
    """(N,) correction of the rate from the last epoch to the issue day."""
    rates: Tensor
    """(N, 30) corrections of the daily rates ahead."""
    log_variance: Tensor
    """(N, 2) added to the logarithm of the variance at day 0 and at day 30."""


class _Convolution(nn.Module):  # type: ignore[misc]
    """Dilated causal convolutions in the place of a recurrence, with the same shapes."""

    def __init__(self, channels: int, hidden: int) -> None:
        super().__init__()
        self.first = nn.Conv1d(channels, hidden, 3)
        self.rest = nn.ModuleList(nn.Conv1d(hidden, hidden, 3, dilation=d) for d in (2, 4, 8))

    def forward(self, steps: Tensor) -> tuple[Tensor, None]:
        """(N, T, channels) to (N, T, hidden)."""
        values = steps.transpose(1, 2)
        values = torch.relu(self.first(nn.functional.pad(values, (2, 0))))
        for layer in self.rest:
            padded = nn.functional.pad(values, (2 * layer.dilation[0], 0))
            values = values + torch.relu(layer(padded))
        return values.transpose(1, 2), None


class Block(nn.Module):  # type: ignore[misc]
    """A sequence read step by step; its states at all steps, joined to one vector."""

    def __init__(self, kind: str, steps: int, channels: int, hidden: int, joined: int) -> None:
        super().__init__()
        if kind == "convolution":
            self.reader: nn.Module = _Convolution(channels, hidden)
        else:
            recurrence = {"lstm": nn.LSTM, "gru": nn.GRU}[kind]
            self.reader = recurrence(channels, hidden, batch_first=True)
        self.join = nn.Linear(steps * hidden, joined)

    def forward(self, steps: Tensor) -> Tensor:
        """(N, steps, channels) to (N, joined)."""
        states, _ = self.reader(steps)
        return torch.relu(self.join(states.flatten(1)))


class MUSEnetC(nn.Module):  # type: ignore[misc]
    """Corrections of the rates that Kalman + transfer function expects, from `Batch`."""

    def __init__(self, shape: Shape) -> None:
        super().__init__()
        kind, hidden, joined = shape.encoder, shape.hidden, shape.joined
        self.shape = shape
        self.deformation = Block(kind, shape.epochs, shape.epoch_channels, hidden, joined)
        self.rain = Block(kind, shape.patches, shape.rain_channels, hidden, joined)
        self.level = Block(kind, shape.patches, shape.level_channels, hidden, joined)
        self.embedding = nn.Embedding(shape.sites, shape.embedding)
        recent = shape.recent * shape.epoch_channels
        width = 3 * joined + shape.statics + shape.embedding + recent
        self.trunk = nn.Sequential(
            nn.Linear(width, shape.trunk), nn.SiLU(), nn.Linear(shape.trunk, shape.trunk), nn.SiLU()
        )
        self.last = nn.Linear(shape.trunk, OUTPUTS)
        nn.init.normal_(self.embedding.weight, std=0.1)
        nn.init.zeros_(self.last.weight)
        nn.init.zeros_(self.last.bias)

    def forward(self, batch: Batch) -> Correction:
        """Corrections of N series; rain and level are read once a place, however many series."""
        places = torch.cat([self.rain(batch.rain), self.level(batch.level)], dim=1)
        parts = [
            self.deformation(batch.epochs.flip(1)),
            places[batch.row],
            batch.statics,
            batch.epochs[:, batch.epochs.shape[1] - self.shape.recent :].flatten(1),
            self._embedded(batch.site),
        ]
        out = self.last(self.trunk(torch.cat(parts, dim=1)))
        return Correction(out[:, 0], out[:, 1], out[:, 2 : 2 + RATES], out[:, 2 + RATES :])

    def _embedded(self, site: Tensor) -> Tensor:
        own = self.embedding(site.clamp(min=0))
        mean = self.embedding.weight.mean(dim=0)
        return torch.where((site == UNSEEN)[:, None], mean, own)
