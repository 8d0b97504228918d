"""Appending to Kafka: idempotent, every wait limited, useless after the first failure."""

from __future__ import annotations

import threading
from collections.abc import Callable
from contextlib import suppress
from typing import Any, Final

from kafka import KafkaProducer
from kafka import errors as kafka

from core.errors import BadInputError, SettingsError, UnavailableError
from core.eventlog import ClosedError, partition_of
from core.eventlog._kafka_client import connected, in_our_words
from core.eventlog._kafka_settings import KafkaSettings

_DISCARD_S: Final = 1.0
_MOST_BYTES: Final = 64 << 20


class KafkaReceipt:
    """See `core.eventlog.Receipt`."""

    def __init__(self, future: Any) -> None:
        self._future = future

    def wait(self, timeout_s: float) -> tuple[int, int]:
        """See `core.eventlog.Receipt.wait`."""
        try:
            placed = self._future.get(timeout=timeout_s)
        except kafka.KafkaTimeoutError:
            raise UnavailableError(
                f"Kafka has not acknowledged a record within {timeout_s:g} s"
            ) from None
        except kafka.KafkaError as error:
            raise in_our_words(error) from error
        return placed.partition, placed.offset


class KafkaLogProducer:
    """See `core.eventlog.Producer`. Holds up to 64 MiB of records that are on their way.

    After one record has failed nothing more is taken or sent, so that what is missing is always
    the end: by itself kafka-python goes on with the records behind, and leaves a gap.
    """

    def __init__(self, settings: KafkaSettings, partitions: Callable[[str], int]) -> None:
        self._settings = settings
        self._partitions = partitions
        self._turn = threading.Lock()
        self._room = threading.Condition()
        self._under_way = 0
        self._closed = False
        self._failed: Exception | None = None
        self._producer = connected(KafkaProducer, settings.producer())

    def send(self, topic: str, key: str, value: bytes) -> KafkaReceipt:
        """See `core.eventlog.Producer.send`."""
        encoded = key.encode()
        weight, limit = len(encoded) + len(value), self._settings.max_record_bytes
        if weight > limit:
            raise BadInputError(
                f"a record for {topic} weighs {weight} bytes, larger than the {limit} bytes that "
                "max_record_bytes in the log's address allows"
            )
        partition = partition_of(key, self._partitions(topic))
        with self._turn:
            self._check()
            self._wait_for_room(weight)
            future = self._append(self._settings.topic(topic), partition, encoded, value)
        future.add_callback(self._arrived, weight)
        future.add_errback(self._lost)
        return KafkaReceipt(future)

    def _check(self) -> None:
        if self._closed:
            raise ClosedError("the producer was closed")
        if self._failed is not None:
            raise UnavailableError(f"an earlier record of this producer is lost: {self._failed}")

    def _wait_for_room(self, weight: int) -> None:
        """Take room for a record; kafka-python itself holds as much as it is given."""
        with self._room:
            self._room.wait_for(
                lambda: self._under_way < _MOST_BYTES or self._failed or self._closed,
                self._settings.answer_s,
            )
            self._check()
            if self._under_way >= _MOST_BYTES:
                raise UnavailableError(
                    f"Kafka has not taken {self._under_way >> 20} MiB of records within "
                    f"{self._settings.answer_s:g} s"
                )
            self._under_way += weight

    def _append(self, topic: str, partition: int, key: bytes, value: bytes) -> Any:
        try:
            return self._producer.send(topic, key=key, value=value, partition=partition)
        except (kafka.KafkaError, OSError) as error:
            self._lost(error)
            raise in_our_words(error) from error
        except ValueError as error:
            self._lost(error)
            raise SettingsError(f"topic {topic}: {error}") from error

    def _arrived(self, weight: int, _: Any) -> None:
        with self._room:
            self._under_way -= weight
            self._room.notify_all()

    def _lost(self, error: Exception) -> None:
        """Stop for good, at once: kafka-python calls this before it looks for what to send next."""
        with self._room:
            self._failed = self._failed or error
            self._room.notify_all()
        self._stop()

    def _stop(self) -> None:
        # `close` would flush first, and after an outage that hangs; no public way is left.
        self._producer._sender.force_close()

    def discard(self) -> None:
        """See `core.eventlog.Producer.discard`."""
        with self._room:
            self._closed = True
            self._room.notify_all()
        self._stop()
        self._producer._sender.join(_DISCARD_S)
        self._end(0.0)

    def close(self, timeout_s: float = 10) -> None:
        """See `core.eventlog.Producer.close`."""
        if self._closed:
            return
        with self._turn:
            self._closed = True
        try:
            self._producer.flush(timeout_s)
        except (kafka.KafkaError, OSError) as error:
            self.discard()
            raise UnavailableError(
                f"Kafka has not taken everything within {timeout_s:g} s: {error}"
            ) from error
        self._end(_DISCARD_S)
        if self._failed is not None:
            raise in_our_words(self._failed)

    def _end(self, timeout_s: float) -> None:
        """Give threads and sockets back; there is nothing left to append."""
        with suppress(kafka.KafkaError, OSError):
            self._producer.close(timeout_s)
