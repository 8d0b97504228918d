"""A loop that stands still is noticed; one that works or waits for long is not."""

from __future__ import annotations

import threading

from services.liveness import Liveness


class Clock:
    """A monotonic clock that is set."""

    def __init__(self) -> None:
        self.now = 100.0

    def __call__(self) -> float:
        return self.now


class Stop(threading.Event):
    """An event by whose waiting the clock moves."""

    def __init__(self, clock: Clock) -> None:
        super().__init__()
        self._clock = clock
        self.seen: list[list[str]] = []
        self.liveness: Liveness

    def wait(self, timeout: float | None = None) -> bool:
        assert timeout is not None
        self._clock.now += timeout
        self.seen.append(self.liveness.hung())
        return self.is_set()


def test_a_loop_hangs_when_one_pass_takes_longer_than_it_may() -> None:
    clock, stop = Clock(), threading.Event()
    liveness = Liveness(clock)
    quick, slow = liveness.watch("quick", 60.0, stop), liveness.watch("slow", 600.0, stop)
    clock.now += 60
    assert liveness.hung() == []
    clock.now += 1
    (said,) = liveness.hung()
    assert said.startswith("quick has not passed for 1 min (limit 1 min)")
    assert not quick.is_set()
    assert liveness.hung() == []
    clock.now += 600
    assert [one.split()[0] for one in liveness.hung()] == ["quick", "slow"]
    assert not slow.is_set()
    assert [one.split()[0] for one in liveness.hung()] == ["quick"]


def test_waiting_does_not_count() -> None:
    clock = Clock()
    stop = Stop(clock)
    stop.liveness = Liveness(clock)
    pulse = stop.liveness.watch("scheduler", 60.0, stop)
    assert not pulse.wait(3600)
    assert stop.seen == [[]]
    clock.now += 60
    assert stop.liveness.hung() == []
    clock.now += 1
    assert len(stop.liveness.hung()) == 1


def test_every_loop_stops_with_the_one_event() -> None:
    stop = threading.Event()
    liveness = Liveness()
    one, other = liveness.watch("one", 60.0, stop), liveness.watch("other", 60.0, stop)
    one.set()
    assert other.is_set()
    assert other.wait(0)
    assert stop.is_set()
