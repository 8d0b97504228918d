"""Real events fit the schemas that are published, and channels hold what their readers read."""

import copy
import datetime
import json
import types
import typing

import msgspec
import pytest
from jsonschema import Draft7Validator, Draft202012Validator, ValidationError

from core import asyncapi
from core.artifacts import MemoryArtifacts
from core.errors import BadInputError, SlopewatchError
from core.events import (
    ALERTS,
    ASSESSMENTS,
    EVENT_TYPES,
    OBSERVATIONS,
    Event,
    EventData,
    decode,
    encode,
    identity,
)
from core.ledger import LedgerState
from core.stage import Input
from core.statestore import open_states
from services import reference
from services.alerting.service import AlertingStage
from services.inference.service import InferenceStage
from services.inference.state import SiteState

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


def accepted_by(stage, state, refusal: str) -> set[str]:
    """Types that a stage reads: all but those it refuses as not belonging to its inbox."""
    read = set()
    for name, cls in EVENT_TYPES.items():
        event = event_of(cls, whole=False)
        try:
            stage.handle(state, Input(event, 1, event.available_at))
        except BadInputError as error:
            if refusal in str(error):
                continue
        except SlopewatchError:
            pass
        read.add(name)
    return read


def test_channels_hold_what_their_readers_read():
    channels = {c.topic: {cls.NAME for cls in c.types} for c in asyncapi.CHANNELS}
    states = open_states("memory://")
    inference = InferenceStage(states, MemoryArtifacts())
    assert (
        accepted_by(inference, SiteState(site=reference._example()), "does not belong")
        == channels[OBSERVATIONS]
    )
    states.close()
    alerting = AlertingStage(None, MemoryArtifacts())
    read = accepted_by(alerting, LedgerState(None, ""), "does not read")
    assert read == channels[ASSESSMENTS]
    assert channels[ALERTS] == {"alert-changed", "alert-handled"}
