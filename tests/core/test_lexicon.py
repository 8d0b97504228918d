"""Every number of the product has its name, unit and sign in the lexicon."""

import dataclasses
import typing

import msgspec
import numpy as np
import pytest

from core import events
from core.events import EVENT_TYPES, FittedUnit, UnitForecast, UnitState, Vote
from core.evidence import Evidence
from core.lexicon import BY_NAME, QUANTITIES
from core.settings import Noise, SlopeUnit

UNIT_ENDINGS = {
    "_mm_d2": "mm/d^2",
    "_mm_d": "mm/d",
    "_mm_yr": "mm/yr",
    "_mm2_d3": "mm^2/d^3",
    "_mm": "mm",
    "_m": "m",
    "_rad": "rad",
    "_deg": "degree",
}


def is_float(hint) -> bool:
    """A float, perhaps None, or a tuple of floats."""
    if typing.get_origin(hint) is dict:
        return False
    return hint is float or any(is_float(part) for part in typing.get_args(hint))


def structs():
    return [*EVENT_TYPES.values(), UnitState, UnitForecast, FittedUnit, Vote, events.ArtifactRef]


def test_every_float_of_every_event_is_a_quantity():
    bare = {
        name
        for cls in structs()
        for name, hint in typing.get_type_hints(cls).items()
        if is_float(hint)
    }
    assert bare
    assert bare <= set(BY_NAME)


def test_no_struct_of_the_events_is_left_out():
    known = {cls for cls in vars(events).values() if isinstance(cls, type)}
    payloads = {c for c in known if issubclass(c, msgspec.Struct) and c.__module__ == "core.events"}
    assert payloads - set(structs()) == {events.EventData, events.Event, events._Envelope}


def test_every_array_of_the_evidence_is_a_quantity():
    arrays = {field.name for field in dataclasses.fields(Evidence)} - {"units"}
    assert arrays <= set(BY_NAME)


def test_every_number_of_the_noise_and_the_slope_is_a_quantity():
    numbers = set(Noise.model_fields) | {
        name for name, field in SlopeUnit.model_fields.items() if is_float(field.annotation)
    }
    assert numbers - {"polygon"} <= set(BY_NAME)


def test_names_are_unique_and_rows_are_whole():
    names = [quantity.name for quantity in QUANTITIES]
    assert len(set(names)) == len(names)
    for quantity in QUANTITIES:
        assert all(quantity), quantity.name


@pytest.mark.parametrize("quantity", QUANTITIES, ids=lambda q: q.name)
def test_the_unit_is_the_one_in_the_name(quantity):
    endings = [unit for end, unit in UNIT_ENDINGS.items() if quantity.name.endswith(end)]
    if endings:
        assert quantity.unit == endings[0]


def test_signs_agree_with_the_geometry():
    from core.geometry import phase_to_los_mm

    toward = float(phase_to_los_mm(np.array(-1.0)))
    assert toward > 0
    assert BY_NAME["phase_rad"].sign == "+ away from the satellite"
    assert BY_NAME["los_displacement_mm"].sign == "+ toward the satellite"
