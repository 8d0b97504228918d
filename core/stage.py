"""What one reading stage is: its inbox, its store of each site, and its pure handler."""

from __future__ import annotations

from collections.abc import Iterable, Sequence
from datetime import datetime
from typing import Generic, NamedTuple, Protocol, TypeVar

import msgspec

from core.events import Event, EventData

S = TypeVar("S")


class Bookmark(msgspec.Struct, frozen=True, kw_only=True):
    """Where a stage stands in one site's inbox; stored in the commit that holds the state.

    `offset`: last record taken in, of `partition` of the inbox whose identity is `log_id`. `seq`:
    distinct inputs so far. `taken`: last number taken from the stage before; `given`: last number
    given to an outcome. `now`: latest `available_at` seen, the handlers' time.
    """

    log_id: str
    partition: int
    offset: int
    seq: int
    taken: int
    given: int
    now: datetime


class Outcome(NamedTuple):
    """What a handler says: the payload and the moment it speaks of."""

    data: EventData
    valid_time: datetime


class Input(NamedTuple):
    """One distinct input: the event, its place `seq` in the site's order, and `now`."""

    event: Event
    seq: int
    now: datetime


class Held(NamedTuple, Generic[S]):
    """A site as its store holds it; `bookmark` is None before the first commit."""

    state: S
    bookmark: Bookmark | None
    outcomes: tuple[Event, ...]


class SiteStore(Protocol[S]):
    """One site's durable state, held by one worker at a time."""

    def open(self) -> Held[S]:
        """Read the present state, the bookmark and the outcomes of the last commit.

        Raises `NewerVersionError` for a state written by a newer release.
        """
        ...

    def seen(self, event_id: str) -> bool:
        """Whether an input with this id was taken in by a commit."""
        ...

    def commit(
        self, state: S, bookmark: Bookmark, ids: Sequence[str], outcomes: Sequence[Event]
    ) -> S:
        """Store all of it at once and return the state as stored.

        `ids` are the inputs taken in since the last commit. Raises `ConflictError` when another
        worker committed since `open`, `UnavailableError` when the store is out of reach.
        """
        ...

    def close(self) -> None:
        """Let go of the site."""
        ...


class Stage(Protocol[S]):
    """One consuming stage. `handle` is a function of its arguments and of nothing else.

    One without an `outbox` looks on: it says nothing, and what it cannot use it leaves to the stage
    whose inbox it shares.
    """

    name: str
    inbox: str

    @property
    def outbox(self) -> str | None:
        """The topic of its outcomes."""
        ...

    def sites(self) -> Iterable[str]:
        """Names of all sites the stage's store knows."""
        ...

    def store(self, site: str) -> SiteStore[S]:
        """The store of one site; nothing is opened yet."""
        ...

    def handle(self, state: S, given: Input) -> tuple[S, Sequence[Outcome]]:
        """New state and outcomes. Reads no clock; raises only errors of `core.errors`."""
        ...
