"""Bad input through both stages: it is refused with a reason, and everybody else goes on."""

from __future__ import annotations

import json
from collections.abc import Iterator
from datetime import timedelta
from pathlib import Path
from typing import Any

import numpy as np
import pytest

from core.artifacts import FileArtifacts, pack
from core.clock import end_of, midnight
from core.errors import BadInputError
from core.events import DayClosed, Event, encode
from tests.pipeline import LATER, POINTS, Bench, Scene, day, make_site

GOOD = np.zeros(POINTS)
SIGMA = np.ones(POINTS)


@pytest.fixture
def bench(tmp_path: Path) -> Iterator[Bench]:
    with Bench(tmp_path, artifacts=FileArtifacts(tmp_path / "artifacts")) as made:
        made.run([scene_of(made, site).configured() for site in ("lian", "shan")])
        yield made


def scene_of(bench: Bench, site: str = "lian") -> Scene:
    return Scene(make_site(site), bench.artifacts)


def arrays(bench: Bench, **named: Any) -> Event:
    """An epoch whose values artifact holds just these arrays."""
    return scene_of(bench).epoch(12, values=bench.artifacts.put(pack(named)))


def goes_on(bench: Bench, after: int = 24) -> None:
    """Both sites take in what is good, and are up to date."""
    for site in ("lian", "shan"):
        scene = scene_of(bench, site)
        bench.run([scene.epoch(after), scene.closed(after)])
        state = bench.inference_state(site)
        assert state.last_closed == day(after)
        track = bench.track(site)
        assert track.days[-1] == (day(after) - day(0)).days + midnight(day(0)).timestamp() / 86400
        assert np.isfinite(track.motion.units.displacement_mm).all()
        assert bench.ledger.state(site).bookmark.now == end_of(day(after))
    assert bench.parked() == {}


def codes(bench: Bench) -> list[str]:
    return [letter.code for letter in bench.letters()]


@pytest.mark.parametrize(
    "payload",
    [
        b"",
        b"\x00\xff",
        b"null",
        b"[1, 2]",
        b'{"specversion": "1.0"}',
        b"[" * 100_000,
        b'{"a": 1e999}',
        b'{"specversion": "2.0", "id": "x"}',
    ],
)
def test_what_is_no_event(bench: Bench, payload: bytes) -> None:
    bench.append_raw("lian", payload)
    goes_on(bench)
    assert codes(bench) == ["D01"]


def changed(event: Event, **attributes: Any) -> bytes:
    return json.dumps({**json.loads(encode(event)), **attributes}).encode()


@pytest.mark.parametrize(
    "attributes",
    [
        {"type": "org.slopewatch.landslide-imagined.v1"},
        {"type": "org.slopewatch.rainfall-observed"},
        {"type": "org.slopewatch.rainfall-observed.v0"},
        {"type": "org.slopewatch.rainfall-observed.v²"},
        {"type": "com.example.rainfall-observed.v1"},
        {"time": "2022-01-01T00:00:00"},
        {"time": "0001-01-01T00:00:00Z"},
        {"validtime": "9999-12-31T23:59:59Z"},
        {"data": {"feed": "gauge", "station": "g", "day": "2022-02-30", "rain_mm": 1}},
        {"data": {"feed": "gauge", "station": "g", "day": "2022-02-03", "rain_mm": "wet"}},
        {"data": {"feed": "gauge", "station": "g", "day": "2022-02-03", "rain_mm": 1, "x": 1}},
        {"subject": "shan"},
    ],
)
def test_events_that_are_not_ours(bench: Bench, attributes: dict[str, Any]) -> None:
    bench.append_raw("lian", changed(scene_of(bench).rain(3, 4.0), **attributes))
    goes_on(bench)
    assert codes(bench) == ["D01"]


def test_a_truncated_event(bench: Bench) -> None:
    bench.append_raw("lian", encode(scene_of(bench).epoch(12))[:-20])
    goes_on(bench)
    assert codes(bench) == ["D01"]


def test_a_newer_version_parks_its_site_and_the_others_go_on(bench: Bench) -> None:
    newer = changed(scene_of(bench).rain(3, 4.0), type="org.slopewatch.rainfall-observed.v2")
    bench.append_raw("lian", newer)
    other = scene_of(bench, "shan")
    bench.run([scene_of(bench).closed(3), other.closed(3)])
    assert "upgrade slopewatch" in bench.parked()["lian"]
    assert bench.inference_state("lian").last_closed is None
    assert bench.inference_state("shan").last_closed == day(3)
    assert codes(bench) == []


@pytest.mark.parametrize(
    "named",
    [
        {"los_displacement_mm": np.where(np.arange(POINTS) == 3, np.inf, 0.0), "sigma_mm": SIGMA},
        {"los_displacement_mm": np.full(POINTS, 1e300), "sigma_mm": SIGMA},
        {"los_displacement_mm": GOOD, "sigma_mm": -SIGMA},
        {"los_displacement_mm": GOOD[:-1], "sigma_mm": SIGMA[:-1]},
        {"los_displacement_mm": GOOD.reshape(2, -1), "sigma_mm": SIGMA.reshape(2, -1)},
        {"los_displacement_mm": GOOD, "sigma_mm": np.float64(1.0)},
        {"los_displacement_mm": GOOD},
        {"los_displacement_mm": np.array(["far"] * POINTS), "sigma_mm": SIGMA},
        {"los_displacement_mm": GOOD.astype(complex), "sigma_mm": SIGMA},
        {},
    ],
)
def test_values_that_cannot_be_displacement(bench: Bench, named: dict[str, np.ndarray]) -> None:
    bench.run([arrays(bench, **named)])
    goes_on(bench)
    assert codes(bench) == ["D03"]


@pytest.mark.parametrize("lost", ["some", "all"])
def test_points_that_were_not_measured(bench: Bench, lost: str) -> None:
    gone = np.arange(POINTS) >= (4 if lost == "some" else 0)
    moved, sigma = np.where(gone, np.nan, -1.0), np.where(gone, np.inf, 1.0)
    bench.run([arrays(bench, los_displacement_mm=moved, sigma_mm=sigma)])
    bench.run([arrays(bench, los_displacement_mm=GOOD, sigma_mm=np.where(gone, np.nan, 1.0))])
    goes_on(bench)
    assert codes(bench) == []


def path_of(bench: Bench, event: Event) -> Path:
    sha256 = event.data.values.sha256
    return bench.artifacts._root / sha256[:2] / sha256[2:]


def test_an_artifact_damaged_on_disk_is_a_dead_letter(bench: Bench) -> None:
    event = scene_of(bench).epoch(12)
    path = path_of(bench, event)
    content = bytearray(path.read_bytes())
    content[len(content) // 2] ^= 1
    path.write_bytes(content)
    bench.run([event])
    goes_on(bench)
    (letter,) = bench.letters()
    assert letter.code == "D03"
    assert "is damaged: restore it from a backup" in letter.reason


def test_a_missing_artifact_parks_its_site_until_it_is_back(bench: Bench) -> None:
    event = scene_of(bench).epoch(12)
    path = path_of(bench, event)
    content = path.read_bytes()
    path.unlink()
    bench.run([event, scene_of(bench, "shan").closed(12)])
    assert "artifact out of reach" in bench.parked()["lian"]
    assert bench.inference_state("shan").last_closed == day(12)
    path.write_bytes(content)
    bench.clock.sleep(60)
    bench.inference.step(0.0)
    bench.drain()
    goes_on(bench)
    assert len(bench.track("lian").days) == 2
    assert codes(bench) == []


def test_an_artifact_that_is_no_npz(bench: Bench) -> None:
    for content in (b"", b"PK\x03\x04 not really", b"\x93NUMPY", pack({"a": GOOD})[:-30]):
        ref = bench.artifacts.put(content)
        bench.run([scene_of(bench).epoch(12, values=ref)])
    goes_on(bench)
    assert codes(bench) == ["D03"] * 4


def test_settings_that_cannot_be_read_leave_the_old_ones_in_force(bench: Bench) -> None:
    scene = scene_of(bench)
    for number, content in enumerate((b"{", b"[]", b'{"name": "lian"}', b"\xff")):
        data = type(scene.configured().data)(settings=bench.artifacts.put(content))
        when = midnight(day(number))
        bench.run([scene.event(data, when, when, f"settings/{number}")])
    goes_on(bench)
    assert codes(bench) == ["D03"] * 4


def test_repeats_and_another_order_change_nothing_but_the_order(bench: Bench) -> None:
    lian = scene_of(bench)
    epochs = [lian.epoch(12 * n, -1.0 * n) for n in range(5)]
    shuffled = [epochs[n] for n in (3, 0, 3, 4, 1, 0, 2, 4)]
    bench.run([*shuffled, *shuffled[::-1]])
    track = bench.track("lian")
    assert len(track.entries) == 5
    assert track.days == tuple(sorted(track.days))


def test_a_track_without_a_proper_name(bench: Bench) -> None:
    names = ("", "a/b", "..", "x" * 200, "zarr json", "é")
    bench.run([scene_of(bench).epoch(12, track=name) for name in names])
    goes_on(bench)
    assert codes(bench) == ["D03"] * len(names)


def test_other_points_under_the_name_of_a_track(bench: Bench) -> None:
    scene = scene_of(bench)
    fewer = {k: v[:-1] for k, v in scene._points().items()}
    nowhere = {**scene._points(), "lon": np.full(POINTS, np.nan)}
    bench.run([scene.epoch(0)])
    bench.run([scene.epoch(12, points=bench.artifacts.put(pack(fewer)))])
    bench.run([scene.epoch(12, track="B", points=bench.artifacts.put(pack(nowhere)))])
    goes_on(bench)
    assert codes(bench) == ["D03"] * 2


def test_an_event_from_the_future_freezes_nothing(bench: Bench) -> None:
    """Whether its envelope, its payload, or the clock that wrote both is in the future."""
    scene = scene_of(bench)
    ahead = LATER + timedelta(days=3)
    envelope = scene.rain(3, 4.0, available=ahead)
    beyond_itself = scene.event(
        scene.rain(4, 4.0).data, midnight(day(4)), midnight(day(9)), processed_at=midnight(day(4))
    )
    known = {"available": end_of(day(3))}
    bench.run(
        [
            envelope,
            beyond_itself,
            scene.epoch(4000, -1.0, **known),
            scene.rain(4000, 1.0, **known),
            scene.closed(4000, **known),
            scene.event(scene.found(4000).data, midnight(day(3)), end_of(day(3))),
        ]
    )
    assert codes(bench) == ["D04", "D04", "D03", "D03", "D03", "D03"]
    goes_on(bench)


def test_a_day_of_no_satellites_time(bench: Bench) -> None:
    scene = scene_of(bench)
    data = DayClosed(day=day(0).replace(year=1))
    bench.run([scene.event(data, midnight(day(0)), midnight(day(0)))])
    goes_on(bench)
    assert codes(bench) == ["D03"]


def test_nothing_is_taken_in_before_the_site_is_configured(tmp_path: Path) -> None:
    with Bench(tmp_path) as bench:
        scene = scene_of(bench)
        bench.run([scene.rain(0, 1.0), scene.closed(0), scene.configured()])
        assert codes(bench) == ["D02", "D02"]
        bench.run([scene.closed(1)])
        assert bench.inference_state("lian").last_closed == day(1)
        assert bench.parked() == {}


def test_an_event_of_ten_megabytes_is_refused_by_the_log(bench: Bench) -> None:
    with pytest.raises(BadInputError, match="larger than the"):
        bench.append_raw("lian", b"x" * 10_000_000)
    goes_on(bench)
