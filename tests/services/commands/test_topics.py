"""Topics are made by a person on a broker, and by itself in an embedded log."""

from __future__ import annotations

from contextlib import closing
from pathlib import Path

import pytest

from core.errors import SettingsError
from core.eventlog import open_log
from core.settings import Service, Topics
from core.topics import TOPICS, make_ready
from services.commands.topics import create_topics, list_topics
from tests.contracts.eventlog_contract import append


def service_on(log: str, folder: Path, **topics: object) -> Service:
    return Service(data=folder, log=log, topics=Topics.model_validate(topics)).resolved()


def test_topics_on_a_broker_are_made_by_command(kafka_url: str, tmp_path: Path) -> None:
    service = service_on(kafka_url, tmp_path, partitions=2, dead_letters_days=30)
    with closing(open_log(kafka_url)) as log:
        with pytest.raises(SettingsError, match=r"observations, .*`slopewatch topics create`"):
            make_ready(log, service)
        assert not log.topics()
        said: list[str] = []
        create_topics(service, said.append)
        assert len(said) == len(TOPICS)
        assert "made   dead-letters: 2 partitions, kept 30 days, on 1 brokers" in said
        make_ready(log, service)
        append(log, "observations", [("site", b"1")])
        said.clear()
        create_topics(service, said.append)
        list_topics(service, said.append)
        assert [line.split()[0] for line in said[: len(TOPICS)]] == ["there"] * len(TOPICS)
        assert "observations: 2 partitions, kept for ever, on 1 brokers, 1 records" in said
        with pytest.raises(SettingsError, match=r"has 2 partitions and topics.partitions is 3"):
            make_ready(log, service_on(kafka_url, tmp_path, partitions=3))


def test_topics_on_a_broker_are_made_at_start_if_the_settings_say_so(
    kafka_url: str, tmp_path: Path
) -> None:
    with closing(open_log(kafka_url)) as log:
        make_ready(log, service_on(kafka_url, tmp_path, partitions=1, create=True))
        assert set(log.topics()) == set(TOPICS)


def test_an_embedded_log_makes_its_own_unless_told_not_to(tmp_path: Path) -> None:
    url = f"sqlite://{tmp_path}/log.db"
    with closing(open_log(url)) as log:
        with pytest.raises(SettingsError, match="topics create"):
            make_ready(log, service_on(url, tmp_path, create=False))
        make_ready(log, service_on(url, tmp_path))
        assert set(log.topics()) == set(TOPICS)
