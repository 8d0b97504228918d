"""Stories from beginning to end: who is told what, when, and how late."""

from __future__ import annotations

from alerting_timeline import (
    Story,
    closed,
    configured,
    day,
    epoch,
    moment,
    recipient,
    units,
)

from services.alerting.patience import LONGEST_WAIT


def test_raises_at_once_and_lowers_after_three_fresh_epochs() -> None:
    story = Story()
    story.at(0, epoch(0, toe="blue"))
    story.closed(0, 9)
    story.at(10, epoch(10, toe="orange"), hour=9)
    (message,) = story.want("ops: toe orange")
    assert message.reason.startswith("Toe rises from blue to orange: velocity on track A: 30 ±")
    assert (message.arose, message.late_days) == (day(10), 0)
    story.closed(10, 20)
    story.at(22, epoch(22, toe="yellow"))
    story.at(34, epoch(34, toe="blue"))
    story.want()
    assert story.level == "orange"
    story.at(46, epoch(46, toe="blue"))
    assert story.level == "yellow"
    story.closed(21, 45)
    story.want("ops: toe yellow")
    for number in (58, 70, 82):
        story.at(number, epoch(number, toe="blue"))
        story.closed(number - 1, number - 1)
    (message,) = story.want("ops: toe blue")
    assert message.previous_level == "yellow"
    assert [change.level for change in story.changes] == ["orange", "yellow", "blue"]


def test_an_epoch_that_asks_as_much_starts_the_count_again() -> None:
    story = Story()
    for number, level in enumerate(["red", "blue", "blue", "red", "blue", "blue"]):
        story.at(number, epoch(number, toe=level))
    assert story.level == "red"
    story.at(6, epoch(6, toe="blue"))
    assert story.level == "blue"


def test_stale_data_never_lower() -> None:
    story = Story()
    story.at(0, epoch(0, toe="red"))
    story.closed(0, 200, passes={"A": 0})
    assert story.level == "red"
    for number in (201, 202, 203):
        story.at(number, epoch(number, out_of_range=True, toe="blue"))
    for number in (204, 205, 206):
        story.at(number, epoch(number, points=0, toe="blue"))
    for number in (203, 204, 205):
        story.at(207, epoch(number, toe="blue"))
    assert story.level == "red"
    for number in (208, 209, 210):
        story.at(number, epoch(number, toe="blue"))
    assert story.level == "blue"


def test_the_other_track_still_asks() -> None:
    story = Story()
    story.at(0, epoch(0, track="A", toe="red"))
    for number in range(1, 6):
        story.at(number, epoch(number, track="B", toe="blue"))
    assert story.level == "red"


def test_outage_that_ends_at_red_is_told_once_and_says_how_late() -> None:
    story = Story(watched_from=0)
    story.at(50, epoch(50, toe="blue"))
    story.closed(50, 60)
    story.want()
    story.at(72, epoch(62, toe="red"))
    for number in range(61, 71):
        story.at(72, closed(number, catching_up=True))
    story.want()
    assert story.drops() == [("inhibit", "catching up: told when the last missing day is closed")]
    story.at(72, closed(71))
    (message,) = story.want("ops: toe red")
    assert (message.arose, message.known_since, message.late_days) == (day(62), moment(72), 10)
    assert message.reason.endswith(
        "Arose on 3 March 2024, known since 13 March 2024: "
        "10 days late because the service was catching up."
    )
    story.closed(72, 80)
    story.want()


def test_a_red_waits_an_hour_for_missing_days_and_no_longer() -> None:
    story = Story()
    story.at(0, epoch(0, toe="blue"))
    story.closed(0, 5)
    story.at(40, epoch(12, toe="red"))
    story.want()
    (row,) = [row for row in story.open_deadlines if row.kind == "missing days"]
    assert row.due - moment(40) == LONGEST_WAIT
    story.wait(row.due)
    (message,) = story.want("ops: toe red")
    assert message.late_because == "catching up"
    assert story.state.patience is None
    story.at(41, *(closed(n, catching_up=n < 40) for n in range(6, 41)))
    story.want()


def test_what_is_not_urgent_waits_for_the_missing_days() -> None:
    story = Story()
    story.at(0, epoch(0, toe="blue"))
    story.closed(0, 5)
    story.at(40, epoch(12, toe="yellow"))
    story.want()
    assert not [row for row in story.open_deadlines if row.kind == "missing days"]


def test_nobody_is_bothered_early_once_the_days_are_closed() -> None:
    story = Story()
    story.at(0, epoch(0, toe="blue"))
    story.closed(0, 5)
    story.at(40, epoch(38, toe="red"))
    story.at(40, *(closed(n, catching_up=n < 39) for n in range(6, 40)))
    story.want("ops: toe red")
    assert story.state.patience is None
    assert not [row for row in story.open_deadlines if row.kind == "missing days"]


def test_steps_between_are_recorded_and_not_told() -> None:
    story = Story()
    story.at(0, epoch(0, toe="blue"))
    story.closed(0, 5)
    story.at(40, epoch(12, toe="yellow"), epoch(24, toe="red"))
    story.at(40, *(closed(n, catching_up=n < 39) for n in range(6, 40)))
    story.want("ops: toe red")
    assert [change.level for change in story.changes] == ["yellow", "red"]


def test_backfill_that_ends_above_blue_is_told_once() -> None:
    story = Story(watched_from=100)
    story.at(10, epoch(10, toe="yellow"))
    story.closed(10, 98)
    story.at(95, epoch(95, toe="orange"))
    story.want()
    assert all(change.historical for change in story.changes)
    assert all(row["historical"] for row in story.rows)
    assert {stage for row in story.rows for stage in [d["stage"] for d in row["dropped"]]} == {
        "inhibit"
    }
    story.at(100, closed(99))
    (message,) = story.want("ops: toe orange")
    assert message.late_days == 5
    assert "because it arose before the site was watched" in message.reason
    story.closed(100, 105)
    story.want()


def test_backfill_that_ends_blue_tells_nothing() -> None:
    story = Story(watched_from=100)
    for number, level in ((10, "red"), (20, "blue"), (30, "blue"), (90, "blue")):
        story.at(number, epoch(number, toe=level))
    story.closed(90, 110)
    story.want()
    assert [change.level for change in story.changes[:2]] == ["red", "blue"]


def test_watched_from_defaults_to_the_first_configured_day() -> None:
    story = Story(watched_from=None)
    assert story.state.watched_from == day(-1)
    story.at(5, configured(watched_from=None))
    assert story.state.watched_from == day(-1)


def test_blind_from_the_first_day() -> None:
    story = Story()
    story.at(1, closed(0, passes={"A": -3}, sources=()))
    (message,) = story.want("ops: toe blind")
    assert message.coverage_reason == "passes seen, no displacement source"
    assert "blind: passes seen, no displacement source" in message.reason
    assert (message.next_pass, message.late_days) == (day(9), 0)
    story.closed(1, 30, passes={"A": -3}, sources=())
    story.want()


def test_it_says_that_it_sees_again() -> None:
    story = Story()
    story.closed(0, 3, sources=())
    story.want("ops: toe blind")
    assert story.coverage == ("blind", "no pass seen and no displacement")
    story.at(4, epoch(3, toe="blue"))
    (message,) = story.want("ops: toe watched")
    assert message.reason.startswith("The service sees again: Toe is watched;")
    assert message.previous_coverage == "blind"


def test_stale_is_recorded_and_blind_is_told() -> None:
    story = Story()
    story.at(0, epoch(0, toe="blue"))
    story.closed(0, 24, passes={"A": 24})
    assert story.coverage[0] == "watched"
    story.closed(25, 25, passes={"A": 24})
    assert story.coverage[0] == "stale"
    assert story.drops() == [("route", "only blind and out of range, and their end, are told")]
    story.want()
    story.closed(26, 49, passes={"A": 48})
    (message,) = story.want("ops: toe blind")
    assert message.coverage_reason == (
        "track A last measured the unit on 1 January 2024, 49 days ago; "
        "next pass expected on 1 March 2024"
    )


def test_out_of_range_is_told_at_the_epoch() -> None:
    story = Story()
    story.at(0, epoch(0, toe="blue"))
    story.closed(0, 11)
    story.at(12, epoch(12, out_of_range=True, toe="blue"), hour=9)
    (message,) = story.want("ops: toe out of range")
    assert "past what track A can tell between two passes" in message.reason


def test_one_decorrelated_epoch_is_recorded_and_a_row_of_them_is_told() -> None:
    story = Story()
    story.at(0, epoch(0, points=6, usual=6, toe="yellow"))
    story.want("ops: toe yellow")
    story.closed(0, 11)
    story.at(12, epoch(12, points=1, usual=6, toe="blue"))
    assert story.coverage[0] == "stale"
    assert story.coverage[1].startswith("decorrelated: 1 of usually 6 points measured; track A")
    story.at(24, epoch(24, points=2, usual=6, toe="yellow"))
    assert story.coverage[0] == "watched"
    story.want()
    for number in range(36, 84, 12):
        story.closed(number - 12, number - 1)
        story.at(number, epoch(number, points=1, usual=6, toe="blue"))
    assert story.level == "yellow"
    story.want()
    story.closed(72, 84)
    (message,) = story.want("ops: toe blind")
    assert "decorrelated: 1 of usually 6 points measured" in message.reason


def test_a_line_of_sight_across_the_slope_is_told_where_downslope_motion_is_judged() -> None:
    rule = {"kind": "velocity", "thresholds_mm_per_year": {"yellow": 10}}
    story = Story(rules=[rule])
    story.at(0, epoch(0, los_factor=0.1, toe="blue"))
    story.closed(0, 0)
    story.want("ops: toe blind")
    story.at(1, epoch(1, track="B", los_factor=0.9, toe="blue"))
    story.want("ops: toe watched")
    story = Story()
    story.at(0, epoch(0, los_factor=0.1, toe="blue"))
    story.closed(0, 0)
    assert story.coverage[0] == "watched"


def test_a_blind_site_is_one_notice() -> None:
    story = Story(slope_units=units("toe", "head"), recipients=[recipient("a"), recipient("b")])
    story.closed(0, 0, sources=())
    (message, _) = story.want("a: * blind", "b: * blind")
    assert message.reason.startswith("all slope units are blind: no pass seen")
    assert ("inhibit", "one notice tells it for the whole site") in story.drops()
    story.closed(1, 3, sources=())
    story.want()
    story.at(4, epoch(4, toe="blue"))
    story.want("a: toe watched", "b: toe watched")
    assert story.state.units["head"].coverage_reason == "no measured points in the unit on track A"


def test_routes_and_dedup_say_why() -> None:
    story = Story(
        recipients=[recipient("ops"), recipient("mayor", from_level="red", coverage=False)]
    )
    story.at(0, epoch(0, toe="orange"))
    story.want("ops: toe orange")
    assert story.drops() == [("route", "told from red on")]
    story.at(1, epoch(1, toe="red"))
    story.want("ops: toe red", "mayor: toe red")
    story.closed(0, 60)
    story.want("ops: toe blind")
    assert ("route", "not told of coverage") in story.drops()
    for number in (61, 62, 63):
        story.at(number, epoch(number, toe="yellow"))
        story.closed(number - 1, number - 1)
    sent = story.want("ops: toe watched", "ops: toe yellow", "mayor: toe yellow")
    assert {m.previous_level for m in sent if m.kind == "level"} == {"red"}


def test_up_and_down_while_catching_up_is_dropped_as_known() -> None:
    story = Story()
    story.at(0, epoch(0, toe="blue"))
    story.closed(0, 0)
    story.at(40, epoch(10, toe="red"), *(epoch(n, toe="blue") for n in (20, 30, 39)))
    story.at(40, *(closed(n, catching_up=n < 39) for n in range(1, 40)))
    story.want()
    assert ("dedup", "never told above blue") in story.drops()


def test_a_newcomer_is_told_what_stands() -> None:
    story = Story()
    story.at(0, epoch(0, toe="red"))
    story.want("ops: toe red")
    story.at(1, configured(recipients=[recipient("ops"), recipient("new")]))
    story.want("new: toe red")
    assert story.drops() == [("dedup", "already told red")]


def test_just_after_midnight_news_waits_for_yesterday_to_be_closed() -> None:
    story = Story()
    story.at(0, epoch(0, toe="blue"))
    story.closed(0, 9)
    story.at(11, epoch(10, toe="red"), hour=0)
    story.want()
    story.at(11, closed(10), hour=1)
    (message,) = story.want("ops: toe red")
    assert message.reason.endswith("1 day late because its data came late.")
