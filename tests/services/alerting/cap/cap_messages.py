"""Messages of one case and the notifier that publishes them, for the tests of CAP."""

from __future__ import annotations

from datetime import UTC, date, datetime
from pathlib import Path
from typing import Any

from core.artifacts import FileArtifacts
from core.events import ArtifactRef, Vote
from core.settings import Plugin, Service, Site, site_bytes
from services.alerting.cap import Issuer
from services.alerting.message import Message, Reference
from services.alerting.notifier import Notifier, open_notifier

ALERT = "xinpu.toe.412"
ISSUER = Issuer("slopewatch@example.org", "Example Civil Protection", ("en",))
SITE = Site.model_validate(
    {
        "name": "xinpu",
        "title": "Xinpu landslide",
        "area": (110, 30, 111, 31),
        "repeat_days": 6,
        "reference": {"scene_median": True},
        "slope_units": [
            {
                "id": "toe",
                "name": "Toe",
                "polygon": [(110.41, 30.95), (110.43, 30.95), (110.4, 31)],
            },
            {"id": "head", "polygon": [(110.5, 30.9), (110.6, 30.9), (110.5, 31), (110.5, 30.9)]},
        ],
    }
)
VOTE = Vote(
    rule="velocity",
    track="84D",
    level="red",
    calibrated=True,
    reason="past 100 mm/yr at 2 of the last 3 epochs",
    figures={"velocity_mm_yr": 121.4},
)


def moment(day: int, hour: int = 6) -> datetime:
    """A moment in March 2026."""
    return datetime(2026, 3, day, hour, 30, tzinfo=UTC)


def message(**changes: Any) -> Message:
    """The rise to red that opens the case."""
    values: dict[str, Any] = {
        "id": "0f" * 16,
        "kind": "level",
        "site": "xinpu",
        "title": "Xinpu landslide",
        "unit": "toe",
        "unit_name": "Toe",
        "level": "red",
        "previous_level": "blue",
        "coverage": "watched",
        "previous_coverage": "watched",
        "coverage_reason": "track 84D last measured the unit on 12 March 2026",
        "reason": "Toe rises from blue to red: velocity on track 84D.",
        "votes": (VOTE,),
        "arose": date(2026, 3, 12),
        "known_since": moment(14),
        "late_days": 0,
        "next_pass": date(2026, 3, 24),
        "simulated": False,
        "ledger_head": "a1" * 32,
        "seq": 412,
        "alert": ALERT,
    }
    return Message(**{**values, **changes})


RISE = message()
UPDATE = message(
    kind="coverage",
    previous_level="red",
    coverage="stale",
    known_since=moment(26),
    seq=430,
    references=(Reference(f"{ALERT}.412", moment(14)),),
)
ALL_CLEAR = message(
    level="blue",
    previous_level="red",
    known_since=moment(30),
    seq=441,
    references=(*UPDATE.references, Reference(f"{ALERT}.430", moment(26))),
)


def notifier(folder: Path, **settings: Any) -> Notifier:
    """The notifier cap that writes to `folder`; artifacts lie beside it."""
    own = {"sender": ISSUER.sender, "sender_name": ISSUER.sender_name, **settings}
    service = Service(artifacts=f"file://{folder.parent}/artifacts")
    return open_notifier(Plugin(kind="cap", folder=str(folder), **own), service)


def site_file(folder: Path, site: Site = SITE) -> ArtifactRef:
    """The site file as an artifact of `notifier(folder)`."""
    return FileArtifacts(folder.parent / "artifacts").put(site_bytes(site))
