"""Files named by their content."""

from __future__ import annotations

import contextlib
import io
import os
from pathlib import Path

import numpy as np
import pytest

from core.artifacts import (
    Artifacts,
    FileArtifacts,
    MemoryArtifacts,
    numbers,
    open_artifacts,
    pack,
    reference,
    unpack,
)
from core.errors import BadInputError, SettingsError, UnavailableError
from core.events import ArtifactRef
from core.objects import Objects, open_objects
from tools.engine.process import free_port


@pytest.fixture(params=["file", "memory", "s3"])
def store(request: pytest.FixtureRequest, tmp_path: Path) -> Artifacts:
    match request.param:
        case "file":
            return open_artifacts(f"file://{tmp_path}/artifacts")
        case "s3":
            return open_artifacts(request.getfixturevalue("s3_url"))
        case _:
            return open_artifacts("memory://")


@pytest.fixture
def bucket(s3_url: str) -> tuple[Artifacts, Objects]:
    """A store in a bucket, and the bare objects that it keeps."""
    return open_artifacts(s3_url), open_objects(s3_url)


def test_the_same_content_has_the_same_name_and_comes_back(store: Artifacts) -> None:
    ref = store.put(b"slope")
    assert ref == store.put(b"slope") == reference(b"slope")
    assert store.get(ref) == b"slope"


def test_what_is_not_there_may_come_later(store: Artifacts) -> None:
    with pytest.raises(UnavailableError):
        store.get(reference(b"elsewhere"))


def test_damage_is_noticed_and_named(tmp_path: Path) -> None:
    store = FileArtifacts(tmp_path)
    ref = store.put(b"slope")
    (tmp_path / ref.sha256[:2] / ref.sha256[2:]).write_bytes(b"slops")
    with pytest.raises(BadInputError, match="damaged"):
        store.get(ref)
    assert store.get(store.put(b"slope")) == b"slope"


def test_damage_in_a_bucket_is_noticed_and_named(bucket: tuple[Artifacts, Objects]) -> None:
    store, objects = bucket
    ref = store.put(b"slope")
    (name,) = objects.names()
    assert name == f"{ref.sha256[:2]}/{ref.sha256[2:]}"
    for damaged in (b"slops", b"slope and more", b""):
        objects.put(name, damaged)
        with pytest.raises(BadInputError, match=rf"s3://\S+/{name} is damaged"):
            store.get(ref)
        assert store.get(store.put(b"slope")) == b"slope"


def test_what_is_in_the_bucket_already_is_not_written_again(
    bucket: tuple[Artifacts, Objects], monkeypatch: pytest.MonkeyPatch
) -> None:
    store, _ = bucket
    ref = store.put(b"slope")
    monkeypatch.setattr(Objects, "put", lambda *_: pytest.fail("written again"))
    assert store.put(b"slope") == ref


def test_a_bucket_that_is_away_may_come_back(s3_url: str) -> None:
    address = f"s3://bucket/artifacts?endpoint=http://127.0.0.1:{free_port()}"
    for store in (open_artifacts(address), open_artifacts(s3_url.replace("s3://", "s3://no-"))):
        with pytest.raises(UnavailableError):
            store.get(reference(b"slope"))
        with pytest.raises(UnavailableError):
            store.put(b"slope")


def test_empty_and_large_content_comes_back(store: Artifacts) -> None:
    for content in (b"", os.urandom(11 << 20)):
        assert store.get(store.put(content)) == content


@pytest.mark.parametrize("name", ["../../etc/passwd", "0" * 63, "Z" * 64, ""])
def test_a_name_that_is_no_sha256_reaches_no_file(
    tmp_path: Path, bucket: tuple[Artifacts, Objects], name: str
) -> None:
    for store in (FileArtifacts(tmp_path), bucket[0]):
        with pytest.raises(BadInputError, match="is not a sha256"):
            store.get(ArtifactRef(sha256=name, bytes=1))


def test_a_claim_of_more_than_a_gibibyte_is_not_read(
    tmp_path: Path, bucket: tuple[Artifacts, Objects]
) -> None:
    for store in (FileArtifacts(tmp_path), bucket[0]):
        with pytest.raises(BadInputError, match="over 1 GiB"):
            store.get(ArtifactRef(sha256="0" * 64, bytes=1 << 40))


def test_a_write_that_fails_leaves_nothing_half_done(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    def full(*_: object) -> None:
        raise OSError("no space left on device")

    store = FileArtifacts(tmp_path)
    monkeypatch.setattr(os, "replace", full)
    with pytest.raises(UnavailableError, match="no space left"):
        store.put(b"slope")
    assert [path for path in tmp_path.rglob("*") if path.is_file()] == []


def test_an_address_of_another_kind_is_refused() -> None:
    with pytest.raises(SettingsError, match="use file:///folder, s3://"):
        open_artifacts("ftp://somewhere")


def test_arrays_come_back_and_their_order_does_not_matter() -> None:
    a, b = np.arange(3.0), np.array([[np.nan, 1.0]])
    content = pack({"a": a, "b": b})
    assert content == pack({"b": b, "a": a})
    found = unpack(content)
    assert set(found) == {"a", "b"}
    np.testing.assert_array_equal(found["b"], b)


def compressed() -> bytes:
    buffer = io.BytesIO()
    np.savez_compressed(buffer, a=np.zeros(3))
    return buffer.getvalue()


def pickled() -> bytes:
    buffer = io.BytesIO()
    np.savez(buffer, a=np.array([{"x": 1}], dtype=object))
    return buffer.getvalue()


@pytest.mark.parametrize("content", [b"", b"PK", b"x" * 500, compressed(), pickled()])
def test_what_is_no_plain_npz_is_bad_input(content: bytes) -> None:
    with pytest.raises(BadInputError):
        unpack(content)


def test_every_single_damaged_byte_is_bad_input_or_harmless() -> None:
    content = pack({"a": np.arange(4.0)})
    for place in range(len(content)):
        broken = bytearray(content)
        broken[place] ^= 0xFF
        with contextlib.suppress(BadInputError):
            unpack(bytes(broken))


def test_numbers_are_asked_for_by_name() -> None:
    arrays = {"a": np.arange(3), "t": np.array(["x"]), "c": np.zeros(1, complex)}
    assert numbers(arrays, "a").dtype == np.float64
    with pytest.raises(BadInputError, match="lacks 'b'; it has a, c, t"):
        numbers(arrays, "b")
    for name in ("t", "c"):
        with pytest.raises(BadInputError, match="not numbers"):
            numbers(arrays, name)


def test_memory_and_file_agree_on_names(tmp_path: Path) -> None:
    assert MemoryArtifacts().put(b"x") == FileArtifacts(tmp_path).put(b"x")
