"""A map and a curve for a message, drawn from the artifacts that it names.

No warning waits for a picture: one that cannot be drawn says so in a line and nothing is raised.
"""

from __future__ import annotations

import hashlib
import math
from collections.abc import Callable, Iterable
from dataclasses import dataclass
from typing import Literal

import structlog

from core.errors import UnavailableError
from core.events import ArtifactRef
from core.evidence import Evidence, unpack_evidence
from core.settings import rank, site_from_bytes
from services.alerting.bulletin.canvas import MAX_PNG_BYTES, ONE_AT_A_TIME, labels_of
from services.alerting.bulletin.colours import COLOURS, NO_LEVEL
from services.alerting.bulletin.curve_picture import CurveFacts, curve_facts, curve_of, draw_curve
from services.alerting.bulletin.headline import unit_name
from services.alerting.bulletin.language import Language
from services.alerting.bulletin.map_picture import MapFacts, area_of, draw_map, map_facts
from services.alerting.message import WHOLE_SITE, Message

PictureKind = Literal["map", "curve"]
Missing = Literal["out_of_reach", "nothing_to_show", "failed"]
Read = Callable[[ArtifactRef], bytes]
"""The content of an artifact; raises `UnavailableError` where it is out of reach."""


@dataclass(frozen=True)
class Picture:
    """One picture, or why there is none: then `png` is empty and `missing` says why."""

    kind: PictureKind
    png: bytes = b""
    facts: MapFacts | CurveFacts | None = None
    missing: Missing | None = None

    @property
    def content_id(self) -> str:
        """Name of the content in a mail, the same for the same picture."""
        return f"{self.kind}.{hashlib.sha256(self.png).hexdigest()[:32]}@pictures.slopewatch"

    def words(self, message: Message, language: Language) -> str:
        """What the picture shows in figures, or why there is none."""
        match self.facts:
            case MapFacts():
                said = _map_words(self.facts, message, language)
            case CurveFacts():
                said = _curve_words(self.facts, language)
            case _:
                return language.say(f"pictures.missing.{self.kind}.{self.missing or 'failed'}")
        return language.say("write.next_sentence").join(said)


def missing(message: Message, why: Missing) -> tuple[Picture, ...]:
    """The pictures of a message for which nothing can be drawn now."""
    return tuple(Picture(kind, missing=why) for kind in _wanted(message))


def pictures_of(message: Message, language: Language, read: Read) -> tuple[Picture, ...]:
    """Map and curve of `message`, with `language` for their few labels; never raises.

    A message that names no site file has none; one about all units has no curve, and a drill, for
    which nothing was measured, only the map without points.
    """
    draw = {"map": _map, "curve": _curve}
    return tuple(_tried(kind, draw[kind], message, language, read) for kind in _wanted(message))


def _wanted(message: Message) -> Iterable[PictureKind]:
    if message.level is None or message.site_file is None:
        return ()
    has_curve = message.unit != WHOLE_SITE and message.kind != "drill"
    return ("map", "curve") if has_curve else ("map",)


def _tried(
    kind: PictureKind,
    draw: Callable[[Message, Language, Read], Picture],
    message: Message,
    language: Language,
    read: Read,
) -> Picture:
    try:
        picture = draw(message, language, read)
        if len(picture.png) <= MAX_PNG_BYTES:
            return picture
        reason, why = f"{len(picture.png)} bytes are too many for a mail", "failed"
    except UnavailableError as error:
        reason, why = str(error), "out_of_reach"
    except Exception as error:
        # Whatever it was: the warning itself must go out.
        reason, why = f"{type(error).__name__}: {error}", "failed"
    structlog.get_logger().warning(
        "picture not drawn", picture=kind, site=message.site, notification=message.id, reason=reason
    )
    return Picture(kind, missing="out_of_reach" if why == "out_of_reach" else "failed")


def _map(message: Message, language: Language, read: Read) -> Picture:
    assert message.site_file is not None
    site = site_from_bytes(read(message.site_file))
    drill = message.kind == "drill"
    track, evidence = ("", None) if drill else _evidence(message, read)
    area = area_of(site, message.unit, evidence)
    level = "" if message.unit == WHOLE_SITE or message.level is None else message.level
    with ONE_AT_A_TIME:
        png = draw_map(area, level, _accent(message), labels_of(message, language, track))
    return Picture("map", png, map_facts(area))


def _curve(message: Message, language: Language, read: Read) -> Picture:
    track, evidence = _evidence(message, read)
    curve = curve_of(evidence, message.unit, track) if evidence else None
    if curve is None:
        return Picture("curve", missing="nothing_to_show")
    with ONE_AT_A_TIME:
        labels = labels_of(message, language, track)
        png = draw_curve(curve, message.arose, _accent(message), labels)
    return Picture("curve", png, curve_facts(curve))


def track_of(message: Message) -> str:
    """The track that asks for the highest level; empty where the message names no evidence."""
    asked = {track: 0 for track in sorted(message.evidence)}
    for vote in message.votes:
        if vote.track in asked:
            asked[vote.track] = max(asked[vote.track], rank(vote.level))
    return max(asked, key=asked.__getitem__, default="")


def _evidence(message: Message, read: Read) -> tuple[str, Evidence | None]:
    track = track_of(message)
    ref = message.evidence.get(track)
    return track, unpack_evidence(read(ref)) if ref else None


def _accent(message: Message) -> str:
    return COLOURS[message.level][0] if message.level else NO_LEVEL[0]


def _map_words(facts: MapFacts, message: Message, language: Language) -> list[str]:
    if message.unit == WHOLE_SITE or message.level is None:
        lines = [language.say("pictures.map_all", units=facts.units)]
    else:
        told = unit_name(message, language)
        level = language.say(f"levels.{message.level}.word")
        lines = [language.say("pictures.map", units=facts.units, told=told, level=level)]
    if facts.inside is None:
        return lines
    if not facts.inside:
        return [*lines, language.say("pictures.map_no_points")]
    velocities = (facts.slowest_mm_yr, facts.median_mm_yr, facts.fastest_mm_yr)
    slowest, median, fastest = (language.number(round(one, 1)) for one in velocities)
    said = {"inside": facts.inside, "slowest": slowest, "median": median, "fastest": fastest}
    return [*lines, language.say("pictures.map_points", **said)]


def _curve_words(facts: CurveFacts, language: Language) -> list[str]:
    def say(key: str, **figures: float | str) -> str:
        words = {
            name: value if isinstance(value, str) else language.number(round(value, 1))
            for name, value in figures.items()
        }
        return language.say(f"pictures.{key}", **words)

    component = language.say(f"pictures.component.{'downslope' if facts.downslope else 'los'}")
    first, last, since = map(language.date, (facts.first, facts.last, facts.newest_since))
    where = {"track": facts.track, "first": first, "last": last, "component": component}
    lines = [
        say("curve", moved=facts.moved_mm, sd=facts.moved_sd_mm, **where),
        say("curve_newest", moved=facts.newest_mm, sd=facts.newest_sd_mm, since=since),
    ]
    if math.isfinite(facts.excess_mm_yr):
        rates = {"expected": facts.expected_mm_yr, "excess": facts.excess_mm_yr}
        lines.append(say("curve_excess", sd=facts.excess_sd_mm_yr, **rates))
    if math.isfinite(facts.rain_30d_mm):
        lines.append(say("curve_rain", rain=facts.rain_30d_mm))
    if math.isfinite(facts.level_m):
        lines.append(say("curve_level", level=facts.level_m))
    if facts.out_of_range:
        lines.append(say("curve_out_of_range", count=facts.out_of_range))
    return lines
