"""Apprise: the message through one of the services that Apprise knows (chat, push, SMS and others).

The address is an Apprise URL. It holds the secrets of its service, so it comes from the environment
or a file only and is never shown. It names one target: several would be told together, and told
again together when one of them fails. Apprise says only that a service took a message, and has no
key by which a service could drop a repeat: what ended without an answer may arrive twice.

Where the URL names a machine, that must be a public one unless `allow_private` says otherwise. It
is looked up just before the sending, and Apprise looks it up once more by itself; redirects are not
followed. Needs the extra `apprise`.

Source: the Apprise documentation, https://appriseit.com (services, URLs, `Apprise.notify`).
"""

from __future__ import annotations

import logging
import re
from collections.abc import Mapping
from typing import TYPE_CHECKING, Any, Final

from pydantic import Field

from core.errors import SettingsError
from core.settings import Service, Tree
from services.alerting.bulletin import load_language, render
from services.alerting.message import Message
from services.alerting.notifier import DeliveryError, Receipt, required_secret
from services.alerting.peers import PrivatePeerError, public_addresses

if TYPE_CHECKING:
    import apprise

EXAMPLE: Final[Mapping[str, Any]] = {"url_env": "SLOPEWATCH_APPRISE_URL"}

_STATUS = re.compile(r"\berror=([0-9]{3})\b")
_PASSING: Final = frozenset({408, 425, 429})
_CUT: Final = "(cut here: the service takes no longer text)"
_JOINT: Final = 8
"""Room for what Apprise puts between title and text where the service has no titles."""
_NO_LOG: Final = logging.NullHandler()


class Settings(Tree):
    """Which environment variable holds the Apprise URL."""

    url_env: str = Field(
        "SLOPEWATCH_APPRISE_URL",
        pattern=r"^[A-Za-z_][A-Za-z0-9_]*$",
        description="environment variable with the Apprise URL; <name>_FILE names a file",
    )
    allow_private: bool = Field(
        False, description="allow a machine of this network or a private one as the target"
    )


class Apprise:
    """An opened service. The URL is read for each sending and never kept."""

    channel = "apprise"

    def __init__(self, settings: Settings, language: str) -> None:
        self._settings = settings
        self._language = language

    def __repr__(self) -> str:
        return f"Apprise(${self._settings.url_env})"

    def send(self, message: Message, key: str) -> Receipt:
        """Hand the message to Apprise. A status below 500 other than `_PASSING` is for somebody to
        mend; everything else may pass by itself.
        """
        service = _service_of(self._settings)
        name = str(service.service_name)
        if not self._settings.allow_private:
            _must_be_public(service, self._settings)
        bulletin = render(message, self._language)
        result = _told(service, bulletin.subject, fitted(bulletin.text, service, bulletin.subject))
        # Not its truth: `optional=yes` in a URL makes a failure a success.
        attempts = [one for each in result for one in each.attempts]
        if attempts and attempts[-1].status.name == "SUCCESS":
            return Receipt(f"{name} took it")
        raise _refused(name, self._settings.url_env, [entry.message for entry in result.logs()])


def fitted(text: str, service: apprise.NotifyBase, title: str) -> str:
    """As many whole lines of `text` as `service` takes beside `title`, said when cut."""
    room = service.body_maxlen - (0 if service.title_maxlen else len(title) + _JOINT)
    if len(text) <= room:
        return text
    kept, left = [], room - len(_CUT)
    for line in text.splitlines():
        left -= len(line) + 1
        if left < 0:
            break
        kept.append(line)
    return "\n".join([*kept, _CUT]) if kept else text[: max(room, 0)]


def _told(service: apprise.NotifyBase, title: str, body: str) -> apprise.AppriseResult:
    import apprise

    one = apprise.Apprise(asset=service.asset)
    one.add(service)
    return one.notify(body=body, title=title, body_format=apprise.NotifyFormat.TEXT)


def _refused(name: str, variable: str, told: list[str]) -> DeliveryError:
    """Why it was not taken. What Apprise tells may hold addresses: only its status is used."""
    codes = [int(found[1]) for one in told if (found := _STATUS.search(one))]
    if not codes:
        return DeliveryError(f"{name} did not take it or is out of reach", retryable=True)
    passing = codes[-1] in _PASSING or codes[-1] >= 500
    mend = "" if passing else f"; set {variable} to a URL that it accepts"
    return DeliveryError(f"{name} answered HTTP {codes[-1]}{mend}", retryable=passing)


def _must_be_public(service: apprise.NotifyBase, settings: Settings) -> None:
    """Raise `DeliveryError` where the URL names a machine that is not public."""
    # Where there is no host in its URLs, the place of it is a token, which must not be looked up.
    if "host" not in service.template_tokens or not service.host:
        return
    name = str(service.service_name)
    try:
        public_addresses(str(service.host), int(service.port or 443))
    except PrivatePeerError:
        raise DeliveryError(
            f"{name}: {settings.url_env} leads to this machine or a private network: set another "
            "URL, or allow_private: true",
            retryable=False,
        ) from None
    except (OSError, UnicodeError):
        raise DeliveryError(f"{name}: the name in its URL is not found", retryable=True) from None


def _service_of(settings: Settings) -> apprise.NotifyBase:
    """The service that the URL names. Raises `SettingsError` without repeating it."""
    try:
        import apprise
    except ImportError as error:
        raise SettingsError(
            "notifier apprise: install slopewatch with the extra apprise (slopewatch[apprise])"
        ) from error
    url = required_secret(settings.url_env)
    # What it logs holds addresses and answers; what is wanted of it comes with the result.
    its_log = logging.getLogger("apprise")
    its_log.propagate = False
    its_log.setLevel(logging.WARNING)
    its_log.addHandler(_NO_LOG)
    service = apprise.Apprise.instantiate(url, asset=_asset())
    if service is None:
        raise SettingsError(f"notifier apprise: {settings.url_env} is no Apprise URL, set one")
    if len(service) > 1:
        raise SettingsError(
            f"notifier apprise: {settings.url_env} names {len(service)} targets; make a recipient "
            "of each"
        )
    return service


def _asset() -> apprise.AppriseAsset:
    import apprise

    # Nothing of a message or a URL is kept on disk, and no redirect takes it elsewhere.
    return apprise.AppriseAsset(
        app_id="slopewatch",
        app_desc="slopewatch",
        storage_mode=apprise.PersistentStoreMode.MEMORY,
        http_redirects=False,
        secure_logging=True,
    )


def open(settings: Settings, service: Service, language: str = "en") -> Apprise:
    """The service. Raises `SettingsError` for a missing or wrong URL, an unknown language, or
    without Apprise.
    """
    load_language(language)
    _service_of(settings)
    return Apprise(settings, language)
