"""Certification: what fails a release, in which words, and that the shipped one holds."""

from __future__ import annotations

import json
from dataclasses import replace
from pathlib import Path

import msgspec
import numpy as np
import pytest

from core.errors import SettingsError, SlopewatchError
from core.twin import Kind, Observed, Truth, observe, simulate
from services.alerting.thresholds import load_table
from services.commands import certifying
from services.commands.certifying import SHORT_SITES, SHORT_YEARS, Basis, certify
from services.scoring import certify as certification
from services.scoring import pipeline, suite
from services.scoring.certify import (
    PIPELINE_SITES,
    Certificate,
    Record,
    certificate_bytes,
    compared,
    load_certificate,
    replayed,
    table_of,
)
from services.scoring.pipeline import Change, Said, differences, proven, through_service
from services.scoring.pool import FLANK_PIXELS, NOISE, filtered
from services.scoring.suite import GROUPS, Group

GROUP = "failing, voight, diffusion"
FEW = {
    GROUP: replace(GROUPS[GROUP], count=8),
    "step": replace(GROUPS["step"], count=4),
}


def table(factor: float = 1.0, version: str = "t") -> bytes:
    limits = {"yellow": 40.0, "orange": 80.0, "red": 300.0}
    rules = {"velocity": {level: factor * limit for level, limit in limits.items()}}
    return json.dumps({"version": version, "rules": rules}).encode()


@pytest.fixture(scope="module")
def record() -> Record:
    return replayed(FEW, table())[0]


@pytest.fixture(scope="module")
def short_site() -> tuple[Truth, Observed]:
    (seed, kind), *_ = SHORT_SITES
    truth = simulate([seed], kind, years=SHORT_YEARS)
    return truth, observe(truth, flank_pixels=FLANK_PIXELS)


@pytest.fixture(scope="module")
def said(
    short_site: tuple[Truth, Observed], tmp_path_factory: pytest.TempPathFactory
) -> list[Said]:
    """What the service says of the short form's site, with the shipped table."""
    return through_service(Basis.shipped().table, *short_site, tmp_path_factory.mktemp("service"))


class TestReplay:
    def test_the_same_release_is_neither_worse_nor_better(self, record: Record) -> None:
        again = replayed(FEW, table())[0]
        assert again == record
        assert compared(record, again) == certification.Findings((), (), (), ())
        assert all(line.endswith("equal") for line in table_of(record, again) if "|" in line)

    def test_the_figures_are_not_all_zero(self, record: Record) -> None:
        orange = record.scores["as seen"][GROUP].levels["orange"]
        assert orange.detected[0] >= orange.detected[1] >= orange.detected[2] > 0
        assert orange.lead_days > 0
        assert record.scores["as seen"]["step"].levels["yellow"].false_alarms > 0
        assert record.scores["gaps"] != record.scores["as seen"]

    def test_higher_limits_fail_with_group_and_figure(self, record: Record) -> None:
        findings = compared(record, replayed(FEW, table(3.0))[0])
        assert not findings.changed
        was = record.scores["as seen"][GROUP].levels["orange"].detected[2]
        wanted = f"{GROUP}, as seen, orange: failures detected 14 d before were {was}, are "
        assert any(one.startswith(wanted) for one in findings.worse)
        assert any("step, as seen, yellow: alarm days were" in one for one in findings.better)

    def test_more_false_alarms_fail_too(self, record: Record) -> None:
        findings = compared(record, replayed(FEW, table(0.7))[0])
        assert any("step, as seen, yellow: alarm days were" in one for one in findings.worse)

    def test_a_changed_simulation_fails_with_its_own_sentence(
        self, record: Record, monkeypatch: pytest.MonkeyPatch
    ) -> None:
        def other(group: Group) -> tuple[Truth, Observed]:
            truth, seen = simulated(group)
            return truth, replace(seen, gauge_mm=seen.gauge_mm * 1.001)

        simulated = suite.simulated
        monkeypatch.setattr(suite, "simulated", other)
        only = {"step": FEW["step"]}
        was = Record(
            {"step": record.simulated["step"]},
            {variant: {"step": groups["step"]} for variant, groups in record.scores.items()},
        )
        findings = compared(was, replayed(only, table())[0])
        assert len(findings.changed) == 1
        assert findings.changed[0].startswith("step: the simulation is not the frozen one (as seen")

    def test_other_rounding_is_told_and_does_not_fail(self, record: Record) -> None:
        step = record.simulated["step"]
        other = {name: "0" * 64 for name in step.fingerprints}
        rounded = msgspec.structs.replace(step, fingerprints=other)
        now = Record({**record.simulated, "step": rounded}, record.scores)
        findings = compared(record, now)
        assert [one.split(":")[0] for one in findings.rounded] == ["step"]
        assert not findings.changed

    def test_the_short_form_is_the_first_tenth(self, record: Record) -> None:
        group = replace(FEW["step"], count=10)
        short = replayed({"step": group}, table())[1]
        alone = replayed({"step": group.short()}, table())[0]
        assert group.short().count == 1
        assert short == alone


class TestCertificate:
    def test_it_is_read_as_it_was_written(self, record: Record, tmp_path: Path) -> None:
        certificate = Certificate("s", {"numpy": "1"}, FEW, record, record)
        path = tmp_path / "c.json"
        path.write_bytes(certificate_bytes(certificate))
        assert load_certificate(path) == certificate

    def test_what_is_none_is_refused(self, tmp_path: Path) -> None:
        path = tmp_path / "c.json"
        for content in (b"{}", b"not json", b'{"suite": 1}'):
            path.write_bytes(content)
            with pytest.raises(SettingsError, match="is no certificate"):
                load_certificate(path)
        with pytest.raises(SettingsError, match="is no certificate"):
            load_certificate(tmp_path / "absent.json")

    def test_the_shipped_one_is_of_the_shipped_suite_and_table(self) -> None:
        certificate = load_certificate()
        assert certificate.groups == dict(GROUPS)
        shipped = load_table(Basis.shipped().table)
        assert certificate.recorded_with["table"] == shipped.version


class TestService:
    def test_service_and_pool_agree_to_the_bit(
        self, short_site: tuple[Truth, Observed], said: list[Said]
    ) -> None:
        limits = load_table(Basis.shipped().table)
        assert len(said[0].evidence) > 30
        assert differences(filtered(*short_site), said[0], limits) == []

    def test_another_filter_would_be_seen(
        self, short_site: tuple[Truth, Observed], said: list[Said]
    ) -> None:
        noise = NOISE.model_copy(update={"rate_walk_mm2_d3": NOISE.rate_walk_mm2_d3 * (1 + 1e-12)})
        limits = load_table(Basis.shipped().table)
        found = differences(filtered(*short_site, noise), said[0], limits)
        assert "the statistic of" in found[0]
        assert found[-1].endswith(" more")

    def test_another_level_would_be_seen(
        self, short_site: tuple[Truth, Observed], said: list[Said]
    ) -> None:
        other = said[0]._replace(changes=[*said[0].changes, Change(700, 702, 1)])
        limits = load_table(Basis.shipped().table)
        (found,) = differences(filtered(*short_site), other, limits)
        assert found.endswith(
            "the service says yellow by the epoch of day 700, known on 702, the pool does not"
        )

    def test_an_epoch_that_overtakes_another_is_refused(
        self, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
    ) -> None:
        def late(truth: Truth, flank_pixels: int) -> Observed:
            seen = observe(truth, flank_pixels=flank_pixels)
            arrival = seen.arrival_day.copy()
            arrival[0, 3] += 40
            return replace(seen, arrival_day=arrival)

        monkeypatch.setattr(pipeline, "observe", late)
        with pytest.raises(SlopewatchError, match="overtakes another"):
            proven(table(), [(1, Kind.QUIET)], tmp_path, years=1)


class TestCommand:
    def test_the_shipped_release_is_certified_in_short(
        self, said: list[Said], monkeypatch: pytest.MonkeyPatch
    ) -> None:
        monkeypatch.setattr(pipeline, "through_service", lambda *_, **__: said)
        lines: list[str] = []
        assert certify(True, None, lines.append)
        assert lines[-1] == "certified"
        assert not any("WORSE" in line for line in lines)
        assert "2 site-years through the whole service" in lines[-2]

    def test_a_short_replay_is_no_record(self, tmp_path: Path) -> None:
        with pytest.raises(SettingsError, match="leave --short out"):
            certify(True, tmp_path / "c.json", print)

    def test_what_got_worse_is_not_certified_and_what_got_better_can_be_recorded(
        self, record: Record, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
    ) -> None:
        proof = pipeline.Proof(20, 1, 1, ())
        monkeypatch.setattr(certifying, "proven", lambda *_, **__: proof)
        monkeypatch.setattr(certification, "GROUPS", FEW)
        path, lines = tmp_path / "c.json", list[str]()
        assert certify(False, path, lines.append, Basis(table(), path))
        assert load_certificate(path).whole == record
        assert not certify(False, None, lines.append, Basis(table(3.0, "u"), path))
        assert lines[-1].startswith("NOT certified")
        assert any(line.startswith(f"WORSE: {GROUP}, as seen") for line in lines)
        assert "versions: table t then, u now" in lines

    def test_a_service_that_disagrees_is_neither_certified_nor_recorded(
        self, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
    ) -> None:
        proof = pipeline.Proof(20, 1, 1, ("x: other",))
        monkeypatch.setattr(certifying, "proven", lambda *_, **__: proof)
        lines: list[str] = []
        assert not certify(False, tmp_path / "c.json", lines.append, Basis(table(), tmp_path))
        assert "SERVICE AND POOL DISAGREE: x: other" in lines
        assert not (tmp_path / "c.json").exists()


@pytest.mark.slow
def test_twenty_site_years_of_the_service_are_the_pools_to_the_bit(tmp_path: Path) -> None:
    proof = proven(Basis.shipped().table, PIPELINE_SITES, tmp_path)
    assert (proof.site_years, proof.disagreements) == (20, ())
    assert proof.epochs > 400
    assert proof.changes > 0


def test_all_failing_groups_have_their_own_seeds() -> None:
    seeds = [n for g in GROUPS.values() for n in range(g.first, g.first + g.count)]
    assert len(set(seeds)) == len(seeds) == 620
    assert not {n for n, _ in PIPELINE_SITES} & set(seeds)
    assert np.min(seeds) >= 2_100_000
