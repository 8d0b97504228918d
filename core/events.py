"""What may be said on the log: frozen event types and their CloudEvents 1.0 JSON form.

An event is an envelope (who, about which site, the three times) round one `data` struct.
The name of a type is past tense; its version is part of the type string, e.g.
`org.slopewatch.rainfall-observed.v1`. Older versions are lifted by upcasters, a newer one raises
`NewerVersionError` so that its site is parked rather than its event lost.
"""

from __future__ import annotations

import hashlib
import re
from collections.abc import Callable
from datetime import UTC, date, datetime
from functools import cache
from typing import Annotated, Any, ClassVar, Literal

import msgspec

from core.errors import BadInputError, NewerVersionError, SlopewatchError

TYPE_PREFIX = "org.slopewatch."
FIRST_YEAR, LAST_YEAR = 1700, 2200
"""Years in which a time of an event may lie: nanoseconds since 1970 then fit 64 bits."""

SITE_NAME = re.compile(r"[A-Za-z0-9_-]{1,64}")
"""What the name of a site looks like, which is the key of its records."""

LONGEST_ID = 512
"""Characters of an event's id: what every ledger can keep in an index."""

OBSERVATIONS = "observations"
ASSESSMENTS = "assessments"
ALERTS = "alerts"
DEAD_LETTERS = "dead-letters"

Level = Literal["blue", "yellow", "orange", "red"]
LEVELS: tuple[Level, ...] = ("blue", "yellow", "orange", "red")
Coverage = Literal["watched", "stale", "blind", "out of range"]
Status = Literal["actual", "exercise", "test"]
"""What a message is: meant, a drill, or of a site that is being tried out."""
Moment = Annotated[datetime, msgspec.Meta(tz=True)]
"""A time with a UTC offset; one without is not decoded."""


class ArtifactRef(msgspec.Struct, frozen=True, forbid_unknown_fields=True):
    """A large file named by its content: it never rides the log."""

    sha256: str
    bytes: int


class EventData(msgspec.Struct, frozen=True, forbid_unknown_fields=True, kw_only=True):
    """Base of every payload. `NAME` and `VERSION` make the CloudEvents type."""

    NAME: ClassVar[str]
    VERSION: ClassVar[int] = 1


class SiteConfigured(EventData, frozen=True, kw_only=True):
    """The whole site file now in force, as an artifact (canonical JSON), or its retirement."""

    NAME = "site-configured"
    settings: ArtifactRef
    watched_from: date | None = None
    retired: bool = False
    difference: tuple[str, ...] = ()


class ReleaseActivated(EventData, frozen=True, kw_only=True):
    """Versions of code, models and thresholds in force from here on."""

    NAME = "release-activated"
    code: str
    model: str
    thresholds: str
    table: ArtifactRef | None = None


class AcquisitionFound(EventData, frozen=True, kw_only=True):
    """One satellite pass over the site, found in a catalogue; no displacement yet."""

    NAME = "acquisition-found"
    feed: str
    scene: str
    platform: str
    path: int | None
    frame: int | None
    burst: str | None
    direction: str | None
    polarization: str | None
    product: str
    stop_time: Moment
    url: str | None
    bytes: int | None


class InterferogramReady(EventData, frozen=True, kw_only=True):
    """One unwrapped interferogram.

    `layers` holds `phase_rad` and `coherence` (pixels,), NaN where there is no data, positive
    phase = motion away from the sensor; `points` the geometry of these pixels.
    """

    NAME = "interferogram-ready"
    feed: str
    track: str
    reference: date
    secondary: date
    layers: ArtifactRef
    points: ArtifactRef
    wavelength_mm: float
    looks: float
    pixels: int


class DisplacementMeasured(EventData, frozen=True, kw_only=True):
    """One epoch of a displacement series.

    `values` holds `los_displacement_mm` and `sigma_mm` (points,), cumulative since
    `reference_epoch`, positive toward the satellite, NaN where the point was not measured.
    """

    NAME = "displacement-measured"
    feed: str
    track: str
    epoch: date
    reference_epoch: date
    values: ArtifactRef
    points: ArtifactRef
    measured: int


class RainfallObserved(EventData, frozen=True, kw_only=True):
    """Rain of one UTC day at one gauge; `rain_mm` None = reported as missing."""

    NAME = "rainfall-observed"
    feed: str
    station: str
    day: date
    rain_mm: float | None


class LevelObserved(EventData, frozen=True, kw_only=True):
    """Reservoir level of one UTC day; `level_m` in metres above the station's datum."""

    NAME = "level-observed"
    feed: str
    station: str
    day: date
    level_m: float | None


class DayClosed(EventData, frozen=True, kw_only=True):
    """A UTC day is over for a site: what was not known by now is late."""

    NAME = "day-closed"
    day: date
    catching_up: bool = False
    seq: int | None = None
    passes: dict[str, date] = {}
    epochs: dict[str, date] = {}
    sources: tuple[str, ...] = ()
    historical: bool = False


class UnitState(msgspec.Struct, frozen=True, forbid_unknown_fields=True, kw_only=True):
    """Filtered motion of one slope unit on one track at one time; LOS positive toward."""

    track: str
    unit: str
    los_displacement_mm: float | None
    displacement_sd_mm: float | None
    los_velocity_mm_d: float | None
    velocity_sd_mm_d: float | None
    los_acceleration_mm_d2: float | None = None
    acceleration_sd_mm_d2: float | None = None
    measured_points: int = 0
    usual_points: int = 0
    los_factor: float | None = None
    out_of_range: bool = False


class StateUpdated(EventData, frozen=True, kw_only=True):
    """The deformation state moved on: by a new epoch of `track`, or because a day was closed.

    `evidence` is the artifact with what rules need per unit and point (see
    `core.evidence`); `seq` is the site's place in inference's inbox.
    """

    NAME = "state-updated"
    reason: Literal["epoch", "day"]
    track: str | None
    epoch: date | None
    seq: int
    units: tuple[UnitState, ...]
    evidence: ArtifactRef | None
    inputs: tuple[str, ...] = ()
    historical: bool = False


class UnitForecast(msgspec.Struct, frozen=True, forbid_unknown_fields=True, kw_only=True):
    """LOS displacement beyond the issue day of one unit on one track, per horizon.

    Increments are relative to the filtered state of the issue day, so that the one at 0 days is
    what the model makes of the present beyond the filter. Bounds are those of the increment, of
    intervals that hold 50 and 90 % of what comes true. `model` spoke, for `reason`; `stepped_down`
    says that it stands in for the one that was chosen.
    """

    track: str
    unit: str
    los_increment_mm: tuple[float, ...]
    increment_sd_mm: tuple[float, ...]
    low_90_mm: tuple[float, ...]
    low_50_mm: tuple[float, ...]
    high_50_mm: tuple[float, ...]
    high_90_mm: tuple[float, ...]
    model: str
    reason: str
    stepped_down: bool = False


class ForecastIssued(EventData, frozen=True, kw_only=True):
    """Displacement increments expected `horizons_d` days after `issued_for`.

    `model` is what the site's settings ask for: one by name, or `best`, where each unit says which
    one spoke. `fitted` is the day on which the models were fitted, None before that.
    `point_forecasts` is the artifact with the forecast of every point, None where only units are
    told.
    """

    NAME = "forecast-issued"
    VERSION = 2
    model: str
    issued_for: date
    horizons_d: tuple[int, ...]
    units: tuple[UnitForecast, ...]
    seq: int
    fitted: date | None = None
    point_forecasts: ArtifactRef | None = None


class FittedUnit(msgspec.Struct, frozen=True, forbid_unknown_fields=True, kw_only=True):
    """Which model may speak for one unit on one track, and why.

    `scores_mm`: root mean square error of each model's forecasts on the inner year, by name.
    """

    track: str
    unit: str
    model: str
    reason: str
    scores_mm: dict[str, float] = {}


class ForecasterFitted(EventData, frozen=True, kw_only=True):
    """Forecast models were fitted to what was known at the end of `day`; in force from here on.

    `parameters` is the artifact with what each model learned of each track.
    """

    NAME = "forecaster-fitted"
    day: date
    parameters: ArtifactRef
    models: tuple[str, ...]
    units: tuple[FittedUnit, ...]


class Vote(msgspec.Struct, frozen=True, forbid_unknown_fields=True, kw_only=True):
    """A rule's verdict on one unit and track: the level it asks for and why."""

    rule: str
    track: str
    level: Level
    calibrated: bool
    reason: str
    figures: dict[str, float] = {}


class AlertChanged(EventData, frozen=True, kw_only=True):
    """A unit's level or coverage changed. `head` is the ledger chain's head after the decision.

    `alert` names the case, `site.unit.seq` of the decision that opened it; it is empty where only
    coverage changed and no alert is open. The level is what rules found; where two persons must
    release it, it is not yet told.
    """

    NAME = "alert-changed"
    VERSION = 2
    unit: str
    level: Level
    previous_level: Level
    coverage: Coverage
    previous_coverage: Coverage
    reason: str
    votes: tuple[Vote, ...]
    arose: date
    historical: bool
    seq: int
    head: str
    alert: str = ""
    status: Status = "actual"


AlertAction = Literal[
    "acknowledged",
    "handed over",
    "silenced",
    "silence ended",
    "escalated",
    "drafted",
    "draft withdrawn",
    "reviewed",
    "released",
    "amended",
    "cancelled",
    "drilled",
]
"""What is done about an alert, by an operator or by the service."""


class AlertHandled(EventData, frozen=True, kw_only=True):
    """Something was done about an alert: by an operator, or, where `by` is empty, by the service.

    `level` is that of the unit, of a drill the one that was exercised. `alert` is empty where a
    unit was silenced without one, and names the exercise itself after a drill.
    """

    NAME = "alert-handled"
    unit: str
    alert: str
    action: AlertAction
    by: str
    reason: str
    level: Level
    status: Status
    seq: int
    head: str


class OperatorCommanded(EventData, frozen=True, kw_only=True):
    """An operator's word on one unit, or on all where `unit` is none, with the reason given.

    `until` ends a silence, `to` is the operator an alert is handed over to, `level` the one of a
    drill. The reason of an amendment is what is told.
    """

    NAME = "operator-commanded"
    VERSION = 2
    command: Literal[
        "acknowledge",
        "silence",
        "unsilence",
        "review",
        "release",
        "hand over",
        "amend",
        "cancel",
        "drill",
    ]
    operator: str
    unit: str | None
    reason: str
    until: Moment | None = None
    to: str = ""
    level: Level | None = None


class DeadlinePassed(EventData, frozen=True, kw_only=True):
    """A deadline row written by a decision is due."""

    NAME = "deadline-passed"
    deadline: str
    due: Moment


class DeadLettered(EventData, frozen=True, kw_only=True):
    """Input that could not be used, kept whole, with a numbered reason.

    `payload` is base64 of the bytes; a payload too large for an event is an artifact instead.
    """

    NAME = "dead-lettered"
    code: str
    reason: str
    origin: str
    payload: str | None = None
    artifact: ArtifactRef | None = None


class Event(msgspec.Struct, frozen=True, kw_only=True):
    """One event, decoded.

    `valid_time`: what moment it speaks of. `available_at`: when it could be known; this is `now`
    in every handler. `processed_at`: when our code made it. `number`: place among the outcomes
    of one stage for this site and topic; None for what comes from outside.
    """

    id: str
    site: str
    source: str
    valid_time: datetime
    available_at: datetime
    processed_at: datetime
    data: EventData
    number: int | None = None
    assumed: bool = False
    retry_of: str | None = None


class UnusableDataError(BadInputError):
    """The data of an event cannot be used; its envelope says who it was."""

    def __init__(self, reason: str, envelope: _Envelope) -> None:
        super().__init__(reason)
        self.id = envelope.id
        self.site = envelope.subject
        self.number = envelope.number


class _Envelope(msgspec.Struct, frozen=True, kw_only=True, omit_defaults=True):
    """CloudEvents 1.0 attributes, our extensions in lower case as the standard asks."""

    specversion: Literal["1.0"]
    id: str
    type: str
    source: str
    subject: str
    time: Moment
    validtime: Moment
    processedtime: Moment
    data: msgspec.Raw
    datacontenttype: Literal["application/json"] = "application/json"
    number: int | None = None
    assumed: bool = False
    retryof: str | None = None


EVENT_TYPES: dict[str, type[EventData]] = {cls.NAME: cls for cls in EventData.__subclasses__()}

Upcaster = Callable[[dict[str, Any]], dict[str, Any]]
UPCASTERS: dict[tuple[str, int], Upcaster] = {}
"""(name, version) -> function lifting that version's data, as JSON has it, by one version.

It may trust that the data is a JSON object, and nothing else. It makes what the next version says
of the same facts: no clock, no file, nothing that another day would make otherwise. It stays for
ever, since the log does.
"""

Z50, Z90 = 0.6744897501960817, 1.6448536269514722
"""Standard deviations to either side that hold 50 and 90 % of a normal distribution."""


def _with_bounds(data: dict[str, Any]) -> dict[str, Any]:
    """`forecast issued` 1: one model for all units, its intervals told by a normal sd alone."""
    units = []
    for unit in data["units"]:
        pairs = list(zip(unit["los_increment_mm"], unit["increment_sd_mm"], strict=True))
        bounds = {
            f"{side}_{share}_mm": [mean + sign * z * sd for mean, sd in pairs]
            for share, z in ((50, Z50), (90, Z90))
            for side, sign in (("low", -1.0), ("high", 1.0))
        }
        said = {"model": data["model"], "reason": "the site's settings name it"}
        units.append({**unit, **bounds, **said})
    return {**data, "units": units}


UPCASTERS["forecast-issued", 1] = _with_bounds


def _without_an_alert(data: dict[str, Any]) -> dict[str, Any]:
    """`alert changed` 1: alerts had no names, and nothing was an exercise or a test."""
    return {**data, "alert": "", "status": "actual"}


def _with_a_reason(data: dict[str, Any]) -> dict[str, Any]:
    """`operator commanded` 1: a reason could be empty, and a silence was obeyed all the same."""
    return {**data, "reason": data["reason"].strip() or "none given"}


UPCASTERS["alert-changed", 1] = _without_an_alert
UPCASTERS["operator-commanded", 1] = _with_a_reason

_ENCODER = msgspec.json.Encoder(order="deterministic")
_ENVELOPE = msgspec.json.Decoder(_Envelope)
_TYPE = re.compile(rf"{re.escape(TYPE_PREFIX)}([a-z-]+)\.v([1-9][0-9]{{0,5}})", re.ASCII)


@cache
def _data_decoder(cls: type[EventData]) -> msgspec.json.Decoder[EventData]:
    return msgspec.json.Decoder(cls)


def type_of(data: EventData | type[EventData]) -> str:
    """CloudEvents type string of a payload, e.g. `org.slopewatch.day-closed.v1`."""
    return f"{TYPE_PREFIX}{data.NAME}.v{data.VERSION}"


def encode(event: Event) -> bytes:
    """CloudEvents 1.0 JSON (structured mode) of `event`; same event, same bytes."""
    return _ENCODER.encode(
        _Envelope(
            specversion="1.0",
            id=event.id,
            type=type_of(event.data),
            source=event.source,
            subject=event.site,
            time=event.available_at,
            validtime=event.valid_time,
            processedtime=event.processed_at,
            data=msgspec.Raw(_ENCODER.encode(event.data)),
            number=event.number,
            assumed=event.assumed,
            retryof=event.retry_of,
        )
    )


def decode(payload: bytes) -> Event:
    """Read one event.

    Raises `BadInputError` for what is not an event of ours (`UnusableDataError` where its envelope
    is), `NewerVersionError` for a known type in a version newer than this code, and for an outcome
    of a type that it does not know.
    """
    try:
        envelope = _ENVELOPE.decode(payload)
    except (msgspec.MsgspecError, UnicodeDecodeError, RecursionError) as error:
        raise BadInputError(f"not a slopewatch event: {error}") from error
    if "\0" in envelope.id or len(envelope.id) > LONGEST_ID:
        raise BadInputError(f"an event's id has up to {LONGEST_ID} characters, none of them NUL")
    try:
        return _event(envelope, _decode_data(envelope))
    except (msgspec.MsgspecError, UnicodeDecodeError, RecursionError) as error:
        raise UnusableDataError(f"not a slopewatch event: {error}", envelope) from error
    except BadInputError as error:
        raise UnusableDataError(str(error), envelope) from error


def _event(envelope: _Envelope, data: EventData) -> Event:
    return Event(
        id=envelope.id,
        site=envelope.subject,
        source=envelope.source,
        valid_time=_utc(envelope, envelope.validtime),
        available_at=_utc(envelope, envelope.time),
        processed_at=_utc(envelope, envelope.processedtime),
        data=data,
        number=envelope.number,
        assumed=envelope.assumed,
        retry_of=envelope.retryof,
    )


def _utc(envelope: _Envelope, moment: datetime) -> datetime:
    if not FIRST_YEAR <= moment.year <= LAST_YEAR:
        raise BadInputError(
            f"event {envelope.id}: {moment} lies outside the years {FIRST_YEAR} to {LAST_YEAR}"
        )
    return moment.astimezone(UTC)


def _decode_data(envelope: _Envelope) -> EventData:
    found = _TYPE.fullmatch(envelope.type)
    cls = EVENT_TYPES.get(found[1]) if found else None
    if cls is None and envelope.number is not None and envelope.type.startswith(TYPE_PREFIX):
        # Only a stage numbers: a stage of a newer release, which this one has to wait for.
        raise NewerVersionError(
            f"event {envelope.id} is of type {envelope.type!r}, which this release does not know: "
            f"upgrade slopewatch to go on with site {envelope.subject}"
        )
    if found is None or cls is None:
        raise BadInputError(
            f"event {envelope.id}: unknown type {envelope.type!r}; known: {', '.join(EVENT_TYPES)}"
        )
    name, version = found[1], int(found[2])
    if version > cls.VERSION:
        raise NewerVersionError(
            f"event {envelope.id} is {name} version {version}, this release reads up to "
            f"{cls.VERSION}: upgrade slopewatch to go on with site {envelope.subject}"
        )
    if version == cls.VERSION:
        return _data_decoder(cls).decode(envelope.data)
    return msgspec.convert(_lifted(envelope, name, version, cls.VERSION), cls)


def _lifted(envelope: _Envelope, name: str, version: int, wanted: int) -> dict[str, Any]:
    """The data of an older version as the wanted one says it.

    Raises BadInputError for what that version never held, SlopewatchError where a step is missing.
    """
    data = msgspec.json.decode(envelope.data, type=dict[str, Any])
    for step in range(version, wanted):
        lift = UPCASTERS.get((name, step))
        if lift is None:
            # No bad input: the release is at fault, and its site waits for one that is not.
            raise SlopewatchError(
                f"event {envelope.id} is {name} version {version} and nothing lifts version {step} "
                f"to {step + 1}: run a release that reads it, and report this as a bug"
            )
        try:
            data = lift(data)
        except (LookupError, TypeError, ValueError, AttributeError, ArithmeticError) as error:
            raise BadInputError(
                f"event {envelope.id}: its data is no {name} of version {step}: {error!r}"
            ) from error
    return data


def identity(*parts: object) -> str:
    """Deterministic 128-bit id (hex) of its parts: the same facts give the same id anywhere."""
    canonical = msgspec.json.encode([str(part) for part in parts])
    return hashlib.sha256(canonical).hexdigest()[:32]


def observation_id(site: str, natural_key: str, data: EventData) -> str:
    """Id of an observation: hash of site, type, natural key and content, never of when it came."""
    return identity(site, type_of(data), natural_key, _ENCODER.encode(data).decode())
