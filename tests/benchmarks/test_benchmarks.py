"""Every benchmark runs and prints; how fast it is, is not tested here."""

from __future__ import annotations

import pytest

from benchmarks import __main__ as program
from benchmarks.frame import Stopwatch, Table, as_markdown, as_text

LONG = {"understanding"}
"""Half a minute even when quick; its parts are tested where they stand."""
ON_KAFKA = {"inference", "latency", "worker"}
ON_RECORDINGS = {"rain_roc"}


def _printed(
    name: str, capsys: pytest.CaptureFixture[str], monkeypatch: pytest.MonkeyPatch
) -> list[str]:
    monkeypatch.setattr(program, "_only_warnings", lambda: None)
    program.main([name, "--quick"])
    lines = capsys.readouterr().out.splitlines()
    assert "cores" in lines[0]
    assert "numpy" in lines[1]
    assert f"[{name}]" in "\n".join(lines)
    return lines


@pytest.mark.parametrize(
    "name",
    [
        pytest.param(name, marks=[pytest.mark.slow] if name in LONG else [])
        for name in sorted(set(program.names()) - ON_KAFKA - ON_RECORDINGS)
    ],
)
def test_a_benchmark_runs_and_prints(
    name: str, capsys: pytest.CaptureFixture[str], monkeypatch: pytest.MonkeyPatch
) -> None:
    assert len(_printed(name, capsys, monkeypatch)) > 7


@pytest.mark.usefixtures("recorded")
@pytest.mark.parametrize("name", sorted(ON_RECORDINGS))
def test_a_benchmark_runs_on_recordings_and_prints(
    name: str, capsys: pytest.CaptureFixture[str], monkeypatch: pytest.MonkeyPatch
) -> None:
    assert len(_printed(name, capsys, monkeypatch)) > 7


@pytest.mark.usefixtures("engines")
@pytest.mark.parametrize("name", sorted(ON_KAFKA))
def test_a_benchmark_runs_on_a_broker_and_prints(
    name: str, capsys: pytest.CaptureFixture[str], monkeypatch: pytest.MonkeyPatch
) -> None:
    lines = _printed(name, capsys, monkeypatch)
    assert not [line for line in lines if line.startswith("left out")]
    assert "Apache Kafka" in "\n".join(lines)


@pytest.mark.parametrize("name", sorted(ON_KAFKA))
def test_without_a_broker_a_benchmark_says_why_it_is_left_out(
    name: str, capsys: pytest.CaptureFixture[str], monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr("tools.engine.kafka.missing", lambda: "no java on this machine")
    assert _printed(name, capsys, monkeypatch)[-1] == "left out: no java on this machine"


@pytest.mark.parametrize("arguments", [["nothing"], ["--write", "--quick"], ["codec", "--write"]])
def test_what_cannot_be_asked_is_refused(arguments: list[str]) -> None:
    with pytest.raises(SystemExit):
        program.main(arguments)


def test_tables_are_aligned_and_written() -> None:
    table = Table("Title", ("name", "figure"), (("a", "1.0"), ("longer", "20.0")), ("Note.",))
    assert as_text(table).splitlines()[1:4] == [
        "  name    figure",
        "  a          1.0",
        "  longer    20.0",
    ]
    assert "| longer | 20.0 |" in as_markdown(table)


def test_a_stopwatch_counts_every_second_once(monkeypatch: pytest.MonkeyPatch) -> None:
    ticks = iter([0.0, 1.0, 3.0, 10.0])
    monkeypatch.setattr("benchmarks.frame.time.perf_counter", lambda: next(ticks))
    watch = Stopwatch()
    inner = watch.timed(lambda: None, "inner")
    watch.timed(lambda: [inner()], "outer")()
    assert watch.seconds == {"inner": 2.0, "outer": 8.0}
    assert watch.calls == {"inner": 1, "outer": 1}
