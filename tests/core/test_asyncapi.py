"""The documents of the events are made from the code, and whole."""

import json
from pathlib import Path

import pytest
import yaml

from core import asyncapi, events
from core.events import EVENT_TYPES

DOCS = Path(__file__).parents[2] / "docs"


@pytest.fixture(scope="module")
def document():
    return asyncapi.document()


def test_the_yaml_in_docs_is_the_one_made_from_the_code(document):
    text = (DOCS / "asyncapi.yaml").read_text(encoding="utf-8")
    assert text == asyncapi.asyncapi_yaml(), "run: python -m services.reference"
    assert yaml.safe_load(text) == json.loads(json.dumps(document))


def test_the_page_in_docs_is_the_one_made_from_the_code():
    text = (DOCS / "events.md").read_text(encoding="utf-8")
    assert text == asyncapi.events_markdown(), "run: python -m services.reference"


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


@pytest.mark.parametrize(
    ("schema", "text"),
    [
        ({"type": "string"}, "text"),
        ({"type": "string", "format": "date"}, "date"),
        ({"anyOf": [{"type": "number"}, {"type": "null"}]}, "number or none"),
        ({"type": "array", "items": {"$ref": "#/x/Vote"}}, "list of Vote"),
        ({"type": "array", "prefixItems": [{"type": "number"}] * 2}, "(number, number)"),
        ({"type": "object", "additionalProperties": {"type": "number"}}, "names to number"),
        ({"enum": ["a", "b"]}, "`a`, `b`"),
        ({"const": "a"}, "`a`"),
        ({}, "any"),
    ],
)
def test_types_are_said_in_words(schema, text):
    assert asyncapi.type_text(schema) == text
