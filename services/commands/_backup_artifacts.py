"""The artifacts in a backup: each once, and all that the log in it names."""

from __future__ import annotations

import hashlib
import re
from collections.abc import Mapping

import typer

from core.errors import BadInputError, SlopewatchError
from core.objects import open_objects
from core.settings import Service
from services.commands._backup_log import names_in, rows_of
from services.commands._backup_place import (
    Artifacts,
    Echo,
    Manifest,
    Piece,
    Topic,
    Vault,
    artifacts_of,
    keep_artifacts_list,
)

ARTIFACT = re.compile(r"([0-9a-f]{2})/([0-9a-f]{62})")


class ArtifactsCopy:
    """All artifacts of the service, on their way into a vault."""

    def __init__(self, service: Service, vault: Vault, before: Manifest | None, echo: Echo) -> None:
        self._objects = open_objects(str(service.artifacts))
        self._vault = vault
        self._wanted: set[str] = set()
        """Those of the backup before: they never go."""
        self._looked: set[str] = set()
        """Pieces of the log whose artifacts were looked for when the backup before was made."""
        known = self._known_of(before, echo) if before is not None else []
        self._known = {piece.sha256: piece for piece in known if piece.sha256 in vault.there()}
        self._found: dict[str, Piece] = {}
        self._damaged: set[str] = set()

    def _known_of(self, before: Manifest, echo: Echo) -> list[Piece]:
        try:
            known = artifacts_of(self._vault, before)
        except BadInputError as error:
            echo(f"all artifacts are read again: {error}")
            return []
        self._wanted = {piece.sha256 for piece in known} | set(before.artifacts.damaged)
        self._looked = {
            segment.piece.sha256 for topic in before.log.values() for segment in topic.segments()
        }
        return known

    def listed(self) -> Artifacts:
        """All that was copied."""
        pieces = [self._found[sha256] for sha256 in sorted(self._found)]
        return keep_artifacts_list(self._vault, pieces, sorted(self._damaged))

    def copy(self, echo: Echo) -> None:
        """Copy what came since; a damaged one is told and left out, nobody could read it."""
        new = self._new()
        copied = 0
        with typer.progressbar(new, label="artifacts") as bar:
            for sha256, name in bar:
                piece = self._known.get(sha256) or self._keep(sha256, name)
                if piece is None:
                    self._damaged.add(sha256)
                    echo(f"left out: artifact {self._objects.where}/{name} is damaged")
                    continue
                copied += sha256 not in self._known
                self._found[sha256] = piece
        echo(f"artifacts: {copied} of {len(self._found)} copied, the others were there")

    def refuse_lost(self, log: Mapping[str, Topic]) -> None:
        """Raise SlopewatchError unless all are there that the log and the backup before name.

        A folder that is not mounted, or was emptied, is never taken for one without artifacts.
        """
        wanted = set(self._wanted)
        for topic in log.values():
            for segment in topic.segments():
                if segment.piece.sha256 not in self._looked:
                    wanted |= names_in(rows_of(self._vault, segment))
        if lost := sorted(wanted - self._found.keys() - self._damaged):
            raise SlopewatchError(
                f"{self._objects.where} lacks {len(lost)} artifacts that the log names, such as "
                f"{lost[0]}: back up where they lie, or bring them back from an older backup; "
                "no backup was made"
            )

    def _new(self) -> list[tuple[str, str]]:
        """Hash and name of what was not looked at yet."""
        found = map(ARTIFACT.fullmatch, self._objects.names())
        names = {match[1] + match[2]: match[0] for match in found if match}
        return sorted((s, names[s]) for s in names.keys() - self._found.keys() - self._damaged)

    def _keep(self, sha256: str, name: str) -> Piece | None:
        content = self._objects.get(name)
        if content is None or hashlib.sha256(content).hexdigest() != sha256:
            return None
        return self._vault.keep(content)
