from __future__ import annotations

from dataclasses import replace
from pathlib import Path

import numpy as np
import pytest

from services.scoring.replica.filters import fit_filter
from services.scoring.replica.measure import (
    KF,
    LABEL,
    LEVEL_RULE,
    MUSENET,
    ONE_LINER,
    PERSISTENCE,
    RAW,
    RELATIVE,
    RIDGE,
    Case,
    Replica,
    Row,
    windows_of_filtered,
)
from services.scoring.replica.stack import Stack
from services.scoring.replica.table import as_markdown, load, notes, save, sections
from services.scoring.replica.windows import TEST, windows

MODELS = [(LABEL, ""), (PERSISTENCE, ""), (ONE_LINER, ""), (RIDGE, RAW), (RIDGE, RELATIVE)]
MODELS += [(LEVEL_RULE, ""), (KF, ""), (MUSENET, RAW), (MUSENET, RELATIVE)]


@pytest.fixture
def replica() -> Replica:
    """Rows whose errors count up, so that each is told apart."""
    rows = [
        Row(reading, labels, noise, model, inputs, 0.0, 0.0, 0.0, 0.0)
        for reading in ("R1", "R2")
        for labels in ("raw", "smoothed")
        for noise in (0.0, 3.0, 5.0)
        for model, inputs in MODELS
    ]
    counted = [replace(row, rmse_mm=n + 0.25, mae_mm=0.5) for n, row in enumerate(rows)]
    return Replica(tuple(counted), ("Somewhere",), 0.25)


def test_a_row_has_errors_against_label_and_truth(counted: Stack) -> None:
    made = windows(counted, "R1", 400, 500)
    long = made._replace(
        label_mm=np.zeros((1648, 2)), truth_mm=np.broadcast_to([1.0, -3.0], (1648, 2))
    )
    case = Case("raw", 3.0, counted, long)
    forecast = np.broadcast_to([3.0, -4.0], (558, 2))
    row = case.row("model", forecast, "raw")
    assert (row.reading, row.labels, row.noise_mm, row.inputs) == ("R1", "raw", 3.0, "raw")
    assert row.rmse_mm == pytest.approx(12.5**0.5)
    assert row.mae_mm == pytest.approx(3.5)
    assert row.true_rmse_mm == pytest.approx(2.5**0.5)
    assert row.true_mae_mm == pytest.approx(1.5)
    assert case.given.label_mm[TEST].shape == forecast.shape


def test_filtered_windows_keep_the_label_and_know_no_later_day(stack: Stack) -> None:
    case = Case("raw", 3.0, stack, windows(stack, "R2"))
    made = windows_of_filtered(case, fit_filter(stack, "R2"))
    np.testing.assert_array_equal(made.label_mm, case.given.label_mm)
    assert np.isfinite(made.deformation_mm).all()
    assert (made.deformation_mm[..., 0] != case.given.deformation_mm[..., 0]).any()


def test_what_is_saved_is_loaded(replica: Replica, tmp_path: Path) -> None:
    save(replica, tmp_path / "results.json")
    assert load(tmp_path / "results.json") == replica


def test_every_row_of_the_network_stands_beside_the_one_liner_and_ridge(replica: Replica) -> None:
    shown = 0
    for section, case in zip(
        sections(replica)[:4],
        [(r, x) for r in ("R1", "R2") for x in ("raw", "smoothed")],
        strict=True,
    ):
        assert section.title.startswith(f"{case[0]}, {case[1]} labels")
        found = {
            (row.model, row.inputs): row
            for row in replica.rows
            if (row.reading, row.labels, row.noise_mm) == (*case, 3.0)
        }
        for cells in section.rows:
            here = dict(zip(section.columns, cells, strict=True))
            if here["Model"] == MUSENET:
                shown += 1
                assert here["One-liner here"] == f"{found[ONE_LINER, ''].rmse_mm:.2f}"
                assert here["Ridge here"] == f"{found[RIDGE, here['Input']].rmse_mm:.2f}"
                assert here["Published RMSE, other data"] == "0.70"
    assert shown == 8


def test_the_ratio_is_left_out_where_nothing_is_missed(replica: Replica) -> None:
    rows = tuple(replace(r, mae_mm=0.0) if r.model == LABEL else r for r in replica.rows)
    first = sections(replace(replica, rows=rows))[0].rows
    assert first[0][4] == "–"
    assert first[1][4] != "–"


@pytest.mark.parametrize(("rmse", "said"), [(0.69, "reaches"), (0.71, "does not reach")])
def test_the_page_says_whether_the_published_figure_is_reached(
    replica: Replica, rmse: float, said: str
) -> None:
    rows = tuple(replace(r, rmse_mm=rmse) if r.model == MUSENET else r for r in replica.rows)
    told = [note for note in notes(replace(replica, rows=rows)) if note.startswith("R1, raw")]
    assert len(told) == 1
    assert f"{rmse:.2f} mm against the label and {said} the published 0.70 mm" in told[0]


def test_the_page_names_itself_no_operational_score(replica: Replica) -> None:
    page = as_markdown(replica)
    assert page.startswith("## Paper-protocol replica (not an operational score)\n")
    assert "Simulated slopes" in page
    assert "Published RMSE, other data" in page
    assert "Somewhere. Measured in 0.25 hours." in page
    widths = {line.count("|") for line in page.splitlines() if line.startswith("| R")}
    assert widths == {10}


def test_the_shipped_figures_hold_what_the_page_claims() -> None:
    replica = load()
    best = {
        reading: min(r.rmse_mm for r in replica.rows if (r.model, r.reading) == (MUSENET, reading))
        for reading in ("R1", "R2")
    }
    assert best["R1"] <= 0.70
    assert len(sections(replica)) == 5
