"""The tables for dashboards from the command line."""

from __future__ import annotations

from contextlib import closing
from pathlib import Path

import pytest
from sqlalchemy import update

from core.clock import ReplayClock
from core.errors import SlopewatchError
from core.events import OBSERVATIONS
from core.settings import Service
from services.commands.projecting import rebuild, upgrade
from services.compose import ALL, Slopewatch
from services.projector.projection import Projection
from services.projector.schema import SCHEMA, VERSION
from tests.pipeline import LATER, Scene, append, append_raw, make_site


@pytest.fixture
def service(tmp_path: Path) -> Service:
    return Service(data=tmp_path / "var").resolved()


def _live(service: Service) -> None:
    """A few days in all services at once."""
    with Slopewatch(service, roles=ALL, clock=ReplayClock(LATER)) as app:
        scene = Scene(make_site("ridge"), app.artifacts)
        append(app.log, OBSERVATIONS, [scene.configured(), *scene.story(3)])
        app.settle()


def test_one_process_fills_a_file_beside_its_other_stores(service: Service) -> None:
    _live(service)
    assert service.projection == f"sqlite://{service.data}/projection.db"
    with closing(Projection(service.projection)) as projection:
        counts = projection.counts()
    assert {"rain": 3, "closed_days": 3, "motion": 2, "sites": 1}.items() <= counts.items()


def test_a_rebuild_reads_the_log_again(service: Service) -> None:
    _live(service)
    said: list[str] = []
    with closing(Projection(str(service.projection))) as projection:
        before = projection.counts()
        rebuild(service, said.append)
        assert projection.counts() == before
        assert said == [f"{count:10,d}  {name}" for name, count in before.items()]
        projection.reset()
        assert not any(projection.counts().values())
        rebuild(service, said.append)
        assert projection.counts() == before


def test_a_rebuild_says_which_site_stands_still(service: Service) -> None:
    _live(service)
    with Slopewatch(service, roles=(), clock=ReplayClock(LATER)) as app:
        newer = b'{"type":"org.slopewatch.rainfall-observed.v9","specversion":"1.0","id":"n",'
        newer += b'"source":"x","subject":"ridge","time":"2022-01-09T00:00:00Z","data":{},'
        newer += b'"validtime":"2022-01-09T00:00:00Z","processedtime":"2022-01-09T00:00:00Z"}'
        append_raw(app.log, OBSERVATIONS, "ridge", newer)
    with pytest.raises(SlopewatchError, match=r"site ridge could not .* upgrade slopewatch"):
        rebuild(service, lambda _: None)


def test_an_upgrade_makes_the_tables_and_makes_older_ones_anew(service: Service) -> None:
    service.data.mkdir()
    said: list[str] = []
    upgrade(service, said.append)
    upgrade(service, said.append)
    with (
        closing(Projection(str(service.projection))) as projection,
        projection._ready().write() as connection,
    ):
        connection.execute(update(VERSION).values(version=0))
    upgrade(service, said.append)
    assert said == [
        f"the projection had no tables and has schema {SCHEMA}",
        f"the projection has schema {SCHEMA} already",
        f"the projection had schema 0 and has {SCHEMA}: it is empty until the projector has read "
        "the log again",
    ]
