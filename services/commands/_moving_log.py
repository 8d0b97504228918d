"""Moving house, the log: every record of a topic into another log, per site in order.

What counts is the order of a site, so two logs are compared site by site: the target must hold,
of every site, the first records of the source and nothing else. That is what an interrupted copy
leaves, whatever the two partition counts are.
"""

from __future__ import annotations

import hashlib
from collections import Counter
from collections.abc import Callable, Iterator, Mapping
from dataclasses import dataclass, field
from typing import Protocol

from core.errors import SlopewatchError
from core.eventlog import EventLog, Receipt, Record

SEND_TIMEOUT_S = 60.0
CHUNK_RECORDS = 500
MARK_BYTES = 16


class Source(Protocol):
    """What a topic is copied from: a log, or a backup of one."""

    def topic_id(self, topic: str) -> str:
        """See `core.eventlog.EventLog.topic_id`."""
        ...

    def end(self, topic: str) -> dict[int, int]:
        """See `core.eventlog.EventLog.end`."""
        ...

    def read(
        self, topic: str, partition: int, start: int = 0, stop: int | None = None
    ) -> Iterator[Record]:
        """See `core.eventlog.EventLog.read`."""
        ...


@dataclass(frozen=True)
class There:
    """What the target holds of a topic.

    `copied`: records of each site that are there; `missing`: sites of which some are not yet;
    `more`: sites of which the target holds more than the source. `ends`: by partition, the offset
    after the last copied record.
    """

    copied: Mapping[str, int]
    missing: frozenset[str]
    more: frozenset[str]
    ends: Mapping[int, int]


@dataclass
class TopicCopy:
    """One topic on its way from `old` to `new`, as far as `old` reached when this was made."""

    old: Source
    new: EventLog
    topic: str
    end: dict[int, int] = field(init=False)
    marks: dict[str, bytearray] = field(init=False)

    def __post_init__(self) -> None:
        self.end = self.old.end(self.topic)
        self.marks = {}
        for partition, stop in self.end.items():
            for record in self.old.read(self.topic, partition, stop=stop):
                self.marks.setdefault(record.key, bytearray()).extend(_mark(record.value))

    @property
    def records(self) -> int:
        """How many records there are to copy."""
        return sum(map(len, self.marks.values())) // MARK_BYTES

    def grown(self) -> int:
        """How many records the source got since."""
        return sum(self.old.end(self.topic).values()) - sum(self.end.values())

    def look(self) -> There:
        """Read the target; SlopewatchError where a site has other records than in the source."""
        found: Counter[str] = Counter()
        ends: dict[int, int] = {}
        for partition in self.new.end(self.topic):
            for record in self.new.read(self.topic, partition):
                place = found[record.key] * MARK_BYTES
                expected = self.marks.get(record.key, b"")[place : place + MARK_BYTES]
                found[record.key] += 1
                if expected:
                    if expected != _mark(record.value):
                        raise self._other(record.key)
                    ends[partition] = record.offset + 1
        wanted = {key: len(marks) // MARK_BYTES for key, marks in self.marks.items()}
        return There(
            copied={key: min(count, wanted.get(key, 0)) for key, count in found.items()},
            missing=frozenset(key for key, count in wanted.items() if found[key] < count),
            more=frozenset(key for key, count in found.items() if count > wanted.get(key, 0)),
            ends=ends,
        )

    def append(self, there: There, beat: Callable[[], None]) -> int:
        """Append what is missing; returns how much. `beat` is called every few hundred records."""
        left = Counter(there.copied)
        producer = self.new.producer()
        receipts: list[Receipt] = []
        appended = 0
        try:
            for partition, stop in self.end.items():
                for record in self.old.read(self.topic, partition, stop=stop):
                    if left[record.key]:
                        left[record.key] -= 1
                        continue
                    receipts.append(producer.send(self.topic, record.key, record.value))
                    appended += 1
                    if len(receipts) >= CHUNK_RECORDS:
                        _settle(receipts)
                        beat()
            _settle(receipts)
        except BaseException:
            producer.discard()
            raise
        producer.close(SEND_TIMEOUT_S)
        return appended

    def check(self) -> There:
        """Read the target again: now it must hold exactly the source's records."""
        there = self.look()
        if there.missing or there.more:
            raise self._other(min(there.missing | there.more))
        return there

    def _other(self, key: str) -> SlopewatchError:
        return SlopewatchError(
            f"topic {self.topic} of the new log holds other records of site {key} than the old "
            "log: stop what writes to it and name an empty log, or remove its topics"
        )


def _mark(value: bytes) -> bytes:
    return hashlib.blake2b(value, digest_size=MARK_BYTES).digest()


def _settle(receipts: list[Receipt]) -> None:
    for receipt in receipts:
        receipt.wait(SEND_TIMEOUT_S)
    receipts.clear()
