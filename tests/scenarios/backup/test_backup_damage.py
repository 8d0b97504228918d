"""A backup that is spoilt, mixed, or of a newer release is found out, and told."""

from __future__ import annotations

import shutil
from collections.abc import Callable
from pathlib import Path

import msgspec
import pytest

from core.errors import (
    BadInputError,
    NewerVersionError,
    SlopewatchError,
)
from core.events import OBSERVATIONS
from services.commands._backup_place import Partition, Vault, artifacts_of, keep_artifacts_list
from services.commands.backing_up import back_up
from services.commands.restoring import restore, verify
from tests.scenarios.backup.house import (
    Kept,
    rewritten,
    service_in,
    spoil,
)

pytestmark = pytest.mark.xdist_group("backup")  # one season, one backup for all


@pytest.mark.parametrize(
    ("change", "told"),
    [
        (lambda content: content[:-1] + bytes([content[-1] ^ 1]), "is damaged"),
        (lambda content: content + b" ", "is damaged"),
        (lambda _: None, "is missing"),
    ],
    ids=["a bit", "longer", "gone"],
)
def test_a_spoilt_piece_is_named(
    place: Path, change: Callable[[bytes], bytes | None], told: str
) -> None:
    path = spoil(place, "pieces", change)
    with pytest.raises(BadInputError, match=told) as caught:
        verify(str(place), None, lambda _: None)
    assert str(path) in str(caught.value)


def test_nothing_is_restored_of_a_truncated_backup_and_the_next_one_mends_it(
    kept: Kept, place: Path, tmp_path: Path
) -> None:
    path = spoil(place, "pieces", lambda content: content[:-7])
    after = service_in(tmp_path / "after")
    with pytest.raises(BadInputError, match="is damaged: remove it, then back up again"):
        restore(after, str(place), lambda _: None)
    assert not after.data.exists()
    path.unlink()
    back_up(kept.service, str(place), lambda _: None)
    verify(str(place), None, lambda _: None)


@pytest.mark.slow
def test_every_piece_is_looked_at(place: Path) -> None:
    for path in sorted((place / "pieces").glob("*/*")):
        content = path.read_bytes()
        path.write_bytes(content[: len(content) // 2])
        with pytest.raises(BadInputError, match="is damaged"):
            verify(str(place), None, lambda _: None)
        path.write_bytes(content)
    verify(str(place), None, lambda _: None)


def test_a_changed_manifest_is_none(kept: Kept, place: Path) -> None:
    spoil(place, "manifests", lambda content: content.replace(b"lian", b"liam"))
    with pytest.raises(BadInputError, match="use another backup"):
        verify(str(place), None, lambda _: None)


def test_a_newer_release_made_it(kept: Kept, place: Path) -> None:
    rewritten(place, kept.name, format=2)
    with pytest.raises(NewerVersionError, match="upgrade slopewatch"):
        verify(str(place), None, lambda _: None)
    with pytest.raises(NewerVersionError, match="upgrade slopewatch"):
        back_up(kept.service, str(place), lambda _: None)


def test_a_state_of_a_newer_release_is_not_restored(
    kept: Kept, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr("services.commands._backup_check.STATE_VERSION", 1)
    with pytest.raises(NewerVersionError, match="the state of site lian has version 2"):
        restore(service_in(tmp_path / "after"), str(kept.place), lambda _: None)
    assert not (tmp_path / "after").exists()


def test_parts_of_two_backups_do_not_make_one(kept: Kept, place: Path) -> None:
    """Ledger and states of later than the log: a site would have read what is not there."""
    old = Vault(str(place)).read(kept.name)
    was = old.log[OBSERVATIONS]

    def with_partitions(*partitions: Partition) -> None:
        topic = msgspec.structs.replace(was, partitions=partitions)
        rewritten(place, Vault(str(place)).names()[-1], log={**old.log, OBSERVATIONS: topic})

    with_partitions(*(Partition(one.begin, one.begin, ()) for one in was.partitions))
    with pytest.raises(SlopewatchError, match="the log in the backup ends before"):
        verify(str(place), None, lambda _: None)
    with_partitions(msgspec.structs.replace(was.partitions[0], begin=-1))
    with pytest.raises(SlopewatchError, match="are missing"):
        verify(str(place), kept.name[:16], lambda _: None)


def test_a_file_that_leads_elsewhere_is_not_written(
    kept: Kept, place: Path, tmp_path: Path
) -> None:
    manifest = Vault(str(place)).read(kept.name)
    rewritten(place, kept.name, files={**manifest.files, "../../outside": ()})
    with pytest.raises(BadInputError, match="leads elsewhere"):
        verify(str(place), None, lambda _: None)


def test_a_damaged_artifact_is_told_and_left_out(kept: Kept, tmp_path: Path) -> None:
    home = service_in(Path(shutil.copytree(kept.service.data, tmp_path / "home")))
    spoil(home.data, "artifacts", lambda content: content[:-1])
    said: list[str] = []
    back_up(home, str(tmp_path / "backups"), said.append)
    assert sum("is damaged" in line for line in said) == 1
    verify(str(tmp_path / "backups"), None, said.append)
    assert any("was damaged when it was backed up" in line for line in said)


def test_a_backup_that_lacks_a_state_or_an_artifact_cannot_be_restored(
    kept: Kept, place: Path
) -> None:
    manifest = Vault(str(place)).read(kept.name)
    stateless = {n: msgspec.structs.replace(s, state=False) for n, s in manifest.sites.items()}
    files = {path: p for path, p in manifest.files.items() if not path.startswith("state/")}
    rewritten(place, kept.name, sites=stateless, files=files)
    with pytest.raises(BadInputError, match="decisions of site lian and no state of it"):
        verify(str(place), None, lambda _: None)
    vault = Vault(str(place))
    pieces = artifacts_of(vault, manifest)
    fewer = keep_artifacts_list(vault, pieces[:-1], [])
    rewritten(place, vault.names()[-1], artifacts=fewer)
    with pytest.raises(BadInputError, match=f"lacks 1 .*{pieces[-1].sha256}"):
        verify(str(place), None, lambda _: None)
