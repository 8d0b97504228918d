"""The first thing anybody reads: banners, then level or coverage and where."""

from __future__ import annotations

from typing import Final, Literal, NamedTuple

from core.events import Level
from core.settings import rank
from services.alerting.bulletin.language import Language
from services.alerting.message import WHOLE_SITE, Message

BannerKind = Literal["exercise", "test", "simulated"]
MAX_NAME: Final = 60
"""Characters of a name in the headline, so that none hides the other; it stands in full below."""
MAX_LINE: Final = 2000


class Banner(NamedTuple):
    """What a message that is not meant says first and last."""

    kind: BannerKind
    title: str
    note: str


def banner_kinds(message: Message) -> list[BannerKind]:
    """Why the message must not be taken for a real warning; empty for a real one."""
    kinds: list[BannerKind] = []
    if message.status == "exercise" or message.kind == "drill":
        kinds.append("exercise")
    elif message.status == "test":
        kinds.append("test")
    return [*kinds, "simulated"] if message.simulated else kinds


def banners(message: Message, language: Language) -> list[Banner]:
    """The banners of the message, in the order in which they stand."""
    return [
        Banner(kind, language.say(f"banner.{kind}.title"), language.say(f"banner.{kind}.note"))
        for kind in banner_kinds(message)
    ]


def prefixed(heading: str, message: Message, language: Language) -> str:
    """`heading` with the first word of each banner before it."""
    for kind in reversed(banner_kinds(message)):
        first = language.say(f"banner.{kind}.first")
        heading = language.say("banner.prefix", first=first, rest=heading)
    return heading


def headline(message: Message, language: Language) -> str:
    """Level or coverage, and where; without banners."""
    unit = shortened(unit_name(message, language), MAX_NAME)
    where = language.say("headline.where", unit=unit, site=shortened(site_name(message), MAX_NAME))
    level, before, review = message.level, message.previous_level, message.under_review
    if level is None or before is None:
        return language.say(f"headline.{'heard' if is_heard(message) else 'silent'}", where=where)
    return language.say(
        f"headline.{_form(message, level, before)}",
        where=where,
        level=language.say(f"levels.{level}.word"),
        before=language.say(f"levels.{before}.{_before(message)}"),
        review=language.say(f"levels.{review or level}.word"),
        coverage=language.say(f"coverage.{message.coverage}.word"),
    )


def is_all_clear(message: Message) -> bool:
    """Whether the level came down to blue, the slope is seen, and nothing higher waits."""
    return (
        message.kind == "level"
        and message.level == "blue" != message.previous_level
        and message.coverage == "watched"
        and message.under_review is None
        and message.cause not in ("left the site", "cancelled")
    )


def waits_for_release(message: Message) -> bool:
    """Whether it is an escalation because two persons have not released a draft."""
    waits = message.unanswered
    return message.kind == "escalation" and waits is not None and waits.needs == "release"


def is_heard(message: Message) -> bool:
    """Of a message by the watchdog: whether the site is heard again."""
    return message.coverage == "watched"


def unit_name(message: Message, language: Language) -> str:
    """What the slope unit is called."""
    if message.unit == WHOLE_SITE:
        return language.say("headline.all_units")
    return one_line(message.unit_name) or message.unit


def site_name(message: Message) -> str:
    """What the site is called."""
    return one_line(message.title) or message.site


def one_line(text: str) -> str:
    """`text` on one line: control, format and direction characters and white space are a space."""
    line = " ".join("".join(c if c.isprintable() else " " for c in text).split())
    return shortened(line, MAX_LINE)


def shortened(text: str, limit: int) -> str:
    """`text` of at most `limit` characters."""
    return text if len(text) <= limit else text[: limit - 3] + "..."


def _form(message: Message, level: Level, before: Level) -> str:
    """Which headline fits a message that names a level."""
    if waits_for_release(message):
        return "release"
    if message.kind in ("escalation", "review", "cancelled"):
        return message.kind
    if message.kind == "drill":
        return "same"
    if message.cause == "left the site":
        return "left"
    if message.kind == "coverage":
        return "seen_again" if message.coverage == "watched" else "coverage"
    if message.kind == "amended":
        return "amended_same" if level == before else "amended"
    if is_all_clear(message):
        return "all_clear"
    if rank(level) < rank(before) and message.coverage != "watched":
        return "not_seen"
    return "same" if level == before else "risen"


def _before(message: Message) -> str:
    return "word" if message.kind == "cancelled" else "colour"
