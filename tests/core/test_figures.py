"""Figures are shown while somebody finds them; commits are counted; a watchdog shows itself."""

from __future__ import annotations

import pytest

from core.figures import Figure, Shown
from core.telemetry import Telemetry


def values(telemetry: Telemetry, name: str) -> dict[tuple[str, ...], float]:
    families = [f for f in telemetry.registry.collect() if f.name == name.removesuffix("_total")]
    return {
        tuple(sample.labels.values()): sample.value
        for family in families
        for sample in family.samples
        if sample.name == name
    }


def test_a_figure_that_nobody_finds_again_is_gone() -> None:
    telemetry, shown, other = Telemetry(), Shown(), Shown()
    gauge = telemetry.next_pass
    other.show([Figure(gauge, ("other",), 9.0)])
    shown.show([Figure(gauge, ("a",), 1.0), Figure(gauge, ("b",), 2.0)])
    shown.show([Figure(gauge, ("b",), 3.0)])
    name = "slopewatch_next_pass_timestamp_seconds"
    assert values(telemetry, name) == {("other",): 9.0, ("b",): 3.0}
    shown.show([Figure(gauge, ("c",), 4.0)], keep=True)
    assert values(telemetry, name) == {("other",): 9.0, ("b",): 3.0, ("c",): 4.0}
    shown.show([])
    assert values(telemetry, name) == {("other",): 9.0}


def test_only_commits_that_succeed_are_counted() -> None:
    telemetry = Telemetry()
    for _ in range(2):
        with telemetry.committed("alerting"):
            pass
    with pytest.raises(KeyError), telemetry.committed("alerting"):
        raise KeyError
    assert values(telemetry, "slopewatch_commits_total") == {("alerting",): 2.0}
    assert values(telemetry, "slopewatch_commit_seconds_count") == {}
    families = {f.name: f.samples for f in telemetry.registry.collect()}
    counts = [s.value for s in families["slopewatch_commit_seconds"] if s.name.endswith("_count")]
    assert counts == [2.0]


def test_only_a_watchdog_shows_when_it_looked() -> None:
    telemetry = Telemetry()
    name = "slopewatch_watchdog_last_check_timestamp_seconds"
    assert values(telemetry, name) == {}
    telemetry.watched(5.0, 2)
    telemetry.watched(6.0, 1)
    assert values(telemetry, name) == {(): 6.0}
    assert values(telemetry, "slopewatch_watchdog_silent_sites") == {(): 1.0}
