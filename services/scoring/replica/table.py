"""The replica as tables and as a file, so that the page can be made again without training.

`python -m benchmarks replica` measures, prints, and writes the file.
"""

from __future__ import annotations

from collections.abc import Sequence
from pathlib import Path
from typing import NamedTuple

import msgspec

from services.scoring.replica.measure import (
    ABLATIONS,
    KF,
    KF_ARIMA,
    KF_LSTM,
    LABEL,
    LEVEL_RULE,
    MUSENET,
    NOISE_MM,
    ONE_LINER,
    PERSISTENCE,
    RAW,
    RELATIVE,
    RIDGE,
    Replica,
    Row,
)

RESULTS = Path(__file__).with_name("results.json")
TITLE = "Paper-protocol replica (not an operational score)"
PUBLISHED_MM = {MUSENET: 0.70, KF: 7.17, KF_ARIMA: 1.98, KF_LSTM: 2.05}
"""RMSE over all points of the source, whose data are others."""
GOAL_MM = 0.70
_NETWORKS = (*ABLATIONS, MUSENET)
_CASES = [(reading, labels) for reading in ("R1", "R2") for labels in ("raw", "smoothed")]
_MEANING = {
    "R1": "lags in days from t-1; the input contains the next acquisition",
    "R2": "30 lags of 12 days from t-12",
    "raw": "labels interpolated between epochs",
    "smoothed": "epochs first smoothed with two later and two earlier ones",
}


class Section(NamedTuple):
    """One table: title, heads and rows of text."""

    title: str
    columns: tuple[str, ...]
    rows: tuple[tuple[str, ...], ...]


def load(path: Path = RESULTS) -> Replica:
    """What was measured last. Raises FileNotFoundError where nothing was."""
    return msgspec.json.decode(path.read_bytes(), type=Replica)


def save(replica: Replica, path: Path = RESULTS) -> None:
    """Write the file of `load`."""
    path.write_bytes(msgspec.json.format(msgspec.json.encode(replica), indent=1) + b"\n")


def sections(replica: Replica) -> list[Section]:
    """A table a reading and kind of label, and one of what noise does to the rules."""
    return [*(_case(replica, *case) for case in _CASES), _by_noise(replica)]


def notes(replica: Replica) -> tuple[str, ...]:
    """What the tables show and under which conditions, in sentences made from the rows."""
    return (
        "Simulated slopes. Labels of every day are interpolated between epochs 12 days apart (our "
        "reading of the published protocol); a forecast of such a label is not a forecast of the "
        f"slope. Noise of an epoch {NOISE_MM:g} mm unless said otherwise; all errors in mm.",
        *(_best(replica, *case) for case in _CASES),
        "Error to truth is against the simulated motion of the same day. “Raw” networks are given "
        "displacements as they are; “relative” ones count them from the window's newest value "
        "(our choice: the source gives no scaling). KF is a local linear trend tuned on the "
        "training part; the source does not say what its own was. "
        "Published figures are from other data and stand here for orientation.",
        ". ".join(replica.conditions) + f". Measured in {replica.hours:.2f} hours.",
    )


def as_markdown(replica: Replica, level: int = 2) -> str:
    """The whole as a section of a page, its heading of `level`."""
    parts = [f"{'#' * level} {TITLE}", *notes(replica)]
    for section in sections(replica):
        rule = ("---", *("---:" for _ in section.columns[1:]))
        lines = ["| " + " | ".join(row) + " |" for row in (section.columns, rule, *section.rows)]
        parts += [f"**{section.title}**", "\n".join(lines)]
    return "\n\n".join(parts) + "\n"


def _best(replica: Replica, reading: str, labels: str) -> str:
    """The published network's best row of a case, beside what needs no network."""
    rows = [
        row
        for row in replica.rows
        if (row.model, row.reading, row.labels) == (MUSENET, reading, labels)
    ]
    best = min(rows, key=lambda row: row.rmse_mm)
    line, ridge = _beside(replica.rows, best)
    verdict = "reaches" if best.rmse_mm <= GOAL_MM else "does not reach"
    return (
        f"{reading}, {labels} labels: the best {MUSENET} ({best.inputs} input) has an RMSE of "
        f"{best.rmse_mm:.2f} mm against the label and {verdict} the published {GOAL_MM:.2f} mm; "
        f"the one-liner has {line} mm, ridge {ridge} mm. Against the true motion the same forecast "
        f"errs by {best.true_rmse_mm:.2f} mm."
    )


def _case(replica: Replica, reading: str, labels: str) -> Section:
    rows = [
        row
        for row in replica.rows
        if (row.reading, row.labels, row.noise_mm) == (reading, labels, NOISE_MM)
    ]
    columns = (
        "Model",
        "Input",
        "RMSE",
        "MAE",
        "RMSE / MAE",
        "RMSE to truth",
        "MAE to truth",
        "One-liner here",
        "Ridge here",
        "Published RMSE, other data",
        "Remark",
    )
    title = f"{reading}, {labels} labels: {_MEANING[reading]}; {_MEANING[labels]}"
    return Section(title, columns, tuple(_cells(rows, row) for row in rows))


def _cells(rows: Sequence[Row], row: Row) -> tuple[str, ...]:
    published = PUBLISHED_MM.get(row.model)
    errors = (row.rmse_mm, row.mae_mm, row.true_rmse_mm, row.true_mae_mm)
    rmse, mae, true_rmse, true_mae = (f"{error:.2f}" for error in errors)
    return (
        row.model,
        row.inputs or "–",
        rmse,
        mae,
        f"{row.rmse_mm / row.mae_mm:.1f}" if row.mae_mm > 0 else "–",
        true_rmse,
        true_mae,
        *(_beside(rows, row) if row.model in _NETWORKS else ("", "")),
        "" if published is None else f"{published:.2f}",
        row.remark,
    )


def _beside(rows: Sequence[Row], row: Row) -> tuple[str, str]:
    """RMSE of the one-liner, and of ridge on the same input, where `row` was measured."""
    here = [
        other
        for other in rows
        if (other.reading, other.labels, other.noise_mm) == (row.reading, row.labels, row.noise_mm)
    ]
    line = next(other for other in here if other.model == ONE_LINER)
    ridge = next(o for o in here if o.model == RIDGE and o.inputs == row.inputs)
    return f"{line.rmse_mm:.2f}", f"{ridge.rmse_mm:.2f}"


def _by_noise(replica: Replica) -> Section:
    shown = [(name, "") for name in (PERSISTENCE, ONE_LINER)]
    shown += [(RIDGE, RAW), (RIDGE, RELATIVE), (LEVEL_RULE, ""), (KF, "")]
    heads = [f"{name}, {inputs}" if inputs else name for name, inputs in shown]
    columns = ("Reading, labels", "Noise", "Label to truth", *heads)
    lines = []
    for reading, labels in _CASES:
        for noise in sorted({row.noise_mm for row in replica.rows}):
            found = {
                (row.model, row.inputs): row
                for row in replica.rows
                if (row.reading, row.labels, row.noise_mm) == (reading, labels, noise)
            }
            errors = [found[key].rmse_mm for key in shown]
            figures = [f"{error:.2f}" for error in (found[LABEL, ""].true_rmse_mm, *errors)]
            lines.append((f"{reading}, {labels}", f"{noise:g} mm", *figures))
    return Section("RMSE against the label by noise of an epoch, mm", columns, tuple(lines))
