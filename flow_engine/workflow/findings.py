"""What is wrong so far, and how near misses are guessed."""

from __future__ import annotations

import reprlib
from collections.abc import Collection, Iterable
from difflib import get_close_matches
from itertools import islice

from flow_engine.errors import Problem
from flow_engine.payload import JsonValue
from flow_engine.workflow import pointers

MAX_LOOKED_AT = 4000
MAX_COMPARED = 100
"""Of the names that a misspelt one is held against: the hint is worth no more."""


class Enough(Exception):
    """So many problems were found that looking for more helps nobody."""


class Findings:
    """Collects problems; they come out in document order, at most `limit` of them."""

    def __init__(self, limit: int) -> None:
        self._limit = limit
        self._found: list[Problem] = []

    def add(self, path: str, code: str, message: str, hint: str = "") -> None:
        self.extend((Problem(path, code, message, hint),))

    def extend(self, problems: Iterable[Problem]) -> None:
        """Raises Enough at twice the limit."""
        for problem in problems:
            self._found.append(problem)
            if len(self._found) > 2 * self._limit:
                raise Enough

    def __bool__(self) -> bool:
        return bool(self._found)

    def in_order(self, document: JsonValue) -> list[Problem]:
        order = pointers.DocumentOrder(document)
        ordered = sorted(dict.fromkeys(self._found), key=lambda problem: order(problem.path))
        if len(ordered) <= self._limit:
            return ordered
        more = f"and at least {len(ordered) - self._limit:,} problems more"
        return [*ordered[: self._limit], Problem("", "TOO_MANY_PROBLEMS", more)]


def near_miss(name: str, known: Iterable[str]) -> str:
    """The hint for a name that is probably misspelt; empty without a likely one."""
    name = name[:200]
    alike = (
        other
        for other in islice(known, MAX_LOOKED_AT)
        if abs(len(other) - len(name)) <= 2 and _same_end(name, other)
    )
    likely = get_close_matches(name, list(islice(alike, MAX_COMPARED)), n=1, cutoff=0.7)
    return f"did you mean {likely[0]!r}?" if likely else ""


def _same_end(name: str, other: str) -> bool:
    """Typing errors seldom hit both ends: so most names are ruled out before they are compared."""
    return name[:1] == other[:1] or name[-1:] == other[-1:]


def quoted(value: object, limit: int = 60) -> str:
    """A value from outside, in a message: shortened before it is written out."""
    if isinstance(value, str):
        return repr(value) if len(value) <= limit else f"{value[: limit - 1]!r}…"
    text = reprlib.repr(value)
    return text if len(text) <= limit else f"{text[: limit - 1]}…"


def listed(names: Collection[str], limit: int = 12) -> str:
    """`'a', 'b' or 'c'`"""
    shown = [quoted(name) for name in islice(names, limit)]
    if len(names) > limit:
        return f"{', '.join(shown)} and {len(names) - limit} more"
    return " or ".join(filter(None, [", ".join(shown[:-1]), *shown[-1:]]))
