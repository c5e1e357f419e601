"""Text. Positions and lengths count Unicode characters."""

from __future__ import annotations

from typing import Any

from flow_engine.expressions.errors import EvaluationError
from flow_engine.expressions.functions.formatting import formatted
from flow_engine.expressions.functions.registry import function
from flow_engine.expressions.limits import Frame, charge
from flow_engine.expressions.values import type_name

GROUP = "Strings"

_BLANKS = " \t\n\v\f\r\x85\xa0\u1680\u2028\u2029\u202f\u205f\u3000" + "".join(map(chr, range(0x2000, 0x200B)))


def charge_search(frame: Frame, text: str, wanted: str) -> None:
    """Pay for looking for wanted in text from the left. Python falls back to n*m for short texts only."""
    size = len(text)
    charge(frame, (size >> 6) + (size * min(len(wanted), 100) >> 9 if size < 30_000 else size >> 4))


def charge_text(frame: Frame, size: int) -> None:
    """Pay for making a text of size characters."""
    charge(frame, size >> 5)


@function(
    GROUP,
    "string.startsWith(string) -> bool",
    doc="Whether the text begins so.",
    examples=[("'order-17'.startsWith('order-')", "true")],
)
def starts_with(frame: Frame, text: str, prefix: str) -> bool:
    charge_text(frame, len(prefix))
    return text.startswith(prefix)


@function(
    GROUP,
    "string.endsWith(string) -> bool",
    doc="Whether the text ends so.",
    examples=[("'report.pdf'.endsWith('.pdf')", "true")],
)
def ends_with(frame: Frame, text: str, suffix: str) -> bool:
    charge_text(frame, len(suffix))
    return text.endswith(suffix)


@function(
    GROUP,
    "string.contains(string) -> bool",
    doc="Whether the text holds another.",
    examples=[("'to be or not'.contains('or')", "true")],
)
def contains_text(frame: Frame, text: str, wanted: str) -> bool:
    charge_search(frame, text, wanted)
    return wanted in text


@function(
    GROUP,
    "string.charAt(int) -> string",
    doc="The character at a position from 0; empty at the end.",
    examples=[("'abc'.charAt(1)", '"b"')],
)
def char_at(frame: Frame, text: str, index: int) -> str:
    _within(index, len(text))
    return text[index : index + 1]


@function(
    GROUP,
    "string.indexOf(string) -> int",
    "string.indexOf(string, int) -> int",
    doc="Where a text first occurs, from a position on if given; -1 if nowhere.",
    examples=[("'tacocat'.indexOf('a')", "1"), ("'tacocat'.indexOf('a', 3)", "5")],
)
def index_of(frame: Frame, text: str, wanted: str, start: int = 0) -> int:
    _within(start, len(text))
    charge_search(frame, text, wanted)
    return text.find(wanted, start)


@function(
    GROUP,
    "string.lastIndexOf(string) -> int",
    "string.lastIndexOf(string, int) -> int",
    doc="Where a text last occurs, not after a position if given; -1 if nowhere.",
    examples=[("'tacocat'.lastIndexOf('a')", "5"), ("'tacocat'.lastIndexOf('a', 3)", "1")],
)
def last_index_of(frame: Frame, text: str, wanted: str, start: int | None = None) -> int:
    if start is not None:
        _within(start, len(text))
    charge(frame, (len(text) >> 5) + (max(0, len(text) - len(wanted)) * len(wanted) >> 7))
    return text.rfind(wanted, 0, len(text) if start is None else start + len(wanted))


@function(
    GROUP,
    "string.substring(int) -> string",
    "string.substring(int, int) -> string",
    doc="From a position to the end, or up to before another.",
    examples=[("'tacocat'.substring(4)", '"cat"'), ("'tacocat'.substring(0, 4)", '"taco"')],
)
def substring(frame: Frame, text: str, start: int, end: int | None = None) -> str:
    stop = len(text) if end is None else end
    _within(start, len(text))
    _within(stop, len(text))
    if start > stop:
        raise EvaluationError(f"invalid substring range: start {start}, end {stop}")
    charge_text(frame, stop - start)
    return text[start:stop]


@function(
    GROUP,
    "string.replace(string, string) -> string",
    "string.replace(string, string, int) -> string",
    doc="Every occurrence replaced, or the first so many.",
    examples=[("'a-b-c'.replace('-', '+')", '"a+b+c"'), ("'a-b-c'.replace('-', '+', 1)", '"a+b-c"')],
)
def replace(frame: Frame, text: str, old: str, new: str, limit: int = -1) -> str:
    charge_search(frame, text, old)
    count = text.count(old) if limit < 0 else min(limit, text.count(old))
    charge(frame, 2 * count)
    charge_text(frame, len(text) + count * max(0, len(new) - len(old)))
    return text.replace(old, new, count)


@function(
    GROUP,
    "string.split(string) -> list",
    "string.split(string, int) -> list",
    doc="The parts between separators, at most so many; an empty separator parts the characters.",
    examples=[("'a,b,c'.split(',')", '["a","b","c"]'), ("'a,b,c'.split(',', 2)", '["a","b,c"]')],
)
def split(frame: Frame, text: str, separator: str, limit: int = -1) -> list[str]:
    if limit == 0:
        return []
    charge_search(frame, text, separator)
    count = text.count(separator) + 1
    charge(frame, count if limit < 0 else min(count, limit))
    charge_text(frame, len(text))
    if separator:
        return text.split(separator, limit - 1 if limit > 0 else -1)
    if limit < 0 or limit >= len(text):
        return list(text)
    return [*text[: limit - 1], text[limit - 1 :]]


@function(
    GROUP,
    "list.join() -> string",
    "list.join(string) -> string",
    doc="The texts of a list in one, with a separator between.",
    examples=[("['a', 'b'].join('-')", '"a-b"'), ("['a', 'b'].join()", '"ab"')],
)
def join(frame: Frame, parts: list[Any], separator: str = "") -> str:
    charge(frame, len(parts))
    for part in parts:
        if type(part) is not str:
            raise EvaluationError(f"join needs a list of strings, found {type_name(part)}")
    charge_text(frame, sum(map(len, parts)) + len(separator) * len(parts))
    return separator.join(parts)


@function(
    GROUP,
    "string.trim() -> string",
    doc="Without the white space around.",
    examples=[("'  a b '.trim()", '"a b"')],
)
def trim(frame: Frame, text: str) -> str:
    charge_text(frame, len(text) * 4)
    return text.strip(_BLANKS)


@function(
    GROUP,
    "string.lower() -> string",
    doc="In small letters, of every script.",
    examples=[("'ÄB'.lower()", '"äb"')],
)
def lower(frame: Frame, text: str) -> str:
    charge(frame, len(text) >> 2)
    return text.lower()


@function(
    GROUP,
    "string.upper() -> string",
    doc="In capital letters, of every script.",
    examples=[("'äb'.upper()", '"ÄB"')],
)
def upper(frame: Frame, text: str) -> str:
    charge(frame, len(text) >> 2)
    return text.upper()


@function(
    GROUP,
    "string.lowerAscii() -> string",
    doc="A to Z as small letters.",
    examples=[("'ÄB'.lowerAscii()", '"Äb"')],
)
def lower_ascii(frame: Frame, text: str) -> str:
    charge_text(frame, 4 * len(text))
    return text.lower() if text.isascii() else text.encode().lower().decode()


@function(
    GROUP,
    "string.upperAscii() -> string",
    doc="a to z as capitals.",
    examples=[("'äb'.upperAscii()", '"äB"')],
)
def upper_ascii(frame: Frame, text: str) -> str:
    charge_text(frame, 4 * len(text))
    return text.upper() if text.isascii() else text.encode().upper().decode()


@function(
    GROUP,
    "string.reverse() -> string",
    doc="The characters from last to first.",
    examples=[("'abc'.reverse()", '"cba"')],
)
def reverse_text(frame: Frame, text: str) -> str:
    charge(frame, len(text) >> 4)
    return text[::-1]


@function(
    GROUP,
    "string.repeat(int) -> string",
    doc="The text so many times over.",
    examples=[("'ab'.repeat(3)", '"ababab"')],
)
def repeat(frame: Frame, text: str, times: int) -> str:
    charge_text(frame, len(text) * max(0, times))
    return text * times


@function(
    GROUP,
    "string.padStart(int, string) -> string",
    doc="Filled up on the left to a length.",
    examples=[("string(7).padStart(3, '0')", '"007"')],
)
def pad_start(frame: Frame, text: str, length: int, fill: str) -> str:
    return _filling(frame, text, length, fill) + text


@function(
    GROUP,
    "string.padEnd(int, string) -> string",
    doc="Filled up on the right to a length.",
    examples=[("'7'.padEnd(3, '.')", '"7.."')],
)
def pad_end(frame: Frame, text: str, length: int, fill: str) -> str:
    return text + _filling(frame, text, length, fill)


def _filling(frame: Frame, text: str, length: int, fill: str) -> str:
    missing = length - len(text)
    charge_text(frame, max(missing, 0) + len(text) + len(fill))
    if missing <= 0 or not fill:
        return ""
    return (fill * (missing // len(fill) + 1))[:missing]


@function(
    GROUP,
    "strings.quote(string) -> string",
    doc="In double quotes, with escapes.",
    examples=[("strings.quote('a\\n')", '"\\"a\\\\n\\""')],
)
def quote(frame: Frame, text: str) -> str:
    charge(frame, len(text) >> 2)
    return '"' + text.translate(_QUOTES) + '"'


_QUOTES = str.maketrans(
    {
        "\a": "\\a",
        "\b": "\\b",
        "\f": "\\f",
        "\n": "\\n",
        "\r": "\\r",
        "\t": "\\t",
        "\v": "\\v",
        '"': '\\"',
        "\\": "\\\\",
    }
)


@function(
    GROUP,
    "string.format(list) -> string",
    doc="%s any value, %d integer, %f and %e number (with precision, %.2f), %b %o %x %X in base 2, 8, 16, "
    "%% a per cent sign.",
    examples=[("'%s: %.2f'.format(['total', 12.5])", '"total: 12.50"'), ("'%x'.format([255])", '"ff"')],
)
def format_text(frame: Frame, text: str, values: list[Any]) -> str:
    charge(frame, len(text) >> 1)
    return formatted(frame, text, values)


def _within(index: int, size: int) -> None:
    if not 0 <= index <= size:
        raise EvaluationError(f"index out of range: {index}")
