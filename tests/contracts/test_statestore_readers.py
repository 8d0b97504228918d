"""The state store beside its worker: what a reader sees, and that it changes nothing."""

from __future__ import annotations

import os
import signal
import subprocess
import sys
import time
from collections.abc import Iterator
from contextlib import closing
from pathlib import Path

import numpy as np
import pytest
import xarray as xr

from core.errors import SettingsError, SlopewatchError, UnavailableError
from core.statestore import Put, equal, open_states, open_states_to_read
from tests.contracts.test_statestore_file import WRITER

LOOKS_S = 1.5


def state(value: float) -> xr.Dataset:
    return xr.Dataset({"values": ("point", np.full(8, value))})


@pytest.fixture(params=["file", "s3"])
def url(request: pytest.FixtureRequest, tmp_path: Path) -> str:
    if request.param == "s3":
        return str(request.getfixturevalue("s3_url"))
    return f"file://{tmp_path}/state"


def test_a_reader_sees_what_was_committed_when_it_opened(url: str) -> None:
    with closing(open_states(url)) as worker, closing(open_states_to_read(url)) as readers:
        site = worker.open("site-1")
        site.commit([Put("state", state(1))], {"pos": 1}, [b"said"])
        reader = readers.open("site-1")
        assert readers.sites() == worker.sites() == ("site-1",)
        assert equal(site, reader, ()) == []
        assert reader.outcomes() == (b"said",)
        site.commit([Put("state", state(2))], {"pos": 2}, [])
        assert reader.attrs() == {"pos": 1}
        assert reader.read("state")["values"].to_numpy().tolist() == [1.0] * 8
        assert readers.open("site-1").attrs() == {"pos": 2}


def test_a_reader_changes_nothing(url: str) -> None:
    with closing(open_states(url)) as worker, closing(open_states_to_read(url)) as readers:
        site = worker.open("site-1")
        site.commit([Put("state", state(1))], {"pos": 1}, [])
        reader = readers.open("site-1")
        with pytest.raises(SlopewatchError, match="to be read alone"):
            reader.commit([Put("state", state(2))], {"pos": 2}, [])
        with pytest.raises(SlopewatchError, match="to be read alone"):
            reader.thin(1)
        with pytest.raises(UnavailableError, match=r"has no state in .* yet"):
            readers.open("site-2")
        assert worker.sites() == ("site-1",)
        site.commit([Put("state", state(3))], {"pos": 3}, [])
        reader.close()
        with pytest.raises(SlopewatchError, match="was closed"):
            reader.attrs()
    with pytest.raises(SlopewatchError, match="was closed"):
        readers.open("site-1")


def test_nothing_is_made_where_no_worker_was(tmp_path: Path) -> None:
    readers = open_states_to_read(f"file://{tmp_path}/state")
    assert readers.sites() == ()
    with pytest.raises(UnavailableError):
        readers.open("site-1")
    with pytest.raises(SettingsError):
        readers.open("../site")
    assert list(tmp_path.iterdir()) == []


@pytest.mark.parametrize("address", ["memory://", "file://other/state", "http://host/x"])
def test_what_only_its_worker_can_read_is_refused(address: str) -> None:
    with pytest.raises(SettingsError, match="own worker alone"):
        open_states_to_read(address)


@pytest.fixture
def busy(tmp_path: Path) -> Iterator[str]:
    """A store whose worker commits and thins without rest."""
    address = f"file://{tmp_path}/state"
    with subprocess.Popen(
        [sys.executable, "-c", WRITER, address],
        stdin=subprocess.PIPE,
        stdout=subprocess.PIPE,
        text=True,
    ) as writer:
        assert writer.stdin is not None
        assert writer.stdout is not None
        assert writer.stdout.readline() == "open\n"
        writer.stdin.write("go\n")
        writer.stdin.flush()
        child = int(writer.stdout.readline())
        yield address
        os.kill(child, signal.SIGKILL)
        writer.stdin.close()


def test_a_reader_beside_a_busy_worker_reads_one_commit_or_says_that_it_cannot(busy: str) -> None:
    readers = open_states_to_read(busy)
    until = time.monotonic() + LOOKS_S
    seen: set[int] = set()
    while time.monotonic() < until:
        try:
            with closing(readers.open("site-1")) as reader:
                place = reader.attrs().get("pos")
                if place is None:
                    continue
                time.sleep(0.05 * (place % 3))
                values = reader.read("state")
        except UnavailableError:
            continue
        assert int(values["last"]) == place
        assert set(values["values"].to_numpy().tolist()) == {float(place)}
        seen.add(place)
    assert len(seen) >= 3
