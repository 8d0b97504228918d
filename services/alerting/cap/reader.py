"""XML that a stranger wrote: read without entities, and without any other file or address.

Expat opens nothing by itself; a document type, which is where entities are declared, is refused at
its first word, before any of it is looked at. Size, depth and number of elements are bounded.
Stylesheets, schema locations and inclusions are text like any other and are never followed.

Sources: Python's documentation of `xml.parsers.expat` and of XML vulnerabilities; OWASP, XML
External Entity Prevention Cheat Sheet (disallow document types altogether).
"""

from __future__ import annotations

from collections.abc import Iterator
from dataclasses import dataclass, field
from typing import Final, NoReturn
from xml.parsers import expat

from core.errors import BadInputError

MAX_BYTES: Final = 4 << 20
"""Room for a picture or a sound inside the message, not for an attack on memory."""
MAX_DEPTH: Final = 32
MAX_ELEMENTS: Final = 50_000

_SEPARATOR = " "


@dataclass
class Node:
    """One element: namespace, name, attributes, its own text, children, line it begins in."""

    namespace: str
    name: str
    attributes: dict[str, str]
    line: int
    text: str = ""
    children: list[Node] = field(default_factory=list)

    def all(self, name: str) -> Iterator[Node]:
        """Children of this name in this element's own namespace."""
        return (c for c in self.children if (c.namespace, c.name) == (self.namespace, name))

    def first(self, name: str) -> Node | None:
        """The first child of this name."""
        return next(self.all(name), None)

    def said(self, name: str) -> str:
        """Text of the first child of this name without white space round it; empty without one."""
        node = self.first(name)
        return node.text.strip() if node is not None else ""


def read(content: bytes) -> Node:
    """The root element of an XML document.

    Raises `BadInputError` for what is too large, too deep or too much, declares a document type or
    is no well-formed XML.
    """
    if len(content) > MAX_BYTES:
        raise BadInputError(f"{len(content)} bytes are more than {MAX_BYTES >> 20} MiB")
    reader = _Reader()
    try:
        reader.parser.Parse(content, True)
    except expat.ExpatError as error:
        raise BadInputError(f"is no well-formed XML ({error})") from None
    except (LookupError, ValueError) as error:
        # An encoding that Python does not know, or one of several bytes a character.
        raise BadInputError(f"is in an encoding that is not read ({error})") from None
    return reader.root.children[0]


class _Reader:
    def __init__(self) -> None:
        self.root = Node("", "", {}, 0)
        self._open = [self.root]
        self._texts: list[list[str]] = [[]]
        self._elements = 0
        self.parser = expat.ParserCreate(namespace_separator=_SEPARATOR)
        self.parser.buffer_text = True
        self.parser.StartDoctypeDeclHandler = self._document_type
        self.parser.StartElementHandler = self._start
        self.parser.EndElementHandler = self._end
        self.parser.CharacterDataHandler = self._text

    def _document_type(self, *_: object) -> NoReturn:
        raise BadInputError(
            "declares a document type, where entities can read other files: none is allowed"
        )

    def _start(self, tag: str, attributes: dict[str, str]) -> None:
        if len(self._open) > MAX_DEPTH:
            raise BadInputError(f"is nested deeper than {MAX_DEPTH} elements")
        self._elements += 1
        if self._elements > MAX_ELEMENTS:
            raise BadInputError(f"has more than {MAX_ELEMENTS} elements")
        namespace, _, name = tag.rpartition(_SEPARATOR)
        node = Node(namespace, name, attributes, self.parser.CurrentLineNumber)
        self._open[-1].children.append(node)
        self._open.append(node)
        self._texts.append([])

    def _end(self, _: str) -> None:
        self._open.pop().text = "".join(self._texts.pop())

    def _text(self, text: str) -> None:
        self._texts[-1].append(text)
