"""What a disturbed run must equal: an undisturbed one over the log that it left."""

from __future__ import annotations

import re
from collections import Counter
from contextlib import closing
from dataclasses import dataclass
from pathlib import Path

from core.clock import ReplayClock
from core.eventlog import EventLog, open_log
from core.events import ALERTS, ASSESSMENTS, DEAD_LETTERS, OBSERVATIONS
from core.ledger import QueuedNotification, open_ledger
from core.settings import Service
from core.statestore import open_states
from services.compose import Slopewatch
from tests.chaos.engine.cluster import Cluster
from tests.chaos.engine.season import SITES
from tests.pipeline import LATER, distinct, events_of, records_of, state_differences


@dataclass(frozen=True)
class Verdict:
    """What was lost, doubled or changed; every list is empty when all is well.

    `repeats`: mails and posts that came again under the id of the first, which is allowed after a
    kill or a stop; it is counted, never more often than those.
    """

    events: int
    decisions: int
    notifications: int
    lost: list[str]
    doubled: list[str]
    changed: list[str]
    repeats: int


def judge(cluster: Cluster, folder: Path) -> Verdict:
    """Compare what the cluster left with a run of its log in one process, from nothing."""
    service = _undisturbed(cluster.service, folder)
    with (
        closing(open_log(str(cluster.service.log))) as log,
        closing(open_log(str(service.log))) as clean,
        closing(open_ledger(str(cluster.service.ledger))) as ledger,
        closing(open_ledger(str(service.ledger))) as expected,
    ):
        changed = [f"chain: {fault}" for fault in ledger.verify()]
        changed += _differing("decisions", list(ledger.export()), list(expected.export()))
        for topic in (ASSESSMENTS, ALERTS):
            changed += _said_differently(log, clean, topic)
        changed += _dead(log, clean)
        changed += _states(cluster.service, service)
        told, due = ledger.notifications(), expected.notifications()
        lost, doubled = _delivered(cluster, told, due)
        return Verdict(
            events=len({e.id for e in events_of(log, OBSERVATIONS)}),
            decisions=sum(1 for _ in ledger.export()),
            notifications=len(due),
            lost=lost,
            doubled=[*doubled, *_numbered_twice(log)],
            changed=changed,
            repeats=cluster.mail.repeats + cluster.hook.repeats,
        )


def _undisturbed(disturbed: Service, folder: Path) -> Service:
    """Read the same observations in one process, with stores of its own."""
    service = Service(data=folder, backoff_s=0.1).resolved()
    service = service.model_copy(update={"artifacts": disturbed.artifacts})
    with (
        Slopewatch(service, roles=("inference", "alerting"), clock=ReplayClock(LATER)) as app,
        closing(open_log(str(disturbed.log))) as log,
    ):
        producer = app.log.producer()
        for site in SITES:
            for record in records_of(log, OBSERVATIONS, site):
                producer.send(OBSERVATIONS, site, record.value)
        producer.close()
        app.settle()
    return service


def _differing(what: str, found: list[bytes], expected: list[bytes]) -> list[str]:
    missing, extra = Counter(expected) - Counter(found), Counter(found) - Counter(expected)
    told = [f"{what}: {len(missing)} missing, {len(extra)} besides"] if missing or extra else []
    return told or ([f"{what}: another order"] if found != expected else [])


def _said_differently(log: EventLog, clean: EventLog, topic: str) -> list[str]:
    return [
        fault
        for site in SITES
        for fault in _differing(
            f"{topic} of {site}",
            distinct(records_of(log, topic, site)),
            distinct(records_of(clean, topic, site)),
        )
    ]


def _dead(log: EventLog, clean: EventLog) -> list[str]:
    """Dead letters by what they hold: their ids name places, which differ."""
    found, expected = (
        Counter(
            (e.site, e.data.code) for e in {e.id: e for e in events_of(one, DEAD_LETTERS)}.values()
        )
        for one in (log, clean)
    )
    return [f"dead letters: {found} instead of {expected}"] if found != expected else []


def _states(disturbed: Service, undisturbed: Service) -> list[str]:
    with (
        closing(open_states(str(disturbed.state))) as a,
        closing(open_states(str(undisturbed.state))) as b,
    ):
        if a.sites() != b.sites():
            return [f"states of {a.sites()} instead of {b.sites()}"]
        return [f"state of {s}: {d}" for s in SITES for d in state_differences(a, b, s)]


def _delivered(
    cluster: Cluster, told: list[QueuedNotification], due: list[QueuedNotification]
) -> tuple[list[str], list[str]]:
    """Notifications that nobody got, and what came under an id that was not due."""
    mails = Counter(_key(str(m["Message-ID"])) for m in cluster.mail.messages())
    posts = Counter(path.name.partition(".")[0] for path in cluster.hook.files())
    wanted = {row.id: row.channel for row in due}
    lost = [f"{row.channel} {row.id} {row.outcome}" for row in told if row.outcome != "sent"]
    lost += [f"{wanted[one]} {one}" for one in wanted if one not in mails and one not in posts]
    doubled = [f"not due: {one}" for one in (mails | posts) if one not in wanted]
    doubled += [f"twice: {one}" for one, count in (mails + posts).items() if count > 1]
    return lost, doubled


def _key(message_id: str) -> str:
    found = re.match(r"<([^@>]+)@", message_id)
    return found[1] if found else message_id


def _numbered_twice(log: EventLog) -> list[str]:
    """Outcomes of one site that share a number under two ids, or leave one out."""
    faults = []
    for topic in (ASSESSMENTS, ALERTS):
        for site in SITES:
            ids: dict[int, set[str]] = {}
            for event in events_of(log, topic, site):
                if event.number is not None:
                    ids.setdefault(event.number, set()).add(event.id)
            faults += [f"{topic}/{site}/{n}: {len(k)} ids" for n, k in ids.items() if len(k) > 1]
            if sorted(ids) != list(range(1, len(ids) + 1)):
                faults.append(f"{topic}/{site}: numbers with holes")
    return faults
