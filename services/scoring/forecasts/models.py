"""Which models are scored: every file under `services/inference/models` that can be opened."""

from __future__ import annotations

import re
from typing import NamedTuple

from core import plugins
from services.inference.model import MODELS, Model
from services.inference.trust.gate import NETWORK, SIMPLEST_FIRST

BASELINES = tuple(name for name in SIMPLEST_FIRST if name != NETWORK)
"""What an expert would use instead of a network, in the order of the tables."""
REFERENCE = "kalman"
"""Skill is one minus the ratio to this model's error."""


class Field(NamedTuple):
    """The models that run, and why the others do not."""

    models: tuple[Model, ...]
    absent: dict[str, str]

    @property
    def baselines(self) -> tuple[str, ...]:
        """Names of the baselines among those that run."""
        return tuple(m.name for m in self.models if m.name in BASELINES)


def field(names: tuple[str, ...] | None = None) -> Field:
    """Open the models of these names, all by default, baselines first.

    Whatever keeps one from being opened (no torch, no weights) is told, never passed over.
    """
    there = plugins.names(MODELS)
    wanted = names or (*BASELINES, *(name for name in there if name not in BASELINES))
    models, absent = [], {}
    for name in wanted:
        if name not in there:
            absent[name] = "there is no such model"
            continue
        try:
            module = plugins.load(MODELS, name)
            models.append(module.open(module.Settings()))
        except Exception as error:
            absent[name] = reason(error)
    return Field(tuple(models), absent)


def members(name: str) -> tuple[Model, ...]:
    """The networks of an ensemble as models of their own; none where a model is not an ensemble.

    Each is named after the ensemble and the number of its network.
    """
    if name != NETWORK:
        return ()
    from services.inference.models.musenet import MUSEnet
    from services.inference.musenet.checkpoint import WEIGHTS, read_ensemble

    found = []
    for number, network in enumerate(read_ensemble(WEIGHTS, "default"), start=1):
        one = MUSEnet([network])
        one.name = f"{name}, network {number}"
        found.append(one)
    return tuple(found)


def reason(error: Exception) -> str:
    """One line for a table, without the folders of this machine."""
    text = re.sub(r"(?:/[\w.+-]+)+/(?=[\w.+-])", "", " ".join(str(error).split()))
    return f"{type(error).__name__}: {text}" if text else type(error).__name__
