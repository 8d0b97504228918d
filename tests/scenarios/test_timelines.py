"""What people are told, and when, over weeks of a site's life."""

from __future__ import annotations

from pathlib import Path

from timeline import Timeline, epoch, history, timeline

from core.clock import ReplayClock, end_of
from core.events import ALERTS, ASSESSMENTS, StateUpdated
from core.watchdog import Heartbeats, Watchdog, folder_in
from tests.pipeline import box, day, events_of, make_site, state_differences


def still(number: int) -> float:
    return 0.0


def runs_away(after: int, mm_a_day: float = -3.0):
    """At rest until day `after`, then steadily away from the satellite."""
    return lambda number: mm_a_day * max(0, number - after)


def test_an_outage_of_ten_days_that_ends_at_red_is_told_at_once_and_says_how_late(
    tmp_path: Path,
) -> None:
    with timeline(tmp_path) as life:
        life.live(0, 60, still)
        life.want()
        moved = runs_away(48)
        missed = [epoch(n, moved(n))(life.scene) for n in (66, 72)]
        life.at(73, *missed)
        life.want()
        life.at(73, *life.catches_up(61, 72), hour=2)
        told = life.want("toe red", "head red")
        for message in told:
            assert message.arose in (day(66), day(72))
            assert message.late_days == (day(73) - message.arose).days
            assert "days late because" in message.reason or message.late_days == 1
        life.live(73, 76, moved)
        life.want()


def test_a_backfill_that_ends_above_blue_tells_that_level_once(tmp_path: Path) -> None:
    with timeline(tmp_path, watched_from=120) as life:
        moved = runs_away(60)
        life.clock.set(end_of(day(119)))
        life.say(history(life.scene, 0, 119, moved))
        for message in life.want("toe red", "head red"):
            assert "late because it arose before the site was watched" in message.reason
        life.live(120, 140, moved)
        life.want()


def test_a_backfill_of_watched_days_tells_only_where_it_ends(tmp_path: Path) -> None:
    with timeline(tmp_path, watched_from=60) as life:
        moved = runs_away(70)
        life.clock.set(end_of(day(119)))
        life.say(history(life.scene, 0, 119, moved, watched=60))
        for message in life.want("toe red", "head red"):
            assert message.late_days > 20
            assert "late" in message.reason


def test_blind_from_the_first_day_is_told_once_and_so_is_its_end(tmp_path: Path) -> None:
    with timeline(tmp_path) as life:
        for number in range(20):
            life.at(number + 1, life.closes(number))
        life.want("* blind")
        for number in range(20, 80):
            said = [epoch(number, 0.0)(life.scene)] if number % 6 == 0 else []
            life.at(number + 1, *said, life.closes(number))
        sent = life.want("* watched")
        assert "sees again" in sent[0].reason


def test_new_noise_folds_everything_anew_without_a_storm(tmp_path: Path) -> None:
    noise = {"rate_walk_mm2_d3": 3e-4, "atmosphere_sd_mm": 2.0}
    with (
        timeline(tmp_path / "changed") as life,
        timeline(tmp_path / "from-the-start", noise=noise) as other,
    ):
        for one in (life, other):
            moved = runs_away(30)
            one.live(0, 59, moved)
            assert {message.level for message in one.heard()[-2:]} == {"red"}
        new = make_site("dam", watched_from=day(0).isoformat(), noise=noise)
        life.at(60, lambda now: life.scene.configured(now, new), hour=2)
        life.want()
        for one in (life, other):
            one.live(60, 75, runs_away(30))
            one.want()
        assert differences(life, other) == set()


def differences(life: Timeline, other: Timeline) -> set[str]:
    """Where the filters of two lives differ; the lists of inputs rightly do."""
    found = state_differences(life.app.states, other.app.states, "dam")
    return {name for name in found if "/history/" in name or "/present/" in name}


def test_a_slope_unit_added_in_mid_life_is_watched_from_then_on(tmp_path: Path) -> None:
    with timeline(tmp_path) as life:
        life.live(0, 40, still)
        units = life.site.model_dump(mode="json")["slope_units"]
        crest = {"id": "crest", "polygon": box(110.08, 31.0, 110.1, 31.1), "flank_pixels": None}
        more = make_site("dam", watched_from=day(0).isoformat(), slope_units=[crest, *units])
        life.at(41, lambda now: life.scene.configured(now, more), hour=2)
        life.live(41, 78, runs_away(45))
        assert set(life.alerts.units) == {"toe", "head", "crest"}
        assert life.level("crest") == life.level("toe") == "red"


def test_another_reference_holds_for_the_past_as_well(tmp_path: Path) -> None:
    """The firm ground moves in truth: once the other box is named, the slope does not jump."""
    other = {"box": (110.0, 31.0, 110.005, 31.01)}
    with timeline(tmp_path / "a") as life, timeline(tmp_path / "b", reference=other) as right:
        for one in (life, right):
            one.live(0, 40, still)
        new = make_site("dam", watched_from=day(0).isoformat(), reference=other)
        life.at(41, lambda now: life.scene.configured(now, new), hour=2)
        for one in (life, right):
            one.live(41, 60, still)
        life.want()
        assert differences(life, right) == set()


def test_a_retired_site_is_silent(tmp_path: Path) -> None:
    with timeline(tmp_path) as life:
        life.live(0, 30, still)
        retired = life.scene.configured(end_of(day(30)))
        data = type(retired.data)(settings=retired.data.settings, retired=True)
        life.say([life.scene.event(data, end_of(day(30)), end_of(day(30)), "retired")])
        life.live(31, 60, runs_away(31, -10.0))
        life.want()


def test_a_site_whose_days_are_not_closed_wakes_the_watchdog(tmp_path: Path) -> None:
    told: list[str] = []
    with timeline(tmp_path) as life:
        clock: ReplayClock = life.clock
        watch = Watchdog(
            folder_in(life.app.service.data),
            Heartbeats(str(life.app.service.memory)),
            ["dam"],
            26.0,
            lambda site, sentence, heard: told.append(sentence),
            clock,
        )
        for number in range(3):
            life.at(number + 1, life.closes(number))
            life.app.heartbeat()
            watch.check()
        assert told == []
        for hour in (1, 2, 3, 4):
            life.at(4, epoch(3, 0.0)(life.scene), hour=hour)
            life.app.heartbeat()
            watch.check()
        assert len(told) == 1
        assert day(2).isoformat() in told[0]
        life.at(5, *life.catches_up(3, 4))
        life.app.heartbeat()
        watch.check()
        assert len(told) == 2
        assert "heard again" in told[1]


def test_every_day_closed_has_its_state_and_nothing_is_said_twice(tmp_path: Path) -> None:
    with timeline(tmp_path) as life:
        life.live(0, 24, still)
        said = events_of(life.app.log, ASSESSMENTS, "dam")
        days = [e.valid_time for e in said if isinstance(e.data, StateUpdated)]
        assert len([e for e in said if e.data.NAME == "day-closed"]) == 25
        assert len(days) == 25 + 5
        assert [e.number for e in said] == list(range(1, len(said) + 1))
        alerts = events_of(life.app.log, ALERTS, "dam")
        assert [e.number for e in alerts] == list(range(1, len(alerts) + 1))
