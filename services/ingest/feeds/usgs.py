"""Daily water level from the USGS National Water Information System, daily values as JSON.

Source: https://waterservices.usgs.gov/docs/dv-service/daily-values-service-details/. Parameters:
62614 lake or reservoir elevation above NGVD 1929, 62615 above NAVD 1988, 00065 gage height. One
site may have several series (statistics, instruments): they are never mixed, the settings choose.
"""

from __future__ import annotations

import math
from collections.abc import Iterator
from datetime import date, datetime, timedelta
from functools import partial
from typing import NamedTuple

import msgspec
from pydantic import Field

from core.artifacts import Artifacts
from core.errors import BadInputError
from core.settings import Service, Site, Tree
from services.ingest import http
from services.ingest.feed import Datum, Feed, Observation, Rejection
from services.ingest.feeds import _daily
from services.ingest.tables import bounded

LEVELS = ("62614", "62615", "00065")


class Settings(Tree):
    """Which series of which site."""

    site: str = Field(pattern=r"^[0-9]{8,15}$", description="USGS site number")
    parameter: str | None = Field(
        None,
        pattern=r"^[0-9]{5}$",
        description="parameter code; none: whichever of 62614, 62615, 00065 the site has",
    )
    statistic: str | None = Field(
        None, pattern=r"^[0-9]{5}$", description="00003 mean, 00001 maximum, 32400 at midnight ..."
    )
    method: int | None = Field(None, description="method id, where a site has several instruments")
    provisional: bool = Field(True, description="take values not yet approved (qualifier P)")
    lowest_m: float = Field(-500.0, description="a level below is rejected")
    highest_m: float = Field(9000.0, description="a level above is rejected")
    latency_days: float = Field(
        1.5, gt=0, description="from the start of a day to its publication, for backfills"
    )


class _Code(msgspec.Struct, frozen=True):
    value: str


class _Option(msgspec.Struct, frozen=True, rename="camel"):
    option_code: str = ""


class _Options(msgspec.Struct, frozen=True):
    option: list[_Option] = []


class _Unit(msgspec.Struct, frozen=True, rename="camel"):
    unit_code: str = ""


class _Variable(msgspec.Struct, frozen=True, rename="camel"):
    variable_code: list[_Code]
    unit: _Unit = _Unit()
    options: _Options = _Options()
    no_data_value: float | None = None


class _Source(msgspec.Struct, frozen=True, rename="camel"):
    site_code: list[_Code]


class _Method(msgspec.Struct, frozen=True):
    id: int | None = msgspec.field(name="methodID", default=None)
    description: str = msgspec.field(name="methodDescription", default="")


class _Value(msgspec.Struct, frozen=True, rename="camel"):
    value: str | float | None = None
    date_time: str = ""
    qualifiers: list[str] | str = []


class _Block(msgspec.Struct, frozen=True):
    value: list[_Value]
    method: list[_Method] = []


class _Series(msgspec.Struct, frozen=True, rename="camel"):
    source_info: _Source
    variable: _Variable
    values: list[_Block]


class _All(msgspec.Struct, frozen=True, rename="camel"):
    time_series: list[_Series]


class _Answer(msgspec.Struct, frozen=True):
    value: _All


class _Candidate(NamedTuple):
    """One block of values by one method, and what it is."""

    parameter: str
    statistic: str
    method: _Method
    variable: _Variable
    values: list[_Value]

    def __str__(self) -> str:
        described = f" ({self.method.description})" if self.method.description else ""
        return (
            f"parameter {self.parameter} statistic {self.statistic or 'unnamed'} "
            f"method {self.method.id}{described}"
        )


def open(settings: Settings, service: Service) -> Feed:
    """The feed of one series."""
    return _Usgs(settings, service.endpoints.usgs)


class _Usgs(_daily.Station):
    name = "usgs"
    brings: frozenset[Datum] = frozenset({"level"})

    def __init__(self, settings: Settings, base: str) -> None:
        self._settings = settings
        self._base = base
        self.latency = timedelta(days=settings.latency_days)

    def poll(
        self, site: Site, since: date, until: date, artifacts: Artifacts
    ) -> Iterator[Observation | Rejection]:
        """Level of the days in [since, until]; one request."""
        wanted = self._settings
        parameters = {
            "format": "json",
            "sites": wanted.site,
            "parameterCd": wanted.parameter or ",".join(LEVELS),
            "startDT": since.isoformat(),
            "endDT": until.isoformat(),
        }
        if wanted.statistic:
            parameters["statCd"] = wanted.statistic
        content = http.get(self._base, parameters)
        try:
            answer = msgspec.json.decode(content, type=_Answer)
        except (msgspec.MsgspecError, UnicodeDecodeError, RecursionError) as error:
            raise BadInputError(
                f"{http.shown(self._base)} sends no USGS daily values: {error}"
            ) from error
        chosen = _choose(answer, wanted)
        kind = _daily.Kind(self.name, wanted.site, "level", wanted.lowest_m, wanted.highest_m)
        found = list(_readings(chosen, wanted)) if chosen else []
        yield from _daily.observations(kind, found, since, until)


def _choose(answer: _Answer, wanted: Settings) -> _Candidate | None:
    """The one series that fits; none where the site has none; two are an error, not a guess."""
    fitting = [c for c in _candidates(answer, wanted) if wanted.method in (None, c.method.id)]
    if len(fitting) > 1:
        choices = "; ".join(map(str, fitting))
        raise BadInputError(
            f"USGS site {wanted.site} has {len(fitting)} series: choose one by parameter, "
            f"statistic and method in the feed's settings: {choices}"
        )
    return fitting[0] if fitting else None


def _candidates(answer: _Answer, wanted: Settings) -> Iterator[_Candidate]:
    for series in answer.value.time_series:
        codes = {code.value for code in series.variable.variable_code}
        parameters = codes & ({wanted.parameter} if wanted.parameter else set(LEVELS))
        sites = {code.value for code in series.source_info.site_code}
        options = series.variable.options.option
        statistic = options[0].option_code if options else ""
        if not parameters or wanted.site not in sites:
            continue
        if wanted.statistic not in (None, statistic):
            continue
        for block in series.values:
            method = block.method[0] if block.method else _Method()
            yield _Candidate(min(parameters), statistic, method, series.variable, block.value)


def _readings(series: _Candidate, wanted: Settings) -> Iterator[_daily.Reading | Rejection]:
    code = series.variable.unit.unit_code
    unit = _daily.unit_named(code)
    if unit is None:
        raise BadInputError(
            f"USGS site {wanted.site}, {series}: unit {code!r} is no length: not a level"
        )
    for number, value in enumerate(series.values, start=1):
        place, text = f"value {number}", partial(_text, value)
        if not wanted.provisional and "P" in value.qualifiers:
            continue
        try:
            day = datetime.fromisoformat(value.date_time).date()
        except ValueError:
            reason = f"{place}: {value.date_time!r} is not a date"
            yield Rejection("R05", reason, place, text())
            continue
        try:
            level_m = _level_m(value.value, series.variable.no_data_value, _daily.FACTORS[unit])
        except ValueError:
            reason = f"{place}: {value.value!r} is not a number"
            yield Rejection("R03", reason, place, text())
            continue
        yield _daily.Reading(day, level_m, place, text)


def _text(value: _Value) -> str:
    return bounded(msgspec.json.encode(value).decode())


def _level_m(value: str | float | None, missing: float | None, factor: float) -> float | None:
    if value is None or value == "":
        return None
    level = float(value)
    if level == missing:
        return None
    if not math.isfinite(level):
        raise ValueError("not finite")
    return round(level * factor, 6)
