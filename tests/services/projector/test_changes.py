"""Many changes in short, and which ids were taken in."""

from __future__ import annotations

from datetime import date
from typing import Any

from hypothesis import given, settings
from hypothesis import strategies as st

from services.projector.changes import Change, Clear, Put, in_short
from services.projector.fingerprints import Fingerprints
from services.projector.schema import MOTION, UNIT_NAMES
from tests.pipeline import day

NAMES = st.sampled_from("ab")
PUTS = st.builds(
    lambda unit, track, number, mm: Put(
        MOTION,
        {"site": "s", "unit": unit, "track": track, "epoch": day(number), "los": mm},
    ),
    *(NAMES, NAMES, st.integers(0, 2), st.integers(0, 9)),
)
CLEARS = st.one_of(
    st.builds(lambda track: Clear(MOTION, {"site": "s", "track": track}), NAMES),
    st.just(Clear(MOTION, {"site": "s"})),
)
Table = dict[tuple[str, str, str, date], Any]


def _key(row: Any) -> tuple[str, str, str, date]:
    return row["site"], row["unit"], row["track"], row["epoch"]


def _one_by_one(table: Table, changes: list[Change]) -> Table:
    for change in changes:
        if isinstance(change, Put):
            table[_key(change.row)] = change.row
        else:
            where = change.where.items()
            table = {k: r for k, r in table.items() if any(r[n] != v for n, v in where)}
    return table


@settings(derandomize=True, deadline=None, max_examples=100, database=None)
@given(st.lists(PUTS), st.lists(st.one_of(PUTS, CLEARS)))
def test_changes_in_short_come_to_what_they_are_one_by_one(
    before: list[Put], changes: list[Change]
) -> None:
    start = _one_by_one({}, list(before))
    work = in_short(changes).get(MOTION)
    clear = [Clear(MOTION, where) for where in work.clear] if work else []
    put = [Put(MOTION, row) for row in work.put.values()] if work else []
    assert _one_by_one(start, [*clear, *put]) == _one_by_one(start, changes)


def test_each_table_has_its_own_work() -> None:
    name = Put(UNIT_NAMES, {"site": "s", "unit": "a", "title": "A", "place": 0})
    found = in_short([name, Clear(MOTION, {"site": "s"})])
    assert (found[UNIT_NAMES].clear, len(found[UNIT_NAMES].put)) == ([], 1)
    assert (len(found[MOTION].clear), found[MOTION].put) == (1, {})


def test_an_id_is_there_from_when_it_was_added() -> None:
    known = Fingerprints()
    assert not known.may_have("a")
    known.add([f"id-{number}" for number in range(0, 2000, 2)])
    known.add(["ä"])
    assert [number for number in range(2000) if known.may_have(f"id-{number}")] == list(
        range(0, 2000, 2)
    )
    assert known.may_have("ä")
