"""CAP 1.2: the message as a file for the machines of civil protection, with an Atom feed.

Each message is a file `<identifier>.xml` in a folder, which any web server can serve; slopewatch
serves it itself where its setting `cap_folder` names the folder. A file is written once: the same
message again changes nothing. A message that no CAP consumer should see is not written, and the
receipt says why. What is written was checked by `slopewatch cap check` before.

Sources: OASIS Standard CAP 1.2; RFC 4287 (Atom).
"""

from __future__ import annotations

from collections.abc import Mapping
from pathlib import Path
from typing import Any, Final, Literal

from pydantic import Field, model_validator

from core.artifacts import open_artifacts
from core.errors import BadInputError, SettingsError, SlopewatchError, UnavailableError
from core.settings import Service, Site, Tree, site_from_bytes
from services.alerting.bulletin import load_language
from services.alerting.cap import Folder, Issuer, NotForCapError, alert_of, errors, values, write
from services.alerting.cap.feed import Head
from services.alerting.message import Message
from services.alerting.notifier import DeliveryError, Receipt

EXAMPLE: Final[Mapping[str, Any]] = {
    "folder": "/srv/slopewatch/cap",
    "sender": "slopewatch@example.org",
    "sender_name": "Example Civil Protection",
}

_FOR_PEOPLE = ("review", "pipeline", "escalation")


class Settings(Tree):
    """Where messages go and who speaks in them."""

    folder: Path = Field(description="folder of the files; it must be there already")
    sender: str = Field(
        pattern=r"^[A-Za-z0-9._+-]+(@[A-Za-z0-9-]+(\.[A-Za-z0-9-]+)*)?$",
        max_length=200,
        description="who warns, for machines: a mail address or a domain name that is yours",
    )
    sender_name: str = Field(
        min_length=1, max_length=200, description="who warns, for people: name of the authority"
    )
    languages: tuple[str, ...] = Field(
        (), description="of the texts, the first one first; none: the recipient's language"
    )
    scope: Literal["Public", "Restricted", "Private"] = Field(
        "Public", description="for whom; only what is Public is listed in the feed and served"
    )
    restriction: str = Field("", description="with scope Restricted: to whom it may be shown")
    addresses: tuple[str, ...] = Field((), description="with scope Private: whom it is for")
    web: str = Field("", description="full address of a page that says more")
    contact: str = Field("", description="whom to ask: office, telephone")
    geocodes: dict[str, str] = Field(
        {}, description="codes of the area, such as {ISO3166-2: CN-HB}"
    )
    url: str = Field(
        "",
        description="full address at which the folder is served, ending in /; none: links in the "
        "feed are relative to it",
    )
    newest: int = Field(100, ge=1, le=1000, description="messages that the feed lists")

    @model_validator(mode="after")
    def _fits(self) -> Settings:
        if (self.scope == "Restricted") != bool(self.restriction.strip()):
            raise ValueError("restriction goes with scope Restricted, and with that one only")
        if (self.scope == "Private") != bool(self.addresses):
            raise ValueError("addresses go with scope Private, and with that one only")
        if any(values.one_word(one) or '"' in one for one in self.addresses):
            raise ValueError("addresses: each is one word without commas")
        if any(values.something(one) for pair in self.geocodes.items() for one in pair):
            raise ValueError("geocodes: names and values are plain text that says something")
        for name, uri in (("web", self.web), ("url", self.url)):
            if uri and (fault := values.absolute_uri(uri)):
                raise ValueError(f"{name} {fault}")
        if self.url and not self.url.endswith("/"):
            raise ValueError("url must end in /")
        return self


class Cap:
    """An opened folder."""

    channel = "cap"

    def __init__(self, folder: Folder, issuer: Issuer, artifacts: str | None) -> None:
        self._folder = folder
        self._issuer = issuer
        self._artifacts = artifacts

    def __repr__(self) -> str:
        return f"Cap({self._issuer.sender})"

    def send(self, message: Message, key: str) -> Receipt:
        """Write the message's file and list it in the feed.

        A draft to review and news of slopewatch itself need a person, and a file is none: these
        are errors for somebody to mend. What else is not for CAP is a receipt without a file.
        """
        try:
            alert = alert_of(message, self._issuer, self._site(message))
        except NotForCapError as error:
            if message.kind in _FOR_PEOPLE:
                raise DeliveryError(
                    f"{error}: name a recipient who is a person for that", retryable=False
                ) from error
            return Receipt(f"not published: {error}")
        content = write(alert)
        if faults := errors(content):
            raise DeliveryError(f"no valid CAP: {faults[0]}; mend the site file", retryable=False)
        try:
            is_new = self._folder.publish(alert.identifier, content)
        except (BadInputError, UnavailableError) as error:
            raise DeliveryError(str(error), retryable=error.retryable) from error
        done = "published" if is_new else "was published already"
        return Receipt(f"{alert.msg_type} {alert.identifier} {done}")

    def _site(self, message: Message) -> Site | None:
        """The site file of the message, for its outlines."""
        if message.site_file is None:
            return None
        if self._artifacts is None:
            raise SettingsError("notifier cap: artifacts has no address, where the site file is")
        try:
            return site_from_bytes(open_artifacts(self._artifacts).get(message.site_file))
        except SlopewatchError as error:
            raise DeliveryError(str(error), retryable=error.retryable) from error


def open(settings: Settings, service: Service, language: str = "en") -> Cap:
    """The folder's notifier. Raises `SettingsError` for a language that there is not."""
    languages = tuple(dict.fromkeys(settings.languages or (language,)))
    for one in languages:
        load_language(one)
    issuer = Issuer(
        sender=settings.sender,
        sender_name=settings.sender_name,
        languages=languages,
        scope=settings.scope,
        restriction=settings.restriction,
        addresses=settings.addresses,
        web=settings.web,
        contact=settings.contact,
        geocodes=settings.geocodes,
    )
    head = Head(settings.sender, settings.sender_name, settings.url)
    return Cap(Folder(settings.folder, head, settings.newest), issuer, service.artifacts)
