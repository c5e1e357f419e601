"""Takes secrets out of text again: as they are, and in the spellings in which others give them back.

What remains is text that somebody has changed beyond these spellings (reversed, encrypted, cut in two):
that a secret goes only to the hosts it is bound to is what protects it from those.
"""

from __future__ import annotations

import base64
import json
import re
from collections import OrderedDict
from collections.abc import Collection, Iterable
from typing import Any
from urllib.parse import quote, quote_plus

HIDDEN = "***"
SHORTEST_FORM = 4
LONGEST_BY_CHARACTER = 512
MOST_KNOWN = 1000
"""So many secrets a process keeps in mind for its logs."""


def patterns(value: str) -> set[str]:
    """The spellings by which a secret is recognised, as regular expressions.

    Read as Latin-1 it is another text: HTTP headers are, by those who go by the older standards.
    """
    misread = value.encode().decode("latin-1")
    return _patterns(value) | (_patterns(misread) if misread != value else set())


def _patterns(value: str) -> set[str]:
    data = value.encode()
    found = {
        value,
        json.dumps(value)[1:-1],
        json.dumps(value, ensure_ascii=False)[1:-1],
        data.hex(),
        data.hex().upper(),
        quote(value, safe=""),
        quote_plus(value),
        *_base64_parts(data),
    }
    texts = {re.escape(form) for form in found if len(form) >= SHORTEST_FORM}
    return texts | ({"".join(map(_perhaps_encoded, value))} if len(value) <= LONGEST_BY_CHARACTER else set())


def _perhaps_encoded(character: str) -> str:
    """A character of a URL: which of them are percent-encoded is everybody's own choice."""
    encoded = "".join(f"%(?i:{byte:02x})" for byte in character.encode())
    return f"(?:{re.escape(character)}|{encoded}{'|[+]' if character == ' ' else ''})"


def _base64_parts(data: bytes) -> Iterable[str]:
    """What is there of it whatever stands before and behind: one text for each of three alignments."""
    for before in range(3):
        encoded = base64.b64encode(b"\0" * before + data).decode()
        begins = (0, 2, 3)[before]  # so many characters hold bits of what stands before
        ends = len(data) + before
        whole = encoded.rstrip("=") if ends % 3 == 0 else encoded[: ends * 8 // 6]
        part = whole[begins:]
        yield part
        yield part.replace("+", "-").replace("/", "_")


class Redactor:
    """Of some secrets. Compiled once."""

    def __init__(self, values: Collection[str]) -> None:
        every = {pattern for value in values for pattern in patterns(value)}
        # The longest first: one may be a part of another.
        self._pattern = re.compile("|".join(sorted(every, key=len, reverse=True)) or "(?!)")

    def text(self, text: str) -> str:
        return self._pattern.sub(HIDDEN, text)

    def finds(self, text: str) -> bool:
        return self._pattern.search(text) is not None

    def value(self, value: Any) -> Any:
        """A JSON value without the secrets; keys of objects too."""
        match value:
            case str():
                return self.text(value)
            case list() | tuple():
                return [self.value(item) for item in value]
            case dict():
                return {self.value(key): self.value(item) for key, item in value.items()}
        return value


class KnownSecrets:
    """The secrets that this process has had in hand, for whatever it logs."""

    def __init__(self) -> None:
        self._values: OrderedDict[str, None] = OrderedDict()
        self._redactor: Redactor | None = None

    def remember(self, values: Iterable[str]) -> None:
        for value in values:
            if value not in self._values:
                self._redactor = None
            self._values[value] = None
            self._values.move_to_end(value)
        while len(self._values) > MOST_KNOWN:
            self._values.popitem(last=False)
            self._redactor = None

    def text(self, text: str) -> str:
        if not self._values:
            return text
        if self._redactor is None:
            self._redactor = Redactor(self._values)
        return self._redactor.text(text)


KNOWN = KnownSecrets()
"""Of this process: whoever writes text about what happens in it passes it through here."""
