"""An ensemble asked for one issue day: inputs to the corrected path."""

from __future__ import annotations

from collections.abc import Sequence

import numpy as np
import torch

from core.evidence import Floats
from services.inference.model import Path
from services.inference.musenet.correcting import corrections_mm, variance_factors
from services.inference.musenet.inputs import Inputs
from services.inference.musenet.network import UNSEEN, Batch, MUSEnetC


def corrected(networks: Sequence[MUSEnetC], inputs: Inputs, device: str = "cpu") -> Path:
    """Mean of the ensemble's paths; the spread between its members widens the deviation.

    Untrained networks give the base path and its deviation to the bit.
    """
    batch = as_batch(inputs, device)
    paths, factors = [], []
    with torch.inference_mode():
        for network in networks:
            said = network(batch)
            last, since, rates, log_variance = (part.double().cpu().numpy() for part in said)
            path = corrections_mm(last, since, rates, inputs.scale_mm_d, inputs.age_d)
            paths.append(path.T)
            factors.append(variance_factors(log_variance).T)
    return _joined(np.stack(paths), np.stack(factors), inputs)


def _joined(paths: Floats, factors: Floats, inputs: Inputs) -> Path:
    """Corrections and variance factors (members, 31, S) on top of the base."""
    sd = inputs.base_sd_mm
    with np.errstate(invalid="ignore", divide="ignore"):
        spread = np.where(sd > 0, paths.var(axis=0) / sd**2, 0.0)
    return Path(
        displacement_mm=inputs.base_mm + paths.mean(axis=0),
        sd_mm=sd * np.sqrt(factors.mean(axis=0) + spread),
    )


def as_batch(inputs: Inputs, device: str = "cpu") -> Batch:
    """Inputs as float32 tensors; every series is unseen."""

    def tensor(values: Floats) -> torch.Tensor:
        return torch.from_numpy(np.ascontiguousarray(values, dtype=np.float32)).to(device)

    return Batch(
        epochs=tensor(inputs.epochs),
        statics=tensor(inputs.statics),
        rain=tensor(inputs.rain),
        level=tensor(inputs.level),
        row=torch.from_numpy(inputs.row.astype(np.int64)).to(device),
        site=torch.full((len(inputs.row),), UNSEEN, dtype=torch.int64, device=device),
    )
