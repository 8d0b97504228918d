"""The documents of the events say what the code does: made again, and held against real events."""

import copy
import datetime
import json
import types
import typing
from pathlib import Path

import msgspec
import pytest
import yaml
from jsonschema import Draft7Validator, Draft202012Validator, ValidationError

from core import asyncapi, events
from core.events import EVENT_TYPES, Event, EventData, decode, encode, identity

DOCS = Path(__file__).parents[2] / "docs"
NOW = datetime.datetime(2024, 3, 5, 6, 7, 8, tzinfo=datetime.UTC)
PLAIN = {
    str: "text",
    int: 7,
    float: 1.5,
    bool: True,
    datetime.date: NOW.date(),
    datetime.datetime: NOW,
}


def sample(hint, whole: bool):
    """A value of a type; `whole`: with everything that may be there."""
    origin, parts = typing.get_origin(hint), typing.get_args(hint)
    if origin in {typing.Union, types.UnionType}:
        some = [part for part in parts if part is not type(None)]
        optional = len(some) < len(parts)
        return sample(some[0], whole) if whole or not optional else None
    if origin is typing.Literal:
        return parts[-1]
    if origin is tuple:
        return (sample(parts[0], whole),) * 2 if whole else ()
    if origin is dict:
        return {"name": sample(parts[1], whole)} if whole else {}
    if isinstance(hint, type) and issubclass(hint, msgspec.Struct):
        return sample_struct(hint, whole)
    return PLAIN[hint]


def sample_struct(cls, whole: bool):
    hints = typing.get_type_hints(cls)
    given = {
        field.name: sample(hints[field.name], whole)
        for field in msgspec.structs.fields(cls)
        if whole or field.required
    }
    return cls(**given)


def event_of(cls: type[EventData], whole: bool) -> Event:
    return Event(
        id=identity("sample", cls.NAME),
        site="ridge",
        source="slopewatch/tests",
        valid_time=NOW,
        available_at=NOW,
        processed_at=NOW,
        data=sample_struct(cls, whole),
        number=3 if whole else None,
        assumed=whole,
        retry_of="ab" * 16 if whole else None,
    )


@pytest.fixture(scope="module")
def document():
    return asyncapi.document()


@pytest.fixture(scope="module", params=[Draft7Validator, Draft202012Validator])
def check(request, document):
    """Validates encoded events of a type against the document's schema."""

    def validate(name: str, payload: object) -> None:
        schema = {"$ref": f"{asyncapi.SCHEMAS}{name}", "components": document["components"]}
        request.param(schema, format_checker=request.param.FORMAT_CHECKER).validate(payload)

    return validate


def test_the_yaml_in_docs_is_the_one_made_from_the_code(document):
    text = (DOCS / "asyncapi.yaml").read_text(encoding="utf-8")
    assert text == asyncapi.asyncapi_yaml(), "run: python -m services.reference"
    assert yaml.safe_load(text) == json.loads(json.dumps(document))


def test_the_page_in_docs_is_the_one_made_from_the_code():
    text = (DOCS / "events.md").read_text(encoding="utf-8")
    assert text == asyncapi.events_markdown(), "run: python -m services.reference"


@pytest.mark.parametrize("whole", [True, False], ids=["whole", "bare"])
@pytest.mark.parametrize("name", EVENT_TYPES)
def test_encoded_events_fit_their_schema_and_come_back(name, whole, check):
    event = event_of(EVENT_TYPES[name], whole)
    payload = encode(event)
    check(asyncapi.message_name(EVENT_TYPES[name]), json.loads(payload))
    assert decode(payload) == event


@pytest.mark.parametrize("name", EVENT_TYPES)
def test_what_the_code_refuses_does_not_fit_the_schema(name, check):
    cls = EVENT_TYPES[name]
    good = json.loads(encode(event_of(cls, whole=True)))
    message = asyncapi.message_name(cls)
    unknown = copy.deepcopy(good)
    unknown["data"]["no_such_field"] = 1
    with pytest.raises(ValidationError):
        check(message, unknown)
    for field in msgspec.structs.fields(cls):
        if field.required:
            lacking = copy.deepcopy(good)
            del lacking["data"][field.name]
            with pytest.raises(ValidationError):
                check(message, lacking)
    with pytest.raises(ValidationError):
        check(message, {**good, "type": "org.slopewatch.another.v1"})
    with pytest.raises(ValidationError):
        check(message, {key: value for key, value in good.items() if key != "time"})


def test_every_type_is_in_a_channel_and_every_channel_is_a_topic():
    in_channels = {cls for channel in asyncapi.CHANNELS for cls in channel.types}
    assert in_channels == set(EVENT_TYPES.values())
    topics = {events.OBSERVATIONS, events.ASSESSMENTS, events.ALERTS, events.DEAD_LETTERS}
    assert {channel.topic for channel in asyncapi.CHANNELS} == topics


def test_every_reference_of_the_document_leads_somewhere(document):
    def references(tree):
        if isinstance(tree, dict):
            if isinstance(tree.get("$ref"), str):
                yield tree["$ref"]
            for value in tree.values():
                yield from references(value)
        elif isinstance(tree, list):
            for value in tree:
                yield from references(value)

    found = set(references(document))
    assert found
    for reference in found:
        here = document
        for part in reference.removeprefix("#/").split("/"):
            here = here[part]


def test_every_field_has_one_meaning():
    fields = {
        field
        for name, schema in asyncapi.schemas().items()
        if "properties" in schema
        for field in schema["properties"]
    }
    for field in fields:
        assert asyncapi.meaning_of(field)
    assert set(asyncapi.MEANINGS) <= fields, "a meaning of a field that is nowhere"
    assert not set(asyncapi.MEANINGS) & set(asyncapi.BY_NAME), "a quantity is explained twice"


def test_writing_makes_both_files(tmp_path):
    assert {path.name for path in asyncapi.write(tmp_path)} == {"asyncapi.yaml", "events.md"}
    for name in ("asyncapi.yaml", "events.md"):
        assert (tmp_path / name).read_bytes() == (DOCS / name).read_bytes()
