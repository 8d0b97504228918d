"""What every state store promises, subclassed once per backend."""

from __future__ import annotations

from abc import ABC, abstractmethod
from collections.abc import Iterator
from typing import Any

import numpy as np
import pytest
import xarray as xr

from core.errors import ConflictError, SettingsError, SlopewatchError, UnavailableError
from core.statestore import (
    MAX_OUTCOME_BYTES,
    Drop,
    Extend,
    Put,
    SiteRepository,
    States,
    equal,
    open_states,
)

POINTS = 7


def epochs(start: int, stop: int, points: int = POINTS, seed: int = 0) -> xr.Dataset:
    """Epochs `start:stop` of a made-up series: 2-D, 1-D and text along epoch, and one static."""
    values = np.random.default_rng(seed).normal(size=(1000, points))
    days = np.datetime64("2020-01-01", "ns") + np.arange(start, stop) * np.timedelta64(12, "D")
    return xr.Dataset(
        {
            "los": (("epoch", "point"), values[start:stop], {"units": "mm"}),
            "seq": ("epoch", np.arange(start, stop)),
            "id": ("epoch", np.array([f"epoch {'é' * i}" for i in range(start, stop)], dtype=str)),
            "height": ("point", np.arange(points, dtype="f4")),
        },
        coords={"epoch": days},
        attrs={"track": "A44"},
    )


def every_type() -> xr.Dataset:
    odd = np.array([0.0, -0.0, np.nan, np.inf, 5e-324])
    odd[2:3].view("u8")[...] |= 12345
    return xr.Dataset(
        {
            "odd": ("x", odd),
            "minus_zero": ("x", np.full(5, -0.0)),
            "single": ("x", odd.astype("f4")),
            "whole": ("x", np.array([-(2**63), -1, 0, 1, 2**63 - 1])),
            "byte": ("x", np.arange(5, dtype="u1")),
            "flag": ("x", np.array([True, False, True, True, False])),
            "wave": (("x", "y"), np.arange(15).reshape(5, 3) * (1 + 2j)),
            "text": (("y",), np.array(["", "Hangrutschung ü", "滑坡"])),
            "day": (
                "x",
                np.array(["2020-01-01", "NaT", "1969-12-31", "2262-01-01", "NaT"], "M8[s]"),
            ),
            "wait": ("x", np.arange(5).astype("m8[ns]")),
            "nothing": ("z", np.empty(0)),
            "one": ((), 4.25),
            "word": ((), "single"),
            "moment": ((), np.datetime64("2024-02-29T12:00:00.123456789", "ns")),
        },
        coords={"x": np.arange(5), "label": ("x", list("abcde"))},
        attrs={"title": "all", "numbers": [1, 2.5, None], "nested": {"a": True}},
    )


class StateStoreContract(ABC):
    @abstractmethod
    def url(self, tmp_path: Any) -> str: ...

    @pytest.fixture
    def states(self, tmp_path: Any) -> Iterator[States]:
        states = open_states(self.url(tmp_path))
        yield states
        states.close()

    @pytest.fixture
    def site(self, states: States) -> SiteRepository:
        return states.open("site-1")

    def reopened(self, states: States, site: SiteRepository) -> SiteRepository:
        site.close()
        return states.open("site-1")

    def test_new_site_is_empty(self, states: States, site: SiteRepository) -> None:
        assert site.attrs() == {}
        assert site.outcomes() == ()
        assert site.groups() == ()
        assert site.length("tracks/A44", "epoch") == 0
        assert states.sites() == ("site-1",)

    def test_every_type_comes_back_bit_for_bit(self, states: States, site: SiteRepository) -> None:
        given = every_type()
        site.commit([Put("a/b", given)], {"pos": 1}, [])
        site = self.reopened(states, site)
        found = site.read("a/b")
        xr.testing.assert_identical(found.drop_vars("wave"), given.drop_vars("wave"))
        for name in ("odd", "minus_zero", "single", "whole", "wave", "day"):
            assert found[name].dtype == given[name].dtype
            assert found[name].values.tobytes() == given[name].values.tobytes()
        assert found["text"].dtype.kind == "U"
        assert set(found.coords) == {"x", "label"}

    def test_attrs_and_outcomes_are_those_of_the_last_commit(
        self, states: States, site: SiteRepository
    ) -> None:
        said = ['{"id":"a","text":"é \\" \n"}'.encode(), b"", b'{"id":"b"}']
        site.commit([], {"pos": 1, "gone": True}, [b"old"])
        site.commit([], {"pos": 2, "nested": {"x": [1, None]}, "é": "ü"}, said)
        for _ in range(2):
            assert site.attrs() == {"pos": 2, "nested": {"x": [1, None]}, "é": "ü"}
            assert site.outcomes() == tuple(said)
            site = self.reopened(states, site)

    def test_what_attrs_returns_is_the_callers(self, site: SiteRepository) -> None:
        site.commit([], {"a": [1]}, [])
        site.attrs()["a"].append(2)
        assert site.attrs() == {"a": [1]}

    def test_same_attrs_again_are_a_commit(self, states: States, site: SiteRepository) -> None:
        site.commit([], {"pos": 1}, [b"first"])
        site.commit([], {"pos": 1}, [b"second"])
        assert self.reopened(states, site).outcomes() == (b"second",)

    def test_outcomes_over_the_limit_are_refused(self, site: SiteRepository) -> None:
        site.commit([], {"pos": 1}, [b"x" * MAX_OUTCOME_BYTES])
        with pytest.raises(SlopewatchError, match="cut the step"):
            site.commit([], {"pos": 2}, [b"x" * MAX_OUTCOME_BYTES, b"x"])
        with pytest.raises(SlopewatchError, match="UTF-8"):
            site.commit([], {"pos": 2}, [b"\xff"])
        assert site.attrs() == {"pos": 1}

    def test_append_one_by_one_equals_one_write(self, states: States, site: SiteRepository) -> None:
        for n in range(70):
            site.commit([Extend("t/A", "epoch", n, epochs(n, n + 1))], {"pos": n}, [])
            assert site.length("t/A", "epoch") == n + 1
        site = self.reopened(states, site)
        xr.testing.assert_identical(site.read("t/A"), epochs(0, 70))
        other = states.open("site-2")
        other.commit([Extend("t/A", "epoch", 0, epochs(0, 70))], {"pos": "else"}, [])
        assert equal(site, other, {"pos"}) == []

    @pytest.mark.parametrize(("start", "stop"), [(4, 5), (0, 3), (9, 10), (10, 14), (3, 15)])
    def test_extend_cuts_and_writes(
        self, states: States, site: SiteRepository, start: int, stop: int
    ) -> None:
        site.commit([Extend("t", "epoch", 0, epochs(0, 10))], {"pos": 0}, [])
        site.commit([Extend("t", "epoch", start, epochs(start, stop, seed=1))], {"pos": 1}, [])
        expected = xr.concat(
            [epochs(0, start), epochs(start, stop, seed=1)], "epoch", data_vars="minimal"
        )
        xr.testing.assert_identical(site.read("t"), expected)
        site = self.reopened(states, site)
        xr.testing.assert_identical(site.read("t"), expected)
        site.commit([Extend("t", "epoch", stop, epochs(stop, 20))], {"pos": 2}, [])
        xr.testing.assert_identical(
            self.reopened(states, site).read("t"),
            xr.concat([expected, epochs(stop, 20)], "epoch", data_vars="minimal"),
        )

    def test_extend_can_only_cut(self, states: States, site: SiteRepository) -> None:
        site.commit([Extend("t", "epoch", 0, epochs(0, 10))], {"pos": 0}, [])
        site.commit([Extend("t", "epoch", 6, epochs(6, 6))], {"pos": 1}, [])
        xr.testing.assert_identical(self.reopened(states, site).read("t"), epochs(0, 6))

    def test_many_rows_of_one_dimension(self, states: States, site: SiteRepository) -> None:
        def rows(start: int, stop: int) -> xr.Dataset:
            ids = np.arange(start, stop)
            return xr.Dataset({"n": ("i", ids), "id": ("i", [f"{i:05d}" for i in ids])})

        site.commit([Extend("seen", "i", 0, rows(0, 5000))], {"pos": 0}, [])
        site.commit([Extend("seen", "i", 4090, rows(4090, 9000))], {"pos": 1}, [])
        site.commit([Extend("seen", "i", 9000, rows(9000, 9001))], {"pos": 2}, [])
        site = self.reopened(states, site)
        xr.testing.assert_identical(site.read("seen"), rows(0, 9001))
        xr.testing.assert_identical(site.read("seen", "i", 4000, 8200), rows(4000, 8200))

    def test_extend_what_was_put(self, states: States, site: SiteRepository) -> None:
        turned = epochs(0, 5).transpose("point", "epoch")
        site.commit([Put("t", turned)], {"pos": 0}, [])
        more = epochs(3, 8).transpose("point", "epoch")
        site.commit([Extend("t", "epoch", 3, more)], {"pos": 1}, [])
        site = self.reopened(states, site)
        xr.testing.assert_identical(site.read("t"), epochs(0, 8).transpose("point", "epoch"))

    def test_several_changes_of_one_group_in_one_commit(self, site: SiteRepository) -> None:
        changes = [Extend("t", "epoch", n, epochs(n, n + 2)) for n in (0, 2, 1)]
        site.commit([*changes, Put("s", epochs(0, 1)), Drop("s")], {"pos": 0}, [])
        assert site.groups() == ("t",)
        xr.testing.assert_identical(site.read("t"), epochs(0, 3))

    def test_extend_leaves_what_lacks_the_dimension(self, site: SiteRepository) -> None:
        site.commit([Extend("t", "epoch", 0, epochs(0, 2))], {"pos": 0}, [])
        changed = epochs(2, 3).assign(height=("point", np.zeros(POINTS)), new=((), 3))
        site.commit([Extend("t", "epoch", 2, changed)], {"pos": 1}, [])
        xr.testing.assert_identical(site.read("t"), epochs(0, 3).assign(new=((), 3)))

    def test_put_replaces_everything(self, states: States, site: SiteRepository) -> None:
        site.commit([Put("state", every_type()), Put("other", epochs(0, 1))], {"pos": 0}, [])
        for n, dataset in enumerate((epochs(0, 3), epochs(1, 4), epochs(0, 5), every_type())):
            site.commit([Put("state", dataset)], {"pos": n}, [])
            xr.testing.assert_identical(site.read("state"), dataset)
            site = self.reopened(states, site)
            xr.testing.assert_identical(site.read("state"), dataset)
        xr.testing.assert_identical(site.read("other"), epochs(0, 1))

    def test_put_back_and_forth(self, states: States, site: SiteRepository) -> None:
        for n in range(6):
            site.commit([Put("state", epochs(n % 2, n % 2 + 2))], {"pos": n}, [])
            if n == 3:
                site.commit([Drop("state")], {"pos": n}, [])
        xr.testing.assert_identical(self.reopened(states, site).read("state"), epochs(1, 3))

    def test_drop(self, states: States, site: SiteRepository) -> None:
        site.commit([Put("a/b", epochs(0, 1)), Put("a/c", epochs(0, 2))], {"pos": 0}, [])
        site.commit([Drop("a/b"), Drop("never")], {"pos": 1}, [])
        assert site.groups() == ("a/c",)
        site = self.reopened(states, site)
        assert site.groups() == ("a/c",)
        site.commit([Drop("a/c"), Put("a", epochs(0, 1))], {"pos": 2}, [])
        assert self.reopened(states, site).groups() == ("a",)

    def test_read_a_part(self, site: SiteRepository) -> None:
        site.commit([Extend("t", "epoch", 0, epochs(0, 10))], {"pos": 0}, [])
        whole = epochs(0, 10)
        xr.testing.assert_identical(site.read("t", "epoch", 3, 5), whole.isel(epoch=slice(3, 5)))
        xr.testing.assert_identical(site.read("t", "epoch", 8), whole.isel(epoch=slice(8, None)))
        xr.testing.assert_identical(site.read("t", "epoch", -1), whole.isel(epoch=slice(-1, None)))
        assert site.read("t", "epoch", 5, 2).sizes["epoch"] == 0
        xr.testing.assert_identical(site.read("t", "point", 2, 4), whole.isel(point=slice(2, 4)))
        part = site.read("t", variables=["height", "epoch"])
        assert set(part.data_vars) == {"height"}
        assert set(part.coords) == {"epoch"}

    def test_what_is_missing_is_said(self, site: SiteRepository) -> None:
        site.commit([Put("t", epochs(0, 1))], {"pos": 0}, [])
        with pytest.raises(SlopewatchError, match="no group u"):
            site.read("u")
        with pytest.raises(SlopewatchError, match="no dimension day"):
            site.read("t", "day")
        with pytest.raises(SlopewatchError, match="has no speed"):
            site.read("t", variables=["speed"])

    @pytest.mark.parametrize(
        ("change", "said"),
        [
            (Extend("t", "epoch", 3, epochs(3, 4)), "2 long"),
            (Extend("t", "epoch", -1, epochs(3, 4)), "2 long"),
            (Extend("new", "epoch", 1, epochs(1, 2)), "0 long"),
            (Extend("t", "day", 0, epochs(2, 3)), "no dimension day"),
            (Extend("t", "epoch", 2, epochs(2, 3).drop_vars("seq")), "seq"),
            (Extend("t", "epoch", 2, epochs(2, 3, points=3)), "does not continue"),
            (
                Extend("t", "epoch", 2, epochs(2, 3).assign(seq=("epoch", [2.0]))),
                "does not continue",
            ),
            (Put("t/inside", epochs(0, 1)), "inside"),
            (Put("../up", epochs(0, 1)), "no name"),
            (Put("s", xr.Dataset({"a b": 1})), "no name"),
            (Put("s", xr.Dataset({"a": ("x", np.array([1, "b", None], dtype=object))})), "stored"),
            (Put("s", xr.Dataset(attrs={"a": object()})), "JSON"),
            (Put("s", xr.Dataset({"t": ((), 1, {"calendar": "x"})})), "taken"),
        ],
    )
    def test_a_change_that_does_not_fit_leaves_all_as_it_was(
        self, site: SiteRepository, change: Any, said: str
    ) -> None:
        site.commit([Extend("t", "epoch", 0, epochs(0, 2))], {"pos": 0}, [b"a"])
        with pytest.raises(SlopewatchError, match=said) as caught:
            site.commit([Extend("t", "epoch", 1, epochs(1, 2, seed=9)), change], {"pos": 1}, [])
        assert not caught.value.retryable
        assert site.attrs() == {"pos": 0}
        xr.testing.assert_identical(site.read("t"), epochs(0, 2))
        site.commit([Extend("t", "epoch", 2, epochs(2, 3))], {"pos": 1}, [])
        xr.testing.assert_identical(site.read("t"), epochs(0, 3))

    def test_of_two_sessions_one_loses(self, states: States, site: SiteRepository) -> None:
        site.commit([Put("t", epochs(0, 1))], {"pos": 0}, [])
        late = states.open("site-1")
        site.commit([Put("t", epochs(1, 2))], {"pos": 1}, [b"winner"])
        assert late.attrs() == {"pos": 0}
        with pytest.raises(ConflictError):
            late.commit([Put("u", epochs(0, 1))], {"pos": 1}, [b"loser"])
        with pytest.raises(ConflictError):
            late.commit([], {"pos": 2}, [])
        late.close()
        again = states.open("site-1")
        assert again.outcomes() == (b"winner",)
        assert again.groups() == ("t",)
        site.commit([], {"pos": 3}, [])

    def test_thinning_changes_no_answer(self, states: States, site: SiteRepository) -> None:
        twin = states.open("twin")
        for n in range(30):
            for held in (site, twin):
                changes = [Extend("t", "epoch", n, epochs(n, n + 1)), Put("s", epochs(n, n + 2))]
                held.commit(changes, {"pos": n}, [f"{n}".encode()])
            if n in {7, 15, 25}:
                assert site.thin(3) > 0
                assert equal(site, twin, set()) == []
        assert site.thin(4) > 0
        assert site.thin(4) == 0
        assert site.outcomes() == (b"29",)
        site = self.reopened(states, site)
        assert equal(site, twin, set()) == []
        assert site.outcomes() == (b"29",)
        assert site.thin(1) == 3
        site.commit([Extend("t", "epoch", 10, epochs(10, 12))], {"pos": 30}, [])
        xr.testing.assert_identical(site.read("t"), epochs(0, 12))

    def test_thinning_waits_for_other_handles(self, states: States, site: SiteRepository) -> None:
        other = states.open("site-1")
        with pytest.raises(UnavailableError, match="open more than once"):
            site.thin(1)
        other.close()
        assert site.thin(1) == 0
        with pytest.raises(SlopewatchError, match="at least one"):
            site.thin(0)

    def test_equal_names_what_differs(self, states: States, site: SiteRepository) -> None:
        base = every_type()
        zero = base.copy(deep=True)
        zero["minus_zero"][1] = 0.0
        zero["text"][0] = "x"
        quiet = base.copy(deep=True)
        quiet["odd"][2] = np.nan
        other = states.open("site-2")
        site.commit([Put("a", base), Put("b", base), Put("c", base)], {"pos": 1, "v": 1}, [])
        other.commit(
            [
                Put("a", zero),
                Put("b", quiet),
                Put("c", base.assign_attrs(title="x").drop_vars("one")),
                Put("d", base),
            ],
            {"pos": 2, "v": 2},
            [],
        )
        assert equal(site, other, {"pos"}) == [
            "@v",
            "a/minus_zero",
            "a/text",
            "c/one",
            "c@title",
            "d",
        ]
        assert equal(site, site, ()) == []

    def test_closing_ends_it(self, states: States, site: SiteRepository) -> None:
        site.close()
        site.close()
        with pytest.raises(SlopewatchError, match="closed"):
            site.attrs()
        other = states.open("site-2")
        states.close()
        states.close()
        with pytest.raises(SlopewatchError, match="closed"):
            other.groups()
        with pytest.raises(SlopewatchError, match="closed"):
            states.open("site-3")

    @pytest.mark.parametrize("name", ["", "..", "a/b", ".lock", "a b", "x" * 65])
    def test_site_names(self, states: States, name: str) -> None:
        with pytest.raises(SettingsError, match="site name"):
            states.open(name)
