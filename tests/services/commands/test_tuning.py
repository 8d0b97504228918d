"""`slopewatch alerts tune` from end to end on few simulated sites, and what it refuses."""

from __future__ import annotations

import json
import re
from pathlib import Path

import pytest

from core.errors import SettingsError
from core.events import OBSERVATIONS
from core.settings import Service
from services.alerting.thresholds import ThresholdTable, load_table
from services.commands import tuning
from services.commands.tuning import tune
from services.compose import shipped_table, threshold_table
from services.scoring.calibrate import SHIPPED
from services.scoring.pools import Counts
from services.scoring.search import BUDGETS
from tests.pipeline import Scene, append
from tests.services.commands.scenario_site import NAME, rainy_site, running, service_in

EPOCHS = 40


@pytest.fixture(scope="module")
def service(tmp_path_factory: pytest.TempPathFactory) -> Service:
    """A site with 40 epochs of steady creep, and nothing else known of it."""
    service = service_in(tmp_path_factory.mktemp("tuned"), rainy_site())
    with running(service, 12 * EPOCHS + 12) as app:
        scene = Scene(rainy_site(), app.artifacts)
        epochs = [scene.epoch(12 * number, 0.02 * number) for number in range(EPOCHS)]
        append(app.log, OBSERVATIONS, [scene.configured(), *epochs])
        app.settle()
        assert not [worker.parked for worker in app.workers if worker.parked]
    return service


@pytest.fixture(scope="module")
def tuned(
    service: Service, tmp_path_factory: pytest.TempPathFactory
) -> tuple[Path, Path, list[str]]:
    """The table, the picture, and what was said."""
    folder, lines = tmp_path_factory.mktemp("tables"), list[str]()
    out, plot = folder / "ours-1.json", folder / "ours-1.svg"
    with pytest.MonkeyPatch.context() as patched:
        patched.setattr(tuning, "QUICK", Counts(quiet=16, aborted=3, step=3, failing=8))
        tune(service, out, {"yellow": 1.0, "orange": 0.5}, True, NAME, plot, lines.append)
    return out, plot, lines


def test_the_table_has_its_own_version_and_budgets(tuned: tuple[Path, Path, list[str]]) -> None:
    out, _, _ = tuned
    tree = json.loads(out.read_bytes())
    assert load_table(out.read_bytes()).version == "ours-1"
    budgets = {name: one["false_alarms"] for name, one in tree["choices"]["budgets"].items()}
    assert budgets == {"yellow": 1.0, "orange": 0.5, "red": BUDGETS["red"].false_alarms}
    assert "not for use" in tree["cannot_show"][-1]


def test_the_service_can_be_set_to_it(
    service: Service, tuned: tuple[Path, Path, list[str]]
) -> None:
    out, _, lines = tuned
    assert f"`thresholds: {out}`" in "\n".join(lines)
    own = service.model_copy(update={"thresholds": out})
    assert threshold_table(own) == out.read_bytes() != shipped_table()


def test_it_says_what_the_figures_rest_on_and_cannot_show(
    tuned: tuple[Path, Path, list[str]],
) -> None:
    _, plot, lines = tuned
    text = "\n".join(lines)
    assert "orange: budget 0.5, found" in text
    assert re.search(r"rests on \d+ false alarms? in \d+ simulated unit-years", text)
    assert "two-epoch velocity" in text
    assert "warning: red: 44 simulated unit-years without one false alarm" in text
    assert "cannot be shown to be kept" in text
    assert f"{NAME}: " in text
    assert "unit-years watched, 2023-01-01 to 2023-04-14" in text
    assert "only bound the rate at" in text
    assert plot.read_text(encoding="utf-8").startswith("<?xml")


def test_no_version_is_written_twice(
    service: Service, tuned: tuple[Path, Path, list[str]], tmp_path: Path
) -> None:
    out, _, _ = tuned
    before = out.read_bytes()
    with pytest.raises(SettingsError, match="a version never changes"):
        tune(service, out, {}, True, NAME, None, print)
    assert out.read_bytes() == before
    with pytest.raises(SettingsError, match="is a shipped table"):
        tune(service, tmp_path / SHIPPED.name, {}, True, NAME, None, print)


@pytest.mark.parametrize(
    ("name", "why"),
    [
        ("table.txt", "name the table"),
        ("a b.json", "name the table"),
        ("no-such-folder/t.json", "is no folder"),
    ],
)
def test_a_file_that_cannot_be_a_table_is_refused(
    service: Service, tmp_path: Path, name: str, why: str
) -> None:
    with pytest.raises(SettingsError, match=why):
        tune(service, tmp_path / name, {}, True, NAME, None, print)


@pytest.mark.parametrize(
    ("budgets", "why"),
    [
        ({"yellow": 2.5}, "cannot be tuned to"),
        ({"orange": 0.0}, "cannot be tuned to"),
        ({"orange": float("nan")}, "cannot be tuned to"),
        ({"orange": 0.4}, "larger budget"),
        ({"purple": 0.4}, "has no budget"),
        ({"red": 0.0005}, "red: 8000 simulated unit-years .* cannot be shown to be kept"),
    ],
)
def test_budgets_that_make_no_sense_are_refused(
    service: Service, tmp_path: Path, budgets: dict[str, float], why: str
) -> None:
    with pytest.raises(SettingsError, match=why):
        tune(service, tmp_path / "t.json", budgets, False, NAME, None, print)
    assert not list(tmp_path.iterdir())


def test_a_picture_needs_an_ending_that_says_what_it_is(service: Service, tmp_path: Path) -> None:
    with pytest.raises(SettingsError, match="must end in"):
        tune(service, tmp_path / "t.json", {}, True, NAME, tmp_path / "t.jpeg", print)


def test_an_unknown_site_is_refused_before_anything_is_searched(
    service: Service, tmp_path: Path
) -> None:
    with pytest.raises(SettingsError, match="no site 'nowhere'"):
        tune(service, tmp_path / "t.json", {}, True, "nowhere", None, print)


def test_a_site_without_a_past_goes_without_its_check(tmp_path: Path) -> None:
    service, lines = service_in(tmp_path, rainy_site()), list[str]()
    tuning._tell_history(service, NAME, ThresholdTable(), lines.append)
    assert lines[-1].startswith(f"{NAME}: no check by own history: ")
