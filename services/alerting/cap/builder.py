"""A CAP message out of a message: one decision of a case is one CAP message, whoever gets it.

How levels and evidence become urgency, severity, certainty and validity is in docs/cap.md. What is
not for the public is left out: names of operators, and a level that waits for its two persons.

Source: OASIS Standard CAP 1.2, section 3.2.
"""

from __future__ import annotations

import re
from collections.abc import Iterator, Mapping
from datetime import UTC, datetime, time, timedelta
from typing import Final, NamedTuple

import msgspec

from core.errors import SettingsError, SlopewatchError
from core.events import Level
from core.settings import Site, SlopeUnit
from services.alerting.bulletin import banners, load_language, render, sections_of
from services.alerting.bulletin.headline import is_all_clear
from services.alerting.cap.model import Alert, Area, Earlier, Info, Pair
from services.alerting.message import WHOLE_SITE, Message

LATENCY: Final = timedelta(days=3)
"""From a pass to the word on it, on a slow day."""
STANDING: Final = timedelta(days=90)
USUAL_REPEAT: Final = timedelta(days=12)
"""Between two passes where the site file does not say."""

EVENTS: Final[Mapping[str, str]] = {
    "en": "Slope instability",
    "es": "Inestabilidad de ladera",
    "zh": "边坡失稳",
}
"""Language -> what the event is called."""

_URGENCY: Final[Mapping[Level, str]] = {
    "blue": "Past",
    "yellow": "Future",
    "orange": "Expected",
    "red": "Immediate",
}
_SEVERITY: Final[Mapping[Level, str]] = {
    "blue": "Minor",
    "yellow": "Moderate",
    "orange": "Severe",
    "red": "Extreme",
}
_RESPONSES: Final[Mapping[Level, tuple[str, ...]]] = {
    "blue": (),
    "yellow": ("Monitor",),
    "orange": ("Prepare",),
    "red": ("Execute", "Avoid"),
}
_NOT_IN_DESCRIPTION = ("do", "pictures")
_MARKUP = re.compile(r"<(?=[a-zA-Z/!])|&(?=[a-zA-Z0-9#]+;)")
_OUT_OF_MARKUP = {"<": "‹", "&": "＆"}


class NotForCapError(SlopewatchError):
    """The message is none that a CAP consumer should see; says why."""


class Issuer(NamedTuple):
    """Who warns, and whom: what the settings of the notifier say."""

    sender: str
    sender_name: str
    languages: tuple[str, ...]
    scope: str = "Public"
    restriction: str = ""
    addresses: tuple[str, ...] = ()
    web: str = ""
    contact: str = ""
    geocodes: Mapping[str, str] = {}


def identifier(message: Message) -> str:
    """Public name of what one decision says of an alert, `alert.seq`: the same for everybody."""
    return f"{_case(message)}.{message.seq}"


def _case(message: Message) -> str:
    """The alert, fit for a file name; what belongs to none is a case of its own."""
    alert = message.alert or f"{message.site}.{message.unit}.{message.seq}"
    return alert.replace(WHOLE_SITE, "all")


def sent_at(message: Message) -> datetime:
    """When the message counts as sent: the same at every attempt, and after all it refers to."""
    told = message.sent or message.known_since
    return max([told, *(earlier.sent for earlier in message.references)])


def alert_of(message: Message, issuer: Issuer, site: Site | None) -> Alert:
    """The CAP message. `site` is the site file of the message, None where it names none.

    Raises `NotForCapError` for what no CAP consumer should see, and `SettingsError` for a language
    that there is not.
    """
    kind = message_type(message)
    public = _for_the_public(message)
    sent = sent_at(message)
    references = [Earlier(issuer.sender, one.id, one.sent) for one in message.references]
    return Alert(
        identifier=public.id,
        sender=issuer.sender,
        sent=sent,
        status=_status(message),
        msg_type=kind,
        source="slopewatch",
        scope=issuer.scope,
        restriction=_plain(issuer.restriction),
        addresses=" ".join(issuer.addresses),
        note=_plain(_note(message)),
        references=" ".join(map(str, references)),
        incidents=_case(message),
        info=tuple(
            _info(public, issuer, site, sent, kind, language) for language in issuer.languages
        ),
    )


def message_type(message: Message) -> str:
    """Alert, Update or Cancel. Raises `NotForCapError` for what is none of them."""
    known = bool(message.references)
    if message.kind == "review" or _asks_for_a_release(message):
        raise NotForCapError("a draft that waits for its two persons is not for the public")
    if message.kind == "pipeline" or message.level is None:
        raise NotForCapError("news of slopewatch itself is no warning of a slope")
    if message.kind == "drill":
        return "Update" if known else "Alert"
    if message.kind == "coverage" and (message.level == "blue" or not known):
        raise NotForCapError("coverage changed, and there is no open alert here to update")
    if message.level == "blue" or message.kind == "cancelled":
        if not known:
            raise NotForCapError("the alert is over, and nothing of it was published here")
        return "Cancel"
    return "Update" if known else "Alert"


def _asks_for_a_release(message: Message) -> bool:
    return message.unanswered is not None and message.unanswered.needs == "release"


def _for_the_public(message: Message) -> Message:
    """The message under its public name, without what is for people on duty only."""
    names_somebody = "cancelled" in (message.kind, message.cause) or message.silenced_by
    return msgspec.structs.replace(
        message,
        id=identifier(message),
        kind="level" if message.kind == "escalation" else message.kind,
        reason="" if names_somebody else message.reason,
        operator="",
        owner="",
        reviewed_by="",
        silenced_by="",
        unanswered=None,
        under_review=None,
    )


def _status(message: Message) -> str:
    if message.status == "exercise" or message.kind == "drill":
        return "Exercise"
    return "Test" if message.status == "test" or message.simulated else "Actual"


def _note(message: Message) -> str:
    """Why it is not meant, and what a person had to say."""
    said = [f"{b.title}. {b.note}" for b in banners(message, load_language("en"))]
    return " ".join([*said, message.note] if message.note else said)


def _info(
    message: Message, issuer: Issuer, site: Site | None, sent: datetime, kind: str, language: str
) -> Info:
    level = message.level or "blue"
    over = kind == "Cancel"
    words = load_language(language)
    is_news = message.kind in ("level", "amended") and not over
    return Info(
        language=words.tag,
        category=("Geo",),
        event=_event(language),
        response_type=_responses(message, over),
        urgency="Past" if over else _URGENCY[level],
        severity="Minor" if over else _SEVERITY[level],
        certainty=_certainty(message, over),
        effective=sent,
        onset=datetime.combine(message.arose, time(), UTC) if is_news else None,
        expires=expiry(message, sent, site),
        sender_name=_plain(issuer.sender_name),
        headline=_plain(render(message, language).subject),
        description=_plain("\n".join(_description(message, language))),
        instruction=_plain("\n".join(_instruction(message, language))),
        web=issuer.web,
        contact=_plain(issuer.contact),
        parameter=tuple(_parameters(message)),
        area=tuple(_areas(message, issuer, site)),
    )


def _event(language: str) -> str:
    if language not in EVENTS:
        known = ", ".join(EVENTS)
        raise SettingsError(f"notifier cap has no word for the event in {language!r}; in: {known}")
    return EVENTS[language]


def _responses(message: Message, over: bool) -> tuple[str, ...]:
    if over:
        return ("AllClear",) if is_all_clear(message) else ()
    return _RESPONSES[message.level or "blue"]


def _certainty(message: Message, over: bool) -> str:
    """How likely failure is, by how many of 100 such alerts in simulation were followed by one."""
    if over:
        return "Unlikely" if is_all_clear(message) else "Unknown"
    if message.of_100 is None:
        return "Unknown"
    return "Likely" if message.of_100 > 50 else "Possible"


def expiry(message: Message, sent: datetime, site: Site | None) -> datetime:
    """Until when the message holds: the end of the next pass's day, and `LATENCY` for its result.

    Where no pass is known, or it is past, it is the usual time between two passes instead. A level
    above blue holds for `STANDING` at least: it stands until it is told otherwise, and a warning
    that ran out on a reader's screen would be taken for an all-clear.
    """
    repeat = timedelta(days=site.repeat_days) if site is not None else USUAL_REPEAT
    ends = sent + repeat
    if message.next_pass is not None:
        end_of_day = datetime.combine(message.next_pass + timedelta(days=1), time(), UTC)
        ends = end_of_day if end_of_day > sent else ends
    least = sent + STANDING if message.level != "blue" else ends
    return max(ends + LATENCY, least)


def _description(message: Message, language: str) -> Iterator[str]:
    words = load_language(language)
    for banner in banners(message, words):
        yield f"{banner.title}. {banner.note}"
    for section in sections_of(message, words):
        if section.key not in _NOT_IN_DESCRIPTION:
            yield f"{section.title}:"
            yield from (f"- {line}" for line in section.lines)


def _instruction(message: Message, language: str) -> Iterator[str]:
    for section in sections_of(message, load_language(language)):
        if section.key == "do":
            yield from (f"- {line}" for line in section.lines)


def _parameters(message: Message) -> Iterator[Pair]:
    """What machines may want to read without understanding sentences."""
    named = {
        "level": message.level,
        "previousLevel": message.previous_level,
        "coverage": message.coverage,
        "site": message.site,
        "unit": message.unit,
        "simulated": "true" if message.simulated else None,
        "of100": None if message.of_100 is None else str(message.of_100),
        "ledgerSeq": str(message.seq),
        "ledgerHead": message.ledger_head or None,
    }
    for name, value in named.items():
        if value is not None:
            yield Pair(f"slopewatch:{name}", value)
    for vote in message.votes:
        if vote.calibrated:
            said = f"{vote.rule} {vote.track} {vote.level}"
            yield Pair("slopewatch:vote", _plain(said))


def _areas(message: Message, issuer: Issuer, site: Site | None) -> Iterator[Area]:
    title = message.title or message.site
    geocodes = tuple(Pair(_plain(name), _plain(value)) for name, value in issuer.geocodes.items())
    units = [u for u in site.slope_units if message.unit in (u.id, WHOLE_SITE)] if site else []
    if not units:
        yield Area(_plain(f"{message.unit_name or message.unit}, {title}"), (), geocodes)
    for unit in units:
        yield Area(_plain(f"{unit.name or unit.id}, {title}"), (_outline(unit),), geocodes)


def _outline(unit: SlopeUnit) -> tuple[tuple[float, float], ...]:
    return tuple((lat, lon) for lon, lat in unit.polygon)


def _plain(text: str) -> str:
    """`text` that XML can hold and nobody takes for HTML, whatever a site is called."""
    clean = "".join(c if c.isprintable() or c == "\n" else " " for c in text).strip()
    return _MARKUP.sub(lambda found: _OUT_OF_MARKUP[found[0]], clean)
