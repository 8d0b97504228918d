"""Takes every look in its turn, in one thread; one that fails stops no other.

A look that fails says so by the age of `slopewatch_vitals_last_success_timestamp_seconds`, which
begins with the rounds, never by an old figure.
"""

from __future__ import annotations

import threading
import time
from collections.abc import Sequence
from typing import Final

import structlog

from core.clock import Clock
from core.errors import SlopewatchError
from core.figures import Figure, Shown
from core.telemetry import Telemetry
from services.compose import Slopewatch
from services.vitals.backups import BackupAge
from services.vitals.certificates import Certificates
from services.vitals.clocks import ClockSkew
from services.vitals.disks import Disks
from services.vitals.feeds import FeedAges
from services.vitals.forecasts import ForecastSkill
from services.vitals.look import Fault, Look
from services.vitals.sites import Sites
from services.vitals.tables import ProjectionTables
from services.vitals.tokens import Tokens

NAP_S: Final = 1.0
AGAIN_S: Final = 300.0
"""A look that failed is taken again after so long, or at its own time if that is sooner."""


class Vitals:
    """All looks of a running slopewatch, at one site of its settings or at all."""

    def __init__(self, app: Slopewatch, only: str | None = None) -> None:
        sites = Sites(app.service, only)
        self._rounds = Rounds(
            [
                FeedAges(app, sites),
                ForecastSkill(app, sites),
                Certificates(app, sites),
                Tokens(app, sites),
                Disks(app),
                ClockSkew(app, sites),
                BackupAge(app),
                ProjectionTables(app),
            ],
            app.telemetry,
            app.clock,
        )

    def run(self, stop: threading.Event) -> None:
        """Look until `stop` is set."""
        while not stop.is_set():
            self._rounds.take(time.monotonic(), stop)
            stop.wait(NAP_S)


class Rounds:
    """Looks that are due are taken, and what they found is shown."""

    def __init__(self, looks: Sequence[Look], telemetry: Telemetry, clock: Clock) -> None:
        self._looks = looks
        self._telemetry = telemetry
        self._clock = clock
        self._shown = {look.name: Shown() for look in looks}
        self._due = {look.name: 0.0 for look in looks}
        self._faults: dict[str, tuple[str, ...]] = {}
        for look in looks:
            self._succeeded(look)

    def take(self, now_s: float, stop: threading.Event) -> None:
        """Take every look that is due at `now_s` of a clock that never goes back.

        Once `stop` is set what was begun is left: a server that does not answer holds up no end.
        """
        for look in self._looks:
            if self._due[look.name] <= now_s and not stop.is_set():
                well = self._take(look, stop)
                wait = look.every_s if well else min(look.every_s, AGAIN_S)
                self._due[look.name] = now_s + wait

    def _take(self, look: Look, stop: threading.Event) -> bool:
        figures: list[Figure] = []
        faults: list[str] = []
        try:
            for one in look.look():
                if stop.is_set():
                    return False
                if isinstance(one, Fault):
                    faults.append(one.sentence)
                else:
                    figures.append(one)
        except SlopewatchError as error:
            faults.append(str(error))
        except Exception as error:
            # A bug in one look must not cost the others; its text may hold anything.
            structlog.get_logger().error("look broken", look=look.name, exc_info=error)
            faults.append(f"the look broke ({type(error).__name__})")
        self._shown[look.name].show(figures, keep=bool(faults) and look.lasting)
        self._tell(look.name, tuple(faults))
        if not faults:
            self._succeeded(look)
        return not faults

    def _succeeded(self, look: Look) -> None:
        self._telemetry.vitals.labels(look.name).set(self._clock.now().timestamp())

    def _tell(self, name: str, faults: tuple[str, ...]) -> None:
        """Say in the log what is wrong when it is news, and that it is over."""
        if faults == self._faults.get(name, ()):
            return
        self._faults[name] = faults
        logger = structlog.get_logger().bind(look=name)
        if not faults:
            logger.info("look succeeds again")
        for sentence in faults:
            logger.warning("look failed", reason=sentence)
