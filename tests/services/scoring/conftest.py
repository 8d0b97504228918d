from __future__ import annotations

import pytest

from core.twin import Kind
from services.scoring.pool import Pool, joined, make_pool


@pytest.fixture(scope="session")
def pool() -> Pool:
    """Forty development sites of all kinds."""
    kinds = (Kind.QUIET, Kind.FAILING, Kind.ABORTED, Kind.STEP)
    return joined([make_pool(range(10 * n, 10 * n + 10), kind) for n, kind in enumerate(kinds)])
