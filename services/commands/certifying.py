"""`slopewatch certify`: whether this release warns as well as the one that was recorded."""

from __future__ import annotations

import tempfile
from collections.abc import Callable, Sequence
from pathlib import Path
from typing import NamedTuple

from core.errors import SettingsError
from core.telemetry import configure_logging
from core.twin import Kind
from services.alerting.thresholds import load_table
from services.compose import shipped_table
from services.scoring.certify import (
    CERTIFICATE,
    PIPELINE_SITES,
    Findings,
    certificate_bytes,
    compared,
    load_certificate,
    recorded_with,
    replayed,
    table_of,
    whole_certificate,
)
from services.scoring.pipeline import Proof, proven
from services.scoring.pool import YEARS

Echo = Callable[[str], None]
SHORT_SITES = ((2_150_001, Kind.FAILING),)
SHORT_YEARS = 2
_COLUMNS = "false alarms, alarm days, failures detected 0/7/14/30 d before, median lead"


class Basis(NamedTuple):
    """What is certified, and against what: a threshold table and a certificate."""

    table: bytes
    certificate: Path

    @classmethod
    def shipped(cls) -> Basis:
        """Table and certificate of this release."""
        return cls(shipped_table(), CERTIFICATE)


def certify(short: bool, record: Path | None, echo: Echo, basis: Basis | None = None) -> bool:
    """Replay the frozen suite and a few sites through the whole service; False where it fails.

    Args:
        short: a tenth of the suite and two site-years of the service, in seconds.
        record: file to write what is found now as another certificate.
        echo: says the table and the verdict.
        basis: the shipped table and certificate where not given.

    Raises:
        SettingsError: a certificate that cannot be read, or a short form that is to be recorded.
    """
    basis = basis or Basis.shipped()
    if record is not None:
        if short:
            raise SettingsError("a short replay is no record: leave --short out to record a suite")
        return _recorded(basis, record, echo)
    certificate = load_certificate(basis.certificate)
    groups = certificate.groups
    if short:
        groups = {name: group.short() for name, group in groups.items()}
    now = replayed(groups, basis.table, progress=True)[0]
    recorded = certificate.short if short else certificate.whole
    echo(f"suite {certificate.suite}, {'short' if short else 'whole'} form; simulated sites only")
    echo(f"each line: recorded | now | verdict; {_COLUMNS}")
    for line in table_of(recorded, now):
        echo(line)
    _tell_versions(certificate.recorded_with, basis.table, echo)
    findings = compared(recorded, now)
    proof = _proof(basis.table, short)
    return _verdict(findings, proof, echo)


def _recorded(basis: Basis, record: Path, echo: Echo) -> bool:
    """Write another certificate; a service that disagrees with the pool is not recorded."""
    if not record.absolute().parent.is_dir():
        raise SettingsError(f"{record} cannot be written: {record.absolute().parent} is no folder")
    proof = _proof(basis.table, False)
    _tell_proof(proof, echo)
    if proof.disagreements:
        echo("nothing was recorded")
        return False
    certificate = whole_certificate(basis.table, progress=True)
    record.write_bytes(certificate_bytes(certificate))
    for line in table_of(certificate.whole, certificate.whole):
        echo(line.rpartition("  |  ")[0].rpartition("  |  ")[0] or line)
    echo(f"wrote {record}: what is worse than this fails from now on where it is the certificate")
    return True


def _proof(table: bytes, short: bool) -> Proof:
    sites, years = (SHORT_SITES, SHORT_YEARS) if short else (PIPELINE_SITES, YEARS)
    configure_logging("error")
    with tempfile.TemporaryDirectory(prefix="slopewatch-certify-") as folder:
        return proven(table, sites, Path(folder), years=years, progress=True)


def _tell_versions(recorded: dict[str, str], table: bytes, echo: Echo) -> None:
    now = recorded_with(load_table(table))
    other = [
        f"{name} {recorded.get(name, 'unknown')} then, {value} now"
        for name, value in now.items()
        if recorded.get(name) != value
    ]
    echo("versions: " + ("; ".join(other) if other else "those of the record"))


def _tell_proof(proof: Proof, echo: Echo) -> None:
    if not proof.disagreements:
        echo(
            f"{proof.site_years} site-years through the whole service: {proof.epochs} epochs and "
            f"{proof.changes} changes of level agree with the pool to the bit"
        )
    for one in proof.disagreements:
        echo(f"SERVICE AND POOL DISAGREE: {one}")


def _verdict(findings: Findings, proof: Proof, echo: Echo) -> bool:
    _tell(findings.rounded, "note", echo)
    _tell(findings.better, "better", echo)
    _tell(findings.changed, "SIMULATION CHANGED", echo)
    _tell(findings.worse, "WORSE", echo)
    _tell_proof(proof, echo)
    holds = not (findings.changed or findings.worse or proof.disagreements)
    if findings.better and holds:
        echo("better than recorded: `slopewatch certify --record FILE` holds later releases to it")
    echo("certified" if holds else "NOT certified: this release must not go out")
    return holds


def _tell(sentences: Sequence[str], what: str, echo: Echo) -> None:
    for one in sentences:
        echo(f"{what}: {one}")
