from __future__ import annotations

import importlib.util
import subprocess
import sys
from typing import Any

import pytest

from core.errors import BadInputError, SettingsError
from services.inference.models import musenet


def test_without_torch_the_model_says_how_to_install_it(monkeypatch: pytest.MonkeyPatch) -> None:
    found = importlib.util.find_spec

    def blind(name: str, *rest: Any) -> Any:
        return None if name == "torch" else found(name, *rest)

    monkeypatch.setattr(musenet, "find_spec", blind)
    with pytest.raises(SettingsError, match=r"pip install 'slopewatch\[torch\]'"):
        musenet.open(musenet.Settings())


def test_importing_the_model_imports_no_torch() -> None:
    code = (
        "import sys; import services.inference.models.musenet, services.commands.training;"
        "sys.exit('torch' in sys.modules or 'safetensors' in sys.modules)"
    )
    assert subprocess.run([sys.executable, "-c", code], check=False).returncode == 0


def test_a_folder_without_weights_is_named(tmp_path: Any) -> None:
    pytest.importorskip("torch", reason="the extra slopewatch[torch] is not installed")
    with pytest.raises(BadInputError, match=r"default\.json"):
        musenet.open(musenet.Settings(weights=tmp_path))


def test_a_device_that_is_not_there_is_refused() -> None:
    torch = pytest.importorskip("torch", reason="the extra slopewatch[torch] is not installed")
    if torch.cuda.is_available():
        pytest.skip("this machine has the device")
    with pytest.raises(SettingsError, match="use cpu"):
        musenet.open(musenet.Settings(device="cuda"))
