"""What an input made of a site, before anybody is told."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from types import MappingProxyType
from typing import Final, Literal, NamedTuple

import msgspec

from core.events import AlertAction, Level
from core.ledger import Deadline
from services.alerting.message import Unanswered
from services.alerting.state import NewsKind, SiteAlerts

News = Mapping[str, Sequence[NewsKind]]
"""By unit: what there is to tell of it."""
NOTHING: Final[News] = MappingProxyType({})


class Handling(msgspec.Struct, frozen=True, kw_only=True):
    """Something done about an alert, by an operator or (`by` empty) by the service itself.

    `alert` empty: the one that is open, or was, when the input is done.
    """

    unit: str
    action: AlertAction
    by: str = ""
    reason: str = ""
    alert: str = ""


class Call(NamedTuple):
    """A message to named recipients beside the news.

    `drill`: the level to be exercised, and why. `unanswered`: what an escalation waits for.
    """

    kind: Literal["escalation", "drill"]
    unit: str
    to: tuple[str, ...]
    drill: Level | None = None
    operator: str = ""
    note: str = ""
    unanswered: Unanswered | None = None


class Turn(NamedTuple):
    """What an input made of a site.

    `facts`: what the decision row says beside the changes. `decides`: there is a row even when
    nothing changed. `catching_up`: more closed days follow at once; None when the input is not a
    closed day. `deadlines` are new; those that nothing waits for any more are done by themselves,
    those in `done` besides. `said`: news that no missing day holds back: a person's word, and
    what has waited for too long.
    `calls`: messages to named recipients. `due`: recipients whose wait is over.
    """

    after: SiteAlerts
    facts: Mapping[str, object]
    decides: bool = False
    catching_up: bool | None = None
    deadlines: tuple[Deadline, ...] = ()
    done: tuple[str, ...] = ()
    handled: tuple[Handling, ...] = ()
    said: News = NOTHING
    calls: tuple[Call, ...] = ()
    due: tuple[str, ...] = ()
