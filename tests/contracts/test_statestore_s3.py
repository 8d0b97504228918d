"""The state store in a bucket: several workers, and a bucket that is away."""

from __future__ import annotations

import multiprocessing
import threading
from collections.abc import Iterator
from concurrent.futures import ThreadPoolExecutor
from contextlib import closing, contextmanager
from http.server import BaseHTTPRequestHandler, HTTPServer
from multiprocessing.queues import Queue
from multiprocessing.synchronize import Barrier
from typing import Any

import numpy as np
import pytest
import xarray as xr

from core import objects
from core.errors import ConflictError, SettingsError, SlopewatchError, UnavailableError
from core.objects import Objects, open_objects
from core.statestore import Extend, Put, SiteRepository, open_states, repository, states
from core.statestore.thinning import ALONE
from tests.contracts.statestore_contract import StateStoreContract, epochs
from tools.engine.process import free_port
from tools.engine.s3 import ObjectStore

WAIT_S = 60


class TestS3States(StateStoreContract):
    @pytest.fixture(autouse=True)
    def _place(self, s3_url: str, monkeypatch: pytest.MonkeyPatch) -> None:
        self._url = s3_url
        monkeypatch.setattr(states.S3States, "spared", ALONE)

    def url(self, tmp_path: Any) -> str:
        return self._url


def race(url: str, name: str, races: int, start: Barrier, told: Queue[tuple[int, str]]) -> None:
    """Both open the site on the same state and commit at once; the loser opens again."""
    held = open_states(url)
    for n in range(races):
        site = held.open("site-1")
        start.wait(WAIT_S)
        try:
            step(site, f"{name}{n}")
        except ConflictError:
            site.close()
            site = held.open("site-1")
            step(site, f"{name}{n}")
        else:
            told.put((n, name))
        site.close()
        start.wait(WAIT_S)
    held.close()


def step(site: SiteRepository, name: str) -> None:
    place = site.attrs().get("pos", 0)
    row = xr.Dataset({"who": ("epoch", [name]), "n": ("epoch", [place])})
    site.commit([Extend("t", "epoch", place, row)], {"pos": place + 1}, [name.encode()])


@pytest.mark.parametrize("races", [25, pytest.param(100, marks=pytest.mark.slow)])
def test_of_two_processes_one_wins_and_nothing_is_lost(s3_url: str, races: int) -> None:
    spawn = multiprocessing.get_context("spawn")
    start, told = spawn.Barrier(2), spawn.Queue()
    racers = [spawn.Process(target=race, args=(s3_url, name, races, start, told)) for name in "ab"]
    for racer in racers:
        racer.start()
    won = [told.get(timeout=WAIT_S) for _ in range(races)]
    for racer in racers:
        racer.join(WAIT_S)
        assert racer.exitcode == 0
    assert [n for n, _ in won] == list(range(races))
    assert told.empty()
    with closing(open_states(s3_url)) as held:
        track = held.open("site-1").read("t")
    assert sorted(track["who"].values) == sorted(
        f"{name}{n}" for name in "ab" for n in range(races)
    )
    assert list(track["n"].values) == list(range(2 * races))


def test_a_new_site_that_all_open_at_once_is_one(s3_url: str) -> None:
    workers, sites = 4, 5
    start = threading.Barrier(workers)

    def work(number: int) -> list[str]:
        won = []
        with closing(open_states(s3_url)) as held:
            for n in range(sites):
                start.wait(WAIT_S)
                site = held.open(f"site-{n}")
                start.wait(WAIT_S)
                try:
                    site.commit([], {"pos": number}, [])
                    won.append(f"site-{n}")
                except ConflictError:
                    site.close()
        return won

    with ThreadPoolExecutor(workers) as pool:
        won = [name for names in pool.map(work, range(workers)) for name in names]
    assert sorted(won) == [f"site-{n}" for n in range(sites)]
    with closing(open_states(s3_url)) as held:
        assert held.sites() == tuple(sorted(won))


def test_a_kill_while_a_site_is_made_is_forgotten(
    s3_url: str, monkeypatch: pytest.MonkeyPatch
) -> None:
    def killed(*_: object) -> bool:
        raise KeyboardInterrupt

    with closing(open_states(s3_url)) as held:
        with monkeypatch.context() as patch:
            patch.setattr(Objects, "create", killed)
            with pytest.raises(KeyboardInterrupt):
                held.open("site-1")
        assert held.sites() == ()
        held.open("site-1").commit([Put("t", epochs(0, 1))], {"pos": 0}, [])
        assert held.sites() == ("site-1",)


def test_a_site_whose_place_is_damaged_is_not_made_anew(s3_url: str) -> None:
    open_objects(s3_url).put("sites/site-1", b"elsewhere")
    with closing(open_states(s3_url)) as held, pytest.raises(SlopewatchError, match="backup"):
        held.open("site-1")


def test_thinning_leaves_what_another_worker_may_need(s3_url: str) -> None:
    with closing(open_states(s3_url)) as one, closing(open_states(s3_url)) as other:
        site = one.open("site-1")
        site.commit([Put("s", large(0))], {"pos": 0}, [])
        late = other.open("site-1")
        for n in range(1, 6):
            site.commit([Put("s", large(n))], {"pos": n}, [])
        assert site.thin(1) == 0
        xr.testing.assert_identical(late.read("s"), large(0))
        xr.testing.assert_identical(site.read("s"), large(5))
        with pytest.raises(ConflictError):
            late.commit([Put("s", large(9))], {"pos": 9}, [])
        site.commit([Put("s", large(6))], {"pos": 6}, [])


def large(seed: int) -> xr.Dataset:
    """Enough to be an object of its own."""
    return xr.Dataset({"a": ("x", np.random.default_rng(seed).normal(size=5000))})


@contextmanager
def paused(store: ObjectStore) -> Iterator[None]:
    store.pause()
    try:
        yield
    finally:
        store.resume()


def test_a_silent_bucket_is_given_up_and_nothing_is_lost(
    s3: ObjectStore, s3_url: str, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(repository, "PATIENCE_S", 1.0)
    monkeypatch.setattr(repository, "THINNING_S", 1.0)
    monkeypatch.setattr(objects, "SILENCE_S", 1.0)
    with closing(open_states(s3_url)) as held:
        site = held.open("site-1")
        site.commit([Put("s", large(0))], {"pos": 0}, [])
        for ask in (
            lambda: site.read("s"),
            lambda: site.commit([Put("s", large(1))], {"pos": 1}, []),
            lambda: site.thin(1),
            lambda: held.open("site-1"),
            lambda: held.open("site-2"),
            held.sites,
            lambda: open_states(s3_url),
        ):
            with paused(s3), pytest.raises(UnavailableError, match=r"no answer|sending request"):
                ask()
        site.close()
        site = held.open("site-1")
        assert site.attrs() == {"pos": 0}
        site.commit([Put("s", large(1))], {"pos": 1}, [])
        xr.testing.assert_identical(site.read("s"), large(1))


def test_nobody_answers_there(s3_url: str) -> None:
    url = f"s3://bucket/state?endpoint=http://127.0.0.1:{free_port()}"
    with pytest.raises(UnavailableError, match="s3://bucket/state/conditional-writes: "):
        open_states(url)


def test_a_bucket_that_is_missing_is_said(s3_url: str) -> None:
    with pytest.raises(UnavailableError, match="NoSuchBucket"):
        open_states(s3_url.replace("s3://", "s3://no-"))


class Careless(BaseHTTPRequestHandler):
    """Takes every write, whatever its conditions."""

    def do_PUT(self) -> None:
        self.rfile.read(int(self.headers["Content-Length"]))
        self.send_response(200)
        self.send_header("ETag", '"0"')
        self.send_header("Content-Length", "0")
        self.end_headers()

    def log_message(self, *_: object) -> None:
        """Nothing."""


def test_a_store_that_ignores_conditions_is_refused(s3_url: str) -> None:
    with HTTPServer(("127.0.0.1", 0), Careless) as server:
        threading.Thread(target=server.serve_forever, daemon=True).start()
        url = f"s3://bucket/state?endpoint=http://127.0.0.1:{server.server_port}"
        with pytest.raises(SettingsError, match="two workers could both win"):
            open_states(url)
        server.shutdown()
