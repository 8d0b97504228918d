"""What displacement is relative to: a reference epoch, and firm ground."""

from __future__ import annotations

from collections.abc import Iterator
from pathlib import Path

import msgspec
import numpy as np
import pytest

from core.artifacts import pack
from core.events import ASSESSMENTS, Event, StateUpdated
from tests.pipeline import POINTS, Bench, Scene, day, events_of, make_site

SLOPE = np.arange(POINTS) >= 2


@pytest.fixture
def bench(tmp_path: Path) -> Iterator[Bench]:
    with Bench(tmp_path) as made:
        yield made


@pytest.fixture
def scene(bench: Bench) -> Scene:
    made = Scene(make_site("lian"), bench.artifacts)
    bench.run([made.configured()])
    return made


def exactly(scene: Scene, number: int, moved_mm: np.ndarray, reference: int = 0) -> Event:
    """An epoch of these values, relative to day `reference`."""
    arrays = {"los_displacement_mm": moved_mm, "sigma_mm": np.ones(POINTS)}
    made = scene.epoch(number, values=scene.artifacts.put(pack(arrays)))
    data = msgspec.structs.replace(made.data, reference_epoch=day(reference))
    return scene.event(data, made.valid_time, made.available_at, f"{number}/{reference}")


def steady(number: int) -> np.ndarray:
    return np.where(SLOPE, -0.1 * number, 0.0)


def test_a_series_of_another_reference_epoch_goes_on_where_the_archive_was(
    bench: Bench, scene: Scene
) -> None:
    bench.run(exactly(scene, n, steady(n)) for n in range(0, 60, 12))
    bench.run(exactly(scene, n, steady(n) - steady(24), 24) for n in range(60, 120, 12))
    track = bench.track("lian")
    assert bench.letters() == []
    assert track.history[-1, 0] == pytest.approx(-0.1 * 108, abs=0.5)
    assert track.references == (day(0),)


def test_a_point_that_the_new_reference_epoch_did_not_measure_is_not_measured(
    bench: Bench, scene: Scene
) -> None:
    hole = np.where(np.arange(POINTS) == 4, np.nan, steady(12))
    bench.run([exactly(scene, 12, hole), exactly(scene, 24, steady(24) - steady(12), 12)])
    values = bench.track("lian").read_values(1).displacement_mm
    np.testing.assert_allclose(values, np.where(np.isnan(hole), np.nan, steady(24)))


@pytest.mark.parametrize("measured", [True, False])
def test_another_reference_epoch_that_the_archive_does_not_hold_is_refused(
    bench: Bench, scene: Scene, measured: bool
) -> None:
    bench.run([exactly(scene, 0, steady(0))])
    if not measured:
        bench.run([exactly(scene, 6, np.full(POINTS, np.nan))])
    bench.run([exactly(scene, 12, steady(6), 6), exactly(scene, 24, steady(24))])
    (letter,) = bench.letters()
    assert letter.code == "D03"
    assert (
        f"track A44: displacement is relative to {day(6)}, the track began relative to {day(0)}: "
        f"name the new series as another track, or deliver it relative to {day(0)}"
    ) in letter.reason
    assert len(bench.track("lian").entries) == (2 if measured else 3)


def test_a_table_that_lost_its_first_columns_stays_as_delivered(bench: Bench, scene: Scene) -> None:
    bench.run(exactly(scene, n, steady(n)) for n in range(0, 60, 12))
    bench.run(exactly(scene, n, steady(n), 24) for n in range(24, 84, 12))
    track = bench.track("lian")
    assert bench.letters() == []
    assert track.references == (day(0), day(24))
    assert track.history[-1, 0] == pytest.approx(-7.2, abs=0.5)


def test_an_epoch_without_firm_ground_is_not_measured(bench: Bench, scene: Scene) -> None:
    bench.run(exactly(scene, n, np.full(POINTS, -60.0)) for n in range(0, 60, 12))
    bench.run([exactly(scene, 60, np.where(SLOPE, -60.0, np.nan))])
    track = bench.track("lian")
    assert (track.history[-1, 9] == 0).all()
    assert track.history[-1, 0] == pytest.approx(0.0, abs=1e-6)


def test_a_track_without_points_on_firm_ground_stays_as_delivered(bench: Bench) -> None:
    nowhere = {"box": (110.001, 31.09, 110.0011, 31.0901)}
    scene = Scene(make_site("shan", reference=nowhere), bench.artifacts)
    bench.run([scene.configured(), exactly(scene, 0, np.full(POINTS, -60.0))])
    assert bench.track("shan").history[-1, 0] == pytest.approx(-60.0, abs=2)


def test_a_state_says_how_many_points_are_usual_and_what_the_radar_sees(bench: Bench) -> None:
    slope = [{"id": "toe", "polygon": [(110.02, 31), (110.1, 31), (110.1, 31.1), (110.02, 31.1)]}]
    across = [{**slope[0], "slope_deg": 35, "aspect_deg": 270, "flank_pixels": None}]
    scene = Scene(make_site("shan", slope_units=across), bench.artifacts)
    lost = np.where(np.arange(POINTS) > 2, np.nan, 0.0)
    nothing = np.where(SLOPE, np.nan, 0.0)
    moved = [steady(0), nothing, nothing, nothing, steady(0), lost]
    bench.run([scene.configured(), *(exactly(scene, 12 * n, v) for n, v in enumerate(moved))])
    said = [e.data for e in events_of(bench.log, ASSESSMENTS) if isinstance(e.data, StateUpdated)]
    states = [update.units[0] for update in said]
    assert [s.measured_points for s in states] == [6, 0, 0, 0, 6, 1]
    assert [s.usual_points for s in states] == [0, 6, 6, 6, 6, 6]
    assert states[-1].los_factor == pytest.approx(bench.track("shan").points.factor[0])
