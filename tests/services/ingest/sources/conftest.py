"""Small files in the real formats, and a site round them."""

from __future__ import annotations

from collections.abc import Callable, Mapping
from datetime import date
from pathlib import Path
from typing import Any, NamedTuple

import numpy as np
import pytest

from core.artifacts import MemoryArtifacts, unpack
from core.settings import Site, parse_site
from services.ingest.feed import Feed, Observation, Rejection

WEST, NORTH, STEP = 10.0, 46.0, 0.001
"""Corner and pixel size of the grid that most tests use."""


class Polled(NamedTuple):
    """What a source gave, in order, and what its artifacts hold."""

    items: list[Observation | Rejection]
    artifacts: MemoryArtifacts

    @property
    def observations(self) -> list[Observation]:
        return [item for item in self.items if isinstance(item, Observation)]

    @property
    def rejections(self) -> list[Rejection]:
        return [item for item in self.items if isinstance(item, Rejection)]

    @property
    def data(self) -> list[Any]:
        return [item.data for item in self.observations]

    def arrays(self, ref: Any) -> dict[str, Any]:
        return unpack(self.artifacts.get(ref))


@pytest.fixture
def make_site() -> Callable[..., Site]:
    def make(area: tuple[float, ...], box: tuple[float, ...] | None = None) -> Site:
        reference: Mapping[str, Any] = {"box": box} if box else {"scene_median": True}
        west, south, east, north = area
        ring = [(west, south), (east, south), (east, north)]
        return parse_site(
            {
                "name": "test",
                "area": area,
                "reference": reference,
                "slope_units": [{"id": "slope", "polygon": ring}],
            }
        )

    return make


@pytest.fixture
def site(make_site: Callable[..., Site]) -> Site:
    """Site that covers a grid of up to 50 x 50 pixels."""
    return make_site((WEST, NORTH - 50 * STEP, WEST + 50 * STEP, NORTH))


@pytest.fixture
def poll() -> Callable[..., Polled]:
    def ask(
        feed: Feed, site: Site, since: date = date(2000, 1, 1), until: date = date(2040, 1, 1)
    ) -> Polled:
        artifacts = MemoryArtifacts()
        return Polled(list(feed.poll(site, since, until, artifacts)), artifacts)

    return ask


@pytest.fixture
def write_tif() -> Callable[..., Path]:
    def write(
        path: Path,
        values: Any,
        corner: tuple[float, float] = (WEST, NORTH),
        step: float = STEP,
        crs: str | None = "EPSG:4326",
        **profile: Any,
    ) -> Path:
        import rasterio

        array = np.asarray(values)
        path.parent.mkdir(parents=True, exist_ok=True)
        with rasterio.open(
            path,
            "w",
            driver="GTiff",
            height=array.shape[0],
            width=array.shape[1],
            count=1,
            dtype=array.dtype,
            crs=crs,
            transform=rasterio.Affine(step, 0.0, corner[0], 0.0, -step, corner[1]),
            **profile,
        ) as dataset:
            dataset.write(array, 1)
        return path

    return write
