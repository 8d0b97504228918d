"""What every backend demands of a topic's description."""

from __future__ import annotations

import re
from collections.abc import Mapping, Sequence
from datetime import timedelta
from typing import Final

from core.errors import SettingsError
from core.eventlog import TopicSpec

_NAME: Final = re.compile(r"[A-Za-z0-9._-]{1,249}")


def check(topics: Sequence[TopicSpec], there: Mapping[str, TopicSpec]) -> None:
    """Raise SettingsError for a bad topic, or another partition count than one that is `there`."""
    for topic in topics:
        if not _NAME.fullmatch(topic.name):
            raise SettingsError(
                f"topic name {topic.name!r}: takes 1 to 249 letters, digits, dots, underscores, "
                "hyphens"
            )
        if topic.partitions < 1:
            raise SettingsError(f"topic {topic.name!r}: takes at least one partition")
        if topic.retention is not None and topic.retention <= timedelta():
            raise SettingsError(f"topic {topic.name!r}: retention takes a time above 0, or none")
        known = there.get(topic.name)
        if known is not None and known.partitions != topic.partitions:
            raise SettingsError(
                f"topic {topic.name!r} has {known.partitions} partitions, not {topic.partitions}: "
                "the count is fixed at creation"
            )
