"""Plug-ins: the file's name is its name in the settings; one file is one plug-in."""

from __future__ import annotations

import importlib
import pkgutil
from collections.abc import Mapping
from types import ModuleType
from typing import Any

from pydantic import ValidationError

from core.errors import SettingsError


def names(package: str) -> tuple[str, ...]:
    """Names of the plug-ins in `package` (dotted), sorted; loads none of them."""
    path = importlib.import_module(package).__path__
    return tuple(sorted(m.name for m in pkgutil.iter_modules(path) if not m.name.startswith("_")))


def load(package: str, name: str) -> ModuleType:
    """Import plug-in `name`; an unknown name lists the known ones."""
    known = names(package)
    if name not in known:
        kind = package.rpartition(".")[2]
        raise SettingsError(f"no {kind} named {name!r}; known: {', '.join(known)}")
    return importlib.import_module(f"{package}.{name}")


def settings(package: str, given: Mapping[str, Any], where: str = "") -> Any:
    """Validate `given` (its `kind` names the plug-in) with the plug-in's own `Settings` class.

    Raises `SettingsError` naming place, field and what is accepted.
    """
    kind = str(given.get("kind", ""))
    module = load(package, kind)
    try:
        return module.Settings.model_validate({k: v for k, v in given.items() if k != "kind"})
    except ValidationError as error:
        place = where or package.rpartition(".")[2]
        raise SettingsError(explain(error, f"{place} {kind}")) from error


def explain(error: ValidationError, where: str) -> str:
    """One sentence for a pydantic error: where, which field, what is wrong."""
    problems = "; ".join(
        f"{'.'.join(map(str, e['loc'])) or 'the whole'}: {e['msg'].lower()}" for e in error.errors()
    )
    return f"{where}: {problems}"
