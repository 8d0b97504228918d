"""The sites that are watched, as their files say."""

from __future__ import annotations

import time
from typing import Final

from core.settings import Service, Site
from services.compose import load_sites

READ_EVERY_S: Final = 300.0


class Sites:
    """Reads the site files now and then; a file that cannot be read is left out."""

    def __init__(self, service: Service, only: str | None = None) -> None:
        self._service = service
        self._only = only
        self._sites: list[Site] = []
        self._read_at: float | None = None

    def watched(self) -> list[Site]:
        """Sites that are not retired. Raises `SettingsError` when there is no file at all."""
        now = time.monotonic()
        if self._read_at is None or now - self._read_at >= READ_EVERY_S:
            self._sites = load_sites(self._service, self._only, without_broken=True)
            self._read_at = now
        return [site for site in self._sites if not site.retired]
