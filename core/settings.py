"""Two typed trees: one file a site, one file the service. Nothing else is configuration."""

from __future__ import annotations

import json
import os
from collections.abc import Mapping
from datetime import date, time
from pathlib import Path
from typing import Any, Literal
from zoneinfo import available_timezones

import msgspec
import yaml
from pydantic import BaseModel, ConfigDict, Field, ValidationError, field_validator, model_validator

from core.errors import BadInputError, SettingsError
from core.events import LEVELS, SITE_NAME, Level, Status
from core.plugins import explain

MAX_FILE_BYTES = 16 << 20
SAFE_LOADER: type[yaml.SafeLoader] = getattr(yaml, "CSafeLoader", yaml.SafeLoader)
LonLat = tuple[float, float]


class Tree(BaseModel):
    """Base of all settings: unknown names are errors, values cannot change."""

    model_config = ConfigDict(extra="forbid", frozen=True, allow_inf_nan=False)


class Plugin(BaseModel):
    """Settings of one plug-in; `kind` is its file's name, the rest its own settings class."""

    model_config = ConfigDict(extra="allow", frozen=True)
    kind: str = Field(description="file name of the plug-in")


def _known_zone(name: str) -> str:
    if name not in available_timezones():
        raise ValueError(f"{name!r} is no time zone: write one such as Asia/Shanghai")
    return name


class SlopeUnit(Tree):
    """A piece of slope that moves as one."""

    id: str = Field(
        pattern=r"^[A-Za-z0-9_-]{1,64}$",
        description="name in records; another one is another unit, whose level begins at blue",
    )
    name: str = Field("", description="name for people; none: the id")
    polygon: tuple[LonLat, ...] = Field(min_length=3, description="longitude, latitude ring")
    slope_deg: float | None = Field(
        None, ge=0, le=90, description="steepness; none: downslope motion cannot be told"
    )
    aspect_deg: float | None = Field(
        None, ge=0, lt=360, description="downhill direction, clockwise from north; none: as above"
    )
    flank_pixels: float | None = Field(
        2.0,
        gt=0,
        description="pixels over which motion falls to zero at the flank: more than a quarter "
        "wavelength a pixel between two epochs cannot be told; none: the source's own unwrapping "
        "takes care",
    )
    bank_distance_m: float | None = Field(
        None, ge=0, description="of its middle from the reservoir's bank; helps forecasts"
    )
    height_m: float | None = Field(
        None, description="of its middle above the reservoir's bank; helps forecasts"
    )
    position: float | None = Field(
        None,
        ge=0,
        le=1,
        description="along the slope, 0 at the toe, 1 at the head; helps forecasts",
    )


class Reference(Tree):
    """Firm ground to which displacement is relative: a box, or the median of the whole scene."""

    box: tuple[float, float, float, float] | None = Field(
        None, description="west, south, east, north in degrees"
    )
    scene_median: bool = Field(False, description="only where no firm ground is known")

    @model_validator(mode="after")
    def _one_of(self) -> Reference:
        if (self.box is not None) == self.scene_median:
            raise ValueError("give either a box or scene_median: true")
        return self


class Noise(Tree):
    """What an epoch's variance and the slope's freedom to change are taken to be."""

    rate_walk_mm2_d3: float = Field(
        1.5e-3,
        gt=0,
        description="random walk of velocity, q; the default is the one that the shipped "
        "thresholds were calibrated with, smaller for steadier ground",
    )
    velocity_prior_sd_mm_d: float = Field(
        1.0,
        ge=1.0,
        description="standard deviation of a rate before the first epochs; a smaller one would "
        "make the filter blind to fast slopes for months",
    )
    atmosphere_sd_mm: float | None = Field(
        None, ge=0, description="shared by a unit's points; none: from the distance to reference"
    )
    looks: float = Field(20.0, gt=0, description="effective looks where a source does not say")


class QuietHours(Tree):
    """Hours of the recipient's own day in which only what cannot wait is told."""

    start: time = Field(description="local time at which they begin, such as 22:00")
    end: time = Field(description="local time at which they end; before start: on the next day")
    timezone: str = Field("UTC", description="of these times, such as Asia/Shanghai")
    passes_from: Level = Field(
        "orange", description="a rise to this level or a higher one is told at any hour"
    )

    _zone = field_validator("timezone")(_known_zone)


class Recipient(Tree):
    """Somebody who is told. Addresses may come from the environment as ${NAME}."""

    id: str = Field(
        pattern=r"^[A-Za-z0-9_-]{1,64}$", description="name in the ledger, which holds no addresses"
    )
    notifier: Plugin = Field(description="how this recipient is told")
    from_level: Level = Field(
        "yellow",
        description="lowest level to be told of; who was told of a rise is told of the fall",
    )
    coverage: bool = Field(True, description="also tell when a slope goes blind or out of range")
    units: tuple[str, ...] = Field((), description="ids of slope units to be told of; none: all")
    language: str = Field(
        "en",
        pattern=r"^[a-z]{2,3}(-[A-Za-z]{2,4})?$",
        description="of messages: en; zh and es were not yet read by a native officer",
    )
    takes: tuple[Status, ...] = Field(
        ("actual",),
        min_length=1,
        description="actual, exercise, test: a drill goes to nobody who does not take exercises",
    )
    quiet: QuietHours | None = Field(None, description="hours in which only what is urgent is told")
    most_a_day: int | None = Field(
        None,
        ge=1,
        description="messages in 24 hours, above which the rest wait; what is urgent never waits",
    )


class Duty(Tree):
    """One step of the roster: who is told next, and when they are on duty."""

    recipient: str = Field(description="id of a recipient of the site")
    timezone: str = Field("UTC", description="of `hours`, such as Europe/Rome")
    hours: tuple[time, time] | None = Field(
        None, description="local time from and to, such as [08:00, 20:00]; none: always"
    )

    _zone = field_validator("timezone")(_known_zone)


class Escalation(Tree):
    """What happens when nobody acknowledges: the next on the roster is told."""

    from_level: Level = Field("orange", description="lowest level that must be acknowledged")
    wait_minutes: float = Field(
        30.0, gt=0, description="without an acknowledgement, before the next one is told"
    )
    roster: tuple[Duty, ...] = Field(
        min_length=1, description="in this order; who is off is passed"
    )


class TwoPersons(Tree):
    """Levels that are told only after one person reviewed and another one released them."""

    from_level: Level = Field("red", description="lowest level that needs it")
    officers: tuple[str, ...] = Field(
        min_length=2, description="operator names that may review and release"
    )
    ask: tuple[str, ...] = Field(
        min_length=1, description="ids of recipients who are asked to review a draft"
    )


class Site(Tree):
    """One watched place."""

    name: str = Field(
        pattern=f"^{SITE_NAME.pattern}$",
        description="name in commands, records and file names; another one is another site",
    )
    title: str = Field("", description="name for people, on pages and in messages; none: the name")
    area: tuple[float, float, float, float] = Field(
        description="west, south, east, north in degrees: what feeds are asked about and what is "
        "cut out of rasters"
    )
    watched_from: date | None = Field(
        None,
        description="before this day everything is history and nobody is told; none: the day on "
        "which the site was configured first",
    )
    history_from: date | None = Field(
        None, description="first day to fetch; none: 3 years before watched_from"
    )
    reference: Reference = Field(description="firm ground")
    slope_units: tuple[SlopeUnit, ...] = Field(
        min_length=1, description="pieces of slope with a level each, or the name of a GeoJSON file"
    )
    repeat_days: int = Field(
        12,
        ge=1,
        description="days between passes of one track; a unit is stale after 2 of them without "
        "data and blind after 4",
    )
    feeds: tuple[Plugin, ...] = Field((), description="what is asked for passes, rain and level")
    sources: tuple[Plugin, ...] = Field(
        (), description="where displacement comes from; none: the site is blind"
    )
    model: Plugin | None = Field(
        None,
        description="how motion goes on in forecasts; none: each unit's model is the one that "
        "forecast its last year best",
    )
    rules: tuple[Plugin, ...] = Field(
        (), description="what raises a level; none: every rule, with calibrated limits"
    )
    noise: Noise = Field(Noise(), description="what is taken to be noise")
    recipients: tuple[Recipient, ...] = Field((), description="who is told; none: nobody")
    escalation: Escalation | None = Field(
        None, description="who is told when nobody acknowledges; none: nobody else"
    )
    two_persons: TwoPersons | None = Field(
        None, description="levels that two persons must release; none: told at once"
    )
    test: bool = Field(
        False,
        description="being tried out: every message is marked as a test and goes to those "
        "who take tests",
    )
    simulated: bool = Field(False, description="data of the digital twin: said wherever shown")
    retired: bool = Field(False, description="no longer watched; say so here, keep the file")

    @field_validator("area")
    @classmethod
    def _ordered(cls, area: tuple[float, float, float, float]) -> tuple[float, ...]:
        west, south, east, north = area
        if not (-180 <= west < east <= 180 and -90 <= south < north <= 90):
            raise ValueError("write west, south, east, north in degrees")
        return area

    @model_validator(mode="after")
    def _unique(self) -> Site:
        for what, ids in (
            ("slope unit", [u.id for u in self.slope_units]),
            ("recipient", [r.id for r in self.recipients]),
        ):
            if len(set(ids)) < len(ids):
                raise ValueError(f"two {what}s share an id")
        return self

    @model_validator(mode="after")
    def _known_people(self) -> Site:
        known = {r.id for r in self.recipients}
        roster = self.escalation.roster if self.escalation else ()
        named = {duty.recipient for duty in roster}
        named |= set(self.two_persons.ask if self.two_persons else ())
        if unknown := sorted(named - known):
            raise ValueError(f"no recipient has the id {unknown[0]!r}")
        units = {unit.id for unit in self.slope_units}
        for one in self.recipients:
            if unknown := sorted(set(one.units) - units):
                raise ValueError(f"recipient {one.id}: no slope unit {unknown[0]!r}")
        return self


class Smtp(Tree):
    """The mail server; the password only ever comes from the environment or a file."""

    host: str = Field("127.0.0.1", description="name or number of the mail server")
    port: int = Field(
        25, ge=1, le=65535, description="587 is usual for starttls, 465 for tls, 25 for none"
    )
    security: Literal["starttls", "tls", "none"] = Field(
        "starttls", description="a server that does not offer it gets nothing"
    )
    user: str | None = Field(None, description="login; none: the server asks for none")
    password_env: str = Field(
        "SLOPEWATCH_SMTP_PASSWORD",
        description="environment variable with the password; <name>_FILE names a file with it",
    )
    sender: str = Field("slopewatch@localhost", description="mail address that messages come from")
    timeout_s: float = Field(20.0, gt=0, description="longest wait for each answer of the server")


class Endpoints(Tree):
    """Base addresses of the outside services; only these differ in the demo."""

    cmr: str = Field(
        "https://cmr.earthdata.nasa.gov", description="NASA's catalogue, for the feed asf"
    )
    gsod: str = Field(
        "https://www.ncei.noaa.gov/data/global-summary-of-the-day/access",
        description="NOAA's daily rain, for the feed gsod",
    )
    usgs: str = Field(
        "https://waterservices.usgs.gov/nwis/dv/",
        description="daily values of the USGS, for the feed usgs",
    )


class Thinning(Tree):
    """How much of the state's past is kept ready. Thinning never changes an answer."""

    checkpoints: int = Field(60, ge=1, description="newest epochs that keep a checkpoint each")
    every: int = Field(10, ge=1, description="older epochs keep one checkpoint in this many")
    snapshots: int = Field(50, ge=1, description="commits after which old snapshots are dropped")


class Topics(Tree):
    """How the topics are made; a topic that exists keeps its partitions and its replication."""

    partitions: int = Field(
        8, ge=1, le=1000, description="the most workers that can share a stage; fixed at creation"
    )
    replication: int | None = Field(
        None, ge=1, description="brokers that hold each record, 3 is usual; none: the broker's own"
    )
    dead_letters_days: float | None = Field(
        None, gt=0, description="days that dead letters are kept; none: for ever, as all else"
    )
    create: bool | None = Field(
        None,
        description="make missing topics at start; none: in an embedded log, not on a broker, "
        "where `slopewatch topics create` does it",
    )


class Service(Tree):
    """One running slopewatch: where its things are and how it reaches the world."""

    data: Path = Field(Path("var"), description="folder for all that has no address of its own")
    log: str | None = Field(
        None, description="sqlite:///file, kafka://host:port,.../name or memory://"
    )
    state: str | None = Field(
        None, description="file:///folder for one worker, s3://bucket/prefix for several"
    )
    ledger: str | None = Field(
        None, description="sqlite:///file or postgresql://user@host/database"
    )
    artifacts: str | None = Field(None, description="file:///folder or s3://bucket/prefix")
    projection: str | None = Field(
        None,
        description="tables for dashboards, filled from the log by the projector: sqlite:///file "
        "or postgresql://user@host/database; losing it costs reading the log again",
    )
    memory: str | None = Field(
        None,
        description="what ingest has asked and said, and how far the stages have read: "
        "file:///folder or s3://bucket/prefix; losing it costs requests and a second look",
    )
    topics: Topics = Field(Topics(), description="how the topics of the log are made")
    sites: Path = Field(Path("sites"), description="folder with one YAML file a site")
    endpoints: Endpoints = Field(Endpoints(), description="outside services that feeds ask")
    smtp: Smtp = Field(Smtp(), description="mail server of the notifier email")
    metrics_host: str = Field(
        "127.0.0.1", description="where page, metrics and health are served; 0.0.0.0: to all"
    )
    metrics_port: int = Field(9464, ge=0, le=65535, description="its port; 0: any free one")
    cap_folder: Path | None = Field(
        None,
        description="folder of the notifier cap, served at /cap/ beside page and metrics; none: "
        "not served",
    )
    poll_minutes: float = Field(
        15.0, gt=0, description="wait between two rounds of asking feeds and closing days"
    )
    watchdog_hours: float = Field(
        26.0, gt=0, description="without a closed day for so long a site counts as silent"
    )
    thresholds: Path | None = Field(
        None,
        description="threshold table written by `slopewatch alerts tune`; none: the shipped one",
    )
    refit_days: int = Field(
        30,
        ge=1,
        description="days after which `run` fits the forecast models anew; elsewhere `slopewatch "
        "train` does, by a DAG, a CronJob or a timer",
    )
    backoff_s: float = Field(
        5.0, gt=0, description="first wait of a parked site; it doubles up to 10 minutes"
    )
    thinning: Thinning = Field(Thinning(), description="how much of the past is kept ready")

    def resolved(self) -> Service:
        """The same with every unset address placed under `data`."""
        root = self.data.resolve()
        return self.model_copy(
            update={
                "data": root,
                "log": self.log or f"sqlite://{root}/log.db",
                "state": self.state or f"file://{root}/state",
                "ledger": self.ledger or f"sqlite://{root}/ledger.db",
                "artifacts": self.artifacts or f"file://{root}/artifacts",
                "projection": self.projection or f"sqlite://{root}/projection.db",
                "memory": self.memory or f"file://{root}/memory",
            }
        )


def read_yaml(path: Path) -> dict[str, Any]:
    """A YAML mapping, safely loaded; one sentence when it is not one."""
    try:
        if path.stat().st_size > MAX_FILE_BYTES:
            raise SettingsError(f"{path} is over 16 MiB: that is no settings file")
        tree = yaml.load(path.read_text(encoding="utf-8"), Loader=SAFE_LOADER)
    except OSError as error:
        raise SettingsError(f"cannot read {path}: {error.strerror or error}") from error
    except (yaml.YAMLError, UnicodeDecodeError) as error:
        raise SettingsError(f"{path} is not valid YAML: {error}".replace("\n", " ")) from error
    if not isinstance(tree, dict):
        raise SettingsError(f"{path} must hold `name: value` lines")
    return tree


def load_site(path: Path) -> Site:
    """Read a site file; slope units named as a GeoJSON file are taken in, so it stands alone."""
    tree = read_yaml(path)
    units = tree.get("slope_units")
    if isinstance(units, str):
        tree["slope_units"] = units_from_geojson(path.parent / units)
    return parse_site(tree, str(path))


def parse_site(tree: Mapping[str, Any], where: str = "site") -> Site:
    """Validate a site's tree; errors name place and field."""
    try:
        return Site.model_validate(tree)
    except ValidationError as error:
        raise SettingsError(explain(error, where)) from error


def units_from_geojson(path: Path) -> list[dict[str, Any]]:
    """Slope units of a GeoJSON FeatureCollection of polygons; `id` and the rest in properties."""
    try:
        collection = json.loads(path.read_text(encoding="utf-8"))
        return [
            {**f.get("properties", {}), "polygon": [tuple(p[:2]) for p in _ring(f["geometry"])]}
            for f in collection["features"]
        ]
    except (OSError, ValueError, KeyError, TypeError, IndexError, AttributeError) as error:
        raise SettingsError(f"{path} is not a GeoJSON collection of polygons: {error}") from error


def _ring(geometry: Mapping[str, Any]) -> list[list[float]]:
    if geometry["type"] != "Polygon":
        raise ValueError(f"a slope unit is one Polygon, not {geometry['type']}")
    return list(geometry["coordinates"][0])


def site_bytes(site: Site) -> bytes:
    """Canonical JSON of a site: the artifact that `site configured` names."""
    return msgspec.json.encode(site.model_dump(mode="json"), order="deterministic")


def site_from_bytes(content: bytes) -> Site:
    """Inverse of `site_bytes`; `BadInputError` for what is not the settings of a site."""
    try:
        return parse_site(msgspec.json.decode(content, type=dict[str, Any]), "site artifact")
    except (msgspec.MsgspecError, UnicodeDecodeError, RecursionError, SettingsError) as error:
        raise BadInputError(f"the site file cannot be used: {error}") from error


def load_service(path: Path | None = None) -> Service:
    """Service settings: a YAML file, then SLOPEWATCH_* variables.

    The file is the one given, else the one that SLOPEWATCH_CONFIG names, else ./slopewatch.yaml if
    there is one. `SLOPEWATCH_SMTP__HOST=mail` sets `smtp.host`.
    """
    default = Path("slopewatch.yaml")
    if path is None and (named := os.environ.get("SLOPEWATCH_CONFIG")):
        path = Path(named)
    tree = read_yaml(path) if path else (read_yaml(default) if default.exists() else {})
    known = set(Service.model_fields)
    for name, value in sorted(os.environ.items()):
        keys = name.removeprefix("SLOPEWATCH_").lower().split("__")
        if name.startswith("SLOPEWATCH_") and keys[0] in known:
            _set(tree, keys, value)
    try:
        return Service.model_validate(tree).resolved()
    except ValidationError as error:
        raise SettingsError(explain(error, str(path or default))) from error


def _set(tree: dict[str, Any], keys: list[str], value: str) -> None:
    for key in keys[:-1]:
        inner = tree.setdefault(key, {})
        if not isinstance(inner, dict):
            raise SettingsError(f"SLOPEWATCH_{'__'.join(keys).upper()}: {key} has no parts")
        tree = inner
    tree[keys[-1]] = value


def commented_yaml(model: type[Tree], values: Tree | None = None, indent: str = "") -> str:
    """A settings tree as YAML with each field's meaning beside it."""
    lines = []
    for name, field in model.model_fields.items():
        value = getattr(values, name) if values else field.get_default(call_default_factory=True)
        note = f"  # {field.description}" if field.description else ""
        if isinstance(value, Tree):
            lines.append(f"{indent}{name}:{note}")
            lines.append(commented_yaml(type(value), value, indent + "  ").rstrip("\n"))
        else:
            plain = json.loads(msgspec.json.encode(value, enc_hook=_plain))
            text = yaml.safe_dump(plain, default_flow_style=True).removesuffix("...\n").strip()
            lines.append(f"{indent}{name}: {text}{note}")
    return "\n".join(lines) + "\n"


def _plain(value: Any) -> Any:
    return value.model_dump(mode="json") if isinstance(value, BaseModel) else str(value)


def secret(name: str) -> str | None:
    """A secret from the environment, or from the file that `<name>_FILE` points to."""
    if path := os.environ.get(f"{name}_FILE"):
        return Path(path).read_text(encoding="utf-8").strip()
    return os.environ.get(name)


def rank(level: Level) -> int:
    """0 for blue to 3 for red."""
    return LEVELS.index(level)
