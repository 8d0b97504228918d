"""The report is read beside the services that hold the stores."""

from __future__ import annotations

from pathlib import Path

import yaml

from core.clock import ReplayClock
from core.events import OBSERVATIONS
from core.settings import Service
from services.commands.reporting import report_site
from services.compose import Slopewatch
from tests.pipeline import LATER, Scene, append, make_site


def test_a_site_is_reported_while_inference_holds_its_state(tmp_path: Path) -> None:
    site = make_site("dam")
    (tmp_path / "sites").mkdir()
    tree = site.model_dump(mode="json", exclude_none=True)
    (tmp_path / "sites/dam.yaml").write_text(yaml.safe_dump(tree), encoding="utf-8")
    service = Service(data=tmp_path / "var", sites=tmp_path / "sites").resolved()
    said: list[str] = []
    page = tmp_path / "page.html"
    roles = ("inference", "alerting")
    with Slopewatch(service, roles=roles, clock=ReplayClock(LATER), member="1") as app:
        scene = Scene(site, app.artifacts)
        epochs = [scene.epoch(number, -number) for number in (0, 12)]
        append(app.log, OBSERVATIONS, [scene.configured(), *epochs, scene.closed(12)])
        app.settle()
        report_site(service, "dam", page, said.append)
        assert app.settle() == 0, "the report has read in the place of the workers"
    assert any("track A44: 2 epochs" in line for line in said)
    assert any(line.startswith("toe: blue, ") for line in said)
    assert "dam" in page.read_text(encoding="utf-8")
