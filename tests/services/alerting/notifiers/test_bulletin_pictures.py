from __future__ import annotations

import hashlib
import math
import threading
from dataclasses import replace
from datetime import date
from io import BytesIO

import numpy as np
import pytest
from msgspec.structs import replace as changed
from notifying import message
from picturing import TRACK, UNITS, evidence, old_evidence, pictured, site
from PIL import Image
from saying import LANGUAGES, vote

from core.artifacts import Artifacts, MemoryArtifacts
from core.errors import SettingsError, UnavailableError
from core.events import ArtifactRef
from core.evidence import pack_evidence
from core.settings import site_bytes
from services.alerting.bulletin import load_language, render
from services.alerting.bulletin.canvas import MAX_PNG_BYTES
from services.alerting.bulletin.curve_picture import WINDOW_D, CurveFacts, curve_facts, curve_of
from services.alerting.bulletin.map_picture import MAX_POINTS, MapFacts, area_of, map_facts
from services.alerting.bulletin.pictures import Picture, pictures_of, track_of
from services.alerting.bulletin.studio import Studio
from services.alerting.message import WHOLE_SITE, Message

ENGLISH = load_language("en")
PNG = b"\x89PNG\r\n\x1a\n"


@pytest.fixture
def artifacts() -> MemoryArtifacts:
    return MemoryArtifacts()


def drawn(told: Message, artifacts: Artifacts) -> dict[str, Picture]:
    return {one.kind: one for one in pictures_of(told, ENGLISH, artifacts.get)}


def pixels(png: bytes) -> np.ndarray:
    with Image.open(BytesIO(png)) as image:
        return np.asarray(image.convert("RGB")).astype(int)


def has_colour(png: bytes, red: int, green: int, blue: int) -> bool:
    return bool((np.abs(pixels(png) - [red, green, blue]).max(axis=-1) < 12).any())


def test_map_and_curve_are_small_and_real(artifacts: MemoryArtifacts) -> None:
    found = drawn(pictured(artifacts, level="red"), artifacts)
    assert list(found) == ["map", "curve"]
    for one in found.values():
        assert one.png.startswith(PNG)
        assert 5_000 < len(one.png) <= MAX_PNG_BYTES
        assert one.missing is None
        height, width, _ = pixels(one.png).shape
        assert width == 960
        assert 500 < height < 1000
    # The told unit stands in its level's colour, 0.3 of it over white.
    mixed = [255 - 0.3 * (255 - part) for part in (0xB3, 0x00, 0x1B)]
    assert has_colour(found["map"].png, *map(round, mixed))


def test_same_input_same_bytes(artifacts: MemoryArtifacts) -> None:
    told = pictured(artifacts)
    first, again = drawn(told, artifacts), drawn(told, artifacts)
    assert [one.png for one in first.values()] == [one.png for one in again.values()]
    assert first["map"].content_id == again["map"].content_id != first["curve"].content_id


@pytest.mark.parametrize(
    "changes", [{"status": "exercise"}, {"status": "test"}, {"simulated": True}, {"kind": "drill"}]
)
def test_a_picture_that_is_not_meant_is_stamped(
    artifacts: MemoryArtifacts, changes: dict[str, object]
) -> None:
    told = pictured(artifacts)
    real, stamped = drawn(told, artifacts), drawn(changed(told, **changes), artifacts)
    for kind, one in stamped.items():
        if real[kind].facts == one.facts:
            difference = np.abs(pixels(real[kind].png) - pixels(one.png)).max(axis=-1) > 20
            assert difference.mean() > 0.01
        assert one.png != real[kind].png


def test_a_drill_shows_where_and_no_measurement(artifacts: MemoryArtifacts) -> None:
    found = drawn(pictured(artifacts, kind="drill", status="exercise"), artifacts)
    assert list(found) == ["map"]
    facts = found["map"].facts
    assert isinstance(facts, MapFacts)
    assert facts.inside is None


def test_what_the_map_says_in_figures() -> None:
    seen = evidence()
    facts = map_facts(area_of(site(), "toe", seen))
    mine = seen.point_velocity_mm_d[-1][seen.point_unit == 0] * 365.25
    assert facts.units == 3
    assert facts.inside == 70
    assert facts.median_mm_yr == pytest.approx(np.median(mine), rel=1e-3)
    assert abs(facts.fastest_mm_yr) == pytest.approx(np.abs(mine).max(), rel=1e-3)
    assert abs(facts.slowest_mm_yr) == pytest.approx(np.abs(mine).min(), rel=1e-3)
    assert map_facts(area_of(site(), WHOLE_SITE, seen)).inside == 210
    assert map_facts(area_of(site(), "toe", None)).inside is None
    assert map_facts(area_of(site(), "toe", old_evidence())).inside == 0


def test_what_the_curve_says_in_figures() -> None:
    seen = evidence()
    curve = curve_of(seen, "toe", TRACK)
    assert curve is not None
    facts = curve_facts(curve)
    inside = (seen.epoch_day > seen.epoch_day[-1] - WINDOW_D) & np.isfinite(seen.observed_mm[:, 0])
    series = seen.observed_mm[inside, 0] / seen.los_factor[0]
    assert facts.downslope
    assert facts.moved_mm == pytest.approx(series[-1] - series[0])
    assert facts.newest_mm == pytest.approx(series[-1] - series[-4])
    assert facts.moved_sd_mm == pytest.approx(3.5 * math.sqrt(2) / abs(seen.los_factor[0]))
    assert (facts.last - facts.first).days < WINDOW_D
    assert facts.rain_30d_mm == pytest.approx(np.nansum(seen.rain_mm[-30:]))
    assert facts.excess_mm_yr == pytest.approx(
        seen.excess_mm_d[-1, 0] * 365.25 / seen.los_factor[0], rel=1e-3
    )
    assert facts.out_of_range == int(
        seen.out_of_range[seen.epoch_day > seen.epoch_day[-1] - WINDOW_D, 0].sum()
    )


def test_a_slope_that_the_line_of_sight_hardly_sees_is_drawn_along_it() -> None:
    curve = curve_of(evidence(), "flank", TRACK)
    assert curve is not None
    assert not curve.downslope
    seen = evidence()
    recent = (seen.epoch_day > seen.epoch_day[-1] - WINDOW_D) & np.isfinite(seen.observed_mm[:, 2])
    series = seen.observed_mm[recent, 2]
    assert curve_facts(curve).moved_mm == pytest.approx(series[-1] - series[0])


@pytest.mark.parametrize("language", LANGUAGES)
def test_the_bulletin_says_in_words_what_pictures_show(
    artifacts: MemoryArtifacts, language: str
) -> None:
    told, words = pictured(artifacts, level="red"), load_language(language)
    pictures = pictures_of(told, words, artifacts.get)
    bulletin = render(told, language, pictures)
    for one in pictures:
        said = one.words(told, words)
        assert "".join(said.split()) in "".join(bulletin.text.split())
        shown = bulletin.html.replace("&#39;", "'")
        assert f'<img src="cid:{one.content_id}" alt="{said}"' in shown
        assert words.say(f"pictures.{one.kind}_caption") in shown
    facts = pictures[1].facts
    assert isinstance(facts, CurveFacts)
    for value in (facts.moved_mm, facts.newest_mm, facts.excess_mm_yr):
        assert words.number(round(value, 1)) in bulletin.text


def test_names_stay_text_in_alt_and_picture(artifacts: MemoryArtifacts) -> None:
    told = pictured(artifacts, unit_name='"><script>x</script>$\\frac$ 坡', title="$x_{")
    pictures = pictures_of(told, ENGLISH, artifacts.get)
    assert all(one.png for one in pictures)
    assert "<script>" not in render(told, "en", pictures).html


def test_the_track_that_asks_for_most_is_drawn() -> None:
    ref = ArtifactRef(sha256="0" * 64, bytes=1)
    told = message(
        evidence={"84D": ref, "11A": ref, "99A": ref},
        votes=(vote("velocity", level="yellow"), vote("velocity", track="99A", level="red")),
    )
    assert track_of(told) == "99A"
    assert track_of(changed(told, votes=())) == "11A"
    assert track_of(changed(told, evidence={})) == ""


def test_a_message_without_artifacts_has_no_pictures(artifacts: MemoryArtifacts) -> None:
    assert drawn(message(), artifacts) == {}
    assert "Pictures" not in render(message(), "en", ()).html


def test_a_notice_about_all_units_has_a_map_only(artifacts: MemoryArtifacts) -> None:
    found = drawn(pictured(artifacts, unit=WHOLE_SITE, unit_name=""), artifacts)
    assert list(found) == ["map"]
    assert found["map"].png


def test_a_unit_never_measured_has_a_map_and_a_line(artifacts: MemoryArtifacts) -> None:
    told = pictured(artifacts, evidence={})
    found = drawn(told, artifacts)
    assert found["map"].png
    assert found["curve"].missing == "nothing_to_show"
    text = " ".join(render(told, "en", tuple(found.values())).text.split())
    assert "No curve: no measured displacement of the unit is kept for this message." in text


def test_old_evidence_draws_units_and_says_what_is_missing(artifacts: MemoryArtifacts) -> None:
    found = drawn(pictured(artifacts, old_evidence()), artifacts)
    assert found["map"].png
    assert found["curve"].missing == "nothing_to_show"
    assert "has a known place" in found["map"].words(pictured(artifacts), ENGLISH)


def test_evidence_without_water_or_conditioned_filter_is_drawn(artifacts: MemoryArtifacts) -> None:
    nothing = np.full(evidence().velocity_mm_d.shape, np.nan)
    bare = replace(
        evidence(),
        **dict.fromkeys(("expected_mm_d", "excess_mm_d", "excess_sd_mm_d"), nothing),
        driver_day=np.zeros(0, np.int64),
        rain_mm=np.zeros(0),
        level_m=np.zeros(0),
    )
    told = pictured(artifacts, bare)
    said = drawn(told, artifacts)["curve"].words(told, ENGLISH)
    assert "Rain" not in said
    assert "Modelled" not in said
    assert "the unit moved" in said


@pytest.mark.parametrize(
    "content",
    [b"", b"no archive", site_bytes(site()), pack_evidence(evidence())[:-200]],
    ids=["empty", "text", "another artifact", "cut"],
)
def test_a_damaged_artifact_costs_the_picture_only(
    artifacts: MemoryArtifacts, content: bytes
) -> None:
    told = pictured(artifacts, evidence={TRACK: artifacts.put(content)})
    found = drawn(told, artifacts)
    assert {one.missing for one in found.values()} == {"failed"}
    assert "No map: it could not be drawn." in render(told, "en", tuple(found.values())).text


def test_a_unit_that_left_the_site_or_the_evidence(artifacts: MemoryArtifacts) -> None:
    found = drawn(pictured(artifacts, unit="gone"), artifacts)
    assert found["map"].png
    assert found["curve"].missing == "nothing_to_show"


def test_ten_thousand_points_and_hundreds_of_units_stay_small(artifacts: MemoryArtifacts) -> None:
    rng = np.random.default_rng(1)
    count = 4 * MAX_POINTS
    many = replace(
        evidence(),
        point_lon=rng.uniform(110.34, 110.37, count),
        point_lat=rng.uniform(30.99, 31.02, count),
        point_unit=rng.integers(-1, 3, count),
        point_velocity_mm_d=rng.normal(0, 1, (3, count)),
        point_velocity_sd_mm_d=np.ones((3, count)),
    )
    ring = list(UNITS["toe"])
    units = [{"id": f"u{i}", "polygon": [(x + i / 2000, y) for x, y in ring]} for i in range(200)]
    told = pictured(artifacts, many, unit="u7")
    told = changed(told, site_file=artifacts.put(site_bytes(site(slope_units=units))))
    assert drawn(told, artifacts)["map"].missing is None


class Away:
    """A store that answers as it is told to."""

    def __init__(self, error: Exception | None = None, wait: threading.Event | None = None) -> None:
        self.inner = MemoryArtifacts()
        self.error, self.wait = error, wait
        self.reads = 0

    def put(self, content: bytes) -> ArtifactRef:
        return self.inner.put(content)

    def get(self, ref: ArtifactRef) -> bytes:
        self.reads += 1
        if self.wait is not None:
            self.wait.wait(10)
        if self.error is not None:
            raise self.error
        return self.inner.get(ref)


@pytest.mark.parametrize(
    ("error", "missing"),
    [
        (UnavailableError("the store is away"), "out_of_reach"),
        (OSError("disk"), "failed"),
        (MemoryError(), "failed"),
    ],
)
def test_a_store_out_of_reach_costs_the_pictures_only(error: Exception, missing: str) -> None:
    store = Away(error)
    found = Studio(lambda: store).pictures(pictured(store.inner), ENGLISH)
    assert [(one.kind, one.missing) for one in found] == [("map", missing), ("curve", missing)]


def test_a_store_that_cannot_be_opened_costs_the_pictures_only(artifacts: MemoryArtifacts) -> None:
    def refuse() -> Artifacts:
        raise SettingsError("artifacts 'ftp://x': use file:///folder")

    found = Studio(refuse).pictures(pictured(artifacts), ENGLISH)
    assert {one.missing for one in found} == {"failed"}


def test_a_store_that_hangs_is_waited_for_once() -> None:
    answers = threading.Event()
    store = Away(wait=answers)
    told = pictured(store.inner)
    studio = Studio(lambda: store, patience_s=0.1)
    for _ in range(3):
        assert {one.missing for one in studio.pictures(told, ENGLISH)} == {"out_of_reach"}
    assert store.reads == 1
    answers.set()
    assert studio._drawing.acquire(timeout=30)
    studio._drawing.release()
    assert all(one.png for one in studio.pictures(told, ENGLISH))


def test_one_drawing_serves_all_recipients() -> None:
    store = Away()
    studio = Studio(lambda: store)
    told = pictured(store.inner)
    first = studio.pictures(told, ENGLISH)
    reads = store.reads
    other = changed(told, id="1" * 32, previous_level="blue", references=(), note="hello")
    assert studio.pictures(other, ENGLISH) == first
    assert store.reads == reads
    for changes in ({"level": "red"}, {"simulated": True, "arose": date(2025, 1, 1)}):
        again = studio.pictures(changed(told, **changes), ENGLISH)
        assert [one.png for one in again] != [one.png for one in first], changes


def test_bytes_do_not_hang_on_the_thread(artifacts: MemoryArtifacts) -> None:
    told = pictured(artifacts)
    found: list[str] = []

    def draw() -> None:
        both = drawn(told, artifacts).values()
        found.append(hashlib.sha256(b"".join(one.png for one in both)).hexdigest())

    threads = [threading.Thread(target=draw) for _ in range(2)]
    for one in threads:
        one.start()
    for one in threads:
        one.join()
    assert len(found) == 2
    assert len(set(found)) == 1
