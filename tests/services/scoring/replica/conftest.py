from __future__ import annotations

import numpy as np
import pytest

from core.twin import Truth
from services.scoring.replica.stack import SITE_SEEDS, Stack, simulated_sites, stack_of


@pytest.fixture(scope="session")
def truth() -> Truth:
    """Two sites."""
    return simulated_sites(SITE_SEEDS[:2])


@pytest.fixture(scope="session")
def stack(truth: Truth) -> Stack:
    """Their epochs with 3 mm of noise, not smoothed."""
    return stack_of(truth, noise_mm=3.0, smoothed=False)


@pytest.fixture
def counted() -> Stack:
    """One site of two points; every value tells its day."""
    day = np.arange(500.0)
    return Stack(
        label_mm=np.stack([day, 1000.0 + day], axis=1),
        truth_mm=np.stack([day + 0.5, day + 0.25], axis=1),
        rain_mm=2000.0 + day[:, None],
        level_m=3000.0 + day[:, None],
    )
