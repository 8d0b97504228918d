"""A backup is restored: whole, in parts, after a kill, and into empty stores only."""

from __future__ import annotations

import os
import random
import shutil
from collections import Counter
from contextlib import closing
from pathlib import Path

import pytest
import yaml
from typer.testing import CliRunner

from core.artifacts import FileArtifacts
from core.errors import (
    SettingsError,
    SlopewatchError,
)
from core.eventlog import open_log
from core.eventlog._sql_producer import SqliteProducer
from core.events import DEAD_LETTERS
from core.ledger.ledger import Ledger
from core.notes import open_notes
from core.objects import Objects
from core.settings import Service, Topics
from core.statestore.repository import IcechunkSite
from core.topics import TOPICS
from services.cli import app as command_line
from services.commands import backing_up
from services.commands._backup_place import Vault
from services.commands.backing_up import back_up
from services.commands.restoring import restore, verify
from services.compose import Slopewatch
from tests.pipeline import (
    records_of,
)
from tests.scenarios.backup.house import (
    HALF,
    SITES,
    House,
    Kept,
    Killed,
    Season,
    Sent,
    go_on,
    left_by,
    service_in,
    tell,
    trapped,
)

pytestmark = pytest.mark.xdist_group("backup")  # one season, one backup for all


def test_a_restore_brings_all_back(season: Season, kept: Kept, place: Path, tmp_path: Path) -> None:
    after = service_in(tmp_path / "after", topics=Topics(partitions=3))
    said: list[str] = []
    restore(after, str(kept.place), said.append)
    assert any("0 records are to be read again" in line for line in said)
    assert left_by(after) == left_by(kept.service)
    with closing(open_log(str(after.log))) as log, closing(open_log(str(kept.service.log))) as old:
        for topic in TOPICS:
            assert log.topics()[topic].partitions == 3
            for site in (*SITES, "nobody"):
                values = [record.value for record in records_of(old, topic, site)]
                assert [record.value for record in records_of(log, topic, site)] == values
    assert open_notes(str(after.memory)).get("days/lian") == b'{"closed":"2022-02-01"}'
    assert open_notes(str(after.memory)).get(backing_up.BEGUN) is None
    assert (after.sites / "lian.yaml").read_text() == "name: lian\n"
    assert back_up(after, str(place), lambda _: None), "its own backups go on after a restore"
    heard = go_on(season, after)
    assert set((kept.heard + heard).values()) == {1}
    assert kept.heard + heard == season.sent
    with closing(open_log(str(after.log))) as log:
        assert len(records_of(log, DEAD_LETTERS)) == 3, "a dead letter came twice"


def test_a_lost_ledger_is_restored_beside_the_others(
    season: Season, kept: Kept, tmp_path: Path
) -> None:
    home = service_in(Path(shutil.copytree(kept.service.data, tmp_path / "home")))
    with House(season, home) as house:
        house.hear(season.events[HALF : HALF + 10])
        house.live()
    left = left_by(home)
    assert left.export != left_by(kept.service).export
    vault = str(kept.place)
    with pytest.raises(SettingsError, match=r"ledger: .* holds site lian already"):
        restore(home, vault, lambda _: None, only=["ledger"])
    for path in home.data.glob("ledger.db*"):
        path.unlink()
    restore(home, vault, lambda _: None, only=["ledger"])
    with House(season, home) as again:
        again.live()
    assert left_by(home) == left
    assert (kept.heard + again.heard).keys() >= house.heard.keys()


def test_a_store_is_restored_beside_its_own_log_only(kept: Kept, tmp_path: Path) -> None:
    strange = service_in(tmp_path / "strange")
    with Slopewatch(strange, roles=()):
        pass
    with pytest.raises(SettingsError, match="another log than the one that was backed up"):
        restore(strange, str(kept.place), lambda _: None, only=["state"])
    with pytest.raises(SettingsError, match="together with all other stores"):
        restore(strange, str(kept.place), lambda _: None, only=["log"])
    with pytest.raises(SettingsError, match="no store disk"):
        restore(strange, str(kept.place), lambda _: None, only=["disk"])


LASTING = (
    (IcechunkSite, "commit"),
    (SqliteProducer, "flush"),
    (FileArtifacts, "put"),
    (Ledger, "copy_into"),
    (Ledger, "set_places"),
    (Objects, "put"),
    (Objects, "delete"),
)


def moments(writes: int, count: int) -> list[int]:
    """Some moments at random, and the last but one."""
    return [*sorted(random.Random(writes).sample(range(1, writes - 1), count)), writes - 1]


def test_a_backup_that_was_killed_is_none_and_is_run_again(kept: Kept, tmp_path: Path) -> None:
    """Before the last of all that makes it one."""
    vault = str(tmp_path / "backups")
    with pytest.raises(Killed), trapped(1, (Vault, "write")):
        back_up(kept.service, vault, lambda _: None)
    assert_there_is_none(vault, tmp_path)
    name = back_up(kept.service, vault, lambda _: None)
    assert verify(vault, None, lambda _: None) == name


@pytest.mark.slow
def test_a_backup_may_be_killed_at_any_write(kept: Kept, tmp_path: Path) -> None:
    with trapped(None, (Objects, "put")) as trap:
        back_up(kept.service, str(tmp_path / "undisturbed"), lambda _: None)
    vault = str(tmp_path / "backups")
    for number in moments(trap.writes, 20):
        with pytest.raises(Killed), trapped(number, (Objects, "put")):
            back_up(kept.service, vault, lambda _: None)
        assert_there_is_none(vault, tmp_path)
        shutil.rmtree(vault, ignore_errors=True)
    with pytest.raises(Killed), trapped(trap.writes, (Objects, "put")):
        back_up(kept.service, vault, lambda _: None)
    name = back_up(kept.service, vault, lambda _: None)
    assert verify(vault, None, lambda _: None) == name


def assert_there_is_none(vault: str, folder: Path) -> None:
    assert Vault(vault, makes=True).names() == []
    with pytest.raises(SlopewatchError, match="holds no backup"):
        restore(service_in(folder / "none"), vault, lambda _: None)


def test_a_restore_that_was_killed_is_run_again_before_anything_else(
    kept: Kept, tmp_path: Path
) -> None:
    """Before the last but one of its writes; the last takes away the note that it was begun."""
    after = service_in(tmp_path / "after")
    with pytest.raises(Killed), trapped(1, (Ledger, "set_places")):
        restore(after, str(kept.place), lambda _: None)
    assert_nothing_is_told(after)
    with pytest.raises(SettingsError, match="a restore was begun here"):
        back_up(after, str(tmp_path / "elsewhere"), lambda _: None)
    with pytest.raises(SettingsError, match="another restore was begun here"):
        restore(after, str(kept.place), lambda _: None, only=["artifacts"])
    restore(after, str(kept.place), lambda _: None)
    assert left_by(after) == left_by(kept.service)


@pytest.mark.slow
def test_a_restore_may_be_killed_at_any_write(season: Season, kept: Kept, tmp_path: Path) -> None:
    with trapped(None, *LASTING) as trap:
        restore(service_in(tmp_path / "undisturbed"), str(kept.place), lambda _: None)
    assert trap.writes > 20
    for number in moments(trap.writes, 25):
        after = service_in(tmp_path / f"after-{number}")
        with pytest.raises(Killed), trapped(number, *LASTING):
            restore(after, str(kept.place), lambda _: None)
        assert_nothing_is_told(after)
        restore(after, str(kept.place), lambda _: None)
        assert left_by(after) == left_by(kept.service)
    go_on(season, after)


def assert_nothing_is_told(service: Service) -> None:
    """What a half-made house would tell, its own restore would tell again."""
    heard: Sent = Counter()
    tell(service, heard)
    assert not heard


HELD = {
    "ledger.db": "site lian",
    "log.db": "records of ",
    "state": "site lian",
    "artifacts": "artifact ",
    "memory": "note ",
}


@pytest.mark.parametrize(
    "stores", [["ledger.db", "log.db"], pytest.param([*HELD][2:], marks=pytest.mark.slow)]
)
def test_only_empty_stores_are_restored_into(kept: Kept, tmp_path: Path, stores: list[str]) -> None:
    home = service_in(Path(shutil.copytree(kept.service.data, tmp_path / "home")))
    for store in stores:
        after = service_in(tmp_path / f"after-{store}")
        after.data.mkdir()
        (shutil.copytree if (home.data / store).is_dir() else shutil.copyfile)(
            home.data / store, after.data / store
        )
        with pytest.raises(SettingsError, match=f"holds {HELD[store]}.* into empty stores only"):
            restore(after, str(kept.place), lambda _: None)
    with (
        Slopewatch(home, roles=("inference",)),
        pytest.raises(SettingsError, match=f"held by process {os.getpid()} "),
    ):
        restore(home, str(kept.place), lambda _: None)


def test_the_commands(kept: Kept, tmp_path: Path) -> None:
    run = CliRunner()
    home, new = tmp_path / "home.yaml", tmp_path / "new.yaml"
    home.write_text(
        yaml.safe_dump({"data": str(kept.service.data), "sites": str(kept.service.sites)})
    )
    (tmp_path / "file").write_text("in the way")
    sites = str(tmp_path / "file/sites")
    new.write_text(yaml.safe_dump({"data": str(tmp_path / "new"), "sites": sites}))
    place = str(tmp_path / "backups")

    def asked(config: Path, *words: str) -> str:
        done = run.invoke(command_line, ["--config", str(config), *words])
        assert done.exit_code == 0, done.output
        return done.output

    assert "is whole" in asked(home, "backup", f"--to={place}", "--keep=7")
    assert "2 sites" in asked(home, "backup", "list", f"--from={place}")
    assert "can be restored" in asked(home, "backup", "verify", f"--from={place}")
    said = asked(new, "restore", f"--from={place}")
    assert "start the services" in said
    assert "cannot be written" in said, "the folder of the site files is in the way"
    assert (tmp_path / "new/restored-sites/lian.yaml").read_text() == "name: lian\n"
    without = run.invoke(command_line, ["--config", str(home), "backup"])
    assert without.exit_code == 2
    assert "say where to" in without.output
