from __future__ import annotations

import pytest

from services.understanding.reading import Reading, read
from tests.services.understanding.simple_slope import DAYS, SimpleSlope


@pytest.fixture(scope="session")
def slope() -> SimpleSlope:
    return SimpleSlope()


@pytest.fixture(scope="session")
def slope_reading(slope: SimpleSlope) -> Reading:
    return read(slope, DAYS - 1, ("ridge <b>", "middle", "toe"), surrogates=100)
