"""Helm for tests of the chart."""

import pytest

from tests.conftest import go_without
from tools import helm


@pytest.fixture(scope="session")
def with_helm() -> None:
    """Skip without Helm."""
    go_without(helm.missing())
