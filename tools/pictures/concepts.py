"""The pictures of docs/concepts.md: `python -m tools.pictures.concepts` draws them anew."""

from __future__ import annotations

from pathlib import Path

from tools.pictures.svg import INK, LEVELS, PALE, SOFT, Drawing

FOLDER = Path(__file__).parents[2] / "docs" / "pictures"
ACCENT = "#0b5563"


def three_times() -> str:
    """One epoch on a time line: when it happened, was known, was taken in."""
    sheet = Drawing(820, 300, "The three times of one datum")
    left, day = 60, 100.0
    sheet.line((left - 20, 150), (800, 150), arrow=True)
    for number in range(7):
        x = left + number * day
        sheet.line((x, 144), (x, 156))
        sheet.text(x, 175, f"{number + 2} May", color=SOFT)
    marks = (
        (1.4, "valid_time", "the satellite passes", ACCENT),
        (3.4, "available_at", "the product is out", LEVELS["orange"]),
        (5.6, "processed_at", "our code takes it in", SOFT),
    )
    for at, name, what, color in marks:
        x = left + at * day
        sheet.line((x, 150), (x, 96), color=color)
        sheet.dot(x, 150, color, 7)
        sheet.text(x, 66, name, size=15, color=color, bold=True)
        sheet.text(x, 86, what)
    first, known = left + 1.4 * day, left + 3.4 * day
    sheet.line((first, 205), (known, 205), color=ACCENT, width=4)
    sheet.text((first + known) / 2, 228, "no decision may use it,")
    sheet.text((first + known) / 2, 246, "live or in a replay")
    sheet.line((known, 205), (790, 205), color=LEVELS["orange"], width=4)
    sheet.text((known + 790) / 2, 228, "every decision uses it, at the place")
    sheet.text((known + 790) / 2, 246, "of its valid time in the series")
    sheet.text(410, 285, "An example: latency differs from feed to feed.", size=12, color=SOFT)
    return sheet.done()


def level_and_coverage() -> str:
    """A season of one slope: epochs, level, coverage; the pass stops and the level stays."""
    sheet = Drawing(860, 400, "Level and coverage of one slope over a season")
    left, step = 120, 52.0
    heights = (214, 208, 205, 198, 190, 172, 148, 120)
    sheet.text(20, 130, "epochs", anchor="start", bold=True)
    sheet.text(20, 150, "(12 days apart)", anchor="start", size=11, color=SOFT)
    sheet.line((left, 230), (850, 230), arrow=True)
    sheet.line(*((left + 20 + n * step, y) for n, y in enumerate(heights)), color=SOFT, dashed=True)
    for number, y in enumerate(heights):
        sheet.dot(left + 20 + number * step, y, ACCENT)
    for number in range(8, 13):
        x = left + 20 + number * step
        sheet.line((x - 5, 216), (x + 5, 226), color=LEVELS["red"])
        sheet.line((x - 5, 226), (x + 5, 216), color=LEVELS["red"])
    sheet.text(left + 20 + 10 * step, 204, "no usable pass", color=LEVELS["red"])
    last = left + 20 + 7 * step
    _bar(sheet, 258, "level", _levels(left, step))
    _bar(
        sheet,
        312,
        "coverage",
        (
            (left, last + 2 * step, "watched", "#15803d"),
            (last + 2 * step, last + 4 * step, "stale", "#94a3b8"),
            (last + 4 * step, 850, "blind", INK),
        ),
    )
    for passes, why in ((2, "2 intervals"), (4, "4 intervals")):
        x = last + passes * step
        sheet.line((x, 60), (x, 350), dashed=True)
        sheet.text(x, 50, why, size=12, color=SOFT)
    sheet.text(last, 94, "last measured", size=12, color=SOFT)
    kept = "The level stays orange: what is not seen gives no all-clear."
    sheet.text(430, 382, f"{kept} Blind is told, stale is shown.", size=13)
    return sheet.done()


def _levels(left: float, step: float) -> tuple[tuple[float, float, str, str], ...]:
    yellow, orange = left + 20 + 5 * step, left + 20 + 6 * step
    return (
        (left, yellow, "blue", LEVELS["blue"]),
        (yellow, orange, "yellow", LEVELS["yellow"]),
        (orange, 850, "orange", LEVELS["orange"]),
    )


def _bar(
    sheet: Drawing, y: float, name: str, parts: tuple[tuple[float, float, str, str], ...]
) -> None:
    sheet.text(20, y + 22, name, anchor="start", bold=True)
    for start, end, what, color in parts:
        sheet.box(start + 1, y, end - start - 2, 34, color)
        ink = INK if what == "yellow" else "#fff"
        sheet.text((start + end) / 2, y + 22, what, size=12, color=ink)


def epoch_to_warning() -> str:
    """The chain from a pass to a person, with what each step leaves behind."""
    sheet = Drawing(900, 400, "How a satellite epoch becomes a warning")
    steps = (
        ("1  ingest", "takes the pass in", "observations"),
        ("2  inference", "filters: rate, excess", "assessments, evidence"),
        ("3  rules", "a vote each, with reason", "votes"),
        ("4  alerting", "level, alert, who is told", "decision in the ledger"),
        ("5  senders", "until it is taken", "receipts"),
        ("6  a person", "acknowledges", "operator's word"),
    )
    sheet.text(450, 30, "satellite, rain and level gauges, products", bold=True)
    for number, (name, does, leaves) in enumerate(steps):
        column, row = number % 3, number // 3
        x, y = 25 + column * 300, 70 + row * 160
        sheet.box(x, y, 250, 92, "#f1f7f8", ACCENT)
        sheet.text(x + 125, y + 27, name, size=15, color=ACCENT, bold=True)
        sheet.text(x + 125, y + 49, does)
        sheet.box(x + 12, y + 61, 226, 23, PALE)
        sheet.text(x + 125, y + 77, leaves, size=12, color=SOFT)
        if column < 2:
            sheet.line((x + 252, y + 46), (x + 297, y + 46), arrow=True)
    sheet.line((450, 38), (450, 52), (150, 52), (150, 68), arrow=True)
    sheet.line((750, 162), (750, 196), (150, 196), (150, 228), arrow=True)
    sheet.text(450, 190, "each step reads the log and can be run again", size=12, color=SOFT)
    sheet.box(25, 345, 550, 40, "#fff", SOFT)
    sheet.text(300, 370, "watchdog: speaks when closed days stop arriving", size=13)
    sheet.line((150, 324), (150, 343), dashed=True, arrow=True)
    sheet.box(600, 345, 275, 40, "#fff", SOFT)
    sheet.text(737, 370, "Prometheus: before a slope goes blind", size=13)
    return sheet.done()


PICTURES = {
    "three-times.svg": three_times,
    "level-and-coverage.svg": level_and_coverage,
    "epoch-to-warning.svg": epoch_to_warning,
}


def main() -> None:
    """Draw all of them into docs/pictures."""
    for name, draw in PICTURES.items():
        (FOLDER / name).write_text(draw(), encoding="utf-8")
        print(FOLDER / name)


if __name__ == "__main__":
    main()
