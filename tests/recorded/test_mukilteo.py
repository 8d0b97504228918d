"""The rule on rain on a real winter, counted again by a slow and separate way."""

from __future__ import annotations

from collections import defaultdict
from dataclasses import fields, replace
from datetime import date, datetime, timedelta
from pathlib import Path

import numpy as np
import pytest

from benchmarks import bench_rain_roc as bench
from benchmarks import mukilteo
from benchmarks.frame import as_markdown, as_text
from core.evidence import Evidence
from services.alerting.rules import rain
from services.alerting.thresholds import Limits, ThresholdTable
from services.scoring.rain_roc import roc

SEATTLE = ThresholdTable("seattle", {"rain": Limits(1.0)})
PAGE = Path(__file__).parents[2] / "docs" / "rain.md"
DAY = timedelta(days=1)
EVENTS = [
    (date(2010, 12, 9), date(2010, 12, 12)),
    (date(2011, 1, 13), date(2011, 1, 13)),
    (date(2011, 1, 19), date(2011, 1, 19)),
    (date(2011, 1, 29), date(2011, 1, 29)),
    (date(2011, 3, 10), date(2011, 3, 18)),
    (date(2011, 11, 23), date(2011, 11, 23)),
]
"""The 11 dates of the file, put together by hand."""


@pytest.fixture(scope="module")
def folder(recorded: Path) -> Path:
    return recorded.parent / "data" / "usgs_mukilteo"


@pytest.fixture(scope="module")
def winter(folder: Path) -> bench.Winter:
    return bench.read(folder)


class Slow:
    """The same record in hundredths of an inch, by dictionaries and loops."""

    def __init__(self, path: Path) -> None:
        self.hundredths: dict[date, int] = defaultdict(int)
        self.hours: dict[date, int] = defaultdict(int)
        for row in path.read_text().split():
            day = date(int(row[2:6]), int(row[6:8]), int(row[8:10]))
            self.hundredths[day] += int(row[12:])
            self.hours[day] += 1
        first, last = min(self.hours), max(self.hours)
        days = [first + i * DAY for i in range((last - first).days + 1)]
        self.ratio = {day: self._ratio(day) for day in days[17:]}

    def _ratio(self, day: date) -> float | None:
        """(P3 + 0.67 P15) / 3.5 in inches; None with more than 2 of 18 days not known."""
        back = [day - i * DAY for i in range(18)]
        known = [self.hours[d] >= 18 for d in back]
        if known.count(False) > 2:
            return None
        fallen = [self.hundredths[d] / 100 if self.hours[d] >= 18 else 0.0 for d in back]
        return (sum(fallen[:3]) + 0.67 * sum(fallen[3:])) / 3.5

    def alarms(self, limit: float) -> list[date]:
        return [d for d, ratio in self.ratio.items() if ratio is not None and ratio >= limit]

    def counts(self, limit: float) -> tuple[int, ...]:
        alarms = self.alarms(limit)
        hits = [0, 0, 0]
        for first, last in EVENTS:
            for place, end in enumerate((first - DAY, first, last)):
                hits[place] += any(first - 3 * DAY <= day <= end for day in alarms)
        episodes: list[list[date]] = []
        for day in alarms:
            if episodes and (day - episodes[-1][-1]).days <= 3:
                episodes[-1].append(day)
            else:
                episodes.append([day])
        false = sum(
            not any(first <= e[-1] + 3 * DAY and last >= e[0] for first, last in EVENTS)
            for e in episodes
        )
        return (*hits, len(EVENTS), len(episodes), false, len(alarms))

    def area(self, months: tuple[int, ...]) -> tuple[float, int, int]:
        """Share of pairs in which a day 1 to 3 days before an event is above a quiet one."""
        before, quiet = [], []
        for day, ratio in self.ratio.items():
            if ratio is None or day.month not in months:
                continue
            if any(1 <= (first - day).days <= 3 for first, _ in EVENTS):
                before.append(ratio)
            elif not any(first <= day <= last for first, last in EVENTS):
                quiet.append(ratio)
        won = sum((a > b + 1e-9) + 0.5 * (abs(a - b) <= 1e-9) for a in before for b in quiet)
        return won / len(before) / len(quiet), len(before), len(quiet)


@pytest.fixture(scope="module")
def slow(folder: Path) -> Slow:
    return Slow(folder / mukilteo.STATION)


def test_the_record_is_what_its_provenance_says(folder: Path) -> None:
    hours = mukilteo.read_hours(folder / mukilteo.STATION)
    seen = np.isfinite(hours.hundredths)
    assert hours.first_day == mukilteo.number_of(date(2010, 7, 24))
    assert len(hours.hundredths) == 526
    assert (int(seen.sum()), int(np.nansum(hours.hundredths))) == (12521, 4978)
    short = seen.sum(axis=1) < mukilteo.LEAST_HOURS
    assert [mukilteo.day_of(hours.first_day + row) for row in np.flatnonzero(short)] == [
        date(2011, 4, 13), date(2011, 4, 14), date(2011, 4, 15),
    ]  # fmt: skip
    rain_mm = mukilteo.daily_mm(hours)
    on = {day: rain_mm[mukilteo.number_of(day) - hours.first_day] for day in (
        date(2010, 12, 12), date(2011, 11, 22), date(2011, 4, 14))}  # fmt: skip
    assert on[date(2010, 12, 12)] == pytest.approx(0.96 * 25.4)
    assert np.isnan(on[date(2011, 4, 14)])


def test_dates_within_three_days_are_six_events(winter: bench.Winter) -> None:
    found = [(mukilteo.day_of(a), mukilteo.day_of(b)) for a, b in zip(*winter.slides, strict=True)]
    assert found == EVENTS
    assert winter.reports == 11


@pytest.mark.parametrize(
    ("limit", "counts"),
    [
        (0.4, (6, 6, 6, 6, 10, 7, 195)),
        (0.5, (3, 5, 5, 6, 11, 7, 133)),
        (0.6, (2, 3, 4, 6, 10, 6, 76)),
        (0.8, (1, 1, 2, 6, 4, 2, 42)),
        (1.0, (0, 1, 2, 6, 3, 1, 26)),
        (1.2, (0, 1, 1, 6, 1, 0, 2)),
    ],
)
def test_hits_misses_and_false_alarms(
    winter: bench.Winter, slow: Slow, limit: float, counts: tuple[int, ...]
) -> None:
    found = bench.counted(winter, bench.RULE, limit)
    assert slow.counts(limit) == counts
    assert found[1:-1] == counts
    assert found.days == 493


def test_the_rule_votes_day_by_day_as_it_is_scored(
    winter: bench.Winter, slow: Slow, folder: Path, nothing: Evidence
) -> None:
    hours = mukilteo.read_hours(folder / mukilteo.STATION)
    rain_mm = mukilteo.daily_mm(hours)
    rule = rain.open(rain.Settings(), SEATTLE)
    asked, unsure = [], 0
    for row in range(17, len(rain_mm)):
        known = replace(
            nothing,
            driver_day=hours.first_day + np.arange(row + 1),
            rain_mm=rain_mm[: row + 1],
            level_m=np.full(row + 1, np.nan),
        )
        (vote,) = rule.vote(known, "-")
        unsure += not vote.calibrated
        if vote.level == "yellow":
            asked.append(mukilteo.day_of(hours.first_day + row))
    assert asked == slow.alarms(1.0)
    assert unsure == 16


@pytest.fixture
def nothing() -> Evidence:
    empty = {field.name: np.zeros((0, 1)) for field in fields(Evidence)}
    return Evidence(
        **{
            **empty,
            "units": ("bluff",),
            "epoch_day": np.zeros(0, np.int64),
            "out_of_range": np.zeros((0, 1), bool),
            "los_factor": np.full(1, np.nan),
        }
    )


def test_the_published_line_by_the_hour(winter: bench.Winter, folder: Path) -> None:
    fallen = {
        datetime(int(r[2:6]), int(r[6:8]), int(r[8:10]), int(r[10:12])): int(r[12:]) / 100
        for r in (folder / mukilteo.STATION).read_text().split()
        if int(r[12:])
    }
    moments = [datetime(2011, 11, 22, 23) + timedelta(hours=h) for h in range(24)]
    ratios = []
    for moment in [m + timedelta(hours=1) for m in moments]:
        age = {(moment - m).total_seconds() / 3600: inches for m, inches in fallen.items()}
        p3 = sum(inches for hours, inches in age.items() if 0 <= hours < 72)
        p15 = sum(inches for hours, inches in age.items() if 72 <= hours < 432)
        ratios.append((p3 + 0.67 * p15) / 3.5)
    at = mukilteo.number_of(date(2011, 11, 23)) - int(winter.day[0])
    assert winter.statistics[bench.PUBLISHED][at] == pytest.approx(max(ratios))
    found = bench.counted(winter, bench.PUBLISHED, 1.0)
    assert found[1:-1] == (0, 1, 2, 6, 3, 1, 29)


def test_areas_under_the_curve(winter: bench.Winter, slow: Slow) -> None:
    months = np.array([mukilteo.day_of(day).month for day in winter.day])
    for season, wanted in ((tuple(range(1, 13)), (0.66, 18, 458)),
                           (bench.WET_MONTHS, (0.46, 18, 191))):  # fmt: skip
        found = roc(
            winter.day, winter.statistics[bench.RULE], winter.slides,
            least_lead_d=1, among=np.isin(months, season),
        )  # fmt: skip
        area, before, quiet = slow.area(season)
        assert (found.positives, found.quiet) == (before, quiet) == wanted[1:]
        assert found.area.value == pytest.approx(area, abs=1e-6)
        assert found.area.value == pytest.approx(wanted[0], abs=0.005)
        assert found.area.low < 0.5 < found.area.high


def test_the_tables_say_that_one_winter_is_no_proof(
    folder: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setenv("SLOPEWATCH_RECORDED", str(folder.parents[1]))
    printed = "\n".join(map(as_text, bench.run(quick=True)))
    assert "One winter is no proof" in printed
    assert "P3 = 3.5 - 0.67 P15" in printed
    assert "rule rain, 1 " in printed
    assert "0 of 6" in printed


def test_the_page_holds_what_the_benchmark_prints(
    folder: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setenv("SLOPEWATCH_RECORDED", str(folder.parents[1]))
    page = PAGE.read_text(encoding="utf-8").splitlines()
    counts, _, curves = bench.run(quick=True)
    for table in (counts, curves):
        for line in as_markdown(table._replace(notes=())).splitlines():
            assert line in page, f"write docs/rain.md anew: python -m benchmarks rain_roc: {line}"


@pytest.mark.parametrize(
    ("rows", "why"),
    [
        ("022010072400000\n0220100724", "row 2: not SSYYYYMMDDHHVVV"),
        ("022010072401000\n022010072401000", "row 2: .* is not after the row before"),
        ("022010072401000\n032010072402000", "row 2: station 03 in a record of station 02"),
        ("022010072424000", "row 1: "),
        ("022010023001000", "row 1: "),
        ("", "has no rows"),
    ],
)
def test_a_damaged_record_is_refused(tmp_path: Path, rows: str, why: str) -> None:
    path = tmp_path / "station.txt"
    path.write_text(rows)
    with pytest.raises(ValueError, match=why):
        mukilteo.read_hours(path)


def test_without_the_record_the_benchmark_says_what_to_do(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setenv("SLOPEWATCH_RECORDED", str(tmp_path))
    with pytest.raises(bench.LeftOutError, match="set SLOPEWATCH_RECORDED"):
        bench.run(quick=True)
