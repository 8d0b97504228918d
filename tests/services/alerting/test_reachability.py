from __future__ import annotations

from datetime import UTC, datetime, timedelta
from typing import Any

import pytest

from core.ledger.routes import Route
from core.settings import Recipient, Site
from services.alerting.reachability import contacts, standing

NOW = datetime(2026, 3, 14, 6, 30, tzinfo=UTC)
EARLIER = NOW - timedelta(hours=1)


def route(**facts: Any) -> Route:
    return Route(**{"site": "a", "recipient": "duty", "channel": "email", **facts})


@pytest.mark.parametrize(
    ("facts", "wanted"),
    [
        ({}, "not tried"),
        ({"sent_at": EARLIER}, "reached"),
        ({"sent_at": EARLIER, "failing_since": NOW, "failures": 1}, "failing"),
        ({"failing_since": NOW, "failures": 2, "waiting": 1}, "failing"),
        ({"sent_at": EARLIER, "failing_since": NOW, "failures": 3}, "unreachable"),
        ({"failing_since": NOW, "failures": 1, "given_up": 1}, "unreachable"),
        ({"sent_at": EARLIER, "waiting": 1, "untried_since": EARLIER}, "not sent"),
        ({"waiting": 1, "untried_since": NOW - timedelta(minutes=14)}, "not tried"),
        ({"waiting": 1, "untried_since": NOW + timedelta(hours=8), "sent_at": NOW}, "reached"),
    ],
)
def test_standing(facts: dict[str, Any], wanted: str) -> None:
    assert standing(route(**facts), NOW) == wanted


def test_every_recipient_is_told_of_and_those_listed_no_more_cut_nobody_off() -> None:
    site = Site.model_validate(
        {
            "name": "a",
            "area": (110.0, 30.0, 111.0, 31.0),
            "reference": {"scene_median": True},
            "slope_units": [{"id": "u", "polygon": [(110, 30), (111, 30), (111, 31)]}],
            "recipients": [
                Recipient(id=one, notifier={"kind": "email", "to": ["x@example.org"]})  # type: ignore[arg-type]
                for one in ("new", "duty", "dead")
            ],
        }
    )
    cut = {"failing_since": EARLIER, "failures": 9}
    routes = [
        route(sent_at=EARLIER),
        route(recipient="dead", **cut),
        route(recipient="left", **cut),
        route(site="b", recipient="other", **cut),
    ]
    found = contacts(site, routes, NOW)
    assert [(one.route.recipient, one.standing, one.is_cut_off) for one in found] == [
        ("new", "not tried", False),
        ("duty", "reached", False),
        ("dead", "unreachable", True),
        ("left", "unreachable", False),
    ]
