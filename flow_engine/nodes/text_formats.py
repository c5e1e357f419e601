"""CSV and XML as JSON values, both ways. Texts are untrusted and lead to nothing outside them."""

from __future__ import annotations

import csv
import io
import re
from collections.abc import Iterator
from typing import Any
from xml.parsers import expat
from xml.sax.saxutils import escape, quoteattr

from flow_engine.nodes.untrusted_json import MAX_DEPTH
from flow_engine.payload import JsonValue, encode

MAX_ROWS = 100_000


class FormatError(ValueError):
    """The text or value does not fit the format; the message says why."""


# CSV (RFC 4180)


def parse_csv(text: str, delimiter: str, header: bool) -> list[JsonValue]:
    """Rows as objects by the first row's names, or as lists. All values are strings; blank lines are left
    out.

    Raises FormatError for a row with more cells than names, a name twice, a quote that stays open, over
    100,000 rows.
    """
    reader = csv.reader(
        io.StringIO(text.removeprefix("\ufeff"), newline=""), delimiter=delimiter, strict=True
    )
    rows = _numbered_rows(reader)
    if not header:
        return [row for _, row in rows]
    _, names = next(rows, (0, []))
    if len(set(names)) < len(names):
        raise FormatError("the header names a column twice")
    return [_named(names, row, line) for line, row in rows]


def _numbered_rows(reader: Any) -> Iterator[tuple[int, list[str]]]:
    count = 0
    try:
        for row in reader:
            if not row:
                continue
            count += 1
            if count > MAX_ROWS:
                raise FormatError(f"more than {MAX_ROWS:,} rows")
            yield reader.line_num, row
    except csv.Error as error:
        raise FormatError(f"line {reader.line_num}: {error}") from error


def _named(names: list[str], row: list[str], line: int) -> dict[str, JsonValue]:
    if len(row) > len(names):
        raise FormatError(f"line {line} has {len(row)} cells for {len(names)} columns")
    return dict(zip(names, row, strict=False))


def format_csv(rows: JsonValue, delimiter: str, header: bool) -> str:
    """Text with CRLF line ends. Objects: columns in order of first appearance; lists: as they are.

    Strings stand as they are, null as nothing, everything else as JSON.
    """
    if not isinstance(rows, list):
        raise FormatError("CSV is made of a list of objects or of lists")
    out = io.StringIO(newline="")
    writer = csv.writer(out, delimiter=delimiter)
    if all(isinstance(row, dict) for row in rows):
        names = list(dict.fromkeys(name for row in rows for name in row))
        if header and names:
            writer.writerow(names)
        writer.writerows([_cell(row.get(name)) for name in names] for row in rows)
    elif all(isinstance(row, list) for row in rows):
        writer.writerows([_cell(cell) for cell in row] for row in rows)
    else:
        raise FormatError("CSV is made of a list of objects or of lists, not of both")
    return out.getvalue()


def _cell(value: JsonValue) -> str:
    if value is None:
        return ""
    return value if isinstance(value, str) else encode(value).decode()


# XML: {"order": {"@id": "7", "line": ["a", "b"], "#text": "…"}}


def parse_xml(text: str) -> JsonValue:
    """An object of the root element: attributes as `@name`, text as `#text`, repeated elements as a list.

    An element with nothing but text is that string, an empty one null. Document types, and so entities of
    one's own, are refused. Raises FormatError.
    """
    builder = _XmlBuilder()
    parser = expat.ParserCreate("UTF-8")  # whatever the text says of its encoding: it is decoded already
    parser.buffer_text = True
    parser.StartElementHandler = builder.start
    parser.EndElementHandler = builder.end
    parser.CharacterDataHandler = builder.text
    parser.StartDoctypeDeclHandler = builder.doctype
    try:
        parser.Parse(text.encode(), True)
    except expat.ExpatError as error:
        reason = expat.ErrorString(error.code)
        raise FormatError(f"line {error.lineno}, column {error.offset + 1}: {reason}") from error
    return builder.root


class _XmlBuilder:
    def __init__(self) -> None:
        self.root: dict[str, JsonValue] = {}
        self._open: list[tuple[str, dict[str, JsonValue], list[str]]] = []

    def doctype(self, *_: Any) -> None:
        raise FormatError("document types are not allowed")

    def start(self, name: str, attributes: dict[str, str]) -> None:
        if len(self._open) >= MAX_DEPTH // 2:  # an element may nest two deep in JSON: object and list
            raise FormatError(f"elements nest deeper than {MAX_DEPTH // 2}")
        self._open.append((name, {f"@{key}": value for key, value in attributes.items()}, []))

    def text(self, data: str) -> None:
        self._open[-1][2].append(data)

    def end(self, name: str) -> None:
        _, element, pieces = self._open.pop()
        text = "".join(pieces).strip()
        value: JsonValue = element or text or None
        if element and text:
            element["#text"] = text
        parent = self._open[-1][1] if self._open else self.root
        if name not in parent:
            parent[name] = value
        elif isinstance(parent[name], list):
            parent[name].append(value)
        else:
            parent[name] = [parent[name], value]


def format_xml(value: JsonValue) -> str:
    """The reverse of `parse_xml`. Raises FormatError without exactly one root, or for impossible names."""
    if not (isinstance(value, dict) and len(value) == 1):
        raise FormatError("XML is made of an object with the root element as its only field")
    [(name, content)] = value.items()
    if isinstance(content, list):
        raise FormatError("XML has one root element")
    return '<?xml version="1.0" encoding="UTF-8"?>\n' + "".join(_element(name, content))


def _element(name: str, content: JsonValue) -> Iterator[str]:
    _check_name(name)
    if not isinstance(content, dict):
        text = _xml_text(content)
        yield f"<{name}>{text}</{name}>" if text else f"<{name}/>"
        return
    attributes = "".join(_attribute(key[1:], field) for key, field in content.items() if key.startswith("@"))
    yield f"<{name}{attributes}>{_xml_text(content.get('#text'))}"
    for key, field in content.items():
        if not key.startswith("@") and key != "#text":
            for child in field if isinstance(field, list) else [field]:
                yield from _element(key, child)
    yield f"</{name}>"


def _attribute(name: str, value: JsonValue) -> str:
    _check_name(name)
    return f" {name}={quoteattr(_plain(value))}"


def _check_name(name: str) -> None:
    if not re.fullmatch(r"[^\W\d][\w.:-]*", name):
        raise FormatError(f"{name!r} is no XML name")


def _xml_text(value: JsonValue) -> str:
    return escape(_plain(value))


def _plain(value: JsonValue) -> str:
    if isinstance(value, list):
        raise FormatError("a list in a list has no XML form")
    text = _cell(value)
    if any(ord(character) < 32 and character not in "\t\n\r" for character in text):
        raise FormatError("XML cannot hold control characters")
    return text
