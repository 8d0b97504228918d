"""A site's log read again from the start, and compared with what stands."""

from __future__ import annotations

from collections.abc import Callable, Sequence
from contextlib import closing
from itertools import islice
from pathlib import Path

from core.errors import SlopewatchError
from core.eventlog import EventLog, open_log, partition_of
from core.events import ASSESSMENTS, OBSERVATIONS, decode
from core.ledger import open_ledger
from core.settings import Service
from core.statestore import equal, open_states
from services.compose import TOPICS, Slopewatch
from services.inference.store import POSITION_ATTRS

SEND_TIMEOUT_S = 60.0


def replay_site(service: Service, site: str, into: Path, echo: Callable[[str], None]) -> bool:
    """Replay the inputs of `site` into the new folder `into`; whether all is equal.

    Inference reads the observations again. Alerting reads what inference says now, and between it
    what came from outside (commands, deadlines) at the places where it came then. The replay brings
    its own logs, state and ledger; nothing is sent to anybody.
    """
    if into.exists() and any(into.iterdir()):
        raise SlopewatchError(f"{into} is not empty: name a new folder")
    fresh = Service(data=into, sites=service.sites, thinning=service.thinning).resolved()
    fresh = fresh.model_copy(update={"artifacts": service.artifacts})
    into.mkdir(parents=True, exist_ok=True)
    told = fresh.model_copy(update={"log": f"sqlite://{fresh.data}/assessments.db"})
    with (
        closing(open_log(str(service.log))) as old,
        closing(open_log(str(fresh.log))) as log,
        closing(open_log(str(told.log))) as second,
    ):
        observations = _values(old, OBSERVATIONS, site)
        if not observations:
            raise SlopewatchError(f"the log has no events of site {site!r}")
        _write(log, OBSERVATIONS, site, observations)
        with Slopewatch(fresh, roles=["inference"]) as app:
            app.settle()
        said = _values(log, ASSESSMENTS, site)
        _write(second, ASSESSMENTS, site, _merged(_values(old, ASSESSMENTS, site), said))
        with Slopewatch(told, roles=["alerting"]) as app:
            app.settle()
    echo(f"replayed {len(observations)} observations of {site}")
    return _compare(service, fresh, site, echo)


def _values(log: EventLog, topic: str, site: str) -> list[bytes]:
    """What the topic holds of one site, in its order."""
    if topic not in log.topics():
        return []
    partition = partition_of(site, log.topics()[topic].partitions)
    return [record.value for record in log.read(topic, partition) if record.key == site]


def _write(log: EventLog, topic: str, site: str, values: Sequence[bytes]) -> None:
    log.create_topics(TOPICS)
    producer = log.producer()
    receipts = [producer.send(topic, site, value) for value in values]
    for receipt in receipts:
        receipt.wait(SEND_TIMEOUT_S)
    producer.close()


def _merged(then: Sequence[bytes], now: Sequence[bytes]) -> list[bytes]:
    """What inference says now, and from then what has no number, each before the same number."""
    merged: list[bytes] = []
    rest = iter(now)
    highest = 0
    for value in then:
        number = _number(value)
        if number is None:
            merged.append(value)
        elif number > highest:
            highest = number
            merged += islice(rest, 1)
    return [*merged, *rest]


def _number(value: bytes) -> int | None:
    """Place among inference's outcomes; none for what is from outside or cannot be read."""
    try:
        return decode(value).number
    except SlopewatchError:
        return None


def _compare(service: Service, fresh: Service, site: str, echo: Callable[[str], None]) -> bool:
    with (
        closing(open_states(str(service.state))) as old,
        closing(open_states(str(fresh.state))) as new,
    ):
        differences = equal(old.open(site), new.open(site), POSITION_ATTRS)
    with (
        closing(open_ledger(str(service.ledger))) as a,
        closing(open_ledger(str(fresh.ledger))) as b,
    ):
        same = list(a.export(site)) == list(b.export(site))
    for difference in differences:
        echo(f"state differs: {difference}")
    echo(
        f"state: {'differs' if differences else 'equal'}; ledger: {'equal' if same else 'differs'}"
    )
    return same and not differences
