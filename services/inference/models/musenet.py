"""MUSEnetC: a network corrects the rates that Kalman + transfer function expects of each day.

r = r(KF+TF) + C g with g from an ensemble of networks that were trained on simulated slopes; where
the networks say nothing, this is Kalman + transfer function to the bit. It may answer to rain, to
the level with either sign, and to what the last year of epochs showed beyond the expected. Slopes
that the training did not see take the mean embedding.

Needs the extra `slopewatch[torch]`. Sources: Y. Guo et al., MUSEnet (2023) for the three blocks;
residual form, integral likelihood and pooling are this project's.
"""

from __future__ import annotations

from importlib.util import find_spec
from pathlib import Path as File
from typing import Any

from pydantic import Field

from core.errors import SettingsError
from core.settings import Tree
from services.inference.known import History, Known
from services.inference.model import Parameters, Path
from services.inference.models import kalman_transfer
from services.inference.musenet.expectation import expect
from services.inference.musenet.inputs import gather


class Settings(Tree):
    """Which weights speak, and where they run."""

    weights: File | None = Field(None, description="folder of weights; none: those that ship")
    ensemble: str = Field("default", description="name of the model card in that folder")
    device: str = Field("cpu", description="cpu or cuda")


class MUSEnet:
    """The `musenet` model: Kalman + transfer function, corrected by an ensemble of networks."""

    name = "musenet"
    needs = frozenset({"rain", "level"})

    def __init__(self, networks: list[Any], device: str = "cpu") -> None:
        self._networks = [network.to(device).eval() for network in networks]
        self._device = device
        self._base = kalman_transfer.open(kalman_transfer.Settings())

    def fit(self, history: History, day: int) -> Parameters:
        """The parameters of Kalman + transfer function: the networks learn nothing of a site."""
        return self._base.fit(history, day)

    def forecast(self, parameters: Parameters, known: Known) -> Path:
        """See `services.inference.model.Model.forecast`."""
        from services.inference.musenet.serving import corrected

        base = expect(self._base, parameters, known)
        return corrected(self._networks, gather(known, base), self._device)


def open(settings: Settings) -> MUSEnet:
    """The model of these settings.

    Raises SettingsError where the extra is not installed or the device is not there, and
    BadInputError where the weights cannot be read.
    """
    if find_spec("torch") is None or find_spec("safetensors") is None:
        raise SettingsError(
            "model musenet needs torch and safetensors: pip install 'slopewatch[torch]'"
        )
    import torch

    from services.inference.musenet.checkpoint import WEIGHTS, read_ensemble

    if settings.device.startswith("cuda") and not torch.cuda.is_available():
        raise SettingsError(f"model musenet: device {settings.device!r} is not there; use cpu")
    return MUSEnet(read_ensemble(settings.weights or WEIGHTS, settings.ensemble), settings.device)
