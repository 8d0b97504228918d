"""The log in a backup: each partition as segments of records, packed; a full one never changes.

Topics are copied against the stream, what is said before what it was said of: every outcome in a
copy has its cause in it. Were it the other way round, a restored stage would meet outcomes of
observations that are lost, and say others under their numbers.
"""

from __future__ import annotations

import itertools
import re
import zlib
from collections.abc import Iterable, Iterator, Mapping
from typing import Final

import msgspec
import typer

from core.errors import BadInputError, SlopewatchError
from core.eventlog import EventLog, Record
from core.events import ALERTS, ASSESSMENTS, DEAD_LETTERS, OBSERVATIONS
from services.commands._backup_place import Partition, Segment, Topic, Vault
from services.commands._moving_files import named_in

ORDER: Final = (ALERTS, ASSESSMENTS, OBSERVATIONS, DEAD_LETTERS)
"""Dead letters last: a record that is in the copy has its letter in it too."""
SEGMENT_RECORDS: Final = 2_000
SEGMENT_BYTES: Final = 4 << 20

Row = tuple[int, str, bytes]
_SHA256 = re.compile(r"[0-9a-f]{64}")
_ROWS = msgspec.msgpack.Decoder(list[Row])


def copy_log(log: EventLog, before: Mapping[str, Topic], vault: Vault) -> dict[str, Topic]:
    """Copy every topic as far as it reaches now; what the backup `before` holds is not read."""
    with typer.progressbar(ORDER, label="log") as topics:
        return {topic: _copy_topic(log, topic, before.get(topic), vault) for topic in topics}


def _copy_topic(log: EventLog, topic: str, before: Topic | None, vault: Vault) -> Topic:
    identity = log.topic_id(topic)
    begin, end = log.beginning(topic), log.end(topic)
    known = before.partitions if before is not None and before.id == identity else ()
    partitions = []
    for partition, stop in sorted(end.items()):
        old = known[partition].segments if partition < len(known) else ()
        kept = _still_good(old, begin[partition], stop, vault)
        start = kept[-1].stop if kept else begin[partition]
        made = _segments(log, topic, partition, start, stop, vault)
        partitions.append(Partition(begin[partition], stop, (*kept, *made)))
    return Topic(identity, tuple(partitions))


def _still_good(
    segments: tuple[Segment, ...], begin: int, stop: int, vault: Vault
) -> tuple[Segment, ...]:
    """Full segments from the front on, as far as they are there and hold what the log holds."""
    good: list[Segment] = []
    for one in segments:
        fits = begin <= one.first and one.stop <= stop
        if not (fits and _is_full(one.records, one.plain) and one.piece.sha256 in vault.there()):
            break
        good.append(one)
    return tuple(good) if good and good[0].first == begin else ()


def _is_full(records: int, plain: int) -> bool:
    return records >= SEGMENT_RECORDS or plain >= SEGMENT_BYTES


def _segments(
    log: EventLog, topic: str, partition: int, start: int, stop: int, vault: Vault
) -> Iterator[Segment]:
    if start >= stop:
        return
    rows: list[Row] = []
    plain, first = 0, start
    for record in log.read(topic, partition, start, stop):
        rows.append((record.offset, record.key, record.value))
        plain += len(record.key.encode()) + len(record.value)
        if _is_full(len(rows), plain):
            yield _segment(vault, first, record.offset + 1, rows, plain)
            first, rows, plain = record.offset + 1, [], 0
    if first < stop:
        yield _segment(vault, first, stop, rows, plain)


def _segment(vault: Vault, first: int, stop: int, rows: list[Row], plain: int) -> Segment:
    packed = zlib.compress(msgspec.msgpack.encode(rows))
    return Segment(first, stop, len(rows), plain, vault.keep(packed))


class BackedUpLog:
    """The log of a backup, read like a log. Raises BadInputError where it is damaged."""

    def __init__(self, vault: Vault, topics: Mapping[str, Topic]) -> None:
        self._vault = vault
        self._topics = topics

    def topic_id(self, topic: str) -> str:
        """Identity that the topic had."""
        return self._topics[topic].id

    def end(self, topic: str) -> dict[int, int]:
        """By partition the offset after the last record."""
        return {p: one.stop for p, one in enumerate(self._topics[topic].partitions)}

    def read(
        self, topic: str, partition: int, start: int = 0, stop: int | None = None
    ) -> Iterator[Record]:
        """Records of `start <= offset < stop` in their order, with the offsets that they had."""
        for segment in self._topics[topic].partitions[partition].segments:
            if segment.stop <= start or (stop is not None and segment.first >= stop):
                continue
            for offset, key, value in rows_of(self._vault, segment):
                if start <= offset and (stop is None or offset < stop):
                    yield Record(topic, partition, offset, key, value)


def rows_of(vault: Vault, segment: Segment) -> list[Row]:
    """What a segment holds; BadInputError where that is not what the manifest says of it."""
    packed = vault.fetch(segment.piece)
    # Names, lengths and offsets of a row take less than its own bytes and 64 more.
    most = segment.plain + 64 * segment.records + 64
    try:
        unpacker = zlib.decompressobj()
        rows = _ROWS.decode(unpacker.decompress(packed, most))
    except (zlib.error, msgspec.MsgspecError, UnicodeDecodeError) as error:
        raise BadInputError(f"a segment of the log cannot be unpacked: {error}") from error
    offsets = [offset for offset, _, _ in rows]
    inside = all(segment.first <= offset < segment.stop for offset in offsets)
    rising = all(a < b for a, b in itertools.pairwise(offsets))
    if not (len(rows) == segment.records and inside and rising):
        raise BadInputError(
            f"a segment of the log holds other records than {segment.first} to {segment.stop}"
        )
    return rows


def names_in(rows: Iterable[Row]) -> set[str]:
    """Hashes of all artifacts that records name."""
    named = {ref.sha256 for _, _, value in rows for ref in named_in(value)}
    return {sha256 for sha256 in named if _SHA256.fullmatch(sha256)}


def check_gapless(topics: Mapping[str, Topic]) -> None:
    """Raise SlopewatchError unless every topic is there and its segments lie end to end."""
    if missing := [topic for topic in ORDER if topic not in topics]:
        raise SlopewatchError(f"the backup has no topic {missing[0]}")
    for name, topic in topics.items():
        for number, partition in enumerate(topic.partitions):
            at = partition.begin
            for segment in partition.segments:
                if segment.first != at:
                    raise SlopewatchError(
                        f"{name}/{number}: records {at} to {segment.first} are missing"
                    )
                at = segment.stop
            if at != partition.stop:
                raise SlopewatchError(f"{name}/{number}: the records from {at} on are missing")
