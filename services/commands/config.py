"""`slopewatch config check` and `config show`: are the settings well, and what are they."""

from __future__ import annotations

from collections.abc import Callable
from pathlib import Path

from core.errors import SettingsError
from core.settings import Service, Site, load_site
from services.commands._remarks import (
    Remark,
    names_twice,
    service_remarks,
    site_files,
    site_remarks,
)


def check(service: Service, echo: Callable[[str], None]) -> bool:
    """Say what is well and wrong in all settings, one line each; False when there is an error."""
    remarks = examined(service)
    for remark in remarks:
        echo(str(remark))
    errors = sum(remark.status == "error" for remark in remarks)
    warnings = sum(remark.status == "warning" for remark in remarks)
    echo(f"{errors} error(s), {warnings} warning(s)")
    return not errors


def examined(service: Service) -> list[Remark]:
    """What `check` says: of the service, of every site file, and of all files together."""
    remarks = list(service_remarks(service)) or [Remark("ok", "service", "settings", "well")]
    sites: dict[Path, Site] = {}
    for path in site_files(service):
        site, found = site_remarks(path, service)
        if site is not None:
            sites[path] = site
        if not any(remark.status == "error" for remark in found):
            told = f"{len(site.slope_units)} slope unit(s) can be watched" if site else ""
            remarks.append(Remark("ok", str(path), "site", told))
        remarks += found
    return remarks + list(names_twice(sites))


def show(service: Service, site: str | None) -> str:
    """The settings in force as commented YAML: the service's, or those of one site.

    Passwords, tokens and the private parts of addresses are masked. Raises `SettingsError` for an
    unknown site and for settings that are wrong.
    """
    from services.commands._resolved import service_yaml, site_yaml

    if site is None:
        return service_yaml(service)
    return site_yaml(_site(service, site))


def _site(service: Service, name: str) -> Site:
    """The site of this name; a file of another site may be broken."""
    for path in site_files(service):
        try:
            found = load_site(path)
        except SettingsError:
            if path.stem == name:
                raise
            continue
        if found.name == name:
            return found
    raise SettingsError(
        f"no site {name!r} in {service.sites}: `slopewatch site new {name} --at LAT,LON` makes it"
    )
