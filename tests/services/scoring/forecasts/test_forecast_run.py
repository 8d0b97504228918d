from __future__ import annotations

import json
from pathlib import Path

import pytest

from core import plugins
from services.inference.model import MODELS
from services.scoring.forecasts import page
from services.scoring.forecasts.models import BASELINES, Field, field, reason
from services.scoring.forecasts.run import FULL, QUICK, SHORT, Section, section
from tests.services.scoring.forecasts.toys import Broken, Drifts, Rains, Stays


@pytest.fixture(scope="module")
def sections() -> tuple[Section, ...]:
    models = (Stays(), Drifts(), Rains(), Broken())
    found = Field(models, {"network": "no weights"})
    return (section("white-3", QUICK, lambda line: None, found),)


def test_every_table_has_as_many_cells_as_columns(sections: tuple[Section, ...]) -> None:
    for table in sections[0].tables:
        assert all(len(row) == len(table.columns) for row in table.rows), table.title


def test_a_model_that_could_not_run_is_listed_with_its_reason(
    sections: tuple[Section, ...],
) -> None:
    told = {row[0]: row[-1] for row in sections[0].tables[-1].rows}
    assert told["network"] == "not run: no weights"
    assert told["broken"] == "not run: ValueError: no weights here"
    assert told["kalman"] == ""


def test_drivers_move_only_the_rows_of_models_that_read_them(
    sections: tuple[Section, ...],
) -> None:
    found = {
        drivers: {row[0]: row[1:] for row in table.rows}
        for table in sections[0].tables
        for drivers in ("operational", "what-if")
        if table.title.endswith(f"{drivers}: error by horizon")
    }
    operational, what_if = found["operational"], found["what-if"]
    assert operational["persistence"] == what_if["persistence"]
    assert operational["kalman"] == what_if["kalman"]
    assert operational["kalman_transfer"] != what_if["kalman_transfer"]


def test_a_full_run_leaves_nothing_out_and_a_short_one_says_what() -> None:
    assert page.left_out(FULL) == ()
    told = " ".join(page.left_out(SHORT))
    for part in ("16 sites", "white-3", "ceiling", "single networks", "oracle", "development"):
        assert part in told
    assert "these are development sites" in " ".join(page.left_out(QUICK))
    assert (FULL.role, SHORT.role) == ("test", "development")


def test_the_page_holds_every_table_with_its_conditions(
    sections: tuple[Section, ...], tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(page, "PAGE", tmp_path / "skill.md")
    monkeypatch.setattr(page, "DATA", tmp_path / "skill.json")
    page.write(sections, ["two cores"], 0.25)
    text = (tmp_path / "skill.md").read_text()
    assert "simulated" in text
    assert "two cores" in text
    assert "0.25 h" in text
    assert all(table.title in text for table in sections[0].tables)
    tree = json.loads((tmp_path / "skill.json").read_text())
    assert len(tree["sections"]["white-3"]) == len(sections[0].tables)


def test_no_model_is_passed_over_in_silence(monkeypatch: pytest.MonkeyPatch) -> None:
    def missing(package: str, name: str) -> None:
        raise ImportError("no torch")

    monkeypatch.setattr(plugins, "load", missing)
    found = field()
    assert not found.models
    assert set(found.absent) == {*plugins.names(MODELS), *BASELINES}
    assert found.absent["kalman"] == "ImportError: no torch"


def test_a_reason_names_no_folder_of_this_machine() -> None:
    error = FileNotFoundError(2, "No such file", "/some/where/weights/net-1.safetensors")
    assert "/some" not in reason(error)
    assert "net-1.safetensors" in reason(error)
