"""The report of who cannot be reached."""

from __future__ import annotations

from contextlib import closing
from dataclasses import replace
from datetime import UTC, datetime, timedelta
from pathlib import Path
from typing import Any

import pytest
import yaml

from core.clock import ReplayClock
from core.errors import SettingsError
from core.ledger import Notification, open_ledger
from core.settings import Service
from core.stage import Bookmark
from services.commands.contacts import report

NOW = datetime(2026, 3, 14, 6, 30, tzinfo=UTC)


@pytest.fixture
def service(tmp_path: Path) -> Service:
    """A site with a dead webhook, a mail that works and one who was never written to."""
    sites = tmp_path / "sites"
    sites.mkdir()
    ids = ("room", "duty", "town")
    tree = {
        "name": "hill",
        "area": [110, 30, 111, 31],
        "reference": {"scene_median": True},
        "slope_units": [{"id": "u", "polygon": [[110, 30], [111, 30], [111, 31]]}],
        "recipients": [
            {"id": one, "notifier": {"kind": "email", "to": ["x@example.org"]}} for one in ids
        ],
    }
    for name in ("hill", "dale"):
        (sites / f"{name}.yaml").write_text(yaml.safe_dump({**tree, "name": name}))
    service = Service(data=tmp_path / "var", sites=sites).resolved()
    service.data.mkdir()
    _fill(service)
    return service


def _fill(service: Service) -> None:
    with closing(open_ledger(str(service.ledger))) as ledger:
        store = ledger.site("hill")
        held = store.open()
        rows = tuple(
            Notification(
                id=id,
                seq=1,
                recipient=recipient,
                channel="webhook" if recipient == "room" else "email",
                message="{}",
                created_at=NOW,
                not_before=NOW,
            )
            for id, recipient in (("n1", "room"), ("n2", "room"), ("n3", "duty"), ("n4", "left"))
        )
        state = replace(held.state.decide("hill", 1, NOW, {}), state="{}", notifications=rows)
        mark = Bookmark(log_id="l", partition=0, offset=1, seq=1, taken=1, given=0, now=NOW)
        store.commit(state, mark, [], [])
        for number in range(3):
            _tried(ledger, "n1", number, "failed", "hooks.example.org answered HTTP 410")
            _tried(ledger, "n4", number, "failed", "address 1 of 1 refused: 550 gone")
        _tried(ledger, "n3", 3, "sent", "address 2 of 2 refused: 550 no", receipt="250 queued")


def _tried(ledger: Any, id: str, minute: int, outcome: Any, detail: str, receipt: str = "") -> None:
    at = NOW + timedelta(minutes=minute)
    ledger.claim_too([id], "one", at, 60)
    retry_at = at + timedelta(minutes=1) if outcome == "failed" else None
    ledger.record_attempt(id, "one", at, outcome, detail, receipt, retry_at)


def test_it_names_who_is_cut_off_since_when_why_and_what_waits(service: Service) -> None:
    told: list[str] = []
    clock = ReplayClock(NOW + timedelta(minutes=5))
    assert not report(service, None, told.append, clock)
    assert told == [
        "dale: 3 recipients",
        "  room (email): nothing sent so far",
        "  duty (email): nothing sent so far",
        "  town (email): nothing sent so far",
        "hill: 3 recipients",
        "  room (webhook): CANNOT BE REACHED",
        "    failing since 2026-03-14 06:30 UTC, 3 times",
        "    last failure 2026-03-14 06:32 UTC: hooks.example.org answered HTTP 410",
        "    2 messages waiting since 2026-03-14 06:30 UTC",
        "  duty (email): reached",
        "    last sent 2026-03-14 06:33 UTC: 250 queued",
        "    not to all: address 2 of 2 refused: 550 no",
        "  town (email): nothing sent so far",
        "  left (email) (listed no more): CANNOT BE REACHED",
        "    failing since 2026-03-14 06:30 UTC, 3 times",
        "    last failure 2026-03-14 06:32 UTC: address 1 of 1 refused: 550 gone",
        "    1 message waiting since 2026-03-14 06:30 UTC",
        "1 cannot be reached: tell them by another way, and mend what the reasons name",
    ]


def test_one_site_is_asked_for_alone_and_all_is_well_there(service: Service) -> None:
    told: list[str] = []
    assert report(service, "dale", told.append)
    assert [told[0], told[-1]] == ["dale: 3 recipients", "nobody is cut off"]
    with pytest.raises(SettingsError):
        report(service, "nowhere", told.append)


def test_when_no_sender_runs_it_is_said(service: Service) -> None:
    told: list[str] = []
    with closing(open_ledger(str(service.ledger))) as ledger:
        ledger.claim_too(["n1"], "one", NOW + timedelta(minutes=3), 60)
        ledger.record_attempt("n1", "one", NOW + timedelta(minutes=4), "sent")
    assert not report(service, "hill", told.append, ReplayClock(NOW + timedelta(minutes=20)))
    assert "  room (webhook): NOT SENT: is a sender running?" in told
