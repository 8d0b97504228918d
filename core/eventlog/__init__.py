"""The event log: topics of partitions of ordered records, read by consumer groups.

Nothing above this package knows which backend it talks to. The promises below are Kafka's and
no stronger: order within one partition only, at-least-once reading, a group's committed offset
as a lower bound, one owner a partition except for a member that was stopped for longer than its
lease and has not noticed. Values are bytes; what they mean is decided elsewhere.

A backend is one module here, named as its scheme in the URL, with `open(url) -> EventLog`.
Modules that begin with an underscore are parts of backends.
"""

from __future__ import annotations

import importlib
import pkgutil
import zlib
from collections.abc import Collection, Iterator, Mapping, Sequence
from dataclasses import dataclass, field
from datetime import datetime, timedelta
from typing import NamedTuple, Protocol, cast

from core.errors import ConflictError, SettingsError, SlopewatchError

__all__ = [
    "AssignmentListener",
    "ClosedError",
    "Consumer",
    "EventLog",
    "FencedError",
    "NotOwnerError",
    "Producer",
    "Receipt",
    "Record",
    "TopicSpec",
    "open_log",
    "partition_of",
    "range_assignment",
    "schemes",
]


class ClosedError(SlopewatchError):
    """The log, producer or consumer was closed or discarded before this call."""


class FencedError(SlopewatchError):
    """Another process joined the group under the same member id; this one must stop."""


class NotOwnerError(ConflictError):
    """The partition is not, or no longer, this member's: it was handed to another."""


class Record(NamedTuple):
    """One record of a log; `offset` counts from 0 within the partition and is never reused."""

    topic: str
    partition: int
    offset: int
    key: str
    value: bytes


@dataclass(frozen=True)
class TopicSpec:
    """A topic: its partition count is fixed at creation; `retention` None keeps it for ever.

    Names hold 1 to 249 letters, digits, dots, underscores or hyphens. `replication` is how many
    brokers hold each record, None as many as the log does by itself; it is set at creation only,
    and a log without brokers takes no notice of it.
    """

    name: str
    partitions: int = 8
    retention: timedelta | None = None
    replication: int | None = field(default=None, compare=False)


class Receipt(Protocol):
    """What `Producer.send` returns: the way to learn that the record is on the log."""

    def wait(self, timeout_s: float) -> tuple[int, int]:
        """Return (partition, offset) once the record survives a power loss.

        Raises UnavailableError when that is not certain within `timeout_s` seconds, or the
        producer was discarded; the record may be on the log all the same, now or later.
        """
        ...


class Producer(Protocol):
    """Appends records; may be shared by threads.

    Records that one producer sends under one key are appended in that order. Nothing is certain
    before a receipt's `wait` or `close` has returned: sends may be held back until then. After
    one failure discard the producer, because later sends can be appended where earlier ones
    were lost.
    """

    def send(self, topic: str, key: str, value: bytes) -> Receipt:
        """Take a record for `topic`, into the partition given by `partition_of(key, ...)`.

        Raises SettingsError for an unknown topic, BadInputError for a record larger than the
        log takes, UnavailableError when the log takes no more just now (this record may be on
        it all the same), ClosedError after `close` or `discard`.
        """
        ...

    def discard(self) -> None:
        """Throw the producer away without flushing; what was not yet appended may be lost."""
        ...

    def close(self, timeout_s: float = 10) -> None:
        """Append what is still held, then close.

        Raises UnavailableError when that took longer than `timeout_s` seconds; the producer is
        closed even so.
        """
        ...


class AssignmentListener(Protocol):
    """Told, inside `Consumer.poll`, which partitions come and go; may seek, pause and commit.

    Every change of the group revokes all of a member's partitions and then assigns all of its
    new ones, those it keeps included (Kafka's eager `range`). An exception leaves `poll`; the
    consumer should then be closed.
    """

    def on_assigned(self, partitions: set[int]) -> None:
        """These, and no others, are the member's now; the set may be empty."""
        ...

    def on_revoked(self, partitions: set[int]) -> None:
        """These are about to go, or have gone when the lease had ended; never empty.

        While they are only about to go a `commit` is still taken; afterwards it raises
        NotOwnerError or FencedError.
        """
        ...


class Consumer(Protocol):
    """One member of a group, reading one topic; used by one thread.

    It joins on its first `poll`. `poll` also keeps the membership: handling may take up to the
    lease between two polls; longer work pauses its partitions and keeps polling. A member silent
    for longer than its lease loses its partitions to the others.
    """

    def poll(self, max_records: int, timeout_s: float) -> list[Record]:
        """Return the next records, in order within each partition, perhaps fewer than there are.

        Waits up to `timeout_s` seconds for the first; an empty list says that there was none or
        that the group is being rearranged. Reading starts at the committed offset, else at the
        earliest record; a position outside the log goes back to the earliest. Raises FencedError
        when another process took this member id, UnavailableError when the log is out of reach,
        ClosedError after `close`.
        """
        ...

    def seek(self, partition: int, offset: int) -> None:
        """Read `partition` from `offset` on; NotOwnerError when it is not this member's."""
        ...

    def pause(self, partitions: Collection[int]) -> None:
        """Return nothing of these until `resume` or the next assignment; else NotOwnerError."""
        ...

    def resume(self, partitions: Collection[int]) -> None:
        """Read these again from where they stood; NotOwnerError when not this member's."""
        ...

    def commit(self, offsets: Mapping[int, int]) -> None:
        """Note for the group the next offset to read of each partition; only a lower bound.

        All are noted or none. Raises NotOwnerError when a partition is not this member's or the
        group has moved on without it, FencedError, UnavailableError.
        """
        ...

    def committed(self, partition: int) -> int | None:
        """Return the group's committed offset of `partition`, None when there is none."""
        ...

    def assignment(self) -> frozenset[int]:
        """Return the partitions assigned by the last `poll`."""
        ...

    def close(self) -> None:
        """Leave the group, so that the partitions move at once; calls no listener."""
        ...


class EventLog(Protocol):
    """A connection to one log; may be shared by threads."""

    @property
    def max_record_bytes(self) -> int:
        """What key and value of one record may weigh together, in bytes."""
        ...

    def topic_id(self, topic: str) -> str:
        """Return the identity of the topic: the same for every connection, never given again.

        A position is worth something in the topic with this identity alone: it is another one
        when the topic, or the whole log, was created anew. Raises SettingsError for an unknown
        topic.
        """
        ...

    def create_topics(self, topics: Sequence[TopicSpec]) -> None:
        """Create what is missing and set the retention of what is there.

        Raises SettingsError for a bad name or another partition count than the topic has; then
        nothing is created or changed.
        """
        ...

    def topics(self) -> Mapping[str, TopicSpec]:
        """Return the topics by name."""
        ...

    def producer(self) -> Producer:
        """Return a new producer."""
        ...

    def consumer(
        self, topic: str, group: str, member: str, listener: AssignmentListener | None = None
    ) -> Consumer:
        """Return a new consumer of `topic` in `group`, with the static id `member`.

        The id is unique in the group over all topics: a second process with the same id fences
        the first. A process that comes back under its id within the lease takes its partitions
        again without disturbing the others. Raises SettingsError for an unknown topic.
        """
        ...

    def read(
        self, topic: str, partition: int, start: int = 0, stop: int | None = None
    ) -> Iterator[Record]:
        """Yield the records of `start <= offset < stop`, no group involved.

        `stop` None is the end at the time of the call. What retention has removed is left out.
        Raises SettingsError for an unknown topic or partition.
        """
        ...

    def beginning(self, topic: str) -> dict[int, int]:
        """Return, by partition, the offset of the earliest record still kept."""
        ...

    def end(self, topic: str) -> dict[int, int]:
        """Return, by partition, the offset that the next record will get."""
        ...

    def expire(self, now: datetime) -> int:
        """Remove what was appended before `now` minus its topic's retention; return how many.

        `now` is aware. Only the oldest records of a partition go, never one from the middle; a
        log that applies retention by itself may remove fewer.
        """
        ...

    def close(self) -> None:
        """Close the connection; close its producers and consumers before."""
        ...


class _Backend(Protocol):
    def open(self, url: str) -> EventLog: ...


def partition_of(key: str, partitions: int) -> int:
    """Return the partition of `key` among `partitions`: CRC-32 of its UTF-8 bytes, modulo.

    The same in every backend and for ever: another hash would break each site's order.
    """
    return zlib.crc32(key.encode()) % partitions


def range_assignment(members: Collection[str], partitions: int) -> dict[str, frozenset[int]]:
    """Return each member's partitions: contiguous ranges over the sorted ids (Kafka's `range`).

    The first `partitions % len(members)` members get one more than the others.
    """
    assigned: dict[str, frozenset[int]] = {}
    start = 0
    for rank, member in enumerate(sorted(members)):
        size = partitions // len(members) + (rank < partitions % len(members))
        assigned[member] = frozenset(range(start, start + size))
        start += size
    return assigned


def schemes() -> list[str]:
    """Return the known URL schemes: the names of the backend modules."""
    return sorted(m.name for m in pkgutil.iter_modules(__path__) if not m.name.startswith("_"))


def open_log(url: str) -> EventLog:
    """Open the log at `url`, such as `memory://` or `sqlite:///var/lib/slopewatch/log.db`.

    Raises SettingsError for an unknown scheme or a bad URL, UnavailableError when the log is out
    of reach, NewerVersionError when a newer version of the product made it.
    """
    scheme, separator, _ = url.partition("://")
    if not separator or scheme not in schemes():
        known = ", ".join(f"{name}://" for name in schemes())
        raise SettingsError(f"event log url {url!r} has no known scheme; known are {known}")
    backend = cast("_Backend", importlib.import_module(f"{__name__}.{scheme}"))
    return backend.open(url)
