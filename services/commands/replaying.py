"""A site's log read again from the start, and compared with what stands."""

from __future__ import annotations

from collections.abc import Callable
from contextlib import closing
from pathlib import Path

from core.errors import SlopewatchError
from core.eventlog import open_log
from core.events import OBSERVATIONS
from core.ledger import open_ledger
from core.settings import Service
from core.statestore import equal, open_states
from services.compose import TOPICS, Slopewatch
from services.inference.store import POSITION_ATTRS

SEND_TIMEOUT_S = 60.0


def replay_site(service: Service, site: str, into: Path, echo: Callable[[str], None]) -> bool:
    """Replay the observations of `site` into the new folder `into`; whether all is equal.

    The replay brings its own log, state and ledger; nothing is sent to anybody.
    """
    if into.exists() and any(into.iterdir()):
        raise SlopewatchError(f"{into} is not empty: name a new folder")
    fresh = Service(data=into, sites=service.sites, thinning=service.thinning).resolved()
    fresh = fresh.model_copy(update={"artifacts": service.artifacts})
    into.mkdir(parents=True, exist_ok=True)
    copied = _copy(service, fresh, site)
    if not copied:
        raise SlopewatchError(f"the log has no events of site {site!r}")
    with Slopewatch(fresh, roles=["inference", "alerting"]) as app:
        app.settle()
    echo(f"replayed {copied} observations of {site}")
    return _compare(service, fresh, site, echo)


def _copy(service: Service, fresh: Service, site: str) -> int:
    """The site's observations and what alerting was told from outside, in their order."""
    count = 0
    with closing(open_log(str(service.log))) as old, closing(open_log(str(fresh.log))) as new:
        new.create_topics(TOPICS)
        producer = new.producer()
        for partition in range(old.topics()[OBSERVATIONS].partitions):
            for record in old.read(OBSERVATIONS, partition):
                if record.key == site:
                    receipt = producer.send(OBSERVATIONS, site, record.value)
                    count += 1
        if count:
            receipt.wait(SEND_TIMEOUT_S)
        producer.close()
    return count


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
