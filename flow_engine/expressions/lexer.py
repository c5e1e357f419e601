"""Text to tokens, by the lexical rules of the CEL specification."""

from __future__ import annotations

import re
from collections.abc import Iterator
from typing import Any, NamedTuple

from flow_engine.expressions.errors import INVALID_LITERAL, ExpressionSyntaxError

NAME, VALUE, SIGN, END = "name", "value", "sign", "end"

INT_MIN, INT_MAX, UINT_MAX = -(2**63), 2**63 - 1, 2**64 - 1


class Token(NamedTuple):
    """kind: NAME (plain or `quoted`), VALUE, SIGN or END; text: as written; value: of a literal."""

    kind: str
    text: str
    position: int
    value: Any = None


_TOKEN = re.compile(
    r"""
    (?P<blank>(?:[ \t\r\n\f]|//[^\n]*)+)
  | (?P<string>(?:[rR][bB]?|[bB][rR]?)?(?:\"{3}|'{3}|"|'))
  | (?P<name>[_a-zA-Z][_a-zA-Z0-9]*)
  | (?P<float>(?:[0-9]+\.[0-9]+|\.[0-9]+)(?:[eE][+-]?[0-9]+)?|[0-9]+[eE][+-]?[0-9]+)
  | (?P<int>0[xX][0-9a-fA-F]+[uU]?|[0-9]+[uU]?)
  | (?P<sign>&&|\|\||==|!=|<=|>=|[-+*/%<>!?:.,()\[\]{}])
  | (?P<quoted>`[-_a-zA-Z0-9./ ]+`)
    """,
    re.VERBOSE,
)

_ESCAPE = re.compile(
    r"\\(?:[xX]([0-9a-fA-F]{2})|u([0-9a-fA-F]{4})|U([0-9a-fA-F]{8})|([0-3][0-7]{2})|(.))", re.DOTALL
)
_PLAIN_ESCAPES = {
    "a": "\a", "b": "\b", "f": "\f", "n": "\n", "r": "\r", "t": "\t", "v": "\v",
    "\\": "\\", "?": "?", '"': '"', "'": "'", "`": "`",
}  # fmt: skip


def tokens(source: str, start: int = 0) -> Iterator[Token]:
    """Tokens from start to the end of source, END last. Raises ExpressionSyntaxError where there is none."""
    position = start
    while position < len(source):
        match = _TOKEN.match(source, position)
        if match is None:
            raise ExpressionSyntaxError(f"unexpected character {source[position]!r}", position, source)
        kind, text, begin, position = match.lastgroup, match.group(), position, match.end()
        if kind == "blank":
            continue
        if kind == "string":
            value, position = _string(source, begin, text)
            yield Token(VALUE, source[begin:position], begin, value)
        elif kind == "float":
            yield Token(VALUE, text, begin, _float(source, begin, text))
        elif kind == "int":
            yield Token(VALUE, text, begin, _int(source, begin, text))
        elif kind == "quoted":
            yield Token(NAME, text, begin)
        else:
            yield Token(NAME if kind == "name" else SIGN, text, begin)
    yield Token(END, "", len(source))


def _float(source: str, position: int, text: str) -> float:
    value = float(text)
    if value == float("inf"):
        raise ExpressionSyntaxError(f"the number {text} is too large", position, source, code=INVALID_LITERAL)
    return value


def _int(source: str, position: int, text: str) -> int:
    """The value of an integer literal. 2^63 passes: the parser allows it after a minus only."""
    unsigned = text[-1] in "uU"
    digits = text.rstrip("uU")
    base = 16 if digits[:2] in ("0x", "0X") else 10
    if len(digits) > 40 or (value := int(digits, base)) > (UINT_MAX if unsigned else INT_MAX + 1):
        raise ExpressionSyntaxError(
            f"the integer {text[:24]} does not fit in 64 bits", position, source, code=INVALID_LITERAL
        )
    return value


def _string(source: str, begin: int, opening: str) -> tuple[str | bytes, int]:
    """The value of the string or bytes literal that starts at begin, and where it ends."""
    prefix = opening.rstrip("\"'").lower()
    quote = opening[len(prefix) :]
    raw = "r" in prefix
    closing = _closing(source, begin + len(opening), quote, raw)
    text = source[begin + len(opening) : closing]
    if closing < 0 or (len(quote) == 1 and ("\n" in text or "\r" in text)):
        raise ExpressionSyntaxError("the string is not closed", begin, source)
    value: str | bytes = text
    if "b" in prefix:
        value = _bytes(source, begin, text, raw)
    elif not raw and "\\" in text:
        value = _unescaped(source, begin, text)
    return value, closing + len(quote)


def _closing(source: str, start: int, quote: str, raw: bool) -> int:
    """Where the closing quote stands, -1 if nowhere."""
    while True:
        end = source.find(quote, start)
        escape = -1 if raw or end < 0 else source.find("\\", start, end)
        if escape < 0:
            return end
        start = escape + 2


def _unescaped(source: str, begin: int, text: str) -> str:
    def character(match: re.Match[str]) -> str:
        byte, short, long, octal, plain = match.groups()
        if plain is not None:
            if plain not in _PLAIN_ESCAPES:
                raise ExpressionSyntaxError(f"unknown escape \\{plain}", begin, source)
            return _PLAIN_ESCAPES[plain]
        code = int(octal, 8) if octal else int(byte or short or long, 16)
        if code > 0x10FFFF or 0xD800 <= code <= 0xDFFF:
            raise ExpressionSyntaxError(f"{match.group()} is no Unicode character", begin, source)
        return chr(code)

    return _ESCAPE.sub(character, text)


def _bytes(source: str, begin: int, text: str, raw: bool) -> bytes:
    if raw or "\\" not in text:
        return text.encode("utf-8", "surrogatepass")

    def octets(match: re.Match[str]) -> str:
        byte, short, long, octal, _ = match.groups()
        if short or long:
            raise ExpressionSyntaxError(f"{match.group()} is not allowed in bytes", begin, source)
        if byte or octal:
            return chr(int(byte, 16) if byte else int(octal, 8))
        return _unescaped(source, begin, match.group())

    pieces: list[bytes] = []
    end = 0
    for match in _ESCAPE.finditer(text):
        pieces.append(text[end : match.start()].encode("utf-8", "surrogatepass"))
        pieces.append(octets(match).encode("latin-1"))
        end = match.end()
    pieces.append(text[end:].encode("utf-8", "surrogatepass"))
    return b"".join(pieces)
