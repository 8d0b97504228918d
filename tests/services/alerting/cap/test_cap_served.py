"""CAP over HTTP: the folder's public messages and their feed, and nothing else of the machine."""

from __future__ import annotations

import http.client
import os
from collections.abc import Iterator
from pathlib import Path
from urllib.parse import urlsplit

import pytest
from cap_messages import ALERT, ISSUER, RISE, SITE, UPDATE, notifier

from core.telemetry import Telemetry
from services.alerting.cap import alert_of, write
from services.status import StatusServer

NAME = f"{ALERT}.412.xml"


@pytest.fixture
def folder(tmp_path: Path) -> Path:
    path = tmp_path / "cap"
    path.mkdir()
    notifier(path).send(RISE, RISE.id)
    return path


@pytest.fixture
def server(folder: Path) -> Iterator[StatusServer]:
    with StatusServer("127.0.0.1", 0, Telemetry(), list, cap_folder=folder) as server:
        yield server


class Answer:
    """What the server says to a path, which is sent as it is written here."""

    def __init__(self, server: StatusServer, path: str, **headers: str) -> None:
        connection = http.client.HTTPConnection(urlsplit(server.url).netloc, timeout=5)
        named = {name.replace("_", "-"): value for name, value in headers.items()}
        connection.request("GET", path, headers=named)
        answer = connection.getresponse()
        self.status, self.headers, self.body = answer.status, answer.headers, answer.read()
        connection.close()


def test_feed_and_messages_are_served(server: StatusServer, folder: Path) -> None:
    for path in ("/cap/", "/cap/feed.xml", "/cap/?x=1"):
        feed = Answer(server, path)
        assert (feed.status, feed.headers["Content-Type"]) == (200, "application/atom+xml")
        assert feed.body == (folder / "feed.xml").read_bytes()
    one = Answer(server, f"/cap/{NAME}")
    assert (one.status, one.headers["Content-Type"]) == (200, "application/cap+xml")
    assert one.headers["X-Content-Type-Options"] == "nosniff"
    assert one.body == (folder / NAME).read_bytes()


def test_without_a_folder_there_is_no_feed(folder: Path) -> None:
    with StatusServer("127.0.0.1", 0, Telemetry(), list) as server:
        for path in ("/cap/", f"/cap/{NAME}"):
            assert Answer(server, path).status == 404


def test_a_client_that_has_it_is_told_so(server: StatusServer, folder: Path) -> None:
    first = Answer(server, "/cap/")
    tag, changed = first.headers["ETag"], first.headers["Last-Modified"]
    for headers in (
        {"If_None_Match": tag},
        {"If_None_Match": f'"other", W/{tag}'},
        {"If_None_Match": "*"},
        {"If_Modified_Since": changed},
        {"If_None_Match": tag, "If_Modified_Since": "Thu, 01 Jan 1970 00:00:00 GMT"},
    ):
        again = Answer(server, "/cap/", **headers)
        assert (again.status, again.body, again.headers["ETag"]) == (304, b"", tag)
    for headers in (
        {"If_None_Match": '"other"'},
        {"If_None_Match": '"other"', "If_Modified_Since": changed},
        {"If_Modified_Since": "Thu, 01 Jan 1970 00:00:00 GMT"},
        {"If_Modified_Since": "yesterday"},
    ):
        assert Answer(server, "/cap/", **headers).status == 200
    notifier(folder).send(UPDATE, UPDATE.id)
    new = Answer(server, "/cap/", If_None_Match=tag)
    assert (new.status, new.headers["ETag"] == tag) == (200, False)


@pytest.mark.parametrize(
    "path",
    [
        "/cap/../secret.xml",
        "/cap/..%2fsecret.xml",
        "/cap/%2e%2e/secret.xml",
        "/cap//secret.xml",
        "/cap/....//secret.xml",
        "/cap/./feed.xml",
        "/cap/sub/inner.xml",
        "/cap/.lock",
        "/cap/.hidden.xml",
        "/cap/link.xml",
        "/cap/pipe.xml",
        "/cap/folder.xml",
        "/cap/private.xml",
        "/cap/notes.txt",
        "/cap/feed.xml/",
        "/cap/feed.xml%00",
        f"/cap/{'a' * 300}.xml",
        "/cap",
    ],
)
def test_nothing_else_is_served(server: StatusServer, folder: Path, path: str) -> None:
    secret = (folder / NAME).read_bytes()
    (folder / "sub").mkdir()
    (folder / "folder.xml").mkdir()
    os.mkfifo(folder / "pipe.xml")
    for name in ("../secret.xml", "sub/inner.xml", ".hidden.xml", "notes.txt"):
        (folder / name).write_bytes(secret)
    (folder / "link.xml").symlink_to(folder.parent / "secret.xml")
    private = ISSUER._replace(scope="Private", addresses=("chief",))
    (folder / "private.xml").write_bytes(write(alert_of(RISE, private, SITE)))
    assert Answer(server, path).status == 404
