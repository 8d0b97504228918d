"""A message as people read it: subject, plain text and HTML, from the same sections."""

from __future__ import annotations

from services.alerting.bulletin.headline import banners, headline
from services.alerting.bulletin.language import Language, known_languages, load_language
from services.alerting.bulletin.render import Bulletin, render
from services.alerting.bulletin.sections import Section, sections_of

__all__ = [
    "Bulletin",
    "Language",
    "Section",
    "banners",
    "headline",
    "known_languages",
    "load_language",
    "render",
    "sections_of",
]
