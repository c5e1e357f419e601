"""Regular expressions, by RE2 only: its time grows with text and pattern, never exponentially."""

from __future__ import annotations

import re
import time
from collections.abc import Iterator
from functools import lru_cache
from typing import Any

import re2

from flow_engine.expressions.errors import EvaluationError
from flow_engine.expressions.functions.registry import function
from flow_engine.expressions.limits import STEPS, Frame, charge

GROUP = "Regular expressions"

_OPTIONS = re2.Options()
_OPTIONS.log_errors = False
_OPTIONS.max_mem = 512 << 10


class InvalidPattern(ValueError):
    """RE2 does not take the pattern."""


@lru_cache(maxsize=512)
def _compiled(pattern: str) -> Any:
    """The compiled pattern, or what is wrong with it as text."""
    try:
        return re2.compile(pattern, _OPTIONS)
    except (re2.error, UnicodeError) as error:
        reason = error.args[0] if error.args else ""
        return reason.decode(errors="replace") if isinstance(reason, bytes) else str(reason)


def compiled(pattern: str) -> Any:
    """The compiled pattern. Raises InvalidPattern."""
    result = _compiled(pattern)
    if isinstance(result, str):
        raise InvalidPattern(result)
    return result


def compiled_at_run_time(frame: Frame, pattern: str) -> Any:
    """The same for a pattern that is computed: paid for whether it is cached or not, so that runs repeat
    exactly.
    """
    charge(frame, 300 + len(pattern))
    try:
        result = compiled(pattern)
    except InvalidPattern as error:
        charge(frame, 40_000)
        raise EvaluationError(f"invalid regular expression: {error}") from None
    charge(frame, 20 * int(result.programsize))
    return result


def _worst_case(text: str, pattern: Any) -> int:
    """Steps of one search if RE2 falls back from its automaton to simulating the whole program."""
    return 2 + (len(text) >> 4) + len(text) * int(pattern.programsize) // 50


@function(
    GROUP,
    "matches(string, pattern) -> bool",
    "string.matches(pattern) -> bool",
    doc="Whether the pattern occurs anywhere in the text; `^…$` for all of it.",
    examples=[("'order-17'.matches('^order-[0-9]+$')", "true")],
)
def matches(frame: Frame, text: str, pattern: Any) -> bool:
    charge(frame, _worst_case(text, pattern))
    return pattern.search(text.encode()) is not None


@function(
    GROUP,
    "regex.extract(string, pattern) -> any",
    doc="The first match, or its first group if it has any; null without a match.",
    examples=[("regex.extract('order-17', '-([0-9]+)')", '"17"'), ("regex.extract('x', '[0-9]')", "null")],
)
def extract(frame: Frame, text: str, pattern: Any) -> str | None:
    charge(frame, _worst_case(text, pattern))
    found = pattern.search(text.encode())
    return None if found is None else _text(found.group(1 if pattern.groups else 0))


@function(
    GROUP,
    "regex.extractAll(string, pattern) -> list",
    doc="Every match, or its first group.",
    examples=[("regex.extractAll('a1 b22', '[0-9]+')", '["1","22"]')],
)
def extract_all(frame: Frame, text: str, pattern: Any) -> list[str | None]:
    group = 1 if pattern.groups else 0
    return [_text(found.group(group)) for found in _found(frame, text, text.encode(), pattern)]


@function(
    GROUP,
    "regex.replace(string, pattern, string) -> string",
    "regex.replace(string, pattern, string, int) -> string",
    doc="Every match replaced, or the first so many; \\1 to \\9 stand for groups, \\0 for the match.",
    examples=[("regex.replace('a1b22', '[0-9]+', '<\\\\0>')", '"a<1>b<22>"')],
)
def replace_pattern(frame: Frame, text: str, pattern: Any, replacement: str, limit: int = -1) -> str:
    octets = text.encode()
    pieces: list[bytes] = []
    end = 0
    parts = _replacement(replacement, int(pattern.groups))
    for count, found in enumerate(_found(frame, text, octets, pattern)):
        if count == limit:
            break
        pieces.append(octets[end : found.start()])
        for part in parts:
            piece = part if isinstance(part, bytes) else found.group(part) or b""
            charge(frame, 6 + (len(piece) >> 3))
            pieces.append(piece)
        end = found.end()
    pieces.append(octets[end:])
    return b"".join(pieces).decode()


def _found(frame: Frame, text: str, octets: bytes, pattern: Any) -> Iterator[Any]:
    """Each match, paid for one by one.

    A search may look at all of the rest and find a short match, so many matches may cost far more than the
    text is long; how much depends on RE2's automaton. Each is bounded by the worst case beforehand, and what
    is slow is charged by the clock.
    """
    charge(frame, len(text) >> 4)
    worst = _worst_case(text, pattern)
    rest = pattern.finditer(octets)
    while True:
        if frame[STEPS] < worst:
            charge(frame, worst)
        started = time.perf_counter_ns()
        found = next(rest, None)
        elapsed = time.perf_counter_ns() - started
        charge(frame, 110 if elapsed < 20_000 else elapsed // 50)
        if found is None:
            return
        yield found


_GROUP = re.compile(r"\\([0-9\\])")


def _replacement(text: str, groups: int) -> list[bytes | int]:
    """text in pieces; a number stands for a group."""
    parts: list[bytes | int] = []
    end = 0
    for match in _GROUP.finditer(text):
        parts.append(text[end : match.start()].encode())
        end = match.end()
        if match.group(1) == "\\":
            parts.append(b"\\")
        elif int(match.group(1)) > groups:
            raise EvaluationError(f"the pattern has no group {match.group(1)}")
        else:
            parts.append(int(match.group(1)))
    parts.append(text[end:].encode())
    return [part for part in parts if part != b""]


def _text(octets: bytes | None) -> str | None:
    return None if octets is None else octets.decode(errors="replace")
