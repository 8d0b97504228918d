"""One member of a Kafka group: classic protocol, `range`, static id, positions of our own."""

from __future__ import annotations

from collections.abc import Callable, Collection, Mapping
from typing import Any, Final

from kafka import KafkaConsumer, OffsetAndMetadata, TopicPartition
from kafka import errors as kafka
from kafka.coordinator.assignors.range import RangePartitionAssignor

from core.errors import UnavailableError
from core.eventlog import AssignmentListener, ClosedError, FencedError, NotOwnerError, Record
from core.eventlog._kafka_client import connected, in_our_words, trouble
from core.eventlog._kafka_membership import Membership
from core.eventlog._kafka_settings import KafkaSettings

_GONE: Final = (
    kafka.CommitFailedError,
    kafka.UnknownMemberIdError,
    kafka.IllegalGenerationError,
    kafka.RebalanceInProgressError,
)
_BEAT_S: Final = 1.0
_END_MS: Final = 1000


class KafkaLogConsumer:
    """See `core.eventlog.Consumer`. Holds up to 16 MiB of records that were fetched ahead.

    The heart beats in a thread of kafka-python's, so a member that works for long keeps its
    partitions for `poll_s`, and one whose process stands still loses them after `lease_s`.
    """

    def __init__(
        self,
        settings: KafkaSettings,
        *,
        topic: str,
        group: str,
        member: str,
        listener: AssignmentListener | None,
        leave: Callable[[str, str, str], None],
    ) -> None:
        self._settings = settings
        self._topic = topic
        self._name = settings.topic(topic)
        self._member = member
        self._group = settings.topic(group)
        self._listener = listener
        self._leave = leave
        self._answer_ms = round(settings.answer_s * 1000)
        self._held: frozenset[int] = frozenset()
        self._fenced = False
        self._closed = False
        self._consumer = connected(
            KafkaConsumer,
            settings.consumer(
                group_id=self._group,
                group_instance_id=member,
                partition_assignment_strategy=(RangePartitionAssignor,),
                session_timeout_ms=round(settings.lease_s * 1000),
                # A member hears from its heartbeat that partitions are shared out anew.
                heartbeat_interval_ms=round(min(settings.lease_s / 4, _BEAT_S) * 1000),
                max_poll_interval_ms=round(settings.poll_s * 1000),
            ),
        )
        self._membership = Membership(self._consumer, self._revoked)
        try:
            with trouble():
                self._consumer.subscribe([self._name], listener=self._membership)
                # Before joining: who shares partitions out and knows of none has to do it again.
                self._consumer.end_offsets([self._place(0)], timeout_ms=self._answer_ms)
        except BaseException:
            self._end()
            raise

    def poll(self, max_records: int, timeout_s: float) -> list[Record]:
        """See `core.eventlog.Consumer.poll`."""
        self._live()
        if self._fenced or self._membership.silenced:
            raise self._put_out()
        self._membership.go_on()
        try:
            found = self._consumer.poll(round(timeout_s * 1000), max_records=max_records)
        except kafka.FencedInstanceIdError:
            raise self._put_out() from None
        except (kafka.KafkaError, OSError) as error:
            raise in_our_words(error) from error
        if failure := self._membership.take_failure():
            raise failure
        assigned = self._membership.take_assigned()
        if assigned is None:
            return [record_of(self._topic, one) for every in found.values() for one in every]
        self._begin(assigned, found)
        return []

    def _begin(self, assigned: frozenset[int], found: Mapping[Any, Any]) -> None:
        """Take new partitions over; what was fetched of them already is read again.

        The listener runs here, in the thread that polls: opening sites may take long, and calls
        back.
        """
        for partition, records in found.items():
            self._consumer.seek(partition, records[0].offset)
        self._held = assigned
        if self._listener is not None:
            self._listener.on_assigned(set(assigned))

    def _revoked(self, partitions: frozenset[int]) -> None:
        held = self._held & partitions
        try:
            if held and self._listener is not None:
                self._listener.on_revoked(set(held))
        finally:
            self._held -= partitions

    def seek(self, partition: int, offset: int) -> None:
        """See `core.eventlog.Consumer.seek`."""
        self._check({partition})
        self._consumer.seek(self._place(partition), offset)

    def pause(self, partitions: Collection[int]) -> None:
        """See `core.eventlog.Consumer.pause`."""
        self._check(partitions)
        self._consumer.pause(*map(self._place, partitions))

    def resume(self, partitions: Collection[int]) -> None:
        """See `core.eventlog.Consumer.resume`."""
        self._check(partitions)
        self._consumer.resume(*map(self._place, partitions))

    def commit(self, offsets: Mapping[int, int]) -> None:
        """See `core.eventlog.Consumer.commit`."""
        if self._fenced:
            raise self._put_out()
        self._check(offsets)
        given = {self._place(p): OffsetAndMetadata(o, "", -1) for p, o in offsets.items()}
        try:
            self._consumer.commit(given, timeout_ms=self._answer_ms)
        except kafka.FencedInstanceIdError:
            raise self._put_out() from None
        except _GONE as error:
            raise NotOwnerError(
                f"member {self._member!r} of {self._group}: the group has moved on without it, its "
                "lease ran out or partitions are being shared out anew"
            ) from error
        except (kafka.KafkaError, OSError) as error:
            raise in_our_words(error) from error

    def committed(self, partition: int) -> int | None:
        """See `core.eventlog.Consumer.committed`."""
        self._live()
        with trouble():
            offset = self._consumer.committed(self._place(partition), timeout_ms=self._answer_ms)
        return None if offset is None or offset < 0 else int(offset)

    def assignment(self) -> frozenset[int]:
        """See `core.eventlog.Consumer.assignment`."""
        return self._held

    def close(self) -> None:
        """See `core.eventlog.Consumer.close`.

        A static member does not leave by itself: it is asked out by name, and by the id that the
        broker gave this process, so that one which took its place stays.
        """
        if self._closed:
            return
        self._closed = True
        self._held = frozenset()
        joined = self._consumer.group_metadata().member_id
        try:
            with trouble():
                self._end()
                if joined and not self._fenced:
                    self._leave(self._group, self._member, joined)
        except UnavailableError:
            # Nobody to say it to: the partitions move when the lease has ended.
            return

    def _end(self) -> None:
        self._consumer.close(autocommit=False, timeout_ms=_END_MS)

    def _live(self) -> None:
        if self._closed:
            raise ClosedError("the consumer was closed")

    def _check(self, partitions: Collection[int]) -> None:
        self._live()
        if foreign := sorted(set(partitions) - self._held):
            raise NotOwnerError(
                f"member {self._member!r} of {self._group} does not hold partitions {foreign} of "
                f"{self._topic}: its lease ran out, or they went to another"
            )

    def _put_out(self) -> FencedError:
        self._fenced = True
        held, self._held = self._held, frozenset()
        if held and self._listener is not None:
            self._listener.on_revoked(set(held))
        return FencedError(
            f"another process joined {self._group} as member {self._member!r}: this one must stop"
        )

    def _place(self, partition: int) -> Any:
        return TopicPartition(self._name, partition)


def record_of(topic: str, found: Any) -> Record:
    """A record as it came; what has no key, no value or no readable key is a stranger's."""
    key = (found.key or b"").decode(errors="replace")
    return Record(topic, found.partition, found.offset, key, found.value or b"")
