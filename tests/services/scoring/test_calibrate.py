from __future__ import annotations

import json
from pathlib import Path
from typing import Any

import numpy as np
import pytest

from core.twin import SEED_RANGES
from services.alerting.thresholds import load_table
from services.scoring import calibrate, table
from services.scoring.calibrate import SHIPPED, table_bytes
from services.scoring.held_out import held_out
from services.scoring.held_out_page import as_json, markdown, tables
from services.scoring.pool import NOISE, YEARS
from services.scoring.pools import QUICK, Counts, calibration_pools, held_out_pools
from services.scoring.table import printed, score_rules
from services.scoring.voters import MOTION, ON_WATER


@pytest.fixture(scope="module")
def made(tmp_path_factory: pytest.TempPathFactory) -> Path:
    out = tmp_path_factory.mktemp("tables") / "quick.json"
    calibrate.main(["--quick", "--out", str(out)])
    return out


def shipped() -> dict[str, Any]:
    tree: dict[str, Any] = json.loads(SHIPPED.read_bytes())
    return tree


def test_a_table_can_be_loaded_and_its_levels_rise(made: Path) -> None:
    loaded = load_table(made.read_bytes())
    assert loaded.rules
    named = {name.removesuffix(" without water") for name in loaded.rules}
    assert named <= set(MOTION)
    assert {n for n in loaded.rules if n.endswith(" without water")} <= {
        f"{n} without water" for n in ON_WATER
    }
    for limits in loaded.rules.values():
        assert 0 < limits.yellow <= limits.orange <= limits.red < np.inf


def test_the_same_seeds_give_the_same_bytes(made: Path) -> None:
    assert table_bytes(calibrate.calibrated(QUICK)) == made.read_bytes()


def test_a_quick_table_never_replaces_the_shipped_one(capsys: pytest.CaptureFixture[str]) -> None:
    with pytest.raises(SystemExit):
        calibrate.main(["--quick"])
    assert "not for use" in capsys.readouterr().err


def test_calibration_keeps_to_its_own_seeds() -> None:
    pool, dry = calibration_pools(Counts(2, 2, 2, 4), ("gauges", "none"))
    assert len(pool) == len(dry) == 10
    assert len(set(pool.seeds)) == 10
    assert set(pool.seeds) <= set(SEED_RANGES["calibration"])
    assert set(pool.hydrology_family) == {"diffusion"}
    assert np.isnan(dry.evidence.rain_mm).all()
    np.testing.assert_array_equal(pool.evidence.velocity_mm_d, dry.evidence.velocity_mm_d)
    used = pool.usable
    assert (pool.evidence.excess_mm_d[used] != dry.evidence.excess_mm_d[used]).mean() > 0.9


def test_the_held_out_test_has_seeds_of_its_own_and_both_hydrology_families() -> None:
    (pool,) = held_out_pools(Counts(2, 2, 2, 4))
    assert set(pool.seeds) <= set(SEED_RANGES["test"])
    assert set(pool.hydrology_family) == {"diffusion", "buckets"}
    assert set(pool.runaway_family[pool.kind == "failing"]) == {"voight", "weakening"}


def test_the_page_of_the_held_out_test_tells_every_figure(made: Path) -> None:
    found = held_out(made.read_bytes(), Counts(8, 2, 2, 8))
    page = markdown(found, ("one core",), {"orange": 11}, 1.0)
    for name in ("slopewatch, orange", "two-epoch velocity", "always on", "never on", *MOTION):
        assert name in page
    assert "no real failure was used" in page
    always = next(row for row in found.rows if row.name == "always on")
    never = next(row for row in found.rows if row.name == "never on")
    assert always.whole.alarm_share["all"] == 1.0
    assert always.whole.detection[14].value == never.whole.detection[14].value == 0.0
    assert sum(found.failures.values()) == never.whole.failures
    assert all(len(row) == len(table.columns) for table in tables(found) for row in table.rows)
    assert json.loads(as_json(found))["version"] == found.version


def test_the_shipped_table_was_made_with_the_filter_in_use() -> None:
    tree = shipped()
    assert load_table(SHIPPED.read_bytes()).version == tree["version"] == calibrate.VERSION
    made_from = tree["made_from"]
    assert made_from["years"] == YEARS
    for name, value in made_from["filter"].items():
        assert getattr(NOISE, name) == value
    assert made_from["seeds"]["range"] == [1_000_000, 2_000_000]


def test_the_shipped_table_keeps_to_its_budgets() -> None:
    tree = shipped()
    for level, budget in tree["choices"]["budgets"].items():
        figures = tree["calibration"][level]
        rate, _, high = figures["false_alarms_a_unit_year"]["all"]
        assert rate <= high <= budget["false_alarms"]
        assert figures["alarm_share"]["all"] <= budget["alarm_share"]
    assert tree["calibration"]["orange"]["false_alarms_a_unit_year"]["all"][2] <= 0.07
    assert tree["calibration"]["orange"]["unit_years"]["all"] >= 3000


def test_the_score_table_has_every_row_and_says_its_conditions(made: Path) -> None:
    result = score_rules(10, 10, aborted=4, step=4, table=made)
    assert all(len(row) == len(result.columns) for row in result.rows)
    names = [row[0] for row in result.rows]
    assert names[0] == "slopewatch, orange"
    assert {"always on", "never on", "two-epoch velocity"} <= set(names)
    assert "Simulated" in result.note
    always = dict(zip(names, result.rows, strict=True))["always on"]
    assert always[1].startswith("0 %")
    assert always[-1] == "100.0 %"
    assert len(printed(result).splitlines()) == len(result.rows) + 5


def test_the_command_prints_table_and_versions(
    made: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    small = ["--failing", "4", "--quiet", "4", "--aborted", "0", "--step", "0"]
    table.main([*small, "--table", str(made)])
    said = capsys.readouterr().out
    assert "slopewatch, orange" in said
    assert "–" in said
    assert "numpy" in said
