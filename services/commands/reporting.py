"""What is known of one site, in words and figures."""

from __future__ import annotations

from collections.abc import Callable, Iterator
from contextlib import closing, contextmanager
from pathlib import Path

import numpy as np

from core.artifacts import Artifacts
from core.errors import SlopewatchError
from core.events import OBSERVATIONS, InterferogramReady
from core.kinematics import mm_yr_from_mm_d, probability_below
from core.ledger import open_ledger
from core.settings import Service
from core.statestore import open_states_to_read
from services.commands.logs import events
from services.compose import Slopewatch, load_sites
from services.inference.pairs import stack_report
from services.inference.points import read_points
from services.inference.state import SiteState, day_of
from services.inference.store import read_state
from services.inference.track import Track
from services.page import views

Echo = Callable[[str], None]


def report_site(service: Service, name: str, out: Path | None, echo: Echo) -> None:
    """Epochs, rates, inversion and closure, levels; optionally the page as a file."""
    site = load_sites(service, name)[0]
    with beside(service) as app:
        if app.states is None or name not in app.states.sites():
            raise SlopewatchError(
                f"site {name!r} has no state yet: `slopewatch ingest backfill --site {name}`"
            )
        repository = app.states.open(name)
        state = read_state(repository, app.artifacts)
        for track in state.tracks.values():
            _report_track(track, state, echo)
        repository.close()
        _report_stacks(app, name, echo)
        for unit in views(app, name)[0].units:
            echo(f"{unit.name}: {unit.level}, {unit.coverage} ({unit.coverage_reason})")
        if out is not None:
            from services.page import render_sites

            out.write_text(render_sites(app, name), encoding="utf-8")
            echo(f"page of {site.title or name}: {out}")


@contextmanager
def beside(service: Service) -> Iterator[Slopewatch]:
    """What the stores know, with no worker: the services that hold them may run meanwhile."""
    with (
        Slopewatch(service, roles=()) as app,
        closing(open_states_to_read(str(app.service.state))) as states,
        closing(open_ledger(str(app.service.ledger))) as ledger,
    ):
        app.states, app.ledger = states, ledger
        yield app


def _report_track(track: Track, state: SiteState, echo: Echo) -> None:
    if not track.days:
        echo(f"track {track.name}: no epoch yet")
        return
    first, last = day_of(track.days[0]), day_of(track.days[-1])
    echo(f"track {track.name}: {len(track.days)} epochs, {first} to {last}")
    units = track.motion.units
    for index, unit in enumerate(state.site.slope_units if state.site else ()):
        rate = float(mm_yr_from_mm_d(units.velocity_mm_d[index]))
        sd = float(mm_yr_from_mm_d(units.var_velocity[index] ** 0.5))
        below = float(probability_below(np.float64(rate) + np.zeros(()), sd, -50.0))
        moved = float(units.displacement_mm[index])
        echo(
            f"  {unit.id}: {moved:+.1f} mm since the first epoch, {rate:+.1f} ± {sd:.1f} mm/yr "
            f"along the line of sight (+ toward the satellite), P(rate < -50 mm/yr) = {below:.4f}"
        )


def _report_stacks(app: Slopewatch, name: str, echo: Echo) -> None:
    """The batch inversion of all interferograms of each track, and how well triplets close."""
    pairs: dict[str, list[InterferogramReady]] = {}
    for event in events(app.log, OBSERVATIONS, name):
        if isinstance(event.data, InterferogramReady):
            pairs.setdefault(event.data.track, []).append(event.data)
    for track, found in sorted(pairs.items()):
        _report_stack(app.artifacts, app, name, track, found, echo)


def _report_stack(
    artifacts: Artifacts,
    app: Slopewatch,
    name: str,
    track: str,
    pairs: list[InterferogramReady],
    echo: Echo,
) -> None:
    site = load_sites(app.service, name)[0]
    points = read_points(artifacts.get(pairs[0].points), site)
    whole = np.ones_like(points.in_reference)
    for label, area in (("scene median", whole), ("reference area", points.in_reference)):
        report = stack_report(pairs, artifacts, area)
        echo(
            f"track {track}, {report.pairs} interferograms, {report.epochs} epochs, phase relative "
            f"to the {label}: residual RMS {report.residual_rms_rad:.3f} rad over "
            f"{report.pixels} pixels valid in all pairs"
        )
    echo(
        f"  {report.triplets} closed triplets ({report.independent_triplets} independent, "
        f"{report.loops} independent loops): closure mean {report.closure_mean_rad:+.3f} rad, "
        f"sd {report.closure_sd_rad:.3f} rad, {100 * report.share_off_cycle:.2f} % of pixels off "
        "by a whole cycle"
    )
