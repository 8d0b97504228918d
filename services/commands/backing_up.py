"""`slopewatch backup`: a copy of everything, made while the services run.

Each store is copied as it stands at one moment, in the order ledger, state, artifacts, memory,
log. So the log is the youngest: whatever another store has taken in lies in it, and what the
services did after a store's copy is done again after a restore, from the same inputs, with the same
results. Artifacts never change and are named only after they were put, so those that came while the
rest was copied are taken along at the end.
"""

from __future__ import annotations

import hashlib
import shutil
from collections.abc import Callable, Collection, Iterable, Iterator, Mapping
from contextlib import closing, contextmanager
from datetime import UTC, datetime
from importlib import metadata
from pathlib import Path
from tempfile import TemporaryDirectory, gettempdir
from urllib.parse import unquote, urlsplit

import typer

from core.errors import SettingsError, SlopewatchError, UnavailableError
from core.eventlog import EventLog, open_log
from core.ledger import open_ledger
from core.ledger.ledger import Ledger
from core.notes import open_notes
from core.settings import Service, commented_yaml
from core.statestore import States, open_states, open_states_to_read
from services.commands._backup_artifacts import ArtifactsCopy
from services.commands._backup_log import ORDER, copy_log
from services.commands._backup_place import (
    FORMAT,
    Echo,
    Manifest,
    SiteCopy,
    Vault,
    keep_folder,
)
from services.commands._backup_prune import forget_old
from services.commands._moving_files import copy_notes
from services.commands._moving_stores import copy_site
from services.vitals.backups import LastBackup, note_backup

LEDGER, STATE, MEMORY, SITES, SETTINGS = "ledger.db", "state", "memory", "sites", "settings.yaml"
STORES = ("ledger", "state", "artifacts", "memory", "log")
BEGUN = "restore-begun"
"""The note that stands in the memory while a restore is under way."""
TRIES = 3
Clock = Callable[[], datetime]


def back_up(
    service: Service, to: str, echo: Echo, *, keep: int | None = None, clock: Clock | None = None
) -> str:
    """Make a backup at `to`, a folder or `s3://bucket/prefix?...`; returns its name.

    Of several backups there `keep` are kept, all without it. Raises SlopewatchError with what to
    do; run it again then: what was copied is not copied again.
    """
    service = service.resolved()
    _refuse_what_cannot_be(service)
    if keep is not None and keep < 1:
        raise SettingsError("--keep must leave one backup at least")
    now = clock or (lambda: datetime.now(UTC))
    vault = Vault(to, makes=True)
    begun = now().replace(microsecond=0)
    before = next((manifest for _, manifest in vault.readable(echo)), None)
    with (
        disk_in_our_words(),
        TemporaryDirectory(prefix="slopewatch-backup-") as scratch,
        _open_log(service) as log,
    ):
        folder = Path(scratch)
        sites, export = _copy_ledger(service, folder, before, vault, echo)
        stated = _copy_states(service, folder, echo)
        _refuse_lost_states(service, sites, before, stated)
        artifacts = ArtifactsCopy(service, vault, before, echo)
        artifacts.copy(echo)
        _copy_small_files(service, folder, echo)
        topics = copy_log(log, before.log if before else {}, vault)
        echo(f"log: {sum(topic.records for topic in topics.values())} records in it")
        artifacts.copy(echo)
        artifacts.refuse_lost(topics)
        manifest = Manifest(
            format=FORMAT,
            begun=begun,
            ended=now(),
            by=metadata.version("slopewatch"),
            of={store: str(getattr(service, store)) for store in STORES},
            sites={
                name: SiteCopy(*sites.get(name, (0, "")), name in stated)
                for name in sorted({*sites, *stated})
            },
            export=export,
            files=keep_folder(vault, folder),
            artifacts=artifacts.listed(),
            log=topics,
        )
    name = vault.write(manifest)
    note_backup(str(service.memory), LastBackup(vault.where, name, manifest.ended))
    echo(f"backup {name} is whole; `slopewatch backup verify` reads it again")
    if keep is not None:
        forget_old(vault, keep, echo)
    return name


@contextmanager
def disk_in_our_words() -> Iterator[None]:
    """Errors of the files that a backup is unpacked to, as ours."""
    try:
        yield
    except OSError as error:
        raise UnavailableError(
            f"{error.filename or gettempdir()}: {error.strerror or error} (TMPDIR names the folder "
            "for what is under way: it must hold ledger and state once)"
        ) from error


def _refuse_what_cannot_be(service: Service) -> None:
    for store in STORES:
        if str(getattr(service, store)).startswith("memory:"):
            raise SettingsError(f"{store} is memory://, which its own process alone can read")
    if open_notes(str(service.memory)).get(BEGUN) is not None:
        raise SettingsError("a restore was begun here and is not done: run it again first")


def _open_log(service: Service) -> closing[EventLog]:
    parts = urlsplit(str(service.log))
    if parts.scheme == "sqlite" and not Path(unquote(parts.path)).exists():
        raise SettingsError(f"there is no log {service.log}: nothing was watched here yet")
    log = open_log(str(service.log))
    if missing := set(ORDER) - set(log.topics()):
        log.close()
        raise SettingsError(f"the log {service.log} has no topic {min(missing)}: it was never used")
    return closing(log)


def _copy_ledger(
    service: Service, folder: Path, before: Manifest | None, vault: Vault, echo: Echo
) -> tuple[dict[str, tuple[int, str]], str]:
    """The ledger as an SQLite file, from one transaction; decisions and head of each site.

    Raises SlopewatchError where its chains are broken, or where the backup before is another's.
    """
    with (
        closing(open_ledger(str(service.ledger))) as source,
        closing(open_ledger(f"sqlite://{folder / LEDGER}")) as copy,
    ):
        source.copy_into(copy)
        if problems := copy.verify():
            raise SlopewatchError(f"the ledger is not whole, so nothing was copied: {problems[0]}")
        if before is not None and (other := _other(copy, before)):
            raise SettingsError(_why_not_there(copy, vault, other))
        sites: dict[str, tuple[int, str]] = {}
        for name in copy.sites():
            view = copy.state(name)
            sites[name] = (len(copy.decisions(name)), view.head if view else "")
        export = export_hash(copy.export())
    echo(f"ledger: {sum(count for count, _ in sites.values())} decisions of {len(sites)} sites")
    return sites, export


def _other(ledger: Ledger, before: Manifest) -> str | None:
    """Why a backup is not of this ledger: it knows sites or heads of chains that are not here."""
    lost = {name for name, site in before.sites.items() if site.head} - set(ledger.sites())
    if lost:
        return f"of a site {min(lost)}"
    return next(iter(ledger.verify(before.heads)), None)


def _why_not_there(ledger: Ledger, vault: Vault, other: str) -> str:
    """What to do where the newest backup is not of this ledger; an older one may be, though."""
    for name, older in vault.readable(lambda _: None):
        if older.heads and _other(ledger, older) is None:
            return (
                f"{vault.where} holds newer backups than {name}, which this ledger does not know "
                f"({other}): if you went back to that one, name another place, or give the newer "
                "ones up by removing their manifests"
            )
    return f"{vault.where} holds backups of another slopewatch ({other}): name another place"


def export_hash(lines: Iterable[bytes]) -> str:
    """SHA-256 over the lines of an export."""
    found = hashlib.sha256()
    for line in lines:
        found.update(line)
    return found.hexdigest()


def _copy_states(service: Service, folder: Path, echo: Echo) -> list[str]:
    """Each site's present state, of one commit; the sites that have one."""
    copied = []
    with (
        closing(open_states_to_read(str(service.state))) as source,
        closing(open_states(f"file://{folder / STATE}")) as target,
        typer.progressbar(source.sites(), label="state") as bar,
    ):
        copied = [name for name in bar if _copy_state(source, target, name)]
    echo(f"state: {len(copied)} sites")
    return copied


def _refuse_lost_states(
    service: Service,
    sites: Mapping[str, tuple[int, str]],
    before: Manifest | None,
    stated: Collection[str],
) -> None:
    """Raise SlopewatchError where a site with decisions, or of the backup before, has no state."""
    known = {name for name, (_, head) in sites.items() if head}
    known |= {name for name, site in before.sites.items() if site.state} if before else set()
    if lost := known - set(stated):
        raise SlopewatchError(
            f"{service.state} holds no state of site {min(lost)}: back up where the state lies "
            "(on Kubernetes a disk of inference's pod), or let inference make it again first; "
            "no backup was made"
        )


def _copy_state(source: States, target: States, name: str) -> bool:
    """Copy a site, unless nothing was committed; again where its worker took a part away."""
    for left in reversed(range(TRIES)):
        try:
            with closing(source.open(name)) as a:
                if not a.attrs():
                    return False
                with closing(target.open(name)) as b:
                    copy_site(name, a, b)
            return True
        except UnavailableError:
            if not left:
                raise
    return False


def _copy_small_files(service: Service, folder: Path, echo: Echo) -> None:
    """Ingest's notes, the site files, and the settings as they are in force."""
    copy_notes(str(service.memory), f"file://{folder / MEMORY}", echo)
    if service.sites.is_dir():
        (folder / SITES).mkdir()
        for path in sorted(service.sites.iterdir()):
            if path.is_file() and not path.name.startswith("."):
                shutil.copyfile(path, folder / SITES / path.name)
    (folder / SETTINGS).write_text(commented_yaml(Service, service), encoding="utf-8")
