"""What ingest has put on the log about sites and releases; losing it repeats a settings event."""

from __future__ import annotations

from collections.abc import Sequence
from pathlib import Path

import msgspec

from core.events import ReleaseActivated
from core.settings import Site, parse_site, site_bytes
from services.ingest.service import Ingest, difference


class Announced:
    """What ingest has said about sites and releases; losing it repeats a settings event."""

    def __init__(self, data: Path) -> None:
        self._folder = data / "configured"

    def names(self) -> set[str]:
        """Sites that were announced and not retired."""
        paths = (self._folder / "sites").glob("*.json")
        return {
            p.stem for p in paths if not parse_site(msgspec.json.decode(p.read_bytes())).retired
        }

    def announce(self, site: Site, ingest: Ingest) -> tuple[str, ...] | None:
        """Append `site configured` when the site differs from the last one said."""
        path = self._folder / "sites" / f"{site.name}.json"
        content = site_bytes(site)
        previous = None
        if path.exists():
            if path.read_bytes() == content:
                return None
            previous = parse_site(msgspec.json.decode(path.read_bytes()), str(path))
        ingest.configure(site, previous, retired=site.retired)
        self._write(path, content)
        return difference(previous, site) if previous else ("new site",)

    def activate(self, sites: Sequence[Site], release: ReleaseActivated, ingest: Ingest) -> None:
        """Append `release activated` for the sites that were told of another one, or of none."""
        path = self._folder / "release.json"
        said = msgspec.json.decode(path.read_bytes()) if path.exists() else {}
        content = msgspec.to_builtins(release)
        for first in (True, False):
            stale = [
                site
                for site in sites
                if (site.name not in said) == first and said.get(site.name) != content
            ]
            if stale:
                ingest.activate(stale, release, first=first)
                said |= {site.name: content for site in stale}
                self._write(path, msgspec.json.encode(said))

    def _write(self, path: Path, content: bytes) -> None:
        path.parent.mkdir(parents=True, exist_ok=True)
        temporary = path.with_suffix(".new")
        temporary.write_bytes(content)
        temporary.replace(path)
