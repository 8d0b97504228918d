"""Weights on disk: safetensors beside a model card, both checked when they are read; no pickle.

A weights file holds one network, its shape and version as metadata. The card is JSON for people
and for the gate: what it was trained on, how it scored on the development pool, its limits, and
the command that made it.
"""

from __future__ import annotations

import json
import os
from collections.abc import Mapping, Sequence
from pathlib import Path
from typing import Any

from pydantic import ValidationError
from safetensors import SafetensorError, safe_open
from safetensors.torch import save
from torch import Tensor

from core.errors import BadInputError
from services.inference.musenet.inputs import INPUTS_VERSION
from services.inference.musenet.network import MUSEnetC, Shape

WEIGHTS = Path(__file__).with_name("weights")
"""Weights that ship with the project: `<name>-<seed>.safetensors` and `<name>.json`."""
CARD_KEYS = (
    "name",
    "data_sha256",
    "pool",
    "seeds",
    "code_version",
    "inputs_version",
    "settings",
    "scores",
    "limits",
    "command",
    "files",
)
"""What every model card says."""


def write_weights(path: Path, network: MUSEnetC) -> None:
    """Write one network; whole or not at all."""
    about = {"shape": network.shape.model_dump(), "inputs_version": INPUTS_VERSION}
    _write(path, save(_plain(network.state_dict()), _named(about)))


def read_weights(path: Path) -> MUSEnetC:
    """Read one network, ready to be asked.

    Raises BadInputError where the file cannot be read, is of another version of the inputs, or
    does not hold the arrays of the shape it names.
    """
    tensors, about = _read(path)
    version = about.get("inputs_version")
    if version != INPUTS_VERSION:
        raise BadInputError(
            f"weights {path} are for inputs version {version}, this code makes {INPUTS_VERSION}: "
            "train again with `slopewatch train --pool`"
        )
    try:
        shape = Shape.model_validate(about.get("shape"))
    except ValidationError as error:
        raise BadInputError(f"weights {path} name no readable shape: train them again") from error
    network = MUSEnetC(shape)
    try:
        network.load_state_dict(tensors)
    except RuntimeError as error:
        raise BadInputError(
            f"weights {path} do not hold the arrays of their shape: restore or train them again"
        ) from error
    network.eval()
    return network


def write_card(path: Path, card: Mapping[str, Any]) -> None:
    """Write a model card; every key of `CARD_KEYS` must be there."""
    missing = [key for key in CARD_KEYS if key not in card]
    if missing:
        raise BadInputError(f"the model card {path} lacks {', '.join(missing)}")
    _write(path, (json.dumps(card, indent=2, sort_keys=True) + "\n").encode())


def read_card(path: Path) -> dict[str, Any]:
    """Read a model card.

    Raises BadInputError where it is not there, not JSON, or lacks a key.
    """
    try:
        card = json.loads(path.read_text())
    except (OSError, ValueError) as error:
        raise BadInputError(f"model card {path} cannot be read: {error}") from error
    if not isinstance(card, dict) or any(key not in card for key in CARD_KEYS):
        raise BadInputError(f"model card {path} lacks a key of {', '.join(CARD_KEYS)}")
    return card


def read_ensemble(folder: Path, name: str) -> list[MUSEnetC]:
    """The networks that the card `<name>.json` in `folder` names.

    Raises BadInputError as `read_card` and `read_weights` do, and where they differ in shape.
    """
    files: Sequence[str] = read_card(folder / f"{name}.json")["files"]
    networks = [read_weights(folder / file) for file in files]
    if not networks or len({network.shape for network in networks}) != 1:
        raise BadInputError(f"the networks of {name} in {folder} must be of one shape, one or more")
    return networks


def write_progress(path: Path, stamp: Mapping[str, Any], tensors: Mapping[str, Tensor]) -> None:
    """Keep an unfinished training; `stamp` says whose it is."""
    _write(path, save(_plain(tensors), _named(stamp)))


def read_progress(path: Path, stamp: Mapping[str, Any]) -> dict[str, Tensor]:
    """Read an unfinished training back.

    Raises BadInputError where it is that of another shape, seed, settings or data.
    """
    tensors, about = _read(path)
    if about != json.loads(json.dumps(stamp)):
        raise BadInputError(
            f"{path} is the progress of a training with other settings, seed or data: "
            "remove it or name another file"
        )
    return tensors


def _plain(tensors: Mapping[str, Tensor]) -> dict[str, Tensor]:
    return {name: value.detach().cpu().contiguous().clone() for name, value in tensors.items()}


def _named(about: Mapping[str, Any]) -> dict[str, str]:
    """Metadata of one key: of several, safetensors keeps no order, and bytes would differ."""
    return {"slopewatch": json.dumps(about, sort_keys=True)}


def _read(path: Path) -> tuple[dict[str, Tensor], dict[str, Any]]:
    try:
        with safe_open(path, framework="pt") as file:
            names = list(file.keys())
            tensors = {name: file.get_tensor(name) for name in names}
            about = json.loads((file.metadata() or {}).get("slopewatch", "{}"))
    except (OSError, ValueError, SafetensorError) as error:
        raise BadInputError(f"{path} is not a readable safetensors file: {error}") from error
    return tensors, about if isinstance(about, dict) else {}


def _write(path: Path, content: bytes) -> None:
    """Write beside it and rename, so that a reader never sees half a file."""
    path.parent.mkdir(parents=True, exist_ok=True)
    beside = path.with_name(f".{path.name}.part")
    beside.write_bytes(content)
    os.replace(beside, path)
