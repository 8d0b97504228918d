"""`slopewatch restore`: a backup becomes a slopewatch again, in empty stores or in its own.

The backup is read and compared first. Then come artifacts, memory, state, ledger and log; sites
keep their places on the old log meanwhile, so that a service which is started too early refuses to
go on, and a sender finds nothing. At last every site is given the place on the new log that holds
the same record as its old one. From there its stages read on.

A note in the memory says which restore was begun, so that one that was killed can be run again.
"""

from __future__ import annotations

import shutil
from collections.abc import Collection
from contextlib import ExitStack
from pathlib import Path
from typing import NamedTuple

import typer

from core.artifacts import open_artifacts
from core.errors import SettingsError
from core.eventlog import EventLog, open_log
from core.ledger import open_ledger, upgrade
from core.ledger.ledger import Ledger
from core.notes import open_notes
from core.objects import Objects, open_objects
from core.progress import Progress, ProgressNotes
from core.settings import Service
from core.statestore import States, open_states
from core.topics import TOPICS, topic_specs
from services.alerting.service import AlertingStage
from services.commands._backup_artifacts import ARTIFACT
from services.commands._backup_check import Unpacked, checked
from services.commands._backup_place import Echo, Manifest, Vault, artifacts_of, chosen
from services.commands._moving_files import copy_notes
from services.commands._moving_log import TopicCopy
from services.commands._moving_stages import note_read
from services.commands._moving_stores import copy_ledger, copy_states, place_states
from services.commands._restored_places import Places, find_places
from services.commands.backing_up import (
    BEGUN,
    MEMORY,
    SITES,
    STORES,
    disk_in_our_words,
)
from services.inference.service import InferenceStage

PATIENCE_S = 60.0
INBOXES = {InferenceStage.name: InferenceStage.inbox, AlertingStage.name: AlertingStage.inbox}


class Target(NamedTuple):
    """The stores to restore into, open."""

    service: Service
    log: EventLog
    states: States
    ledger: Ledger
    memory: Objects


def verify(place: str, name: str | None, echo: Echo) -> str:
    """Read a backup, the newest without `name`, and compare all of it; returns its name."""
    vault = Vault(place)
    found, manifest = chosen(vault, name)
    with disk_in_our_words(), checked(vault, manifest, echo):
        return found


def list_backups(place: str, echo: Echo) -> None:
    """One line a backup, the oldest first."""
    vault = Vault(place)
    for name in vault.names():
        one = vault.read(name)
        records = sum(topic.records for topic in one.log.values())
        echo(f"{name}  {len(one.sites)} sites  {records} records  by slopewatch {one.by}")


def restore(
    service: Service,
    place: str,
    echo: Echo,
    *,
    name: str | None = None,
    only: Collection[str] = (),
    patience_s: float = PATIENCE_S,
) -> str:
    """Restore a backup, the newest without `name`, into the stores of `service`; returns its name.

    `only` names the stores to restore where the others are whole; without it all are. Raises
    SlopewatchError with what to do; one that was killed is run again.
    """
    service = service.resolved()
    stores = _asked(only)
    vault = Vault(place)
    found, manifest = chosen(vault, name)
    with ExitStack() as closing_:
        closing_.enter_context(disk_in_our_words())
        backup = closing_.enter_context(checked(vault, manifest, echo))
        target = _open(service, stores, closing_)
        _begin(target, stores, found)
        work = _Restore(vault, manifest, backup, target, stores, echo, patience_s)
        work.run()
        target.memory.delete(BEGUN)
    echo(f"restored {found}; start the services")
    return found


def _asked(only: Collection[str]) -> tuple[str, ...]:
    if unknown := sorted(set(only) - set(STORES)):
        raise SettingsError(f"no store {unknown[0]}: there are {', '.join(STORES)}")
    if "log" in only and set(only) != set(STORES):
        raise SettingsError(
            "a log is restored together with all other stores: what they read lies on it"
        )
    return tuple(store for store in STORES if not only or store in only)


def _open(service: Service, stores: Collection[str], closing_: ExitStack) -> Target:
    """Everything, state with its lock: a service that runs on it is named and nothing is done."""
    service.data.mkdir(parents=True, exist_ok=True)
    states = open_states(str(service.state))
    closing_.callback(states.close)
    log = open_log(str(service.log))
    closing_.callback(log.close)
    if "log" in stores:
        known = log.topics()
        log.create_topics([spec for spec in topic_specs(service) if spec.name not in known])
    upgrade(str(service.ledger))
    ledger = open_ledger(str(service.ledger))
    closing_.callback(ledger.close)
    return Target(service, log, states, ledger, open_objects(str(service.memory)))


def _begin(target: Target, stores: Collection[str], name: str) -> None:
    """Note what is begun; refuse stores that hold anything, unless this very restore was begun."""
    note = f"{name} {','.join(stores)}".encode()
    begun = target.memory.get(BEGUN)
    if begun is not None:
        if begun != note:
            raise SettingsError(
                f"another restore was begun here ({begun.decode(errors='replace')[:200]}): finish "
                "it, or empty the stores"
            )
        return
    for store in stores:
        if (held := _held(target, store)) is not None:
            raise SettingsError(
                f"{store}: {getattr(target.service, store)} holds {held} already: a backup is "
                "restored into empty stores only"
            )
    target.memory.put(BEGUN, note)


def _held(target: Target, store: str) -> str | None:
    """What a store holds, None for an empty one."""
    found: str | None = None
    if store == "ledger":
        found = next((f"site {name}" for name in target.ledger.sites()), None)
    elif store == "state":
        found = next((f"site {name}" for name in target.states.sites()), None)
    elif store == "artifacts":
        names = open_objects(str(target.service.artifacts)).names()
        found = next((f"artifact {name}" for name in names if ARTIFACT.fullmatch(name)), None)
    elif store == "memory":
        found = next((f"note {name}" for name in target.memory.names()), None)
    else:
        used = [topic for topic in TOPICS if any(target.log.end(topic).values())]
        found = next((f"records of {topic}" for topic in used), None)
    return found


class _Restore:
    """One run of the command, with everything open; each step finds what was done before."""

    def __init__(
        self,
        vault: Vault,
        manifest: Manifest,
        backup: Unpacked,
        target: Target,
        stores: Collection[str],
        echo: Echo,
        patience_s: float,
    ) -> None:
        self._vault = vault
        self._manifest = manifest
        self._backup = backup
        self._to = target
        self._stores = stores
        self._echo = echo
        self._patience_s = patience_s
        self._ids = {stage: target.log.topic_id(inbox) for stage, inbox in INBOXES.items()}

    def run(self) -> None:
        """Do what is left to do."""
        if "log" not in self._stores:
            self._refuse_another_log()
        if "artifacts" in self._stores:
            self._restore_artifacts()
        if "memory" in self._stores:
            notes = f"file://{self._backup.folder / MEMORY}"
            copy_notes(notes, str(self._to.service.memory), self._echo)
        inference = InferenceStage.name
        if "state" in self._stores:
            old_id = self._manifest.log[INBOXES[inference]].id
            moved_id = self._ids[inference] if "log" in self._stores else ""
            copy_states(self._backup.states, self._to.states, old_id, moved_id, self._echo)
        if "ledger" in self._stores:
            moved_id = self._ids[AlertingStage.name] if "log" in self._stores else ""
            copy_ledger(self._backup.ledger, self._to.ledger, moved_id, self._echo)
        if "log" in self._stores:
            self._restore_log()
            self._restore_site_files()
        elif "ledger" in self._stores:
            self._to.ledger.set_places({}, "released")

    def _refuse_another_log(self) -> None:
        for stage, inbox in INBOXES.items():
            if self._manifest.log[inbox].id != self._ids[stage]:
                raise SettingsError(
                    f"{self._to.service.log} is another log than the one that was backed up: "
                    "restore all stores, into empty ones"
                )

    def _restore_artifacts(self) -> None:
        artifacts = open_artifacts(str(self._to.service.artifacts))
        pieces = artifacts_of(self._vault, self._manifest)
        with typer.progressbar(pieces, label="artifacts") as bar:
            for piece in bar:
                artifacts.put(self._vault.fetch(piece))
        self._echo(f"artifacts: {len(pieces)} are there")

    def _restore_log(self) -> None:
        """Append what is missing, then give each site its place and each stage its progress."""
        for name in TOPICS:
            topic = TopicCopy(self._backup.log, self._to.log, name)
            appended = topic.append(topic.look(), lambda: None)
            topic.check()
            self._echo(f"{name}: {appended} of {topic.records} records restored")
        marks = self._backup.marks()
        notes = open_notes(str(self._to.service.memory))
        found = {}
        for stage, inbox in INBOXES.items():
            noted = self._noted(stage, inbox)
            found[stage] = find_places(self._backup.log, self._to.log, inbox, marks[stage], noted)
            starts = {p: one.next for p, one in found[stage].progress.items()}
            note_read(self._to.log, stage, inbox, starts, self._patience_s)
            ProgressNotes(notes, stage).put(self._ids[stage], found[stage].progress, at_once=True)
            self._tell(stage, found[stage])
        place_states(self._to.states, found[InferenceStage.name].sites)
        if places := found[AlertingStage.name].sites:
            self._to.ledger.set_places(places, "released")

    def _noted(self, stage: str, inbox: str) -> dict[int, Progress]:
        """How far the stage had read the log that was backed up."""
        notes = ProgressNotes(open_notes(f"file://{self._backup.folder / MEMORY}"), stage)
        topic = self._manifest.log[inbox]
        return {p: notes.get(topic.id, p) for p in range(len(topic.partitions))}

    def _tell(self, stage: str, places: Places) -> None:
        for name in places.strangers:
            self._echo(f"site {name} stood still in {stage} when it was backed up, and still does")
        self._echo(f"{stage}: {places.unread} records are to be read again")

    def _restore_site_files(self) -> None:
        """The site files, where there are none; those that are there are newer."""
        kept = self._backup.folder / SITES
        folder: Path = self._to.service.sites
        if not kept.is_dir():
            return
        if folder.is_dir() and any(folder.iterdir()):
            self._echo(f"site files: those in {folder} stay as they are")
            return
        try:
            shutil.copytree(kept, folder, dirs_exist_ok=True)
            self._echo(f"site files: written to {folder}")
        except (OSError, shutil.Error):
            aside = self._to.service.data / "restored-sites"
            shutil.copytree(kept, aside, dirs_exist_ok=True)
            self._echo(f"site files: {folder} cannot be written; copy them there from {aside}")
