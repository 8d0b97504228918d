"""What `make up` started, kept in a file: recognised and ended by process id, group and all."""

from __future__ import annotations

from collections.abc import Sequence
from pathlib import Path

import msgspec

from tools.engine import groups
from tools.engine.process import STOP_S, Server


class Started(msgspec.Struct, frozen=True):
    """A process that leads its own group; `born` tells it from a later one of the same number."""

    name: str
    address: str
    pid: int
    born: int
    log: str
    asks_to_end: int
    ends_as_group: bool

    @property
    def runs(self) -> bool:
        """Whether it is alive."""
        return groups.born(self.pid) == self.born

    def end(self) -> str:
        """End it and its group; how that went."""
        if not self.runs:
            # Without a leader the group is what it left; under another leader it is not ours.
            if groups.born(self.pid) is None and groups.members(self.pid):
                groups.end(self.pid, self.asks_to_end, everyone=True)
                return "had ended before, its children are ended now"
            return "had ended before"
        if groups.end(self.pid, self.asks_to_end, everyone=self.ends_as_group):
            return "ended"
        return f"did not end within {STOP_S:g} s and was killed"


def started(server: Server) -> Started:
    """The record of a server that runs."""
    return Started(
        name=server.name,
        address=server.address,
        pid=server.pid,
        born=groups.born(server.pid) or 0,
        log=str(server.log),
        asks_to_end=server.asks_to_end,
        ends_as_group=server.ends_as_group,
    )


def read(path: Path) -> list[Started]:
    """What was started, in its order; nothing where there is no file."""
    return msgspec.json.decode(path.read_bytes(), type=list[Started]) if path.exists() else []


def write(path: Path, parts: Sequence[Started]) -> None:
    """Keep it, whole or not at all."""
    fresh = path.with_suffix(".new")
    fresh.write_bytes(msgspec.json.format(msgspec.json.encode(list(parts))))
    fresh.replace(path)
