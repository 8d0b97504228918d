"""What every database must do as a projection's; a test class a database inherits from this."""

from __future__ import annotations

import random
from contextlib import closing
from datetime import UTC, datetime, timedelta

import pytest
from sqlalchemy import insert, update

from core.errors import ConflictError, NewerVersionError, SettingsError
from core.stage import Bookmark
from services.projector import schema_version
from services.projector.changes import Projected, Put
from services.projector.drivers import Drivers, Memory
from services.projector.projection import Projection
from services.projector.schema import RAIN, SCHEMA, VERSION, tables_of
from services.projector.store import ProjectionSite
from tests.pipeline import Bench, day
from tests.services.projector.looking import Looking, Rows, look, named, rows

NOW = datetime(2024, 5, 1, 12, 30, 15, 123456, tzinfo=UTC)


def _place(seq: int, log_id: str = "a") -> Bookmark:
    return Bookmark(log_id=log_id, partition=0, offset=seq, seq=seq, taken=0, given=0, now=NOW)


def _rain(number: int, mm: float) -> Projected[Memory]:
    row = {"site": "ridge", "day": day(number), "station": "g1", "feed": "gauge", "rain_mm": mm}
    return Projected(Memory(configured=True), (Put(RAIN, {**row, "available_at": NOW}),))


def _site(projection: Projection, log_id: str = "a") -> ProjectionSite[Memory]:
    return projection.site(Drivers.name, tables_of("drivers"), log_id, "ridge", Memory)


class ProjectionContract:
    batch = 7
    """Records a step, where the season is cut."""

    @pytest.fixture
    def url(self) -> str:
        raise NotImplementedError

    def test_a_season_cut_into_batches_gives_the_same_rows_as_whole(
        self, url: str, bench: Bench, whole: Rows
    ) -> None:
        assert look(url, bench, batch=self.batch) == whole
        assert all(whole.values()), f"no row in {[name for name, one in whole.items() if not one]}"

    def test_reading_again_after_a_reset_gives_the_same_rows(
        self, url: str, bench: Bench, whole: Rows
    ) -> None:
        look(url, bench)
        with closing(Projection(url)) as projection:
            projection.reset()
        assert not any(rows(url).values())
        assert look(url, bench) == whole

    def test_whoever_is_killed_anywhere_writes_nothing_twice(
        self, url: str, bench: Bench, whole: Rows, monkeypatch: pytest.MonkeyPatch
    ) -> None:
        chance, commit = random.Random(7), ProjectionSite.commit

        def die(*args: object) -> object:
            if chance.random() < 0.3:
                raise KeyboardInterrupt
            done = commit(*args)  # type: ignore[arg-type]
            if chance.random() < 0.3:
                raise KeyboardInterrupt
            return done

        monkeypatch.setattr(ProjectionSite, "commit", die)
        deaths = 0
        for life in range(100):
            with Looking(url, bench.log, bench.artifacts, batch=40, member=str(life)) as looking:
                try:
                    looking.drain()
                except KeyboardInterrupt:
                    deaths += 1
                    continue
                break
        assert deaths > 5
        assert rows(url) == whole

    def test_a_reset_under_a_running_worker_is_noticed_at_the_next_input(
        self, url: str, bench: Bench, whole: Rows
    ) -> None:
        with closing(Projection(url)) as projection:
            site = _site(projection)
            site.open()
            site.commit(_rain(1, 5.0), _place(1), ["one"], ())
            assert site.seen("one")
            assert not site.seen("two")
            projection.reset()
            with pytest.raises(ConflictError, match="or the projection was emptied"):
                site.seen("one")
            with pytest.raises(ConflictError, match="or the projection was emptied"):
                site.commit(_rain(2, 5.0), _place(2), ["two"], ())
            assert projection.counts()["rain"] == 0
            held = site.open()
            assert held.bookmark is None
            assert not held.state.memory.configured
            site.commit(_rain(3, 6.0), _place(1), ["one"], ())
            assert [row.rain_mm for row in named(url, "rain")] == [6.0]

    def test_of_two_holders_one_commits(self, url: str) -> None:
        with closing(Projection(url)) as projection:
            first, second = _site(projection), _site(projection)
            first.open(), second.open()
            first.commit(_rain(1, 5.0), _place(1), ["one"], ())
            with pytest.raises(ConflictError):
                second.commit(_rain(1, 9.0), _place(1), ["one"], ())
            assert second.open().bookmark == _place(1)
            second.commit(_rain(1, 7.0), _place(2), ["two"], ())
            with pytest.raises(ConflictError):
                first.commit(_rain(1, 9.0), _place(2), ["two"], ())
            assert [row.rain_mm for row in named(url, "rain")] == [7.0]

    def test_rows_of_another_log_are_made_anew(self, url: str) -> None:
        with closing(Projection(url)) as projection:
            site = _site(projection)
            site.open()
            site.commit(_rain(1, 5.0), _place(9), ["one"], ())
            moved = _site(projection, log_id="b")
            held = moved.open()
            assert held.bookmark is None
            assert not moved.seen("one")
            changes = (*held.state.changes, *_rain(2, 6.0).changes)
            state = Projected(Memory(configured=True), changes)
            moved.commit(state, _place(1, "b"), ["one"], ())
            assert [(row.day, row.rain_mm) for row in named(url, "rain")] == [(day(2), 6.0)]
            assert moved.seen("one")

    def test_times_come_back_as_they_were(self, url: str) -> None:
        with closing(Projection(url)) as projection:
            site = _site(projection)
            site.open()
            site.commit(_rain(1, 5.0), _place(1), ["one"], ())
            assert site.open().bookmark == _place(1)
        (row,) = named(url, "rain")
        assert row.available_at == NOW
        assert row.available_at.utcoffset() == timedelta(0)

    def test_tables_of_an_older_release_are_made_anew(self, url: str, whole: Rows) -> None:
        with closing(Projection(url)) as projection:
            assert projection.upgrade() == (None, SCHEMA)
            site = _site(projection)
            site.open()
            site.commit(_rain(1, 5.0), _place(1), ["one"], ())
            with projection._ready().write() as connection:
                connection.execute(update(VERSION).values(version=SCHEMA - 1))
        with closing(Projection(url)) as projection:
            assert projection.sites(Drivers.name) == []
            assert projection.counts() == dict.fromkeys(whole, 0)
            assert projection.upgrade() == (SCHEMA, SCHEMA)

    def test_tables_of_a_newer_release_are_left_alone(self, url: str) -> None:
        with closing(Projection(url)) as projection:
            site = _site(projection)
            site.open()
            with projection._ready().write() as connection:
                connection.execute(update(VERSION).values(version=SCHEMA + 1))
            for use in (site.open, lambda: site.commit(_rain(1, 5.0), _place(1), ["one"], ())):
                with pytest.raises(NewerVersionError, match="upgrade slopewatch"):
                    use()
            assert projection.counts()["rain"] == 0
        with closing(Projection(url)) as projection, pytest.raises(NewerVersionError):
            projection.sites(Drivers.name)
        with pytest.raises(NewerVersionError, match=f"has schema {SCHEMA + 1}"):
            schema_version.upgrade(url)

    def test_tables_of_something_else_are_not_touched(self, url: str) -> None:
        with closing(schema_version.Database(url, schema_version.PROJECTION)) as database:
            with database.write() as connection:
                RAIN.create(connection)
                row = _rain(1, 5.0).changes[0].row  # type: ignore[union-attr]
                connection.execute(insert(RAIN), dict(row))
            with pytest.raises(SettingsError, match=r"of its own|not a projection"):
                schema_version.upgrade(url)
            with database.read() as connection:
                assert connection.execute(RAIN.select()).one().rain_mm == 5.0
