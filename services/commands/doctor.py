"""`slopewatch doctor`: look at all that slopewatch stands on, say what is wrong and what to do."""

from __future__ import annotations

from collections import Counter
from collections.abc import Iterator

from core.errors import SettingsError
from core.settings import Plugin, Service, Site, load_site
from services.commands._doctor_machine import machine_findings
from services.commands._doctor_stores import store_findings
from services.commands._findings import Finding, render
from services.commands._remarks import fault_of_secret, plugins_of, secrets_of, site_files

__all__ = ["Finding", "examine", "render"]


def examine(service: Service, *, network: bool = True) -> list[Finding]:
    """Look at everything; without `network` nothing outside this machine is asked.

    Nothing of slopewatch's own is made or changed, no mail and no webhook is sent.
    """
    service = service.resolved()
    sites = [site for path in site_files(service) if (site := _loaded(path)) is not None]
    findings = [*machine_findings(service), *store_findings(service, network=network)]
    findings += _settings(service)
    findings += _recipients(service, sites)
    findings += _secrets(service, sites)
    if network:
        from services.commands._doctor_outside import outside_findings

        mail = any(r.notifier.kind == "email" for site in sites for r in site.recipients)
        findings += outside_findings(service, mail=mail)
    return findings
