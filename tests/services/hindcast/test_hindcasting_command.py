"""`slopewatch hindcast` on a site's own archive and ledger."""

from __future__ import annotations

from pathlib import Path

import pytest

from core.clock import ReplayClock
from core.errors import SlopewatchError
from core.events import OBSERVATIONS
from core.settings import Service, site_bytes
from services.commands.hindcasting import hindcast_site
from services.compose import Slopewatch, shipped_table
from tests.pipeline import LATER, Scene, append, day, make_site

DAYS = 168


@pytest.fixture(scope="module")
def service(tmp_path_factory: pytest.TempPathFactory) -> Service:
    """A season of a site that speeds up, taken in by the services."""
    folder = tmp_path_factory.mktemp("hindcast")
    service = Service(data=folder / "data", sites=folder / "sites").resolved()
    service.sites.mkdir()
    site = make_site("lian", title="Lian hill")
    (service.sites / "lian.yaml").write_bytes(site_bytes(site))
    with Slopewatch(service, roles=("inference", "alerting"), clock=ReplayClock(LATER)) as app:
        app.artifacts.put(shipped_table())
        scene = Scene(site, app.artifacts)
        append(app.log, OBSERVATIONS, [scene.configured(), *scene.story(DAYS, mm_a_day=-0.1)])
        app.settle()
        assert not any(worker.parked for worker in app.workers)
    return service


def test_the_report_holds_both_tracks_and_the_ledgers_alerts(
    service: Service, tmp_path: Path
) -> None:
    out, lines = tmp_path / "lian.html", list[str]()
    hindcast_site(service, "lian", day(140), day(DAYS - 1), out, lines.append)
    page = out.read_text(encoding="utf-8")
    assert "Track A44: what the forecasts were worth" in page
    assert "Track D120: what the forecasts were worth" in page
    assert "Simulated slope:" in page
    assert "blue → " in page
    assert "velocity" in page.split("What would have been alerted")[1]
    assert f"hindcast of Lian hill, {day(140)} to {day(DAYS - 1)}: {out}" in lines


def test_days_without_acquisitions_and_unknown_folders_are_refused(
    service: Service, tmp_path: Path
) -> None:
    out = tmp_path / "lian.html"
    with pytest.raises(SlopewatchError, match="no track with 10 epochs"):
        hindcast_site(service, "lian", day(10), day(40), out, print)
    with pytest.raises(SlopewatchError, match="the last day comes first"):
        hindcast_site(service, "lian", day(40), day(10), out, print)
    with pytest.raises(SlopewatchError, match="is not a folder"):
        hindcast_site(service, "lian", day(40), day(90), tmp_path / "no" / "x.html", print)
    assert not out.exists()


def test_a_site_without_state_says_how_to_get_one(service: Service, tmp_path: Path) -> None:
    (service.sites / "other.yaml").write_bytes(site_bytes(make_site("other")))
    with pytest.raises(SlopewatchError, match="slopewatch ingest backfill --site other"):
        hindcast_site(service, "other", day(40), day(90), tmp_path / "x.html", print)
