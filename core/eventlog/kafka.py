"""`kafka://host:port[,host:port]/name`: a log on Apache Kafka, for many machines.

Made with kafka-python. `name` precedes the names of topics and groups, so that several systems may
share a cluster. Security, leases and limits are settings in the URL, see
`core.eventlog._kafka_settings.KafkaSettings`; passwords come from the environment.

Sources: https://kafka.apache.org/documentation/ (protocol guarantees, topic settings) and
https://kafka-python.readthedocs.io/ (the client).
"""

from __future__ import annotations

import threading
import time
from collections.abc import Callable, Iterator, Mapping, Sequence
from datetime import datetime, timedelta
from functools import partial
from typing import Any, Final, TypeVar

from kafka import KafkaAdminClient, KafkaConsumer, TopicPartition
from kafka import errors as kafka
from kafka.admin import ConfigResource, MemberToRemove, OffsetSpec

from core.errors import SettingsError, UnavailableError
from core.eventlog import AssignmentListener, ClosedError, Record, TopicSpec
from core.eventlog._kafka_client import connected, trouble
from core.eventlog._kafka_consumer import KafkaLogConsumer, record_of
from core.eventlog._kafka_producer import KafkaLogProducer
from core.eventlog._kafka_settings import OVERHEAD_BYTES, KafkaSettings
from core.eventlog._topics import check

T = TypeVar("T")
_KEPT_FOR_EVER: Final = -1
_SAFE_REPLICATION: Final = 3
_GLANCE_MS: Final = 10
_SLICE_MS: Final = 200
_RECONNECT_S: Final = 2.0


def open(url: str) -> KafkaLog:
    """Open the log at `kafka://host:port[,host:port]/name?...`.

    Raises SettingsError for a bad URL or a refused login, UnavailableError when no broker answers.
    """
    return KafkaLog(KafkaSettings.from_url(url))


class KafkaLog:
    """See `core.eventlog.EventLog`."""

    def __init__(self, settings: KafkaSettings) -> None:
        self._settings = settings
        self._turn = threading.RLock()
        self._known: dict[str, dict[str, Any]] = {}
        self._closed = False
        self._admin = connected(KafkaAdminClient, settings.client)
        try:
            self._cluster: str = self._ask(lambda: self._admin.describe_cluster()["cluster_id"])
        except BaseException:
            self._admin.close()
            raise

    @property
    def max_record_bytes(self) -> int:
        """See `core.eventlog.EventLog.max_record_bytes`."""
        return self._settings.max_record_bytes

    def topic_id(self, topic: str) -> str:
        """See `core.eventlog.EventLog.topic_id`: the cluster's id and the topic's own."""
        return f"{self._cluster}/{self._described(topic, fresh=True)['topic_id']}"

    def create_topics(self, topics: Sequence[TopicSpec]) -> None:
        """See `core.eventlog.EventLog.create_topics`."""
        there = self.topics()
        check(topics, there)
        missing = {
            self._settings.topic(t.name): self._made(t) for t in topics if t.name not in there
        }
        changed = [t for t in topics if t.name in there and there[t.name] != t]
        if missing:
            self._ask(lambda: self._admin.create_topics(missing, validate_only=True))
            self._ask(lambda: self._admin.create_topics(missing, wait_for_metadata=True))
        for topic in changed:
            self._ask(partial(self._admin.alter_configs, [self._retention(topic)]))

    def _made(self, topic: TopicSpec) -> dict[str, Any]:
        safe = (topic.replication or 0) >= _SAFE_REPLICATION
        return {
            "num_partitions": topic.partitions,
            "replication_factor": topic.replication or -1,
            "configs": {
                "cleanup.policy": "delete",
                # Whatever a stranger compresses with can be read here.
                "compression.type": "uncompressed",
                "retention.ms": str(_retention_ms(topic)),
                "retention.bytes": "-1",
                "max.message.bytes": str(self._settings.max_record_bytes + OVERHEAD_BYTES),
                **({"min.insync.replicas": "2"} if safe else {}),
            },
        }

    def _retention(self, topic: TopicSpec) -> Any:
        name = self._settings.topic(topic.name)
        return ConfigResource("topic", name, {"retention.ms": str(_retention_ms(topic))})

    def topics(self) -> Mapping[str, TopicSpec]:
        """See `core.eventlog.EventLog.topics`."""
        found = self._ask(self._admin.describe_topics)
        ours = {
            plain: topic
            for topic in found
            if (plain := self._settings.plain(topic["name"])) is not None
        }
        if not ours:
            return {}
        asked = [ConfigResource("topic", topic["name"]) for topic in ours.values()]
        kept = self._ask(lambda: self._admin.describe_configs(asked, config_filter="all"))["topic"]
        return {
            plain: TopicSpec(
                plain,
                len(topic["partitions"]),
                _kept_for(int(kept[topic["name"]]["retention.ms"]["value"])),
                len(topic["partitions"][0]["replica_nodes"]),
            )
            for plain, topic in sorted(ours.items())
        }

    def producer(self) -> KafkaLogProducer:
        """See `core.eventlog.EventLog.producer`."""
        self._live()
        return KafkaLogProducer(self._settings, self._partitions)

    def consumer(
        self, topic: str, group: str, member: str, listener: AssignmentListener | None = None
    ) -> KafkaLogConsumer:
        """See `core.eventlog.EventLog.consumer`."""
        self._partitions(topic)
        return KafkaLogConsumer(
            self._settings,
            topic=topic,
            group=group,
            member=member,
            listener=listener,
            leave=self._remove,
        )

    def _remove(self, group: str, member: str, joined: str) -> None:
        leaver = MemberToRemove(member_id=joined, group_instance_id=member)
        self._ask(lambda: self._admin.remove_group_members(group, [leaver]))

    def read(
        self, topic: str, partition: int, start: int = 0, stop: int | None = None
    ) -> Iterator[Record]:
        """See `core.eventlog.EventLog.read`."""
        count = self._partitions(topic)
        if not 0 <= partition < count:
            raise SettingsError(f"topic {topic!r} has partitions 0 to {count - 1}, not {partition}")
        first = max(start, self.beginning(topic)[partition])
        end = self.end(topic)[partition]
        return self._read(topic, partition, first, end if stop is None else min(stop, end))

    def _read(self, topic: str, partition: int, start: int, stop: int) -> Iterator[Record]:
        """Records up to `stop`; an offset that holds none (a marker of the broker's) is passed."""
        if start >= stop:
            return
        place = TopicPartition(self._settings.topic(topic), partition)
        reader = connected(KafkaConsumer, self._settings.consumer(retry_backoff_ms=_GLANCE_MS))
        try:
            reader.assign([place])
            reader.seek(place, start)
            position, deadline = start, time.monotonic() + self._settings.answer_s
            while position < stop:
                with trouble():
                    found = reader.poll(_SLICE_MS).get(place, [])
                    reached = reader.position(place, timeout_ms=_SLICE_MS) or position
                for one in found:
                    if one.offset >= stop:
                        return
                    yield record_of(topic, one)
                if reached > position:
                    position, deadline = reached, time.monotonic() + self._settings.answer_s
                elif time.monotonic() > deadline:
                    raise UnavailableError(
                        f"Kafka gives nothing of {topic}/{partition} from {position} on within "
                        f"{self._settings.answer_s:g} s"
                    )
        finally:
            reader.close(autocommit=False, timeout_ms=1000)

    def beginning(self, topic: str) -> dict[int, int]:
        """See `core.eventlog.EventLog.beginning`."""
        return self._extents(topic, OffsetSpec.EARLIEST)

    def end(self, topic: str) -> dict[int, int]:
        """See `core.eventlog.EventLog.end`."""
        return self._extents(topic, OffsetSpec.LATEST)

    def expire(self, now: datetime) -> int:
        """See `core.eventlog.EventLog.expire`: brokers do it by themselves, in their own time."""
        return 0

    def close(self) -> None:
        """See `core.eventlog.EventLog.close`."""
        if not self._closed:
            self._closed = True
            self._admin.close()

    def _extents(self, topic: str, which: Any) -> dict[int, int]:
        name = self._settings.topic(topic)
        places = {TopicPartition(name, p): which for p in range(self._partitions(topic))}
        found = self._ask(lambda: self._admin.list_partition_offsets(places))
        return {place.partition: at.offset for place, at in sorted(found.items())}

    def _partitions(self, topic: str) -> int:
        return len(self._described(topic)["partitions"])

    def _described(self, topic: str, *, fresh: bool = False) -> dict[str, Any]:
        """What the broker says of a topic; partition counts never change, so it is asked once."""
        self._live()
        if fresh or topic not in self._known:
            found = {t["name"]: t for t in self._ask(self._admin.describe_topics)}
            known = {p: t for name, t in found.items() if (p := self._settings.plain(name))}
            if topic not in known:
                raise SettingsError(
                    f"topic {topic!r} is not on the log; create it first (known: "
                    f"{', '.join(sorted(known)) or 'none yet'})"
                )
            self._known = known
        return self._known[topic]

    def _ask(self, question: Callable[[], T]) -> T:
        """Ask the broker, one question at a time; a lost connection is given time to come back."""
        self._live()
        deadline = time.monotonic() + min(_RECONNECT_S, self._settings.answer_s)
        with self._turn, trouble():
            while True:
                try:
                    return question()
                except kafka.InvalidReplicationFactorError as error:
                    raise SettingsError(
                        f"topics.replication: the cluster refuses it: {error}"
                    ) from error
                except kafka.NodeNotReadyError:
                    # Raised before anything is sent.
                    if time.monotonic() > deadline:
                        raise
                    time.sleep(_GLANCE_MS / 1000)

    def _live(self) -> None:
        if self._closed:
            raise ClosedError("the log was closed")


def _retention_ms(topic: TopicSpec) -> int:
    if topic.retention is None:
        return _KEPT_FOR_EVER
    return topic.retention // timedelta(milliseconds=1)


def _kept_for(milliseconds: int) -> timedelta | None:
    return None if milliseconds < 0 else timedelta(milliseconds=milliseconds)
