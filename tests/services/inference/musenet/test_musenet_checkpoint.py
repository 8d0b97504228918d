from __future__ import annotations

import json
from pathlib import Path
from typing import Any

import pytest

from core.errors import BadInputError
from services.inference.musenet.examples import Examples

torch = pytest.importorskip("torch", reason="the extra slopewatch[torch] is not installed")

from safetensors.torch import save_file  # noqa: E402

from services.inference.musenet import checkpoint  # noqa: E402
from services.inference.musenet.network import MUSEnetC, Shape  # noqa: E402
from services.inference.musenet.training import tiny_shape  # noqa: E402


@pytest.fixture
def network(examples: Examples) -> MUSEnetC:
    torch.manual_seed(2)
    return MUSEnetC(tiny_shape(examples))


def card(**other: Any) -> dict[str, Any]:
    return {key: [] for key in checkpoint.CARD_KEYS} | other


def test_weights_come_back_as_they_were(network: MUSEnetC, tmp_path: Path) -> None:
    path = tmp_path / "one.safetensors"
    checkpoint.write_weights(path, network)
    again = checkpoint.read_weights(path)
    assert again.shape == network.shape
    for name, value in network.state_dict().items():
        assert torch.equal(again.state_dict()[name], value)


def test_the_same_network_gives_the_same_bytes(network: MUSEnetC, tmp_path: Path) -> None:
    one, other = tmp_path / "one.safetensors", tmp_path / "other.safetensors"
    checkpoint.write_weights(one, network)
    checkpoint.write_weights(other, network)
    assert one.read_bytes() == other.read_bytes()


@pytest.mark.parametrize("content", [b"", b"no weights at all", b"\x80\x04N."])
def test_what_is_no_safetensors_is_refused(content: bytes, tmp_path: Path) -> None:
    path = tmp_path / "one.safetensors"
    path.write_bytes(content)
    with pytest.raises(BadInputError, match="not a readable safetensors file"):
        checkpoint.read_weights(path)


def test_weights_of_other_inputs_are_refused(
    network: MUSEnetC, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    path = tmp_path / "one.safetensors"
    checkpoint.write_weights(path, network)
    monkeypatch.setattr(checkpoint, "INPUTS_VERSION", checkpoint.INPUTS_VERSION + 1)
    with pytest.raises(BadInputError, match="train again"):
        checkpoint.read_weights(path)


def test_weights_that_do_not_fit_their_shape_are_refused(network: MUSEnetC, tmp_path: Path) -> None:
    path = tmp_path / "one.safetensors"
    wider: Shape = network.shape.model_copy(update={"trunk": network.shape.trunk + 1})
    about = {"shape": wider.model_dump(), "inputs_version": checkpoint.INPUTS_VERSION}
    save_file(network.state_dict(), path, {"slopewatch": json.dumps(about)})
    with pytest.raises(BadInputError, match="arrays of their shape"):
        checkpoint.read_weights(path)


def test_a_card_must_be_complete(tmp_path: Path) -> None:
    path = tmp_path / "one.json"
    with pytest.raises(BadInputError, match="lacks data_sha256"):
        checkpoint.write_card(path, {k: v for k, v in card().items() if k != "data_sha256"})
    checkpoint.write_card(path, card(name="one"))
    assert checkpoint.read_card(path)["name"] == "one"
    path.write_text("[1, 2]")
    with pytest.raises(BadInputError, match="lacks a key"):
        checkpoint.read_card(path)


def test_an_ensemble_is_what_its_card_names(network: MUSEnetC, tmp_path: Path) -> None:
    for seed in (0, 1):
        checkpoint.write_weights(tmp_path / f"one-{seed}.safetensors", network)
    files = ["one-0.safetensors", "one-1.safetensors"]
    checkpoint.write_card(tmp_path / "one.json", card(files=files))
    assert len(checkpoint.read_ensemble(tmp_path, "one")) == 2
    checkpoint.write_card(tmp_path / "one.json", card(files=[]))
    with pytest.raises(BadInputError, match="one shape"):
        checkpoint.read_ensemble(tmp_path, "one")
