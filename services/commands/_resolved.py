"""Settings in force as commented YAML, plug-ins with all their own settings, secrets masked."""

from __future__ import annotations

import json
import math
import re
from collections.abc import Iterator
from typing import Any
from urllib.parse import urlsplit

import msgspec
import yaml
from pydantic import BaseModel

from core import plugins
from core.settings import Plugin, Service, Site

MASK = "***"
_SECRET_NAME = re.compile(r"password|secret|token|api_?key|credential", re.IGNORECASE)
_USER = re.compile(r"://[^/?#]*@")
_QUERY_VALUE = re.compile(r"(?<=[?&])(?P<name>[^=&#]*)=(?!\{\w+\}(?:[&#]|$))[^&#]*")


def service_yaml(service: Service) -> str:
    """The service's settings."""
    return "\n".join(_tree(service, "", {})) + "\n"


def site_yaml(site: Site) -> str:
    """One site's settings. Raises `SettingsError` for a plug-in's wrong settings."""
    from services.alerting.notifier import NOTIFIERS
    from services.alerting.rule import DEFAULT_RULES, RULES
    from services.inference.model import MODELS
    from services.ingest.feed import FEEDS, SOURCES

    packages = {"feeds": FEEDS, "sources": SOURCES, "model": MODELS, "rules": RULES}
    packages["notifier"] = NOTIFIERS
    full = site.model_copy(update={"rules": site.rules or DEFAULT_RULES})
    return "\n".join(_tree(full, "", packages)) + "\n"


def _tree(values: BaseModel, indent: str, packages: dict[str, str]) -> Iterator[str]:
    for name, field in type(values).model_fields.items():
        value = getattr(values, name)
        note = f"  # {field.description}" if field.description else ""
        head = f"{indent}{name}:"
        if isinstance(value, Plugin):
            yield head + note
            yield from _plugin(value, packages[name], indent + "  ")
        elif isinstance(value, BaseModel):
            yield head + note
            yield from _tree(value, indent + "  ", packages)
        elif isinstance(value, tuple) and value and isinstance(value[0], BaseModel):
            yield head + note
            for item in value:
                yield from _item(item, name, indent + "  ", packages)
        else:
            yield f"{head} {_scalar(name, value)}{note}"


def _item(item: BaseModel, name: str, indent: str, packages: dict[str, str]) -> Iterator[str]:
    lines = (
        _plugin(item, packages[name], indent + "  ")
        if isinstance(item, Plugin)
        else _tree(item, indent + "  ", packages)
    )
    for number, line in enumerate(lines):
        yield f"{indent}- {line[len(indent) + 2 :]}" if number == 0 else line


def _plugin(plugin: Plugin, package: str, indent: str) -> Iterator[str]:
    settings = plugins.settings(package, plugin.model_dump())
    yield f"{indent}kind: {plugin.kind}"
    if package.endswith(".notifiers") and getattr(settings, "url", None):
        # Whoever knows the whole address of a hook may often post to it.
        settings = settings.model_copy(update={"url": _host_only(settings.url)})
    yield from _tree(settings, indent, {})


def _scalar(name: str, value: Any) -> str:
    if isinstance(value, BaseModel):
        value = value.model_dump(mode="json")
    builtin = json.loads(msgspec.json.encode(value, enc_hook=str))
    hidden = not name.endswith("_env") and _SECRET_NAME.search(name)
    shown = MASK if hidden and isinstance(builtin, str) and builtin else _masked(builtin)
    text = yaml.safe_dump(shown, default_flow_style=True, width=math.inf, allow_unicode=True)
    return text.removesuffix("...\n").strip()


def _masked(value: Any) -> Any:
    if isinstance(value, dict):
        return {key: _masked(one) for key, one in value.items()}
    if isinstance(value, list):
        return [_masked(one) for one in value]
    return _masked_url(value) if isinstance(value, str) and "://" in value else value


def _masked_url(text: str) -> str:
    """Without user, password and the values of a query; `{since}` and its like stay."""
    return _QUERY_VALUE.sub(rf"\g<name>={MASK}", _USER.sub(f"://{MASK}@", text))


def _host_only(url: str) -> str:
    parts = urlsplit(url)
    return f"{parts.scheme}://{parts.netloc}/{MASK}" if parts.scheme and parts.netloc else url
