"""One search over many areas: each site gets the items that a search of its own would give it."""

from __future__ import annotations

import copy
import json
from datetime import date
from typing import Any

import numpy as np
import pytest
import shapely

from core.artifacts import MemoryArtifacts
from core.errors import UnavailableError
from core.settings import Endpoints, Service, Site, parse_site
from services.ingest.feed import GroupFeed, Rejection
from services.ingest.feeds import _footprints, asf
from tests.services.ingest.feeds.test_asf_feed import recorded_items, slc

EVER = date(2014, 1, 1), date(2026, 1, 1)


def site(name: str, lon: float, lat: float, half: float = 0.05) -> Site:
    return parse_site(
        {
            "name": name,
            "area": (lon - half, lat - half, lon + half, lat + half),
            "reference": {"scene_median": True},
            "slope_units": [{"id": "u1", "polygon": [(0, 0), (0, 1), (1, 1)]}],
        }
    )


def scene(name: str, ring: list[tuple[float, float]], day: int = 5) -> dict[str, Any]:
    item = slc(name, f"2024-03-{day:02d}T05:12:44.000Z")
    points = [{"Longitude": lon, "Latitude": lat} for lon, lat in [*ring, ring[0]]]
    domain = item["umm"]["SpatialExtent"]["HorizontalSpatialDomain"]
    domain["Geometry"]["GPolygons"] = [{"Boundary": {"Points": points}}]
    return item


def frame(name: str, west: float, south: float, day: int = 5, width: float = 3.0) -> dict[str, Any]:
    """A scene of `width` degrees, leaning as those of a descending pass do."""
    east, north = west + width, south + 1.6
    return scene(
        name, [(west, north), (west + 0.3, south), (east + 0.3, south), (east, north)], day
    )


def covered(item: Any) -> Any:
    """Where an item lies, on the flat map: good enough away from the edges."""
    geometry = item["umm"]["SpatialExtent"]["HorizontalSpatialDomain"]["Geometry"]
    corners = [
        (p["Longitude"], p["Latitude"]) for p in geometry["GPolygons"][0]["Boundary"]["Points"]
    ]
    lon, lat = np.array(corners).T
    lon = np.unwrap(lon, period=360)
    turns = [shapely.Polygon(zip(lon + turn, lat, strict=True)) for turn in (-360, 0, 360)]
    return shapely.union_all(turns)


def serve(server: Any, reply: Any, items: list[Any]) -> None:
    """A catalogue that knows where its items lie."""

    def answer(request: Any) -> Any:
        boxes = [v for k, v in request.fields if k in ("bounding_box", "bounding_box[]")]
        shapes = [shapely.box(*map(float, box.split(","))) for box in boxes]
        enough = any if ("options[bounding_box][or]", "true") in request.fields else all
        fits = [i for i in items if enough(covered(i).intersects(shape) for shape in shapes)]
        body = {"hits": len(fits), "took": 1, "items": fits}
        return reply(200, json.dumps(body).encode())

    server.answer = answer


def feed(server: Any, **settings: Any) -> Any:
    opened = asf.open(asf.Settings(**settings), Service(endpoints=Endpoints(cmr=server.url)))
    assert isinstance(opened, GroupFeed)
    return opened


def both(asked: Any, sites: list[Site]) -> tuple[dict[str, list[Any]], dict[str, list[Any]]]:
    """What a group is told, and what each of it alone."""
    artifacts = MemoryArtifacts()
    together = {k: list(v) for k, v in asked.poll_group(sites, *EVER, artifacts).items()}
    return together, {s.name: list(asked.poll(s, *EVER, artifacts)) for s in sites}


PLACES = {
    "neighbours": [site("a", 110.5, 31.0), site("b", 110.53, 31.0)],
    "the same area": [site("a", 110.5, 31.0), site("b", 110.5, 31.0)],
    "far apart": [site("a", 110.5, 31.0), site("b", -150.0, 64.5), site("c", 7.6, -46.0)],
    "across frames": [site("a", 110.5, 31.0), site("b", 110.7, 32.0, 0.4), site("c", 112.6, 31.2)],
    "nothing there": [site("a", 110.5, 31.0), site("b", 30.0, 10.0)],
    "the date line": [site("a", 179.5, -17.0), site("b", -179.5, -17.0), site("c", 0.5, -17.0)],
}
SCENES = [
    *(frame(f"first-{day}", 109.5, 30.4, day) for day in (5, 17, 29)),
    *(frame(f"north-{day}", 109.2, 31.9, day) for day in (5, 17, 29)),
    frame("east", 111.9, 30.5),
    frame("alaska", -151.5, 63.8, 7),
    frame("south", 6.5, -46.8, 8),
    scene("fiji", [(178.2, -16.0), (178.5, -18.0), (-178.5, -18.0), (-178.8, -16.0)], 9),
    scene("fiji, west", [(177.2, -16.0), (177.5, -18.0), (179.8, -18.0), (179.9, -16.0)], 10),
]


@pytest.mark.parametrize("place", PLACES)
def test_a_group_is_told_what_each_of_its_sites_is(server, reply, place):
    serve(server, reply, SCENES)
    together, alone = both(feed(server), PLACES[place])
    assert together == alone
    assert len(server.requests) == 1 + len(PLACES[place])
    counts = {name: len(items) for name, items in together.items()}
    if place == "across frames":
        assert counts == {"a": 3, "b": 6, "c": 4}
    if place == "the date line":
        assert counts == {"a": 2, "b": 1, "c": 0}


def test_what_is_asked_of_the_catalogue(server, reply):
    serve(server, reply, [])
    sites = [site("a", 110.5, 31.0), site("b", -150.0, 64.5), site("c", 110.5, 31.0)]
    list(
        feed(server, product="BURST", bursts=["1_2_IW1", "1_3_IW1"]).poll_group(
            sites, *EVER, MemoryArtifacts()
        )
    )
    assert len(server.requests) == 2
    for request in server.requests:
        fields = request.fields
        boxes = [value for name, value in fields if name.startswith("bounding_box")]
        assert [tuple(map(float, box.split(","))) for box in boxes] == [s.area for s in sites[:2]]
        assert ("options[bounding_box][or]", "true") in fields
    single = feed(server)
    list(single.poll(sites[0], *EVER, MemoryArtifacts()))
    assert not [name for name, _ in server.requests[-1].fields if "options[bounding_box]" in name]


@pytest.mark.parametrize(
    ("name", "product"),
    [
        (
            "S1A_IW_SLC__1SSV_20160528T141908_20160528T141938_011460_011746_335C_stack.json",
            "SLC",
        ),
        ("SLC_BURST_stack.json", "BURST"),
        ("OPERA_Products.json", "RTC"),
    ],
)
def test_recorded_scenes_go_to_the_sites_that_they_show(recorded, server, reply, name, product):
    items = recorded_items(recorded, name)
    serve(server, reply, items)
    middle = covered(items[0]).centroid
    sites = [
        site("middle", middle.x, middle.y, 0.01),
        site("near", middle.x + 0.02, middle.y, 0.01),
        site("beside", middle.x + 12, middle.y, 0.01),
    ]
    together, alone = both(feed(server, product=product), sites)
    assert together == alone
    assert together["middle"]
    assert not together["beside"]


def test_a_bad_item_is_rejected_for_the_sites_that_it_shows(server, reply):
    bad = frame("bad", 109.5, 30.4)
    bad["umm"]["DataGranule"]["Identifiers"] = []
    serve(server, reply, [bad, *SCENES])
    together, alone = both(feed(server), PLACES["far apart"])
    assert together == alone
    kinds = {name: [type(i) for i in items].count(Rejection) for name, items in together.items()}
    assert kinds == {"a": 1, "b": 0, "c": 0}


@pytest.mark.parametrize("broken", ["no polygon", "no umm", "elsewhere"])
def test_an_item_that_cannot_be_placed_leaves_the_choice_to_the_catalogue(server, reply, broken):
    odd: Any = copy.deepcopy(frame("odd", 109.5, 30.4))
    if broken == "no umm":
        odd = {"umm": None}
    elif broken == "no polygon":
        odd["umm"]["SpatialExtent"]["HorizontalSpatialDomain"]["Geometry"] = {}
    else:
        odd = frame("odd", 10.0, -80.0)
    alone_for = PLACES["far apart"][0]

    def answer(request: Any) -> Any:
        boxes = [v for k, v in request.fields if k in ("bounding_box", "bounding_box[]")]
        wanted = ",".join(map(str, alone_for.area)) in boxes
        items = [odd] if wanted else []
        return reply(200, json.dumps({"hits": len(items), "items": items}).encode())

    server.answer = answer
    together, alone = both(feed(server), PLACES["far apart"])
    assert together == alone
    assert [len(items) for items in together.values()] == [1, 0, 0]


def test_a_search_that_fails_asks_nobody_else(server, reply):
    class Gone:
        url = "http://127.0.0.1:9"

    with pytest.raises(UnavailableError, match="does not answer"):
        feed(Gone).poll_group(PLACES["far apart"], *EVER, MemoryArtifacts())


def test_edges_are_great_circles():
    # Along 60 degrees north the great circle between 0 and 20 east rises to 60.4 degrees.
    ring = [(0.0, 58.0), (20.0, 58.0), (20.0, 60.0), (0.0, 60.0)]
    shown = _footprints.footprint(scene("north", ring))
    assert shown is not None
    assert shown.meets((9.9, 60.2, 10.1, 60.3))
    assert not shown.meets((9.9, 60.5, 10.1, 60.6))
    assert not shown.meets((9.9, 58.0, 10.1, 58.2))
    assert shown.meets((9.9, 58.5, 10.1, 58.6))
