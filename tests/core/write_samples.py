"""Stored samples of every event type and version, for as long as there are logs.

`python -m tests.core.write_samples` adds what the present versions lack and never touches what is
there: a log keeps its old events, so the samples stay as they were written. Beside a version's
samples lies its schema, so that a field cannot change under the same version unnoticed, and
`SHA256SUMS` has every file, so that an old one cannot change unnoticed either.
"""

from __future__ import annotations

import hashlib
import json
from datetime import UTC, date, datetime
from pathlib import Path
from typing import Any

import msgspec

from core.events import (
    EVENT_TYPES,
    AcquisitionFound,
    AlertChanged,
    AlertHandled,
    ArtifactRef,
    DayClosed,
    DeadLettered,
    DeadlinePassed,
    DisplacementMeasured,
    Event,
    EventData,
    FittedUnit,
    ForecasterFitted,
    ForecastIssued,
    InterferogramReady,
    LevelObserved,
    OperatorCommanded,
    RainfallObserved,
    ReleaseActivated,
    SiteConfigured,
    StateUpdated,
    UnitForecast,
    UnitState,
    Vote,
    _Envelope,
    encode,
    identity,
)

SAMPLES = Path(__file__).parent / "samples"
SUMS = SAMPLES / "SHA256SUMS"
PASS = datetime(2024, 3, 5, 10, 30, 12, tzinfo=UTC)
KNOWN = datetime(2024, 3, 5, 22, 45, 1, 250000, tzinfo=UTC)
DAY = date(2024, 3, 5)


def ref(name: str) -> ArtifactRef:
    return ArtifactRef(sha256=hashlib.sha256(name.encode()).hexdigest(), bytes=4096)


MOTION = UnitState(
    track="A44",
    unit="toe",
    los_displacement_mm=-41.25,
    displacement_sd_mm=1.5,
    los_velocity_mm_d=-0.31,
    velocity_sd_mm_d=0.04,
    los_acceleration_mm_d2=-0.002,
    acceleration_sd_mm_d2=0.001,
    measured_points=118,
    usual_points=120,
    los_factor=-0.52,
    out_of_range=True,
)
UNSEEN = UnitState(
    track="A44",
    unit="head",
    los_displacement_mm=None,
    displacement_sd_mm=None,
    los_velocity_mm_d=None,
    velocity_sd_mm_d=None,
)
EXPECTED = UnitForecast(
    track="A44",
    unit="toe",
    los_increment_mm=(0.25, -0.31, -9.8),
    increment_sd_mm=(0.5, 0.75, 4.5),
    low_90_mm=(-0.7, -1.6, -17.5),
    low_50_mm=(-0.1, -0.8, -12.9),
    high_50_mm=(0.6, 0.2, -6.5),
    high_90_mm=(1.2, 1.0, -2.25),
    model="kalman",
    reason="kalman_transfer was chosen: no rain has come for 14 days",
    stepped_down=True,
)
VOTE = Vote(
    rule="velocity",
    track="A44",
    level="orange",
    calibrated=True,
    reason="2 of 3 epochs above 150 mm a year",
    figures={"downslope_velocity_mm_per_year": 217.5},
)
SCENE = AcquisitionFound(
    feed="asf",
    scene="S1A_IW_SLC__1SDV_20240305T103012",
    platform="S1A",
    path=44,
    frame=98,
    burst="094_200573_IW2",
    direction="ASCENDING",
    polarization="VV+VH",
    product="SLC",
    stop_time=PASS,
    url="https://example.org/scene.zip",
    bytes=4_200_000_000,
)
MEASURED: tuple[EventData, ...] = (
    SCENE,
    msgspec.structs.replace(
        SCENE, path=None, frame=None, burst=None, direction=None, polarization=None, url=None
    ),
    InterferogramReady(
        feed="interferograms",
        track="A44",
        reference=date(2024, 2, 22),
        secondary=DAY,
        layers=ref("layers"),
        points=ref("points"),
        wavelength_mm=55.465763,
        looks=20.0,
        pixels=5000,
    ),
    DisplacementMeasured(
        feed="mintpy",
        track="A44",
        epoch=DAY,
        reference_epoch=date(2022, 1, 4),
        values=ref("values"),
        points=ref("points"),
        measured=4870,
    ),
    RainfallObserved(feed="gsod", station="57461099999", day=DAY, rain_mm=12.7),
    RainfallObserved(feed="gsod", station="57461099999", day=DAY, rain_mm=None),
    LevelObserved(feed="usgs", station="09380000", day=DAY, level_m=1085.36),
    LevelObserved(feed="usgs", station="09380000", day=DAY, level_m=None),
)
SETTINGS: tuple[EventData, ...] = (
    SiteConfigured(
        settings=ref("site"), watched_from=DAY, retired=True, difference=("retired: no -> yes",)
    ),
    SiteConfigured(settings=ref("site")),
    ReleaseActivated(
        code="0.1.0", model="local-linear-trend-1", thresholds="twin-1", table=ref("t")
    ),
    ReleaseActivated(code="0.1.0", model="local-linear-trend-1", thresholds="none"),
)
INFERRED: tuple[EventData, ...] = (
    DayClosed(day=DAY),
    DayClosed(
        day=DAY,
        catching_up=True,
        seq=812,
        passes={"asf": DAY},
        epochs={"A44": DAY, "D120": date(2024, 3, 1)},
        sources=("mintpy",),
        historical=True,
    ),
    StateUpdated(
        reason="epoch",
        track="A44",
        epoch=DAY,
        seq=811,
        units=(MOTION, UNSEEN),
        evidence=ref("evidence"),
        inputs=(identity("epoch"),),
        historical=True,
    ),
    StateUpdated(reason="day", track=None, epoch=None, seq=812, units=(), evidence=None),
    ForecastIssued(
        model="best",
        issued_for=DAY,
        horizons_d=(0, 1, 30),
        units=(EXPECTED, msgspec.structs.replace(EXPECTED, unit="head", stepped_down=False)),
        seq=811,
        fitted=date(2024, 3, 1),
        point_forecasts=ref("point forecasts"),
    ),
    ForecastIssued(model="kalman", issued_for=DAY, horizons_d=(0, 1, 30), units=(), seq=812),
    ForecasterFitted(
        day=DAY,
        parameters=ref("parameters"),
        models=("kalman_transfer", "kalman", "persistence"),
        units=(
            FittedUnit(
                track="A44",
                unit="toe",
                model="kalman_transfer",
                reason="lowest error of 3 models on the inner year",
                scores_mm={"kalman_transfer": 4.2, "kalman": 5.1, "persistence": 6.0},
            ),
            FittedUnit(track="A44", unit="head", model="kalman", reason="too few epochs to score"),
        ),
    ),
)
CHANGE = AlertChanged(
    unit="toe",
    level="orange",
    previous_level="yellow",
    coverage="watched",
    previous_coverage="out of range",
    reason="velocity asks for orange",
    votes=(VOTE,),
    arose=DAY,
    historical=False,
    seq=640,
    head=hashlib.sha256(b"head").hexdigest(),
    alert="hill.toe.630",
)
HANDLED = AlertHandled(
    unit="toe",
    alert="hill.toe.630",
    action="acknowledged",
    by="ann",
    reason="on my way",
    level="orange",
    status="actual",
    seq=641,
    head=hashlib.sha256(b"next head").hexdigest(),
)
DECIDED: tuple[EventData, ...] = (
    CHANGE,
    msgspec.structs.replace(CHANGE, alert="", status="test"),
    HANDLED,
    msgspec.structs.replace(HANDLED, action="escalated", by="", reason="kim is called"),
    msgspec.structs.replace(HANDLED, alert="hill.toe.645", action="drilled", status="exercise"),
    OperatorCommanded(
        command="silence", operator="ann", unit="toe", reason="works on the slope", until=KNOWN
    ),
    OperatorCommanded(command="acknowledge", operator="ann", unit=None, reason="seen"),
    OperatorCommanded(command="hand over", operator="ann", unit="toe", reason="leave", to="bo"),
    OperatorCommanded(command="drill", operator="ann", unit="toe", reason="yearly", level="red"),
    DeadlinePassed(deadline=identity("hill", 640, "silence"), due=KNOWN),
    DeadLettered(code="D01", reason="not an event", origin="observations/3/17", payload="e30="),
    DeadLettered(code="D01", reason="too large", origin="observations/3/18", artifact=ref("big")),
)
OUTCOMES = (StateUpdated, ForecastIssued, AlertChanged, AlertHandled)


def said(data: EventData, number: int) -> Event:
    """`data` as it would lie on a log: outcomes numbered, observations now and then assumed."""
    numbered = isinstance(data, OUTCOMES) or getattr(data, "seq", None) is not None
    return Event(
        id=identity("sample", data.NAME, data.VERSION, number),
        site="hill",
        source="slopewatch/sample",
        valid_time=PASS,
        available_at=KNOWN,
        processed_at=KNOWN,
        data=data,
        number=100 + number if numbered else None,
        assumed=isinstance(data, LevelObserved),
        retry_of=identity("letter") if isinstance(data, DeadlinePassed) else None,
    )


def stem(cls: type[EventData]) -> str:
    """Name of a version's files, without their endings."""
    return f"{cls.NAME}.v{cls.VERSION}"


def schema_of(cls: type[msgspec.Struct]) -> Any:
    """What the JSON of a payload may be, words for people left out."""
    return _without_words(msgspec.json.schema(cls))


def _without_words(node: Any) -> Any:
    if isinstance(node, dict):
        return {
            key: _without_words(value)
            for key, value in node.items()
            if not (key in {"title", "description"} and isinstance(value, str))
        }
    return [_without_words(item) for item in node] if isinstance(node, list | tuple) else node


def sums() -> dict[str, str]:
    """SHA-256 by file name, as `SHA256SUMS` has it."""
    if not SUMS.exists():
        return {}
    lines = (line.split() for line in SUMS.read_text().splitlines())
    return {name: digest for digest, name in lines}


def digest(path: Path) -> str:
    return hashlib.sha256(path.read_bytes()).hexdigest()


def fault(cls: type[EventData]) -> str | None:
    """What is wrong with the present version of a type, and what to do, in one sentence."""
    path = SAMPLES / f"{stem(cls)}.schema.json"
    if not path.exists():
        return (
            f"{cls.NAME} has no samples of version {cls.VERSION}: add one to "
            "tests/core/write_samples.py if none shows what is new, then run "
            "`python -m tests.core.write_samples`"
        )
    if json.loads(path.read_text()) != json.loads(json.dumps(schema_of(cls))):
        return (
            f"{cls.NAME} is not what version {cls.VERSION} was, which logs hold for ever: raise "
            f"its VERSION to {cls.VERSION + 1} in core/events.py, register what lifts the old one "
            f"as UPCASTERS[{cls.NAME!r}, {cls.VERSION}], then run "
            "`python -m tests.core.write_samples`"
        )
    return None


def write() -> list[str]:
    """Add the files that the present versions lack; their names."""
    if lost := [name for name in sums() if not (SAMPLES / name).exists()]:
        raise SystemExit(f"restore {', '.join(lost)}: a sample is never removed or written anew")
    added = []
    for cls in EVENT_TYPES.values():
        every = (*MEASURED, *SETTINGS, *INFERRED, *DECIDED)
        events = [said(data, i) for i, data in enumerate(every) if type(data) is cls]
        lines = ",\n".join(encode(event).decode() for event in events)
        schema = json.dumps(schema_of(cls), indent=1, sort_keys=True)
        for ending, text in (("json", f"[\n{lines}\n]\n"), ("schema.json", f"{schema}\n")):
            path = SAMPLES / f"{stem(cls)}.{ending}"
            if not path.exists():
                path.write_text(text)
                added.append(path.name)
    envelope = SAMPLES / "envelope.schema.json"
    if not envelope.exists():
        envelope.write_text(json.dumps(schema_of(_Envelope), indent=1, sort_keys=True) + "\n")
        added.append(envelope.name)
    known = sums() | {name: digest(SAMPLES / name) for name in added}
    SUMS.write_text("".join(f"{known[name]}  {name}\n" for name in sorted(known)))
    return added


if __name__ == "__main__":
    print("added:", ", ".join(write()) or "nothing, every present version has its samples")
