"""`slopewatch run`: all services in one process, or one of them."""

from __future__ import annotations

import signal
import subprocess
import sys
import threading
import time
from collections.abc import Callable, Iterator
from contextlib import ExitStack, contextmanager, nullcontext
from functools import partial
from typing import Any, NamedTuple

import structlog

from core.errors import SettingsError, SlopewatchError, UnavailableError
from core.notes import open_notes
from core.settings import Service
from core.telemetry import Telemetry
from core.watchdog import folder_in, watching_alone
from services.compose import ALL, Slopewatch, load_sites, tell_build
from services.ingest.memory import Memory
from services.liveness import Liveness
from services.schedule import Scheduler
from services.status import StatusServer
from services.vitals.service import Vitals

ROLES = (*ALL, "watchdog")
RESPAWN_S = 60.0
AGAIN_S = 60.0
"""So long a loop waits that nothing depends on, before it begins anew after trouble."""
HOUR_S = 3600.0

Run = Callable[[threading.Event], None]


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
    _look_for_sites(service, site)
    roles = [role] if role else ALL
    with Slopewatch(service, roles=roles, member=member) as app:
        _serve(app, role, site, stop, echo)


def _look_for_sites(service: Service, only: str | None) -> None:
    """Refuse to run without any site; one that cannot be read must not stop the others.

    Where none can be read those that the log was told of go on as they were: only what is new
    comes from the files.
    """
    try:
        load_sites(service, only, without_broken=only is None)
    except SettingsError as error:
        if only is not None or not service.sites.is_dir():
            raise
        if not Memory(open_notes(str(service.memory))).watched():
            raise
        structlog.get_logger().error(
            "no site file can be read, known sites go on", reason=str(error)
        )


def _serve(
    app: Slopewatch,
    role: str | None,
    site: str | None,
    stop: threading.Event,
    echo: Callable[[str], None],
) -> None:
    from services.page import render_sites

    failures: list[str] = []
    liveness = Liveness()
    page = (lambda: render_sites(app, site)) if role is None else None
    service = app.service
    with StatusServer(
        service.metrics_host,
        service.metrics_port,
        app.telemetry,
        lambda: [*failures, *_out_of_reach(app, role)],
        page,
        service.cap_folder,
        liveness.hung,
    ) as status:
        echo(f"slopewatch runs; page and metrics at {status.url}, data in {service.data}")
        sentry = _Sentry(service, site) if role is None else None
        threads = [
            _thread(loop, liveness.watch(loop.name, loop.limit_s, stop), failures)
            for loop in _loops(app, role, site)
        ]
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


def _out_of_reach(app: Slopewatch, role: str | None) -> list[str]:
    """Why this process cannot work just now: a sentence for each store that does not answer.

    That of the projection counts for the projector alone: all else works without it.
    """
    looks: list[Callable[[], object]] = [app.log.topics]
    looks += [app.states.sites] if app.states is not None else []
    looks += [app.ledger.sites] if app.ledger is not None else []
    if role is not None and app.projection is not None:
        looks.append(app.projection.counts)
    missing = []
    for look in looks:
        try:
            look()
        except SlopewatchError as error:
            missing.append(str(error))
    return missing


class Loop(NamedTuple):
    """Something that runs until its event is set; `limit_s`: longer than its longest honest pass.

    A pass without an end is a loop that hangs. Waiting does not count.
    """

    name: str
    run: Run
    limit_s: float


def _loops(app: Slopewatch, role: str | None, site: str | None) -> list[Loop]:
    """Everything that runs, one thread each.

    Whatever happens to the tables of dashboards or to the looks at the machine, a process that
    warns as well goes on warning.
    """
    loops = []
    for worker in app.workers:
        lasts = worker.looks_on and role is None
        # A batch of 500 closed days with fitted models takes an hour.
        run = lasting(worker.run, worker.stage) if lasts else worker.run
        loops.append(Loop(worker.stage, run, 2 * HOUR_S))
    if "ingest" in app.roles:
        # The history of many new sites is fetched, or the models of all sites are fitted.
        loops.append(Loop("scheduler", Scheduler(app, site).run, 12 * HOUR_S))
    if "alerting" in app.roles:
        loops.append(Loop("sender", app.run_sender, HOUR_S / 2))
        loops.append(Loop("upkeep", app.run_upkeep, HOUR_S))
    if role in {None, "projector"}:
        look = Vitals(app, site).run
        loops.append(Loop("vitals", look if role else lasting(look, "vitals"), HOUR_S))
    return loops


def lasting(run: Run, name: str) -> Run:
    """A loop that nothing depends on: after trouble it begins anew, and says so each time."""

    def again(stop: threading.Event) -> None:
        while not stop.is_set():
            try:
                run(stop)
            except Exception as error:
                known = isinstance(error, SlopewatchError)
                structlog.get_logger().error(
                    "begins anew in a minute; warnings go on without it",
                    loop=name,
                    reason=str(error) if known else repr(error),
                    exc_info=None if known else error,
                )
                stop.wait(AGAIN_S)

    return again


def _thread(loop: Loop, stop: threading.Event, failures: list[str]) -> threading.Thread:
    def guarded() -> None:
        try:
            loop.run(stop)
        except Exception as error:
            failures.append(f"{loop.name}: {error}")
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
        guard = Guard(service, only, telemetry)
        liveness = Liveness()
        watched = liveness.watch("watchdog", HOUR_S / 2, stop)
        server = partial(
            StatusServer,
            service.metrics_host,
            service.metrics_port,
            telemetry,
            guard.missing,
            hung=liveness.hung,
        )
        with _served(server, echo) if serve else nullcontext():
            guard.run(watched, echo)


@contextmanager
def _served(serve: Callable[[], StatusServer], echo: Callable[[str], None]) -> Iterator[None]:
    """Serve, if that can be: to watch matters more than to be seen watching."""
    with ExitStack() as stack:
        try:
            server = serve()
        except UnavailableError as error:
            logger = structlog.get_logger().bind(stage="watchdog")
            logger.error("watchdog serves no metrics", reason=str(error))
        else:
            status = stack.enter_context(server)
            echo(f"the watchdog watches; metrics at {status.url}")
        yield
