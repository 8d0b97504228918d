"""Which forecasts this installation can make: a version that follows from what it ships and has.

A stage decides by its inputs alone, and `release activated` is one of them. Weights, the beginnings
of intervals and whether the network can run at all change what is forecast, so they are in it.
"""

from __future__ import annotations

import hashlib
from functools import cache
from importlib.util import find_spec
from pathlib import Path

_SHIPPED = ("*.npz", "*.safetensors")


@cache
def model_version() -> str:
    """`ladder-` and eight digits of the hash of all shipped weights; `+network` where torch is."""
    digest = hashlib.sha256()
    folder = Path(__file__).parent
    for file in sorted(f for pattern in _SHIPPED for f in folder.rglob(pattern)):
        digest.update(file.name.encode())
        digest.update(file.read_bytes())
    network = find_spec("torch") is not None and find_spec("safetensors") is not None
    return f"ladder-{digest.hexdigest()[:8]}{'+network' if network else ''}"
