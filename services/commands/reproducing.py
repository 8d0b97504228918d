"""`slopewatch alerts reproduce`: rules and decisions run again on the inputs that were recorded.

Alerting is a function of a site's inputs. They lie on the log and in the artifacts, so any machine
that has both makes the same decision rows and messages, to the byte, with the code that made them.
"""

from __future__ import annotations

import tempfile
from collections.abc import Callable, Mapping
from contextlib import closing
from pathlib import Path
from typing import NamedTuple

import msgspec

from core.artifacts import open_artifacts
from core.errors import SlopewatchError
from core.eventlog import open_log
from core.events import ASSESSMENTS
from core.ledger import open_ledger
from core.settings import Service
from services.alerting.state import Release
from services.commands._case import Book, Case, find_case
from services.commands._differences import Difference, differences
from services.commands._reruns import Decided, Overlay, dead_letters, decide_again
from services.commands._standing import records_of
from services.compose import this_release

Echo = Callable[[str], None]


class _Differs(NamedTuple):
    """A decision or message that came out differently."""

    what: str
    first: str


def reproduce(service: Service, name: str, echo: Echo) -> bool:
    """Run the decisions of an alert again; whether they and its messages are equal to the byte.

    Raises `SlopewatchError` where there is no such alert, where a release with other code made it,
    and where its inputs are out of reach.
    """
    with closing(open_ledger(str(service.ledger))) as ledger:
        book, case = find_case(ledger, name)
    echo(f"alert {case.id}: {len(case.rows)} decisions, made by {_made_by(case)}")
    with tempfile.TemporaryDirectory(prefix="slopewatch-") as folder:
        now, unused = _again(service, case.site, Path(folder))
    differ = _differences(book, case, now)
    if not differ:
        echo(f"run again on {len(now.taken)} recorded inputs: equal to the byte")
        return True
    many = f"{len(differ)} decisions and messages differ" if len(differ) > 1 else "one differs"
    echo(f"run again on {len(now.taken)} recorded inputs: {many}, the first:")
    echo(f"{differ[0].what}: {differ[0].first}")
    for line in (*unused, *_inherited(book, case, now)):
        echo(line)
    return False


def _made_by(case: Case) -> str:
    """The releases that made the alert. Raises `SlopewatchError` for one with other code."""
    present, named = this_release(), []
    for row in case.rows:
        if row.facts["release"] is None:
            named.append("a release that was never named")
            continue
        release = msgspec.convert(row.facts["release"], Release)
        words = f"{release.code} / {release.model} / {release.thresholds}"
        if release.code != present.code:
            raise SlopewatchError(
                f"decision {row.seq} of alert {case.id} was made by release {words}, and this is "
                f"{present.code}: run `slopewatch alerts reproduce {case.id}` with slopewatch "
                f"{release.code}"
            )
        named.append(f"release {words}")
    return ", then ".join(dict.fromkeys(named))


def _again(service: Service, site: str, folder: Path) -> tuple[Decided, list[str]]:
    """What alerting makes of the site's inputs now, and which of them it cannot use any more."""
    with closing(open_log(str(service.log))) as log:
        values = [record.value for record in records_of(log, ASSESSMENTS, site)]
        known = dead_letters(log, site)
    if not values:
        raise SlopewatchError(
            f"the log {service.log} has no {ASSESSMENTS} of {site}: run this where its log is"
        )
    fresh = Service(data=folder).resolved()
    own, old = (open_artifacts(str(one.artifacts)) for one in (fresh, service))
    now = decide_again(fresh, Overlay(own, old), site, values)
    return now, [
        f"an input cannot be used any more, {one}" for one in now.unused if one not in known
    ]


def _differences(book: Book, case: Case, now: Decided) -> list[_Differs]:
    """What of the alert came out differently, in order."""
    rows = {row.seq: row for row in now.decisions}
    messages = {row.id: row.message for row in now.notifications}
    places = {row.seq for row in case.rows}
    found = []
    for row in case.rows:
        again = rows.get(row.seq)
        if again is None or again != row.row:
            body = row.row.body
            found.append(
                _Differs(f"decision {row.seq}", _first(body, again.body if again else None))
            )
    for one in book.notifications.values():
        if one.seq in places and messages.get(one.id) != one.message:
            found.append(_Differs(f"message {one.id}", _first(one.message, messages.get(one.id))))
    return found


def _first(then: str, now: str | None) -> str:
    """The first difference of two texts of JSON, in words."""
    if now is None:
        return "it does not come out at all"
    try:
        found: Difference | None = next(differences(*map(msgspec.json.decode, (then, now))), None)
    except msgspec.DecodeError:
        return "what is stored is no JSON"
    if found is not None:
        return str(found)
    if then != now:
        return "the same content in other bytes"
    return "the same content with another hash: run `slopewatch ledger verify`"


def _inherited(book: Book, case: Case, now: Decided) -> list[str]:
    """Whether the alert began from a state that earlier decisions leave differently now."""
    again: Mapping[int, str] = {row.seq: row.body for row in now.decisions}
    for row in book.rows:
        if row.seq < case.opened and again.get(row.seq) != row.row.body:
            release = row.facts["release"]
            made_by = f"release {release['code']}" if release else "a release never named"
            return [
                f"already decision {row.seq} of {case.site}, made by {made_by} before the alert, "
                "comes out differently; the state that the alert began from is not kept, so this "
                "proves nothing for or against it"
            ]
    return []
