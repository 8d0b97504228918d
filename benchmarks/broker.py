"""One real Kafka broker for as long as a benchmark runs."""

from __future__ import annotations

import tempfile
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path

import kafka

from benchmarks.frame import LeftOutError
from tools.engine import kafka as engine


@contextmanager
def running_broker() -> Iterator[str]:
    """Address "host:port" of a broker on this machine; LeftOutError where none can run."""
    if reason := engine.missing():
        raise LeftOutError(reason)
    with tempfile.TemporaryDirectory() as folder, engine.Broker(Path(folder)) as broker:
        yield broker.address


def versions() -> str:
    """What the figures were measured with."""
    return f"Apache Kafka {engine.VERSION}, one broker beside it; kafka-python {kafka.__version__}"
