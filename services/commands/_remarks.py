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
from core.settings import Plugin, Service, Site, load_site, secret
from services.alerting.notifier import variables_in


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
    for section, package, given in _sections(site):
        opened[section] = []
        for number, plugin in enumerate(given, start=1):
            field = section if section == "model" else f"{section}, {number}"
            settings, found = _plugin_remarks(package, plugin, service, place, field)
            opened[section].append(settings)
            remarks += found
    remarks += [Remark(*found) for found in crosschecks(site, path, opened)]
    return site, remarks


def plugins_of(site: Site) -> Iterator[tuple[str, str, Plugin]]:
    """Section, package and settings of every plug-in that a site uses."""
    for section, package, given in _sections(site):
        for plugin in given:
            yield section, package, plugin


def _sections(site: Site) -> list[tuple[str, str, tuple[Plugin, ...]]]:
    from services.alerting.notifier import NOTIFIERS
    from services.alerting.rule import DEFAULT_RULES, RULES
    from services.inference.model import MODELS
    from services.ingest.feed import FEEDS, SOURCES

    return [
        ("feeds", FEEDS, site.feeds),
        ("sources", SOURCES, site.sources),
        ("model", MODELS, (site.model,) if site.model else ()),
        ("rules", RULES, site.rules or DEFAULT_RULES),
        ("recipients", NOTIFIERS, tuple(r.notifier for r in site.recipients)),
    ]


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


def secrets_of(settings: Any) -> list[str]:
    """Names of the environment variables that settings take something from, each once."""
    return list(dict.fromkeys(_secrets(settings.model_dump(mode="json"))))


def _secrets(tree: Any, name: str = "") -> Iterator[str]:
    if isinstance(tree, dict):
        for key, value in tree.items():
            yield from _secrets(value, key)
    elif isinstance(tree, list):
        for value in tree:
            yield from _secrets(value, name)
    elif isinstance(tree, str):
        yield from [tree] if name.endswith("_env") else variables_in(tree)


def fault_of_secret(name: str) -> str | None:
    """Why the secret `name` cannot be used, None when it can; never repeats it."""
    try:
        found = secret(name)
    except (OSError, UnicodeDecodeError):
        return f"the file that {name}_FILE names cannot be read"
    return None if found else f"set the environment variable {name} (or {name}_FILE)"


def names_twice(sites: dict[Path, Site]) -> Iterator[Remark]:
    """Sites of different files with one name, and names that do not fit their file's."""
    count = Counter(site.name for site in sites.values())
    for path, site in sites.items():
        if count[site.name] > 1:
            yield Remark("error", str(path), "name", f"{site.name!r} is another file's name too")
        elif site.name != path.stem:
            told = f"is {site.name!r}: --site takes that, not the file's name {path.stem!r}"
            yield Remark("warning", str(path), "name", told)
