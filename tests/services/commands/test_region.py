"""The region's list: e-values are valid ones, few named are false, nobody unseen is left out."""

from __future__ import annotations

import itertools
import json
from collections.abc import Mapping
from contextlib import closing
from dataclasses import replace
from datetime import UTC, date, datetime
from pathlib import Path
from typing import Any

import msgspec
import numpy as np
import pytest
import typer.testing

from core.clock import ReplayClock, midnight
from core.errors import BadInputError
from core.events import OBSERVATIONS, Vote
from core.ledger import open_ledger
from core.online_fdr import weights
from core.settings import Service
from core.stage import Bookmark
from services import cli
from services.alerting.rules.edetector import NAME, detector
from services.alerting.state import (
    STATE_VERSION,
    Sight,
    SiteAlerts,
    UnitAlert,
    decode_state,
    encode_state,
)
from services.commands.region import Region, evidence_of, ranked, show_region
from services.compose import Slopewatch, shipped_table, this_release
from tests.pipeline import (
    LATER,
    POINTS,
    START,
    VELOCITY_RULE,
    Scene,
    append,
    day,
    make_site,
)
from tests.services.commands.alert_season import SITE, verified

Q = 0.1
EPOCH = date(2024, 3, 3)


def vote(log10_run_length: float | None, usable: int, track: str = "A44") -> Vote:
    known = log10_run_length is not None
    figures = {"log10_run_length_epochs": log10_run_length, "usable_epochs": float(usable)}
    return Vote(
        rule=NAME,
        track=track,
        level="blue",
        calibrated=known,
        reason="not past 4" if known else f"not calibrated: {usable} of 30 epochs",
        figures={name: value for name, value in figures.items() if value is not None and known},
    )


def sight(los_factor: float | None = -0.6, epoch: date = EPOCH) -> Sight:
    return Sight(epoch=epoch, measured=epoch, out_of_range=False, los_factor=los_factor)


def unit(e_value: float | None, epoch: date = EPOCH, **changes: Any) -> UnitAlert:
    """A watched unit with this e-value, to the three digits that the vote's figure leaves."""
    figure = None if e_value is None else float(np.log10(e_value * 40)) + 0.005
    fields: dict[str, Any] = {
        "votes": {"A44": (vote(figure, 40),)},
        "sights": {"A44": sight(epoch=epoch)},
        "coverage_reason": "track A44 last measured the unit on 3 March 2024",
    }
    return UnitAlert(**(fields | changes))


def names(units: tuple[Any, ...]) -> list[str]:
    return [f"{one.site}.{one.unit}" for one in units]


# What the e-value of a unit is


def test_it_is_run_length_over_epochs_a_side_and_the_mean_over_tracks() -> None:
    low = 10**-0.005
    seen = unit(1, votes={"A": (vote(4.0, 40),)}, sights={"A": sight()})
    assert evidence_of(seen).e_value == pytest.approx(1e4 / 40 * low)
    for factor in (None, 0.1, -0.19):
        across = msgspec.structs.replace(seen, sights={"A": sight(factor)})
        assert evidence_of(across).e_value == pytest.approx(1e4 / 80 * low), factor
    both = unit(
        1,
        votes={"A": (vote(4.0, 40),), "D": (vote(2.0, 50), vote(None, 3))},
        sights={"A": sight(), "D": sight(epoch=date(2024, 3, 9))},
    )
    assert evidence_of(both).e_value == pytest.approx((1e4 / 40 + 1e2 / 50) / 2 * low)
    assert evidence_of(both).epoch == date(2024, 3, 9)


def test_a_unit_without_a_figure_says_why() -> None:
    young = evidence_of(unit(None, votes={"A44": (vote(None, 8),)}))
    assert young == (None, EPOCH, "A44: not calibrated: 8 of 30 epochs")
    assert evidence_of(UnitAlert()) == (None, None, "no vote of the rule edetector")


def test_over_every_path_of_a_small_world_its_mean_is_at_most_one() -> None:
    """z of -sqrt 3, 0, 0, 0, 0 or sqrt 3: exp(d z - d^2 / 2) has a mean of at most 1, as of a
    normal z. All 3^8 paths with their chances, so no luck is in it."""
    steps, chances = np.sqrt(3.0) * np.array([-1.0, 0.0, 1.0]), np.array([1, 4, 1]) / 6
    paths = np.array(list(itertools.product(steps, repeat=8)))[..., np.newaxis]
    chance = np.array([np.prod(row) for row in itertools.product(chances, repeat=8)])
    up, down = detector(paths)[:, -1, 0], detector(-paths)[:, -1, 0]
    assert 0.5 < chance @ up / 8 <= 1
    assert 1 < chance @ np.maximum(up, down) / 8 <= 2, "of both sides more than 1, at most 2"
    assert chance @ detector(1.3 * paths)[:, -1, 0] / 8 > 1, "what is not standard is no e-value"


def shares(z: np.ndarray, changed: np.ndarray) -> tuple[float, float]:
    """Of lists (list, epoch, unit): mean share of false among the named, and of changed found."""
    false, found = [], []
    for row in np.round(np.log10(detector(z)[:, -1]), 2):
        units = {
            f"u{i:02}": unit(1, votes={"A44": (vote(float(value), z.shape[1]),)})
            for i, value in enumerate(row)
        }
        listed = ranked({"hill": SiteAlerts(units=units)}, "blue", Q).named
        named = [int(one.unit[1:]) for one in listed]
        false.append(np.sum(~changed[named]) / max(1, len(named)))
        found.append(np.sum(changed[named]) / max(1, changed.sum()))
    return float(np.mean(false)), float(np.mean(found))


@pytest.mark.parametrize("shared", [0.0, 0.5])
def test_few_of_the_named_are_false_however_units_hang_together(shared: float) -> None:
    random = np.random.default_rng(6)
    lists, epochs, units = 200, 40, 24
    common = np.sqrt(shared) * random.normal(size=(lists, epochs, 1))
    z = common + np.sqrt(1 - shared) * random.normal(size=(lists, epochs, units))
    calm = np.zeros(units, dtype=bool)
    assert shares(z, calm)[0] <= Q, "where nothing changed, all that is named is false"
    changed = np.arange(units) % 4 == 1
    z[:, -12:, changed] += 2.0
    false, found = shares(z, changed)
    assert false <= Q
    assert found > 0.5


# How they are ranked


def region(level: Any = "yellow", **changes: UnitAlert) -> Region:
    units = {
        "calm": unit(0.5),
        "loud": unit(1e6, date(2024, 3, 1)),
        "louder": unit(1e8, date(2024, 3, 2), level="yellow"),
        "slow": unit(2.0, level="orange"),
        "faint": unit(1.0, level="orange"),
        "gone": unit(1e7, level="red", coverage="blind", coverage_reason="no pass seen"),
        "young": unit(None, coverage="stale", level="yellow"),
    }
    hill = SiteAlerts(units=units | changes)
    ridge = SiteAlerts(units={"far": unit(3.0, coverage="out of range")})
    old = SiteAlerts(units={"left": unit(1e9)}, retired=True)
    return ranked({"hill": hill, "old": old, "ridge": ridge, "void": SiteAlerts()}, level, Q)


def test_unseen_units_come_first_then_named_ones_then_the_others() -> None:
    found = region()
    assert names(found.not_seen) == ["hill.gone", "ridge.far"]
    assert found.not_seen[0].named, "tested like any other"
    assert names(found.named) == ["hill.louder", "hill.loud"]
    assert names(found.others) == ["hill.slow", "hill.faint", "hill.young"]
    assert (found.below, found.tested) == (1, 7)
    assert (found.retired, found.without_units) == (("old",), ("void",))


def test_what_is_shown_does_not_change_what_is_named() -> None:
    low, high = region("blue"), region("red")
    assert low.named == high.named
    assert low.not_seen == high.not_seen
    assert names(low.others)[-1] == "hill.calm"
    assert (low.below, high.others, high.below) == (0, (), 4)


def test_units_are_tested_by_epoch_then_name_whatever_they_show() -> None:
    weight = weights(7)
    found = region("blue")
    limits = {one.unit: one.named_from for one in (*found.not_seen, *found.named, *found.others)}
    order = ["loud", "louder", "calm", "faint", "gone", "slow", "far"]
    before = [0, 1, 2, 2, 2, 3, 3]
    for place, (name, named) in enumerate(zip(order, before, strict=True)):
        assert limits[name] == pytest.approx(1 / (Q * weight[place] * (1 + named))), name
    assert limits["young"] is None
    quiet = region("blue", loud=unit(0.1, date(2024, 3, 1)))
    first = next(one for one in quiet.others if one.unit == "loud")
    assert first.named_from == limits["loud"]


@pytest.mark.parametrize("q", [0.0, 1.0, float("nan")])
def test_a_share_that_is_none_is_refused(q: float) -> None:
    with pytest.raises(BadInputError, match="false discovery rate q is between 0 and 1"):
        ranked({}, "yellow", q)


# The command


@pytest.fixture(scope="module")
def moved(tmp_path_factory: pytest.TempPathFactory) -> Service:
    """A lived ledger: the toe begins to run on day 150, the head stands still."""
    service = Service(data=tmp_path_factory.mktemp("moved")).resolved()
    with Slopewatch(service, roles=("inference", "alerting"), clock=ReplayClock(LATER)) as app:
        app.artifacts.put(shipped_table())
        rules = [VELOCITY_RULE, {"kind": NAME}]
        scene = Scene(make_site(SITE, rules=rules), app.artifacts)
        said = [
            scene.configured(),
            scene.event(this_release(), midnight(START), midnight(START), "release"),
        ]
        for number in range(0, 240, 6):
            toe = np.where(np.arange(POINTS) < 5, -0.02 * max(0, number - 150) ** 2, 0.0)
            said += [scene.found(number), scene.epoch(number, toe)]
        append(app.log, OBSERVATIONS, said)
        app.settle()
    return service


def shown(service: Service, level: Any = "yellow", *, as_json: bool = False) -> list[str]:
    lines: list[str] = []
    show_region(service, level, Q, as_json, lines.append)
    return lines


def whole(service: Service) -> Mapping[str, Any]:
    with closing(open_ledger(str(service.ledger))) as ledger:
        return {
            site: (ledger.state(site), ledger.decisions(site), ledger.notifications(site))
            for site in ledger.sites()
        }


def test_what_began_to_run_is_named_and_what_stands_is_not(moved: Service) -> None:
    before = whole(moved)
    lines = shown(moved, "blue")
    place = lines.index("named, strongest evidence first: 1")
    toe = lines[place + 2].split()
    assert (toe[:2], toe[5], toe[6]) == ([SITE, "toe"], "named", str(day(234)))
    assert float(toe[4]) > 1 / (Q * weights(2)[1])
    state = decode_state(before[SITE][0].state).units["toe"]
    assert state.case is not None
    assert state.level != "blue"
    assert (toe[2], toe[7]) == (state.level, state.case.id)
    head = lines[lines.index("not named, blue and above, highest level first: 1") + 2].split()
    assert (head[1], head[2], head[5]) == ("head", "blue", "no")
    assert "on average at most 10 % have not changed" in lines[-2]
    assert lines[-1] == "this ranks only: it changes no level and tells nobody"
    assert whole(moved) == before
    assert verified(moved)[0]


def test_as_json_it_says_the_same(moved: Service) -> None:
    found = json.loads("\n".join(shown(moved, as_json=True)))
    assert (found["q"], found["level"], found["tested"]) == (Q, "yellow", 2)
    (toe,) = found["named"]
    assert (toe["unit"], toe["epoch"], toe["named"]) == ("toe", str(day(234)), True)
    assert toe["e_value"] >= toe["named_from"]
    assert (found["others"], found["below"]) == ([], 1)


def test_a_site_without_the_rule_is_listed_and_says_so(alerted: Service) -> None:
    lines = shown(alerted)
    start = lines.index("not named, yellow and above, highest level first: 2")
    for line, name in zip(lines[start + 2 : start + 4], ("head", "toe"), strict=True):
        assert line.split()[:5] == [SITE, name, "yellow", "watched", "-"]
        assert f"{SITE}.{name}." in line
        assert line.endswith("no vote of the rule edetector")
        assert "not tested" in line
    assert lines[-2].startswith("0 units tested")


def test_a_blind_unit_stands_on_top_with_its_reason(tmp_path: Path) -> None:
    service = Service(data=tmp_path).resolved()
    units = {"dark": unit(2.0, coverage="blind", coverage_reason="no pass seen", level="orange")}
    with closing(open_ledger(str(service.ledger))) as ledger:
        store = ledger.site("hill", STATE_VERSION)
        now = datetime(2024, 3, 4, tzinfo=UTC)
        held = store.open().state.decide("hill", 1, now, {})
        state = replace(held, state=encode_state(SiteAlerts(units=units)))
        mark = Bookmark(log_id="l", partition=0, offset=1, seq=1, taken=1, given=0, now=now)
        store.commit(state, mark, [], [])
    lines = shown(service)
    assert lines[0] == "not seen, and silence is not safety: 1"
    assert lines[2].split()[:4] == ["hill", "dark", "orange", "blind"]
    assert "hill.dark " in lines[2]
    assert lines[2].endswith("no pass seen")


def test_an_empty_ledger_says_so_in_one_sentence(tmp_path: Path) -> None:
    service = Service(data=tmp_path).resolved()
    assert shown(service) == [
        "the ledger has no site yet: nothing is watched, so there is nothing to rank"
    ]
    found = json.loads("\n".join(shown(service, as_json=True)))
    assert (found["tested"], found["not_seen"], found["named"], found["others"]) == (0, [], [], [])


def test_it_is_a_command(moved: Service, tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.chdir(tmp_path)
    runner = typer.testing.CliRunner()
    config = tmp_path / "service.yaml"
    config.write_text(f"data: {moved.data}\n")
    call = ["--config", str(config), "alerts", "region", "--level", "red", "--q", "0.01"]
    result = runner.invoke(cli.app, call)
    assert result.exit_code == 0, result.output
    assert "not named, red and above" in result.output
    assert "named at q = 0.01" in result.output
    assert "on average at most 1 %" in result.output
    wrong = runner.invoke(cli.app, [*call[:-1], "1.5"])
    assert isinstance(wrong.exception, BadInputError)
    assert "between 0 and 1, got 1.5" in str(wrong.exception)
