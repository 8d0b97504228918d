"""Where backups lie: what a second one costs, which old ones go, whose they are."""

from __future__ import annotations

import shutil
from collections.abc import Iterator
from datetime import timedelta
from pathlib import Path
from typing import Any

import msgspec
import pytest

from core.artifacts import MemoryArtifacts
from core.errors import (
    SettingsError,
    SlopewatchError,
)
from core.notes import open_notes
from services.commands import _backup_log
from services.commands._backup_place import Artifacts, Manifest, SiteCopy, Vault
from services.commands._backup_prune import forget_old
from services.commands.backing_up import back_up
from services.commands.restoring import verify
from services.vitals.backups import NOTE, LastBackup
from tests.pipeline import (
    LATER,
    Scene,
    make_site,
)
from tests.scenarios.backup.house import (
    HALF,
    SITES,
    House,
    Kept,
    Season,
    lived,
    service_in,
    spoil,
)

pytestmark = pytest.mark.xdist_group("backup")  # one season, one backup for all


def test_a_second_backup_costs_what_is_new(
    season: Season, kept: Kept, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(_backup_log, "SEGMENT_RECORDS", 5)
    home = service_in(Path(shutil.copytree(kept.service.data, tmp_path / "home")))
    vault = str(tmp_path / "backups")
    first = back_up(home, vault, lambda _: None)
    segments = set(segments_of(Vault(vault).read(first)))
    reads: list[int] = []
    read = _backup_log._segments

    def counted(*arguments: Any) -> Any:
        reads.append(arguments[-2] - arguments[-3])
        return read(*arguments)

    monkeypatch.setattr(_backup_log, "_segments", counted)
    with House(season, home) as house:
        house.hear(season.events[HALF : HALF + 3])
        house.live()
    said: list[str] = []
    second = back_up(home, vault, said.append)
    manifest = Vault(vault).read(second)
    assert 0 < sum(reads) < sum(topic.records for topic in manifest.log.values()) / 2
    later = set(segments_of(manifest))
    assert len(segments) > 20
    assert len(segments - later) <= 4 * len(SITES)
    assert any(line.startswith("artifacts: 0 of") for line in said)
    assert verify(vault, None, lambda _: None) == second
    assert verify(vault, first, lambda _: None) == first


def segments_of(manifest: Manifest) -> Iterator[str]:
    for topic in manifest.log.values():
        for partition in topic.partitions:
            yield from (segment.piece.sha256 for segment in partition.segments)


def test_old_backups_go_and_what_only_they_named(kept: Kept, place: Path) -> None:
    vault = Vault(str(place))
    own = vault.keep(b"name: gone")
    files = {**vault.read(kept.name).files, "sites/gone.yaml": (own,)}
    old = older(place, kept.name, 1, files=files)
    said: list[str] = []
    forget_old(vault, 2, said.append)
    assert (said, vault.names()) == ([], [old, kept.name])
    forget_old(vault, 1, said.append)
    assert said == ["1 older backups removed, 1 pieces with them"]
    assert vault.names() == [kept.name]
    assert own.sha256 not in Vault(str(place)).there()
    verify(str(place), None, lambda _: None)
    with pytest.raises(SettingsError, match="one backup at least"):
        back_up(kept.service, str(place), lambda _: None, keep=0)


@pytest.mark.slow
def test_old_backups_go_and_the_others_stay_whole(kept: Kept, tmp_path: Path) -> None:
    home = service_in(Path(shutil.copytree(kept.service.data, tmp_path / "home")))
    vault = str(tmp_path / "backups")
    pieces: list[set[str]] = []
    names = []
    for hour in range(3):
        open_notes(str(home.memory)).put("changing", str(hour).encode())
        moment = LATER.replace(hour=hour)
        names.append(back_up(home, vault, lambda _: None, keep=2, clock=lambda m=moment: m))
        pieces.append(set(Vault(vault).there()))
    assert Vault(vault).names() == names[1:]
    assert pieces[0] - pieces[2], "what only the removed one named is there still"
    for name in names[1:]:
        verify(vault, name, lambda _: None)
    with pytest.raises(SlopewatchError, match="holds no backup that begins with"):
        verify(vault, names[0], lambda _: None)


def test_pieces_that_a_killed_backup_or_pruning_left_go_with_the_next(
    kept: Kept, place: Path
) -> None:
    vault = Vault(str(place))
    whole = vault.there().copy()
    vault.keep(b"of no backup")
    said: list[str] = []
    forget_old(vault, 1, said.append)
    assert Vault(str(place)).there() == whole
    assert said == ["0 older backups removed, 1 pieces with them"]
    assert verify(str(place), None, lambda _: None) == kept.name


def older(place: Path, name: str, days: int, **changes: Any) -> str:
    """The manifest again, as if it had been made so many days before."""
    vault = Vault(str(place))
    manifest = vault.read(name)
    begun = manifest.begun - timedelta(days=days)
    return vault.write(msgspec.structs.replace(manifest, begun=begun, **changes))


def test_an_old_backup_that_cannot_be_read_keeps_no_new_one_from_being_pruned(
    kept: Kept, place: Path
) -> None:
    damaged, old = older(place, kept.name, 2), older(place, kept.name, 1)
    (place / f"manifests/{damaged}.json").write_bytes(b"{}")
    vault, said = Vault(str(place)), list[str]()
    stray = vault.keep(b"perhaps of the damaged one").sha256
    forget_old(vault, 1, said.append)
    assert vault.names() == [damaged, kept.name]
    assert old not in vault.names()
    assert stray in Vault(str(place)).there()
    assert any("passed over" in line and damaged in line for line in said)
    assert any("to give it up" in line for line in said)
    vault.forget(damaged)
    forget_old(vault, 1, said.append)
    assert stray not in Vault(str(place)).there()
    verify(str(place), None, lambda _: None)


def test_a_backup_whose_list_of_artifacts_is_lost_is_none_of_those_that_are_kept(
    kept: Kept, place: Path
) -> None:
    vault, said = Vault(str(place)), list[str]()
    lost = vault.keep(b"[]")
    broken = older(place, kept.name, -1, artifacts=Artifacts(0, 0, (lost,)))
    vault.drop([lost.sha256])
    name = back_up(kept.service, str(place), said.append, keep=1)
    assert any(line.startswith("all artifacts are read again") for line in said)
    assert any("passed over" in line for line in said)
    assert vault.names() == [name, broken], "the broken one was counted, or is gone"
    note = open_notes(str(kept.service.memory)).get(NOTE)
    last = msgspec.json.decode(note or b"", type=LastBackup)
    assert (last.name, last.place) == (name, vault.where)
    verify(str(place), name, lambda _: None)


def test_who_went_back_to_an_older_backup_is_told_what_to_do(kept: Kept, place: Path) -> None:
    vault = Vault(str(place))
    further = {name: SiteCopy(99, "f" * 64, True) for name in SITES}
    older(place, kept.name, -1, sites=further)
    with pytest.raises(SettingsError, match=rf"newer backups than {kept.name}.*went back"):
        back_up(kept.service, str(place), lambda _: None, keep=1)
    assert len(vault.names()) == 2


def test_a_backup_without_the_state_or_the_artifacts_is_refused_and_nothing_pruned(
    kept: Kept, place: Path, tmp_path: Path
) -> None:
    """As where a disk is not mounted, or the command runs in another pod."""
    home = service_in(Path(shutil.copytree(kept.service.data, tmp_path / "home")))
    older(place, kept.name, 1)
    first = tmp_path / "first"
    for vault, folder, told in (
        (place, "state", "no state of site lian"),
        (first, "state", "no state of site lian"),
        (first, "artifacts", "artifacts that the log names"),
    ):
        (home.data / folder).rename(tmp_path / "away")
        with pytest.raises(SlopewatchError, match=f"{told}.*no backup was made"):
            back_up(home, str(vault), lambda _: None, keep=1)
        shutil.rmtree(home.data / folder, ignore_errors=True)
        (tmp_path / "away").rename(home.data / folder)
    lost = spoil(home.data, "artifacts", lambda _: None)
    with pytest.raises(SlopewatchError, match=f"lacks 1 .*{lost.parent.name}{lost.name}"):
        back_up(home, str(place), lambda _: None, keep=1)
    assert len(Vault(str(place)).names()) == 2
    assert Vault(str(first)).names() == []


def test_backups_of_two_slopewatches_are_never_mixed(
    season: Season, kept: Kept, place: Path, tmp_path: Path
) -> None:
    other = MemoryArtifacts()
    scene = Scene(make_site("lian"), other, 77)
    events = [scene.configured(), *scene.story(3)]
    stranger = season._replace(events=events, world=other)
    with (
        lived(stranger, tmp_path / "stranger", len(events)) as house,
        pytest.raises(SettingsError, match="holds backups of another slopewatch"),
    ):
        back_up(house.service, str(place), lambda _: None)


def test_what_cannot_be_backed_up_is_said(tmp_path: Path) -> None:
    with pytest.raises(SettingsError, match="artifacts is memory://"):
        back_up(service_in(tmp_path / "a", artifacts="memory://"), str(tmp_path / "b"), print)
    with pytest.raises(SettingsError, match="nothing was watched here yet"):
        back_up(service_in(tmp_path / "a"), str(tmp_path / "b"), print)
    with pytest.raises(SettingsError, match="there is no folder"):
        verify(str(tmp_path / "none"), None, print)
