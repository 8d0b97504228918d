"""What the rules said, told in a language: measured, modelled, who judged, what is only shown."""

from __future__ import annotations

from collections.abc import Iterable

from core.events import Vote
from services.alerting.bulletin.figures import FAILURE, FORECASTS, Figure, figures_of
from services.alerting.bulletin.language import Language
from services.alerting.message import Message
from services.alerting.rule import DRIVERS_TRACK, SHOWN_ONLY


def measured(message: Message, language: Language) -> list[str]:
    """Figures that need no model, by rule and track."""
    if not message.votes:
        return [language.say("measured.none")]
    by_vote = _by_vote(message.votes, modelled=False)
    lines = _lines("measured.line", by_vote, language)
    if any(figure.sd is not None for _, figures in by_vote for figure in figures):
        lines.append(language.say("measured.sd"))
    return lines or [language.say("measured.no_figure")]


def modelled(message: Message, language: Language) -> list[str]:
    """Figures that hang on a model, by rule and track, and what that means."""
    lines = _lines("modelled.line", _by_vote(message.votes, modelled=True), language)
    lines += [_failure(vote, language) for vote in message.votes if _has_failure(vote)]
    if message.votes:
        lines.append(language.say("modelled.note"))
    named = {name for vote in message.votes for name in vote.figures}
    if not any(name.startswith(FORECASTS) for name in named):
        lines.append(language.say("modelled.no_forecast"))
    return lines


def judged(message: Message, language: Language) -> list[str]:
    """The rules that have a vote, and what they ask for."""
    return [
        _rule("calm" if vote.level == "blue" else "votes", vote, language)
        for vote in message.votes
        if vote.calibrated and vote.rule not in SHOWN_ONLY
    ]


def shown(message: Message, language: Language) -> list[str]:
    """The rules that have no vote, now or ever."""
    return [
        _rule("evidence" if vote.calibrated else "no_vote", vote, language)
        for vote in message.votes
        if not vote.calibrated or vote.rule in SHOWN_ONLY
    ]


def asked(message: Message, language: Language) -> str:
    """Which rules ask for the level or more; empty where none does."""
    rules = [
        language.say(
            "happened.asked_one", rule=rule_name(vote.rule, language), track=_track(vote, language)
        )
        for vote in message.votes
        if vote.calibrated and vote.level == message.level != "blue"
    ]
    names = language.say("write.next_name").join(rules)
    return language.say("happened.asked", rules=names) if rules else ""


def rule_name(rule: str, language: Language) -> str:
    """What a rule is called; one without words by its name in the settings."""
    key = f"rules.{rule}.name"
    return language.say(key) if language.has(key) else rule


def _track(vote: Vote, language: Language) -> str:
    """What the track is called; rain and level have none."""
    return language.say("rules.by_day") if vote.track == DRIVERS_TRACK else vote.track


def _rule(key: str, vote: Vote, language: Language) -> str:
    meaning = f"rules.{vote.rule}.asks"
    # Reasons are written in English only.
    reason = vote.reason if language.is_original else ""
    return language.say(
        f"rules.{key}_reason" if reason else f"rules.{key}",
        rule=rule_name(vote.rule, language),
        asks=language.say(meaning if language.has(meaning) else "rules.unknown"),
        track=_track(vote, language),
        level=language.say(f"levels.{vote.level}.word"),
        reason=reason,
    )


def _by_vote(votes: Iterable[Vote], *, modelled: bool) -> list[tuple[Vote, list[Figure]]]:
    """Each vote with its figures; what several rules say of a track alike is said once."""
    said: set[tuple[str, Figure]] = set()
    found = []
    for vote in votes:
        grouped = FAILURE if _has_failure(vote) else ()
        figures = [
            figure
            for figure in figures_of(vote.figures)
            if figure.is_modelled == modelled
            and figure.name not in grouped
            and ((vote.track, figure) not in said or figure.name == "statistic")
        ]
        said |= {(vote.track, figure) for figure in figures}
        found += [(vote, figures)] if figures else []
    return found


def _lines(key: str, by_vote: Iterable[tuple[Vote, list[Figure]]], language: Language) -> list[str]:
    between = language.say("write.next_figure")
    return [
        language.say(
            key,
            rule=rule_name(vote.rule, language),
            track=_track(vote, language),
            figures=between.join(one.words(language) for one in figures),
        )
        for vote, figures in by_vote
    ]


def _has_failure(vote: Vote) -> bool:
    return all(name in vote.figures for name in FAILURE)


def _failure(vote: Vote, language: Language) -> str:
    low, median, high = (language.number(round(vote.figures[name])) for name in FAILURE)
    rule = rule_name(vote.rule, language)
    return language.say(
        "modelled.failure",
        rule=rule,
        track=_track(vote, language),
        low=low,
        median=median,
        high=high,
    )
