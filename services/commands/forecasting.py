"""`slopewatch forecast`: what the slope would do under a scenario, beside what was issued."""

from __future__ import annotations

from collections.abc import Callable, Mapping
from dataclasses import replace
from pathlib import Path as File
from typing import NamedTuple

import numpy as np

from core.artifacts import Artifacts
from core.errors import SettingsError, SlopewatchError
from core.evidence import Floats
from core.settings import Service, Site
from services.commands._scenario import Scenario, read_scenario, with_scenario
from services.commands._site_state import state_of
from services.commands.fitting import columns
from services.compose import load_sites
from services.inference.issuing.archive import SiteHistory
from services.inference.issuing.forecaster import TrackFit
from services.inference.issuing.hull import outside
from services.inference.issuing.ladder import Voice, track_fit, voice_of
from services.inference.issuing.publishing import Tick
from services.inference.issuing.remembered import Remembered
from services.inference.known import Known
from services.inference.model import HORIZONS_D, Model, Path
from services.inference.state import SiteState, day_number, day_of
from services.inference.track import Track
from services.inference.trust import conformal
from services.inference.trust.gate import DEFAULT, Choice

Echo = Callable[[str], None]
LEVEL = 0.9


class Response(NamedTuple):
    """Increments of the units of one track under the scenario and as issued, (H, U) each.

    `low_mm` and `high_mm` hold 90 %. `outside` (31,): distance of the drivers from the record, 1
    at its edge; intervals are wider by it where it is more. Empty where no hull was fitted.
    """

    track: str
    voice: Voice
    mean_mm: Floats
    low_mm: Floats
    high_mm: Floats
    base_mm: Floats
    base_low_mm: Floats
    base_high_mm: Floats
    outside: Floats


def forecast_site(
    service: Service,
    name: str,
    rain: str | None,
    level: str | None,
    days: int,
    out: File | None,
    echo: Echo,
) -> None:
    """Print the units' forecast under the scenario beside the one without it; perhaps draw it."""
    scenario = read_scenario(rain, level, days)
    if out is not None and out.suffix not in {".png", ".svg"}:
        raise SettingsError(f"--out {out}: name a picture that ends in .png or .svg")
    site = load_sites(service, name)[0]
    with state_of(service, name, echo) as (state, artifacts):
        found = responses(state, artifacts, scenario, days)
    last = state.last_closed
    if site.simulated:
        echo(f"{name} is SIMULATED: no real place")
    echo(f"{name}: LOS displacement from {last} on, mm, + toward the satellite, with 90 %")
    for response in found:
        for line in told(response, state, scenario, days):
            echo(line)
    if out is not None:
        from services.commands._scenario_plot import draw

        draw(found, state, days, out)
        echo(f"drawn: {out}")


def responses(
    state: SiteState, artifacts: Artifacts, scenario: Scenario, days: int
) -> list[Response]:
    """How the units of every track would answer. Raises SlopewatchError before any fit."""
    if state.fitted is None or state.last_closed is None or state.site is None:
        raise SlopewatchError(
            "no forecast model was fitted yet: run `slopewatch train --site NAME` first"
        )
    tick = Remembered(artifacts).tick(state, day_number(state.last_closed))
    tracks = [track for _, track in sorted(state.tracks.items()) if track.days]
    found = [_response(state, tick, track, scenario, days) for track in tracks]
    answered = [one for one in found if one is not None]
    if not answered:
        raise SlopewatchError("the fit does not hold for the site's tracks any more: train again")
    return answered


def _response(
    state: SiteState, tick: Tick, track: Track, scenario: Scenario, days: int
) -> Response | None:
    assert state.site is not None
    fit = track_fit(tick.forecaster, state.site, track.name)
    if isinstance(fit, str) or tick.forecaster is None or state.feedback.bands is None:
        return None
    history = SiteHistory(state, track, record=tick.record, readings=tick.readings)
    now, known = history.filtered(tick.day), history.known(tick.day)
    whose, site = np.arange(known.series), state.site
    if not scenario.empty:
        fit, site = answering(fit, site, tick.models)
    base = voice_of(fit, known, now, site, tick.models, whose)
    asked = with_scenario(known, scenario, days)
    voice = voice_of(fit, asked, now, site, tick.models, whose)
    far = np.zeros(0)
    if tick.forecaster.hull is not None and not scenario.empty:
        far = outside(tick.forecaster.hull, asked.drivers, tick.day)
    bands = state.feedback.bands
    zero = now.displacement_mm
    return Response(
        track.name,
        voice,
        *_increments(bands, asked, voice, zero, far),
        *_increments(bands, known, base, zero, np.zeros(0)),
        far,
    )


def answering(fit: TrackFit, site: Site, models: Mapping[str, Model]) -> tuple[TrackFit, Site]:
    """The same fit with models that use rain and level, where the ones in force do not."""
    named = site.model.kind if site.model else None
    choices = [
        c if named is None else Choice(named, "the site's settings name it") for c in fit.choices
    ]
    answers = tuple(
        choice
        if choice.model in models and models[choice.model].needs
        else Choice(DEFAULT, f"{choice.model} uses neither rain nor level, {DEFAULT} answers")
        for choice in choices
    )
    return replace(fit, choices=answers), site.model_copy(update={"model": None})


def _increments(
    bands: conformal.State, known: Known, voice: Voice, zero: Floats, far: Floats
) -> tuple[Floats, Floats, Floats]:
    """Mean and 90 % interval (H, U) from the filtered state; wider the farther drivers lie."""
    path = voice.path
    if far.size:
        path = Path(path.displacement_mm, path.sd_mm * widening(far)[:, None])
    issued = conformal.issue(bands, known, path, voice.speaker)
    low, high = conformal.band(issued, LEVEL)
    return issued.mean_mm - zero, low - zero, high - zero


def widening(far: Floats) -> Floats:
    """Factor (31,) on the standard deviation: the largest distance up to each day, at least 1.

    Our choice: a linear response that was never seen out there is trusted less in proportion.
    """
    return np.asarray(np.maximum.accumulate(np.maximum(far, 1.0)))


def told(response: Response, state: SiteState, scenario: Scenario, days: int) -> list[str]:
    """The lines of one track: a table, who spoke, what extrapolates."""
    assert state.site is not None
    shown = [i for i, h in enumerate(HORIZONS_D) if h <= days]
    rows = [("unit", "", *(f"+{HORIZONS_D[i]} d" for i in shown))]
    for u, unit in enumerate(state.site.slope_units):
        if not np.isfinite(response.base_mm[:, u]).all():
            continue
        base = (response.base_mm, response.base_low_mm, response.base_high_mm)
        rows.append(
            (
                unit.id,
                "issued" if scenario.empty else "without",
                *(_cell(base, i, u) for i in shown),
            )
        )
        if not scenario.empty:
            asked = (response.mean_mm, response.low_mm, response.high_mm)
            rows.append(("", "scenario", *(_cell(asked, i, u) for i in shown)))
            change = response.mean_mm - response.base_mm
            rows.append(("", "difference", *(f"{change[i, u]:+.1f}" for i in shown)))
    lines = [f"track {response.track}", *columns(rows)]
    lines += [
        f"  {unit.id}: {why}"
        for unit, why in zip(state.site.slope_units, response.voice.reason, strict=True)
    ]
    return lines + _remarks(response, state, scenario, days)


def _cell(values: tuple[Floats, Floats, Floats], horizon: int, unit: int) -> str:
    mean, low, high = (value[horizon, unit] for value in values)
    return f"{mean:+.1f} [{low:+.1f}, {high:+.1f}]"


def _remarks(response: Response, state: SiteState, scenario: Scenario, days: int) -> list[str]:
    """What makes the scenario less believable: drivers never seen, a response the wrong way."""
    assert state.last_closed is not None
    assert state.site is not None
    lines = []
    beyond = np.flatnonzero(response.outside[: days + 1] > 1.0)
    if beyond.size:
        first = day_of(day_number(state.last_closed) + int(beyond[0]))
        most = float(response.outside[: days + 1].max())
        lines.append(
            f"  EXTRAPOLATES from {first} on: the drivers lie up to {most:.1f} times as far out as "
            "99 of 100 days of the record; intervals are widened by that"
        )
    deaf = [
        unit.id
        for u, unit in enumerate(state.site.slope_units)
        if not scenario.empty and not (response.mean_mm - response.base_mm)[:, u].any()
    ]
    if deaf:
        lines.append(
            f"  {', '.join(deaf)}: THE SCENARIO CHANGES NOTHING, because the model that answers "
            "reads neither rain nor level"
        )
    if scenario.rain_mm and (response.mean_mm - response.base_mm).any():
        against = [
            unit.id
            for u, unit in enumerate(state.site.slope_units)
            if _downslope_change(response, state.tracks[response.track], u) < 0
        ]
        if against:
            lines.append(
                f"  {', '.join(against)}: the fitted response to rain points uphill, which no "
                "slope does: do not rely on it"
            )
    return lines


def _downslope_change(response: Response, track: Track, unit: int) -> float:
    """Change at the last horizon, positive downhill; 0 where the unit's direction is unknown."""
    factor = float(track.points.factor[unit])
    change = float((response.mean_mm - response.base_mm)[-1, unit])
    return change / factor if np.isfinite(factor) and abs(factor) > 0 else 0.0
