"""Colours of the levels, the same in messages and pictures."""

from __future__ import annotations

from collections.abc import Mapping
from typing import Final

from core.events import Level

COLOURS: Final[Mapping[Level, tuple[str, str]]] = {
    "blue": ("#1f5fa8", "#ffffff"),
    "yellow": ("#ffd92f", "#000000"),
    "orange": ("#f58518", "#000000"),
    "red": ("#b3001b", "#ffffff"),
}
"""Background and text; the word stands on the colour, so nothing hangs on seeing it."""
NO_LEVEL: Final = ("#444444", "#ffffff")
INK: Final = "#1f2933"
FAINT: Final = "#8a94a0"
