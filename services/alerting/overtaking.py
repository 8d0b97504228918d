"""When news is no news any more: a later message about the same has overtaken it.

A message that had to be tried again may come after the next one about its unit. Sent then, "falls
to blue" would be the last thing read of a unit that is red.
"""

from __future__ import annotations

from collections.abc import Iterable

import msgspec

from core.ledger import QueuedNotification
from core.settings import rank
from services.alerting.message import WHOLE_SITE, Message

_MESSAGE = msgspec.json.Decoder(Message)


def read(row: QueuedNotification) -> Message:
    """The message of a row. Raises `msgspec.MsgspecError` for one that cannot be read."""
    return _MESSAGE.decode(row.message)


def overtaken_by(message: Message, later: Iterable[QueuedNotification]) -> str | None:
    """Id of the first of the `later` rows that makes `message` old; None while it is news.

    One that is sent does, and one that still waits when its level is the higher: a rise that a
    server kept waiting must not be followed by what was before it. A lower one that waits does
    not: first the rise is told, then the fall.
    """
    for row in later:
        try:
            newer = read(row)
        except msgspec.MsgspecError:
            continue  # of a newer release, which looks itself before it sends
        if _speaks_of_the_same(message, newer) and (
            row.outcome == "sent" or _rises(message, newer)
        ):
            return row.id
    return None


def _speaks_of_the_same(old: Message, new: Message) -> bool:
    """A message on the level says the coverage too; one on the coverage has no news of a level."""
    return new.unit in (old.unit, WHOLE_SITE) and (new.kind == "level" or old.kind == "coverage")


def _rises(old: Message, new: Message) -> bool:
    return old.level is not None and new.level is not None and rank(new.level) > rank(old.level)
