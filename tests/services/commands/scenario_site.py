"""A simulated site whose rain moves it, with models fitted: for the commands on forecasts."""

from __future__ import annotations

from collections.abc import Iterator
from contextlib import closing, contextmanager
from functools import cache
from pathlib import Path

import numpy as np
import yaml

from core.clock import ReplayClock, end_of
from core.events import OBSERVATIONS, Event
from core.settings import Service, Site
from services.compose import Slopewatch
from services.inference.issuing.fitting import Fit, fit_site, fitted_event
from services.inference.state import SiteState, day_number
from services.inference.store import read_state
from tests.pipeline import Scene, append, day, make_site

NAME = "lian"
DAYS = 220
UNITS = [
    {"id": "toe", "polygon": [[110.02, 31.0], [110.06, 31.0], [110.06, 31.1], [110.02, 31.1]]},
    {"id": "head", "polygon": [[110.06, 31.0], [110.1, 31.0], [110.1, 31.1], [110.06, 31.1]]},
]


def rainy_site() -> Site:
    """Two units that face west-south-west and steep: their downslope motion comes toward."""
    units = [{**u, "slope_deg": 25, "aspect_deg": 260, "flank_pixels": None} for u in UNITS]
    return make_site(NAME, slope_units=units)


@cache
def rain_mm(number: int) -> float:
    """Wet weeks now and then, the same every time."""
    storm = np.random.default_rng(1000 + number // 9).random() < 0.35
    return float(12.0 * storm * (0.5 + np.random.default_rng(5000 + number).random()))


def moved_mm(number: int) -> float:
    """LOS displacement: a creep, and what the rain of the 12 days before adds each day."""
    wet = [np.mean([rain_mm(n - back) for back in range(12)]) for n in range(number)]
    return 0.02 * number + 0.05 * float(np.sum(wet))


def story(scene: Scene, days: int = DAYS) -> list[Event]:
    """An epoch in six days, rain and level daily, each day closed."""
    said = [scene.configured()]
    for number in range(days):
        if number % 6 == 0:
            said.append(scene.epoch(number, moved_mm(number)))
        said.append(scene.rain(number, rain_mm(number)))
        level = 165.0 + 8.0 * np.cos(2 * np.pi * number / 90.0)
        said.append(scene.level(number, float(round(level, 2))))
        said.append(scene.closed(number))
    return said


def service_in(folder: Path, site: Site) -> Service:
    """A service with one site file, its stores below `folder`."""
    (folder / "sites").mkdir(parents=True)
    tree = site.model_dump(mode="json", exclude={"recipients"})
    (folder / "sites" / f"{site.name}.yaml").write_text(yaml.safe_dump(tree))
    return Service(data=folder / "var", sites=folder / "sites").resolved()


def quick_fit(state: SiteState, last: int) -> Fit:
    """A fit of one model alone."""
    return fit_site(state, last, names=["kalman_transfer"])


@contextmanager
def running(service: Service, days: int) -> Iterator[Slopewatch]:
    """The services after so many days."""
    with Slopewatch(service, clock=ReplayClock(end_of(day(days)))) as app:
        yield app


def fitted_service(folder: Path, more: int = 24) -> Service:
    """A service that lived through the story, was fitted `more` days before its end, and ended."""
    site = rainy_site()
    service = service_in(folder, site)
    with running(service, DAYS) as app:
        scene = Scene(site, app.artifacts)
        said, first = story(scene), DAYS - more
        early = [e for e in said if e.available_at <= end_of(day(first - 1))]
        append(app.log, OBSERVATIONS, early)
        app.settle()
        assert app.states is not None
        last = day_number(day(first - 1))
        with closing(app.states.open(NAME)) as repository:
            fit = quick_fit(read_state(repository, app.artifacts), last)
        event = fitted_event(NAME, last, fit, app.artifacts, end_of(day(first - 1)))
        append(app.log, OBSERVATIONS, [event, *(e for e in said if e not in early)])
        app.settle()
        assert not [w.parked for w in app.workers if w.parked]
    return service
