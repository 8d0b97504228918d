from __future__ import annotations

from collections.abc import Iterator, Mapping
from datetime import UTC, date, datetime
from pathlib import Path
from typing import get_args

import pytest
from msgspec.structs import replace
from notifying import message
from saying import FACTS, FIGURES, LANGUAGES, every_kind, vote

from core import plugins
from core.errors import SettingsError
from core.events import LEVELS, Vote
from services.alerting.bulletin import (
    banners,
    headline,
    known_languages,
    load_language,
    render,
    sections_of,
)
from services.alerting.bulletin import language as languages
from services.alerting.bulletin.headline import prefixed
from services.alerting.bulletin.language import Language, placeholders, read_language
from services.alerting.message import CoverageCause, LateBecause
from services.alerting.rule import RULES

ENGLISH = load_language("en")
NOT_ENGLISH = [one for one in LANGUAGES if one != "en"]
ALIKE = {"write", "labels", "fonts"}
"""Parts whose sentences may be the same in several languages."""


@pytest.fixture
def folder(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Iterator[Path]:
    """Languages in a folder of their own: English as it is, to be spoilt by the test."""
    for one in LANGUAGES:
        (tmp_path / f"{one}.yaml").write_text(
            (languages._FOLDER / f"{one}.yaml").read_text("utf-8"), "utf-8"
        )
    monkeypatch.setattr(languages, "_FOLDER", tmp_path)
    load_language.cache_clear()
    yield tmp_path
    load_language.cache_clear()


def spoil(folder: Path, name: str, old: str, new: str) -> None:
    text = (folder / f"{name}.yaml").read_text("utf-8")
    assert text.count(old) == 1
    (folder / f"{name}.yaml").write_text(text.replace(old, new), "utf-8")


def test_the_languages_there_are() -> None:
    assert known_languages() == LANGUAGES
    assert [load_language(one).tag for one in LANGUAGES] == ["en", "es", "zh-Hans"]


@pytest.mark.parametrize("name", NOT_ENGLISH)
def test_each_language_has_the_keys_and_placeholders_of_english(name: str) -> None:
    words = read_language(languages._FOLDER / f"{name}.yaml")
    assert list(words) == list(ENGLISH.sentences)
    for key, sentence in words.items():
        assert placeholders(sentence) == placeholders(ENGLISH.sentences[key]), key


@pytest.mark.parametrize("name", NOT_ENGLISH)
def test_each_language_is_translated(name: str) -> None:
    words = load_language(name)
    same = {
        key
        for key, sentence in words.sentences.items()
        if sentence == ENGLISH.sentences[key] and key.partition(".")[0] not in ALIKE
    }
    assert same <= {"tag", "banner.prefix", "headline.same", "seen.state"} | {
        *("headline.where", "seen.state_reason", "rules.cusum.name"),
    }


@pytest.mark.parametrize("name", LANGUAGES)
def test_labels_of_pictures_are_letters_that_every_machine_has(name: str) -> None:
    labels = [s for key, s in load_language(name).sentences.items() if key.startswith("labels.")]
    assert labels
    assert all(label.encode("latin-1") and "$" not in label for label in labels)


def test_an_unknown_language_lists_the_known() -> None:
    with pytest.raises(SettingsError, match=r"no language named 'fr'; known: en, es, zh"):
        render(message(), "fr")
    with pytest.raises(SettingsError, match=r"known: en, es, zh"):
        load_language("../../../etc/passwd")


def test_a_missing_key_is_said_at_load(folder: Path) -> None:
    spoil(folder, "es", "  rose: El nivel ha subido de {before} a {now}.\n", "")
    with pytest.raises(SettingsError, match=r"es\.yaml lacks happened\.rose"):
        load_language("es")


def test_a_line_too_many_is_said_at_load(folder: Path) -> None:
    spoil(folder, "zh", "  next_name:", "  another: x\n  next_name:")
    with pytest.raises(SettingsError, match=r"en\.yaml has no write\.another"):
        load_language("zh")


@pytest.mark.parametrize(
    ("sentence", "reason"),
    [
        ("Del {was} al {now}", r"must be: before, now"),
        ("Del {before}", r"must be: before, now"),
        ("{before.__class__} {now}", "write placeholders as"),
        ("{before!r} {now}", "write placeholders as"),
        ("{before:>99999999} {now}", "write placeholders as"),
        ("{before} {now", "language files"),
    ],
)
def test_wrong_placeholders_are_said_at_load(folder: Path, sentence: str, reason: str) -> None:
    spoil(folder, "es", "rose: El nivel ha subido de {before} a {now}.", f'rose: "{sentence}"')
    with pytest.raises(SettingsError, match=reason):
        load_language("es")


def test_what_is_no_text_is_said_at_load(folder: Path) -> None:
    spoil(folder, "es", "heard: Vuelve a haber noticias de este sitio.", "heard: 5")
    with pytest.raises(SettingsError, match=r"es\.yaml, happened\.heard: 5 is no text"):
        load_language("es")


class Heard(dict[str, str]):
    """Sentences that remember which of them were said."""

    def __init__(self, sentences: Mapping[str, str]) -> None:
        super().__init__(sentences)
        self.keys_said: set[str] = set()

    def below(self, part: str) -> list[str]:
        return [key.partition(".")[2] for key in self if key.startswith(f"{part}.")]

    def __getitem__(self, key: str) -> str:
        self.keys_said.add(key)
        return super().__getitem__(key)


def test_every_sentence_is_said_somewhere() -> None:
    """A sentence that no message says is one that a translator works on for nothing."""
    heard = Heard(ENGLISH.sentences)
    stories = [
        *every_kind().values(),
        *(message(coverage=one, coverage_facts=FACTS) for one in ("stale", "out of range")),
        *(message(coverage_facts=replace(FACTS, cause=one)) for one in get_args(CoverageCause)),
        *(message(late_because=one) for one in get_args(LateBecause)),
        *(message(status=one, simulated=True) for one in ("exercise", "test")),
        message(simulated=True),
        *(message(level=one) for one in LEVELS),
        *(message(votes=(odd(one),)) for one in heard.below("figures")),
        message(votes=(vote("dragon"), vote("dragon", calibrated=False))),
        message(votes=(vote("velocity", level="blue", figures={}),), next_pass=None),
        message(votes=(vote("velocity", figures={"statistic": float("nan")}),)),
        message(votes=(vote("edetector", figures={"log10_run_length_epochs": 40.0}),)),
        message(votes=(odd("fire_height"),)),
        message(coverage_reason="", votes=(), previous_level="blue"),
        message(previous_level="red", cause="fresh epochs"),
    ]
    for name in ("en", "another"):
        words = Language(name, heard)
        for story in stories:
            prefixed(headline(story, words), story, words)
            banners(story, words)
            sections_of(story, words)
    pictured = ("pictures.", "labels.", "write.next_sentence", "sections.pictures")
    unsaid = {key for key in heard if not key.startswith(pictured)} - heard.keys_said
    # Months are said by date, the rest by the form of the mail.
    assert {key for key in unsaid if not key.startswith("write.months.")} == {"tag", "fonts"}


def test_english_says_the_reasons() -> None:
    votes = tuple(vote(rule, calibrated=one) for rule in FIGURES for one in (True, False))
    text = " ".join(render(message(votes=(*votes, vote("rain", level="blue")))).text.split())
    assert text.count("past the limit") == len(votes) + 1


def odd(figure: str) -> Vote:
    """A vote with one figure, certain where it is a probability."""
    return vote("velocity", figures={figure: 0.9999999 if "prob" in figure else 7.5})


def test_every_rule_has_its_words() -> None:
    for rule in plugins.names(RULES):
        for name in LANGUAGES:
            words = load_language(name)
            assert words.has(f"rules.{rule}.name"), rule
            assert words.has(f"rules.{rule}.asks"), rule


def test_dates_and_numbers_of_each_language() -> None:
    at = datetime(2026, 3, 14, 6, 5, tzinfo=UTC)
    said = {name: load_language(name).moment(at) for name in LANGUAGES}
    assert said == {
        "en": "14 March 2026, 06:05 UTC",
        "es": "14 de marzo de 2026, 06:05 UTC",
        "zh": "2026年3月14日06:05（世界时 UTC）",
    }
    numbers = {name: load_language(name).number(121.44) for name in LANGUAGES}
    assert numbers == {"en": "121.4", "es": "121,4", "zh": "121.4"}
    assert ENGLISH.number(12345.6) == "12346"
    assert ENGLISH.number(0.00012345) == "0.0001234"
    assert ENGLISH.number(float("inf")) == "not known"
    assert load_language("es").date(date(2026, 12, 1)) == "1 de diciembre de 2026"
