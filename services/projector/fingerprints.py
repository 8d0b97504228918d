"""Which ids were taken in: a short look that spares asking the database of nearly all."""

from __future__ import annotations

import hashlib
from collections.abc import Iterable

import numpy as np
import numpy.typing as npt


class Fingerprints:
    """8 bytes of each id, in order. An id that has none here was never added."""

    def __init__(self, ids: Iterable[str] = ()) -> None:
        self._known = np.sort(_of(ids))

    def may_have(self, one: str) -> bool:
        """False: `one` was never added. True: it was, or, once in 10^15 times, another one."""
        (wanted,) = _of([one])
        at = int(np.searchsorted(self._known, wanted))
        return at < self._known.size and bool(self._known[at] == wanted)

    def add(self, ids: Iterable[str]) -> None:
        """Add more ids."""
        self._known = np.sort(np.concatenate([self._known, _of(ids)]))


def _of(ids: Iterable[str]) -> npt.NDArray[np.uint64]:
    digests = (hashlib.blake2b(one.encode(), digest_size=8).digest() for one in ids)
    return np.frombuffer(b"".join(digests), np.uint64)
