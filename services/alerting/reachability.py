"""Who cannot be reached, and since when: what senders wrote down, made into one verdict a person.

A warning that reaches nobody is worse than none, because it counts as given. So a route is said to
be dead early, after `DEAD_AFTER` failures in a row (about two minutes) or as soon as a message is
given up for good, by an error in the log, once; by a metric; and by `slopewatch alerts contacts`.
What goes on being tried says itself when the route is back.
"""

from __future__ import annotations

from collections import Counter
from collections.abc import Callable, Iterable
from dataclasses import dataclass
from datetime import datetime, timedelta
from typing import Final, Literal

import structlog

from core.ledger.routes import Lane, Route
from core.settings import Site
from services.alerting.notifier import Notifier, RecipientGoneError
from services.alerting.outbox import Outbox

Standing = Literal["reached", "failing", "unreachable", "not sent", "not tried"]
"""`failing`: the last try failed, which may pass. `not sent`: messages wait that no sender takes.
`not tried`: there was nothing to send so far."""

DEAD_AFTER: Final = 3
"""Failures in a row after which a route counts as dead."""
OVERDUE: Final = timedelta(minutes=15)
"""After so long without a try no sender seems to run."""
LOOK_EVERY: Final = timedelta(minutes=1)


@dataclass(frozen=True)
class Contact:
    """A recipient of a site and how it stands with the way there; `listed`: in the site's file."""

    route: Route
    standing: Standing
    listed: bool = True

    @property
    def is_cut_off(self) -> bool:
        """Whether somebody must act, for messages do not get there."""
        return self.listed and self.standing in ("unreachable", "not sent")


def standing(route: Route, now: datetime) -> Standing:
    """How it stands with a route at `now`."""
    if route.failures >= DEAD_AFTER or route.given_up:
        return "unreachable"
    if route.untried_since is not None and now - route.untried_since >= OVERDUE:
        return "not sent"
    if route.failing_since is not None:
        return "failing"
    return "reached" if route.sent_at is not None else "not tried"


def contacts(site: Site, routes: Iterable[Route], now: datetime) -> list[Contact]:
    """Every recipient of `site`, in the order of its file, then those that it lists no more."""
    known = {route.recipient: route for route in routes if route.site == site.name}
    listed = []
    for one in site.recipients:
        empty = Route(site=site.name, recipient=one.id, channel=one.notifier.kind)
        route = known.pop(one.id, empty)
        listed.append(Contact(route, standing(route, now)))
    return listed + [Contact(route, standing(route, now), False) for route in known.values()]


class Watch:
    """A sender's eye on the routes; says in the log what goes dead and what is back.

    `tell` gets a site and how many of its recipients cannot be reached, whenever it has looked.
    """

    def __init__(
        self,
        outbox: Outbox,
        resolve: Callable[[str, str], Notifier],
        tell: Callable[[str, int], None],
    ) -> None:
        self._outbox = outbox
        self._resolve = resolve
        self._tell = tell
        self._looked: datetime | None = None
        self._stirred = True
        self._dead: dict[Lane, Route] = {}
        self._sites: set[str] = set()
        self._logger = structlog.get_logger().bind(stage="sender")

    def stir(self) -> None:
        """Something was tried: look again."""
        self._stirred = True

    def look(self, now: datetime) -> None:
        """Look, where there may be news, at most once in `LOOK_EVERY`.

        What another sender did is news while a route is dead. Raises what the outbox raises.
        """
        lately = self._looked is not None and now - self._looked < LOOK_EVERY
        if lately or not (self._stirred or self._dead):
            return
        self._looked, self._stirred = now, False
        routes = {(one.site, one.recipient): one for one in self._outbox.routes()}
        dead = {
            lane: route
            for lane, route in routes.items()
            if standing(route, now) == "unreachable" and self._is_listed(lane)
        }
        for lane in dead.keys() - self._dead.keys():
            self._say_dead(dead[lane])
        for lane in self._dead.keys() - dead.keys():
            self._say_back(routes.get(lane, self._dead[lane]))
        self._dead = dead
        self._sites |= {site for site, _ in routes}
        count = Counter(site for site, _ in dead)
        for site in self._sites:
            self._tell(site, count[site])

    def _is_listed(self, lane: Lane) -> bool:
        try:
            self._resolve(*lane)
        except RecipientGoneError:
            return False
        except Exception:
            # A notifier that cannot be opened is why it is dead; the tries say what to mend.
            return True
        return True

    def _say_dead(self, route: Route) -> None:
        self._logger.error(
            "recipient cannot be reached: tell them by another way, and mend what the reason names",
            site=route.site,
            recipient=route.recipient,
            channel=route.channel,
            since=str(route.failing_since),
            tries=route.failures,
            waiting=route.waiting,
            given_up=route.given_up,
            reason=route.reason,
        )

    def _say_back(self, route: Route) -> None:
        self._logger.warning(
            "recipient can be reached again, or is listed no more",
            site=route.site,
            recipient=route.recipient,
            channel=route.channel,
            waiting=route.waiting,
            answer=route.receipt,
        )
