"""Workers of one service, told apart by their names."""

import os
import time
from pathlib import Path

import pytest
import yaml

from tools.engine.process import EngineError
from tools.engine.services import Role, slopewatch

SITE = {
    "name": "dam",
    "area": [110.0, 31.0, 110.1, 31.1],
    "reference": {"scene_median": True},
    "slope_units": [{"id": "u", "polygon": [[110.02, 31.02], [110.08, 31.02], [110.05, 31.08]]}],
}


@pytest.fixture
def environment(tmp_path: Path) -> dict[str, str]:
    (tmp_path / "sites").mkdir()
    (tmp_path / "sites" / "dam.yaml").write_text(yaml.safe_dump(SITE))
    settings = tmp_path / "settings.yaml"
    settings.write_text(yaml.safe_dump({"data": f"{tmp_path}/var", "sites": f"{tmp_path}/sites"}))
    return {**os.environ, "SLOPEWATCH_CONFIG": str(settings)}


def test_two_members_share_and_a_second_of_one_name_takes_the_firsts_place(tmp_path, environment):
    with (
        Role(tmp_path / "a", "alerting", "1", environment) as first,
        Role(tmp_path / "b", "alerting", "2", environment) as second,
    ):
        assert first.runs
        with Role(tmp_path / "c", "alerting", "1", environment) as third:
            deadline = time.monotonic() + 60
            while first.runs:
                assert time.monotonic() < deadline
                time.sleep(0.05)
            assert "another" in first.log.read_text()
            assert second.runs
            assert third.runs


def test_a_command_that_fails_is_told_with_its_own_sentence(tmp_path, environment):
    with pytest.raises(EngineError, match=r"slopewatch config show --site nowhere: .*nowhere"):
        slopewatch(environment, "config", "show", "--site", "nowhere")
    assert slopewatch(environment, "config", "check")
