"""The state store in a folder: the lock, crashes, growth, and files others can read."""

from __future__ import annotations

import os
import random
import signal
import subprocess
import sys
import time
from pathlib import Path
from typing import Any

import icechunk
import numpy as np
import pytest
import xarray as xr

from core.errors import SettingsError, SlopewatchError, UnavailableError
from core.statestore import Extend, Put, equal, open_states
from tests.contracts.statestore_contract import StateStoreContract, epochs, every_type

CRASHES = 10

WRITER = """
import os
import sys
import numpy as np
import xarray as xr
from core.statestore import Extend, Put, open_states, states

def write():
    site = open_states(sys.argv[1]).open("site-1")
    n = site.attrs().get("pos", -1) + 1
    print(os.getpid(), flush=True)
    while True:
        row = xr.Dataset({"los": (("epoch", "point"), np.full((1, 2000), float(n)))})
        row["seq"] = ("epoch", [n])
        state = xr.Dataset({"last": ((), n), "values": ("point", np.full(2000, float(n)))})
        changes = [Extend("t", "epoch", n, row), Put("state", state)]
        site.commit(changes, {"pos": n}, [str(n).encode()])
        if n % 20 == 19:
            site.thin(5)
        n += 1

print("open", flush=True)
for line in sys.stdin:
    # Nothing is open yet: this fork only saves importing everything for every kill.
    if not (child := os.fork()):
        write()
    os.waitpid(child, 0)
    print("dead", flush=True)
"""

HOLDER = """
import sys, time
from core.statestore import open_states

states = open_states(sys.argv[1])
print("open", flush=True)
time.sleep(60)
"""


class TestFileStates(StateStoreContract):
    def url(self, tmp_path: Any) -> str:
        return f"file://{tmp_path}/a folder/state"


@pytest.fixture
def url(tmp_path: Path) -> str:
    return f"file://{tmp_path}/state"


def started(code: str, url: str) -> subprocess.Popen[str]:
    process = subprocess.Popen(
        [sys.executable, "-c", code, url],
        stdin=subprocess.PIPE,
        stdout=subprocess.PIPE,
        text=True,
        cwd=Path(__file__).parents[2],
    )
    assert process.stdout is not None
    assert process.stdout.readline() == "open\n"
    return process


def killed(process: subprocess.Popen[str]) -> None:
    process.kill()
    process.communicate()


def test_a_kill_at_any_moment_leaves_the_last_commit(url: str) -> None:
    moments = random.Random(7)
    writers = started(WRITER, url)
    assert writers.stdin is not None
    assert writers.stdout is not None
    last = -1
    for _ in range(CRASHES):
        print("go", file=writers.stdin, flush=True)
        writer = int(writers.stdout.readline())
        time.sleep(moments.uniform(0.0, 0.4))
        os.kill(writer, signal.SIGKILL)
        assert writers.stdout.readline() == "dead\n"
        last = checked(url, last)
    killed(writers)
    assert last > 0


def checked(url: str, before: int) -> int:
    """The store is whole and not behind `before`; its position."""
    states = open_states(url)
    site = states.open("site-1")
    position = int(site.attrs().get("pos", -1))
    assert position >= before
    if position >= 0:
        track, state = site.read("t"), site.read("state")
        expected = np.arange(position + 1)
        assert np.array_equal(track["seq"], expected)
        assert np.array_equal(track["los"], np.repeat(expected[:, None], 2000, axis=1))
        assert state["last"] == position
        assert np.array_equal(state["values"], np.full(2000, position))
        assert site.outcomes() == (str(position).encode(),)
    states.close()
    return position


def test_a_kill_while_a_site_is_made_is_forgotten(url: str, tmp_path: Path) -> None:
    half = tmp_path / "state" / ".site-1.new" / "snapshots"
    half.mkdir(parents=True)
    (half / "some").write_text("half")
    states = open_states(url)
    assert states.sites() == ()
    states.open("site-1").commit([Put("t", epochs(0, 1))], {"pos": 0}, [])
    assert states.sites() == ("site-1",)
    assert not half.exists()
    states.close()


def test_the_folder_is_held_by_one_process(url: str) -> None:
    process = started(HOLDER, url)
    with pytest.raises(SettingsError, match=f"held by process {process.pid} on ") as caught:
        open_states(url)
    assert not caught.value.retryable
    assert "set state to s3://bucket/prefix for several" in str(caught.value)
    killed(process)
    open_states(url).close()


def test_the_folder_is_held_once_in_one_process(url: str) -> None:
    states = open_states(url)
    with pytest.raises(SettingsError, match=f"held by process {os.getpid()} on "):
        open_states(url)
    states.close()
    open_states(url).close()


def test_a_folder_that_cannot_be_made(tmp_path: Path) -> None:
    (tmp_path / "file").write_text("")
    with pytest.raises(UnavailableError, match="cannot lock"):
        open_states(f"file://{tmp_path}/file/state")


def test_disk_trouble_can_be_retried(url: str, tmp_path: Path) -> None:
    states = open_states(url)
    site = states.open("site-1")
    site.commit([Put("t", epochs(0, 1))], {"pos": 0}, [])
    snapshots = tmp_path / "state" / "site-1" / "snapshots"
    snapshots.rename(snapshots.with_name("away"))
    snapshots.write_text("in the way")
    with pytest.raises(UnavailableError, match="the store of site site-1"):
        site.commit([Put("t", epochs(0, 2))], {"pos": 1}, [])
    snapshots.unlink()
    snapshots.with_name("away").rename(snapshots)
    xr.testing.assert_identical(site.read("t"), epochs(0, 1))
    site.commit([Extend("t", "epoch", 1, epochs(1, 3))], {"pos": 1}, [])
    site.close()
    xr.testing.assert_identical(states.open("site-1").read("t"), epochs(0, 3))
    states.close()


def test_a_damaged_chunk_is_said(url: str, tmp_path: Path) -> None:
    states = open_states(url)
    site = states.open("site-1")
    noise = np.random.default_rng(0).normal(size=2000)
    site.commit([Put("t", xr.Dataset({"a": ("x", noise)}))], {"pos": 0}, [])
    site.close()
    (chunk,) = (tmp_path / "state" / "site-1" / "chunks").iterdir()
    content = bytearray(chunk.read_bytes())
    content[5000] ^= 1
    chunk.write_bytes(content)
    with pytest.raises(SlopewatchError, match="damaged"):
        states.open("site-1").read("t")
    states.close()


def test_a_commit_costs_the_same_as_the_archive_grows(url: str, tmp_path: Path) -> None:
    states = open_states(url)
    site = states.open("site-1")

    def cost(start: int) -> tuple[float, float]:
        before = held(tmp_path)
        for n in range(start, start + 8):
            row = epochs(n, n + 1, points=2000).drop_vars("id")
            changes = [Extend("t", "epoch", n, row), Put("s", epochs(n, n + 1))]
            site.commit(changes, {"pos": n}, [])
        after = held(tmp_path)
        return after[0] - before[0], after[1] - before[1]

    whole = epochs(0, 32, points=2000).drop_vars("id")
    site.commit([Extend("t", "epoch", 0, whole)], {"pos": 0}, [])
    early = cost(32)
    whole = epochs(40, 480, points=2000).drop_vars("id")
    site.commit([Extend("t", "epoch", 40, whole)], {"pos": 0}, [])
    late = cost(480)
    assert late[0] <= early[0] + 8
    assert late[1] < 1.2 * early[1]
    states.close()


def held(folder: Path) -> tuple[int, int]:
    """Files and bytes below `folder`."""
    sizes = [path.stat().st_size for path in folder.rglob("*") if path.is_file()]
    return len(sizes), sum(sizes)


def test_thinning_gives_back_the_disk(url: str, tmp_path: Path) -> None:
    states = open_states(url)
    site = states.open("site-1")
    noise = np.random.default_rng(0)
    for n in range(20):
        state = xr.Dataset({"a": ("x", noise.normal(size=20_000))})
        site.commit([Put("s", state)], {"pos": n}, [])
    before = held(tmp_path)[1]
    assert site.thin(2) == 18
    assert held(tmp_path)[1] < before / 5
    xr.testing.assert_identical(site.read("s"), state)
    states.close()


def test_others_read_the_files_as_plain_zarr(url: str, tmp_path: Path) -> None:
    states = open_states(url)
    site = states.open("site-1")
    given = every_type()
    site.commit([Put("a", given), Extend("t/A", "epoch", 0, epochs(0, 9))], {"pos": 0}, [])
    states.close()
    storage = icechunk.local_filesystem_storage(str(tmp_path / "state" / "site-1"))
    store = icechunk.Repository.open(storage).readonly_session("main").store
    for group, expected in (("a", given), ("t/A", epochs(0, 9))):
        found = xr.open_zarr(store, group=group, consolidated=False, chunks=None).load()
        assert set(found.coords) == set(expected.coords)
        for name in expected.variables:
            assert (
                np.array_equal(
                    found[name].values.astype(expected[name].dtype),
                    expected[name].values,
                    equal_nan=expected[name].dtype.kind in "fc",
                )
                or expected[name].dtype.kind == "M"
            ), name


def test_a_repository_is_not_used_after_a_fork(url: str, monkeypatch: pytest.MonkeyPatch) -> None:
    states = open_states(url)
    site = states.open("site-1")
    with monkeypatch.context() as patch:
        patch.setattr(os, "getpid", lambda: -1)
        with pytest.raises(SlopewatchError, match="never fork"):
            site.commit([], {"pos": 0}, [])
    states.close()


def test_two_folders_hold_the_same(tmp_path: Path) -> None:
    sites = []
    for name in ("a", "b"):
        states = open_states(f"file://{tmp_path}/{name}")
        site = states.open("site-1")
        site.commit([Put("s", every_type())], {"pos": name}, [])
        sites.append(site)
    assert equal(*sites, {"pos"}) == []
    assert equal(*sites, ()) == ["@pos"]
    for site in sites:
        site.close()
