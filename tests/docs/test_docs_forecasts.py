"""The pages on forecasts, their science and the twin say what the code does."""

from __future__ import annotations

import re
from pathlib import Path

import pytest

from core import plugins
from core.settings import Service
from core.twin.pools import NOISE_MODES
from core.twin.pools.plan import load_frozen, role_plan
from services.commands import exporting
from services.commands.training import PoolTraining
from services.inference.issuing import fitting, hull, ladder
from services.inference.model import HORIZONS_D, MODELS
from services.inference.models import musenet
from services.inference.numerics import hydrology, transfer_regression
from services.inference.trust import conformal, gate, inner, tally
from services.scoring.forecasts import folds
from services.understanding import lagmap, rhythm, shares, thinned

ROOT = Path(__file__).parents[2]


def text_of(name: str) -> str:
    """A page with its line ends made spaces."""
    return " ".join((ROOT / "docs" / name).read_text(encoding="utf-8").split())


def rows_of(name: str, columns: int) -> list[list[str]]:
    """Rows of the page's tables of so many columns, heads left out."""
    lines = (ROOT / "docs" / name).read_text(encoding="utf-8").splitlines()
    cells = [[c.strip() for c in line.strip("|").split(" | ")] for line in lines if line[:1] == "|"]
    return [row for row in cells if len(row) == columns and row[0].startswith("`")]


def needs_of(model: str) -> frozenset[str]:
    if model == "musenet":  # cannot be opened without the extra
        return musenet.MUSEnet.needs
    module = plugins.load(MODELS, model)
    return module.open(module.Settings()).needs


def test_the_table_of_models_is_whole_and_says_what_each_needs() -> None:
    table = {row[0].strip("`"): row[2] for row in rows_of("forecasts.md", 3) if row[2] in "yes no"}
    assert set(table) == set(plugins.names(MODELS))
    for model, reads in table.items():
        assert (reads == "yes") == bool(needs_of(model)), model


@pytest.mark.parametrize("dim", ["unit", "point"])
def test_every_exported_variable_is_named(dim: str) -> None:
    text = text_of("forecasts.md")
    for name, *_ in (*exporting._STATES, *exporting._FORECASTS, ("model",)):
        assert f"`{dim}_{name}`" in text, name


def test_figures_of_the_user_page_are_those_of_the_code() -> None:
    text = text_of("forecasts.md")
    days = ", ".join(map(str, HORIZONS_D[:-1]))
    judged = ", ".join(map(str, gate.JUDGED_D[:-1]))
    first, *rungs = (f"`{name}`" for name in (*gate.LADDER, ladder.FILTER))
    for said in (
        f"at {days} and {HORIZONS_D[-1]} days ahead",
        f"errors at {judged} and {gate.JUDGED_D[-1]} days",
        f"at least {inner.LEAST_FOLD_D} days",
        f"Below {fitting.FEWEST_EPOCHS} epochs",
        f"under {inner.LEAST_RECORD_D} days",
        f"every `refit_days` ({Service().refit_days})",
        f"{first}, then {', then '.join(rungs)}",
        f"more than a quarter of the last {hydrology.RECENT_D} days",
        f"{100 * hull.INSIDE_SHARE:.0f} of 100 of its days",
        f"distance of {('four', 'five')[len(hull.USED) - 4]} features",
        f"*{ladder.NOT_FITTED}*",
        f"at most {thinned.MOST}, evenly chosen",
    ):
        assert said in text, said
    assert gate.MOST_FILLED == 0.25
    readme = (ROOT / "README.md").read_text(encoding="utf-8")
    assert ("Ten models", "Eleven models", "Twelve models")[
        len(plugins.names(MODELS)) - 10
    ] in readme
    assert len(PoolTraining().seeds) == 3


def test_figures_of_the_science_page_are_those_of_the_code() -> None:
    text = text_of("science.md")
    rain = ", ".join(f"{d:.0f}" for d in hydrology.RAIN_MEANS_D[:-1])
    level = ", ".join(f"{d:.0f}" for d in hydrology.LEVEL_MEANS_D[:-1])
    for said in (
        f"means of {rain} and {hydrology.RAIN_MEANS_D[-1]:.0f} days",
        f"means of it over {level} and {hydrology.LEVEL_MEANS_D[-1]:.0f} days",
        f"prior worth {transfer_regression.TRUST:.0f} observations",
        f"more than {transfer_regression.MOST_NATS:.0f} nats",
        f"n / (n + {tally.LEAST})",
        f"forgotten at 1/{1 / conformal.FORGET:.0f} an epoch",
        f"step {conformal.STEP:g}, on the logarithm",
        f"for {conformal.MEMORY_D} days",
        f"under {tally.LEAST} epochs times sites",
        f"counts as {gate.POOL_EPOCHS} epochs more",
        f"within {100 * gate.TIE:.0f} %, the simplest",
        f"by {100 * gate.MARGIN:.0f} % in RMSE",
        f"in {100 * gate.SURE:.0f} of 100 resamples",
        f"blocks of {('four', 'five')[gate.BLOCK_EPOCHS - 4]} epochs",
        f"blocks of {folds.BLOCK_D} days",
        f"shift of 0 to {lagmap.LONGEST_D} days",
        f"up to {max(lagmap.MARGIN_D.values()):.0f} days",
        f"above {shares.INFLATED:.0f} shares mean little",
        f"{rhythm.SURROGATES:,} pairs of AR(1)",
        f"false discovery rate is held at {100 * rhythm.FALSE_DISCOVERIES:.0f} %",
    ):
        assert said in text, said
    assert folds.ISSUE_EVERY_D == 6
    assert folds.ORIGIN_DAY_OF_YEAR == 304


def test_the_table_of_pools_is_the_frozen_plan() -> None:
    frozen = load_frozen()
    table = {row[0].strip("`"): row for row in rows_of("twin.md", 6)}
    assert set(table) == set(frozen["roles"])
    for role, row in table.items():
        plan = role_plan(frozen, role)
        assert int(row[1]) == len(plan.seeds)
        assert f"{min(plan.seeds):,}" in row[2], role
        families = sorted(set(plan.hydrology_family))
        assert [f for f in ("buckets", "diffusion") if f in row[4]] == families or row[4] == "both"
    text = text_of("twin.md")
    assert all(f"`{noise}`" in text for noise in NOISE_MODES)
    assert "sites of seven years" in text
    assert frozen["years"] == 7


def test_tests_named_on_the_twin_page_exist() -> None:
    named = re.findall(r"`(test_\w+)`", text_of("twin.md"))
    code = "".join(p.read_text(encoding="utf-8") for p in (ROOT / "tests/core/twin").glob("*.py"))
    assert named
    assert [name for name in named if f"def {name}(" not in code] == []


def test_make_weights_runs_in_the_order_in_which_one_stands_on_the_other() -> None:
    makefile = (ROOT / "Makefile").read_text(encoding="utf-8")
    recipe = makefile.split("\nweights:", 1)[1].split("\n\n", 1)[0]
    steps = (
        "grow_boosting",
        "train --pool services/inference/musenet/weights",
        "scoring.fit_priors",
    )
    places = [recipe.index(step) for step in steps]
    assert places == sorted(places)


def test_sizes_of_what_ships_are_those_told() -> None:
    for file, _, size in (row for row in rows_of("forecasts.md", 3) if row[2].endswith(" MB")):
        path = ROOT / file.strip("`")
        files = [path] if path.is_file() else [f for f in path.iterdir() if f.is_file()]
        kept = sum(f.stat().st_size for f in files if ".progress." not in f.name)
        assert kept / 1e6 == pytest.approx(float(size.removesuffix(" MB")), rel=0.15, abs=0.02)
