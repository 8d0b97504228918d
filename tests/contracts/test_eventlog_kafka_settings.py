"""What a Kafka log's address may hold, what becomes of it, and that no password is ever shown."""

from __future__ import annotations

import gc
import logging
from pathlib import Path

import pytest
from kafka import KafkaConsumer, KafkaProducer

from core.errors import SettingsError, UnavailableError
from core.eventlog import open_log
from core.eventlog._kafka_settings import KEY_PASSWORD, PASSWORD, KafkaSettings
from tools.engine.process import free_port

SECRET = "correct-horse-battery"


def read(rest: str = "", hosts: str = "broker:9092") -> KafkaSettings:
    return KafkaSettings.from_url(f"kafka://{hosts}/{rest}")


def test_an_address_may_name_several_brokers_and_a_name() -> None:
    found = read("valley", "one:9092,two:9093")
    assert found.client["bootstrap_servers"] == ["one:9092", "two:9093"]
    assert found.topic("observations") == "valley.observations"
    assert found.plain("valley.observations") == "observations"
    assert found.plain("valleys.observations") is found.plain("observations") is None
    assert found.client["security_protocol"] == "PLAINTEXT"


def test_a_name_may_be_left_out() -> None:
    for found in (read(), KafkaSettings.from_url("kafka://broker:9092")):
        assert found.topic("observations") == found.plain("observations") == "observations"
        assert found.plain("__consumer_offsets") is None


@pytest.mark.parametrize(
    ("url", "said"),
    [
        ("kafka:///name", "kafka://host:port"),
        ("kafka://broker/name", "kafka://host:port"),
        ("kafka://broker:9092,/name", "kafka://host:port"),
        ("kafka://broker:9092/a/b", "kafka://host:port"),
        ("kafka://broker:9092/a.b", "the name of letters"),
        ("kafka://broker:9092/name#x", "kafka://host:port"),
        ("kafka://broker:9092/name?linger=1", "linger is not known; known are security, mech"),
        ("kafka://broker:9092/name?lease_s=soon", "lease_s takes a number above 0, not 'soon'"),
        ("kafka://broker:9092/name?lease_s=0", "lease_s takes a number above 0"),
        ("kafka://broker:9092/name?answer_s=nan", "answer_s takes a number above 0"),
        ("kafka://broker:9092/name?security=ssl", "security takes plaintext, tls, sasl_plai"),
        ("kafka://broker:9092/name?ca=/x", "ca has no use with security=plaintext"),
        ("kafka://broker:9092/name?user=me", "user has no use with security=plaintext"),
        ("kafka://broker:9092/name?security=tls&mechanism=PLAIN", "mechanism has no use"),
        ("kafka://broker:9092/name?security=tls&ca=/nowhere.pem", "ca=/nowhere.pem is no file"),
        ("kafka://broker:9092/name?security=sasl_tls&user=me", f"the variable {PASSWORD}"),
        ("kafka://broker:9092/name?security=sasl_tls", "user=NAME"),
    ],
)
def test_what_is_wrong_is_named_with_what_it_takes(url: str, said: str) -> None:
    with pytest.raises(SettingsError) as caught:
        open_log(url)
    assert said in str(caught.value)


def test_a_mechanism_that_is_not_known_is_refused(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv(PASSWORD, SECRET)
    with pytest.raises(SettingsError, match="mechanism takes PLAIN, SCRAM-SHA-256, SCRAM-SHA-512"):
        read("name?security=sasl_tls&user=me&mechanism=GSSAPI")


def test_tls_takes_files(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv(KEY_PASSWORD, SECRET)
    for name in ("ca", "cert", "key"):
        (tmp_path / name).write_text("")
    files = "&".join(f"{name}={tmp_path / name}" for name in ("ca", "cert", "key"))
    client = read(f"name?security=tls&{files}").client
    assert client["security_protocol"] == "SSL"
    assert client["ssl_cafile"] == str(tmp_path / "ca")
    assert client["ssl_certfile"] == str(tmp_path / "cert")
    assert client["ssl_keyfile"] == str(tmp_path / "key")
    assert client["ssl_password"] == SECRET
    assert SECRET not in repr(client)


@pytest.mark.parametrize("mechanism", ["PLAIN", "SCRAM-SHA-256", "SCRAM-SHA-512"])
def test_a_password_comes_from_the_environment_or_a_file(
    mechanism: str, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    url = f"name?security=sasl_tls&user=me&mechanism={mechanism}"
    monkeypatch.setenv(PASSWORD, SECRET)
    client = read(url).client
    assert client["security_protocol"] == "SASL_SSL"
    assert client["sasl_mechanism"] == mechanism
    assert client["sasl_plain_username"] == "me"
    assert client["sasl_plain_password"] == SECRET
    monkeypatch.delenv(PASSWORD)
    (tmp_path / "password").write_text(f"{SECRET}\n")
    monkeypatch.setenv(f"{PASSWORD}_FILE", str(tmp_path / "password"))
    assert read(url).client["sasl_plain_password"] == SECRET
    monkeypatch.setenv(f"{PASSWORD}_FILE", str(tmp_path / "nowhere"))
    with pytest.raises(SettingsError, match=f"{PASSWORD}_FILE.*nowhere"):
        read(url)


def test_a_password_in_the_address_is_refused_and_not_repeated() -> None:
    with pytest.raises(SettingsError, match=PASSWORD) as caught:
        open_log(f"kafka://me:{SECRET}@broker:9092/name")
    assert SECRET not in str(caught.value)
    with pytest.raises(SettingsError) as caught:
        open_log(f"kafka://broker:9092/name?password={SECRET}")
    assert SECRET not in str(caught.value)


@pytest.mark.filterwarnings("ignore:unclosed <socket:ResourceWarning")
@pytest.mark.filterwarnings("ignore::pytest.PytestUnraisableExceptionWarning")
def test_a_password_is_shown_in_no_log_and_no_error(
    monkeypatch: pytest.MonkeyPatch, caplog: pytest.LogCaptureFixture
) -> None:
    """At level debug too, where kafka-python tells its whole configuration."""
    monkeypatch.setenv(PASSWORD, SECRET)
    caplog.set_level(logging.DEBUG)
    rest = "name?security=sasl_plaintext&user=me&answer_s=0.3"
    with pytest.raises(UnavailableError) as caught:
        open_log(f"kafka://127.0.0.1:{free_port()}/{rest}")
    gc.collect()
    assert "configuration" in caplog.text
    assert SECRET not in caplog.text
    assert SECRET not in repr(caught.value) + repr(read(rest)) + repr(read(rest).client)


def test_every_setting_is_one_that_kafka_python_knows() -> None:
    found = read("name?answer_s=4&delivery_s=6&lease_s=3&poll_s=7&max_record_bytes=5000")
    assert set(found.producer()) <= set(KafkaProducer.DEFAULT_CONFIG)
    assert set(found.consumer()) <= set(KafkaConsumer.DEFAULT_CONFIG)
    producer, consumer = found.producer(), found.consumer()
    assert (producer["acks"], producer["enable_idempotence"]) == ("all", True)
    assert producer["request_timeout_ms"] < producer["delivery_timeout_ms"] == 6000
    assert producer["max_block_ms"] == consumer["request_timeout_ms"] == 4000
    assert producer["max_request_size"] > found.max_record_bytes == 5000
    assert consumer["auto_offset_reset"] == "earliest"
    assert not consumer["enable_auto_commit"]
    assert consumer["fetch_max_wait_ms"] < consumer["request_timeout_ms"]
