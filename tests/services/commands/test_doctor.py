"""The check-up names what is wrong, and leaves everything as it was."""

import base64
import fcntl
import json
import os
import socket
import socketserver
import sqlite3
import threading
import time
from contextlib import closing
from datetime import UTC, datetime, timedelta
from email.utils import format_datetime
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer

import pytest
import yaml

from core.artifacts import open_artifacts
from core.eventlog import open_log
from core.ledger import open_ledger
from core.notes import open_notes
from core.objects import open_objects
from core.settings import Endpoints, Service, Smtp, load_site
from core.statestore import open_states
from core.watchdog import Heartbeats, folder_in, watching_alone
from services.commands import _doctor_machine, _doctor_outside
from services.commands.doctor import Finding, examine, render
from services.ingest.asking import feeds_of
from services.ingest.memory import AnswerNote, Memory
from services.projector import schema_version

SITE = {
    "name": "hill",
    "area": [7.0, 46.0, 7.1, 46.1],
    "reference": {"scene_median": True},
    "slope_units": [{"id": "u1", "polygon": [[7.05, 46.05], [7.06, 46.05], [7.06, 46.06]]}],
    "recipients": [
        {"id": "duty", "notifier": {"kind": "email", "to": ["duty@example.org"]}},
        {"id": "hook", "notifier": {"kind": "webhook", "url": "${HOOK_URL}"}},
    ],
}


@pytest.fixture(autouse=True)
def _few_packages(monkeypatch):
    monkeypatch.setattr(_doctor_machine, "PACKAGES", ("yaml",))
    monkeypatch.setenv("HOOK_URL", "https://example.org/x")
    monkeypatch.setenv("SLOPEWATCH_WEBHOOK_SECRET", "quiet")


@pytest.fixture
def port():
    with socket.create_server(("127.0.0.1", 0)) as probe:
        return probe.getsockname()[1]


@pytest.fixture
def service(tmp_path, port):
    (tmp_path / "sites").mkdir()
    (tmp_path / "sites" / "hill.yaml").write_text(yaml.safe_dump(SITE))
    nowhere = f"http://127.0.0.1:{port}"
    return Service(
        data=tmp_path / "var",
        sites=tmp_path / "sites",
        metrics_port=port,
        endpoints=Endpoints(cmr=nowhere, gsod=nowhere, usgs=nowhere),
        smtp=Smtp(port=port),
    ).resolved()


@pytest.fixture
def used(service):
    """The same service after some use."""
    service.data.mkdir()
    open_log(service.log).close()
    open_ledger(service.ledger).close()
    open_artifacts(service.artifacts).put(b"something")
    with closing(open_states(service.state)) as states:
        states.open("hill").close()
    return service


def look(service, *, network=False):
    findings = examine(service, network=network)
    assert all("\n" not in f.sentence + f.advice for f in findings)
    assert all(bool(f.advice) == (f.status != "ok") for f in findings)
    return {f.what: f for f in findings}


@pytest.fixture
def serve():
    """Start a server in a thread; stopped at the end."""
    running = []

    def serve(server):
        thread = threading.Thread(target=server.serve_forever, args=(0.02,))
        thread.start()
        running.append((server, thread))
        return server.server_address[1]

    yield serve
    for server, thread in running:
        server.shutdown()
        thread.join()
        server.server_close()


def web(date=None, status=200, body=b"ok\n"):
    class Handler(BaseHTTPRequestHandler):
        def do_GET(self):
            self.send_response_only(status)
            if date:
                self.send_header("Date", date)
            self.send_header("Content-Length", str(len(body)))
            self.end_headers()
            self.wfile.write(body)

        def log_message(self, *_):
            pass

    return ThreadingHTTPServer(("127.0.0.1", 0), Handler)


def mail(*offers):
    said = []

    class Handler(socketserver.StreamRequestHandler):
        def handle(self):
            self.wfile.write(b"220 here\r\n")
            for line in self.rfile:
                said.append(line.decode().strip())
                if line[:4].upper() == b"EHLO":
                    lines = ["here", *offers]
                    marks = ["-"] * len(offers) + [" "]
                    answer = "".join(f"250{m}{x}\r\n" for m, x in zip(marks, lines, strict=True))
                    self.wfile.write(answer.encode())
                else:
                    self.wfile.write(b"535 no\r\n" if line[:4] == b"AUTH" else b"250 ok\r\n")

    server = socketserver.ThreadingTCPServer(("127.0.0.1", 0), Handler)
    return server, said


def test_before_the_first_start_nothing_is_made(service, tmp_path):
    before = sorted(tmp_path.rglob("*"))
    found = look(service)
    assert sorted(tmp_path.rglob("*")) == before
    assert not [f for f in found.values() if f.status == "problem"]
    for what in ("event log", "state", "ledger", "artifacts", "memory", "projection"):
        assert "first start" in found[what].sentence
    assert "will be made" in found["data folder"].sentence
    assert found["sqlite"].status == found["python"].status == "ok"
    assert found["site hill"].status == "warning"
    assert not [what for what in found if what.startswith(("endpoint", "mail"))]


def test_a_used_service_is_read_and_left_as_it_was(used):
    files = {p: p.read_bytes() for p in used.data.rglob("*") if p.is_file()}
    found = look(used)
    assert not [f for f in found.values() if f.status == "problem"]
    assert "log: 0 topics, 0 records" in found["event log"].sentence
    assert "every chain is whole" in found["ledger"].sentence
    assert "free, 1 site(s)" in found["state"].sentence
    assert found["artifacts"].sentence.startswith("1 of")
    after = {p: p.read_bytes() for p in used.data.rglob("*") if p.is_file()}
    assert {p: after[p] for p in files} == files


def test_who_holds_the_state_is_said(used):
    with closing(open_states(used.state)):
        assert f"held by process {os.getpid()}" in look(used)["state"].sentence
    lock = os.open(used.data / "state" / ".lock", os.O_RDWR)
    fcntl.flock(lock, fcntl.LOCK_EX | fcntl.LOCK_NB)  # the check-up let go of it
    os.close(lock)


@pytest.fixture
def in_bucket(used, s3_url):
    """The same service with state and artifacts in a bucket."""
    places = {what: s3_url.replace("?", f"/{what}?") for what in ("state", "artifacts")}
    return used.model_copy(update=places)


def test_a_bucket_is_asked_and_can_be_written(in_bucket):
    assert "was not asked" in look(in_bucket)["state"].sentence
    open_artifacts(in_bucket.artifacts).put(b"something")
    with closing(open_states(in_bucket.state)) as states:
        states.open("hill").close()
        found = look(in_bucket, network=True)
    assert found["state"].status == found["artifacts"].status == "ok"
    assert "lets one of two writers win, 1 site(s)" in found["state"].sentence
    assert "can be written, 1 of those in it read" in found["artifacts"].sentence


def test_a_damaged_artifact_in_a_bucket_is_a_problem(in_bucket):
    ref = open_artifacts(in_bucket.artifacts).put(b"something")
    open_objects(in_bucket.artifacts).put(f"{ref.sha256[:2]}/{ref.sha256[2:]}", b"somethinG")
    found = look(in_bucket, network=True)["artifacts"]
    assert (found.status, "damaged" in found.sentence) == ("problem", True)


def test_a_bucket_that_is_missing_is_a_problem(in_bucket):
    places = {
        what: getattr(in_bucket, what).replace("s3://", "s3://no-")
        for what in ("state", "artifacts")
    }
    found = look(in_bucket.model_copy(update=places), network=True)
    for what in places:
        assert (found[what].status, "NoSuchBucket" in found[what].sentence) == ("problem", True)


@pytest.mark.parametrize("name", ["log.db", "ledger.db"])
def test_a_damaged_database_is_a_problem(used, name):
    for path in used.data.glob(f"{name}*"):
        path.unlink()
    (used.data / name).write_bytes(b"no database at all" * 100)
    found = look(used)["event log" if name == "log.db" else "ledger"]
    assert found.status == "problem"
    assert name in found.sentence


def test_a_database_that_is_no_ledger_and_an_old_one(used, monkeypatch):
    wrong = used.model_copy(update={"ledger": used.log})
    assert "is no ledger" in look(wrong)["ledger"].sentence
    monkeypatch.setattr("core.ledger.schema.HEAD", "9999")
    found = look(used)["ledger"]
    assert (found.status, "9999" in found.sentence) == ("warning", True)


def test_a_damaged_artifact_is_a_problem(used):
    (path,) = (used.data / "artifacts").glob("*/*")
    path.write_bytes(b"somethinG")
    found = look(used)["artifacts"]
    assert (found.status, "damaged" in found.sentence) == ("problem", True)


def test_memory_is_a_warning(service):
    forgetful = service.model_copy(update={"log": "memory://"})
    assert look(forgetful)["event log"].status == "warning"


def test_files_of_the_future_tell_of_a_wrong_clock(used):
    later = time.time() + 7200
    os.utime(used.data / "log.db", (later, later))
    found = look(used)["clock"]
    assert (found.status, "NTP" in found.advice) == ("problem", True)


def test_a_data_folder_that_is_a_file(service):
    service.data.write_text("")
    found = look(service)
    assert found["data folder"].status == "problem"
    assert found["sqlite"].status == "problem"


def test_packages_and_disk(service, monkeypatch):
    monkeypatch.setattr(_doctor_machine, "PACKAGES", ("yaml", "no_such_package"))
    monkeypatch.setattr(_doctor_machine, "FULL_BYTES", 1 << 62)
    found = look(service)
    assert "no_such_package (ModuleNotFoundError)" in found["packages"].sentence
    assert found["disk"].status == "problem"


def test_the_metrics_port(service, serve):
    assert "free" in look(service)["metrics port"].sentence
    ours = service.model_copy(update={"metrics_port": serve(web())})
    assert "a running slopewatch" in look(ours)["metrics port"].sentence
    taken = service.model_copy(update={"metrics_port": serve(web(body=b"hello"))})
    assert look(taken)["metrics port"].status == "problem"


def test_settings_secrets_and_webhooks(service, monkeypatch):
    (service.sites / "bad.yaml").write_text("name: bad\n")
    monkeypatch.setenv("HOOK_URL", "http://example.org/quiet")
    monkeypatch.delenv("SLOPEWATCH_WEBHOOK_SECRET")
    named = service.model_copy(update={"smtp": Smtp(user="me", password_env="NO_PASSWORD")})
    found = look(named)
    assert found["site bad"].status == "problem"
    hook = found["webhook hill/hook"]
    assert (hook.status, "quiet" in hook.sentence) == ("problem", False)
    assert found["secrets"].sentence == "not set here: NO_PASSWORD, SLOPEWATCH_WEBHOOK_SECRET"


def test_nothing_answers(service):
    found = look(service, network=True)
    assert [found[f"endpoint {n}"].status for n in ("cmr", "gsod", "usgs")] == ["warning"] * 3
    assert found["mail server"].status == "problem"
    assert "clock, others" not in found


@pytest.mark.parametrize(
    ("off_s", "status"), [(0, "ok"), (90, "warning"), (-90, "warning"), (4000, "problem")]
)
def test_the_clock_against_others(service, serve, off_s, status):
    date = format_datetime(datetime.now(UTC) + timedelta(seconds=off_s), usegmt=True)
    right = f"http://127.0.0.1:{serve(web(date, 404))}"
    broken = f"http://127.0.0.1:{serve(web('some day', 500))}"
    endpoints = Endpoints(cmr=right, gsod=right, usgs=broken)
    found = look(service.model_copy(update={"endpoints": endpoints}), network=True)
    assert (found["endpoint cmr"].status, found["endpoint usgs"].status) == ("ok", "warning")
    assert found["clock, others"].status == status


@pytest.mark.parametrize(
    ("security", "user", "offers", "status", "said"),
    [
        ("none", None, (), "ok", "no mail was sent"),
        ("starttls", None, (), "problem", "STARTTLS"),
        ("none", "me", ("AUTH PLAIN",), "problem", "login (535)"),
        ("tls", None, (), "problem", "TLS"),
    ],
)
def test_the_mail_server(service, serve, monkeypatch, security, user, offers, status, said):
    monkeypatch.setenv("SLOPEWATCH_SMTP_PASSWORD", "quiet")
    server, heard = mail(*offers)
    smtp = Smtp(port=serve(server), security=security, user=user)
    found = look(service.model_copy(update={"smtp": smtp}), network=True)["mail server"]
    assert (found.status, said in found.sentence) == (status, True), found
    assert not [line for line in heard if line[:4].upper() in ("MAIL", "RCPT", "DATA")]


def test_tokens_last_or_must_be_renewed(service, monkeypatch):
    asf = {"kind": "asf", "token_env": "MY_TOKEN"}
    (service.sites / "hill.yaml").write_text(yaml.safe_dump({**SITE, "feeds": [asf]}))
    for days, status in ((40, "ok"), (5, "warning"), (-1, "problem")):
        claims = json.dumps({"exp": time.time() + 86400 * days, "uid": "quiet"}).encode()
        secret = f"e30.{base64.urlsafe_b64encode(claims).decode()}.x"
        monkeypatch.setenv("MY_TOKEN", secret)
        found = look(service)["token MY_TOKEN"]
        assert found.status == status, found
        assert "quiet" not in found.sentence
    monkeypatch.setenv("MY_TOKEN", "no web token")
    assert "token MY_TOKEN" not in look(service)


def test_feeds_and_days_of_a_service_that_has_run(service):
    feeds = [{"kind": "asf"}, {"kind": "gsod", "station": "1"}]
    (service.sites / "hill.yaml").write_text(yaml.safe_dump({**SITE, "feeds": feeds}))
    memory, now = Memory(open_notes(service.memory)), datetime.now(UTC)
    assert "feeds hill" not in look(service), "it was never asked"
    first, second = feeds_of(load_site(service.sites / "hill.yaml"))
    memory.note_answer("hill", first.key, AnswerNote(now, ("acquisitions",)))
    found = look(service)["feeds hill"]
    assert (found.status, found.sentence) == ("problem", "gsod has never answered")
    long_ago = AnswerNote(now - timedelta(hours=31), ("rainfall",))
    memory.note_answer("hill", second.key, long_ago)
    assert "gsod last answered on" in look(service)["feeds hill"].sentence
    memory.note_answer("hill", second.key, AnswerNote(now - timedelta(hours=29), ("rainfall",)))
    found = look(service)
    assert found["feeds hill"].status == "ok"
    assert "days hill" not in found
    assert "watchdog" not in found
    beats = Heartbeats(service.memory)
    beats.beat("hill", now.date(), now - timedelta(hours=1))
    found = look(service)
    assert (found["days hill"].status, found["watchdog"].status) == ("ok", "warning")
    beats.beat("hill", now.date(), now - timedelta(hours=27))
    with watching_alone(folder_in(service.data)):
        found = look(service)
    assert (found["days hill"].status, found["watchdog"].status) == ("problem", "ok")
    assert f"pid {os.getpid()}" in found["watchdog"].sentence
    assert look(service)["watchdog"].status == "warning", "nobody holds the lock any more"


def test_the_tables_for_dashboards(used, monkeypatch):
    sqlite3.connect(used.data / "projection.db").close()
    assert "not there yet" in look(used)["projection"].sentence
    (used.data / "projection.db").unlink()
    schema_version.upgrade(used.projection)
    assert look(used)["projection"].status == "ok"
    for schema, status in ((-1, "problem"), (9999, "warning")):
        monkeypatch.setattr("services.projector.schema.SCHEMA", schema)
        assert look(used)["projection"].status == status


def test_a_certificate_that_is_not_trusted_is_a_problem(service, monkeypatch, port):
    log = f"kafka://127.0.0.1:{port}?security=tls"
    found = look(service.model_copy(update={"log": log}), network=True)
    what = f"certificate of kafka 127.0.0.1:{port}"
    assert (found[what].status, "ConnectionRefused" in found[what].sentence) == ("problem", True)
    until = datetime.now(UTC) + timedelta(days=3)
    monkeypatch.setattr(_doctor_outside, "expiry_of", lambda server: until)
    found = look(service.model_copy(update={"log": log}), network=True)[what]
    assert (found.status, found.sentence[:24]) == ("warning", "valid for 2 more days, u")


def test_the_table():
    findings = [Finding("disk", "ok", "well"), Finding("ledger", "problem", "torn", "mend it")]
    assert render(findings).splitlines() == [
        "ok       disk    well",
        "problem  ledger  torn",
        "                 -> mend it",
        "1 ok, 0 warning(s), 1 problem(s)",
    ]
