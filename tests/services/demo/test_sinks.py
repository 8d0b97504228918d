from __future__ import annotations

import json
import smtplib
import socket
import threading
from collections.abc import Iterator
from datetime import UTC, datetime
from pathlib import Path

import pytest
import requests

from core.clock import ReplayClock
from services.alerting.notifiers.webhook import KEY_HEADER, SIGNATURE_HEADER, sign
from services.demo import sinks
from services.demo.sinks import SmtpSink, WebhookSink

NOW = datetime(2026, 3, 1, tzinfo=UTC)
MAIL = b"From: a@x.org\r\nMessage-ID: <1@x.org>\r\nSubject: hi\r\n\r\n.dotted\r\nend\r\n"


@pytest.fixture
def mail(tmp_path: Path) -> Iterator[SmtpSink]:
    with SmtpSink(tmp_path / "mail") as sink:
        yield sink


@pytest.fixture
def posts(tmp_path: Path) -> Iterator[WebhookSink]:
    with WebhookSink(tmp_path / "posts", "secret", clock=ReplayClock(NOW)) as sink:
        yield sink


def send(sink: SmtpSink, *to: str, content: bytes = MAIL) -> None:
    with smtplib.SMTP("127.0.0.1", sink.port, "localhost", timeout=5) as smtp:
        smtp.sendmail("a@x.org", to or ("b@x.org",), content)


def talk(sink: SmtpSink, *lines: str) -> list[str]:
    """Say lines; the codes that came back."""
    with (
        socket.create_connection(("127.0.0.1", sink.port), timeout=5) as connection,
        connection.makefile("rwb") as stream,
    ):
        codes = [stream.readline()[:3].decode()]
        for line in lines:
            stream.write(line.encode() + b"\r\n")
            stream.flush()
            answer = stream.readline()
            while answer[3:4] == b"-":
                answer = stream.readline()
            codes.append(answer[:3].decode())
    return codes


def post(
    sink: WebhookSink, key: str = "k1", body: bytes = b'{"a":1}', signature: str | None = None
) -> int:
    signed = sign("secret", int(NOW.timestamp()), body) if signature is None else signature
    headers = {KEY_HEADER: key, SIGNATURE_HEADER: signed}
    with requests.post(sink.url, data=body, headers=headers, timeout=5) as answer:
        return answer.status_code


class TestMail:
    def test_is_kept_as_it_came(self, mail: SmtpSink) -> None:
        send(mail, "b@x.org", "c@x.org")
        (path,) = mail.files()
        assert path.read_bytes() == MAIL
        assert mail.messages()[0]["Subject"] == "hi"

    def test_repeats_are_counted_apart_over_a_restart(self, mail: SmtpSink) -> None:
        send(mail)
        send(mail)
        with SmtpSink(mail.folder) as other:
            send(other)
            send(other, "c@x.org")
            assert (len(other.files()), other.repeats) == (2, 2)

    def test_mail_without_message_id_is_known_by_its_content(self, mail: SmtpSink) -> None:
        send(mail, content=b"Subject: one\r\n\r\nx\r\n")
        send(mail, content=b"Subject: two\r\n\r\nx\r\n")
        assert (len(mail.files()), mail.repeats) == (2, 0)

    def test_conversation(self, mail: SmtpSink) -> None:
        assert talk(mail, "HELO x", "NOOP", "RSET", "HELP", "RCPT TO:<a@b.c>", "DATA") == [
            *("220", "250", "250", "250", "502", "503", "503")
        ]
        assert talk(mail, "EHLO x", "MAIL FROM:nobody", "MAIL FROM:<>", "QUIT") == [
            *("220", "250", "501", "250", "221")
        ]

    def test_bounds(self, mail: SmtpSink, monkeypatch: pytest.MonkeyPatch) -> None:
        monkeypatch.setattr(sinks, "MAX_ADDRESSES", 1)
        lines = ["MAIL FROM:<a@b.c>", "RCPT TO:<a@b.c>", "RCPT TO:<b@b.c>"]
        assert talk(mail, *lines)[-1] == "452"
        assert talk(mail, "x" * (sinks.MAX_LINE + 10))[-1] == ""
        monkeypatch.setattr(sinks, "MAX_BYTES", 50)
        with pytest.raises(smtplib.SMTPException):
            send(mail, content=MAIL + b"more\r\n" * 50)
        monkeypatch.setattr(sinks, "MAX_BYTES", 1 << 20)
        monkeypatch.setattr(sinks, "MAX_KEPT", 1)
        send(mail)
        with pytest.raises(smtplib.SMTPDataError, match="full"):
            send(mail)

    def test_half_a_mail_is_not_kept(self, mail: SmtpSink) -> None:
        talk(mail, "MAIL FROM:<a@b.c>", "RCPT TO:<a@b.c>", "DATA")
        assert mail.files() == []


class TestPosts:
    def test_is_kept_once(self, posts: WebhookSink) -> None:
        assert [post(posts), post(posts), post(posts, "k2")] == [200, 200, 200]
        assert posts.bodies() == [{"a": 1}, {"a": 1}]
        assert (posts.repeats, posts.conflicts, posts.refused) == (1, 0, 0)

    def test_conflict(self, posts: WebhookSink) -> None:
        assert [post(posts), post(posts, body=b'{"a":2}')] == [200, 422]
        assert (len(posts.bodies()), posts.conflicts) == (1, 1)

    @pytest.mark.parametrize("key", ["", "../../etc/x", "a/b", "k" * 129])
    def test_bad_key(self, posts: WebhookSink, key: str) -> None:
        assert post(posts, key) == 400
        assert (posts.bodies(), posts.refused) == ([], 1)

    @pytest.mark.parametrize("body", [b"", b"[]", b"{", b"\xff"])
    def test_no_json_object(self, posts: WebhookSink, body: bytes) -> None:
        assert post(posts, body=body) == 400

    @pytest.mark.parametrize("age_s", [301, -301])
    def test_old_or_early_signature(self, posts: WebhookSink, age_s: int) -> None:
        body = b"{}"
        signature = sign("secret", int(NOW.timestamp()) - age_s, body)
        assert post(posts, body=body, signature=signature) == 401
        assert post(posts, body=body, signature="") == 401

    def test_bounds(self, posts: WebhookSink, monkeypatch: pytest.MonkeyPatch) -> None:
        monkeypatch.setattr(sinks, "MAX_BYTES", 4)
        assert post(posts) == 413
        with requests.post(posts.url, data=iter([b"{}"]), timeout=5) as answer:
            assert answer.status_code == 411
        with requests.get(posts.url, timeout=5) as answer:
            assert answer.status_code == 501
        monkeypatch.setattr(sinks, "MAX_BYTES", 1 << 20)
        monkeypatch.setattr(sinks, "MAX_KEPT", 1)
        assert [post(posts), post(posts, "k2")] == [200, 507]


@pytest.mark.parametrize("kind", ["mail", "posts"])
def test_stopping_cuts_idle_connections_and_leaves_no_thread(
    kind: str, request: pytest.FixtureRequest, tmp_path: Path
) -> None:
    before = threading.active_count()
    sink = SmtpSink(tmp_path) if kind == "mail" else WebhookSink(tmp_path, "secret")
    with sink:
        idle = socket.create_connection(("127.0.0.1", sink.port), timeout=5)
        if kind == "mail":
            idle.recv(100)
        else:
            idle.sendall(b"POST / HTTP/1.1\r\nContent-Length: 100\r\n\r\n")
    idle.close()
    assert threading.active_count() == before


def test_chosen_port_and_many_at_once(tmp_path: Path) -> None:
    with SmtpSink(tmp_path) as first:
        port = first.port
    with SmtpSink(tmp_path, port) as sink:
        assert sink.port == port
        contents = [MAIL.replace(b"<1@", b"<%d@" % number) for number in range(12)]
        threads = [
            threading.Thread(target=send, args=(sink,), kwargs={"content": content})
            for content in contents
        ]
        for thread in threads:
            thread.start()
        for thread in threads:
            thread.join()
        assert len(sink.files()) == 12
    assert json.dumps([path.suffix for path in sink.files()]).count(".eml") == 12
