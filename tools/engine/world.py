"""The outside world in a process of its own: simulated slopes, and sinks for mail and webhooks.

`python -m tools.engine.world FOLDER` serves until it is interrupted. The slopes are those of the
demo, dated so that one of them fails some weeks after today; their clock is the wall clock. Site
files lie in `FOLDER/sites`, what was received in `FOLDER/mail` and `FOLDER/webhook`, and
`FOLDER/outside.json` holds the part of the service settings that names all this.
"""

from __future__ import annotations

import signal
import sys
from collections.abc import Sequence
from dataclasses import replace
from datetime import timedelta
from pathlib import Path

import msgspec

from core.clock import SystemClock
from services.demo.cast import STORY, Cast, cast_of
from services.demo.sinks import HOST
from services.demo.standin import from_twin
from services.demo.world import SECRET_NAME, outside_world
from tools.engine.process import Server, listens

UNTIL_FAILURE = timedelta(days=20)
WATCHED_FOR = timedelta(days=180)


class World(Server):
    """The process; what it writes about itself is there when it answers."""

    name = "world"

    @property
    def address(self) -> str:
        """Where the stand-in for the feeds listens."""
        return f"{HOST}:{self._ports()[0]}"

    @property
    def outside(self) -> Path:
        """The settings that lead to it."""
        return self.folder / "outside.json"

    @property
    def secrets(self) -> dict[str, str]:
        """Environment of those that talk to it: where the secret of the webhooks lies."""
        return {f"{SECRET_NAME}_FILE": str(self.folder / "webhook-secret")}

    def prepare(self) -> None:
        """An earlier one's word is worth nothing."""
        self.outside.unlink(missing_ok=True)

    def command(self) -> Sequence[str]:
        """The server."""
        return [sys.executable, "-m", "tools.engine.world", str(self.folder)]

    def answers(self) -> bool:
        """Whether feeds and both sinks listen."""
        return self.outside.exists() and all(listens(port) for port in self._ports())

    def _ports(self) -> list[int]:
        return msgspec.json.decode((self.folder / "ports.json").read_bytes(), type=list[int])


def cast_for_today() -> Cast:
    """The demo's slopes, the failing one with its end `UNTIL_FAILURE` ahead."""
    story = STORY
    today = SystemClock().now().date()
    failure = cast_of(story).failure(0)
    if failure is None:
        raise ValueError("the first slope of the story does not fail")
    first_day = today + UNTIL_FAILURE - (failure - story.first_day)
    return cast_of(replace(story, first_day=first_day, watched_from=today - WATCHED_FOR))


def serve(folder: Path) -> None:
    """Serve until SIGINT or SIGTERM."""
    stop = {signal.SIGINT, signal.SIGTERM}
    signal.pthread_sigmask(signal.SIG_BLOCK, stop)
    folder.mkdir(parents=True, exist_ok=True)
    cast = cast_for_today()
    story = cast.story
    places = {
        slope.title: from_twin(cast.truth, cast.observed, i, slope.name, story.first_day)
        for i, slope in enumerate(story.slopes)
    }
    with outside_world(folder, places, story.watched_from, SystemClock()) as (service, _, _):
        fields = {"sites", "endpoints", "smtp"}
        content = msgspec.json.encode(service.model_dump(mode="json", include=fields))
        fresh = folder / "outside.new"
        fresh.write_bytes(content)
        fresh.replace(folder / "outside.json")
        signal.sigwait(stop)


if __name__ == "__main__":
    serve(Path(sys.argv[1]).resolve())
