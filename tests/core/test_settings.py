"""Site and service files: what they accept, and what they say when they do not."""

from __future__ import annotations

import json
from pathlib import Path
from typing import Any

import pytest
import yaml

from core.errors import BadInputError, SettingsError
from core.settings import (
    Service,
    Site,
    commented_yaml,
    load_service,
    load_site,
    parse_site,
    secret,
    site_bytes,
    site_from_bytes,
    units_from_geojson,
)
from tests.pipeline import box, make_site

RING = box(110.0, 31.0, 110.1, 31.1)


def tree(**changes: Any) -> dict[str, Any]:
    return {**make_site("dam").model_dump(mode="json"), **changes}


def unit(name: str = "toe", **changes: Any) -> dict[str, Any]:
    return {"id": name, "polygon": RING, **changes}


def test_a_site_stands_alone_as_bytes() -> None:
    site = make_site("dam")
    assert site_from_bytes(site_bytes(site)) == site
    assert site_bytes(site) == site_bytes(site_from_bytes(site_bytes(site)))


@pytest.mark.parametrize("content", [b"", b"[]", b"{}", b"\xff", b'{"name": "dam"}', b"[" * 9999])
def test_what_is_no_site_is_bad_input(content: bytes) -> None:
    with pytest.raises(BadInputError, match="the site file cannot be used"):
        site_from_bytes(content)


@pytest.mark.parametrize(
    ("changes", "field"),
    [
        ({"nmae": "x"}, "nmae"),
        ({"name": "../up"}, "name"),
        ({"area": (110, 31, 110, 32)}, "area"),
        ({"area": (0, 0, float("nan"), 1)}, "area"),
        ({"reference": {}}, "reference"),
        ({"reference": {"box": (0, 0, 1, 1), "scene_median": True}}, "reference"),
        ({"slope_units": []}, "slope_units"),
        ({"slope_units": [unit(), unit()]}, "share an id"),
        ({"slope_units": [unit(slope_deg=91)]}, "slope_deg"),
        ({"slope_units": [unit(polygon=[(0, 0), (1, 1)])]}, "polygon"),
        ({"slope_units": [unit(polygon=[(0, 0), (1, 1), (float("inf"), 0)])]}, "polygon"),
        ({"noise": {"rate_walk_mm2_d3": 0}}, "rate_walk_mm2_d3"),
        ({"repeat_days": 0}, "repeat_days"),
    ],
)
def test_an_error_names_the_field(changes: dict[str, Any], field: str) -> None:
    with pytest.raises(SettingsError, match=field):
        parse_site(tree(**changes), "dam.yaml")


def test_slope_units_may_lie_in_a_geojson_file(tmp_path: Path) -> None:
    ring = [list(point) for point in [*RING, RING[0]]]
    feature = {
        "type": "Feature",
        "properties": {"id": "toe"},
        "geometry": {"type": "Polygon", "coordinates": [ring]},
    }
    (tmp_path / "units.json").write_text(json.dumps({"features": [feature]}))
    path = tmp_path / "dam.yaml"
    path.write_text(yaml.safe_dump(tree(slope_units="units.json")))
    assert [u.id for u in load_site(path).slope_units] == ["toe"]


@pytest.mark.parametrize("text", ["", "[]", "{}", '{"features": ["a"]}', '{"features": [{}]}'])
def test_a_file_that_is_no_geojson_is_named(tmp_path: Path, text: str) -> None:
    path = tmp_path / "units.json"
    path.write_text(text)
    with pytest.raises(SettingsError, match=r"units\.json is not a GeoJSON collection"):
        units_from_geojson(path)


@pytest.mark.parametrize("content", [b"[1]", b"a: [", b"\xff\xfe", b""])
def test_a_file_that_is_no_yaml_is_named(tmp_path: Path, content: bytes) -> None:
    path = tmp_path / "dam.yaml"
    path.write_bytes(content)
    with pytest.raises(SettingsError, match=r"dam\.yaml"):
        load_site(path)


def test_the_environment_has_the_last_word(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    path = tmp_path / "slopewatch.yaml"
    path.write_text("data: /tmp/elsewhere\nsmtp:\n  host: one\n")
    monkeypatch.setenv("SLOPEWATCH_DATA", str(tmp_path))
    monkeypatch.setenv("SLOPEWATCH_SMTP__HOST", "two")
    service = load_service(path)
    assert service.smtp.host == "two"
    assert service.log == f"sqlite://{tmp_path.resolve()}/log.db"


def test_a_variable_may_name_the_settings_file(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.chdir(tmp_path)
    for name in ("slopewatch", "named", "given"):
        (tmp_path / f"{name}.yaml").write_text(f"smtp:\n  host: {name}\n")
    assert load_service().smtp.host == "slopewatch"
    monkeypatch.setenv("SLOPEWATCH_CONFIG", str(tmp_path / "named.yaml"))
    assert load_service().smtp.host == "named"
    assert load_service(tmp_path / "given.yaml").smtp.host == "given"
    monkeypatch.setenv("SLOPEWATCH_CONFIG", str(tmp_path / "nowhere.yaml"))
    with pytest.raises(SettingsError, match=r"nowhere\.yaml"):
        load_service()


def test_a_variable_that_fits_nowhere_is_named(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    path = tmp_path / "slopewatch.yaml"
    path.write_text("data: here\n")
    monkeypatch.setenv("SLOPEWATCH_DATA__DEEP", "x")
    with pytest.raises(SettingsError, match="SLOPEWATCH_DATA__DEEP"):
        load_service(path)


@pytest.mark.parametrize("model", [Service, Site])
def test_a_tree_prints_itself_as_yaml_with_its_meaning(model: Any) -> None:
    values = make_site("dam") if model is Site else Service()
    text = commented_yaml(model, values)
    assert model.model_validate(yaml.safe_load(text)) == values


def test_a_secret_may_lie_in_a_file(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    (tmp_path / "password").write_text("hush\n")
    monkeypatch.setenv("SLOPEWATCH_TEST_SECRET_FILE", str(tmp_path / "password"))
    assert secret("SLOPEWATCH_TEST_SECRET") == "hush"
    assert secret("SLOPEWATCH_NO_SUCH_SECRET") is None
