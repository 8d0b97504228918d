"""One season and one backup of it for all tests of a worker."""

from __future__ import annotations

import shutil
from collections import Counter
from pathlib import Path

import pytest

from core.artifacts import MemoryArtifacts
from core.events import OBSERVATIONS, Event
from core.notes import open_notes
from services.commands.backing_up import back_up
from tests.pipeline import (
    Scene,
    append_raw,
    make_site,
)
from tests.scenarios.backup.house import (
    HALF,
    SITES,
    STEP,
    House,
    Kept,
    Left,
    Season,
    halfway,
    left_by,
    lived,
    service_in,
    story,
)


@pytest.fixture(scope="session")
def season(tmp_path_factory: pytest.TempPathFactory) -> Season:
    folder = tmp_path_factory.mktemp("season")
    world = MemoryArtifacts()
    events: list[Event] = []
    for seed, name in enumerate(SITES):
        events += story(Scene(make_site(name), world, seed))
    events.sort(key=lambda event: event.available_at)
    whole = service_in(folder / "whole")
    begun = Season(events, world, folder / "half", Counter(), whole, Left([], set(), {}), Counter())
    with lived(begun, whole.data, HALF) as house:
        told = house.heard.copy()
    shutil.copytree(whole.data, begun.half)
    with House(begun, whole) as again:
        for start in range(HALF, len(events), 3 * STEP):
            again.hear(events[start : start + 3 * STEP])
            again.live()
    left, sent = left_by(whole), told + again.heard
    assert len(left.export) > 6
    assert sent.total() > 8
    assert set(sent.values()) == {1}
    return begun._replace(told=told, left=left, sent=sent)


@pytest.fixture(scope="session")
def kept(season: Season, tmp_path_factory: pytest.TempPathFactory) -> Kept:
    folder = tmp_path_factory.mktemp("kept")
    with halfway(season, folder / "home") as house:
        append_raw(house.app.log, OBSERVATIONS, "lian", b"\xff no event", b"[")
        append_raw(house.app.log, OBSERVATIONS, "nobody", b"{}")
        house.app.settle()
    open_notes(str(house.service.memory)).put("days/lian", b'{"closed":"2022-02-01"}')
    house.service.sites.mkdir()
    (house.service.sites / "lian.yaml").write_text("name: lian\n")
    name = back_up(house.service, str(folder / "backups"), lambda _: None)
    return Kept(house.service, folder / "backups", name, house.heard)


@pytest.fixture
def place(kept: Kept, tmp_path: Path) -> Path:
    """A copy of the backup, to be spoilt."""
    return Path(shutil.copytree(kept.place, tmp_path / "backups"))
