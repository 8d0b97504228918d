"""Imports point one way, and importing the core costs little."""

import json
import subprocess
import sys
from pathlib import Path

import pytest

ROOT = Path(__file__).parents[1]
HEAVY = {
    "airflow",
    "alembic",
    "asf_search",
    "h5py",
    "icechunk",
    "rasterio",
    "scipy",
    "sqlalchemy",
    "torch",
    "xarray",
    "zarr",
}
LIGHT = sorted(
    {
        "core",
        "core.eventlog",
        "core.eventlog.sqlite",
        "core.ledger",
        "core.statestore",
        *(f"core.{path.stem}" for path in (ROOT / "core").glob("*.py") if path.stem != "__init__"),
    }
)


def loaded_by(module: str) -> set[str]:
    """Top-level packages loaded in a fresh interpreter that imports `module`."""
    code = f"import json, sys, {module}; print(json.dumps(list(sys.modules)))"
    run = subprocess.run(
        [sys.executable, "-c", code], cwd=ROOT, capture_output=True, text=True, check=True
    )
    return {name.partition(".")[0] for name in json.loads(run.stdout.splitlines()[-1])}


def test_import_contracts_are_kept():
    lint = "from importlinter.cli import lint_imports_command as lint; lint()"
    run = subprocess.run(
        [sys.executable, "-c", lint, "--config", ".importlinter", "--no-cache"],
        cwd=ROOT,
        capture_output=True,
        text=True,
        check=False,
    )
    assert run.returncode == 0, run.stdout + run.stderr


@pytest.mark.parametrize("module", LIGHT)
def test_the_core_loads_nothing_heavy_and_no_service(module):
    loaded = loaded_by(module)
    assert not loaded & HEAVY
    assert "services" not in loaded


@pytest.mark.parametrize("module", ["core.geometry", "core.kalman", "core.kinematics"])
def test_pure_numerics_load_no_settings_and_no_telemetry(module):
    assert not loaded_by(module) & {"pydantic", "yaml", "structlog", "prometheus_client"}


def test_help_needs_neither_services_nor_arrays():
    pytest.importorskip("services.cli")
    loaded = loaded_by("services.cli")
    assert not loaded & (HEAVY | {"numpy", "pydantic"})
