"""The event types as documents: `docs/asyncapi.yaml` (AsyncAPI 3.0) and `docs/events.md`.

Both are made from `core.events` alone, so they cannot say anything else than the code does.
`python -m core.asyncapi [FOLDER]` writes them. Source: the AsyncAPI 3.0.0 specification.
"""

from __future__ import annotations

import inspect
import re
import sys
import typing
from collections.abc import Iterable, Mapping
from datetime import datetime
from importlib import metadata
from pathlib import Path
from typing import Any, NamedTuple

import msgspec
import yaml

from core import events
from core.events import ALERTS, ASSESSMENTS, DEAD_LETTERS, EVENT_TYPES, OBSERVATIONS, EventData
from core.lexicon import BY_NAME

Tree = dict[str, Any]

SCHEMAS = "#/components/schemas/"
ENVELOPE = "CloudEvent"
_WORD = re.compile(r"[A-Za-z]+")


class Channel(NamedTuple):
    """One topic: what it is for, who writes and reads it, and the types that belong there."""

    topic: str
    purpose: str
    writers: tuple[str, ...]
    readers: tuple[str, ...]
    types: tuple[type[EventData], ...]


CHANNELS: tuple[Channel, ...] = (
    Channel(
        OBSERVATIONS,
        "inbox of inference: what was seen of a site, its settings, its closed days, its models",
        ("ingest", "train"),
        ("inference", "projector"),
        (
            events.SiteConfigured,
            events.ReleaseActivated,
            events.AcquisitionFound,
            events.InterferogramReady,
            events.DisplacementMeasured,
            events.RainfallObserved,
            events.LevelObserved,
            events.DayClosed,
            events.ForecasterFitted,
        ),
    ),
    Channel(
        ASSESSMENTS,
        "inbox of alerting: what inference made of it, operators' commands, passed deadlines",
        ("inference", "operators", "scheduler"),
        ("alerting", "projector"),
        (
            events.SiteConfigured,
            events.ReleaseActivated,
            events.StateUpdated,
            events.ForecastIssued,
            events.DayClosed,
            events.OperatorCommanded,
            events.DeadlinePassed,
        ),
    ),
    Channel(
        ALERTS,
        "what alerting decided, for pages and other systems",
        ("alerting",),
        ("projector", "other systems"),
        (events.AlertChanged, events.AlertHandled),
    ),
    Channel(
        DEAD_LETTERS,
        "what could not be used, with a numbered reason",
        ("ingest", "inference", "alerting"),
        ("operators",),
        (events.DeadLettered,),
    ),
)

MEANINGS: dict[str, str] = {
    # Envelope
    "specversion": "version of CloudEvents",
    "id": "identity of the event: made of its causes, so the same facts have the same id",
    "type": "name and version of the payload, e.g. `org.slopewatch.day-closed.v1`",
    "source": "which service said it",
    "subject": "the site; also the record's key on the log",
    "time": "available_at: when it could be known; `now` in every handler",
    "validtime": "the moment it speaks of",
    "processedtime": "when the code made it",
    "data": "the payload, by type",
    "datacontenttype": "always JSON",
    "number": "place among the outcomes of one stage for this site; none for what comes from "
    "outside",
    "assumed": "`time` is the valid time plus the feed's declared latency: the source did not say",
    "retryof": "id of the dead letter of which this is a retry",
    # Fields of payloads
    "settings": "the site file as canonical JSON",
    "watched_from": "first day that is news; what lies before it is history",
    "retired": "the site is not watched any more",
    "difference": "what changed against the settings before, one sentence a field",
    "code": "of a release: version of slopewatch; of a dead letter: numbered reason",
    "model": "version, or name, of the model; `best`: each unit's own",
    "thresholds": "version of the threshold table",
    "table": "the threshold table",
    "feed": "file name of the feed or source",
    "scene": "name of the product in its catalogue",
    "platform": "satellite",
    "path": "relative orbit",
    "frame": "frame number",
    "burst": "burst id",
    "direction": "flight direction, ascending or descending",
    "polarization": "as the catalogue names it",
    "product": "kind of product",
    "stop_time": "end of the acquisition",
    "url": "where the product lies",
    "bytes": "size in bytes",
    "track": "viewing geometry, as the source's settings name it",
    "reference": "earlier acquisition of the pair",
    "secondary": "later acquisition of the pair",
    "layers": "`phase_rad` and `coherence` of the pixels",
    "points": "position and line of sight of points or pixels",
    "pixels": "number of pixels",
    "epoch": "day of the displacement",
    "reference_epoch": "day at which displacement is zero",
    "values": "`los_displacement_mm` and `sigma_mm` of the points",
    "station": "gauge",
    "day": "UTC day",
    "catching_up": "more closed days follow at once",
    "seq": "place of the input in the site's order at the stage that says this",
    "passes": "last pass seen, by path",
    "epochs": "last epoch of each track",
    "sources": "displacement sources of the site",
    "historical": "known before the day from which the site is watched: nobody is told",
    "reason": "why, in a sentence; of a state: what moved it on",
    "units": "slope units",
    "evidence": "what rules may look at (`core/evidence.py`)",
    "inputs": "ids of the events that led to this",
    "issued_for": "day from which increments count",
    "horizons_d": "days ahead",
    "stepped_down": "another model was chosen and could not speak; the reason says why",
    "fitted": "day on which the models were fitted; none: not yet",
    "point_forecasts": "forecast of every point (`services.inference.issuing.publishing`); "
    "none: of units alone",
    "parameters": "what each model learned of each track (`services.inference.issuing.forecaster`)",
    "models": "names of the models that were fitted",
    "scores_mm": "root mean square error of each model's forecasts on the inner year, in mm",
    "unit": "slope unit; of a command: none means all",
    "level": "blue, yellow, orange or red",
    "previous_level": "level before",
    "coverage": "watched, stale, blind or out of range",
    "previous_coverage": "coverage before",
    "votes": "what each rule said last",
    "arose": "day of which the news speaks",
    "alert": "the case: `site.unit.seq` of the decision that opened it; empty: none",
    "status": "actual, exercise (a drill) or test (a site that is being tried out)",
    "action": "what was done",
    "by": "operator; empty: the service itself",
    "head": "hash of the ledger's chain after the decision",
    "command": "what the operator wants",
    "operator": "who",
    "until": "end of a silence",
    "to": "operator to whom an alert is handed over",
    "deadline": "id of the deadline's row in the ledger",
    "due": "when it was due",
    "origin": "where it came from: topic/partition/offset, or feed and row",
    "payload": "base64 of the bytes; none when they lie in `artifact`",
    "artifact": "the bytes, where they are too many for an event",
    # Parts
    "sha256": "name of the content",
    "measured_points": "points of the unit that the last epoch measured",
    "usual_points": "median of that over earlier epochs that measured the unit; 0: none did",
    "rule": "file name of the rule",
    "calibrated": "the rule could judge; false: it says why not",
    "figures": "numbers behind the verdict, by quantity",
}
"""What a field means, where it is not a quantity of the lexicon."""


def meaning_of(field: str) -> str:
    """Meaning of a field, with its unit and sign where it is a quantity."""
    quantity = BY_NAME.get(field)
    if quantity is None:
        return MEANINGS[field]
    return f"{quantity.meaning} ({quantity.unit}; {quantity.sign})"


def schemas() -> Tree:
    """JSON schemas of envelope, payloads and their parts, by name."""
    classes = [events._Envelope, *EVENT_TYPES.values()]
    _, found = msgspec.json.schema_components(classes, ref_template=SCHEMAS + "{name}")
    named = {ENVELOPE if name == "_Envelope" else name: schema for name, schema in found.items()}
    named[ENVELOPE]["title"] = ENVELOPE
    for name, schema in named.items():
        cls = events._Envelope if name == ENVELOPE else getattr(events, name)
        moments = {f for f, hint in typing.get_type_hints(cls).items() if _has(hint, datetime)}
        schema["description"] = inspect.cleandoc(cls.__doc__ or "")
        for field, part in schema["properties"].items():
            if field in moments:
                _set_format(part)
            if "$ref" not in part:
                part["description"] = meaning_of(field)
    for cls in EVENT_TYPES.values():
        named[message_name(cls)] = _event_schema(cls)
    return dict(sorted(named.items()))


def message_name(cls: type[EventData]) -> str:
    """Name of the whole event, envelope and payload, in the document."""
    return f"{cls.__name__}Event"


def document() -> Tree:
    """The AsyncAPI document."""
    return {
        "asyncapi": "3.0.0",
        "info": {
            "title": "slopewatch events",
            "version": metadata.version("slopewatch"),
            "description": "Events on the log: CloudEvents 1.0 in structured JSON. The key of "
            "every record is the site. What order and delivery promise: docs/streams.md.",
            "license": {"name": "Apache-2.0"},
        },
        "defaultContentType": "application/cloudevents+json",
        "channels": {channel.topic: _channel(channel) for channel in CHANNELS},
        "operations": dict(_operations()),
        "components": {
            "messages": {
                message_name(cls): {
                    "name": events.type_of(cls),
                    "title": cls.NAME.replace("-", " "),
                    "summary": _first_line(cls),
                    "payload": {"$ref": SCHEMAS + message_name(cls)},
                }
                for cls in EVENT_TYPES.values()
            },
            "schemas": schemas(),
        },
    }


def asyncapi_yaml() -> str:
    """The document as YAML."""
    head = "# Made by `python -m core.asyncapi` from core/events.py: do not edit.\n"
    text: str = yaml.dump(document(), Dumper=_Plain, sort_keys=False, width=100, allow_unicode=True)
    return head + text


def events_markdown() -> str:
    """All event types as a page."""
    known = schemas()
    topics: dict[str, list[str]] = {}
    for channel in CHANNELS:
        for cls in channel.types:
            topics.setdefault(cls.NAME, []).append(f"`{channel.topic}`")
    lines = [
        "# Events",
        "",
        "Made by `python -m core.asyncapi` from `core/events.py`: do not edit. The same as a",
        "machine reads it: [asyncapi.yaml](asyncapi.yaml). Units and signs of quantities:",
        "[quantities.md](quantities.md). Order and delivery: [streams.md](streams.md).",
        "",
        "## Topics",
        "",
        "| Topic | What it is | Written by | Read by |",
        "|---|---|---|---|",
        *(
            f"| `{c.topic}` | {c.purpose} | {', '.join(c.writers)} | {', '.join(c.readers)} |"
            for c in CHANNELS
        ),
        "",
        "## Envelope",
        "",
        "Every event is CloudEvents 1.0 in structured JSON with these attributes. Times are UTC.",
        "Unknown attributes are ignored; an unknown field in `data` makes the event a dead letter,",
        "a newer version of a known type parks its site.",
        "",
        *_table(known[ENVELOPE], known),
    ]
    for name in sorted(EVENT_TYPES):
        cls = EVENT_TYPES[name]
        lines += [
            "",
            f"## {name.replace('-', ' ')}",
            "",
            f"`{events.type_of(cls)}`, version {cls.VERSION}, on {' and '.join(topics[name])}.",
            "",
            inspect.cleandoc(cls.__doc__ or ""),
            "",
            *_table(known[cls.__name__], known),
        ]
    lines += ["", "## Parts"]
    payloads = {cls.__name__ for cls in EVENT_TYPES.values()}
    whole = {message_name(cls) for cls in EVENT_TYPES.values()}
    for name in sorted(known.keys() - payloads - whole - {ENVELOPE}):
        text = str(known[name]["description"])
        lines += ["", f"### {name}", "", text, "", *_table(known[name], known)]
    return "\n".join(lines) + "\n"


def type_text(schema: Mapping[str, Any]) -> str:
    """A JSON schema's type in a few words: `number or null`, `list of text`."""
    if "$ref" in schema:
        return str(schema["$ref"]).rpartition("/")[2]
    if "const" in schema:
        return f"`{schema['const']}`"
    if "enum" in schema:
        return ", ".join(f"`{value}`" for value in schema["enum"])
    if "anyOf" in schema:
        return " or ".join(type_text(part) for part in schema["anyOf"])
    kind = schema.get("type")
    if kind == "array":
        if "prefixItems" in schema:
            return "(" + ", ".join(type_text(part) for part in schema["prefixItems"]) + ")"
        return f"list of {type_text(schema.get('items', {}))}"
    if kind == "object":
        return f"names to {type_text(schema.get('additionalProperties') or {})}"
    words = {"string": "text", "null": "none", "boolean": "yes or no", None: "any"}
    formats = {"date": "date", "date-time": "time", "path": "path"}
    return formats.get(str(schema.get("format")), words.get(kind, str(kind)))


def write(folder: Path) -> list[Path]:
    """Write both documents into `folder`; their paths."""
    made = {"asyncapi.yaml": asyncapi_yaml(), "events.md": events_markdown()}
    for name, text in made.items():
        (folder / name).write_text(text, encoding="utf-8")
    return [folder / name for name in made]


class _Plain(yaml.SafeDumper):
    """YAML without anchors."""

    def ignore_aliases(self, data: Any) -> bool:
        """Write everything out."""
        return True


def _event_schema(cls: type[EventData]) -> Tree:
    return {
        "title": message_name(cls),
        "description": f"Envelope and payload of {events.type_of(cls)}.",
        "allOf": [
            {"$ref": SCHEMAS + ENVELOPE},
            {
                "type": "object",
                "properties": {
                    "type": {"const": events.type_of(cls)},
                    "data": {"$ref": SCHEMAS + cls.__name__},
                },
            },
        ],
    }


def _channel(channel: Channel) -> Tree:
    return {
        "address": channel.topic,
        "description": f"{channel.purpose}. Written by {', '.join(channel.writers)}; read by "
        f"{', '.join(channel.readers)}.",
        "messages": {
            message_name(cls): {"$ref": f"#/components/messages/{message_name(cls)}"}
            for cls in channel.types
        },
    }


def _operations() -> Iterable[tuple[str, Tree]]:
    for channel in CHANNELS:
        for action in ("send", "receive"):
            yield (
                f"{action}-{channel.topic}",
                {"action": action, "channel": {"$ref": f"#/channels/{channel.topic}"}},
            )


def _table(schema: Tree, known: Tree) -> list[str]:
    lines = ["| Field | Type | If absent | Meaning |", "|---|---|---|---|"]
    for field, part in schema["properties"].items():
        absent = "must be there" if field in schema.get("required", ()) else _value(part)
        kind = _WORD.sub(
            lambda word: f"[{word[0]}](#{word[0].lower()})" if word[0] in known else word[0],
            type_text(part),
        )
        lines.append(f"| `{field}` | {kind} | {absent} | {meaning_of(field)} |")
    return lines


def _value(part: Mapping[str, Any]) -> str:
    value = part.get("default")
    if value is None:
        return "none"
    return f"`{msgspec.json.encode(value).decode()}`"


def _has(hint: Any, cls: type) -> bool:
    return hint is cls or any(_has(part, cls) for part in typing.get_args(hint))


def _set_format(part: Tree) -> None:
    for one in part.get("anyOf", [part]):
        if one.get("type") == "string":
            one["format"] = "date-time"


def _first_line(cls: type[EventData]) -> str:
    return inspect.cleandoc(cls.__doc__ or "").partition("\n\n")[0].replace("\n", " ")


def main() -> None:
    """Write the documents into the folder named, or into `docs`."""
    for path in write(Path(sys.argv[1] if len(sys.argv) > 1 else "docs")):
        print(path)


if __name__ == "__main__":
    main()
