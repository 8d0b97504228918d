"""One scratch folder for all commands of the documentation that a worker runs."""

from __future__ import annotations

from pathlib import Path

import pytest
import yaml

from tests.docs.scratch import called, first_hour_site, in_folder
from tests.pipeline import make_site
from tests.services.commands.alert_season import SITE, live

HISTORY_D = 60
"""Days of record that the quick form takes in; the slow one takes three years, as a reader does."""


@pytest.fixture(scope="session")
def scratch(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """`watched`: the first hour's site with its history; `alerted`: a season with alerts."""
    folder = tmp_path_factory.mktemp("docs")
    watched, alerted = folder / "watched", folder / "alerted"
    watched.mkdir()

    def take_in() -> None:
        first_hour_site(watched, HISTORY_D)
        called("ingest", "backfill", "--site", "my-slope")

    in_folder(watched, take_in)
    live(alerted / "var")
    (alerted / "sites").mkdir()
    site = make_site(SITE).model_dump(mode="json", exclude_none=True)
    (alerted / "sites" / f"{SITE}.yaml").write_text(yaml.safe_dump(site), encoding="utf-8")
    return folder
