"""`slopewatch export`: state and forecasts of a site as netCDF or Zarr, by the CF conventions.

Sources: CF Metadata Conventions 1.11 (cfconventions.org) and its standard name table. There is no
standard name for motion along a line of sight: such variables have a long name alone.
"""

from __future__ import annotations

from collections.abc import Callable, Sequence
from contextlib import closing
from datetime import UTC, date, datetime
from importlib import metadata
from pathlib import Path
from typing import Any, Final, NamedTuple

import numpy as np
import xarray as xr

from core.artifacts import Artifacts, unpack
from core.clock import end_of
from core.errors import SettingsError, SlopewatchError
from core.eventlog import open_log
from core.events import ASSESSMENTS, ForecastIssued, UnitForecast
from core.kalman import TrendState
from core.settings import Service, Site
from services.commands._site_state import state_of
from services.commands.logs import events
from services.compose import load_sites
from services.inference.issuing.archive import SiteHistory, driver_record
from services.inference.issuing.publishing import point_forecasts
from services.inference.issuing.remembered import Remembered
from services.inference.state import SiteState, day_number

Echo = Callable[[str], None]
Variable = tuple[tuple[str, ...], Any, dict[str, Any]]
NOTHING_SAID: Final = -1
_TOWARD: Final = "along the line of sight, positive toward the satellite"
_EPOCH: Final = datetime(1970, 1, 1, tzinfo=UTC)
_SECONDS: Final = "seconds since 1970-01-01 00:00:00"
_STATES: Final = (
    ("displacement", "displacement_mm", "mm", "filtered displacement"),
    ("displacement_sd", "var_displacement", "mm", "standard deviation of filtered displacement"),
    ("velocity", "velocity_mm_d", "mm day-1", "filtered velocity"),
    ("velocity_sd", "var_velocity", "mm day-1", "standard deviation of filtered velocity"),
)
_FORECASTS: Final = (
    ("forecast", "displacement_mm", "forecast displacement"),
    ("forecast_sd", "sd_mm", "standard deviation of forecast displacement"),
    ("forecast_low_90", "low_90_mm", "lower end of the 90 % interval of displacement"),
    ("forecast_low_50", "low_50_mm", "lower end of the 50 % interval of displacement"),
    ("forecast_high_50", "high_50_mm", "upper end of the 50 % interval of displacement"),
    ("forecast_high_90", "high_90_mm", "upper end of the 90 % interval of displacement"),
)


class _Part(NamedTuple):
    """State and forecasts of the series of one track: names as in `_FORECASTS`, (H, S) each."""

    state: TrendState
    forecast: dict[str, np.ndarray]
    model: Sequence[str]


def export_site(service: Service, name: str, out: Path, as_of: datetime | None, echo: Echo) -> None:
    """Write the site's state and forecasts as of a day (the last closed one) to `out`."""
    if out.suffix not in {".nc", ".zarr"}:
        raise SettingsError(f"--out {out}: name a file that ends in .nc or a folder in .zarr")
    if out.suffix == ".zarr" and out.exists():
        raise SettingsError(f"--out {out} is there already: name a new folder")
    load_sites(service, name)
    with state_of(service, name, echo) as (state, artifacts):
        issued = _issued(service, state, name, as_of.date() if as_of else None)
        dataset = dataset_of(state, issued, artifacts)
    write(dataset, out)
    sizes = dataset.sizes
    echo(
        f"{name}: {sizes['unit']} unit series and {sizes['point']} points as of "
        f"{issued.issued_for}: {out}"
    )


def write(dataset: xr.Dataset, out: Path) -> None:
    """One netCDF file (classic 64-bit offset, which everything reads) or one Zarr folder."""
    if out.suffix == ".nc":
        dataset.to_netcdf(out, engine="scipy", format="NETCDF3_64BIT")
    else:
        dataset.to_zarr(out, mode="w-", zarr_format=2, consolidated=True)


def _issued(service: Service, state: SiteState, name: str, day: date | None) -> ForecastIssued:
    """The forecast of the day as it was issued: the last one, or the one on the log."""
    if state.issued is not None and day in {None, state.issued.issued_for}:
        return state.issued
    if day is None:
        raise SlopewatchError(f"no forecast was issued for {name} yet: close a day with an epoch")
    with closing(open_log(str(service.log))) as log:
        for event in events(log, ASSESSMENTS, name):
            if isinstance(event.data, ForecastIssued) and event.data.issued_for == day:
                return event.data
    raise SlopewatchError(f"no forecast was issued for {name} on {day}")


def dataset_of(state: SiteState, issued: ForecastIssued, artifacts: Artifacts) -> xr.Dataset:
    """State and forecasts as one dataset with CF attributes.

    Dimensions: `unit` (each slope unit on each track), `point` (the points of all tracks),
    `horizon`, and `bounds` (2).
    """
    site = state.site
    assert site is not None
    tracks = [state.tracks[n] for n in sorted({u.track for u in issued.units})]
    day = day_number(issued.issued_for)
    arrays = _point_arrays(state, issued, artifacts, day)
    models = sorted({*map(str, arrays["models"]), *(u.model for u in issued.units)})
    histories = [SiteHistory(state, t, "points", record=driver_record(state)) for t in tracks]
    units = [_unit_part(state, issued, t.name, day) for t in tracks]
    points = [
        _point_part(history.filtered(day), arrays, track.name)
        for history, track in zip(histories, tracks, strict=True)
    ]
    names = [track.name for track in tracks]
    variables = {
        **_variables("unit", units, models),
        **_variables("point", points, models),
        **_unit_coordinates(site, names),
        **_point_coordinates(state, names, site),
        **_times(issued.issued_for, issued.horizons_d),
    }
    coordinates = {n for n in variables if n.startswith(("unit_l", "unit_i", "unit_t", "point_u"))}
    coordinates |= {"lon", "lat", "point_track", "time", "horizon", "forecast_reference_time"}
    dataset = xr.Dataset(variables, attrs=_attributes(site, issued)).set_coords(sorted(coordinates))
    for name in (*dataset.coords, "time_bounds"):
        dataset[name].encoding.setdefault("_FillValue", dataset[name].attrs.pop("_FillValue", None))
    return dataset


def _point_arrays(
    state: SiteState, issued: ForecastIssued, artifacts: Artifacts, day: int
) -> dict[str, np.ndarray]:
    """Point forecasts as issued; where none was, made by what was in force then."""
    if issued.point_forecasts is not None:
        return unpack(artifacts.get(issued.point_forecasts))
    tick = Remembered(artifacts).tick(state, day)
    if issued.fitted is None:
        tick = tick._replace(forecaster=None)
    return unpack(point_forecasts(state, tick))


def _unit_part(state: SiteState, issued: ForecastIssued, track: str, day: int) -> _Part:
    """Units of a track: the increments of the event on the filtered state that they start from."""
    site = state.site
    assert site is not None
    now = SiteHistory(state, state.tracks[track]).filtered(day)
    said = {u.unit: u for u in issued.units if u.track == track}
    ids = [unit.id for unit in site.slope_units]
    forecast = {
        name: np.stack([_of_unit(said.get(u), name, len(issued.horizons_d)) for u in ids], axis=1)
        + (0.0 if name == "sd_mm" else now.displacement_mm)
        for _, name, _ in _FORECASTS
    }
    return _Part(now, forecast, [said[u].model if u in said else "" for u in ids])


def _of_unit(said: UnitForecast | None, name: str, horizons: int) -> np.ndarray:
    names = {"displacement_mm": "los_increment_mm", "sd_mm": "increment_sd_mm"}
    if said is None:
        return np.full(horizons, np.nan)
    return np.array(getattr(said, names.get(name, name)), float)


def _point_part(now: TrendState, arrays: dict[str, np.ndarray], track: str) -> _Part:
    names = arrays["models"]
    return _Part(
        now,
        {name: arrays[f"{track}/{name}"] for _, name, _ in _FORECASTS},
        [str(names[place]) for place in arrays[f"{track}/model"]],
    )


def _variables(dim: str, parts: Sequence[_Part], models: Sequence[str]) -> dict[str, Variable]:
    """State and forecast of units or of points, each with units, long name and companions."""
    found: dict[str, Variable] = {}
    for name, field, unit, what in _STATES:
        values = np.concatenate([getattr(part.state, field) for part in parts])
        values = np.sqrt(values) if field.startswith("var_") else values
        attrs = {"long_name": f"{what} {_TOWARD}", "units": unit}
        found[f"{dim}_{name}"] = ((dim,), values.astype(np.float32), attrs)
    for name, field, what in _FORECASTS:
        values = np.concatenate([part.forecast[field] for part in parts], axis=1)
        attrs = {"long_name": f"{what} {_TOWARD}", "units": "mm"}
        found[f"{dim}_{name}"] = (("horizon", dim), values.astype(np.float32), attrs)
    companions = [f"{dim}_{name}" for name, _, _ in _FORECASTS[1:]]
    found[f"{dim}_forecast"][2]["ancillary_variables"] = " ".join([*companions, f"{dim}_model"])
    for name in ("displacement", "velocity"):
        found[f"{dim}_{name}"][2]["ancillary_variables"] = f"{dim}_{name}_sd"
    places = {model: place for place, model in enumerate(models)}
    spoken = [places.get(model, NOTHING_SAID) for part in parts for model in part.model]
    flags = {"long_name": "model that forecast", **_flags(models)}
    found[f"{dim}_model"] = ((dim,), np.array(spoken, np.int16), flags)
    return found


def _flags(names: Sequence[str]) -> dict[str, Any]:
    """Names as flags: meanings are words with underscores, as CF asks."""
    return {
        "flag_values": np.arange(len(names), dtype=np.int16),
        "flag_meanings": " ".join(name.replace(" ", "_") for name in names),
        "_FillValue": np.int16(NOTHING_SAID),
    }


def _unit_coordinates(site: Site, tracks: Sequence[str]) -> dict[str, Variable]:
    ids = [unit.id for _ in tracks for unit in site.slope_units]
    rings = [np.array(unit.polygon).mean(axis=0) for _ in tracks for unit in site.slope_units]
    middle = np.array(rings).reshape(-1, 2)
    place = np.repeat(np.arange(len(tracks), dtype=np.int16), len(site.slope_units))
    return {
        "unit_id": (("unit",), np.array(ids), {"long_name": "slope unit"}),
        "unit_lon": (("unit",), middle[:, 0], _lon("middle of the slope unit")),
        "unit_lat": (("unit",), middle[:, 1], _lat("middle of the slope unit")),
        "unit_track": (("unit",), place, {"long_name": "satellite track", **_flags(tracks)}),
    }


def _point_coordinates(state: SiteState, tracks: Sequence[str], site: Site) -> dict[str, Variable]:
    points = [state.tracks[name].points for name in tracks]
    place = [np.full(p.lon.size, n, np.int16) for n, p in enumerate(points)]
    ids = [unit.id for unit in site.slope_units]
    inside = np.concatenate([p.unit for p in points]).astype(np.int16)
    return {
        "lon": (("point",), np.concatenate([p.lon for p in points]), _lon("measured point")),
        "lat": (("point",), np.concatenate([p.lat for p in points]), _lat("measured point")),
        "point_unit": (("point",), inside, {"long_name": "slope unit of the point", **_flags(ids)}),
        "point_track": (
            ("point",),
            np.concatenate(place),
            {"long_name": "satellite track", **_flags(tracks)},
        ),
    }


def _lon(what: str) -> dict[str, str]:
    return {"standard_name": "longitude", "long_name": what, "units": "degrees_east"}


def _lat(what: str) -> dict[str, str]:
    return {"standard_name": "latitude", "long_name": what, "units": "degrees_north"}


def _times(day: date, horizons_d: Sequence[int]) -> dict[str, Variable]:
    """Issue and horizons; a forecast speaks of the end of its day, its bounds are the day."""
    issued = (end_of(day) - _EPOCH).total_seconds()
    h = np.array(horizons_d, np.int32)
    end = issued + 86400.0 * h
    time = {"standard_name": "time", "long_name": "end of the forecast day", "units": _SECONDS}
    time |= {"calendar": "standard", "bounds": "time_bounds"}
    reference = {"standard_name": "forecast_reference_time", "long_name": "end of the issue day"}
    period = {"standard_name": "forecast_period", "long_name": "days ahead", "units": "days"}
    return {
        "horizon": (("horizon",), h, period),
        "time": (("horizon",), end, time),
        "time_bounds": (("horizon", "bounds"), np.stack([end - 86400.0, end], axis=1), {}),
        "forecast_reference_time": (
            (),
            np.array(issued),
            {**reference, "units": _SECONDS, "calendar": "standard"},
        ),
    }


def _attributes(site: Site, issued: ForecastIssued) -> dict[str, str]:
    fitted = f"fitted on {issued.fitted}" if issued.fitted else "not fitted yet"
    title = f"Motion and forecast of {site.title or site.name}, {issued.issued_for}"
    comment = "Intervals are of displacement as an epoch measures it."
    if site.simulated:
        title, comment = f"SIMULATED: {title}", f"Simulated data: no real place. {comment}"
    return {
        "Conventions": "CF-1.11",
        "title": title,
        "institution": "operator of this slopewatch service",
        "source": f"slopewatch {metadata.version('slopewatch')}, forecast models {fitted}",
        "history": f"exported from the state and the forecast issued for {issued.issued_for}",
        "references": "docs/quantities.md of slopewatch",
        "comment": comment,
    }
