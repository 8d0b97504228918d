"""What goes wrong, and how it is mended."""

from __future__ import annotations

import random
import resource
import signal
import time
from collections.abc import Callable, Mapping

from tests.chaos.engine.cluster import LEASE_S, PARTS, Cluster, Part
from tests.chaos.engine.part import SEND_TIMEOUT_S

Fault = Callable[[Cluster, random.Random], None]


def kill(cluster: Cluster, chance: random.Random) -> None:
    """SIGKILL of a service, which its cluster starts again."""
    cluster.signal(_any(chance), signal.SIGKILL)


def kill_two(cluster: Cluster, chance: random.Random) -> None:
    """SIGKILL of both workers of a stage at once."""
    stage = chance.choice(["inference", "alerting"])
    for member in "01":
        cluster.signal((stage, member), signal.SIGKILL)


def stop(cluster: Cluster, chance: random.Random) -> None:
    """SIGSTOP for less than the lease."""
    _stop_for(cluster, _any(chance), chance.uniform(0.2, 0.6) * LEASE_S)


def stop_long(cluster: Cluster, chance: random.Random) -> None:
    """SIGSTOP until its partitions have moved; then SIGCONT, as a worker that knows nothing."""
    part = (chance.choice(["inference", "alerting"]), chance.choice("01"))
    _stop_for(cluster, part, LEASE_S * chance.uniform(1.5, 2.0))


def ask_to_end(cluster: Cluster, chance: random.Random) -> None:
    """SIGTERM of a service: partitions are handed over at once."""
    cluster.signal(_any(chance), signal.SIGTERM)


def kill_broker(cluster: Cluster, chance: random.Random) -> None:
    """SIGKILL of the broker and a quick restart."""
    cluster.broker.kill()
    cluster.broker.start()


def stop_broker(cluster: Cluster, chance: random.Random) -> None:
    """The broker is stopped for longer than a send may take."""
    cluster.broker.pause()
    time.sleep(SEND_TIMEOUT_S * chance.uniform(1.5, 2.5))
    cluster.broker.resume()


def fill_disk(cluster: Cluster, chance: random.Random) -> None:
    """The log's disk is full: the broker can write no more and halts; then there is room again."""
    process = cluster.broker.pid
    resource.prlimit(process, resource.RLIMIT_FSIZE, (1, resource.RLIM_INFINITY))
    time.sleep(chance.uniform(2.0, 4.0))
    cluster.broker.kill()
    cluster.broker.start()


def restart_postgres(cluster: Cluster, chance: random.Random) -> None:
    """PostgreSQL is stopped, or killed, and started again."""
    if chance.random() < 0.5:
        cluster.postgres.kill()
        time.sleep(chance.uniform(0.0, 2.0))
        cluster.postgres.start()
    else:
        cluster.postgres.restart()


def lose_store(cluster: Cluster, chance: random.Random) -> None:
    """The object store of the states answers nothing for a while."""
    cluster.store.pause()
    time.sleep(chance.uniform(2.0, 8.0))
    cluster.store.resume()


def lose_sinks(cluster: Cluster, chance: random.Random) -> None:
    """Mail and webhook are down for hours, by the clocks of the services."""
    cluster.shut_sinks()
    for _ in range(4):
        time.sleep(chance.uniform(0.5, 1.5))
        cluster.step_clocks(0.75 * 3600)
    cluster.open_sinks()


def step_clocks(cluster: Cluster, chance: random.Random) -> None:
    """All clocks jump, forward or back."""
    cluster.step_clocks(chance.choice([-1.0, 1.0]) * chance.uniform(1.0, 1800.0))


SHARES: Mapping[Fault, int] = {
    kill: 100,
    kill_two: 14,
    stop: 20,
    stop_long: 24,
    ask_to_end: 12,
    kill_broker: 8,
    stop_broker: 4,
    fill_disk: 3,
    restart_postgres: 10,
    lose_store: 8,
    lose_sinks: 5,
    step_clocks: 12,
}
"""How often each of 220 faults is of which kind."""


def deck(number: int, seed: int) -> list[Fault]:
    """`number` faults in a random order: every kind at least once, else by its share."""
    total = sum(SHARES.values())
    counts = {fault: max(1, round(share * number / total)) for fault, share in SHARES.items()}
    counts[kill] = max(1, counts[kill] + number - sum(counts.values()))
    faults = [fault for fault, count in counts.items() for _ in range(count)]
    random.Random(seed).shuffle(faults)
    return faults


def _any(chance: random.Random) -> Part:
    return chance.choice(PARTS)


def _stop_for(cluster: Cluster, part: Part, seconds: float) -> None:
    cluster.signal(part, signal.SIGSTOP)
    time.sleep(seconds)
    cluster.signal(part, signal.SIGCONT)
