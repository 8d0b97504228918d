"""A site's archive says what was known at the end of any day, and nothing that came later."""

from __future__ import annotations

from collections.abc import Iterator
from dataclasses import replace
from datetime import timedelta
from pathlib import Path

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from core.artifacts import MemoryArtifacts
from core.clock import end_of
from core.events import Event, LevelObserved, RainfallObserved
from core.kalman import predict as carry
from core.kalman import start, update
from services.inference.issuing.archive import (
    DriverRecord,
    Readings,
    SiteHistory,
    driver_record,
    given_to_units,
)
from services.inference.known import Known
from services.inference.state import DriverRow, SiteState, day_number, nanoseconds
from services.inference.track import figure
from tests.pipeline import POINTS, Bench, Scene, day, few, make_site

DAYS = 66


def story(scene: Scene) -> list[Event]:
    """Two tracks, drivers, an epoch that is late, one in a second vintage, a revised gauge."""
    said = [scene.configured(), *scene.story(DAYS)]
    said.append(scene.epoch(30, -9.0, available=end_of(day(50))))
    said.append(scene.epoch(24, -7.5, available=end_of(day(57))))
    said.append(scene.rain(22, 33.0, available=end_of(day(41))))
    return sorted(said, key=lambda event: event.available_at)


@pytest.fixture(scope="module")
def state(tmp_path_factory: pytest.TempPathFactory) -> Iterator[SiteState]:
    with told(tmp_path_factory.mktemp("archive"), story) as (_, found):
        yield found


class told:  # noqa: N801  # reads as what it does
    """A site's state after what a scene says; stores stay open while it is used."""

    def __init__(self, folder: Path, say) -> None:
        self._folder, self._say = folder, say

    def __enter__(self) -> tuple[Bench, SiteState]:
        self._bench = Bench(self._folder, artifacts=MemoryArtifacts())
        scene = Scene(make_site("lian"), self._bench.artifacts)
        self._bench.run(self._say(scene))
        assert self._bench.letters() == []
        return self._bench, self._bench.inference_state("lian")

    def __exit__(self, *_: object) -> None:
        self._bench.close()


def flat(known: Known) -> list[bytes]:
    arrays = [known.epoch_day, known.los_mm, known.sd_mm, known.place, *known.setting]
    drivers = known.drivers
    rest = [drivers.rain_mm, drivers.level_m, drivers.rain_issued, drivers.level_issued]
    return [str(drivers.first_day).encode(), *(a.tobytes() for a in (*arrays, *rest))]


def numbered(n: int) -> int:
    return day_number(day(n))


def test_what_a_filter_was_given_makes_its_history_again(state: SiteState) -> None:
    track = state.tracks["A44"]
    noise = state.site.noise
    seen, variance = given_to_units(track)[0], figure(track, "seen_sd_mm") ** 2
    motion = start(seen[0], variance[0], velocity_sd_mm_d=noise.velocity_prior_sd_mm_d)
    for row in range(1, len(track.days)):
        motion = carry(motion, track.days[row] - track.days[row - 1], noise.rate_walk_mm2_d3)
        motion, _ = update(motion, seen[row], variance[row])
        np.testing.assert_allclose(motion.displacement_mm, track.history[row, 0], atol=1e-9)


def test_an_epoch_counts_from_the_day_on_which_it_came(state: SiteState) -> None:
    history = SiteHistory(state, state.tracks["A44"])
    assert numbered(30) not in history.known(numbered(49)).epoch_day
    assert numbered(30) in history.known(numbered(50)).epoch_day


def test_the_newest_vintage_by_then_counts(state: SiteState) -> None:
    history = SiteHistory(state, state.tracks["A44"])
    rows = [history.known(numbered(n)) for n in (56, 57)]
    at = [int(np.flatnonzero(known.epoch_day[:, 0] == numbered(24))[0]) for known in rows]
    assert rows[0].los_mm[at[0], 0] != rows[1].los_mm[at[1], 0]
    assert len(rows[0].los_mm) == len(rows[1].los_mm)


def test_a_revised_gauge_counts_from_the_day_of_its_revision(state: SiteState) -> None:
    history = SiteHistory(state, state.tracks["A44"])
    drivers = [history.known(numbered(n)).drivers for n in (40, 41)]
    assert [d.rain_mm[numbered(22) - d.first_day, 0] for d in drivers] == [22 % 7, 33.0]


def test_days_ahead_are_unknown_and_a_missing_gauge_is_too(state: SiteState) -> None:
    drivers = SiteHistory(state, state.tracks["A44"]).known(numbered(40)).drivers
    now = numbered(40) - drivers.first_day
    assert len(drivers.rain_mm) == now + 31
    assert np.isnan(drivers.rain_mm[now + 1 :]).all()
    assert np.isnan(drivers.level_m[now + 1 :]).all()
    assert not drivers.rain_issued.any()
    assert np.isnan(drivers.rain_mm[numbered(37) - drivers.first_day, 0])


def test_points_are_relative_to_firm_ground_and_out_of_reach_of_the_unit_of_none(
    state: SiteState,
) -> None:
    track = state.tracks["A44"]
    known = SiteHistory(state, track, "points").known(numbered(DAYS - 1))
    assert known.series == POINTS
    firm = known.los_mm[:, track.points.in_reference]
    np.testing.assert_allclose(np.median(firm, axis=1), 0.0, atol=1e-12)
    assert np.isnan(known.setting.los_factor[track.points.unit < 0]).all()
    assert (known.sd_mm >= 1.0).all()


def test_units_stand_where_the_settings_say(tmp_path: Path) -> None:
    def say(scene: Scene) -> list[Event]:
        units = [unit.model_copy() for unit in scene.site.slope_units]
        units[0] = units[0].model_copy(update={"bank_distance_m": 40.0, "position": 0.25})
        site = scene.site.model_copy(update={"slope_units": tuple(units)})
        return [scene.configured(site=site), *scene.story(14)]

    with told(tmp_path, say) as (_, found):
        setting = SiteHistory(found, found.tracks["A44"]).known(numbered(13)).setting
    np.testing.assert_array_equal(setting.bank_distance_m, [40.0, np.nan])
    np.testing.assert_array_equal(setting.position, [0.25, np.nan])
    assert np.isnan(setting.height_m).all()


@pytest.mark.parametrize("series", ["units", "points"])
def test_the_filter_of_the_last_day_is_that_of_the_state(state: SiteState, series: str) -> None:
    track = state.tracks["A44"]
    last = numbered(DAYS - 1)
    found = SiteHistory(state, track, series).filtered(last)
    present = track.motion.units if series == "units" else track.motion.points
    wanted = carry(present, float(last - track.days[-1]), state.site.noise.rate_walk_mm2_d3)
    for one, other in zip(found, wanted, strict=True):
        assert one.tobytes() == other.tobytes()


@pytest.mark.parametrize("series", ["units", "points"])
@pytest.mark.parametrize("number", [0, 3, 31, 45, 52, 58])
def test_the_past_is_what_a_state_of_then_holds(
    state: SiteState, series: str, number: int, tmp_path: Path
) -> None:
    """What is known of a past day now is bit for bit what was known then."""
    moment = end_of(day(number))
    with told(tmp_path, lambda scene: [e for e in story(scene) if e.available_at <= moment]) as (
        _,
        then,
    ):
        track = state.tracks["A44"]
        now_history = SiteHistory(state, track, series)
        then_history = SiteHistory(then, then.tracks["A44"], series)
        assert flat(now_history.known(numbered(number))) == flat(
            then_history.known(numbered(number))
        )
        pairs = zip(
            now_history.filtered(numbered(number)),
            then_history.filtered(numbered(number)),
            strict=True,
        )
        assert all(one.tobytes() == other.tobytes() for one, other in pairs)


@settings(few, max_examples=3)
@given(
    number=st.integers(12, 55),
    moved=st.floats(-50, 50),
    later=st.lists(st.integers(0, 59), min_size=1, max_size=4, unique=True),
)
def test_replacing_the_future_changes_no_bit(
    state: SiteState,
    number: int,
    moved: float,
    later: list[int],
    tmp_path_factory: pytest.TempPathFactory,
) -> None:
    future = end_of(day(number)) + timedelta(hours=1)

    def say(scene: Scene) -> list[Event]:
        said = story(scene)
        for n in later:
            at = future + timedelta(days=n)
            said.append(scene.epoch(n, moved, available=at))
            said += [scene.rain(n, 99.0, available=at), scene.level(n - 9, 99.0, available=at)]
        return sorted(said, key=lambda event: event.available_at)

    with told(tmp_path_factory.mktemp("future"), say) as (_, changed):
        for series in ("units", "points"):
            found = [
                flat(SiteHistory(one, one.tracks["A44"], series).known(numbered(number)))
                for one in (state, changed)
            ]
            assert found[0] == found[1]


def test_replacing_the_past_changes_what_is_known(state: SiteState, tmp_path: Path) -> None:
    def say(scene: Scene) -> list[Event]:
        past = scene.rain(3, 98.0, available=end_of(day(4)))
        return sorted([*story(scene), past], key=lambda event: event.available_at)

    with told(tmp_path, say) as (_, changed):
        found = [
            flat(SiteHistory(one, one.tracks["A44"]).known(numbered(20)))
            for one in (state, changed)
        ]
    assert found[0] != found[1]


def test_what_was_read_before_changes_no_answer(state: SiteState) -> None:
    track, readings = state.tracks["A44"], Readings()
    for number in (59, 40, 59, 57):
        fresh = SiteHistory(state, track, "points").known(numbered(number))
        kept = SiteHistory(state, track, "points", readings=readings).known(numbered(number))
        assert flat(fresh) == flat(kept)


def row(quantity: str, station: str, number: int, value: float, known: int) -> DriverRow:
    moment = nanoseconds(end_of(day(known)))
    return DriverRow(quantity, station, numbered(number), value, moment, moment, 0, 0)


ROWS = [
    row("rain", "a", 1, 4.0, 1),
    row("rain", "b", 1, 8.0, 2),
    row("rain", "a", 2, float("nan"), 2),
    row("level", "l", 1, 170.0, 1),
    row("rain", "a", 1, 6.0, 5),
]


def test_several_stations_are_the_mean_of_those_that_reported() -> None:
    record = DriverRecord(ROWS)
    known = [nanoseconds(end_of(day(n))) for n in (1, 2, 5)]
    rain = [record.daily("rain", numbered(1), numbered(2), at) for at in known]
    np.testing.assert_array_equal(rain, [[4.0, np.nan], [6.0, np.nan], [7.0, np.nan]])


@pytest.mark.parametrize("cut", range(6))
def test_a_record_that_grew_is_the_record_of_all(cut: int) -> None:
    whole, grown = DriverRecord(ROWS), DriverRecord(ROWS[:cut]).extended(ROWS[cut:])
    assert whole.first_day == grown.first_day
    at = nanoseconds(end_of(day(9)))
    for quantity in ("rain", "level"):
        one, other = (r.daily(quantity, numbered(0), numbered(9), at) for r in (whole, grown))
        assert one.tobytes() == other.tobytes()


def test_a_state_read_again_has_all_its_drivers(state: SiteState) -> None:
    """Rows lie in blocks and in the root attributes; the history needs both."""
    rows = (*state.past_drivers, *state.drivers)
    assert state.past_drivers
    assert len(rows) == 2 * DAYS + 1
    assert driver_record(replace(state)).first_day == numbered(0)
    kinds = {type(e.data) for e in story(Scene(make_site("lian"), MemoryArtifacts()))}
    assert {RainfallObserved, LevelObserved} <= kinds
