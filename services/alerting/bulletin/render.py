"""Bulletins out of messages; pure. Templates give the form, `sections` the content."""

from __future__ import annotations

from collections.abc import Sequence
from functools import cache
from typing import TYPE_CHECKING, NamedTuple

from jinja2 import Environment, PackageLoader, StrictUndefined

from services.alerting.bulletin.colours import COLOURS, NO_LEVEL
from services.alerting.bulletin.headline import banners, headline, one_line, prefixed
from services.alerting.bulletin.language import ORIGINAL, load_language
from services.alerting.bulletin.sections import sections_of
from services.alerting.bulletin.wrapping import wrapped
from services.alerting.message import Message

if TYPE_CHECKING:
    from services.alerting.bulletin.pictures import Picture

MAX_SUBJECT = 160


class Bulletin(NamedTuple):
    """One message in three forms that say the same; `tag` names their language (BCP 47)."""

    subject: str
    text: str
    html: str
    tag: str


def render(
    message: Message, language: str = ORIGINAL, pictures: Sequence[Picture] = ()
) -> Bulletin:
    """Subject, plain text and HTML of `message`; the same message gives the same bulletin.

    Pictures stand in the HTML by their `content_id`, and in the text by the figures they show.
    Raises `SettingsError` for an unknown language, which lists those known.
    """
    words = load_language(language)
    heading = one_line(prefixed(headline(message, words), message, words))
    background, colour = _colours(message)
    values = {
        "heading": heading,
        "sections": sections_of(message, words, pictures),
        "banners": banners(message, words),
        "background": background,
        "colour": colour,
        "tag": words.tag,
        "fonts": words.say("fonts"),
    }
    text, html = (
        _environment().get_template(name).render(values)
        for name in ("bulletin.txt.j2", "bulletin.html.j2")
    )
    subject = heading if len(heading) <= MAX_SUBJECT else heading[: MAX_SUBJECT - 3] + "..."
    return Bulletin(subject, text, html, words.tag)


def _colours(message: Message) -> tuple[str, str]:
    """A calm colour stands only over calm news."""
    level = message.under_review if message.kind == "review" else message.level
    unseen = message.kind == "coverage" and message.coverage != "watched" and level == "blue"
    if level is None or unseen or message.kind == "cancelled":
        return NO_LEVEL
    return COLOURS[level]


@cache
def _environment() -> Environment:
    environment = Environment(
        loader=PackageLoader("services.alerting.bulletin"),
        autoescape=lambda name: name is None or name.endswith(".html.j2"),
        undefined=StrictUndefined,
        trim_blocks=True,
        lstrip_blocks=True,
        keep_trailing_newline=True,
    )
    environment.filters["wrapped"] = wrapped
    return environment
