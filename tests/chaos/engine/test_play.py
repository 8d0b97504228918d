"""The short form of `make chaos`: every kind of fault once or more, on the real engines."""

from __future__ import annotations

from pathlib import Path

import pytest

from tests.chaos.engine.play import play, render

pytestmark = [pytest.mark.timeout(600), pytest.mark.usefixtures("engines")]


def test_a_season_under_faults_equals_an_undisturbed_one(tmp_path: Path) -> None:
    outcome = play(tmp_path, number=13, seed=3, days=76)
    print(render(outcome))
    verdict = outcome.verdict
    assert verdict.lost == verdict.doubled == verdict.changed == []
    assert verdict.notifications > 0
    assert verdict.repeats <= outcome.kills_and_stops
