"""The tree the parser makes. Positions are 0-based offsets in the source; height counts nested nodes."""

from __future__ import annotations

from dataclasses import dataclass, field
from typing import Any


@dataclass(slots=True, kw_only=True)
class Node:
    position: int
    height: int = field(default=1, compare=False)


@dataclass(slots=True, kw_only=True)
class Literal(Node):
    value: Any


@dataclass(slots=True, kw_only=True)
class Name(Node):
    """A variable; absolute (`.name`) looks past the variables of macros."""

    name: str
    absolute: bool = False


@dataclass(slots=True, kw_only=True)
class Select(Node):
    operand: Node
    field: str


@dataclass(slots=True, kw_only=True)
class Index(Node):
    operand: Node
    index: Node


@dataclass(slots=True, kw_only=True)
class Call(Node):
    """`name(arguments)` or `target.name(arguments)`; macros and has() too."""

    name: str
    target: Node | None
    arguments: list[Node]


@dataclass(slots=True, kw_only=True)
class ListLiteral(Node):
    items: list[Node]


@dataclass(slots=True, kw_only=True)
class MapLiteral(Node):
    entries: list[tuple[Node, Node]]


@dataclass(slots=True, kw_only=True)
class Unary(Node):
    operator: str
    operand: Node


@dataclass(slots=True, kw_only=True)
class Chain(Node):
    """Operators of one precedence, applied from left to right: `a + b - c`."""

    first: Node
    rest: list[tuple[str, int, Node]]


@dataclass(slots=True, kw_only=True)
class Logic(Node):
    """`a && b && c` or `a || b || c`."""

    operator: str
    terms: list[Node]


@dataclass(slots=True, kw_only=True)
class Conditional(Node):
    """`test ? value : test ? value : otherwise`."""

    branches: list[tuple[Node, Node]]
    otherwise: Node
