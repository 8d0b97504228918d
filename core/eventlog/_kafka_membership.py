"""What kafka-python does in a group, made to keep what `core.eventlog` promises of one.

The only module that reaches into kafka-python 3.0.12 for more than it makes public; each reach
says why. Seen in its `coordinator/base.py`.
"""

from __future__ import annotations

import threading
from collections.abc import Callable, Collection
from typing import Any, Final

from kafka import AsyncConsumerRebalanceListener, KafkaConsumer

_GLANCE_S: Final = 0.005


class Membership(AsyncConsumerRebalanceListener):  # type: ignore[misc]
    """Hears of changes of the group inside `poll`, on kafka-python's own thread.

    What is revoked is told at once, so that it is let go of before somebody else gets it: in a
    thread beside, since that one must go on beating and serve what the listener asks of the broker.
    What is assigned waits for the thread that polls.
    """

    def __init__(self, consumer: KafkaConsumer, revoked: Callable[[frozenset[int]], None]) -> None:
        self._tell = revoked
        self._assigned: frozenset[int] | None = None
        self._failure: Exception | None = None
        # There is no public way to wait on kafka-python's loop from a listener.
        self._sleep = consumer._net.sleep
        self._coordinator = consumer._coordinator
        self._join = self._coordinator._do_join_and_sync_async
        self._joined: Any = None
        self._coordinator._do_join_and_sync_async = self._join_once

    async def _join_once(self) -> Any:
        """Join, and keep what was assigned until it has been taken.

        A join that ends between two polls is thrown away and begun anew, which lets a group whose
        members poll briefly share out its partitions for ever.
        """
        if self._joined is None:
            self._joined = await self._join()
        return self._joined

    def go_on(self) -> None:
        """Finish what was begun; to be called before each poll.

        A join that new metadata had caused is forgotten when it outlasts a poll: the member would
        hold its partitions, read nothing of them and beat no more.
        """
        if self._coordinator.rejoining:
            self._coordinator.request_rejoin()

    @property
    def silenced(self) -> bool:
        """Whether a heartbeat was answered that another process has this member id.

        `poll` says nothing of it and goes on reading.
        """
        group = self._coordinator
        return bool(group.stable() and not group.rejoining and not group._heartbeat_enabled)

    def take_failure(self) -> Exception | None:
        """What the listener raised when partitions were revoked, once."""
        failure, self._failure = self._failure, None
        return failure

    def take_assigned(self) -> frozenset[int] | None:
        """The partitions of the last assignment, once."""
        assigned, self._assigned = self._assigned, None
        return assigned

    async def on_partitions_revoked(self, revoked: Collection[Any]) -> None:
        """They are about to go."""
        partitions = frozenset(place.partition for place in revoked)
        self._assigned = self._joined = None
        teller = threading.Thread(target=self._guarded, args=(partitions,))
        teller.start()
        while teller.is_alive():
            await self._sleep(_GLANCE_S)

    async def on_partitions_lost(self, lost: Collection[Any]) -> None:
        """They have gone."""
        await self.on_partitions_revoked(lost)

    async def on_partitions_assigned(self, assigned: Collection[Any]) -> None:
        """They are this member's now."""
        self._joined = None
        self._assigned = frozenset(place.partition for place in assigned)

    def _guarded(self, partitions: frozenset[int]) -> None:
        try:
            self._tell(partitions)
        except Exception as error:
            self._failure = error
