"""`slopewatch doctor`: look at all that slopewatch stands on, say what is wrong and what to do."""

from __future__ import annotations

from collections.abc import Iterator, Sequence
from pathlib import Path

from core import plugins
from core.errors import SettingsError, SlopewatchError
from core.settings import Service, Site, load_site
from services.commands._doctor_machine import machine_findings
from services.commands._doctor_stores import store_findings
from services.commands._doctor_vitals import vital_findings
from services.commands._findings import Finding, render
from services.commands._remarks import Remark, site_files
from services.vitals.named import fault_of_secret, secrets_named

__all__ = ["Finding", "examine", "render"]

CHECK = "`slopewatch config check` says it line by line"


def examine(service: Service, *, network: bool = True) -> list[Finding]:
    """Look at everything; without `network` nothing outside this machine is asked.

    Nothing of slopewatch's own is made or changed, no mail and no webhook is sent.
    """
    service = service.resolved()
    sites = [site for path in site_files(service) if (site := _loaded(path)) is not None]
    findings = [*machine_findings(service), *store_findings(service, network=network)]
    findings += _settings(service)
    findings += [_secrets(service, sites), *_webhooks(sites), *_recipients(service, sites)]
    findings += vital_findings(service, sites, network=network)
    if network:
        from services.commands._doctor_outside import outside_findings

        findings += outside_findings(service, sites)
    return findings


def _loaded(path: Path) -> Site | None:
    try:
        return load_site(path)
    except SettingsError:  # `_settings` tells it
        return None


def _settings(service: Service) -> Iterator[Finding]:
    """One finding for the service's settings and for each site file."""
    from services.commands.config import examined

    by_place: dict[str, list[Remark]] = {}
    for remark in examined(service):
        by_place.setdefault(remark.place, []).append(remark)
    for place, remarks in by_place.items():
        what = "settings" if place == "service" else f"site {Path(place).stem}"
        errors = [remark for remark in remarks if remark.status == "error"]
        warned = sum(remark.status == "warning" for remark in remarks)
        if errors:
            more = f" (and {len(errors) - 1} more)" if len(errors) > 1 else ""
            told = f"{errors[0].field}: {errors[0].sentence}{more}"
            yield Finding(what, "problem", told, CHECK)
        elif warned:
            yield Finding(what, "warning", f"loads, with {warned} warning(s)", CHECK)
        else:
            yield Finding(what, "ok", "well" if place == "service" else "loads")


def _secrets(service: Service, sites: Sequence[Site]) -> Finding:
    wanted = secrets_named(service, sites)
    if unset := [name for name in wanted if fault_of_secret(name)]:
        told = f"not set here: {', '.join(unset)}"
        advice = "set them in the environment of the service, or name files by <name>_FILE"
        return Finding("secrets", "warning", told, advice)
    return Finding("secrets", "ok", f"{len(wanted)} named in the settings, all are set")


def _webhooks(sites: Sequence[Site]) -> Iterator[Finding]:
    """Whether messages could be posted to these addresses; nothing is posted."""
    from services.alerting.notifier import NOTIFIERS, from_environment
    from services.alerting.notifiers.webhook import fault_of_url

    for site in sites:
        for recipient in site.recipients:
            if recipient.notifier.kind != "webhook":
                continue
            what = f"webhook {site.name}/{recipient.id}"
            try:
                settings = plugins.settings(NOTIFIERS, recipient.notifier.model_dump())
                url = from_environment(settings.url)
                fault = fault_of_url(url, settings.insecure, allow_private=settings.allow_private)
            except SettingsError as error:
                fault = str(error)
            if fault:
                yield Finding(what, "problem", fault, f"mend recipient {recipient.id}'s settings")
            else:
                yield Finding(what, "ok", "its address is well-formed")


def _recipients(service: Service, sites: Sequence[Site]) -> Iterator[Finding]:
    """Whether messages get through to everybody; nothing is sent."""
    from services.commands.contacts import cut_off

    try:
        by_site = cut_off(service, sites)
    except SlopewatchError:  # what is wrong with the ledger is told of the ledger
        return
    for site, ids in by_site.items():
        what = f"recipients {site}"
        if ids:
            told = f"nothing gets through to {', '.join(ids)}"
            yield Finding(what, "problem", told, "`slopewatch alerts contacts` says why")
        else:
            yield Finding(what, "ok", "nobody is cut off")
