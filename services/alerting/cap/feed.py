"""An Atom feed (RFC 4287) of CAP messages: newest first, its times those of the messages.

Only public messages are listed. Links are relative to the feed unless an address is set. Names
are tag URIs (RFC 4151) of the sender.
"""

from __future__ import annotations

from collections.abc import Iterable
from datetime import UTC, datetime
from typing import Final, NamedTuple
from xml.etree import ElementTree

from core.errors import BadInputError
from services.alerting.cap.grammar import NAMESPACE
from services.alerting.cap.reader import Node, read
from services.alerting.cap.values import read_moment

ATOM: Final = "http://www.w3.org/2005/Atom"
CAP_TYPE: Final = "application/cap+xml"
_TERMS: Final = ("status", "msgType", "level")


class Head(NamedTuple):
    """Who publishes the feed; `url` is the folder's public address, empty where it has none."""

    sender: str
    sender_name: str
    url: str = ""


class Entry(NamedTuple):
    """One message as the feed lists it. `terms`: what it is filed under."""

    name: str
    identifier: str
    sender: str
    sent: datetime
    title: str
    terms: tuple[str, ...]


def entry_of(name: str, content: bytes) -> Entry | None:
    """The entry of the CAP message in the file `name`; None when it is not public.

    Raises `BadInputError` when the file holds no CAP message.
    """
    alert = read(content)
    sent = read_moment(alert.said("sent"))
    if alert.namespace != NAMESPACE or sent is None:
        raise BadInputError(f"{name} is no CAP 1.2 message")
    if alert.said("scope") != "Public":
        return None
    status, kind, info = alert.said("status"), alert.said("msgType"), alert.first("info")
    heading = (info.said("headline") or info.said("event")) if info else alert.said("identifier")
    return Entry(
        name=name,
        identifier=alert.said("identifier"),
        sender=alert.said("sender"),
        sent=sent,
        title=heading if status == "Actual" else f"{status}: {heading}",
        terms=(status, kind, *_level(info)),
    )


def names_in(feed: bytes) -> list[str]:
    """Names of the files that a feed of ours lists. Raises `BadInputError` for what is no feed."""
    root = read(feed)
    if (root.namespace, root.name) != (ATOM, "feed"):
        raise BadInputError("is no Atom feed")
    links = [entry.first("link") for entry in root.all("entry")]
    names = [link.attributes.get("href", "").rpartition("/")[2] for link in links if link]
    return [name for name in names if name.endswith(".xml")]


def write_feed(head: Head, entries: Iterable[Entry], newest: int) -> bytes:
    """The feed of the `newest` entries; without any its time is 1970."""
    listed = sorted(entries, key=lambda entry: (entry.sent, entry.identifier), reverse=True)
    listed = listed[:newest]
    root = ElementTree.Element("feed", {"xmlns": ATOM})
    _say(root, "id", f"tag:{head.sender},2026:cap")
    _say(root, "title", f"{head.sender_name}: CAP")
    _say(root, "updated", _moment(max((entry.sent for entry in listed), default=_NEVER)))
    author = ElementTree.SubElement(root, "author")
    _say(author, "name", head.sender_name)
    if head.url:
        ElementTree.SubElement(root, "link", {"rel": "self", "href": head.url})
    for entry in listed:
        _entry(ElementTree.SubElement(root, "entry"), entry, head)
    ElementTree.indent(root)
    text = ElementTree.tostring(root, encoding="unicode")
    return f'<?xml version="1.0" encoding="UTF-8"?>\n{text}\n'.encode()


def _entry(parent: ElementTree.Element, entry: Entry, head: Head) -> None:
    _say(parent, "id", f"tag:{entry.sender},2026:cap/{entry.identifier}")
    _say(parent, "title", entry.title)
    _say(parent, "updated", _moment(entry.sent))
    link = {"rel": "alternate", "type": CAP_TYPE, "href": f"{head.url}{entry.name}"}
    ElementTree.SubElement(parent, "link", link)
    for name, term in zip(_TERMS, entry.terms, strict=False):
        attributes = {"scheme": f"tag:{entry.sender},2026:{name}", "term": term}
        ElementTree.SubElement(parent, "category", attributes)


def _level(info: Node | None) -> tuple[str, ...]:
    for parameter in info.all("parameter") if info else ():
        if parameter.said("valueName") == "slopewatch:level":
            return (parameter.said("value"),)
    return ()


def _say(parent: ElementTree.Element, name: str, text: str) -> None:
    ElementTree.SubElement(parent, name).text = text


def _moment(when: datetime) -> str:
    return f"{when.astimezone(UTC):%Y-%m-%dT%H:%M:%SZ}"


_NEVER = datetime(1970, 1, 1, tzinfo=UTC)
