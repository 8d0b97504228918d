"""Moving house, the files: artifacts that events name, and ingest's notes."""

from __future__ import annotations

from collections.abc import Callable, Iterable, Iterator
from typing import Any

import msgspec
import typer

from core.artifacts import Artifacts
from core.errors import BadInputError
from core.eventlog import EventLog
from core.events import ArtifactRef

Echo = Callable[[str], None]


def artifacts_named(log: EventLog, topics: Iterable[str]) -> list[ArtifactRef]:
    """Every artifact that a record of the log names, in the order of their hashes.

    State and ledger name none that no event named. Events of a newer release are looked
    through as well; what is no JSON names nothing.
    """
    found: dict[str, ArtifactRef] = {}
    for topic in topics:
        for partition in log.end(topic):
            for record in log.read(topic, partition):
                found |= {ref.sha256: ref for ref in named_in(record.value)}
    return [found[name] for name in sorted(found)]


def named_in(value: bytes) -> Iterator[ArtifactRef]:
    """Every artifact that the event `value` names; none where it is no JSON."""
    try:
        event = msgspec.json.decode(value)
    except (msgspec.DecodeError, UnicodeDecodeError, RecursionError):
        return
    yield from _refs(event)


def copy_artifacts(
    source: Artifacts, target: Artifacts, refs: list[ArtifactRef], echo: Echo
) -> None:
    """Copy what `refs` name; a damaged one is told and left out, nobody could read it."""
    damaged = 0
    with typer.progressbar(refs, label="artifacts") as bar:
        for ref in bar:
            try:
                content = source.get(ref)
            except BadInputError as error:
                damaged += 1
                echo(f"left out: {error}")
                continue
            target.put(content)
    echo(f"artifacts: {len(refs) - damaged} copied")


def copy_notes(source: str, target: str, echo: Echo) -> None:
    """Copy what ingest has asked and said; were it lost, it would ask and say it again."""
    from core.notes import open_notes

    notes, copies = open_notes(source), open_notes(target)
    count = 0
    for name in notes.names():
        content = notes.get(name)
        if content is not None:
            copies.put(name, content)
            count += 1
    echo(f"memory: {count} notes copied")


def _refs(value: Any) -> Iterator[ArtifactRef]:
    match value:
        case {"sha256": str(sha256), "bytes": int(size)}:
            yield ArtifactRef(sha256=sha256, bytes=size)
        case dict():
            for item in value.values():
                yield from _refs(item)
        case list():
            for item in value:
                yield from _refs(item)
