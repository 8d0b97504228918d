"""The machine below slopewatch: Python, packages, disk, SQLite, the clock, the metrics port."""

from __future__ import annotations

import importlib
import platform
import socket
import sqlite3
import sys
import tempfile
import time
import urllib.error
import urllib.request
import warnings
from collections.abc import Iterator
from contextlib import closing
from datetime import UTC, datetime
from pathlib import Path

from core.settings import Service
from services.commands._findings import Finding
from services.vitals.disks import disks, existing
from services.vitals.look import Fault

PACKAGES = (
    "alembic",
    "array_api_compat",
    "asf_search",
    "h5py",
    "icechunk",
    "jinja2",
    "msgspec",
    "numcodecs",
    "numpy",
    "openpyxl",
    "prometheus_client",
    "pydantic",
    "rasterio",
    "requests",
    "scipy",
    "shapely",
    "sqlalchemy",
    "structlog",
    "tenacity",
    "tqdm",
    "xarray",
    "yaml",
    "zarr",
)
OLDEST, FIRST_UNTRIED = (3, 11), (3, 14)
FULL_BYTES, LOW_BYTES = 1 << 30, 5 << 30
CLOCK_SLACK_S = 60.0
LOOKED_AT = 1000
PORT_TIMEOUT_S = 2.0


def machine_findings(service: Service) -> Iterator[Finding]:
    """Everything that can be looked at without the outside and without slopewatch's own files."""
    yield _python()
    yield _packages()
    yield _data_folder(service.data)
    yield from _disks(service)
    yield _sqlite(service.data)
    yield _clock(service.data)
    yield _metrics_port(service)


def _python() -> Finding:
    version, now = platform.python_version(), sys.version_info[:2]
    if now < OLDEST:
        return Finding("python", "problem", f"Python {version} is too old", "use 3.11 to 3.13")
    if now >= FIRST_UNTRIED:
        return Finding("python", "warning", f"Python {version} is not tried yet", "use 3.13")
    return Finding("python", "ok", f"Python {version}")


def _packages() -> Finding:
    broken = [f"{name} ({why})" for name in PACKAGES if (why := _import_fault(name))]
    if broken:
        told = f"not importable: {', '.join(broken)}"
        return Finding("packages", "problem", told, "install slopewatch again")
    return Finding("packages", "ok", f"{len(PACKAGES)} packages can be imported")


def _import_fault(name: str) -> str | None:
    try:
        with warnings.catch_warnings(action="ignore"):
            importlib.import_module(name)
    except Exception as error:  # a broken wheel may fail with anything
        return type(error).__name__
    return None


def _data_folder(folder: Path) -> Finding:
    place = existing(folder)
    if not place.is_dir():
        return Finding("data folder", "problem", f"{place} is no folder", "set data to another one")
    try:
        with tempfile.TemporaryFile(dir=place):
            pass
    except OSError as error:
        told = f"{place} cannot be written: {error.strerror or error}"
        return Finding("data folder", "problem", told, "give this user the right, or set data")
    told = "can be written" if place == folder else f"will be made in {place}"
    return Finding("data folder", "ok", f"{folder} {told}")


def _disks(service: Service) -> Iterator[Finding]:
    for disk in disks(service):
        if isinstance(disk, Fault):
            yield Finding("disk", "problem", disk.sentence, "see that it is mounted")
            continue
        what = "disk" if disk.name == "data" else f"disk of {disk.name}"
        told = f"{disk.free / (1 << 30):.1f} GiB free in {disk.place}"
        if disk.free < FULL_BYTES:
            yield Finding(what, "problem", told, "make room: writing may fail any moment")
        elif disk.free < LOW_BYTES:
            yield Finding(what, "warning", told, "make room before it is full")
        else:
            yield Finding(what, "ok", told)


def _sqlite(folder: Path) -> Finding:
    """Whether the disk keeps a write-ahead log and a lock: network disks often do not."""
    advice = "keep data on a local disk"
    try:
        with tempfile.TemporaryDirectory(dir=existing(folder), prefix=".doctor-") as scratch:
            fault = _sqlite_fault(str(Path(scratch) / "try.db"))
    except (sqlite3.Error, OSError) as error:
        return Finding("sqlite", "problem", f"a database cannot be kept there: {error}", advice)
    if fault:
        return Finding("sqlite", "problem", fault, advice)
    return Finding("sqlite", "ok", f"SQLite {sqlite3.sqlite_version} keeps journal and lock")


def _sqlite_fault(path: str) -> str | None:
    with (
        closing(sqlite3.connect(path, isolation_level=None)) as one,
        closing(sqlite3.connect(path, isolation_level=None, timeout=0)) as other,
    ):
        (mode,) = one.execute("PRAGMA journal_mode=WAL").fetchone()
        if mode != "wal":
            return "this disk cannot keep a write-ahead log"
        one.execute("CREATE TABLE t (x)")
        one.execute("BEGIN IMMEDIATE")
        try:
            other.execute("BEGIN IMMEDIATE")
        except sqlite3.OperationalError:
            one.execute("ROLLBACK")
            return None
    return "two writers got the lock of one file at once on this disk"


def _clock(folder: Path) -> Finding:
    """The clock against the newest of the files: they cannot be of the future."""
    newest = max((_written(path) for path in _some_files(folder)), default=0.0)
    ahead = newest - time.time()
    if ahead > CLOCK_SLACK_S:
        told = f"files in {folder} were written {ahead:.0f} s in the future"
        return Finding("clock", "problem", told, "set the clock (NTP): times in records are wrong")
    return Finding("clock", "ok", f"it is {datetime.now(UTC):%Y-%m-%d %H:%M} UTC")


def _some_files(folder: Path) -> Iterator[Path]:
    if folder.is_dir():
        yield from folder.iterdir()
        for number, path in enumerate((folder / "artifacts").glob("*/*")):
            if number >= LOOKED_AT:
                return
            yield path


def _written(path: Path) -> float:
    try:
        return path.stat().st_mtime
    except OSError:  # gone meanwhile
        return 0.0


def _metrics_port(service: Service) -> Finding:
    host, port = service.metrics_host, service.metrics_port
    family = socket.AF_INET6 if ":" in host else socket.AF_INET
    with socket.socket(family, socket.SOCK_STREAM) as probe:
        probe.setsockopt(socket.SOL_SOCKET, socket.SO_REUSEADDR, 1)
        try:
            probe.bind((host, port))
        except OSError as error:
            reason = error.strerror or str(error)
        else:
            return Finding("metrics port", "ok", f"{host}:{port} is free")
    if _answers_as_ours(host, port):
        return Finding("metrics port", "ok", f"a running slopewatch answers at {host}:{port}")
    told = f"cannot listen on {host}:{port}: {reason}"
    return Finding("metrics port", "problem", told, "set metrics_port to a free one")


def _answers_as_ours(host: str, port: int) -> bool:
    opener = urllib.request.build_opener(urllib.request.ProxyHandler({}))
    name = {"0.0.0.0": "127.0.0.1", "::": "[::1]"}.get(host, f"[{host}]" if ":" in host else host)
    try:
        with opener.open(f"http://{name}:{port}/healthz", timeout=PORT_TIMEOUT_S) as answer:
            return bool(answer.read(10) == b"ok\n")
    except (OSError, ValueError, urllib.error.URLError):
        return False
