"""What is well and what is wrong in the settings of a service and its sites, one line each."""

from __future__ import annotations

from collections import Counter
from collections.abc import Iterator
from email.utils import parseaddr
from pathlib import Path
from typing import Any, Literal, NamedTuple
from urllib.parse import urlsplit

from core import plugins
from core.errors import SettingsError, SlopewatchError
from core.settings import Plugin, Service, Site, load_site
from services.vitals.named import fault_of_secret, secrets_of, sections


class Remark(NamedTuple):
    """One line of `config check`: `place` is a file, `field` what in it."""

    status: Literal["ok", "warning", "error"]
    place: str
    field: str
    sentence: str

    def __str__(self) -> str:
        return f"{self.status:<8} {self.place}  {self.field}: {self.sentence}"


def site_files(service: Service) -> list[Path]:
    """The files that are read as sites, sorted."""
    return sorted(service.sites.glob("*.yaml")) if service.sites.is_dir() else []


def service_remarks(service: Service) -> Iterator[Remark]:
    """What is wrong with the service's own settings, beyond the form of each."""
    from core.eventlog import schemes

    def remark(status: Literal["warning", "error"], field: str, sentence: str) -> Remark:
        return Remark(status, "service", field, sentence)

    known = {
        "log": tuple(schemes()),
        "state": ("file", "s3", "memory"),
        "ledger": ("sqlite", "postgresql"),
        "artifacts": ("file", "s3", "memory"),
        "memory": ("file", "s3", "memory"),
    }
    for field, accepted in known.items():
        scheme = str(getattr(service, field)).partition("://")[0]
        if scheme not in accepted:
            yield remark(
                "error", field, f"begin it with {' or '.join(a + '://' for a in accepted)}"
            )
        elif scheme == "memory":
            yield remark("warning", field, "memory:// forgets all when the process ends")
    for name, url in service.endpoints:
        parts = urlsplit(url)
        if parts.scheme not in ("http", "https") or not parts.hostname:
            yield remark("error", f"endpoints.{name}", "give an http(s):// address")
    smtp = service.smtp
    if "@" not in parseaddr(smtp.sender)[1]:
        yield remark("error", "smtp.sender", "is not a mail address")
    if smtp.user is not None and (why := fault_of_secret(smtp.password_env)):
        yield remark("warning", "smtp.password_env", why)
    if not site_files(service):
        advice = "make one with `slopewatch site new NAME --at LAT,LON`"
        yield remark("error", "sites", f"no site file (*.yaml) in {service.sites}: {advice}")
    for path in sorted(service.sites.glob("*.yml")) if service.sites.is_dir() else ():
        yield Remark("warning", str(path), "name", "is not read: rename it to .yaml")


def site_remarks(path: Path, service: Service) -> tuple[Site | None, list[Remark]]:
    """The site of a file, None when it cannot be read, and what there is to say about it."""
    from services.commands._crosschecks import crosschecks

    place = str(path)
    try:
        site = load_site(path)
    except SettingsError as error:
        return None, [Remark("error", place, "site", str(error).removeprefix(f"{path}: "))]
    remarks: list[Remark] = []
    opened: dict[str, list[Any]] = {}
    for section, package, given in sections(site):
        opened[section] = []
        for number, plugin in enumerate(given, start=1):
            field = section if section == "model" else f"{section}, {number}"
            settings, found = _plugin_remarks(package, plugin, service, place, field)
            opened[section].append(settings)
            remarks += found
    remarks += [Remark(*found) for found in crosschecks(site, path, opened)]
    return site, remarks


def _plugin_remarks(
    package: str, plugin: Plugin, service: Service, place: str, field: str
) -> tuple[Any, list[Remark]]:
    """A plug-in's own settings, None when they are wrong, and what to say about them."""
    try:
        settings = plugins.settings(package, plugin.model_dump())
    except SlopewatchError as error:
        return None, [Remark("error", place, field, str(error))]
    unset = [why for name in secrets_of(settings) if (why := fault_of_secret(name))]
    if unset:
        return settings, [Remark("warning", place, field, why) for why in unset]
    if package.rpartition(".")[2] in ("feeds", "sources", "notifiers"):
        try:
            plugins.load(package, plugin.kind).open(settings, service)
        except SlopewatchError as error:
            return settings, [Remark("error", place, field, str(error))]
    return settings, []


def names_twice(sites: dict[Path, Site]) -> Iterator[Remark]:
    """Sites of different files with one name, and names that do not fit their file's."""
    count = Counter(site.name for site in sites.values())
    for path, site in sites.items():
        if count[site.name] > 1:
            yield Remark("error", str(path), "name", f"{site.name!r} is another file's name too")
        elif site.name != path.stem:
            told = f"is {site.name!r}: --site takes that, not the file's name {path.stem!r}"
            yield Remark("warning", str(path), "name", told)
