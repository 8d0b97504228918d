"""Pictures for as long as a warning may wait: drawn once for all recipients, in a thread apart.

The store of artifacts may hang for minutes. Then the message goes out without its pictures, and
until the store answers nobody waits for it again.
"""

from __future__ import annotations

from collections.abc import Callable
from functools import cache
from threading import Lock, Thread
from typing import Final

from core.artifacts import Artifacts, open_artifacts
from core.events import ArtifactRef
from services.alerting.bulletin.headline import banner_kinds
from services.alerting.bulletin.language import Language
from services.alerting.bulletin.pictures import Picture, missing, pictures_of, track_of
from services.alerting.message import Message

PATIENCE_S: Final = 20.0
_KEPT: Final = 16


class Studio:
    """Draws from the store that `opened` opens at the first picture; for any number of threads."""

    def __init__(self, opened: Callable[[], Artifacts], patience_s: float = PATIENCE_S) -> None:
        self._opened = opened
        self._patience_s = patience_s
        self._store: Artifacts | None = None
        self._drawn: dict[tuple[object, ...], tuple[Picture, ...]] = {}
        self._drawing = Lock()
        self._is_overdue = False

    def pictures(self, message: Message, language: Language) -> tuple[Picture, ...]:
        """Map and curve of `message`, or why there are none; never raises, never waits long."""
        gone = missing(message, "out_of_reach")
        patience_s = 0.0 if self._is_overdue else self._patience_s
        if not gone or not self._drawing.acquire(timeout=patience_s):
            return gone
        key = _key(message, language)
        if key in self._drawn:
            self._drawing.release()
            return self._drawn[key]
        found: list[tuple[Picture, ...]] = []
        work = Thread(target=self._draw, args=(message, language, key, found), daemon=True)
        work.start()
        work.join(patience_s)
        self._is_overdue = work.is_alive()
        return found[0] if found else gone

    def _draw(
        self,
        message: Message,
        language: Language,
        key: tuple[object, ...],
        found: list[tuple[Picture, ...]],
    ) -> None:
        try:
            pictures = pictures_of(message, language, self._read)
            if all(one.missing in (None, "nothing_to_show") for one in pictures):
                while len(self._drawn) >= _KEPT:
                    del self._drawn[next(iter(self._drawn))]
                self._drawn[key] = pictures
            found.append(pictures)
        finally:
            self._is_overdue = False
            self._drawing.release()

    def _read(self, ref: ArtifactRef) -> bytes:
        self._store = self._store or self._opened()
        return self._store.get(ref)


@cache
def studio_at(url: str) -> Studio:
    """The one studio of this process for the artifacts at `url`."""
    return Studio(lambda: open_artifacts(url))


def _key(message: Message, language: Language) -> tuple[object, ...]:
    """All that a picture depends on."""
    track = track_of(message)
    return (
        *(language.name, message.site, message.unit, message.level, message.arose),
        *(message.site_file, track, message.evidence.get(track), *banner_kinds(message)),
    )
