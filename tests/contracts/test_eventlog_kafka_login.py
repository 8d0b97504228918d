"""A Kafka log behind TLS and logins, on a real broker with listeners for both."""

from __future__ import annotations

import gc
import shutil
import subprocess
import uuid
from collections.abc import Iterator
from contextlib import closing
from pathlib import Path

import pytest
from kafka import KafkaAdminClient
from kafka.admin import UserScramCredentialUpsertion

from core.errors import SlopewatchError, UnavailableError
from core.eventlog import TopicSpec, open_log
from core.eventlog._kafka_settings import KEY_PASSWORD, PASSWORD
from tests.contracts.eventlog_contract import PARTITIONS, append, everything, settle
from tools.engine.kafka import Broker
from tools.engine.process import HOST, free_port

USER, SECRET, KEY_SECRET = "slopewatch", "correct-horse", "battery-staple"
JAAS = "org.apache.kafka.common.security"

pytestmark = [
    # kafka-python leaves the socket of a connection that failed to the garbage collector.
    pytest.mark.filterwarnings("ignore:unclosed <s:ResourceWarning"),
    pytest.mark.filterwarnings("ignore::pytest.PytestUnraisableExceptionWarning"),
]


@pytest.fixture(autouse=True)
def collected() -> Iterator[None]:
    yield
    gc.collect()


class GuardedBroker(Broker):
    """Also listens with TLS and logins (`guarded`), and with certificates of clients (`mutual`)."""

    def __init__(self, folder: Path, secrets: Path) -> None:
        super().__init__(folder)
        self.guarded, self.mutual = free_port(), free_port()
        self._secrets = secrets

    def _properties(self) -> str:
        base = super()._properties()
        given = dict(line.split("=", 1) for line in base.splitlines())
        more = f",GUARDED://{HOST}:{self.guarded},MUTUAL://{HOST}:{self.mutual}"
        given["listeners"] += more
        given["advertised.listeners"] += more
        given["listener.security.protocol.map"] += ",GUARDED:SASL_SSL,MUTUAL:SSL"
        login, scram = "listener.name.guarded", f"{JAAS}.scram.ScramLoginModule required;"
        plain = f'{JAAS}.plain.PlainLoginModule required user_{USER}="{SECRET}";'
        given |= {
            "ssl.keystore.type": "PEM",
            "ssl.keystore.location": str(self._secrets / "server.pem"),
            "ssl.truststore.type": "PEM",
            "ssl.truststore.location": str(self._secrets / "client.crt"),
            f"{login}.sasl.enabled.mechanisms": "PLAIN,SCRAM-SHA-256,SCRAM-SHA-512",
            f"{login}.plain.sasl.jaas.config": plain,
            f"{login}.scram-sha-256.sasl.jaas.config": scram,
            f"{login}.scram-sha-512.sasl.jaas.config": scram,
            "listener.name.mutual.ssl.client.auth": "required",
        }
        return "".join(f"{name}={value}\n" for name, value in given.items())


def certificate(folder: Path, name: str, *protect: str) -> None:
    command = f"openssl req -x509 -newkey rsa:2048 -days 2 -subj /CN={name}"
    paths = ["-keyout", str(folder / f"{name}.key"), "-out", str(folder / f"{name}.crt")]
    names = ["-addext", f"subjectAltName=IP:{HOST}"]
    subprocess.run([*command.split(), *names, *paths, *protect], check=True, capture_output=True)


@pytest.fixture(scope="module")
def secrets(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """A certificate of the server and one of a client, whose key has a password."""
    if shutil.which("openssl") is None:
        pytest.skip("no openssl here to make certificates with")
    folder = tmp_path_factory.mktemp("secrets")
    certificate(folder, "server", "-nodes")
    certificate(folder, "client", "-passout", f"pass:{KEY_SECRET}")
    both = [(folder / f"server.{kind}").read_text() for kind in ("key", "crt")]
    (folder / "server.pem").write_text("".join(both))
    return folder


@pytest.fixture(scope="module")
def broker(
    engines: None, secrets: Path, tmp_path_factory: pytest.TempPathFactory
) -> Iterator[GuardedBroker]:
    with GuardedBroker(tmp_path_factory.mktemp("kafka"), secrets) as broker:
        with closing(KafkaAdminClient(bootstrap_servers=broker.address)) as admin:
            for mechanism in ("SCRAM-SHA-256", "SCRAM-SHA-512"):
                given = UserScramCredentialUpsertion(USER, mechanism, SECRET)
                assert admin.alter_user_scram_credentials([given]) == {USER: None}
        yield broker


def url_on(port: int, settings: str) -> str:
    return f"kafka://{HOST}:{port}/t{uuid.uuid4().hex[:8]}?lease_s=2&answer_s=5&{settings}"


def use(url: str) -> None:
    """Write and read, alone and in a group."""
    with closing(open_log(url)) as log:
        log.create_topics([TopicSpec("t", PARTITIONS)])
        append(log, "t", [("site", b"1")])
        assert [record.value for record in everything(log, "t")] == [b"1"]
        member = log.consumer("t", "group", "a")
        settle(member)
        member.close()


@pytest.mark.parametrize("mechanism", ["PLAIN", "SCRAM-SHA-256", "SCRAM-SHA-512"])
def test_a_login_over_tls(
    broker: GuardedBroker, secrets: Path, mechanism: str, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setenv(PASSWORD, SECRET)
    ca = secrets / "server.crt"
    use(url_on(broker.guarded, f"security=sasl_tls&user={USER}&mechanism={mechanism}&ca={ca}"))


def test_a_wrong_password_is_told_without_it(
    broker: GuardedBroker, secrets: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setenv(PASSWORD, "tr0ubador")
    url = url_on(broker.guarded, f"security=sasl_tls&user={USER}&ca={secrets / 'server.crt'}")
    url += "&answer_s=2"
    with pytest.raises(
        SlopewatchError, match=r"refuses this login|login that it refuses"
    ) as caught:
        open_log(url)
    assert "tr0ubador" not in str(caught.value)


def test_a_certificate_of_the_client(
    broker: GuardedBroker, secrets: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setenv(KEY_PASSWORD, KEY_SECRET)
    files = f"ca={secrets}/server.crt&cert={secrets}/client.crt&key={secrets}/client.key"
    use(url_on(broker.mutual, f"security=tls&{files}"))


def test_a_server_that_nobody_vouches_for_is_refused(
    broker: GuardedBroker, secrets: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setenv(PASSWORD, SECRET)
    for ca in ("", f"&ca={secrets / 'client.crt'}"):
        url = url_on(broker.guarded, f"security=sasl_tls&user={USER}{ca}&answer_s=1")
        with pytest.raises(UnavailableError, match="certificate verify failed"):
            open_log(url)
