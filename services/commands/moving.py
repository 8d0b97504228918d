"""`slopewatch log copy`: carries a running site to another log, and to other stores with it.

Nothing is lost and nothing told twice, because of the order: the old services stop and read to
the end; everything is copied, and compared; then every place in the old stores is set to the new
log, so that an old service refuses to go on and an old sender finds nothing; and only then the
places in the new stores, which the new services need to begin. Each step finds out what an
interrupted one has done, so running it again completes it.
"""

from __future__ import annotations

from collections.abc import Callable, Mapping
from contextlib import ExitStack
from pathlib import Path
from typing import NamedTuple
from urllib.parse import unquote, urlsplit

from core.artifacts import open_artifacts
from core.errors import SettingsError, SlopewatchError
from core.eventlog import EventLog, open_log, partition_of
from core.events import OBSERVATIONS
from core.ledger import open_ledger, upgrade
from core.ledger.carrying import Outbox, Place
from core.ledger.ledger import Ledger
from core.notes import open_notes
from core.settings import Service
from core.stage import Bookmark
from core.statestore import States, open_states
from core.topics import TOPICS, topic_specs
from services.alerting.service import AlertingStage
from services.commands._moving_files import artifacts_named, copy_artifacts, copy_notes
from services.commands._moving_log import There, TopicCopy
from services.commands._moving_stages import OldHouse, note_progress, note_read
from services.commands._moving_stores import (
    copy_ledger,
    copy_states,
    ledger_marks,
    place_states,
    state_marks,
)
from services.inference.service import InferenceStage

Echo = Callable[[str], None]
INBOXES = {
    InferenceStage.name: InferenceStage.inbox,
    AlertingStage.name: AlertingStage.inbox,
}
PATIENCE_S = 60.0


class Stores(NamedTuple):
    """State and ledger, open."""

    states: States
    ledger: Ledger

    def marks(self) -> dict[str, dict[str, Bookmark]]:
        """By stage: the bookmark of every site."""
        return {
            InferenceStage.name: state_marks(self.states),
            AlertingStage.name: ledger_marks(self.ledger),
        }


def copy_log(
    service: Service,
    source: str,
    target: str,
    into: Mapping[str, str | None],
    echo: Echo,
    *,
    patience_s: float = PATIENCE_S,
) -> None:
    """Move the sites of `service` from the log `source` to the log `target`.

    `into` may name new places for `state`, `ledger`, `artifacts` and `memory`; what it does not
    name stays where it is. `patience_s`: how long to wait until the old readers are known to be
    gone. Raises SlopewatchError with what to do; run it again then.
    """
    old_service = service.model_copy(update={"log": source})
    given = {name: url for name, url in into.items() if url and url != getattr(service, name)}
    new_service = service.model_copy(update={"log": target, **given})
    with ExitStack() as closing:
        old = _open_old(source, closing)
        home, away = _open_stores(old_service, new_service, closing)
        new = _open_new(new_service, old, closing)
        _Move(old_service, new_service, old, new, home, away, echo, patience_s).run()
        partitions = new.topics()[OBSERVATIONS].partitions
    echo("moved; the settings of the new services:")
    for name in ("log", "state", "ledger", "artifacts", "memory"):
        echo(f"{name}: {getattr(new_service, name)}")
    echo(f"topics: {{partitions: {partitions}}}")


def _open_old(url: str, closing: ExitStack) -> EventLog:
    """The log that was used so far; opening makes none."""
    parts = urlsplit(url)
    if parts.scheme == "sqlite" and not Path(unquote(parts.path)).exists():
        raise SettingsError(f"there is no log {url}: name the one that was used so far")
    log = open_log(url)
    closing.callback(log.close)
    known = log.topics()
    if missing := [topic for topic in TOPICS if topic not in known]:
        raise SettingsError(f"the log {url} has no topic {missing[0]}: it was never used")
    return log


def _open_new(service: Service, old: EventLog, closing: ExitStack) -> EventLog:
    """The log to be, with all topics; those that are there keep their partitions."""
    log = open_log(str(service.log))
    closing.callback(log.close)
    known = log.topics()
    log.create_topics([spec for spec in topic_specs(service) if spec.name not in known])
    if log.topic_id(OBSERVATIONS) == old.topic_id(OBSERVATIONS):
        raise SettingsError(f"{service.log} is the log that was used so far: name another one")
    return log


def _open_stores(old: Service, new: Service, closing: ExitStack) -> tuple[Stores, Stores]:
    """The present stores, and those to be: the same objects where nothing moves."""
    states = open_states(str(old.state))
    closing.callback(states.close)
    ledger = open_ledger(str(old.ledger))
    closing.callback(ledger.close)
    home = away = Stores(states, ledger)
    if new.state != old.state:
        away = away._replace(states=open_states(str(new.state)))
        closing.callback(away.states.close)
    if new.ledger != old.ledger:
        upgrade(str(new.ledger))
        away = away._replace(ledger=open_ledger(str(new.ledger)))
        closing.callback(away.ledger.close)
    return home, away


class _Move:
    """One run of the command, with everything open."""

    def __init__(
        self,
        old_service: Service,
        new_service: Service,
        old: EventLog,
        new: EventLog,
        home: Stores,
        away: Stores,
        echo: Echo,
        patience_s: float,
    ) -> None:
        self._from = old_service
        self._to = new_service
        self._old = old
        self._new = new
        self._home = home
        self._away = away
        self._echo = echo
        self._patience_s = patience_s
        self._new_ids = {stage: new.topic_id(inbox) for stage, inbox in INBOXES.items()}

    def run(self) -> None:
        """Do what is left to do."""
        topics = self._topics()
        there = {topic.topic: topic.look() for topic in topics}
        missing = sorted({site for look in there.values() for site in look.missing})
        more = sorted({site for look in there.values() for site in look.more})
        begun = any(self._moved(self._home, stage) for stage in INBOXES)
        if more and (missing or not begun):
            raise SlopewatchError(
                f"the log {self._to.log} holds events of site {more[0]} that {self._from.log} "
                "does not: stop the new services and name an empty log"
            )
        if missing or not begun:
            topics, there = self._copy()
        self._set_places({topic: look.ends for topic, look in there.items()})
        if grown := sum(topic.grown() for topic in topics):
            raise SlopewatchError(
                f"the log {self._from.log} got {grown} records more while its sites moved: stop "
                "what still writes to it, then run this again"
            )

    def _topics(self) -> list[TopicCopy]:
        return [TopicCopy(self._old, self._new, topic) for topic in TOPICS]

    def _moved(self, stores: Stores, stage: str) -> set[str]:
        """Sites that stand on the new log."""
        marks = stores.marks()[stage]
        return {name for name, mark in marks.items() if mark.log_id == self._new_ids[stage]}

    def _copy(self) -> tuple[list[TopicCopy], dict[str, There]]:
        """Read the old log to its end, copy everything, and look that it is all there."""
        artifacts = open_artifacts(str(self._from.artifacts))
        house = OldHouse(
            self._from,
            self._old,
            artifacts,
            self._home.states,
            self._home.ledger,
            self._patience_s,
        )
        try:
            house.drain(lambda stage: self._moved(self._home, stage))
            topics = self._topics()
            self._copy_files()
            self._copy_stores()
            for topic in topics:
                look = topic.look()
                appended = topic.append(look, house.beat)
                self._echo(f"{topic.topic}: {appended} of {topic.records} records copied")
            there = {topic.topic: topic.check() for topic in topics}
            notes = open_notes(str(self._to.memory))
            for stage, inbox in INBOXES.items():
                found = there[inbox].ends
                note_read(self._new, stage, inbox, found, self._patience_s)
                ends = {p: found.get(p, 0) for p in range(self._new.topics()[inbox].partitions)}
                sites = self._home.marks()[stage].keys()
                note_progress(notes, stage, self._new_ids[stage], ends, sites)
        finally:
            house.close()
        if any(topic.grown() for topic in topics):
            raise SlopewatchError(
                f"the log {self._from.log} grew while it was copied: stop what still writes to "
                "it (ingest, an operator's command), then run this again"
            )
        return topics, there

    def _copy_files(self) -> None:
        if self._to.artifacts != self._from.artifacts:
            refs = artifacts_named(self._old, TOPICS)
            a, b = (open_artifacts(str(s.artifacts)) for s in (self._from, self._to))
            copy_artifacts(a, b, refs, self._echo)
        if self._to.memory != self._from.memory:
            copy_notes(str(self._from.memory), str(self._to.memory), self._echo)

    def _copy_stores(self) -> None:
        inference, alerting = InferenceStage.name, AlertingStage.name
        if self._away.states is not self._home.states:
            copy_states(
                self._home.states,
                self._away.states,
                self._old.topic_id(INBOXES[inference]),
                self._new_ids[inference],
                self._echo,
            )
        if self._away.ledger is not self._home.ledger:
            new_id = self._new_ids[alerting]
            copy_ledger(self._home.ledger, self._away.ledger, new_id, self._echo)

    def _set_places(self, ends: Mapping[str, Mapping[int, int]]) -> None:
        """The old stores first: from then on no old service works, and no new one before."""
        inference, alerting = InferenceStage.name, AlertingStage.name
        own_ledger = self._away.ledger is not self._home.ledger
        for stores in dict.fromkeys((self._home, self._away)):
            place_states(stores.states, self._places(stores, inference, ends))
            outbox: Outbox = "stays"
            if own_ledger:
                outbox = "held" if stores is self._home else "released"
            if places := self._places(stores, alerting, ends):
                stores.ledger.set_places(places, outbox)

    def _places(
        self, stores: Stores, stage: str, ends: Mapping[str, Mapping[int, int]]
    ) -> dict[str, Place]:
        """The end of its new partition for every site that does not stand on the new log."""
        inbox = INBOXES[stage]
        partitions = self._new.topics()[inbox].partitions
        places = {}
        for name in stores.marks()[stage].keys() - self._moved(stores, stage):
            partition = partition_of(name, partitions)
            last = ends[inbox].get(partition, 0) - 1
            places[name] = Place(self._new_ids[stage], partition, last)
        return dict(sorted(places.items()))
