"""Whether a file is a CAP 1.2 message that everybody can read: `check`, without any schema file.

What the schema says is looked at (namespace, order, number, words, moments), and what only the
standard's text says: closed polygons, restriction and addresses by scope, references that do not
lead in a circle or into the future, a ceiling with its altitude, plain text. Signatures (XML-DSig)
are let through and **not verified**.
"""

from __future__ import annotations

from collections import Counter
from collections.abc import Iterator
from typing import Final, Literal, NamedTuple

from core.errors import BadInputError
from services.alerting.cap import values
from services.alerting.cap.grammar import ALERT, NAMESPACE, SIGNATURES, Element
from services.alerting.cap.reader import Node, read

MAX_HEADLINE: Final = 160
MAX_FINDINGS: Final = 100

_CAP = "urn:oasis:names:tc:emergency:cap:"
_OLD = {"http://www.incident.com/cap/1.0": "1.0"}
_XSI = "http://www.w3.org/2001/XMLSchema-instance "
_ABOUT_SCHEMAS = frozenset({f"{_XSI}schemaLocation", f"{_XSI}noNamespaceSchemaLocation"})
_ABOUT_EARLIER = frozenset({"Update", "Cancel", "Ack", "Error"})


class Finding(NamedTuple):
    """One thing that was found. An `error` makes the message unfit, `advice` does not.

    `line` is 0 and `where` empty when it is the file as a whole.
    """

    kind: Literal["error", "advice"]
    line: int
    where: str
    sentence: str

    def __str__(self) -> str:
        place = f"line {self.line}, {self.where} " if self.where else ""
        return f"{place}{self.sentence}"


def check(content: bytes) -> list[Finding]:
    """What is wrong with `content` as a CAP 1.2 message, in the order of its lines.

    Reads nothing but `content`. Never raises; at most `MAX_FINDINGS` are given.
    """
    try:
        root = read(content)
    except BadInputError as error:
        return [Finding("error", 0, "", str(error))]
    if (fault := _not_cap(root)) is not None:
        return [Finding("error", 0, "", fault)]
    found = [*_elements(root, ALERT, "alert"), *_alert(root)]
    found.sort(key=lambda finding: finding.line)
    if len(found) > MAX_FINDINGS:
        more = f"and {len(found) - MAX_FINDINGS + 1} findings more"
        found[MAX_FINDINGS - 1 :] = [Finding("error", 0, "", more)]
    return found


def errors(content: bytes) -> list[Finding]:
    """Findings of `check` that make the message unfit."""
    return [finding for finding in check(content) if finding.kind == "error"]


def _not_cap(root: Node) -> str | None:
    """Why this is no CAP 1.2 message at all."""
    if (root.namespace, root.name) == (NAMESPACE, "alert"):
        return None
    if root.name == "alert" and root.namespace.startswith(_CAP):
        return f"is CAP {values.shown(root.namespace.removeprefix(_CAP))[1:-1]}, not 1.2"
    if root.name == "alert" and root.namespace in _OLD:
        return f"is CAP {_OLD[root.namespace]}, not 1.2"
    in_namespace = f" of {values.shown(root.namespace)}" if root.namespace else ""
    return (
        f"is no CAP message: its root is {values.shown(root.name)}{in_namespace}, not alert of "
        f"{NAMESPACE}"
    )


def _elements(node: Node, expected: tuple[Element, ...], path: str) -> Iterator[Finding]:
    """Order, number and content of a node's elements."""
    yield from _attributes(node, path)
    if node.text.strip():
        yield _error(node, path, f"has text between its elements: {values.shown(node.text)}")
    places = {element.name: place for place, element in enumerate(expected)}
    seen: Counter[str] = Counter()
    furthest = 0
    for child in node.children:
        if child.namespace == SIGNATURES and path == "alert":
            furthest = len(expected)
            continue
        place = places.get(child.name) if child.namespace == node.namespace else None
        if place is None:
            yield _error(child, f"{path}/{_tag(child)}", "is no element of CAP 1.2 here")
            continue
        element = expected[place]
        seen[child.name] += 1
        here = f"{path}/{child.name}" + ("" if element.single else f"[{seen[child.name]}]")
        if place < furthest:
            before = expected[furthest].name if furthest < len(expected) else "Signature"
            yield _error(child, here, f"stands after {before}: it must stand before it")
        if element.single and seen[child.name] == 2:
            yield _error(child, here, "stands twice: once is allowed")
        furthest = max(furthest, place)
        yield from _content(child, element, here)
    for element in expected:
        if element.required and not seen[element.name]:
            yield _error(node, path, f"lacks {element.name}")


def _attributes(node: Node, path: str) -> Iterator[Finding]:
    for name in node.attributes:
        if name not in _ABOUT_SCHEMAS:
            yield _error(node, path, f"has an attribute {values.shown(name)}: CAP has none")


def _content(node: Node, element: Element, path: str) -> Iterator[Finding]:
    if isinstance(element.holds, tuple):
        yield from _elements(node, element.holds, path)
        return
    yield from _attributes(node, path)
    if node.children:
        yield _error(node, path, f"holds an element {_tag(node.children[0])}: text must be there")
    elif fault := element.holds(node.text):
        yield _error(node, path, fault)


def _alert(alert: Node) -> Iterator[Finding]:
    """What the standard's text says beyond single elements."""
    yield from _scope(alert)
    yield from _references(alert)
    if alert.said("status") == "Exercise" and not alert.said("note"):
        yield _advice(alert, "alert", "is an exercise: name it in note")
    infos = list(alert.all("info"))
    if not infos and alert.said("msgType") in ("Alert", "Update"):
        yield _advice(alert, "alert", "has no info: nobody learns what happened")
    for number, info in enumerate(infos, start=1):
        yield from _info(alert, info, f"alert/info[{number}]")


def _scope(alert: Node) -> Iterator[Finding]:
    scope = alert.said("scope")
    restriction = alert.first("restriction")
    if scope == "Restricted" and not alert.said("restriction"):
        yield _error(alert, "alert", "is Restricted: restriction must say to whom")
    if scope == "Private" and not alert.said("addresses"):
        yield _error(alert, "alert", "is Private: addresses must say to whom")
    if restriction is not None and restriction.text.strip() and scope != "Restricted":
        yield _error(
            restriction, "alert/restriction", f"goes with scope Restricted only, not {scope}"
        )


def _references(alert: Node) -> Iterator[Finding]:
    """Earlier messages: there where they must be, each once, none of them this one or later."""
    node = alert.first("references")
    if node is None:
        kind = alert.said("msgType")
        if kind in _ABOUT_EARLIER:
            yield _error(alert, "alert", f"is of type {kind}: references must name what it is of")
        return
    path = "alert/references"
    named, _ = values.read_references(node.text)
    sent = values.read_moment(alert.said("sent"))
    itself = (alert.said("sender"), alert.said("identifier"))
    for reference, times in Counter(named).items():
        name = values.shown(reference.identifier)
        if times > 1:
            yield _error(node, path, f"names {name} {times} times")
        if (reference.sender, reference.identifier) == itself:
            yield _error(node, path, "names the message itself")
        if sent is not None and reference.sent > sent:
            yield _error(node, path, f"names {name}, which was sent later than this message")


def _info(alert: Node, info: Node, path: str) -> Iterator[Finding]:
    headline = info.first("headline")
    if headline is not None and len(headline.text.strip()) > MAX_HEADLINE:
        yield _advice(
            headline, f"{path}/headline", f"is longer than {MAX_HEADLINE} characters: it may be cut"
        )
    begins = values.read_moment(info.said("effective") or alert.said("sent"))
    expires = values.read_moment(info.said("expires"))
    if begins is not None and expires is not None and expires <= begins:
        yield _advice(info, path, "expires before it begins")
    for number, area in enumerate(info.all("area"), start=1):
        yield from _area(area, f"{path}/area[{number}]")
    for number, resource in enumerate(info.all("resource"), start=1):
        yield from _resource(resource, f"{path}/resource[{number}]")


def _area(area: Node, path: str) -> Iterator[Finding]:
    altitude, ceiling = area.first("altitude"), area.first("ceiling")
    if ceiling is None:
        return
    if altitude is None:
        yield _error(ceiling, f"{path}/ceiling", "needs an altitude beside it")
        return
    if values.decimal(altitude.text) or values.decimal(ceiling.text):
        return
    if float(ceiling.text) < float(altitude.text):
        yield _error(ceiling, f"{path}/ceiling", "is lower than the altitude")


def _resource(resource: Node, path: str) -> Iterator[Finding]:
    uri = resource.first("uri")
    if uri is None or values.relative_uri(uri.text):
        return
    if values.absolute_uri(uri.text) and resource.first("derefUri") is None:
        yield _error(uri, f"{path}/uri", "is relative: write it whole, or give derefUri")


def _tag(node: Node) -> str:
    return values.shown(node.name)[1:-1]


def _error(node: Node, where: str, sentence: str) -> Finding:
    return Finding("error", node.line, where, sentence)


def _advice(node: Node, where: str, sentence: str) -> Finding:
    return Finding("advice", node.line, where, sentence)
