"""One closed day of a large site with fitted models: from the event to the committed forecasts.

Five years of epochs every 12 days are taken in and the ladder is fitted to units and points, which
is timed by itself. Then days are closed one at a time, as they are live: the filter's state, the
forecast of every unit and of every point with intervals, the artifact on disk, the commit. Beside
it stands what each model of the ladder takes for all units and all points alone. The goal is 2 s a
day on two cores with 5,000 points. There is no peer: nothing else does the same.
"""

from __future__ import annotations

import tempfile
from contextlib import closing
from datetime import timedelta
from pathlib import Path
from time import perf_counter

import numpy as np

from benchmarks import site
from benchmarks.frame import Stopwatch, Table, best
from core.artifacts import FileArtifacts
from core.clock import end_of
from services.compose import Slopewatch, append_observation
from services.inference.issuing import ladder
from services.inference.issuing.archive import SiteHistory
from services.inference.issuing.fitting import fit_site, fitted_event
from services.inference.issuing.ladder import opened
from services.inference.service import InferenceStage
from services.inference.state import SiteState, day_number
from services.inference.store import InferenceStore, read_state
from services.inference.trust.gate import LADDER
from services.inference.trust.inner import FEWEST_EPOCHS

GOAL_S = 2.0
TICKS = 13
"""More than one repeat: an epoch arrives among them."""


def run(quick: bool) -> list[Table]:
    """Take history in, fit, close days."""
    points, epochs = (60, FEWEST_EPOCHS + 2) if quick else (5000, 160)
    days = epochs * site.REPEAT_DAYS
    with (
        tempfile.TemporaryDirectory() as folder,
        site.open_site(Path(folder), ("inference",)) as app,
    ):
        app.settle()
        history = site.History(points, app.artifacts)
        site.append(app, days - 1, (e for n in range(days) for e in history.day(n)))
        app.settle()
        fitting_s = _fit(app, days - 1)
        app.settle()
        ticks, watch = _ticks(app, history, days)
        site.check_parked(app)
        with closing(app.states.open(site.NAME)) as repository:  # type: ignore[union-attr]
            state = read_state(repository, app.artifacts)
            models = _models(state)
    title = f"{points:,} points, {site.UNITS} units, {epochs} epochs"
    notes = (f"The ladder was fitted in {fitting_s:.0f} s. The goal is {GOAL_S:.0f} s a day.",)
    rows = [("slowest day", f"{max(ticks):.2f}"), ("usual day", f"{np.median(ticks):.2f}")]
    rows += [(f"of it {name}", f"{s / len(ticks):.3f}") for name, s in watch.seconds.items()]
    return [
        Table(f"A closed day: {title}", ("what", "seconds"), tuple(rows), notes),
        Table(f"Each model alone: {title}", ("model", "units, s", "points, s"), models),
    ]


def _fit(app: Slopewatch, last: int) -> float:
    """Fit the ladder and append it; how long the fit took."""
    day = day_number(site.FIRST_DAY + timedelta(days=last))
    assert app.states is not None
    with closing(app.states.open(site.NAME)) as repository:
        state = read_state(repository, app.artifacts)
        begin = perf_counter()
        fit = fit_site(state, day, names=LADDER)
        took = perf_counter() - begin
    now = end_of(site.FIRST_DAY + timedelta(days=last)) + timedelta(hours=2)
    append_observation(app.log, fitted_event(site.NAME, day, fit, app.artifacts, now))
    return took


def _ticks(app: Slopewatch, history: site.History, days: int) -> tuple[list[float], Stopwatch]:
    watch = Stopwatch()
    parts = [
        (SiteHistory, "known", "what was known"),
        (ladder, "_paths", "models"),
        (FileArtifacts, "put", "artifact to disk"),
        (InferenceStore, "commit", "commit"),
        (InferenceStage, "handle", "filter, intervals and all else of the handler"),
    ]
    seconds = []
    with watch.on(parts):
        for number in range(days, days + TICKS):
            site.append(app, number, history.day(number))
            begin = perf_counter()
            app.settle()
            seconds.append(perf_counter() - begin)
    return seconds, watch


def _models(state: SiteState) -> tuple[tuple[str, ...], ...]:
    """Seconds of each model's forecast for all units and all points."""
    assert state.last_closed is not None
    day = day_number(state.last_closed)
    fit = fit_site(state, day, names=LADDER)
    (track_fit,) = fit.forecaster.tracks.values()
    (track,) = state.tracks.values()
    models, _ = opened(LADDER)
    rows = []
    for name in LADDER:
        taken = []
        for series, fitted in (("units", track_fit.of_units), ("points", track_fit.of_points)):
            known = SiteHistory(state, track, series).known(day)  # type: ignore[arg-type]
            model, parameters = models[name], fitted[name]
            took, _ = best(lambda m=model, p=parameters, k=known: m.forecast(p, k))  # type: ignore[misc]
            taken.append(f"{took:.3f}")
        rows.append((name, *taken))
    return tuple(rows)
