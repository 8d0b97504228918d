"""Lines of plain text no wider than a mail reader shows, Chinese too, which has no spaces."""

from __future__ import annotations

import re
from collections.abc import Iterator
from typing import Final
from unicodedata import east_asian_width

WIDTH: Final = 76
"""Columns; a Chinese character takes two."""

_NOT_FIRST: Final = "，。；：、！？）》」』】％%…"
_NOT_LAST: Final = "（《「『【"
_WIDE: Final = "\u2e80-\u9fff\uf900-\ufaff\uff01-\uff60"
_PIECE: Final = re.compile(rf"\s+|[{_NOT_LAST}]*(?:[{_WIDE}]|[^\s{_WIDE}]+)(?: %)?[{_NOT_FIRST}]*")


def width_of(text: str) -> int:
    """Columns that `text` takes."""
    return sum(2 if east_asian_width(c) in "WF" else 1 for c in text)


def wrapped(text: str, indent: str = "") -> str:
    """`text` in lines of at most `WIDTH` columns; the first begins with `indent`.

    Lines break at spaces and between Chinese characters, never before a closing sign or after an
    opening one. A word that is wider than a line stands on one of its own.
    """
    lines, line = [], indent
    for piece in _pieces(text):
        fresh = line in (indent, " " * len(indent))
        if not fresh and width_of(line) + width_of(piece.rstrip()) > WIDTH:
            lines.append(line.rstrip())
            line = " " * len(indent)
            fresh = True
        line += piece.lstrip() if fresh else piece
    return "\n".join([*lines, line.rstrip()])


def _pieces(text: str) -> Iterator[str]:
    """What a line may not break within."""
    return (found[0] for found in _PIECE.finditer(text))
