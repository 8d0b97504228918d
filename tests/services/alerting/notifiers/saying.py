"""Messages of every kind, for the tests of the bulletin."""

from __future__ import annotations

from datetime import UTC, date, datetime
from html.parser import HTMLParser
from typing import Any

from notifying import message

from core.events import Vote
from services.alerting.message import (
    WHOLE_SITE,
    CoverageFacts,
    LateData,
    Message,
    Reference,
    Unanswered,
)
from services.alerting.rule import DRIVERS_TRACK

SINCE = datetime(2026, 3, 14, 6, tzinfo=UTC)
FACTS = CoverageFacts(cause="measured", track="84D", measured=date(2026, 3, 12), age_days=2)
LANGUAGES = ("en", "es", "zh")
FIGURES = {
    "velocity": {"velocity_mm_yr": 121.4, "velocity_sd_mm_yr": 8.2, "probability_orange": 0.9953},
    "excess": {"excess_mm_yr": 58.0, "excess_sd_mm_yr": 26.8, "excess_sds": 2.16},
    "cusum": {"statistic": 9.3, "usable_epochs": 88.0},
    "edetector": {"log10_run_length_epochs": 3.1},
    "cluster": {"surely_mm_yr": 88.0, "points_past": 5.0, "share_past": 0.21},
    "acceleration": {"probability_accelerating": 0.97},
    "failure_time": {
        "bayes_factor": 53.7,
        "failure_low_days": 4.0,
        "failure_median_days": 11.0,
        "failure_high_days": 38.0,
    },
    "change_point": {"onset_days": 60.0},
    "forecast_residual": {"statistic": 3.4},
    "rain": {"rain_ratio": 1.2, "rain_short_mm": 91.0},
    "level": {"level_ratio": 0.6, "level_m": 152.1, "level_change_m_d": -0.8},
    "tangential_angle": {"angle_low_deg": 74.0, "angle_deg": 81.3, "angle_high_deg": 84.0},
}


def vote(rule: str, **changes: Any) -> Vote:
    """An orange vote of a rule with figures."""
    track = DRIVERS_TRACK if rule in ("rain", "level") else "84D"
    values = {"track": track, "level": "orange", "calibrated": True, "reason": "past the limit"}
    return Vote(**{"rule": rule, "figures": FIGURES.get(rule, {}), **values, **changes})


def waiting(**changes: Any) -> Unanswered:
    """An escalation that nobody answered."""
    values = {"needs": "acknowledgement", "since": SINCE, "round": 1}
    return Unanswered(**{**values, "last": False, "nobody_on_duty": False, **changes})


def every_kind() -> dict[str, Message]:
    """One message of each kind there is."""
    red = {"level": "red", "coverage_facts": FACTS, "of_100": 62}
    person = {"operator": "Officer Chen", "note": "no cracks seen"}
    earlier = (Reference("xinpu.toe.3.3", SINCE), Reference("xinpu.toe.3.5", SINCE))
    case = {"alert": "xinpu.toe.3", "references": earlier}
    whole = {"unit": WHOLE_SITE, "unit_name": ""}
    silent = {"kind": "pipeline", "level": None, "previous_level": None, **whole, "votes": ()}
    waits = {"kind": "escalation", "previous_level": "red"}
    return {
        "rise": message(**red, **case, votes=tuple(vote(rule) for rule in FIGURES)),
        "all clear": message(level="blue", cause="fresh epochs", late_days=0),
        "lowered": message(
            previous_level="red", cause="closed days", reason="", **red | {"level": "orange"}
        ),
        "lowered unseen": message(level="blue", coverage="blind", late_because="under review"),
        "left": message(level="blue", cause="left the site", late_because="late data"),
        "silenced": message(silenced_by="Chen", silenced_at="yellow", owner="Liu", reason=""),
        "blind": message(kind="coverage", coverage="blind", previous_coverage="stale", **whole),
        "seen again": message(kind="coverage", previous_coverage="blind", late_days=3),
        "held back": message(under_review="red", late_because="quiet hours"),
        "escalation": message(**red, **waits, unanswered=waiting(nobody_on_duty=True, last=True)),
        "old escalation": message(**red, **waits),
        "release": message(
            **waits,
            level="orange",
            under_review="red",
            unanswered=waiting(needs="release", round=2),
        ),
        "review": message(kind="review", previous_level="orange", under_review="red"),
        "released": message(**red, operator="Liu", reviewed_by="Chen"),
        "amended": message(
            kind="amended", late_data=LateData(track="84D", epoch=date(2026, 3, 1)), **case
        ),
        "amended same": message(kind="amended", previous_level="orange", **person),
        "cancelled": message(
            kind="cancelled", level="blue", previous_level="red", cause="cancelled", **person
        ),
        "drill": message(kind="drill", status="exercise", note="drill of the county"),
        "silence": message(**silent, coverage="blind", ledger_head=""),
        "heard": message(**silent, coverage="watched", ledger_head=""),
    }


class Reader(HTMLParser):
    """What a reader without images sees, and the tags and links that are there."""

    def __init__(self, html: str) -> None:
        super().__init__()
        self.tags: list[str] = []
        self.links: list[str] = []
        self.words: list[str] = []
        self.feed(html)

    def handle_starttag(self, tag: str, attrs: list[tuple[str, str | None]]) -> None:
        self.tags.append(tag)
        self.links += [value or "" for name, value in attrs if name in ("src", "href")]

    def handle_data(self, data: str) -> None:
        self.words += [data.strip()]
