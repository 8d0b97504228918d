"""What slopewatch keeps: log, state, ledger, artifacts, memory, projection. Nothing is changed.

Nothing is made either, save an empty object in a bucket, to see that it can be written.
"""

from __future__ import annotations

import fcntl
import os
import sqlite3
from collections.abc import Iterator
from contextlib import closing
from itertools import islice
from pathlib import Path
from urllib.parse import unquote, urlsplit

from core.errors import SlopewatchError
from core.settings import Service
from services.commands._findings import Finding

ARTIFACTS_READ = 50
LARGEST_READ = 1 << 20
FRESH = "made at the first start"
RESTORE = "stop all, keep a copy of it, and restore it from a backup"


def store_findings(service: Service, *, network: bool) -> Iterator[Finding]:
    """One finding a store; those of servers are only asked with `network`."""
    for what, look in (
        ("event log", _log),
        ("state", _state),
        ("ledger", _ledger),
        ("artifacts", _artifacts),
        ("memory", _memory),
        ("projection", _projection),
    ):
        url = str(getattr(service, {"event log": "log"}.get(what, what)))
        scheme = url.partition("://")[0]
        if scheme == "memory":
            told = "memory:// forgets all when the process ends"
            yield Finding(what, "warning", told, "for real use give it a file")
        elif scheme not in ("file", "sqlite") and not network:
            yield Finding(what, "ok", f"{scheme}:// was not asked (no network)")
        elif scheme in ("file", "sqlite") and not _path(url).exists():
            yield Finding(what, "ok", f"{_path(url)} is not there yet: {FRESH}")
        else:
            try:
                yield look(url)
            except (SlopewatchError, OSError, sqlite3.Error) as error:
                told = str(error) if isinstance(error, SlopewatchError) else f"{url}: {error}"
                yield Finding(what, "problem", told, "mend what this says, then look again")


def _path(url: str) -> Path:
    return Path(unquote(urlsplit(url).path))


def _log(url: str) -> Finding:
    from core.eventlog import open_log

    with closing(open_log(url)) as log:
        topics = log.topics()
        records = sum(sum(log.end(topic).values()) for topic in topics)
        told = f"log: {len(topics)} topics, {records} records so far"
    return Finding("event log", "ok", told)


def _state(url: str) -> Finding:
    if urlsplit(url).scheme == "s3":
        return _bucket_state(url)
    from core.statestore.lock import LOCK_NAME

    folder = _path(url)
    lock = folder / LOCK_NAME
    sites = sum(1 for path in folder.iterdir() if path.is_dir())
    if not lock.exists():
        return Finding("state", "ok", f"{folder} is free, {sites} site(s)")
    file = os.open(lock, os.O_RDONLY | os.O_CLOEXEC)
    try:
        fcntl.flock(file, fcntl.LOCK_SH | fcntl.LOCK_NB)
    except BlockingIOError:
        holder = os.pread(file, 200, 0).decode(errors="replace").strip() or "another process"
        return Finding("state", "ok", f"{folder} is held by {holder}: a worker runs there")
    finally:
        os.close(file)
    return Finding("state", "ok", f"{folder} is free, {sites} site(s)")


def _bucket_state(url: str) -> Finding:
    from core.objects import bucket_of
    from core.statestore import open_states

    with closing(open_states(url)) as states:
        sites = len(states.sites())
    told = f"{bucket_of(url)} can be written and lets one of two writers win, {sites} site(s)"
    return Finding("state", "ok", told)


def _ledger(url: str) -> Finding:
    from core.ledger import open_ledger
    from core.ledger.schema import HEAD

    server = urlsplit(url).scheme != "sqlite"
    if not server and (early := _other_schema(_path(url))):
        return early
    with closing(open_ledger(url)) as ledger:
        faults = ledger.verify()
        sites = len(ledger.sites())
    if faults:
        more = f" (and {len(faults) - 1} more)" if len(faults) > 1 else ""
        return Finding("ledger", "problem", faults[0] + more, RESTORE)
    reached = f"its server answers, its schema is {HEAD}, " if server else ""
    return Finding("ledger", "ok", f"{reached}every chain is whole, {sites} site(s)")


def _other_schema(path: Path) -> Finding | None:
    """Opening brings an older ledger to today's schema, which a check-up must not do."""
    from core.ledger.schema import HEAD
    from core.ledger.schema_version import VERSION_TABLE

    with closing(sqlite3.connect(f"{path.resolve().as_uri()}?mode=ro", uri=True)) as connection:
        tables = {name for (name,) in connection.execute("SELECT name FROM sqlite_master")}
        if VERSION_TABLE not in tables:
            told = f"{path} is no ledger"
            return Finding("ledger", "problem", told, "set ledger to another file")
        row = connection.execute(f"SELECT version_num FROM {VERSION_TABLE}").fetchone()
    if row is None or row[0] != HEAD:
        told = f"its schema is {row[0] if row else 'empty'}, this release has {HEAD}"
        advice = "keep a copy of it before the next start, which brings it to the newest schema"
        return Finding("ledger", "warning", told, advice)
    return None


def _artifacts(url: str) -> Finding:
    if urlsplit(url).scheme == "s3":
        return _bucket_artifacts(url)
    from core.artifacts import open_artifacts
    from core.events import ArtifactRef

    folder = _path(url)
    store = open_artifacts(url)
    looked = 0
    for path in islice(folder.glob("[0-9a-f][0-9a-f]/[0-9a-f]*"), ARTIFACTS_READ):
        looked += 1
        store.get(ArtifactRef(sha256=path.parent.name + path.name, bytes=path.stat().st_size))
    return Finding("artifacts", "ok", f"{looked} of those in {folder} read, all whole")


def _bucket_artifacts(url: str) -> Finding:
    from core.artifacts import reference
    from core.objects import open_objects

    objects = open_objects(url)
    objects.create("write-probe", b"")
    looked = 0
    for name in islice((name for name in objects.names() if "/" in name), ARTIFACTS_READ):
        content = objects.get(name, LARGEST_READ)
        if content is None or len(content) > LARGEST_READ:
            continue
        looked += 1
        if reference(content).sha256 != name.replace("/", ""):
            told = f"artifact {objects.where}/{name} is damaged"
            return Finding("artifacts", "problem", told, "restore it from a backup")
    told = f"{objects.where} can be written, {looked} of those in it read, all whole"
    return Finding("artifacts", "ok", told)


def _memory(url: str) -> Finding:
    from core.objects import open_objects

    objects = open_objects(url)
    if urlsplit(url).scheme == "s3":
        objects.create("write-probe", b"")
    notes = sum(1 for _ in objects.names())
    return Finding("memory", "ok", f"{objects.where} holds {notes} notes")


def _projection(url: str) -> Finding:
    from services.projector.schema import SCHEMA
    from services.projector.schema_version import standing

    version, what = standing(url), "projection"
    if version == SCHEMA:
        return Finding(what, "ok", f"the tables for dashboards are there, with schema {SCHEMA}")
    if version is None:
        told = "the tables for dashboards are not there yet"
        return Finding(what, "warning", told, "`slopewatch run projector` makes and fills them")
    told = f"the tables for dashboards have schema {version}, this release has {SCHEMA}"
    if version > SCHEMA:
        return Finding(what, "problem", told, "upgrade slopewatch, or set projection to another")
    return Finding(what, "warning", told, "the next start of the projector makes them anew")
