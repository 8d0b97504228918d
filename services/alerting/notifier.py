"""What a notifier is: one way to bring a message to one recipient, and to say what came of it.

Notifiers (`notifiers/*.py`) are one file each, with a docstring, a `Settings` class, an `EXAMPLE`
of these settings, and `open(settings, service, language="en")`, the recipient's language.
"""

from __future__ import annotations

import ipaddress
import re
from collections.abc import Callable
from datetime import timedelta
from typing import NamedTuple, Protocol

from core import plugins, settings
from core.errors import SettingsError, SlopewatchError
from core.settings import Plugin, Service, Site
from services.alerting.message import Message

NOTIFIERS = "services.alerting.notifiers"

_VARIABLE = re.compile(r"\$\{([A-Za-z_][A-Za-z0-9_]*)\}")
_ADDRESS = re.compile(r"[^\s<>,;:\"'()\[\]]+@[^\s<>,;:\"'()\[\]]+")


class Receipt(NamedTuple):
    """What the other side answered on taking a message.

    `refused`: a sentence for each address of the recipient that did not get it. Neither field
    holds an address or a secret.
    """

    answer: str
    refused: tuple[str, ...] = ()


class DeliveryError(SlopewatchError):
    """The message was not taken. The sentence holds neither addresses nor secrets."""

    def __init__(
        self, message: str, *, retryable: bool, retry_after: timedelta | None = None
    ) -> None:
        super().__init__(message, retry_after=retry_after)
        self.retryable = retryable


class RecipientGoneError(DeliveryError):
    """There is nobody to send to: the settings no longer list the recipient, or the other side
    refused every address of it. The one failure that no later attempt and no repair can end.
    """

    def __init__(self, message: str) -> None:
        super().__init__(message, retryable=False)


class Notifier(Protocol):
    """One opened way to one recipient; may be used by one thread at a time."""

    channel: str

    def send(self, message: Message, key: str) -> Receipt:
        """Bring `message` to the recipient.

        `key` is the notification's id: the other side can tell by it that a message is a repeat.
        Raises `DeliveryError` when the message was not taken, or when that is not known (not
        `retryable`: somebody must mend what the sentence names), `RecipientGoneError` when all
        addresses were refused, and `SettingsError` when a setting or a secret is missing.
        """
        ...


class Recipients:
    """Opens the notifier of a recipient as the site's settings in force say; keeps it open.

    `site_of` gives the settings in force of a site, None for one that is not known.
    """

    def __init__(self, site_of: Callable[[str], Site | None], service: Service) -> None:
        self._site_of = site_of
        self._service = service
        self._open: dict[tuple[str, str], tuple[Plugin, str, Notifier]] = {}

    def __call__(self, site: str, recipient: str) -> Notifier:
        """The notifier of `recipient`.

        Raises `RecipientGoneError` when there is none any more, and `SettingsError` as
        `open_notifier` does.
        """
        tree = self._site_of(site)
        found = next((r for r in tree.recipients if r.id == recipient), None) if tree else None
        if found is None:
            self._open.pop((site, recipient), None)
            raise RecipientGoneError(f"site {site} has no recipient {recipient!r} (any more)")
        known = self._open.get((site, recipient))
        if known is not None and known[:2] == (found.notifier, found.language):
            return known[2]
        notifier = open_notifier(
            found.notifier,
            self._service,
            f"{site}, recipient {recipient}, notifier",
            found.language,
        )
        self._open[site, recipient] = (found.notifier, found.language, notifier)
        return notifier


def open_notifier(
    plugin: Plugin, service: Service, where: str = "", language: str = "en"
) -> Notifier:
    """Open the notifier that `plugin` names; it speaks `language`.

    Raises `SettingsError` for an unknown one, a wrong setting or a missing secret.
    """
    tree = plugins.settings(NOTIFIERS, plugin.model_dump(), where)
    module = plugins.load(NOTIFIERS, plugin.kind)
    notifier: Notifier = module.open(tree, service, language)
    return notifier


def variables_in(text: str) -> list[str]:
    """Names of the environment variables that `text` takes parts from."""
    return _VARIABLE.findall(text)


def has_variable(text: str) -> bool:
    """Whether `text` takes a part from the environment."""
    return bool(variables_in(text))


def from_environment(text: str) -> str:
    """`text` with every ${NAME} replaced from the environment or the file ${NAME}_FILE names.

    Raises `SettingsError` naming the variable when it is not set.
    """
    return _VARIABLE.sub(lambda found: required_secret(found[1]), text)


def required_secret(name: str) -> str:
    """The secret `name`. Raises `SettingsError` when it is not set, empty or cannot be read."""
    try:
        value = settings.secret(name)
    except (OSError, UnicodeDecodeError) as error:
        raise SettingsError(f"the file that {name}_FILE names cannot be read") from error
    if not value:
        raise SettingsError(f"the environment variable {name} (or {name}_FILE) is not set")
    return value


def is_loopback(host: str) -> bool:
    """Whether `host` is this machine, said by its name or number."""
    try:
        return ipaddress.ip_address(host.strip("[]")).is_loopback
    except ValueError:
        return host.lower().rstrip(".") == "localhost"


def without_addresses(text: str, limit: int = 200) -> str:
    """`text` of another machine on one line, mail addresses masked, no longer than `limit`."""
    line = " ".join("".join(c if c.isprintable() else " " for c in text).split())
    return _ADDRESS.sub("(address)", line)[:limit]
