"""`slopewatch run`: all services in one process, or one of them."""

from __future__ import annotations

import signal
import subprocess
import sys
import threading
from collections.abc import Callable
from typing import Any

from core.errors import SettingsError, SlopewatchError
from core.settings import Service
from services.compose import Slopewatch, load_sites
from services.schedule import Scheduler
from services.status import StatusServer

ROLES = ("ingest", "inference", "alerting", "watchdog")


def run_services(
    service: Service, role: str | None, site: str | None, echo: Callable[[str], None]
) -> None:
    """Run until SIGINT or SIGTERM, then hand everything over."""
    if role not in {None, *ROLES}:
        raise SettingsError(f"no service {role!r}; there are: {', '.join(ROLES)}")
    stop = threading.Event()
    for number in (signal.SIGINT, signal.SIGTERM):
        signal.signal(number, lambda *_: stop.set())
    if role == "watchdog":
        _watch(service, stop, echo)
        return
    load_sites(service, site)
    roles = [role] if role else ["ingest", "inference", "alerting"]
    with Slopewatch(service, roles=roles) as app:
        _serve(app, role, site, stop, echo)


def _serve(
    app: Slopewatch,
    role: str | None,
    site: str | None,
    stop: threading.Event,
    echo: Callable[[str], None],
) -> None:
    from services.page import render_sites

    failures: list[str] = []
    page = (lambda: render_sites(app, site)) if role is None else None
    service = app.service
    with StatusServer(
        service.metrics_host, service.metrics_port, app.telemetry, lambda: failures, page
    ) as status:
        echo(f"slopewatch runs; page and metrics at {status.url}, data in {service.data}")
        watchdog = _spawn_watchdog(service) if role is None else None
        threads = [_thread(loop, stop, failures) for loop in _loops(app, site)]
        try:
            while not stop.wait(0.5):
                if failures:
                    raise SlopewatchError("; ".join(failures))
        finally:
            stop.set()
            for thread in threads:
                thread.join()
            if watchdog is not None:
                watchdog.terminate()
                watchdog.wait()


def _loops(app: Slopewatch, site: str | None) -> list[Callable[[threading.Event], None]]:
    """Everything that runs until stopped, one thread each."""
    loops: list[Callable[[threading.Event], None]] = [w.run for w in app.workers]
    if "ingest" in app.roles:
        loops.append(Scheduler(app, site).run)
    if "alerting" in app.roles:
        loops += [app.run_sender, app.run_upkeep]
    return loops


def _thread(
    loop: Callable[[threading.Event], None], stop: threading.Event, failures: list[str]
) -> threading.Thread:
    def guarded() -> None:
        try:
            loop(stop)
        except Exception as error:
            failures.append(f"{getattr(loop, '__qualname__', loop)}: {error}")
            raise

    thread = threading.Thread(target=guarded, daemon=True)
    thread.start()
    return thread


def _spawn_watchdog(service: Service) -> subprocess.Popen[Any]:
    """The watchdog must outlive a hang of this process, so it is one of its own."""
    import os

    environment = {
        **os.environ,
        "SLOPEWATCH_DATA": str(service.data),
        "SLOPEWATCH_SITES": str(service.sites),
    }
    return subprocess.Popen(
        [sys.executable, "-m", "services.cli", "run", "watchdog"], env=environment
    )


def _watch(service: Service, stop: threading.Event, echo: Callable[[str], None]) -> None:
    from services.guard import make_watchdog

    watchdog = make_watchdog(service)
    while not stop.is_set():
        for sentence in watchdog.check():
            echo(sentence)
        stop.wait(60.0)
