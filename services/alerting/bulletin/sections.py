"""What a bulletin says, section by section, before it has a form."""

from __future__ import annotations

from datetime import UTC, datetime
from typing import NamedTuple

from core.events import Vote
from core.settings import rank
from services.alerting.bulletin import words
from services.alerting.coverage import plain_date
from services.alerting.message import WHOLE_SITE, Message


class Section(NamedTuple):
    """A title, and sentences that each stand by themselves."""

    title: str
    lines: tuple[str, ...]


def one_line(text: str) -> str:
    """`text` on one line: control characters and runs of white space are one space."""
    return " ".join("".join(c if c.isprintable() else " " for c in text).split())


def headline(message: Message) -> str:
    """Level or coverage, and where: the first thing anybody reads."""
    where = f"{unit_name(message)}, {site_name(message)}"
    level, before = message.level, message.previous_level
    if level is None or before is None:
        return f"{words.PIPELINE_WORDS[_is_silent(message)]}: {where}"
    if message.kind == "level":
        was = f" (was {before.upper()})" if before != level else ""
        return f"{words.LEVEL_WORDS[level]}{was}: {where}"
    coverage = words.COVERAGE_WORDS[message.coverage]
    again = " again" if message.coverage == "watched" else ""
    return f"{coverage}{again}: {where} (level {words.LEVEL_WORDS[level]})"


def unit_name(message: Message) -> str:
    """What the slope unit is called."""
    if message.unit == WHOLE_SITE:
        return "all slope units"
    return one_line(message.unit_name) or message.unit


def site_name(message: Message) -> str:
    """What the site is called."""
    return one_line(message.title) or message.site


def sections_of(message: Message) -> tuple[Section, ...]:
    """Everything the bulletin says, in the order in which it is needed."""
    told = [
        ("What happened", _what_happened(message)),
        ("Where", _where(message)),
        ("What to do", _what_to_do(message)),
    ]
    if message.level is not None:
        told += [
            ("Since when", _since_when(message)),
            ("What is measured", _measured(message)),
            ("What is modelled", _modelled(message)),
            ("Can the slope be seen", _coverage(message)),
        ]
    told.append(("To verify this message", _proof(message)))
    return tuple(
        Section(title, tuple(one_line(line) for line in lines if line))
        for title, lines in told
        if lines
    )


def _is_silent(message: Message) -> bool:
    """Of a message by the watchdog: whether nothing is heard of the site."""
    return message.coverage != "watched"


def _what_happened(message: Message) -> list[str]:
    lines = []
    level, before = message.level, message.previous_level
    if level is None or before is None:
        return [message.reason, words.LEVEL_NOT_KNOWN]
    now_word, before_word = words.LEVEL_WORDS[level], words.LEVEL_WORDS[before]
    if level != before:
        verb = "rose" if rank(level) > rank(before) else "was lowered"
        lines.append(f"The level {verb} from {before_word} to {now_word}.")
    else:
        lines.append(f"The level is unchanged: {now_word}.")
    coverage, earlier = message.coverage, message.previous_coverage
    if coverage != earlier:
        lines.append(
            f"Coverage changed from {words.COVERAGE_WORDS[earlier]} to "
            f"{words.COVERAGE_WORDS[coverage]}."
        )
    if message.reason:
        lines.append(f"Reason: {message.reason}")
    return lines


def _where(message: Message) -> list[str]:
    site = f"Site: {site_name(message)} (id {message.site})"
    if message.level is None:
        return [site, "All slope units of the site."]
    if message.unit == WHOLE_SITE:
        return [site, "All slope units of the site; the level is the highest of them."]
    return [site, f"Slope unit: {unit_name(message)} (id {message.unit})"]


def _what_to_do(message: Message) -> list[str]:
    if message.level is None:
        lines = list(words.PIPELINE_ADVICE[_is_silent(message)])
    else:
        lines = list(words.ADVICE[message.level])
    if message.coverage in ("blind", "out of range"):
        if message.level == "blue":
            lines = lines[1:]
        lines.insert(0, words.NOT_SEEN_ADVICE)
    if message.simulated:
        lines.insert(0, "Nothing: this is simulated. In a real case:")
    return lines


def _since_when(message: Message) -> list[str]:
    lines = [
        f"The news speaks of {plain_date(message.arose)} and has been known to this service since "
        f"{plain_moment(message.known_since)}."
    ]
    if message.late_days > 0:
        days = "1 day" if message.late_days == 1 else f"{message.late_days} days"
        lines.append(
            f"It is told {days} later than it should have been: measurements or daily runs reached "
            "the service late, or the news was held back (a silence, or days still missing)."
        )
    return lines


def _measured(message: Message) -> list[str]:
    if not message.votes:
        return ["No rule has judged a measurement for this message."]
    return [_vote(vote) for vote in message.votes]


def _vote(vote: Vote) -> str:
    meaning = words.RULES.get(vote.rule)
    rule = f"Rule {vote.rule}" + (f" ({meaning})" if meaning else "")
    asks = f"asks for {words.LEVEL_WORDS[vote.level]}" if vote.calibrated else "does not judge"
    figures = _figures(vote, modelled=False)
    return f"{rule}, satellite track {vote.track}, {asks}: {vote.reason}{figures}."


def _modelled(message: Message) -> list[str]:
    lines = [
        f"Rule {vote.rule}, satellite track {vote.track}{figures}."
        for vote in message.votes
        if (figures := _figures(vote, modelled=True))
    ]
    if message.votes:
        lines.append(words.MODEL_NOTE)
    named = {name for vote in message.votes for name in vote.figures}
    if not any(name.startswith(("forecast_", "failure_")) for name in named):
        lines.append(words.NO_FORECAST_NOTE)
    return lines


def _figures(vote: Vote, *, modelled: bool) -> str:
    chosen = [
        words.figure(name, value)
        for name, value in vote.figures.items()
        if words.is_modelled(name) == modelled
    ]
    return (": " if modelled else ". Figures: ") + "; ".join(chosen) if chosen else ""


def _coverage(message: Message) -> list[str]:
    reason = f": {message.coverage_reason}" if message.coverage_reason else ""
    lines = [
        f"{words.COVERAGE_WORDS[message.coverage]}{reason}.",
        words.COVERAGE_MEANING[message.coverage],
    ]
    if message.next_pass is None:
        lines.append("Next satellite pass: not known.")
    else:
        lines.append(
            f"Next satellite pass: expected on {plain_date(message.next_pass)}; its result comes "
            "hours to days later."
        )
    return lines


def _proof(message: Message) -> list[str]:
    if not message.ledger_head:
        return [f"Notification {message.id}", "Sent past the ledger: nothing there vouches for it."]
    return [
        f"Notification {message.id}",
        f"Ledger of site {message.site}, sequence {message.seq}, head {message.ledger_head}",
    ]


def plain_moment(moment: datetime) -> str:
    """A moment as people write it: 3 March 2024, 06:00 UTC."""
    moment = moment.astimezone(UTC)
    return f"{plain_date(moment.date())}, {moment:%H:%M} UTC"
