"""Reading the log, and the dead letters, from the command line."""

from __future__ import annotations

import base64
from collections.abc import Callable, Iterator
from contextlib import closing

import msgspec
import structlog

from core.artifacts import open_artifacts
from core.errors import SlopewatchError
from core.eventlog import EventLog, Record, open_log
from core.events import (
    DEAD_LETTERS,
    DeadLettered,
    Event,
    decode,
    encode,
    identity,
)
from core.settings import Service
from core.topics import TOPICS

Echo = Callable[[str], None]
SEND_TIMEOUT_S = 30.0


def records(log: EventLog, topic: str) -> Iterator[Record]:
    """All records of a topic, partition by partition."""
    if topic not in log.topics():
        raise SlopewatchError(f"no topic {topic!r}; the log has: {', '.join(sorted(log.topics()))}")
    for partition in range(log.topics()[topic].partitions):
        yield from log.read(topic, partition)


def events(log: EventLog, topic: str, site: str | None = None) -> Iterator[Event]:
    """All readable events of a topic, each id once."""
    seen = set()
    for record in records(log, topic):
        if site in {None, record.key}:
            try:
                event = decode(record.value)
            except SlopewatchError as error:
                place = f"{topic}/{record.partition}/{record.offset}"
                structlog.get_logger().warning("unreadable event", at=place, reason=str(error))
                continue
            if event.id not in seen:
                seen.add(event.id)
                yield event


def tail(service: Service, topic: str, site: str | None, count: int, echo: Echo) -> None:
    """One line for each of the newest `count` events."""
    with closing(_open(service)) as log:
        newest = sorted(events(log, topic, site), key=lambda e: (e.available_at, e.number or 0))
    for event in newest[-count:]:
        number = "" if event.number is None else f" #{event.number}"
        echo(
            f"{event.available_at:%Y-%m-%d %H:%M}  {event.id[:12]}  {event.site:20} "
            f"{event.data.NAME}{number}  {_summary(event)}"
        )


def show(service: Service, prefix: str, echo: Echo) -> None:
    """One event, whole, as indented JSON."""
    with closing(_open(service)) as log:
        found = [e for topic in TOPICS for e in events(log, topic) if e.id.startswith(prefix)]
    if not found:
        raise SlopewatchError(f"no event whose id starts with {prefix!r}")
    for event in found:
        echo(msgspec.json.format(encode(event), indent=2).decode())


def list_dead(service: Service, site: str | None, echo: Echo) -> None:
    """One line a dead letter."""
    with closing(_open(service)) as log:
        letters = list(events(log, DEAD_LETTERS, site))
    for event in letters:
        data = _letter(event)
        echo(
            f"{event.available_at:%Y-%m-%d %H:%M}  {event.id[:12]}  {event.site:20} "
            f"{data.code}  {data.origin}: {data.reason}"
        )
    echo(f"{len(letters)} dead letters")


def show_dead(service: Service, prefix: str, echo: Echo) -> None:
    """One dead letter with what it holds."""
    with closing(_open(service)) as log:
        event = _one_dead(log, prefix)
    data = _letter(event)
    echo(f"id      {event.id}\nsite    {event.site}\nat      {event.available_at}")
    echo(f"reason  {data.code}: {data.reason}\norigin  {data.origin}")
    echo(f"payload {payload(service, data)[:4096].decode(errors='replace')}")


def retry_dead(service: Service, prefix: str, echo: Echo) -> None:
    """Append the dead letter's event to the inbox it came from, with `retry_of`.

    An outcome's number was counted as taken when it became a dead letter, and its id with it: it
    goes again without number and under an id made of the letter's, so that it is taken in once.
    """
    with closing(_open(service)) as log:
        letter = _one_dead(log, prefix)
        data = _letter(letter)
        topic = data.origin.partition("/")[0]
        if topic not in TOPICS:
            raise SlopewatchError(
                f"dead letter {letter.id[:12]} is a row of the feed {topic}, not an event: mend "
                f"the feed's settings, then `slopewatch ingest poll {topic} --site {letter.site}`"
            )
        event = decode(payload(service, data))
        again = msgspec.structs.replace(event, retry_of=letter.id)
        if event.number is not None:
            again = msgspec.structs.replace(again, id=identity("retry", letter.id), number=None)
        producer = log.producer()
        producer.send(topic, event.site, encode(again)).wait(SEND_TIMEOUT_S)
        producer.close()
    echo(f"{event.data.NAME} of {event.site} is on {topic} again")


def payload(service: Service, data: DeadLettered) -> bytes:
    """The bytes that could not be used."""
    if data.artifact is not None:
        return open_artifacts(str(service.artifacts)).get(data.artifact)
    return base64.b64decode(data.payload or "")


def _one_dead(log: EventLog, prefix: str) -> Event:
    for event in events(log, DEAD_LETTERS):
        if event.id.startswith(prefix):
            return event
    raise SlopewatchError(f"no dead letter whose id starts with {prefix!r}")


def _letter(event: Event) -> DeadLettered:
    if not isinstance(event.data, DeadLettered):
        raise SlopewatchError(f"event {event.id} on {DEAD_LETTERS} is no dead letter")
    return event.data


def _summary(event: Event) -> str:
    names = ("day", "epoch", "unit", "level", "coverage", "code", "scene", "station", "reason")
    values = [(n, getattr(event.data, n, None)) for n in names]
    return " ".join(f"{n}={v}" for n, v in values if v is not None)[:120]


def _open(service: Service) -> EventLog:
    """The log, which must exist: reading makes none."""
    log = open_log(str(service.log))
    if not log.topics():
        log.close()
        raise SlopewatchError(f"the log {service.log} is empty: run `slopewatch run` first")
    return log
