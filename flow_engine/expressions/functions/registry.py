"""The table of functions: the compiler resolves calls in it, and docs/expressions.md is printed from it.

A signature is written as users read it: `string.charAt(int) -> string` is called on a value,
`math.abs(number) -> number` has a namespace and `size(list) -> int` neither. A last parameter may end in
`...`. Parameters' types are checked before the function runs, so that implementations may trust them.
"""

from __future__ import annotations

import re
from collections.abc import Callable, Sequence
from dataclasses import dataclass
from typing import Any, Final, TypeVar

from flow_engine.expressions.instants import Duration, Timestamp
from flow_engine.expressions.values import CelType

F = TypeVar("F", bound=Callable[..., Any])

ACCEPTED: Final[dict[str, frozenset[type] | None]] = {
    "any": None,
    "null": frozenset((type(None),)),
    "bool": frozenset((bool,)),
    "int": frozenset((int,)),
    "double": frozenset((float,)),
    "number": frozenset((int, float)),
    "string": frozenset((str,)),
    "pattern": frozenset((str,)),
    "bytes": frozenset((bytes,)),
    "list": frozenset((list,)),
    "map": frozenset((dict,)),
    "timestamp": frozenset((Timestamp,)),
    "duration": frozenset((Duration,)),
    "type": frozenset((CelType,)),
}

_SIGNATURE = re.compile(r"(?:(\w+)\.)?(\w+)\((.*)\) -> (\w+)")


@dataclass(frozen=True, slots=True)
class Overload:
    """One way to call a function. parameters: types, the receiver's first; run(frame, *arguments)."""

    signature: str
    name: str
    member: bool
    parameters: tuple[str, ...]
    variadic: bool
    result: str
    run: Callable[..., Any]

    def takes(self, count: int) -> bool:
        return count >= len(self.parameters) if self.variadic else count == len(self.parameters)

    def parameter(self, index: int) -> str:
        return self.parameters[min(index, len(self.parameters) - 1)]


@dataclass(frozen=True, slots=True)
class Entry:
    """A row of the documentation. example: an expression and the JSON text of its value."""

    group: str
    signatures: tuple[str, ...]
    doc: str
    examples: tuple[tuple[str, str], ...]


ENTRIES: list[Entry] = []
OVERLOADS: dict[str, list[Overload]] = {}
"""By name as called: `charAt` for members, `math.abs` or `size` for the rest."""


def function(group: str, *signatures: str, doc: str, examples: Sequence[tuple[str, str]]) -> Callable[[F], F]:
    """Enter the decorated implementation under each of its signatures."""

    def enter(implementation: F) -> F:
        document(group, *signatures, doc=doc, examples=examples)
        for signature in signatures:
            overload = _overload(signature, implementation)
            OVERLOADS.setdefault(overload.name, []).append(overload)
        return implementation

    return enter


def document(group: str, *signatures: str, doc: str, examples: Sequence[tuple[str, str]]) -> None:
    """Enter a row for what the compiler itself implements."""
    ENTRIES.append(Entry(group, signatures, doc, tuple(examples)))


def _overload(signature: str, implementation: Callable[..., Any]) -> Overload:
    match = _SIGNATURE.fullmatch(signature)
    assert match is not None, signature
    prefix, name, parameters, result = match.groups()
    types = [part.strip() for part in parameters.split(",")] if parameters else []
    variadic = bool(types) and types[-1].endswith("...")
    types = [kind.removesuffix("...") for kind in types]
    member = prefix in ACCEPTED
    if member:
        types.insert(0, prefix)
    elif prefix:
        name = f"{prefix}.{name}"
    assert all(kind in ACCEPTED for kind in types), signature
    return Overload(signature, name, member, tuple(types), variadic, result, implementation)
