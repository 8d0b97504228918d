"""The words of messages: one file a language, checked against English key by key."""

from __future__ import annotations

import math
from collections.abc import Iterator, Mapping
from dataclasses import dataclass
from datetime import UTC, date, datetime
from functools import cache
from pathlib import Path
from string import Formatter
from typing import Final

from core.errors import SettingsError
from core.settings import read_yaml

ORIGINAL: Final = "en"
"""The language that other ones follow, and that rules and reasons are written in."""
_FOLDER: Final = Path(__file__).with_name("languages")


@dataclass(frozen=True)
class Language:
    """Sentences by dotted key, such as `levels.red.word`; `tag` is its BCP 47 name."""

    name: str
    sentences: Mapping[str, str]

    @property
    def tag(self) -> str:
        """What HTML, mail and CAP call the language."""
        return self.sentences["tag"]

    @property
    def is_original(self) -> bool:
        """Whether sentences that alerting wrote in English may be shown as they are."""
        return self.name == ORIGINAL

    def has(self, key: str) -> bool:
        """Whether there are words for `key`."""
        return key in self.sentences

    def say(self, key: str, /, **values: object) -> str:
        """The sentence `key` with its placeholders filled in; `KeyError` for an unknown one."""
        return self.sentences[key].format_map(values)

    def lines(self, key: str) -> list[str]:
        """The sentences of the list `key`, in order."""
        found: list[str] = []
        while (one := f"{key}.{len(found)}") in self.sentences:
            found.append(self.sentences[one])
        return found

    def date(self, day: date) -> str:
        """A date as people write it."""
        month = self.sentences[f"write.months.{day.month - 1}"]
        return self.say("write.date", day=day.day, month=month, year=day.year)

    def moment(self, moment: datetime) -> str:
        """A moment as people write it, in UTC."""
        moment = moment.astimezone(UTC)
        return self.say("write.moment", date=self.date(moment.date()), time=f"{moment:%H:%M}")

    def number(self, value: float) -> str:
        """A number in four digits, with the language's decimal sign."""
        if not math.isfinite(value):
            return self.say("write.not_known")
        text = f"{value:.0f}" if abs(value) >= 1000 else f"{float(f'{value:.4g}'):g}"
        return text.replace(".", self.sentences["write.decimal"])


def known_languages() -> tuple[str, ...]:
    """Names of all languages, sorted."""
    return tuple(sorted(path.stem for path in _FOLDER.glob("*.yaml")))


@cache
def load_language(name: str) -> Language:
    """The language `name`.

    Raises `SettingsError` for an unknown one, which lists those known, and for a file that does not
    say all that English says.
    """
    if name not in known_languages():
        raise SettingsError(f"no language named {name!r}; known: {', '.join(known_languages())}")
    sentences = read_language(_FOLDER / f"{name}.yaml")
    if name != ORIGINAL:
        check_language(f"{name}.yaml", sentences, load_language(ORIGINAL).sentences)
    return Language(name, sentences)


def read_language(path: Path) -> dict[str, str]:
    """All sentences of a file by dotted key. Raises `SettingsError` for what is not text."""
    return dict(_leaves(read_yaml(path), "", path.name))


def check_language(file: str, sentences: Mapping[str, str], english: Mapping[str, str]) -> None:
    """Raises `SettingsError` unless `sentences` has the keys and the placeholders of English."""
    for key in english:
        if key not in sentences:
            raise SettingsError(f"language file {file} lacks {key}: say there what en.yaml says")
    for key, sentence in sentences.items():
        if key not in english:
            raise SettingsError(f"language file {file}: en.yaml has no {key}; remove it")
        if placeholders(sentence) != placeholders(english[key]):
            names = ", ".join(sorted(placeholders(english[key]))) or "none"
            raise SettingsError(f"language file {file}, {key}: its placeholders must be: {names}")


def placeholders(sentence: str) -> frozenset[str]:
    """Names that `sentence` takes. Raises `SettingsError` for braces that are no plain {name}."""
    try:
        found = [(name, spec, how) for _, name, spec, how in Formatter().parse(sentence)]
    except ValueError as error:
        raise SettingsError(f"language files: {sentence!r}: {error}") from error
    named = [one for one in found if one[0] is not None]
    if any(not str(name).isidentifier() or spec or how for name, spec, how in named):
        raise SettingsError(f"language files: {sentence!r}: write placeholders as {{name}}")
    return frozenset(str(name) for name, _, _ in named)


def _leaves(tree: object, key: str, file: str) -> Iterator[tuple[str, str]]:
    match tree:
        case str():
            placeholders(tree)
            yield key, tree
        case dict():
            for name, inner in tree.items():
                yield from _leaves(inner, f"{key}.{name}".lstrip("."), file)
        case list():
            for place, inner in enumerate(tree):
                yield from _leaves(inner, f"{key}.{place}", file)
        case _:
            raise SettingsError(f"language file {file}, {key}: {tree!r} is no text; quote it")
