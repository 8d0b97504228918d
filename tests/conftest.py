"""Fixtures for all tests."""

import os
from pathlib import Path

import pytest

ROOT = Path(__file__).parents[1]


@pytest.fixture(scope="session")
def recorded() -> Path:
    """Folder of real recordings: `recorded/` under $SLOPEWATCH_RECORDED or ../shared.

    Without it a test is skipped on a laptop and fails under CI=true.
    """
    folder = Path(os.environ.get("SLOPEWATCH_RECORDED", ROOT.parent / "shared")) / "recorded"
    if not folder.is_dir():
        reason = f"no recordings at {folder}: set SLOPEWATCH_RECORDED to the folder that holds them"
        if os.environ.get("CI") == "true":
            pytest.fail(reason)
        pytest.skip(reason)
    return folder
