"""Notes by name, in every store."""

from __future__ import annotations

import os
from pathlib import Path

import pytest

from core import objects
from core.errors import SettingsError, UnavailableError
from core.notes import MAX_NAME, Notes, open_notes
from core.objects import bucket_of, open_objects, reason
from tools.engine.process import free_port
from tools.engine.s3 import ObjectStore


@pytest.fixture(params=["memory", "file", "s3"])
def notes(request: pytest.FixtureRequest, tmp_path: Path) -> Notes:
    match request.param:
        case "memory":
            return open_notes("memory://")
        case "file":
            return open_notes(f"file://{tmp_path}/a%20folder/notes")
        case _:
            return open_notes(request.getfixturevalue("s3_url"))


def test_what_was_noted_last_is_read(notes: Notes) -> None:
    assert notes.get("lian/asf.json") is None
    notes.put("lian/asf.json", b"one")
    notes.put("lian/asf.json", b"two")
    notes.put("lian/empty", b"")
    assert notes.get("lian/asf.json") == b"two"
    assert notes.get("lian/empty") == b""
    assert notes.get("lian") is None


def test_names_are_listed_by_how_they_begin(notes: Notes) -> None:
    assert list(notes.names()) == []
    for name in ("shan/b", "lian-2/a", "lian/b.json", "lian/a", "top"):
        notes.put(name, b"x")
    assert list(notes.names()) == ["lian-2/a", "lian/a", "lian/b.json", "shan/b", "top"]
    assert list(notes.names("lian/")) == ["lian/a", "lian/b.json"]
    assert list(notes.names("lian")) == ["lian-2/a", "lian/a", "lian/b.json"]
    assert list(notes.names("lian/b")) == ["lian/b.json"]
    assert list(notes.names("none/")) == []


@pytest.mark.parametrize(
    "name", ["", "/a", "a/", "a//b", "../a", "a/../b", ".a", "a b", "a#1", "a\n", "é", "x" * 501]
)
def test_no_other_name_reaches_the_store(notes: Notes, name: str) -> None:
    assert len(name) <= MAX_NAME + 1
    for use in (notes.get, lambda name: notes.put(name, b"")):
        with pytest.raises(SettingsError, match="is no name for a note"):
            use(name)
    with pytest.raises(SettingsError, match="is no name for a note"):
        list(notes.names("../x/"))


def test_a_folder_keeps_its_notes(tmp_path: Path) -> None:
    url = f"file://{tmp_path}/notes"
    open_notes(url).put("a/b", b"x")
    assert open_notes(url).get("a/b") == b"x"
    assert [p for p in tmp_path.rglob("*") if p.is_file()] == [tmp_path / "notes" / "a" / "b"]


def test_a_folder_that_cannot_be_made_or_written(tmp_path: Path) -> None:
    (tmp_path / "file").write_text("")
    with pytest.raises(UnavailableError, match="cannot make"):
        open_notes(f"file://{tmp_path}/file/notes")
    notes = open_notes(f"file://{tmp_path}/notes")
    notes.put("a", b"")
    with pytest.raises(UnavailableError, match="notes/a/b"):
        notes.put("a/b", b"")


def test_a_bucket_that_is_away_is_given_up_and_comes_back(
    s3: ObjectStore, s3_url: str, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(objects, "SILENCE_S", 1)
    notes = open_notes(s3_url)
    notes.put("a", b"one")
    s3.pause()
    try:
        for use in (
            lambda: notes.get("a"),
            lambda: notes.put("a", b"two"),
            lambda: list(notes.names()),
        ):
            with pytest.raises(UnavailableError, match="sending request"):
                use()
    finally:
        s3.resume()
    notes.put("b", b"three")
    assert notes.get("b") == b"three"
    # What was given up may have arrived, now or later.
    assert notes.get("a") in {b"one", b"two"}


def test_nobody_answers_or_the_bucket_is_missing(s3: ObjectStore, s3_url: str) -> None:
    closed = open_notes(f"s3://bucket/notes?endpoint=http://127.0.0.1:{free_port()}")
    with pytest.raises(UnavailableError, match="s3://bucket/notes/a: "):
        closed.get("a")
    missing = open_notes(s3_url.replace("s3://", "s3://no-"))
    for use in (
        lambda: missing.get("a"),
        lambda: missing.put("a", b""),
        lambda: list(missing.names()),
    ):
        with pytest.raises(UnavailableError, match="NoSuchBucket"):
            use()


def test_the_parts_of_an_address(monkeypatch: pytest.MonkeyPatch) -> None:
    for name in ("AWS_REGION", "AWS_DEFAULT_REGION"):
        monkeypatch.delenv(name, raising=False)
    assert bucket_of("s3://slopes") == ("slopes", "", None, "us-east-1")
    own = bucket_of("s3://slopes/a/b/?endpoint=http://minio:9000/&region=here")
    assert own == ("slopes", "a/b", "http://minio:9000", "here")
    assert own.plain_http
    assert str(own) == "s3://slopes/a/b"
    assert (own.below("x"), bucket_of("s3://slopes").below("x")) == ("a/b/x", "x")
    monkeypatch.setenv("AWS_DEFAULT_REGION", "eu-west-1")
    assert bucket_of("s3://slopes?endpoint=https://minio").region == "eu-west-1"
    assert not bucket_of("s3://slopes?endpoint=https://minio").plain_http


@pytest.mark.parametrize(
    ("url", "said"),
    [
        ("s3://", "no name of a bucket"),
        ("s3://Slopes/x", "no name of a bucket"),
        ("s3://slopes/a b", "a prefix is made of"),
        ("s3://slopes/../b", "a prefix is made of"),
        ("s3://slopes?secret=hush", "'secret' is not known"),
        ("s3://slopes?region=", "once each and not empty"),
        ("s3://slopes?region=a&region=b", "once each and not empty"),
        ("s3://slopes?endpoint=minio:9000", "endpoint must be"),
        ("s3://slopes?endpoint=http://me:hush@minio", "endpoint must be"),
        ("s3://slopes?endpoint=http://minio:port", "endpoint must be"),
        ("s3://slopes?endpoint=http://minio/path", "endpoint must be"),
        ("s3://me:hush@slopes/x", "write s3://bucket"),
        ("ftp://me:hush@there/x", "is neither"),
        ("file://", "is neither"),
        ("memory://x", "is neither"),
    ],
)
def test_an_address_that_is_none_is_said_and_no_secret_is(url: str, said: str) -> None:
    with pytest.raises(SettingsError, match=said) as caught:
        open_objects(url)
    assert "hush" not in str(caught.value)


def test_an_answer_that_repeats_the_request_is_cut() -> None:
    answer = (
        'Generic S3 error: 403: <?xml version="1.0"?><Error><Code>SignatureDoesNotMatch</Code>'
        "<Message>The signature does not match</Message><CanonicalRequest>x-amz-security-token:"
        "hush</CanonicalRequest></Error>"
    )
    assert reason(OSError(answer)) == "SignatureDoesNotMatch: The signature does not match"
    assert "hush" not in reason(OSError('refused <?xml version="1.0"?><Other>hush</Other>'))


def test_of_two_that_create_an_object_one_does(s3_url: str) -> None:
    store = open_objects(s3_url)
    assert store.create("a", b"one")
    assert not store.create("a", b"two")
    assert store.get("a") == b"one"
    store.delete("a")
    store.delete("a")
    assert store.get("a") is None


def test_large_objects_and_parts_of_them(s3_url: str) -> None:
    store = open_objects(s3_url)
    content = os.urandom(12 << 20)
    store.put("large", content)
    assert store.get("large") == store.get("large", len(content)) == content
    assert store.get("large", 10) == content[:11]
    assert store.get("none", 10) is None
