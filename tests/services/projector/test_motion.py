"""Motion, forecasts, closed days and sites in tables."""

from __future__ import annotations

from collections.abc import Sequence
from datetime import date, timedelta
from pathlib import Path
from typing import Any

import numpy as np
import pytest

from core.artifacts import MemoryArtifacts
from core.errors import BadInputError
from core.eventlog import EventLog
from core.events import (
    ASSESSMENTS,
    Event,
    ForecastIssued,
    SiteConfigured,
    StateUpdated,
    UnitForecast,
    UnitState,
)
from core.evidence import Evidence, pack_evidence, unpack_evidence
from core.settings import Site, site_bytes
from services.projector.motion import DAYS_A_YEAR, Motion
from tests.pipeline import Bench, Scene, append, day, end_of, events_of, make_site, midnight
from tests.services.alerting.motion_evidence import motion_evidence
from tests.services.projector.looking import LATE, SEASON_DAYS, Looking, look, named

HORIZONS = (0, 6, 12)


@pytest.fixture
def url(tmp_path: Path) -> str:
    return f"sqlite://{tmp_path}/projection.db"


class Said:
    """What inference says of one site, numbered."""

    def __init__(self, log: EventLog, artifacts: MemoryArtifacts, site: Site) -> None:
        self.scene = Scene(site, artifacts)
        self._log = log
        self._number = 0

    def say(self, data: Any, number: int, valid: date | None = None) -> None:
        """At the end of day `number`."""
        self._number += 1
        when = end_of(day(number))
        event = self.scene.event(data, when if valid is None else midnight(valid), when)
        append(self._log, ASSESSMENTS, [_numbered(event, self._number)])

    def configured(self, number: int, site: Site | None = None, **facts: Any) -> None:
        settings = self.scene.artifacts.put(site_bytes(site or self.scene.site))
        self.say(SiteConfigured(settings=settings, **facts), number)

    def moved(self, number: int, evidence: Evidence, epoch: int) -> None:
        """The evidence of an epoch by its place."""
        self.say(
            StateUpdated(
                reason="epoch",
                track="A44",
                epoch=_day_of(evidence, epoch),
                seq=1,
                units=(),
                evidence=self.scene.artifacts.put(pack_evidence(evidence)),
            ),
            number,
        )

    def stood(self, number: int, **los_mm: float | None) -> None:
        """The filtered state of each unit at the end of a day."""
        units = tuple(
            UnitState(
                track="A44",
                unit=unit,
                los_displacement_mm=value,
                displacement_sd_mm=1.0,
                los_velocity_mm_d=0.0,
                velocity_sd_mm_d=1.0,
            )
            for unit, value in los_mm.items()
        )
        state = StateUpdated(
            reason="day", track=None, epoch=None, seq=1, units=units, evidence=None
        )
        self.say(state, number)

    def forecast(self, number: int, model: str, *units: str) -> None:
        self.say(
            ForecastIssued(
                model="best",
                issued_for=day(number),
                horizons_d=HORIZONS,
                units=tuple(_expected(unit, model) for unit in units),
                seq=1,
            ),
            number,
        )


def _numbered(event: Event, number: int) -> Event:
    import msgspec

    return msgspec.structs.replace(event, number=number, id=f"{event.id}-{number}")


def _day_of(evidence: Evidence, epoch: int) -> date:
    return date(1970, 1, 1) + timedelta(days=int(evidence.epoch_day[epoch]))


def _expected(unit: str, model: str) -> UnitForecast:
    mean = (0.5, -1.0, -2.0)
    return UnitForecast(
        track="A44",
        unit=unit,
        los_increment_mm=mean,
        increment_sd_mm=(1.0, 1.0, 1.0),
        low_90_mm=tuple(one - 4.0 for one in mean),
        low_50_mm=tuple(one - 2.0 for one in mean),
        high_50_mm=tuple(one + 2.0 for one in mean),
        high_90_mm=tuple(one + 4.0 for one in mean),
        model=model,
        reason="it was best",
    )


def _read(url: str, log: EventLog, artifacts: MemoryArtifacts) -> None:
    with Looking(url, log, artifacts) as looking:
        looking.drain()
        assert looking.parked() == {}


def _evidence(mm: Sequence[Sequence[float]]) -> Evidence:
    return motion_evidence(np.array(mm, float), sd_mm=3.0)


def test_motion_equals_the_newest_evidence_of_each_track_late_epochs_too(
    url: str, bench: Bench
) -> None:
    look(url, bench)
    newest = {
        event.data.track: unpack_evidence(bench.artifacts.get(event.data.evidence))
        for event in events_of(bench.log, ASSESSMENTS)
        if isinstance(event.data, StateUpdated) and event.data.reason == "epoch"
    }
    found = {(row.track, row.unit, row.epoch): row for row in named(url, "motion")}
    assert len(newest) == 2
    assert ("A44", "toe", day(LATE)) in found
    count = 0
    for track, evidence in newest.items():
        for e in range(evidence.epoch_day.size):
            for u, unit in enumerate(evidence.units):
                row = found[track, unit, _day_of(evidence, e)]
                assert row.los_displacement_mm == evidence.observed_mm[e, u]
                assert row.displacement_sd_mm == evidence.observed_sd_mm[e, u]
                assert row.los_velocity_mm_per_year == DAYS_A_YEAR * evidence.velocity_mm_d[e, u]
                assert row.velocity_sd_mm_per_year == (
                    DAYS_A_YEAR * evidence.velocity_sd_mm_d[e, u]
                )
                count += 1
    assert count == len(found)


def test_forecasts_go_on_from_the_measured_displacement(url: str, bench: Bench) -> None:
    look(url, bench)
    last = {(row.track, row.unit): row for row in named(url, "motion")}
    rows = named(url, "forecasts")
    assert {row.issued_for for row in rows} == {day(SEASON_DAYS - 1)}
    for row in rows:
        assert row.day == row.issued_for + timedelta(days=row.horizon_d)
        assert row.low_90_mm < row.low_50_mm < row.los_displacement_mm < row.high_50_mm
        assert row.high_50_mm < row.high_90_mm
        if row.horizon_d == 0:
            measured = last[row.track, row.unit]
            passed = (row.issued_for - measured.epoch).days
            moved = measured.los_velocity_mm_per_year / DAYS_A_YEAR * passed
            off = row.los_displacement_mm - (measured.los_displacement_mm + moved)
            assert abs(off) < 3 * measured.displacement_sd_mm


def test_the_newest_forecast_stands_in_absolute_displacement(
    url: str, empty: EventLog, artifacts: MemoryArtifacts
) -> None:
    said = Said(empty, artifacts, make_site("ridge"))
    said.configured(0)
    said.stood(1, toe=-40.0, head=-10.0)
    said.forecast(1, "linear", "toe", "head")
    said.stood(2, toe=-41.0, head=None)
    said.forecast(2, "kalman", "toe", "head")
    _read(url, empty, artifacts)
    rows = named(url, "forecasts")
    assert [(r.unit, r.horizon_d, r.day, r.los_displacement_mm) for r in rows] == [
        ("toe", 0, day(2), -40.5),
        ("toe", 6, day(8), -42.0),
        ("toe", 12, day(14), -43.0),
    ]
    assert {(r.model, r.issued_for, r.available_at) for r in rows} == {
        ("kalman", day(2), end_of(day(2)))
    }
    assert (rows[0].low_90_mm, rows[0].high_50_mm) == (-44.5, -38.5)


def test_a_forecast_without_the_state_of_its_day_is_not_shown(
    url: str, empty: EventLog, artifacts: MemoryArtifacts
) -> None:
    said = Said(empty, artifacts, make_site("ridge"))
    said.configured(0)
    said.stood(1, toe=-40.0)
    said.forecast(2, "linear", "toe")
    _read(url, empty, artifacts)
    assert named(url, "forecasts") == []


def test_rows_before_a_late_epoch_keep_the_time_at_which_they_were_known(
    url: str, empty: EventLog, artifacts: MemoryArtifacts
) -> None:
    said = Said(empty, artifacts, make_site("ridge"))
    said.configured(0)
    said.moved(1, _evidence([[0.0], [5.0], [9.0]]), 2)
    said.moved(5, _evidence([[0.0], [6.0], [8.0]]), 1)
    _read(url, empty, artifacts)
    assert [(-r.los_displacement_mm, r.available_at) for r in named(url, "motion")] == [
        (0.0, end_of(day(1))),
        (6.0, end_of(day(5))),
        (8.0, end_of(day(5))),
    ]


def test_another_geometry_makes_the_track_anew_and_another_recipient_does_not(
    url: str, empty: EventLog, artifacts: MemoryArtifacts
) -> None:
    site = make_site("ridge")
    said = Said(empty, artifacts, site)
    said.configured(0)
    said.moved(1, _evidence([[0.0, 1.0], [5.0, 2.0]]), 1)
    said.configured(2, make_site("ridge", recipients=[]))
    said.moved(3, _evidence([[0.0, 1.0], [5.0, 2.0], [6.0, 3.0]]), 2)
    _read(url, empty, artifacts)
    known = [end_of(day(1)), end_of(day(1)), end_of(day(3))]
    assert [row.available_at for row in named(url, "motion") if row.unit == "u0"] == known
    units = [{"id": "whole", "name": "Whole slope", "polygon": site.slope_units[0].polygon}]
    said.configured(4, make_site("ridge", slope_units=units), retired=True)
    said.moved(5, _evidence([[0.0], [4.0], [7.0], [9.0]]), 3)
    _read(url, empty, artifacts)
    rows = named(url, "motion")
    assert [(row.unit, -row.los_displacement_mm) for row in rows] == [
        ("u0", 0.0),
        ("u0", 4.0),
        ("u0", 7.0),
        ("u0", 9.0),
    ]
    assert {row.available_at for row in rows} == {end_of(day(5))}
    assert [(row.unit, row.title) for row in named(url, "unit_names")] == [("whole", "Whole slope")]
    (shown,) = named(url, "sites")
    assert (shown.retired, shown.title, shown.simulated) == (True, "ridge", True)
    assert (shown.longitude, shown.latitude) == pytest.approx((110.05, 31.05))


def test_what_was_not_measured_is_null(
    url: str, empty: EventLog, artifacts: MemoryArtifacts
) -> None:
    said = Said(empty, artifacts, make_site("ridge"))
    said.configured(0)
    said.moved(1, _evidence([[0.0], [np.nan]]), 1)
    _read(url, empty, artifacts)
    assert [row.los_displacement_mm for row in named(url, "motion")] == [0.0, None]


def test_evidence_of_another_shape_is_refused(empty: EventLog, artifacts: MemoryArtifacts) -> None:
    from services.projector.motion import _epochs

    good = _evidence([[0.0], [1.0]])
    damaged = motion_evidence(np.zeros((2, 1)), observed_mm=np.zeros((3, 1)))
    assert len(list(_epochs(good, None))) == 2
    with pytest.raises(BadInputError, match="arrays that are not of"):
        list(_epochs(damaged, None))
    assert Motion.outbox is None
