"""The topics of the log: one inbox for each reading stage, and the dead letters."""

from __future__ import annotations

from datetime import timedelta
from urllib.parse import urlsplit

from core.errors import SettingsError
from core.eventlog import EventLog, TopicSpec
from core.events import ALERTS, ASSESSMENTS, DEAD_LETTERS, OBSERVATIONS
from core.settings import Service

TOPICS = (OBSERVATIONS, ASSESSMENTS, ALERTS, DEAD_LETTERS)
EMBEDDED = ("memory", "sqlite")
"""Logs that belong to one slopewatch, which makes their topics by itself."""


def topic_specs(service: Service) -> list[TopicSpec]:
    """The topics as the settings make them; all but the dead letters are kept for ever."""
    made, days = service.topics, service.topics.dead_letters_days
    kept = {DEAD_LETTERS: None if days is None else timedelta(days=days)}
    return [TopicSpec(t, made.partitions, kept.get(t), made.replication) for t in TOPICS]


def make_ready(log: EventLog, service: Service) -> None:
    """Make the topics that are missing, or on a broker see that none is.

    Raises SettingsError where a person must make them, or where they have another number of
    partitions than the settings say.
    """
    create = service.topics.create
    if create is None:
        create = urlsplit(str(service.log)).scheme in EMBEDDED
    if create:
        log.create_topics(topic_specs(service))
        return
    there = log.topics()
    if missing := [topic for topic in TOPICS if topic not in there]:
        raise SettingsError(
            f"the log {service.log} has no topic {', '.join(missing)}: make them with "
            "`slopewatch topics create`"
        )
    for topic in TOPICS:
        if there[topic].partitions != service.topics.partitions:
            raise SettingsError(
                f"topic {topic} has {there[topic].partitions} partitions and topics.partitions is "
                f"{service.topics.partitions}: write the number that it has into the settings"
            )
