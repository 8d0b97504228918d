"""What a process reads or opens once, by its name for good; it never changes an answer."""

from __future__ import annotations

from typing import Any

from core.artifacts import Artifacts
from core.events import ArtifactRef
from core.settings import Site
from services.inference.issuing.archive import DriverRecord, Readings
from services.inference.issuing.forecaster import Forecaster, unpack_forecaster
from services.inference.issuing.ladder import opened
from services.inference.issuing.publishing import Tick
from services.inference.model import Model
from services.inference.numerics.conditioned import Memory
from services.inference.state import DriverRow, SiteState, day_number

REMEMBERED_SITES = 64


class Remembered:
    """What was read or opened once, by what names it for good; it never changes an answer."""

    def __init__(self, artifacts: Artifacts) -> None:
        self._artifacts = artifacts
        self._readings = Readings()
        self.runs = Memory()
        self._forecasters: dict[str, Forecaster] = {}
        self._models: dict[str, dict[str, Model]] = {}
        self._past: dict[str, tuple[tuple[DriverRow, ...], DriverRecord]] = {}

    def tick(self, state: SiteState, day: int) -> Tick:
        """What a day of this site is forecast from."""
        site = state.site
        assert site is not None
        if state.fitted is None or day_number(state.fitted.day) > day:
            return Tick(day, DriverRecord(), self._readings, None, {})
        forecaster = self.forecaster(state.fitted.parameters)
        models = self._opened(site, state.fitted.parameters.sha256, forecaster)
        return Tick(day, self.record(state), self._readings, forecaster, models)

    def forecaster(self, ref: ArtifactRef) -> Forecaster:
        """The models of a fit; `BadInputError` where the artifact holds none."""
        if ref.sha256 not in self._forecasters:
            _make_room(self._forecasters)
            self._forecasters[ref.sha256] = unpack_forecaster(self._artifacts.get(ref))
        return self._forecasters[ref.sha256]

    def _opened(self, site: Site, fit: str, forecaster: Forecaster) -> dict[str, Model]:
        key = f"{fit} {site.model.model_dump_json() if site.model else ''}"
        if key not in self._models:
            _make_room(self._models)
            fits = forecaster.tracks.values()
            names = sorted({n for one in fits for n in (*one.of_units, *one.of_points)})
            self._models[key], _ = opened(names, site.model)
        return self._models[key]

    def record(self, state: SiteState) -> DriverRecord:
        """All rain and level that the site has taken in."""
        assert state.site is not None
        name = state.site.name
        past, record = self._past.get(name, ((), DriverRecord()))
        if past is not state.past_drivers:
            _make_room(self._past)
            record = DriverRecord(state.past_drivers)
            self._past[name] = (state.past_drivers, record)
        return record.extended(state.drivers)


def _make_room(kept: dict[str, Any]) -> None:
    """Let the oldest go where there are too many."""
    while len(kept) >= REMEMBERED_SITES:
        del kept[next(iter(kept))]
