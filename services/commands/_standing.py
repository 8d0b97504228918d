"""What stands of a site before a replay, read without changing it."""

from __future__ import annotations

from collections.abc import Iterable, Iterator
from contextlib import closing, contextmanager
from pathlib import Path
from typing import NamedTuple
from urllib.parse import unquote, urlsplit

import msgspec

from core.errors import BadInputError, SettingsError, SlopewatchError
from core.eventlog import EventLog, Record, partition_of
from core.events import ASSESSMENTS, OBSERVATIONS, Event, decode
from core.ledger import Decision, open_ledger
from core.settings import Service
from core.stage import Bookmark
from core.statestore import SiteRepository, equal, open_states
from services.inference.store import POSITION_ATTRS


class OutOfReachError(SlopewatchError):
    """The state cannot be looked at now; the message says why."""


class Standing(NamedTuple):
    """What the services have taken in and said of a site.

    `observations`: the values that inference has taken in, or all of the log where its state
    cannot be read; `bookmark` is None then, and `unread` says why. `outcomes`: what it said, by
    number. `assessments`: alerting's inbox. `decided`: alerting's place in it. `decisions`: the
    ledger's rows up to there.
    """

    observations: list[bytes]
    bookmark: Bookmark | None
    unread: str
    outcomes: dict[int, Event]
    assessments: list[bytes]
    decided: int
    decisions: list[Decision]


def standing(service: Service, log: EventLog, site: str) -> Standing:
    """Read it, each store before the log it reads from: a service that runs moves on meanwhile."""
    bookmark, last, unread = None, dict[int, Event](), ""
    try:
        with old_state(service, site) as state:
            bookmark = msgspec.convert(state.attrs()["bookmark"], Bookmark)
            last = outcomes_in(state.outcomes())
    except OutOfReachError as error:
        unread = str(error)
    with closing(open_ledger(str(service.ledger))) as ledger:
        view = ledger.state(site)
        decided = view.bookmark.seq if view else 0
        decisions = [row for row in ledger.decisions(site) if row.seq <= decided]
    assessments = [record.value for record in records_of(log, ASSESSMENTS, site)]
    observations = records_of(log, OBSERVATIONS, site)
    outcomes = outcomes_in(assessments)
    if bookmark is not None:
        observations = [record for record in observations if record.offset <= bookmark.offset]
        outcomes = last | outcomes
        outcomes = {n: outcomes[n] for n in sorted(outcomes) if n <= bookmark.given}
    values = [record.value for record in observations]
    return Standing(values, bookmark, unread, outcomes, assessments, decided, decisions)


def outcomes_in(values: Iterable[bytes]) -> dict[int, Event]:
    """Outcomes as a reader takes them: by number, the first of each number.

    What cannot be read is a dead letter of its reader, and missing here.
    """
    found: dict[int, Event] = {}
    for value in values:
        try:
            event = decode(value)
        except BadInputError:
            continue
        if event.number is not None:
            found.setdefault(event.number, event)
    return dict(sorted(found.items()))


@contextmanager
def old_state(service: Service, site: str) -> Iterator[SiteRepository]:
    """The site's state for reading; a folder stays locked only so long.

    Raises OutOfReachError where there is none or a running service holds its folder.
    """
    url = str(service.state)
    parts = urlsplit(url)
    if parts.scheme == "file" and not Path(unquote(parts.path)).is_dir():
        raise OutOfReachError(f"there is no state at {url}")
    try:
        states = open_states(url)
    except SettingsError as error:
        raise OutOfReachError(str(error)) from error
    with closing(states):
        if site not in states.sites():
            raise OutOfReachError(f"there is no state of {site} at {url}")
        with closing(states.open(site)) as state:
            if not state.attrs():
                raise OutOfReachError(f"the state of {site} at {url} is empty")
            yield state


def state_differences(service: Service, fresh: Service, site: str, then: Bookmark) -> list[str]:
    """What the state holds differently from that of the replay, positions left out.

    Raises OutOfReachError as `old_state` does, and where the service has moved on since `then`.
    """
    with (
        old_state(service, site) as old,
        closing(open_states(str(fresh.state))) as states,
        closing(states.open(site)) as new,
    ):
        if msgspec.convert(old.attrs()["bookmark"], Bookmark) != then:
            raise OutOfReachError("the service has moved on since: stop it, then replay again")
        return equal(old, new, POSITION_ATTRS)


def records_of(log: EventLog, topic: str, site: str) -> list[Record]:
    """What the topic holds of one site, in its order."""
    if topic not in log.topics():
        return []
    partition = partition_of(site, log.topics()[topic].partitions)
    return [record for record in log.read(topic, partition) if record.key == site]
