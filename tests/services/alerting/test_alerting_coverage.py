"""Coverage of a unit as a pure function."""

from __future__ import annotations

from datetime import date, timedelta

import pytest
from alerting_timeline import site_tree
from hypothesis import given
from hypothesis import strategies as st
from msgspec.structs import replace

from core.settings import parse_site
from services.alerting.coverage import Judging, assess, awaited_pass, blind_on, expected_pass
from services.alerting.service import judges_downslope
from services.alerting.state import ClosedDay, Sight

TODAY = date(2024, 3, 1)


def known(**changes: object) -> ClosedDay:
    facts: dict[str, object] = {"passes": {}, "epochs": {}, "sources": ("table",), **changes}
    return ClosedDay(day=TODAY, **facts)  # type: ignore[arg-type]


def sight(measured: date | None, *, epoch: date | None = None, out_of_range: bool = False) -> Sight:
    return Sight(epoch=epoch or measured or TODAY, measured=measured, out_of_range=out_of_range)


@pytest.mark.parametrize(
    ("facts", "reason"),
    [
        ({"sources": ()}, "no pass seen and no displacement"),
        ({}, "no pass seen and no displacement"),
        ({"passes": {"A": TODAY}, "sources": ()}, "passes seen, no displacement source"),
        ({"passes": {"A": TODAY}}, "passes seen, no epoch from table yet"),
        (
            {"epochs": {"A": TODAY}},
            "no measured points in the unit on track A; next pass expected on 13 March 2024",
        ),
    ],
)
def test_never_measured_is_blind(facts: dict[str, object], reason: str) -> None:
    view = assess({}, known(**facts), 12)
    assert (view.coverage, view.reason) == ("blind", reason)


@pytest.mark.parametrize(
    ("measured", "coverage"),
    [
        (date(2024, 2, 29), "watched"),
        (date(2024, 2, 6), "watched"),
        (date(2024, 2, 5), "stale"),
        (date(2024, 1, 13), "stale"),
        (date(2024, 1, 12), "blind"),
    ],
)
def test_age_in_repeat_intervals(measured: date, coverage: str) -> None:
    view = assess({"A": sight(measured)}, known(epochs={"A": measured}), 12)
    assert view.coverage == coverage


def test_a_unit_without_points_while_others_are_measured() -> None:
    old = sight(date(2024, 1, 20), epoch=date(2024, 2, 25))
    view = assess({"A": old}, known(epochs={"A": date(2024, 2, 25)}), 12)
    assert view.coverage == "stale"
    assert "41 days ago, and had no measured points in it since" in view.reason


def test_best_track_wins_and_the_other_is_mentioned() -> None:
    sights = {
        "A": sight(date(2024, 2, 28), out_of_range=True),
        "B": sight(date(2024, 2, 20)),
        "C": sight(date(2023, 2, 20)),
    }
    view = assess(sights, known(), 12)
    assert view.coverage == "watched"
    assert view.reason.startswith("track B last measured the unit on 20 February 2024; motion")
    del sights["B"]
    assert assess(sights, known(), 12).coverage == "out of range"


@pytest.mark.parametrize(
    ("last", "expected"),
    [
        (date(2024, 3, 1), date(2024, 3, 13)),
        (date(2024, 2, 18), date(2024, 3, 13)),
        (date(2024, 2, 19), date(2024, 3, 2)),
        (date(2024, 1, 30), date(2024, 3, 6)),
        (date(2024, 3, 2), date(2024, 3, 14)),
    ],
)
def test_next_pass_is_after_today(last: date, expected: date) -> None:
    assert expected_pass(known(passes={"A": last}), 12) == expected
    assert expected_pass(known(), 12) is None


def test_a_unit_of_which_little_is_left_is_stale() -> None:
    seen = Sight(epoch=TODAY, measured=date(2024, 2, 18), out_of_range=False, few=(1, 6))
    view = assess({"A": seen}, known(), 12)
    assert view.coverage == "stale"
    assert view.reason.startswith(
        "decorrelated: 1 of usually 6 points measured; track A last measured the unit on 18 Feb"
    )
    assert assess({"A": seen, "B": sight(TODAY)}, known(), 12).coverage == "watched"


@pytest.mark.parametrize(
    ("factor", "downslope", "coverage"),
    [
        (0.19, True, "blind"),
        (-0.19, True, "blind"),
        (0.19, False, "watched"),
        (-0.2, True, "watched"),
        (None, True, "watched"),
    ],
)
def test_a_line_of_sight_across_the_slope_is_blind(
    factor: float | None, downslope: bool, coverage: str
) -> None:
    seen = Sight(epoch=TODAY, measured=TODAY, out_of_range=False, los_factor=factor)
    view = assess({"A": seen}, known(), 12, Judging(downslope))
    assert view.coverage == coverage
    if coverage == "blind":
        assert "the line of sight sees less than a fifth of downslope motion" in view.reason
        both = {"A": seen, "B": sight(TODAY)}
        assert assess(both, known(), 12, Judging(downslope)).coverage == "watched"


@pytest.mark.parametrize(
    ("rules", "judged"),
    [
        ((), True),
        (({"kind": "velocity"},), True),
        (({"kind": "velocity", "component": "downslope"}, {"kind": "cusum"}), True),
        (({"kind": "velocity", "component": "los"},), False),
        (({"kind": "cusum"},), True),
    ],
)
def test_which_rules_judge_downslope(rules: tuple[dict[str, str], ...], judged: bool) -> None:
    assert judges_downslope(parse_site(site_tree(rules=rules))) is judged


def test_a_site_whose_rules_cannot_ask_for_anything_is_blind() -> None:
    seen = sight(TODAY)
    view = assess({"A": seen}, known(), 12, Judging(mute="no rule has a limit"))
    assert (view.coverage, view.reason) == ("blind", "no rule has a limit")
    assert view.facts.cause == "no limit"


@given(
    ages=st.dictionaries(
        st.sampled_from("ABC"), st.none() | st.integers(0, 120), min_size=1, max_size=3
    ),
    across=st.sets(st.sampled_from("ABC")),
    downslope=st.booleans(),
    repeat_days=st.sampled_from([6, 12]),
)
def test_the_day_from_which_a_unit_is_blind_is_known_before(
    ages: dict[str, int | None], across: set[str], downslope: bool, repeat_days: int
) -> None:
    """`blind_on` says of the days to come what `assess` will say when they are closed."""
    sights = {
        track: replace(
            sight(None if age is None else TODAY - timedelta(days=age), epoch=TODAY),
            los_factor=0.0 if track in across else 0.7,
        )
        for track, age in ages.items()
    }
    judging = Judging(downslope)
    blind = blind_on(sights, repeat_days, judging)

    def coverage(day: date) -> str:
        closed = replace(known(), day=day)
        return assess(sights, closed, repeat_days, judging).coverage

    if blind is None:
        assert coverage(TODAY) == "blind"
    else:
        assert coverage(blind) == "blind"
        assert coverage(blind - timedelta(days=1)) != "blind"


@pytest.mark.parametrize(
    ("passes", "awaited"),
    [
        ({"A": TODAY}, date(2024, 3, 13)),
        ({"A": date(2024, 2, 10)}, date(2024, 2, 22)),
        ({"A": date(2024, 2, 10), "B": date(2024, 2, 28)}, date(2024, 2, 22)),
        ({"A": date(2023, 2, 10), "B": date(2024, 2, 28)}, date(2024, 3, 11)),
        ({"A": date(2023, 2, 10)}, date(2023, 2, 22)),
        ({}, None),
    ],
)
def test_a_pass_is_awaited_until_it_comes_or_its_track_is_given_up(
    passes: dict[str, date], awaited: date | None
) -> None:
    assert awaited_pass(known(passes=passes), 12) == awaited
    assert awaited_pass(known(epochs=passes), 12) == awaited
