"""What a bulletin says, section by section, before it has a form."""

from __future__ import annotations

from collections.abc import Callable, Mapping, Sequence
from typing import TYPE_CHECKING, NamedTuple

from core.settings import rank
from services.alerting.bulletin import votes
from services.alerting.bulletin.headline import (
    banner_kinds,
    is_all_clear,
    is_heard,
    one_line,
    site_name,
    unit_name,
    waits_for_release,
)
from services.alerting.bulletin.language import Language
from services.alerting.message import WHOLE_SITE, Message

if TYPE_CHECKING:
    from services.alerting.bulletin.pictures import Picture

_SAYS_WHEN = ("measured", "old", "decorrelated", "out of range")
_BY_A_PERSON = ("amended", "cancelled", "drill")


class Shown(NamedTuple):
    """A picture in the HTML: where it is, what it shows in figures, how it is read."""

    content_id: str
    alt: str
    caption: str


class Section(NamedTuple):
    """A title, sentences that each stand by themselves, and pictures beside them.

    `key` is the section's name in the language files, the same in every language.
    """

    key: str
    title: str
    lines: tuple[str, ...]
    pictures: tuple[Shown, ...] = ()


def sections_of(
    message: Message, language: Language, pictures: Sequence[Picture] = ()
) -> tuple[Section, ...]:
    """Everything the bulletin says, in the order in which it is needed."""
    told: list[Section] = []
    for key, lines_of in _ORDER:
        title = language.say(f"sections.{key}")
        if key == "pictures":
            drawn = _pictures(title, message, language, pictures)
            told += [drawn] if drawn else []
        elif lines := [one_line(line) for line in lines_of(message, language) if line]:
            told.append(Section(key, title, tuple(lines)))
    return tuple(told)


def _happened(message: Message, language: Language) -> list[str]:
    level, before = message.level, message.previous_level
    reason = message.reason if language.is_original else ""
    if level is None or before is None:
        said = language.say(f"happened.{'heard' if is_heard(message) else 'silent'}")
        return [reason or said, language.say("happened.level_not_known")]
    words = {
        "now": language.say(f"levels.{level}.word"),
        "before": language.say(f"levels.{before}.word"),
        "review": language.say(f"levels.{message.under_review or level}.word"),
    }
    lines = [*_purpose(message, language, words)]
    if message.kind == "drill":
        return lines
    if level != before:
        moved = "rose" if rank(level) > rank(before) else "lowered"
        lines.append(language.say(f"happened.{moved}", **words))
    elif message.kind not in ("escalation", "review"):
        lines.append(language.say("happened.unchanged", **words))
    if message.cause == "left the site":
        lines.append(language.say("happened.left the site"))
    if is_all_clear(message):
        lines.append(language.say("happened.all_clear"))
    if message.under_review and message.kind != "review":
        lines.append(language.say("happened.under_review", **words))
    lines.append(_coverage_changed(message, language))
    if reason:
        return [*lines, language.say("happened.reason", reason=reason)]
    return [*lines, *_because(message, language)]


def _purpose(message: Message, language: Language, words: Mapping[str, str]) -> list[str]:
    """What the message is beside news of a level."""
    if message.kind == "escalation":
        return _escalation(message, language, words)
    lines = []
    if message.kind in ("review", *_BY_A_PERSON):
        lines.append(language.say(f"happened.{message.kind}", **words))
    if message.late_data is not None:
        day = language.date(message.late_data.epoch)
        lines.append(language.say("happened.late_data", day=day, track=message.late_data.track))
    return lines + (_who(message, language) if message.kind in _BY_A_PERSON else [])


def _escalation(message: Message, language: Language, words: Mapping[str, str]) -> list[str]:
    waits = message.unanswered
    key, since = "acknowledgement", message.known_since
    if waits is not None:
        key, since = waits.needs, waits.since
    moment = language.moment(since)
    lines = [language.say(f"happened.escalation.{key}", moment=moment, **words)]
    if waits is None:
        return lines
    if waits.round > 1:
        lines.append(language.say("happened.escalation.round", round=waits.round))
    said = {"nobody_on_duty": waits.nobody_on_duty, "last": waits.last}
    return lines + [language.say(f"happened.escalation.{one}") for one in said if said[one]]


def _because(message: Message, language: Language) -> list[str]:
    """For languages in which no reason is written: what the level hangs on."""
    lines = [votes.asked(message, language)]
    lowered = message.level != message.previous_level and not is_all_clear(message)
    if lowered and message.cause in ("fresh epochs", "closed days"):
        lines.append(language.say(f"happened.{message.cause}"))
    if message.silenced_by and message.silenced_at:
        level = language.say(f"levels.{message.silenced_at}.word")
        lines.append(language.say("happened.silenced", operator=message.silenced_by, level=level))
    if message.coverage != message.previous_coverage:
        lines.append(_state(message, language))
    return lines


def _coverage_changed(message: Message, language: Language) -> str:
    if message.coverage == message.previous_coverage:
        return ""
    return language.say(
        "happened.coverage",
        before=language.say(f"coverage.{message.previous_coverage}.word"),
        now=language.say(f"coverage.{message.coverage}.word"),
    )


def _where(message: Message, language: Language) -> list[str]:
    site = language.say("where.site", site=site_name(message), id=message.site)
    if message.unit == WHOLE_SITE:
        return [site, language.say("where.all" if message.level else "where.all_no_level")]
    unit = unit_name(message, language)
    return [site, language.say("where.unit", unit=unit, id=message.unit)]


def _do(message: Message, language: Language) -> list[str]:
    if message.level is None:
        lines = language.lines(f"do.{'heard' if is_heard(message) else 'silent'}")
    elif message.kind == "review" or waits_for_release(message):
        lines = language.lines("do.review")
    elif message.kind == "cancelled":
        lines = language.lines("do.cancelled")
    elif message.cause == "left the site":
        lines = language.lines("do.left")
    else:
        lines = language.lines(f"do.{message.level}")
    if message.coverage in ("blind", "out of range"):
        if message.level == "blue" and message.kind == "coverage":
            lines = lines[1:]
        lines.insert(0, language.say("do.not_seen"))
    if message.kind == "escalation" and not waits_for_release(message):
        lines.insert(0, language.say("do.acknowledge"))
    if kinds := banner_kinds(message):
        lines.insert(0, language.say(f"do.instead.{kinds[0]}"))
    return lines


def _pictures(
    title: str, message: Message, language: Language, pictures: Sequence[Picture]
) -> Section | None:
    """The pictures; one that could not be drawn is a line."""
    lines = [one_line(picture.words(message, language)) for picture in pictures]
    shown = tuple(
        Shown(picture.content_id, line, language.say(f"pictures.{picture.kind}_caption"))
        for picture, line in zip(pictures, lines, strict=True)
        if picture.png
    )
    return Section("pictures", title, tuple(lines), shown) if pictures else None


def _since(message: Message, language: Language) -> list[str]:
    if message.level is None or message.kind == "drill":
        return []
    day, moment = language.date(message.arose), language.moment(message.known_since)
    lines = [language.say("since.since", day=day, moment=moment)]
    if message.late_days > 0:
        key = "since.late_one" if message.late_days == 1 else "since.late_many"
        because = language.say(f"since.{message.late_because or 'not_known'}")
        lines.append(language.say(key, days=message.late_days, because=because))
    return lines


def _measured(message: Message, language: Language) -> list[str]:
    return votes.measured(message, language) if _is_judged(message) else []


def _modelled(message: Message, language: Language) -> list[str]:
    return votes.modelled(message, language) if _is_judged(message) else []


def _is_judged(message: Message) -> bool:
    return message.level is not None and message.kind != "drill"


def _seen(message: Message, language: Language) -> list[str]:
    if not _is_judged(message):
        return []
    lines = [_state(message, language), language.say(f"coverage.{message.coverage}.meaning")]
    if message.next_pass is None:
        return [*lines, language.say("seen.next_not_known")]
    return [*lines, language.say("seen.next_pass", day=language.date(message.next_pass))]


def _state(message: Message, language: Language) -> str:
    reason = message.coverage_reason if language.is_original else _sight(message, language)
    word = language.say(f"coverage.{message.coverage}.word")
    if not reason:
        return language.say("seen.state", coverage=word)
    return language.say("seen.state_reason", coverage=word, reason=reason)


def _sight(message: Message, language: Language) -> str:
    """Why the unit is covered as it is, for languages in which no reason is written."""
    facts = message.coverage_facts
    if facts is None or (facts.measured is None and facts.cause in _SAYS_WHEN):
        return ""
    now, usual = facts.few or ("", "")
    return language.say(
        f"seen.{facts.cause}",
        track=facts.track,
        day=language.date(facts.measured) if facts.measured else "",
        age=facts.age_days,
        now=now,
        usual=usual,
    )


def _record(message: Message, language: Language) -> list[str]:
    level = message.under_review if message.kind == "review" else message.level
    if level in (None, "blue") or message.kind in ("coverage", "cancelled", "drill"):
        return []
    if message.of_100 is None:
        return [language.say("record.not_known")]
    return [language.say("record.of_100", count=message.of_100)]


def _acts(message: Message, language: Language) -> list[str]:
    owner = one_line(message.owner)
    lines = [language.say("acts.owner", owner=owner)] if owner else []
    return lines if message.kind in _BY_A_PERSON else [*lines, *_who(message, language)]


def _who(message: Message, language: Language) -> list[str]:
    operator, reviewer = one_line(message.operator), one_line(message.reviewed_by)
    lines = []
    if reviewer and operator:
        lines.append(language.say("acts.released", reviewer=reviewer, operator=operator))
    elif operator:
        lines.append(language.say("acts.operator", operator=operator))
    note = one_line(message.note)
    if note and not reviewer:
        lines.clear()
    if note:
        key = "acts.note" if operator else "acts.anonymous_note"
        lines.append(language.say(key, operator=operator, note=note))
    return lines


def _earlier(message: Message, language: Language) -> list[str]:
    if not message.references:
        return []
    last = message.references[-1]
    return [
        language.say("earlier.count", number=len(message.references) + 1),
        language.say("earlier.latest", id=last.id, moment=language.moment(last.sent)),
    ]


def _proof(message: Message, language: Language) -> list[str]:
    lines = [language.say("proof.notification", id=message.id)]
    if message.alert:
        public = f"{message.alert}.{message.seq}"
        lines.append(language.say("proof.alert", alert=message.alert, public=public))
    if not message.ledger_head:
        return [*lines, language.say("proof.past_ledger")]
    head = {"site": message.site, "seq": message.seq, "head": message.ledger_head}
    return [*lines, language.say("proof.ledger", **head)]


def _none(message: Message, language: Language) -> list[str]:
    return []


_ORDER: tuple[tuple[str, Callable[[Message, Language], list[str]]], ...] = (
    ("happened", _happened),
    ("where", _where),
    ("do", _do),
    ("pictures", _none),
    ("since", _since),
    ("measured", _measured),
    ("modelled", _modelled),
    ("rules", votes.judged),
    ("shown", votes.shown),
    ("seen", _seen),
    ("record", _record),
    ("acts", _acts),
    ("earlier", _earlier),
    ("proof", _proof),
)
"""The sections of a bulletin in the order in which a reader needs them."""
