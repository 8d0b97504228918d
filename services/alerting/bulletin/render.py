"""Bulletins out of messages; pure. Templates give the form, `sections` the content."""

from __future__ import annotations

import textwrap
from functools import cache
from typing import NamedTuple

from jinja2 import Environment, PackageLoader, StrictUndefined

from services.alerting.bulletin import words
from services.alerting.bulletin.sections import headline, one_line, sections_of
from services.alerting.message import Message

MAX_SUBJECT = 160
_WIDTH = 76


class Bulletin(NamedTuple):
    """One message in three forms that say the same."""

    subject: str
    text: str
    html: str


def render(message: Message) -> Bulletin:
    """Subject, plain text and HTML of `message`; the same message gives the same bulletin."""
    heading = headline(message)
    level = message.level
    background, colour = words.COLOURS[level] if level else words.NO_LEVEL_COLOURS
    values = {
        "heading": heading,
        "sections": sections_of(message),
        "banner": (words.SIMULATED, words.SIMULATED_NOTE) if message.simulated else None,
        "background": background,
        "colour": colour,
    }
    text, html = (
        _environment().get_template(name).render(values)
        for name in ("bulletin.txt.j2", "bulletin.html.j2")
    )
    return Bulletin(_subject(heading, message.simulated), text, html)


def _subject(heading: str, simulated: bool) -> str:
    subject = one_line(f"SIMULATED: {heading}" if simulated else heading)
    return subject if len(subject) <= MAX_SUBJECT else subject[: MAX_SUBJECT - 3] + "..."


def _wrapped(text: str, indent: str = "") -> str:
    return textwrap.fill(
        text,
        width=_WIDTH,
        initial_indent=indent,
        subsequent_indent=" " * len(indent),
        break_long_words=False,
        break_on_hyphens=False,
    )


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
    environment.filters["wrapped"] = _wrapped
    return environment
