"""Reading a backup again: is every piece what the manifest says, and do the parts fit together."""

from __future__ import annotations

from collections.abc import Iterator
from contextlib import closing, contextmanager
from pathlib import Path
from tempfile import TemporaryDirectory
from typing import NamedTuple

import typer

from core.errors import BadInputError, NewerVersionError, SlopewatchError
from core.ledger import open_ledger
from core.ledger.ledger import Ledger
from core.stage import Bookmark
from core.statestore import States, open_states
from services.alerting.service import AlertingStage
from services.commands._backup_log import BackedUpLog, check_gapless, names_in, rows_of
from services.commands._backup_place import Echo, Manifest, Vault, artifacts_of, fetch_folder
from services.commands._moving_stores import ledger_marks, state_marks
from services.commands.backing_up import LEDGER, STATE, export_hash
from services.inference.service import InferenceStage
from services.inference.store import STATE_VERSION


class Unpacked(NamedTuple):
    """A backup whose parts lie open: ledger and states as such, the rest below `folder`."""

    folder: Path
    ledger: Ledger
    states: States
    log: BackedUpLog

    def marks(self) -> dict[str, dict[str, Bookmark]]:
        """By stage: the bookmark of every site."""
        return {
            InferenceStage.name: state_marks(self.states),
            AlertingStage.name: ledger_marks(self.ledger),
        }


@contextmanager
def checked(vault: Vault, manifest: Manifest, echo: Echo) -> Iterator[Unpacked]:
    """A backup after every byte of it was read and compared.

    Raises BadInputError for a missing or damaged piece, NewerVersionError for what a newer release
    wrote, SlopewatchError where its parts do not fit together.
    """
    check_gapless(manifest.log)
    with TemporaryDirectory(prefix="slopewatch-restore-") as scratch:
        folder = Path(scratch)
        (folder / STATE).mkdir()
        fetch_folder(vault, manifest.files, folder)
        there = _read_artifacts(vault, manifest)
        _check_named(_read_log(vault, manifest), there)
        if not (folder / LEDGER).is_file():
            raise BadInputError("the backup holds no ledger")
        with (
            closing(open_ledger(f"sqlite://{folder / LEDGER}")) as ledger,
            closing(open_states(f"file://{folder / STATE}")) as states,
        ):
            unpacked = Unpacked(folder, ledger, states, BackedUpLog(vault, manifest.log))
            _check_ledger(ledger, manifest)
            _check_states(states, manifest)
            _check_places(unpacked, manifest)
            echo(
                f"whole: {len(manifest.sites)} sites, "
                f"{sum(site.decisions for site in manifest.sites.values())} decisions, "
                f"{sum(topic.records for topic in manifest.log.values())} records, "
                f"{manifest.artifacts.count} artifacts"
            )
            for sha256 in manifest.artifacts.damaged:
                echo(f"artifact {sha256} was damaged when it was backed up, and is not in it")
            yield unpacked


def _read_artifacts(vault: Vault, manifest: Manifest) -> set[str]:
    """Read all; the hashes of those that are there or known to be damaged."""
    pieces = artifacts_of(vault, manifest)
    with typer.progressbar(pieces, label="artifacts") as bar:
        for piece in bar:
            vault.fetch(piece)
    counted = manifest.artifacts.count, manifest.artifacts.bytes
    if (len(pieces), sum(piece.bytes for piece in pieces)) != counted:
        raise BadInputError("the list of artifacts is not the one that the manifest counted")
    return {piece.sha256 for piece in pieces} | set(manifest.artifacts.damaged)


def _read_log(vault: Vault, manifest: Manifest) -> set[str]:
    """Read all; the hashes of the artifacts that it names."""
    segments = [one for topic in manifest.log.values() for one in topic.segments()]
    named: set[str] = set()
    with typer.progressbar(segments, label="log") as bar:
        for segment in bar:
            named |= names_in(rows_of(vault, segment))
    return named


def _check_named(named: set[str], there: set[str]) -> None:
    if lost := named - there:
        raise BadInputError(
            f"the backup lacks {len(lost)} artifacts that its log names, such as {min(lost)}: use "
            "an older one"
        )


def _check_ledger(ledger: Ledger, manifest: Manifest) -> None:
    if problems := ledger.verify(manifest.heads):
        raise SlopewatchError(f"the ledger in the backup is not whole: {problems[0]}")
    if export_hash(ledger.export()) != manifest.export:
        raise BadInputError("the ledger in the backup holds other decisions than the manifest says")


def _check_states(states: States, manifest: Manifest) -> None:
    wanted = {name for name, site in manifest.sites.items() if site.state}
    if wanted != set(states.sites()):
        odd = min(wanted ^ set(states.sites()))
        raise BadInputError(f"the state of site {odd} is missing, or in no manifest")
    decided = {name for name, site in manifest.sites.items() if site.head}
    if lost := decided - wanted:
        raise BadInputError(
            f"the backup has decisions of site {min(lost)} and no state of it: use an older one"
        )
    for name in sorted(wanted):
        with closing(states.open(name)) as site:
            version = site.attrs().get("version", 0)
        if version > STATE_VERSION:
            raise NewerVersionError(
                f"the state of site {name} has version {version}, this release reads up to "
                f"{STATE_VERSION}: upgrade slopewatch"
            )


def _check_places(backup: Unpacked, manifest: Manifest) -> None:
    """No site may have read what the log in the backup does not hold."""
    for stage, inbox in (
        (InferenceStage.name, InferenceStage.inbox),
        (AlertingStage.name, AlertingStage.inbox),
    ):
        topic = manifest.log[inbox]
        for name, mark in backup.marks()[stage].items():
            if mark.log_id != topic.id:
                continue  # It stood still there and will here, and says why.
            known = mark.partition < len(topic.partitions)
            if not known or mark.offset >= topic.partitions[mark.partition].stop:
                raise SlopewatchError(
                    f"site {name} has read up to {mark.offset} in {stage}, and the log in the "
                    "backup ends before: it is no backup of one slopewatch"
                )
