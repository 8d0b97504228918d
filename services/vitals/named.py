"""What the settings name: plug-ins and the secrets that they take from the environment."""

from __future__ import annotations

from collections.abc import Iterator, Sequence
from typing import Any
from urllib.parse import parse_qs, urlsplit

from core import plugins
from core.errors import SettingsError
from core.eventlog._kafka_settings import PASSWORD
from core.settings import Plugin, Service, Site, secret
from services.alerting.notifier import NOTIFIERS, variables_in


def plugins_of(site: Site) -> Iterator[tuple[str, str, Plugin]]:
    """Section, package and settings of every plug-in that a site uses."""
    for section, package, given in sections(site):
        for plugin in given:
            yield section, package, plugin


def sections(site: Site) -> list[tuple[str, str, tuple[Plugin, ...]]]:
    """By section of a site's file: the package of its plug-ins, and those that are in force."""
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


def secrets_named(service: Service, sites: Sequence[Site]) -> list[str]:
    """Names of all secrets that the settings take from the environment, each once."""
    wanted = [service.smtp.password_env] if service.smtp.user is not None else []
    log = urlsplit(str(service.log))
    if log.scheme == "kafka" and "user" in parse_qs(log.query):
        wanted.append(PASSWORD)
    for site in sites:
        for _, package, plugin in plugins_of(site):
            try:
                wanted += secrets_of(plugins.settings(package, plugin.model_dump()))
            except SettingsError:  # `slopewatch config check` tells it
                continue
    return list(dict.fromkeys(wanted))


def secrets_of(settings: Any) -> list[str]:
    """Names of the environment variables that settings take something from, each once."""
    return list(dict.fromkeys(_secrets(settings.model_dump(mode="json"))))


def fault_of_secret(name: str) -> str | None:
    """Why the secret `name` cannot be used, None when it can; never repeats it."""
    try:
        found = secret(name)
    except (OSError, UnicodeDecodeError):
        return f"the file that {name}_FILE names cannot be read"
    return None if found else f"set the environment variable {name} (or {name}_FILE)"


def _secrets(tree: Any, name: str = "") -> Iterator[str]:
    if isinstance(tree, dict):
        for key, value in tree.items():
            yield from _secrets(value, key)
    elif isinstance(tree, list):
        for value in tree:
            yield from _secrets(value, name)
    elif isinstance(tree, str):
        yield from [tree] if name.endswith("_env") else variables_in(tree)
