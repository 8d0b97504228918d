"""A replay proves each stretch of the present release, and shows what other releases said."""

from __future__ import annotations

import json
import sqlite3
from collections.abc import Callable
from contextlib import closing
from pathlib import Path
from typing import Any

import pytest
from msgspec.structs import replace

from core.clock import ReplayClock, end_of
from core.errors import SlopewatchError
from core.eventlog import TopicSpec, open_log
from core.events import (
    ALERTS,
    ASSESSMENTS,
    DEAD_LETTERS,
    OBSERVATIONS,
    Event,
    ForecastIssued,
    ReleaseActivated,
    StateUpdated,
    decode,
    encode,
)
from core.ledger import upgrade
from core.settings import Service
from core.statestore import open_states
from services.commands._differences import differences
from services.commands._stretches import cut
from services.commands.replaying import replay_site
from services.compose import Slopewatch, shipped_table, this_release
from tests.pipeline import LATER, Scene, append, append_raw, day, make_site

SITE = "lian"
OLD = replace(this_release(), code="0.0.9")
DAYS = 60


@pytest.fixture
def service(tmp_path: Path) -> Service:
    return Service(data=tmp_path / "data").resolved()


def run(service: Service, *releases: tuple[int, ReleaseActivated], days: int = DAYS) -> Scene:
    """A season under releases that come into force on the given days."""
    with Slopewatch(service, roles=("inference", "alerting"), clock=ReplayClock(LATER)) as app:
        app.artifacts.put(shipped_table())
        scene = Scene(make_site(SITE), app.artifacts)
        story = scene.story(days, mm_a_day=-1.5)
        for number, release in releases:
            moment = end_of(day(number))
            at = next((i for i, e in enumerate(story) if e.available_at >= moment), 0)
            story.insert(at, scene.event(release, moment, moment, f"release/{number}"))
        said = [scene.configured(), *story]
        for part in said[: len(said) // 2], said[len(said) // 2 :]:
            append(app.log, OBSERVATIONS, part)
            app.settle()
        assert not any(worker.parked for worker in app.workers)
    return scene


def replayed(service: Service, into: str = "again") -> tuple[bool, str]:
    lines: list[str] = []
    proven = replay_site(service, SITE, service.data.parent / into, lines.append)
    return proven, "\n".join(lines)


def verdicts(said: str) -> list[str]:
    """The last column of the table."""
    lines = said.splitlines()
    heading = next(line for line in lines if line.split()[:1] == ["release"])
    rows = [line for line in lines if line[:1].isdigit()]
    return [row[heading.index("verdict") :] for row in rows]


def alter(service: Service, pick: Callable[[Event], bool], change: Callable[[Any], Any]) -> int:
    """Change what inference said then, in the log's file; the number of the first one changed."""
    path = str(service.log).removeprefix("sqlite://")
    with closing(sqlite3.connect(path)) as database, database:
        for row, value in database.execute("SELECT id, value FROM records ORDER BY id").fetchall():
            event = decode(value)
            if event.number is not None and event.source.endswith("inference") and pick(event):
                altered = encode(replace(event, data=change(event.data)))
                database.execute("UPDATE records SET value = ? WHERE id = ?", (altered, row))
                return event.number
    raise AssertionError("nothing to alter")


def moved(data: StateUpdated) -> StateUpdated:
    first, *others = data.units
    return replace(data, units=(replace(first, measured_points=99), *others))


def epoch_after(number: int) -> Callable[[Event], bool]:
    return lambda e: isinstance(e.data, StateUpdated) and e.valid_time >= end_of(day(number))


def test_one_release_is_equal(service: Service) -> None:
    run(service, (0, this_release()))
    proven, said = replayed(service)
    assert proven
    assert verdicts(said) == ["equal"]
    outcomes, decisions = (int(count) for count in said.splitlines()[2].split()[-3:-1])
    assert outcomes > DAYS
    assert decisions > 0
    assert said.endswith("state: equal; ledger: equal")
    assert f"{this_release().code} / {this_release().model}" in said


def test_a_site_whose_release_was_never_named_is_compared_all_the_same(service: Service) -> None:
    run(service)
    proven, said = replayed(service)
    assert proven
    assert verdicts(said) == ["equal"]
    assert "never named" in said


def test_two_releases_between_which_nothing_changed_are_equal(service: Service) -> None:
    run(service, (0, OLD), (30, this_release()))
    proven, said = replayed(service)
    assert proven
    assert verdicts(said) == ["equal", "equal"]
    first, second = (line.split() for line in said.splitlines() if line[:1].isdigit())
    assert first[1], second[1] == ("0.0.9", this_release().code)
    total = sum(int(line[line.index("equal") - 3]) for line in (first, second))
    assert f"replayed {total} observations" in said


def test_what_another_release_said_otherwise_is_shown_and_no_error(service: Service) -> None:
    run(service, (0, OLD), (30, this_release()))
    number = alter(service, epoch_after(10), moved)
    proven, said = replayed(service)
    assert proven
    assert verdicts(said) == ["other release: 1 difference", "equal"]
    line = next(line for line in said.splitlines() if line.startswith("stretch 1"))
    assert f"outcome {number} state-updated of 2022-01-12" in line
    assert "data.units[A44 toe].measured_points: then 99, now 3" in line
    assert "state: equal; ledger: equal" in said


def test_what_this_release_said_otherwise_is_an_error(service: Service) -> None:
    run(service, (0, OLD), (30, this_release()))
    alter(service, epoch_after(30), moved)
    proven, said = replayed(service)
    assert not proven
    assert verdicts(said) == ["equal", "differs (1)"]
    assert "stretch 2, outcome" in said


def test_after_a_stretch_that_differs_the_next_one_proves_nothing(service: Service) -> None:
    run(service, (0, OLD), (30, this_release()))
    alter(service, epoch_after(10), moved)
    alter(service, epoch_after(30), moved)
    proven, said = replayed(service)
    assert proven
    assert verdicts(said) == ["other release: 1 difference", "inherits (1)"]
    assert "its differences prove nothing" in said


def test_a_decision_of_this_release_must_be_equal_whatever_inference_inherits(
    service: Service,
) -> None:
    run(service, (0, OLD), (30, this_release()))
    alter(service, epoch_after(10), moved)
    with closing(sqlite3.connect(str(service.ledger).removeprefix("sqlite://"))) as database:
        last = database.execute("SELECT max(seq) FROM decision").fetchone()[0]
        changed = "replace(body, '\"historical\":false', '\"historical\":true')"
        database.execute(f"UPDATE decision SET body = {changed} WHERE seq = ?", (last,))
        database.commit()
    proven, said = replayed(service)
    assert not proven
    assert verdicts(said)[1] == "differs (1)"
    line = next(
        line for line in said.splitlines() if line.startswith(f"stretch 2, decision {last}:")
    )
    assert "facts.historical: then true, now false" in line


def test_a_chain_of_other_hashes_over_the_same_rows_is_an_error(service: Service) -> None:
    run(service, (0, this_release()))
    with closing(sqlite3.connect(str(service.ledger).removeprefix("sqlite://"))) as database:
        database.execute(
            "UPDATE decision SET hash = 'ff' WHERE seq = (SELECT max(seq) FROM decision)"
        )
        database.commit()
    proven, said = replayed(service)
    assert not proven
    assert "slopewatch ledger verify" in said


def test_an_outcome_that_is_missing_on_the_log_is_a_difference(service: Service) -> None:
    run(service, (0, this_release()))
    path = str(service.log).removeprefix("sqlite://")
    with closing(sqlite3.connect(path)) as database:
        rows = database.execute("SELECT id, value FROM records ORDER BY id").fetchall()
        lost = next(i for i, v in rows if isinstance(decode(v).data, ForecastIssued))
        database.execute("UPDATE records SET value = ? WHERE id = ?", (b"{}", lost))
        database.commit()
    proven, said = replayed(service)
    assert not proven
    assert "then nothing, now" in said


def test_what_the_services_have_not_read_yet_is_no_difference(service: Service) -> None:
    scene = run(service, (0, this_release()))
    with Slopewatch(service, roles=(), clock=ReplayClock(LATER)) as app:
        append(app.log, OBSERVATIONS, [scene.epoch(DAYS, -30.0), scene.closed(DAYS)])
    proven, said = replayed(service)
    assert proven
    assert said.endswith("state: equal; ledger: equal")


def test_a_state_that_a_service_holds_is_left_alone_and_said_so(service: Service) -> None:
    scene = run(service, (0, this_release()))
    with closing(open_states(str(service.state))):
        with Slopewatch(service, roles=(), clock=ReplayClock(LATER)) as app:
            append(app.log, OBSERVATIONS, [scene.closed(DAYS)])
        proven, said = replayed(service)
    assert proven
    assert "the state was not compared" in said
    assert "is held by process" in said
    assert said.endswith("state: not compared; ledger: equal")


def test_on_kafka_postgresql_and_s3_a_replay_reads_beside_the_services(
    service: Service, kafka_url: str, postgres_url: str, s3_url: str
) -> None:
    upgrade(postgres_url)
    addresses = {"log": kafka_url, "ledger": postgres_url, "state": s3_url}
    service = service.model_copy(update=addresses)
    with closing(open_log(kafka_url)) as log:
        log.create_topics([TopicSpec(t) for t in (OBSERVATIONS, ASSESSMENTS, ALERTS, DEAD_LETTERS)])
    run(service, (0, OLD), (30, this_release()))
    with closing(open_states(str(service.state))) as states, closing(states.open(SITE)):
        proven, said = replayed(service)
    assert proven
    assert verdicts(said) == ["equal", "equal"]
    assert said.endswith("state: equal; ledger: equal")


def test_nothing_that_stands_is_changed(service: Service) -> None:
    run(service, (0, this_release()))
    before = contents(service.data)
    replayed(service)
    assert contents(service.data) == before


def contents(folder: Path) -> dict[str, bytes]:
    """All files but those that a database makes and removes beside itself, and the lock."""
    beside = ("-wal", "-shm", ".lock")
    return {
        str(path.relative_to(folder)): path.read_bytes()
        for path in folder.rglob("*")
        if path.is_file() and not path.name.endswith(beside)
    }


def test_a_site_that_cannot_be_read_further_is_one_sentence(service: Service) -> None:
    scene = run(service, (0, this_release()))
    newer = json.loads(encode(scene.rain(DAYS, 1.0)))
    newer["type"] = newer["type"].replace(".v1", ".v9")
    with Slopewatch(service, roles=(), clock=ReplayClock(LATER)) as app:
        append_raw(app.log, OBSERVATIONS, SITE, json.dumps(newer).encode())
    with (
        closing(open_states(str(service.state))),
        pytest.raises(
            SlopewatchError, match=r"inference of lian cannot be replayed further: .*version 9"
        ),
    ):
        replayed(service)


def test_a_folder_that_is_in_use_and_a_site_that_is_not_there(service: Service) -> None:
    run(service, (0, this_release()), days=3)
    with pytest.raises(SlopewatchError, match="no events of site 'nowhere'"):
        replay_site(service, "nowhere", service.data.parent / "again", print)
    assert not (service.data.parent / "again").exists()
    with pytest.raises(SlopewatchError, match="is not empty: name a new folder"):
        replay_site(service, SITE, service.data, print)


def test_a_release_named_twice_in_a_row_is_one_stretch() -> None:
    releases = [None, OLD, None, OLD, this_release(), None, OLD]
    parts = cut(enumerate(releases), lambda item: item[1])
    assert [part.release for part in parts] == [OLD, this_release(), OLD]
    assert [[i for i, _ in part.items] for part in parts] == [[0, 1, 2, 3], [4, 5], [6]]


def test_differences_name_the_field_and_the_member() -> None:
    then = {"units": [{"unit": "toe", "v": 1}, {"unit": "head", "v": 2}], "n": None, "same": [1]}
    now = {"units": [{"unit": "head", "v": 2.5}, {"unit": "toe", "v": 1}], "same": [1]}
    assert list(map(str, differences(then, now))) == [
        "units[head].v: then 2, now 2.5",
        "n: then null, now nothing",
    ]
    assert list(map(str, differences({"a": [1, 2]}, {"a": [1]}))) == ["a[1]: then 2, now nothing"]
