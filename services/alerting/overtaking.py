"""When news is no news any more: a later message about the same has overtaken it.

A message that had to be tried again may come after the next one about its unit. Sent then, "falls
to blue" would be the last thing read of a unit that is red.

Messages of one alert go out in order (`delivery`), so that only what was passed is old there. What
asks somebody to act is never old, and a drill or a test makes nothing old that is meant.
"""

from __future__ import annotations

from collections.abc import Iterable
from typing import Final

import msgspec

from core.ledger import QueuedNotification
from core.settings import rank
from services.alerting.message import WHOLE_SITE, Message

_ASKING: Final = frozenset({"review", "escalation"})
_TELLING: Final = frozenset({"level", "amended", "cancelled"})
_MESSAGE = msgspec.json.Decoder(Message)


def read(row: QueuedNotification) -> Message:
    """The message of a row. Raises `msgspec.MsgspecError` for one that cannot be read."""
    return _MESSAGE.decode(row.message)


def overtaken_by(message: Message, later: Iterable[QueuedNotification]) -> str | None:
    """Id of the first of the `later` rows that makes `message` old; None while it is news.

    One that is sent does. So does, of another alert or of none, one that still waits when its level
    is the higher: a rise that a server kept waiting must not be followed by what was before it. A
    lower one that waits does not: first the rise is told, then the fall.
    """
    if message.kind in _ASKING:
        return None
    for row in later:
        try:
            newer = read(row)
        except msgspec.MsgspecError:
            continue  # of a newer release, which looks itself before it sends
        if _makes_old(message, newer, sent=row.outcome == "sent"):
            return row.id
    return None


def rises(old: Message, new: Message) -> bool:
    """Whether `new` tells of a higher level than `old`."""
    return old.level is not None and new.level is not None and rank(new.level) > rank(old.level)


def _makes_old(old: Message, new: Message, *, sent: bool) -> bool:
    if old.status != new.status:
        return False
    if old.alert and old.alert == new.alert:
        return sent and _tells_no_less(old, new)
    same = new.unit in (old.unit, WHOLE_SITE)
    return same and _tells_no_less(old, new) and (sent or rises(old, new))


def _tells_no_less(old: Message, new: Message) -> bool:
    """A message on the level says the coverage too; one on the coverage has no news of a level."""
    return new.kind in _TELLING or (old.kind == "coverage" and new.kind == "coverage")
