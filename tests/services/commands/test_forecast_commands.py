"""Scenario, export, skill and training, on a simulated site that rain moves."""

from __future__ import annotations

import re
import shutil
from collections.abc import Iterator
from contextlib import closing
from dataclasses import replace
from datetime import datetime
from pathlib import Path
from types import SimpleNamespace
from typing import Any

import numpy as np
import pytest
import xarray as xr
from prometheus_client.parser import text_string_to_metric_families

from core.artifacts import Artifacts, open_artifacts
from core.clock import end_of
from core.errors import SettingsError, SlopewatchError
from core.eventlog import open_log
from core.events import OBSERVATIONS, ForecasterFitted, ForecastIssued
from core.figures import Figure
from core.settings import Service
from core.statestore import SiteRepository
from core.telemetry import Telemetry
from services.commands import fitting
from services.commands._scenario import read_scenario, with_scenario
from services.commands._site_state import state_of
from services.commands.exporting import dataset_of, export_site
from services.commands.forecasting import Response, forecast_site, responses, told, widening
from services.commands.logs import events
from services.commands.skill import report_skill
from services.inference.issuing.archive import SiteHistory
from services.inference.issuing.skill import skill_of
from services.inference.model import HORIZONS_D
from services.inference.state import SiteState, day_number
from services.inference.store import read_state
from services.schedule import Scheduler
from services.vitals import forecasts
from services.vitals.forecasts import ForecastSkill
from services.vitals.look import Fault
from services.vitals.sites import Sites
from tests.pipeline import POINTS, day
from tests.services.commands.scenario_site import DAYS, NAME, fitted_service, quick_fit, running

LAST = day(DAYS - 1)


@pytest.fixture(scope="module")
def service(tmp_path_factory: pytest.TempPathFactory) -> Service:
    return fitted_service(tmp_path_factory.mktemp("scenario"))


@pytest.fixture(scope="module")
def site(
    service: Service, tmp_path_factory: pytest.TempPathFactory
) -> Iterator[tuple[SiteState, Artifacts]]:
    """The state, read from a copy: a folder serves one reader at a time."""
    copy = tmp_path_factory.mktemp("copy") / "state"
    shutil.copytree(str(service.state).removeprefix("file://"), copy)
    with state_of(service.model_copy(update={"state": f"file://{copy}"}), NAME, print) as found:
        yield found


def asked(
    site: tuple[SiteState, Artifacts], rain: str | None = None, level: str | None = None
) -> Response:
    (response,) = responses(*site, read_scenario(rain, level, 30), 30)
    return response


# Scenarios


@pytest.mark.parametrize(
    ("rain", "level", "days", "sentence"),
    [
        ("much", None, 30, "--rain 'much': write millimetres over days, such as 150mm/3d"),
        ("-5mm/3d", None, 30, "--rain '-5mm/3d': between 0 and 5000 mm can fall"),
        ("50mm/9d", None, 6, "--rain '50mm/9d': it can fall over 1 to 6 days (see --days)"),
        ("50mm/0d", None, 6, "--rain '50mm/0d': it can fall over 1 to 6 days (see --days)"),
        (None, "0.6", 30, "--level '0.6': write metres a day, such as -0.6m/d"),
        (None, "900m/d", 30, "--level '900m/d': at most 50 m a day"),
        (None, None, 31, "--days 31: forecasts reach from 1 to 30 days"),
    ],
)
def test_what_is_no_scenario_is_one_sentence(
    rain: str | None, level: str | None, days: int, sentence: str
) -> None:
    with pytest.raises(SettingsError, match=f"^{re.escape(sentence)}$"):
        read_scenario(rain, level, days)


@pytest.mark.parametrize(
    ("rain", "level", "found"),
    [
        ("150mm/3d", "-0.6m/d", (150.0, 3, -0.6)),
        ("20.5 mm / d", "+1 m/d", (20.5, 1, 1.0)),
        (None, None, (None, 0, None)),
    ],
)
def test_a_scenario_is_read(rain: str | None, level: str | None, found: tuple) -> None:
    assert tuple(read_scenario(rain, level, 30)) == found


def test_a_scenario_takes_the_place_of_the_days_ahead_and_of_nothing_else(
    site: tuple[SiteState, Artifacts],
) -> None:
    state, _ = site
    known = SiteHistory(state, state.tracks["A44"]).known(day_number(LAST))
    changed = with_scenario(known, read_scenario("150mm/3d", "-0.6m/d", 10), 10)
    now = known.day - known.drivers.first_day
    rain, level = changed.drivers.rain_mm[:, 0], changed.drivers.level_m[:, 0]
    np.testing.assert_array_equal(rain[now + 1 : now + 4], 50.0)
    assert np.isnan(rain[now + 4 :]).all()
    assert rain[: now + 1].tobytes() == known.drivers.rain_mm[: now + 1, 0].tobytes()
    last = known.drivers.level_m[now, 0]
    np.testing.assert_allclose(level[now + 1 : now + 11], last - 0.6 * np.arange(1, 11))
    np.testing.assert_array_equal(level[now + 11 :], level[now + 10])
    assert changed.drivers.rain_issued.sum() == 3
    assert not known.drivers.rain_issued.any()


def test_without_a_scenario_the_answer_is_what_was_issued(
    site: tuple[SiteState, Artifacts],
) -> None:
    state, _ = site
    response = asked(site)
    assert state.issued is not None
    assert state.issued.issued_for == LAST
    for place, unit in enumerate(state.issued.units):
        assert tuple(response.base_mm[:, place]) == unit.los_increment_mm
        assert tuple(response.base_low_mm[:, place]) == unit.low_90_mm
        assert tuple(response.base_high_mm[:, place]) == unit.high_90_mm


def test_more_rain_is_never_less_downslope_motion(site: tuple[SiteState, Artifacts]) -> None:
    state, _ = site
    factor = state.tracks["A44"].points.factor
    assert (factor != 0).all()
    amounts = ("0mm/3d", "20mm/3d", "60mm/3d", "150mm/3d", "400mm/3d")
    moved = np.stack([asked(site, rain).mean_mm / factor for rain in amounts])
    assert (np.diff(moved, axis=0) >= 0).all()
    assert (moved[-1, -1] > moved[0, -1]).all()


def test_drivers_never_seen_are_told_and_widen_the_interval(
    site: tuple[SiteState, Artifacts],
) -> None:
    state, _ = site
    near, far = asked(site, "10mm/3d"), asked(site, "900mm/3d")
    assert near.outside.max() < 1 < far.outside.max()
    width = [one.high_mm - one.low_mm for one in (near, far)]
    assert (width[1][3:] > width[0][3:]).all()
    plain = near.base_high_mm - near.base_low_mm
    np.testing.assert_allclose(near.high_mm - near.low_mm, plain, rtol=0.03)
    said = [
        "\n".join(told(one, state, read_scenario("9mm/d", None, 30), 30)) for one in (near, far)
    ]
    assert "EXTRAPOLATES" not in said[0]
    assert re.search(r"EXTRAPOLATES from 2022-08-\d\d on", said[1])
    factor = widening(np.array([0.2, 3.0, 2.0] + [0.1] * 28))
    assert factor[:3].tolist() == [1.0, 3.0, 3.0]
    assert (np.diff(factor) >= 0).all()


def test_a_response_that_points_uphill_is_not_to_be_relied_on(
    site: tuple[SiteState, Artifacts],
) -> None:
    state, _ = site
    response = asked(site, "60mm/3d")
    scenario = read_scenario("60mm/3d", None, 30)
    assert "points uphill" not in "\n".join(told(response, state, scenario, 30))
    turned = replace_mean(response, 2 * response.base_mm - response.mean_mm)
    assert "toe, head: the fitted response to rain points uphill" in "\n".join(
        told(turned, state, scenario, 30)
    )


def replace_mean(response: Response, mean: np.ndarray) -> Response:
    return response._replace(mean_mm=mean)


def test_the_command_prints_a_table_and_draws(service: Service, tmp_path: Path) -> None:
    lines: list[str] = []
    picture = tmp_path / "scenario.svg"
    forecast_site(service, NAME, "60mm/3d", "-0.2m/d", 12, picture, lines.append)
    text = "\n".join(lines)
    assert lines[0] == f"{NAME} is SIMULATED: no real place"
    assert text.count("difference") == 2
    assert "+12 d" in text
    assert "+24 d" not in text
    assert "SIMULATED" in picture.read_text()
    with pytest.raises(SettingsError, match=r"\.png or \.svg"):
        forecast_site(service, NAME, None, None, 12, tmp_path / "x.pdf", lines.append)


def test_before_a_fit_a_scenario_has_no_answer(site: tuple[SiteState, Artifacts]) -> None:
    state, artifacts = site
    unfitted = replace(state, fitted=None)
    with pytest.raises(SlopewatchError, match="run `slopewatch train --site NAME` first"):
        responses(unfitted, artifacts, read_scenario("1mm/d", None, 30), 30)


# Export by the CF conventions 1.11

STANDARD_NAMES = {
    "longitude": "degrees_east",
    "latitude": "degrees_north",
    "time": "seconds since 1970-01-01 00:00:00",
    "forecast_reference_time": "seconds since 1970-01-01 00:00:00",
    "forecast_period": "days",
}
UNITS = {*STANDARD_NAMES.values(), "mm", "mm day-1"}


@pytest.fixture(scope="module")
def exported(service: Service, tmp_path_factory: pytest.TempPathFactory) -> Path:
    folder = tmp_path_factory.mktemp("export")
    for name in ("site.nc", "site.zarr"):
        export_site(service, NAME, folder / name, None, print)
    return folder


def raw(path: Path) -> xr.Dataset:
    """As it lies in the file, nothing decoded."""
    given = {"decode_cf": False, "mask_and_scale": False, "decode_times": False}
    if path.suffix == ".nc":
        with xr.open_dataset(path, engine="scipy", **given) as found:
            return found.load()
    with xr.open_zarr(path, chunks=None, **given) as found:
        return found.load()


@pytest.mark.parametrize("name", ["site.nc", "site.zarr"])
def test_every_variable_keeps_the_cf_conventions(exported: Path, name: str) -> None:
    found = raw(exported / name)
    assert found.attrs["Conventions"] == "CF-1.11"
    for wanted in ("title", "institution", "source", "history", "references", "comment"):
        assert found.attrs[wanted], wanted
    assert found.attrs["title"].startswith("SIMULATED")
    bounds = {v.attrs["bounds"] for v in found.variables.values() if "bounds" in v.attrs}
    named: set[str] = set()
    for key, variable in found.variables.items():
        assert re.fullmatch(r"[A-Za-z][A-Za-z0-9_]*", key)
        attrs = variable.attrs
        if key in bounds:
            assert variable.dims[-1] == "bounds"
            continue
        assert attrs.get("long_name"), key
        if "standard_name" in attrs:
            assert attrs["units"] == STANDARD_NAMES[attrs["standard_name"]]
            named.add(attrs["standard_name"])
        if "flag_values" in attrs:
            values = np.atleast_1d(attrs["flag_values"])
            if name.endswith(".nc"):  # attributes of Zarr are JSON and have no type
                assert values.dtype.newbyteorder("=") == variable.dtype.newbyteorder("=")
            assert len(values) == len(attrs["flag_meanings"].split())
            assert set(np.unique(variable.values)) <= {*values.tolist(), attrs.get("_FillValue")}
        elif variable.dtype.kind in "fi":
            assert attrs["units"] in UNITS, key
        for listed in ("coordinates", "ancillary_variables", "bounds"):
            for other in str(attrs.get(listed, "")).split():
                assert other in found.variables, f"{key}: {listed} names {other}"
                own = {d for d in found[other].dims if not d.startswith(("bounds", "string"))}
                assert own <= set(variable.dims) | {"horizon"}
        if key in found.dims:
            assert variable.dims == (key,)
            assert (np.diff(variable.values) > 0).all()
            assert "_FillValue" not in attrs
    assert named == set(STANDARD_NAMES)


@pytest.mark.parametrize("name", ["site.nc", "site.zarr"])
def test_data_name_their_coordinates(exported: Path, name: str) -> None:
    found = raw(exported / name)
    for dim, wanted in (("unit", {"unit_lon", "unit_lat", "unit_id"}), ("point", {"lon", "lat"})):
        for key, variable in found.variables.items():
            if key.startswith(f"{dim}_forecast"):
                assert wanted | {"time"} <= set(variable.attrs["coordinates"].split()), key


def test_both_forms_hold_what_was_issued(exported: Path, site: tuple[SiteState, Artifacts]) -> None:
    state, artifacts = site
    assert state.issued is not None
    made = dataset_of(state, state.issued, artifacts)
    with xr.open_dataset(exported / "site.nc", engine="scipy") as one:
        netcdf = one.load()
    with xr.open_zarr(exported / "site.zarr", chunks=None) as other:
        zarr = other.load()
    assert netcdf.sizes == zarr.sizes == {"unit": 2, "point": POINTS, "horizon": 7, "bounds": 2}
    for name in made.data_vars:
        if made[name].dtype.kind == "f" and name != "time_bounds":
            np.testing.assert_array_equal(netcdf[name].values, made[name].values)
            np.testing.assert_array_equal(zarr[name].values, made[name].values)
    assert netcdf["time"].values[0] == np.datetime64(end_of(LAST).replace(tzinfo=None), "ns")
    width = netcdf["time_bounds"].values[:, 1] - netcdf["time_bounds"].values[:, 0]
    assert (width == np.timedelta64(1, "D")).all()
    history = SiteHistory(state, state.tracks["A44"])
    start = history.filtered(day_number(LAST)).displacement_mm
    for place, unit in enumerate(state.issued.units):
        np.testing.assert_allclose(
            netcdf["unit_forecast"].values[:, place] - start[place],
            unit.los_increment_mm,
            rtol=1e-4,
            atol=1e-4,
        )
    names = netcdf["unit_model"].attrs["flag_meanings"].split()
    spoken = netcdf["unit_model"].values.astype(int)
    assert [names[i] for i in spoken] == [unit.model for unit in state.issued.units]


def test_an_earlier_day_is_exported_as_it_was_issued(service: Service, tmp_path: Path) -> None:
    as_of = datetime.combine(day(100), datetime.min.time())
    export_site(service, NAME, tmp_path / "then.nc", as_of, print)
    with xr.open_dataset(tmp_path / "then.nc", engine="scipy") as found:
        assert "not fitted yet" in found.attrs["source"]
        assert found["unit_model"].attrs["flag_meanings"] == "filter"
        assert np.isfinite(found["point_forecast"].values).all()
        end = np.datetime64(end_of(day(100)).replace(tzinfo=None), "ns")
        assert found["forecast_reference_time"].values == end


@pytest.mark.parametrize(
    ("out", "sentence"),
    [("a.csv", "ends in .nc or a folder in .zarr"), ("b.zarr", "there already")],
)
def test_what_cannot_be_written_is_one_sentence(
    service: Service, tmp_path: Path, out: str, sentence: str
) -> None:
    (tmp_path / "b.zarr").mkdir()
    with pytest.raises(SettingsError, match=re.escape(sentence)):
        export_site(service, NAME, tmp_path / out, None, print)


def test_a_day_without_a_forecast_cannot_be_exported(service: Service, tmp_path: Path) -> None:
    with pytest.raises(SlopewatchError, match="no forecast was issued for lian on 2030-01-01"):
        export_site(service, NAME, tmp_path / "a.nc", datetime(2030, 1, 1), print)


# Skill


def test_skill_is_of_the_forecasts_that_met_an_epoch(
    service: Service, site: tuple[SiteState, Artifacts], tmp_path: Path
) -> None:
    lines: list[str] = []
    metrics = tmp_path / "skill.prom"
    assert report_skill(service, None, 365, metrics, lines.append)
    text = "\n".join(lines)
    assert f"{NAME} (SIMULATED): kalman_transfer for 2 unit series, fitted on" in text
    assert re.search(r"filter +\+12 ", text)
    found = {f.name: f.samples for f in text_string_to_metric_families(metrics.read_text())}
    units = {s.labels["model"]: s.value for s in found["slopewatch_forecast_units"]}
    assert units["kalman_transfer"] == 2.0
    assert units["filter"] == 0.0
    errors = found["slopewatch_forecast_error_mm"]
    assert {s.labels["horizon_days"] for s in errors} >= {"0", "12"}
    assert all(s.value > 0 for s in errors)


def test_one_epoch_judges_one_forecast_of_each_horizon(
    service: Service, site: tuple[SiteState, Artifacts]
) -> None:
    """By hand, for one epoch and horizon."""
    state, _ = site
    epoch = day_number(day(180))
    with closing(open_log(str(service.log))) as log:
        found = [e.data for e in events(log, "assessments", NAME)]
    said = {f.issued_for: f for f in found if isinstance(f, ForecastIssued)}
    only = [said[day(168)]]
    rows = [row for row in skill_of(state, only, epoch) if row.horizon_d == 12]
    (row,) = rows
    history = SiteHistory(state, state.tracks["A44"])
    known = history.known(day_number(LAST))
    seen = known.los_mm[known.epoch_day[:, 0] == epoch][0]
    start = history.filtered(epoch - 12).displacement_mm
    at = only[0].horizons_d.index(12)
    error = [seen[i] - start[i] - unit.los_increment_mm[at] for i, unit in enumerate(only[0].units)]
    assert row.judged == 2
    assert row.model == "filter"
    assert row.rmse_mm == pytest.approx(np.sqrt(np.mean(np.square(error))))
    assert row.bias_mm == pytest.approx(np.mean(error))
    assert row.held_rmse_mm == pytest.approx(np.sqrt(np.mean((seen - start) ** 2)))


def test_skill_is_shown_wherever_the_state_is_held(
    service: Service, monkeypatch: pytest.MonkeyPatch
) -> None:
    read: list[str] = []

    def counted(repository: SiteRepository, artifacts: Artifacts) -> SiteState:
        read.append("state")
        return read_state(repository, artifacts)

    monkeypatch.setattr(forecasts, "read_state", counted)
    with running(service, DAYS), closing(open_log(str(service.log))) as log:
        hidden = service.model_copy(update={"state": service.state + "-of-another-pod"})
        elsewhere: Any = SimpleNamespace(
            service=service,
            telemetry=Telemetry(),
            states=None,
            artifacts=open_artifacts(str(service.artifacts)),
            log=log,
        )
        skill = ForecastSkill(elsewhere, Sites(service))
        unseen = SimpleNamespace(**{**vars(elsewhere), "service": hidden})
        (fault,) = ForecastSkill(unseen, Sites(service)).look()
        assert isinstance(fault, Fault)
        assert "has no site yet" in fault.sentence
        shown = {figure[:2]: figure.value for figure in skill.look() if isinstance(figure, Figure)}
        assert shown == {one[:2]: one.value for one in skill.look() if isinstance(one, Figure)}
    telemetry = elsewhere.telemetry
    assert shown[telemetry.forecast_units, (NAME, "kalman_transfer")] == 2
    assert shown[telemetry.forecast_error, (NAME, "filter", "12")] > 0
    assert 0 < shown[telemetry.forecast_coverage, (NAME, "filter", "12")] <= 1
    assert shown[telemetry.forecast_fitted, (NAME,)] > 0
    assert read == ["state"], "a closed day is judged once"


# Training


@pytest.fixture
def quick(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(fitting, "fit_site", lambda state, day, _: quick_fit(state, day))


def fits(service: Service) -> list[ForecasterFitted]:
    with closing(open_log(str(service.log))) as log:
        found = [event.data for event in events(log, OBSERVATIONS, NAME)]
    return [data for data in found if isinstance(data, ForecasterFitted)]


@pytest.mark.usefixtures("quick")
def test_training_appends_one_fit_and_says_who_may_speak_and_why(service: Service) -> None:
    lines: list[str] = []
    before = fits(service)
    as_of = datetime.combine(day(190), datetime.min.time())
    assert fitting.train_sites(service, NAME, as_of, lines.append)
    (new,) = [fit for fit in fits(service) if fit not in before]
    assert new.day == day(190)
    assert {unit.unit: unit.model for unit in new.units} == {
        "toe": "kalman_transfer",
        "head": "kalman_transfer",
    }
    assert "toe   kalman_transfer" in "\n".join(lines)
    assert "/" not in "".join(unit.reason for unit in new.units)
    assert open_artifacts(str(service.artifacts)).get(new.parameters)


def test_training_as_of_a_day_to_come_is_refused(service: Service) -> None:
    lines: list[str] = []
    assert not fitting.train_sites(service, NAME, datetime(2031, 1, 1), lines.append)
    assert "--as-of 2031-01-01 lies after 2022-08-08" in "\n".join(lines)


@pytest.mark.usefixtures("quick")
def test_where_a_service_holds_the_state_it_is_made_again_from_the_log(service: Service) -> None:
    lines: list[str] = []
    with running(service, DAYS), state_of(service, NAME, lines.append) as (state, _):
        assert "reading the log of lian again instead" in lines[0]
        assert state.issued is not None
        assert state.issued.issued_for == LAST
    with state_of(service, NAME, lines.append) as (again, _):
        assert again.issued == state.issued
    assert len(lines) == 1


def test_the_scheduler_fits_what_has_grown_old_once_a_closed_day(
    service: Service, monkeypatch: pytest.MonkeyPatch
) -> None:
    from services import schedule

    asked_for: list[int] = []

    def fit(state: SiteState, number: int):
        asked_for.append(number)
        return quick_fit(state, number)

    monkeypatch.setattr(schedule, "fit_site", fit)
    older = service.model_copy(update={"refit_days": 10})
    with running(older, DAYS) as app:
        app.settle()
        scheduler = Scheduler(app)
        assert scheduler.look_after() == 1
        assert scheduler.look_after() == 0
        app.settle()
        fresh = Scheduler(app)
        assert fresh.look_after() == 0
    assert asked_for == [day_number(LAST)]
    assert max(HORIZONS_D) == 30


def test_a_record_that_a_model_cannot_bear_keeps_no_other_site_from_being_fitted(
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    tried = []

    def train_site(service: object, site: SimpleNamespace, *rest: object) -> None:
        tried.append(site.name)
        if site.name == "singular":
            raise np.linalg.LinAlgError("Singular matrix")

    sites = [SimpleNamespace(name=name, retired=False) for name in ("singular", "sound")]
    monkeypatch.setattr(fitting, "chosen", lambda *asked: (sites, True))
    monkeypatch.setattr(fitting, "train_site", train_site)
    lines: list[str] = []
    assert not fitting.train_sites(Service(), None, None, lines.append)
    assert tried == ["singular", "sound"]
    assert "singular: not fitted: a model failed on its record" in lines[0]
