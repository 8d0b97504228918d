"""Who is let in to a ledger on PostgreSQL: passwords, rights, encodings, certificates."""

from __future__ import annotations

import shutil
import subprocess
import time
from collections.abc import Iterator
from contextlib import closing
from pathlib import Path

import pytest
from sqlalchemy import text

from core.errors import SettingsError, SlopewatchError
from core.ledger import open_ledger, upgrade
from core.ledger.database import LEDGER, Database
from tools.engine.postgres import Postgres


def _as_superuser(url: str, *statements: str, transaction: bool = True) -> None:
    with closing(Database(url)) as database:
        if transaction:
            with database.write() as connection:
                for statement in statements:
                    connection.execute(text(statement))
            return
        engine = database._engine.execution_options(isolation_level="AUTOCOMMIT")
        with engine.connect() as connection:
            for statement in statements:
                connection.execute(text(statement))


def _until(answer: str | None, url: str) -> None:
    """A server takes new rules in some time after it was asked to; None: when it lets one in."""
    for _ in range(200):
        said = None
        try:
            open_ledger(url).close()
        except SlopewatchError as error:
            said = str(error)
        if (said is None) if answer is None else (said is not None and answer in said):
            return
        time.sleep(0.05)
    raise AssertionError(f"it does not say {answer!r}, but {said!r}")


def test_what_the_server_does_not_have(postgres: Postgres, postgres_url: str) -> None:
    with pytest.raises(SettingsError, match="make that database first"):
        open_ledger(postgres_url + "x")
    with pytest.raises(SettingsError, match="offers no TLS"):
        open_ledger(postgres_url + "?tls=require")
    _as_superuser(postgres_url, "CREATE ROLE nobody LOGIN")
    with pytest.raises(SettingsError, match="grant its user the rights"):
        upgrade(postgres_url.replace("//slopewatch@", "//nobody@"))
    _as_superuser(postgres_url, "DROP ROLE nobody")


def test_a_database_in_another_encoding_is_refused(postgres_url: str) -> None:
    name = postgres_url.rpartition("/")[2]
    make = f"CREATE DATABASE {name}_latin ENCODING 'LATIN1' TEMPLATE template0 LOCALE 'C'"
    _as_superuser(postgres_url, make, transaction=False)
    with pytest.raises(SettingsError, match="is in LATIN1: make it with ENCODING 'UTF8'"):
        open_ledger(f"{postgres_url}_latin")


@pytest.fixture
def guarded(postgres: Postgres, postgres_url: str) -> Iterator[str]:
    """The address of a user whom the server asks for the password `hunter2`."""
    rules = postgres.folder / "data" / "pg_hba.conf"
    before = rules.read_text()
    rules.write_text("host all guarded 127.0.0.1/32 scram-sha-256\n" + before)
    _as_superuser(
        postgres_url,
        "CREATE ROLE guarded LOGIN SUPERUSER PASSWORD 'hunter2'",
        "SELECT pg_reload_conf()",
    )
    url = postgres_url.replace("//slopewatch@", "//guarded@")
    upgrade(postgres_url)
    _until("refuses the login", url)
    yield url
    rules.write_text(before)
    _as_superuser(postgres_url, "DROP ROLE guarded", "SELECT pg_reload_conf()")


def test_the_password_comes_from_the_environment_or_a_file(
    guarded: str, monkeypatch: pytest.MonkeyPatch, tmp_path: Path
) -> None:
    for wrong in (None, "hunter3"):
        if wrong:
            monkeypatch.setenv(LEDGER.password, wrong)
        with pytest.raises(SettingsError, match=f"refuses the login.*{LEDGER.password}") as caught:
            open_ledger(guarded)
        assert "hunter" not in str(caught.value)
    monkeypatch.setenv(LEDGER.password, "hunter2")
    open_ledger(guarded).close()
    monkeypatch.setenv(f"{LEDGER.password}_FILE", str(tmp_path / "password"))
    with pytest.raises(SettingsError, match=f"{LEDGER.password}_FILE names cannot be read"):
        open_ledger(guarded)
    (tmp_path / "password").write_text("hunter2\n")
    open_ledger(guarded).close()


@pytest.fixture
def certificate(postgres: Postgres, postgres_url: str, tmp_path: Path) -> Iterator[Path]:
    """The server's own certificate, for the name 127.0.0.1 alone."""
    if shutil.which("openssl") is None:
        pytest.skip("no openssl here to make a certificate with")
    data = (postgres.folder / "data").resolve()
    key, made = data / "test.key", data / "test.crt"
    command = "openssl req -x509 -newkey rsa:2048 -nodes -days 2 -subj /CN=ledger"
    extra = ["-addext", "subjectAltName=IP:127.0.0.1", "-keyout", str(key), "-out", str(made)]
    subprocess.run([*command.split(), *extra], check=True, capture_output=True)
    owner = data.stat()
    for path in (key, made):
        shutil.chown(path, owner.st_uid, owner.st_gid)
        path.chmod(0o600)
    copy = tmp_path / "ca.pem"
    shutil.copyfile(made, copy)
    _configure(
        postgres_url,
        f"ALTER SYSTEM SET ssl_cert_file = '{made}'",
        f"ALTER SYSTEM SET ssl_key_file = '{key}'",
        "ALTER SYSTEM SET ssl = on",
    )
    upgrade(postgres_url)
    _until(None, f"{postgres_url}?tls=require")
    yield copy
    _configure(
        postgres_url,
        "ALTER SYSTEM RESET ssl",
        "ALTER SYSTEM RESET ssl_cert_file",
        "ALTER SYSTEM RESET ssl_key_file",
    )
    _until("offers no TLS", f"{postgres_url}?tls=require")


def _configure(url: str, *statements: str) -> None:
    _as_superuser(url, *statements, "SELECT pg_reload_conf()", transaction=False)


def test_a_certificate_is_checked_unless_somebody_said_not_to(
    certificate: Path, postgres_url: str
) -> None:
    good = f"{postgres_url}?tls=verify-full&ca={certificate}"
    open_ledger(good).close()
    with closing(Database(good)) as database, database.read() as connection:
        own = text("SELECT ssl FROM pg_stat_ssl WHERE pid = pg_backend_pid()")
        assert connection.scalar(own) is True
    for bad in (f"{postgres_url}?tls=verify-full", good.replace("127.0.0.1", "localhost")):
        with pytest.raises(SettingsError, match=r"no TLS with the ledger.*certificate"):
            open_ledger(bad)
    open_ledger(f"{postgres_url}?tls=require").close()


def test_a_password_is_sent_bound_to_the_certificate(
    guarded: str, certificate: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setenv(LEDGER.password, "hunter2")
    open_ledger(f"{guarded}?tls=verify-full&ca={certificate}").close()
    monkeypatch.setenv(LEDGER.password, "hunter3")
    with pytest.raises(SettingsError, match="refuses the login"):
        open_ledger(f"{guarded}?tls=verify-full&ca={certificate}")
