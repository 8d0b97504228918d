"""The version of the models, which `release activated` carries."""

from importlib.util import find_spec

import pytest

from services.compose import this_release
from services.inference import version


def test_the_release_says_whether_the_network_can_speak(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(version, "find_spec", lambda name: None)
    without = version.model_version.__wrapped__()
    monkeypatch.setattr(version, "find_spec", find_spec)
    assert version.model_version.__wrapped__() in {without, f"{without}+network"}
    assert not without.endswith("+network")
    assert this_release().model.startswith(without)


def test_other_weights_are_another_version(
    monkeypatch: pytest.MonkeyPatch, tmp_path_factory: pytest.TempPathFactory
) -> None:
    folder = tmp_path_factory.mktemp("inference")
    monkeypatch.setattr(version, "__file__", str(folder / "version.py"))
    (folder / "trees.npz").write_bytes(b"one")
    first = version.model_version.__wrapped__()
    (folder / "trees.npz").write_bytes(b"two")
    assert version.model_version.__wrapped__() != first
