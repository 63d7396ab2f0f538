"""XML read without trust: no document type, no entities, bounded size and depth, and every element's place in the text."""

from __future__ import annotations

import codecs
import re
from collections.abc import Iterator
from dataclasses import dataclass, field
from xml.parsers import expat

from paxtrail.errors import Refusal

MAX_BYTES = 1024 * 1024
MAX_DEPTH = 32

_BOMS = ((codecs.BOM_UTF8, "utf-8"), (codecs.BOM_UTF16_LE, "utf-16-le"), (codecs.BOM_UTF16_BE, "utf-16-be"))
_DECLARATION = re.compile(r"""<\?xml\s+version\s*=\s*(["'])1\.[0-9]\1(?:\s+encoding\s*=\s*(["'])([A-Za-z][A-Za-z0-9._-]*)\2)?[^?]*\?>""")
_CODECS = {
    "utf-8": "utf-8",
    "utf8": "utf-8",
    "us-ascii": "ascii",
    "ascii": "ascii",
    "iso-8859-1": "iso-8859-1",
    "latin1": "iso-8859-1",
    "iso-8859-15": "iso-8859-15",
    "windows-1252": "cp1252",
    "utf-16": "utf-16",
    "utf-16le": "utf-16-le",
    "utf-16be": "utf-16-be",
}


@dataclass(slots=True, eq=False)
class Node:
    """An element: local name, attributes by local name, own text, children, and where it starts in the document (bytes).

    `end` is known of the root's children only, if they are not empty: nobody cuts out anything else.
    """

    name: str
    attributes: dict[str, str]
    start: int
    end: int = -1
    text: str = ""
    children: list[Node] = field(default_factory=list)

    def all(self, *names: str) -> Iterator[Node]:
        """Children with one of these local names, in order."""
        return (child for child in self.children if child.name in names)

    def first(self, *names: str) -> Node | None:
        """The first child with one of these local names."""
        return next(self.all(*names), None)


@dataclass(frozen=True, slots=True)
class Document:
    """The text as UTF-8 without its XML declaration, and the root element."""

    text: bytes
    root: Node

    def slice(self, start: int, end: int) -> str:
        """What was written between two places."""
        return self.text[start:end].decode()


def read(body: bytes) -> Document:
    """The document in `body`; Refusal `bad_encoding`, `xml_doctype`, `xml_depth`, `bad_xml` or `too_large`."""
    if len(body) > MAX_BYTES:
        raise Refusal("too_large", "a message has at most 1 MiB", "body")
    text = _decoded(body)
    declaration = _DECLARATION.match(text)
    if declaration:
        text = text[declaration.end() :]
    data = text.encode()
    # A blank before what is left keeps expat from taking a second XML declaration for the first.
    return Document(data, _parsed(b" " + data if declaration else data, shift=bool(declaration)))


def _decoded(body: bytes) -> str:
    bom, encoding = next(((mark, name) for mark, name in _BOMS if body.startswith(mark)), (b"", ""))
    if not encoding and body[:2] in (b"<\0", b"\0<"):
        encoding = "utf-16-le" if body[:1] == b"<" else "utf-16-be"
    head = body[len(bom) : len(bom) + 512].decode(encoding or "latin-1", "replace")
    match = _DECLARATION.match(head)
    declared = match[3] if match else None
    if declared is not None:
        wanted = _CODECS.get(declared.lower())
        if wanted is None or (encoding and wanted not in (encoding, encoding[:6])) or (not encoding and wanted.startswith("utf-16")):
            raise Refusal("bad_encoding", "the declared encoding is not supported or is not that of the bytes", "xml declaration")
        encoding = encoding or wanted
    try:
        text = body[len(bom) :].decode(encoding or "utf-8")
        text.encode()
    except UnicodeError:
        raise Refusal("bad_encoding", "the bytes do not fit the encoding", "body") from None
    return text


def _parsed(data: bytes, *, shift: bool) -> Node:
    parser = expat.ParserCreate("UTF-8", " ")
    parser.buffer_text = True
    stack: list[Node] = []
    roots: list[Node] = []
    offset = 1 if shift else 0

    def start(name: str, attributes: dict[str, str]) -> None:
        if len(stack) >= MAX_DEPTH:
            raise Refusal("xml_depth", f"elements nest at most {MAX_DEPTH} deep", _place(parser))
        node = Node(_local(name), {_local(key): value for key, value in attributes.items()}, parser.CurrentByteIndex - offset)
        (stack[-1].children if stack else roots).append(node)
        stack.append(node)

    def end(_: str) -> None:
        node = stack.pop()
        if len(stack) == 1:
            node.end = data.index(b">", parser.CurrentByteIndex) + 1 - offset

    def text(content: str) -> None:
        if stack:
            stack[-1].text += content

    def forbidden(*_: object) -> int:
        raise Refusal("xml_doctype", "document types and entities are not read", _place(parser))

    parser.StartElementHandler = start
    parser.EndElementHandler = end
    parser.CharacterDataHandler = text
    parser.StartDoctypeDeclHandler = forbidden
    parser.EntityDeclHandler = forbidden
    parser.UnparsedEntityDeclHandler = forbidden
    parser.ExternalEntityRefHandler = forbidden
    parser.SkippedEntityHandler = forbidden
    try:
        parser.Parse(data, True)
    except expat.ExpatError as error:
        raise Refusal("bad_xml", f"not well-formed: {expat.ErrorString(error.code)}", f"line {error.lineno}") from None
    return roots[0]


def _local(name: str) -> str:
    return name.rpartition(" ")[2]


def _place(parser: expat.XMLParserType) -> str:
    return f"line {parser.CurrentLineNumber}"
