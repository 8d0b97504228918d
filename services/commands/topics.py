"""Making and listing the topics of the log."""

from __future__ import annotations

from collections.abc import Callable
from contextlib import closing

from core.eventlog import TopicSpec, open_log
from core.settings import Service
from core.topics import topic_specs

Echo = Callable[[str], None]


def create_topics(service: Service, echo: Echo) -> None:
    """Make the topics that are missing, as the settings say; a line for each topic."""
    with closing(open_log(str(service.log))) as log:
        before = log.topics()
        log.create_topics(topic_specs(service))
        for name, topic in log.topics().items():
            echo(f"{'there' if name in before else 'made '}  {_described(topic)}")


def list_topics(service: Service, echo: Echo) -> None:
    """A line for each topic that the log has, with the number of its records."""
    with closing(open_log(str(service.log))) as log:
        for name, topic in log.topics().items():
            first, end = log.beginning(name), log.end(name)
            echo(f"{_described(topic)}, {sum(end.values()) - sum(first.values())} records")


def _described(topic: TopicSpec) -> str:
    kept = "for ever" if topic.retention is None else f"{topic.retention.days} days"
    copies = f", on {topic.replication} brokers" if topic.replication else ""
    return f"{topic.name}: {topic.partitions} partitions, kept {kept}{copies}"
