"""The state store in memory, and what needs no backend."""

from __future__ import annotations

import subprocess
import sys
from typing import Any

import pytest

from core.errors import SettingsError
from core.statestore import open_states
from tests.contracts.statestore_contract import StateStoreContract


class TestMemoryStates(StateStoreContract):
    def url(self, tmp_path: Any) -> str:
        return "memory://"


@pytest.mark.parametrize(
    "url", ["ftp://bucket/x", "", "var/state", "file://", "file:///", "file://h/x"]
)
def test_unknown_address(url: str) -> None:
    with pytest.raises(SettingsError, match="neither"):
        open_states(url)


def test_importing_the_store_loads_no_array_library() -> None:
    code = (
        "import sys, core.statestore as s; s.Put, s.equal\n"
        "print([m for m in ('icechunk', 'zarr', 'xarray', 'numpy') if m in sys.modules])"
    )
    done = subprocess.run([sys.executable, "-c", code], capture_output=True, text=True, check=True)
    assert done.stdout.strip() == "[]"
