"""What a look is: a small question that is asked now and then, and answered with figures."""

from __future__ import annotations

from collections.abc import Iterator
from typing import NamedTuple, Protocol

from core.figures import Figure


class Fault(NamedTuple):
    """Something could not be looked at: one sentence for the person who can mend it."""

    sentence: str


class Look(Protocol):
    """One look.

    `name` is its label, `every_s` how often it is taken. `lasting`: what it found stays true
    while it cannot look again, as a moment does; else it is taken away then.
    """

    name: str
    every_s: float
    lasting: bool

    def look(self) -> Iterator[Figure | Fault]:
        """What is so now. A `SlopewatchError` ends the look as a fault does."""
        ...
