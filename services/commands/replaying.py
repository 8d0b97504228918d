"""A site's log read again from the start, and compared with what stands, release by release.

Nothing that stands is changed: the copy of the inputs, the state, the ledger and the artifacts of
the replay lie in a new folder, and nothing is sent to anybody.
"""

from __future__ import annotations

from collections.abc import Callable, Iterable, Sequence
from contextlib import closing
from itertools import zip_longest
from pathlib import Path
from typing import NamedTuple

import msgspec

from core.artifacts import open_artifacts
from core.errors import SlopewatchError
from core.eventlog import open_log, partition_of
from core.events import ASSESSMENTS, OBSERVATIONS, Event, ReleaseActivated, type_of
from core.ledger import Decision
from core.settings import Service
from core.statestore import open_states
from services.commands._reruns import (
    Decided,
    Overlay,
    Taken,
    copied_log,
    decide_again,
    run_again,
)
from services.commands._standing import (
    OutOfReachError,
    Standing,
    outcomes_in,
    standing,
    state_differences,
)
from services.commands._stretches import (
    Judged,
    Part,
    Span,
    Stretch,
    Words,
    compare,
    cut,
    judge,
    table,
)
from services.compose import this_release
from services.inference.service import InferenceStage

Echo = Callable[[str], None]
SHOWN_A_STRETCH = 5
SHOWN_FIELDS = 3


class _Inferred(NamedTuple):
    """What inference took in again, and what it says now, by number."""

    taken: list[Taken]
    outcomes: dict[int, Event]


def replay_site(service: Service, site: str, into: Path, echo: Echo) -> bool:
    """Replay the inputs of `site` into the new folder `into`; False where what has to be equal
    is not: a stretch of the present release that begins as it began then.

    Inference reads the observations again and is compared with what it said. Alerting reads what
    was said then, with commands and deadlines at their places, and is compared with the ledger.
    """
    if into.exists() and any(into.iterdir()):
        raise SlopewatchError(f"{into} is not empty: name a new folder")
    with closing(open_log(str(service.log))) as log:
        then = standing(service, log, site)
    if not then.observations:
        raise SlopewatchError(f"the log has no events of site {site!r}")
    into.mkdir(parents=True, exist_ok=True)
    fresh = Service(data=into, thinning=service.thinning).resolved()
    own, old = (open_artifacts(str(one.artifacts)) for one in (fresh, service))
    inferred = _infer(fresh, Overlay(own, old), site, then)
    again = decide_again(fresh, Overlay(own, old), site, then.assessments)
    decided = again._replace(decisions=[r for r in again.decisions if r.seq <= then.decided])
    echo(f"replayed {len(then.observations)} observations of {site}")
    judged = judge(_stretches(then, inferred, decided, this_release(service)))
    for line in table(judged):
        echo(line)
    for one in judged:
        _explain(one, echo)
    proven = all(one.proven for one in judged)
    return _conclude(service, fresh, site, then, decided, judged, echo) and proven


def _infer(fresh: Service, artifacts: Overlay, site: str, then: Standing) -> _Inferred:
    with (
        closing(copied_log(str(fresh.log), OBSERVATIONS, site, then.observations)) as log,
        closing(open_states(str(fresh.state))) as states,
    ):
        stage = InferenceStage(states, artifacts, fresh.thinning)
        taken = run_again(stage, log, artifacts, len(then.observations))
        partition = partition_of(site, log.topics()[ASSESSMENTS].partitions)
        now = outcomes_in([record.value for record in log.read(ASSESSMENTS, partition)])
    if then.bookmark is None:
        # Where inference stands is not known: what it has not said yet is no difference.
        last = max(then.outcomes, default=0)
        now = {number: event for number, event in now.items() if number <= last}
    return _Inferred(taken, now)


def _stretches(
    then: Standing, inferred: _Inferred, decided: Decided, present: ReleaseActivated
) -> list[Stretch]:
    parts = zip_longest(
        cut(inferred.taken, lambda taken: taken.release),
        cut(then.outcomes.values(), _release_in),
        cut(inferred.outcomes.values(), _release_in),
        _places(decided.taken, then.decided),
    )
    found = []
    for number, (inputs, old, new, places) in enumerate(parts, start=1):
        release = next((part.release for part in (inputs, old, new) if part), None)
        here = places or range(0)
        found.append(
            Stretch(
                number,
                release,
                release == present,
                _span(inputs),
                compare(_outcomes(old), _outcomes(new)),
                compare(_rows(then.decisions, here), _rows(decided.decisions, here)),
            )
        )
    return found


def _places(taken: Sequence[Taken], end: int) -> list[range]:
    """The places of each stretch in alerting's order; the last goes on to `end`."""
    starts = [part.items[0].seq for part in cut(taken, lambda one: one.release) if part.items]
    stops = [*starts[1:], max(end, taken[-1].seq if taken else 0) + 1]
    return [range(*ends) for ends in zip(starts or [1], stops, strict=True)]


def _release_in(event: Event) -> ReleaseActivated | None:
    return event.data if isinstance(event.data, ReleaseActivated) else None


def _span(inputs: Part[Taken] | None) -> Span | None:
    if inputs is None or not inputs.items:
        return None
    first, last = inputs.items[0], inputs.items[-1]
    return Span(len(inputs.items), first.seq, last.seq, first.now, last.now)


def _outcomes(part: Part[Event] | None) -> Words:
    """By id, which is made of the cause: the same input's words, whatever their number."""
    return {
        event.id: (
            f"outcome {event.number} {event.data.NAME} of {event.valid_time:%Y-%m-%d}",
            {
                "type": type_of(event.data),
                "data": msgspec.to_builtins(event.data),
                "valid_time": event.valid_time.isoformat(),
                "available_at": event.available_at.isoformat(),
            },
        )
        for event in (part.items if part else ())
    }


def _rows(rows: Iterable[Decision], places: range) -> Words:
    return {
        str(row.seq): (f"decision {row.seq}", msgspec.json.decode(row.body))
        for row in rows
        if row.seq in places
    }


def _explain(one: Judged, echo: Echo) -> None:
    """The first differences of a stretch, field by field."""
    changed = one.stretch.changed
    where = f"stretch {one.stretch.number}"
    for what in changed[:SHOWN_A_STRETCH]:
        fields = "; ".join(map(str, what.fields[:SHOWN_FIELDS]))
        more = len(what.fields) - SHOWN_FIELDS
        echo(f"{where}, {what.label}: {fields}{f'; {more} more fields' if more > 0 else ''}")
    if len(changed) > SHOWN_A_STRETCH:
        echo(f"{where}: {len(changed) - SHOWN_A_STRETCH} more differences")
    if one.verdict.startswith("inherits"):
        echo(
            f"{where} begins from a state that an earlier stretch leaves differently now, and the "
            "state of then is not kept: its differences prove nothing for or against it"
        )


def _conclude(
    service: Service,
    fresh: Service,
    site: str,
    then: Standing,
    decided: Decided,
    judged: Sequence[Judged],
    echo: Echo,
) -> bool:
    """Compare the ends: the state where it can be read, and the whole chain of the ledger."""
    state = "not compared"
    differences: list[str] = []
    try:
        if then.bookmark is None:
            raise OutOfReachError(then.unread)
        differences = state_differences(service, fresh, site, then.bookmark)
        state = "differs" if differences else "equal"
    except OutOfReachError as error:
        echo(f"the state was not compared: {error}")
    for difference in differences:
        echo(f"state differs: {difference}")
    chain = then.decisions == decided.decisions
    echo(f"state: {state}; ledger: {'equal' if chain else 'differs'}")
    if not chain and not any(one.stretch.decisions.changed for one in judged):
        echo("the ledger's rows are equal and their chain is not: run `slopewatch ledger verify`")
        return False
    inherits = any(one.stretch.outcomes.changed for one in judged)
    return not differences or inherits or not judged[-1].stretch.present
