"""The folder: each message once, whole, and a feed whose newest message is the first."""

from __future__ import annotations

import os
from concurrent.futures import ThreadPoolExecutor
from datetime import timedelta
from pathlib import Path
from xml.etree import ElementTree

import pytest
from cap_messages import ALERT, ALL_CLEAR, ISSUER, RISE, SITE, UPDATE, message, moment
from msgspec.structs import replace

from core.errors import BadInputError, UnavailableError
from services.alerting.cap import Folder, alert_of, write
from services.alerting.cap.feed import Head
from services.alerting.message import Message

HEAD = Head(ISSUER.sender, ISSUER.sender_name)
ATOM = "{http://www.w3.org/2005/Atom}"


def published(folder: Path, *messages: Message, newest: int = 100, head: Head = HEAD) -> Folder:
    kept = Folder(folder, head, newest)
    for one in messages:
        alert = alert_of(one, ISSUER, SITE)
        kept.publish(alert.identifier, write(alert))
    return kept


def feed(folder: Path) -> ElementTree.Element:
    return ElementTree.parse(folder / "feed.xml").getroot()


def listed(folder: Path) -> list[str]:
    links = [entry.find(f"{ATOM}link") for entry in feed(folder).iter(f"{ATOM}entry")]
    return [link.attrib["href"] for link in links if link is not None]


def test_newest_first_whatever_came_first(tmp_path: Path) -> None:
    published(tmp_path, UPDATE, ALL_CLEAR, RISE)
    assert listed(tmp_path) == [f"{ALERT}.{seq}.xml" for seq in (441, 430, 412)]
    assert feed(tmp_path).findtext(f"{ATOM}updated") == "2026-03-30T06:30:00Z"
    times = [e.findtext(f"{ATOM}updated") for e in feed(tmp_path).iter(f"{ATOM}entry")]
    assert times == [f"2026-03-{day}T06:30:00Z" for day in (30, 26, 14)]


def test_the_feed_has_what_atom_asks_for(tmp_path: Path) -> None:
    published(tmp_path, RISE, replace(UPDATE, status="exercise"))
    root = feed(tmp_path)
    assert root.tag == f"{ATOM}feed"
    for element in (root, *root.iter(f"{ATOM}entry")):
        for name in ("id", "title", "updated"):
            assert len(element.findall(f"{ATOM}{name}")) == 1
            assert element.findtext(f"{ATOM}{name}")
    assert root.findtext(f"{ATOM}author/{ATOM}name") == ISSUER.sender_name
    ids = [e.findtext(f"{ATOM}id") for e in root.iter(f"{ATOM}entry")]
    assert ids == [f"tag:slopewatch@example.org,2026:cap/{ALERT}.{seq}" for seq in (430, 412)]
    titles = [e.findtext(f"{ATOM}title") for e in root.iter(f"{ATOM}entry")]
    assert titles[0] is not None
    assert titles[0].startswith("Exercise: ")
    assert titles[1] == "RED alarm (was BLUE): Toe, Xinpu landslide"
    terms = [c.attrib["term"] for c in root[-1].iter(f"{ATOM}category")]
    assert terms == ["Actual", "Alert", "red"]


def test_links_are_whole_where_the_address_is_known(tmp_path: Path) -> None:
    head = HEAD._replace(url="https://warn.example.org/cap/")
    published(tmp_path, RISE, head=head)
    published(tmp_path, UPDATE, head=head)
    assert listed(tmp_path) == [
        f"https://warn.example.org/cap/{ALERT}.{seq}.xml" for seq in (430, 412)
    ]


def test_the_same_again_changes_nothing(tmp_path: Path) -> None:
    published(tmp_path, RISE, UPDATE)
    before = {p: (p.read_bytes(), p.stat().st_ino) for p in tmp_path.glob("*.xml")}
    alert = alert_of(RISE, ISSUER, SITE)
    assert Folder(tmp_path, HEAD, 100).publish(alert.identifier, write(alert)) is False
    assert {p: (p.read_bytes(), p.stat().st_ino) for p in tmp_path.glob("*.xml")} == before


def test_another_message_of_the_same_name_is_an_error(tmp_path: Path) -> None:
    published(tmp_path, RISE)
    kept = (tmp_path / f"{ALERT}.412.xml").read_bytes()
    with pytest.raises(BadInputError, match="folder of its own"):
        published(tmp_path, replace(RISE, level="orange"))
    assert (tmp_path / f"{ALERT}.412.xml").read_bytes() == kept


def test_only_the_newest_are_listed_and_all_are_kept(tmp_path: Path) -> None:
    many = [
        message(seq=seq, alert=f"xinpu.toe.{seq}", known_since=moment(1) + timedelta(hours=seq))
        for seq in range(12)
    ]
    published(tmp_path, *many, newest=5)
    assert listed(tmp_path) == [f"xinpu.toe.{seq}.{seq}.xml" for seq in (11, 10, 9, 8, 7)]
    assert len(list(tmp_path.glob("*.xml"))) == 13


def test_what_was_taken_away_is_not_listed(tmp_path: Path) -> None:
    published(tmp_path, RISE, UPDATE)
    (tmp_path / f"{ALERT}.412.xml").unlink()
    published(tmp_path, ALL_CLEAR)
    assert listed(tmp_path) == [f"{ALERT}.441.xml", f"{ALERT}.430.xml"]


@pytest.mark.parametrize("damage", [None, b"", b"<feed/>", b"<!DOCTYPE feed><feed/>", b"\xff"])
def test_a_feed_that_is_lost_or_damaged_is_made_from_the_files(
    tmp_path: Path, damage: bytes | None
) -> None:
    published(tmp_path, RISE, UPDATE)
    whole = (tmp_path / "feed.xml").read_bytes()
    if damage is None:
        (tmp_path / "feed.xml").unlink()
    else:
        (tmp_path / "feed.xml").write_bytes(damage)
    (tmp_path / "stray.xml").write_text("<note/>")
    published(tmp_path, RISE)
    assert (tmp_path / "feed.xml").read_bytes() == whole


def test_only_what_is_public_is_listed(tmp_path: Path) -> None:
    private = ISSUER._replace(scope="Private", addresses=("chief@example.org",))
    alert = alert_of(RISE, private, SITE)
    Folder(tmp_path, HEAD, 100).publish(alert.identifier, write(alert))
    assert (tmp_path / f"{ALERT}.412.xml").exists()
    assert listed(tmp_path) == []
    published(tmp_path, UPDATE)
    assert listed(tmp_path) == [f"{ALERT}.430.xml"]


def test_everybody_may_read_what_is_published(tmp_path: Path) -> None:
    published(tmp_path, RISE)
    for name in ("feed.xml", f"{ALERT}.412.xml"):
        assert (tmp_path / name).stat().st_mode & 0o777 == 0o644


def test_a_folder_that_is_not_there_is_not_made(tmp_path: Path) -> None:
    with pytest.raises(UnavailableError, match="make it, mount it"):
        published(tmp_path / "gone", RISE)
    assert not (tmp_path / "gone").exists()


def test_a_write_that_breaks_leaves_nothing_behind(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    def full(_: int) -> None:
        raise OSError(28, "No space left on device")

    with monkeypatch.context() as broken:
        broken.setattr(os, "fsync", full)
        with pytest.raises(UnavailableError, match="No space left"):
            published(tmp_path, RISE)
    assert [p.name for p in tmp_path.iterdir()] == [".lock"]
    published(tmp_path, RISE)
    assert listed(tmp_path) == [f"{ALERT}.412.xml"]


def test_a_feed_that_was_not_written_is_written_by_the_next_try(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    replaced = os.replace

    def only_messages(source: str, target: Path) -> None:
        if target.name == "feed.xml":
            raise OSError(5, "Input/output error")
        replaced(source, target)

    with monkeypatch.context() as broken:
        broken.setattr(os, "replace", only_messages)
        with pytest.raises(UnavailableError):
            published(tmp_path, RISE)
    published(tmp_path, RISE)
    assert listed(tmp_path) == [f"{ALERT}.412.xml"]


def test_many_may_write_at_once(tmp_path: Path) -> None:
    many = [
        message(seq=seq, alert=f"xinpu.toe.{seq}", known_since=moment(1) + timedelta(hours=seq))
        for seq in range(24)
    ]
    with ThreadPoolExecutor(8) as pool:
        list(pool.map(lambda one: published(tmp_path, one), many))
    assert listed(tmp_path) == [f"xinpu.toe.{seq}.{seq}.xml" for seq in reversed(range(24))]
    assert not list(tmp_path.glob(".*[!k]"))
