"""`slopewatch run`: all services in one process, or one of them."""

from __future__ import annotations

import signal
import subprocess
import sys
import threading
import time
from collections.abc import Callable, Iterator
from contextlib import ExitStack, contextmanager, nullcontext
from typing import Any

import structlog

from core.errors import SettingsError, SlopewatchError, UnavailableError
from core.settings import Service
from core.telemetry import Telemetry
from core.watchdog import folder_in, watching_alone
from services.compose import ALL, Slopewatch, load_sites, tell_build
from services.schedule import Scheduler
from services.status import StatusServer
from services.vitals.service import Vitals

ROLES = (*ALL, "watchdog")
RESPAWN_S = 60.0

Loop = Callable[[threading.Event], None]


def run_services(
    service: Service,
    role: str | None,
    site: str | None,
    echo: Callable[[str], None],
    member: str = "0",
    *,
    sentry: bool = False,
) -> None:
    """Run until SIGINT or SIGTERM, then hand everything over.

    `member` tells the workers of one service apart: two that run at once under the same name take
    each other's place. `sentry`: a watchdog that another `run` keeps beside it, which serves no
    metrics of its own.
    """
    if role not in {None, *ROLES}:
        raise SettingsError(f"no service {role!r}; there are: {', '.join(ROLES)}")
    stop = threading.Event()
    for number in (signal.SIGINT, signal.SIGTERM):
        signal.signal(number, lambda *_: stop.set())
    if role == "watchdog":
        _watch(service, site, stop, echo, Telemetry(), serve=not sentry)
        return
    load_sites(service, site)
    roles = [role] if role else ALL
    with Slopewatch(service, roles=roles, member=member) as app:
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
        service.metrics_host,
        service.metrics_port,
        app.telemetry,
        lambda: [*failures, *_out_of_reach(app)],
        page,
        service.cap_folder,
    ) as status:
        echo(f"slopewatch runs; page and metrics at {status.url}, data in {service.data}")
        sentry = _Sentry(service, site) if role is None else None
        threads = [_thread(loop, stop, failures) for loop in _loops(app, role, site)]
        try:
            while not stop.wait(0.5):
                if failures:
                    left = [sentry.left_behind()] if sentry is not None else []
                    raise SlopewatchError("; ".join([*failures, *left]))
                if sentry is not None:
                    sentry.look()
        finally:
            stop.set()
            for thread in threads:
                thread.join()
        if sentry is not None:
            sentry.dismiss()


class _Sentry:
    """The watchdog beside `run`, in a process of its own; it is started again when it ended.

    Only a stop that was asked for dismisses it: a `run` that fails leaves it to its work.
    """

    def __init__(self, service: Service, site: str | None) -> None:
        self._service = service
        self._site = site
        self._process = _spawn_watchdog(service, site)
        self._started = time.monotonic()

    def look(self) -> None:
        """Start the watchdog again if it ended, at most every `RESPAWN_S`."""
        code = self._process.poll()
        if code is None or time.monotonic() - self._started < RESPAWN_S:
            return
        self._started = time.monotonic()
        logger = structlog.get_logger().bind(stage="watchdog", exit_code=code)
        try:
            self._process = _spawn_watchdog(self._service, self._site)
        except OSError as error:
            logger.error("watchdog ended and cannot be started", reason=error.strerror)
        else:
            # It ends with 0 where another one watches: that is looked after, not broken.
            (logger.error if code else logger.info)("watchdog ended, started again")

    def dismiss(self) -> None:
        """End the watchdog."""
        self._process.terminate()
        self._process.wait()

    def left_behind(self) -> str:
        """What a `run` that fails says of the watchdog it leaves."""
        code = self._process.poll()
        if code is not None:
            return f"its watchdog has ended already (exit code {code})"
        return f"its watchdog goes on as process {self._process.pid} and tells of the silence"


def _out_of_reach(app: Slopewatch) -> list[str]:
    """Why this process cannot work just now: a sentence for each store that does not answer."""
    looks: list[Callable[[], object]] = [app.log.topics]
    looks += [app.states.sites] if app.states is not None else []
    looks += [app.ledger.sites] if app.ledger is not None else []
    looks += [app.projection.counts] if app.projection is not None else []
    missing = []
    for look in looks:
        try:
            look()
        except SlopewatchError as error:
            missing.append(str(error))
    return missing


def _loops(app: Slopewatch, role: str | None, site: str | None) -> list[Loop]:
    """Everything that runs until stopped, one thread each."""
    loops: list[Loop] = [w.run for w in app.workers]
    if "ingest" in app.roles:
        loops.append(Scheduler(app, site).run)
    if "alerting" in app.roles:
        loops += [app.run_sender, app.run_upkeep]
    if role in {None, "projector"}:
        loops.append(Vitals(app, site).run)
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


def _spawn_watchdog(service: Service, site: str | None) -> subprocess.Popen[Any]:
    """The watchdog must outlive a hang of this process, so it is one of its own.

    It gets the very settings of this process, in a file that only its owner can read.
    """
    path = service.data / "watchdog.yaml"
    path.unlink(missing_ok=True)
    path.touch(mode=0o600)
    path.write_text(service.model_dump_json(indent=2), encoding="utf-8")
    command = [sys.executable, "-m", "services.cli", "--config", str(path), "run", "watchdog"]
    command.append("--sentry")
    return subprocess.Popen([*command, *(["--site", site] if site else [])])


def _watch(
    service: Service,
    only: str | None,
    stop: threading.Event,
    echo: Callable[[str], None],
    telemetry: Telemetry,
    *,
    serve: bool = False,
) -> None:
    """Watch, unless another one watches this folder already; `serve` metrics and health beside."""
    from services.guard import Guard

    with watching_alone(folder_in(service.data), only) as other:
        if other is not None:
            logger = structlog.get_logger().bind(stage="watchdog")
            logger.warning(f"another watchdog watches this folder ({other})")
            return
        tell_build(telemetry, service)
        guard = Guard(service, lambda: load_sites(service, only), telemetry)
        with _served(service, telemetry, guard.missing, echo) if serve else nullcontext():
            guard.run(stop, echo)


@contextmanager
def _served(
    service: Service,
    telemetry: Telemetry,
    missing: Callable[[], list[str]],
    echo: Callable[[str], None],
) -> Iterator[None]:
    """Serve, if that can be: to watch matters more than to be seen watching."""
    with ExitStack() as stack:
        try:
            server = StatusServer(service.metrics_host, service.metrics_port, telemetry, missing)
        except UnavailableError as error:
            logger = structlog.get_logger().bind(stage="watchdog")
            logger.error("watchdog serves no metrics", reason=str(error))
        else:
            status = stack.enter_context(server)
            echo(f"the watchdog watches; metrics at {status.url}")
        yield
