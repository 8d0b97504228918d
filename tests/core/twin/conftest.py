from __future__ import annotations

import pytest

from core.twin import Kind, Truth, simulate


@pytest.fixture(scope="session")
def drawdown() -> Truth:
    """Quiet sites of the drawdown type, the diffusion family."""
    return simulate(range(100), Kind.QUIET, drainage="drawdown", hydrology_family="diffusion")


@pytest.fixture(scope="session")
def buoyancy() -> Truth:
    return simulate(range(60), Kind.QUIET, drainage="buoyancy", hydrology_family="diffusion")
