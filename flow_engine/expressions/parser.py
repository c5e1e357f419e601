"""Tokens to tree: a Pratt parser for the grammar of the CEL specification.

Chains of equal operators, of conditionals and of unary operators are read in loops and kept flat, so that
their length is bounded by the source only; what really nests is bounded by MAX_NESTING.
"""

from __future__ import annotations

from typing import TypeVar

from flow_engine.expressions.errors import (
    EXPRESSION_TOO_DEEP,
    EXPRESSION_TOO_LONG,
    INVALID_LITERAL,
    ExpressionSyntaxError,
)
from flow_engine.expressions.lexer import END, INT_MAX, NAME, VALUE, Token, tokens
from flow_engine.expressions.limits import MAX_NESTING, MAX_SOURCE_LENGTH
from flow_engine.expressions.syntax import (
    Call,
    Chain,
    Conditional,
    Index,
    ListLiteral,
    Literal,
    Logic,
    MapLiteral,
    Name,
    Node,
    Select,
    Unary,
)

N = TypeVar("N", bound=Node)

_CONSTANTS = {"true": True, "false": False, "null": None}
_RESERVED = frozenset(
    "as break const continue else for function if import in let loop package namespace return var void "
    "while".split()
)
_LEVELS = {
    "==": 1, "!=": 1, "<": 1, "<=": 1, ">": 1, ">=": 1, "in": 1,
    "+": 2, "-": 2,
    "*": 3, "/": 3, "%": 3,
}  # fmt: skip


def parse(source: str) -> Node:
    """The tree of source. Raises ExpressionSyntaxError, never anything else."""
    if len(source) > MAX_SOURCE_LENGTH:
        raise ExpressionSyntaxError(
            f"the expression has {len(source)} characters, the limit is {MAX_SOURCE_LENGTH}",
            MAX_SOURCE_LENGTH,
            source[:MAX_SOURCE_LENGTH],
            code=EXPRESSION_TOO_LONG,
        )
    if not source.strip():
        raise ExpressionSyntaxError("the expression is empty", 0, source)
    return _Parser(source).whole()


class _Parser:
    def __init__(self, source: str) -> None:
        self.source = source
        self.tokens = list(tokens(source))
        self.at = 0
        self.depth = 0

    def whole(self) -> Node:
        node = self.expression()
        if self.token.kind != END:
            raise self.error(f"unexpected {self.token.text[:40]!r}")
        return node

    # Reading tokens

    @property
    def token(self) -> Token:
        return self.tokens[self.at]

    def take(self) -> Token:
        token = self.tokens[self.at]
        self.at += 1
        return token

    def accept(self, text: str) -> Token | None:
        token = self.tokens[self.at]
        if token.text != text or token.kind == VALUE:
            return None
        self.at += 1
        return token

    def expect(self, text: str) -> Token:
        return self.accept(text) or self.missing(repr(text))

    def missing(self, what: str) -> Token:
        found = repr(self.token.text[:40]) if self.token.kind != END else "the end"
        raise self.error(f"{what} expected, found {found}")

    def error(
        self, message: str, position: int | None = None, hint: str | None = None
    ) -> ExpressionSyntaxError:
        return ExpressionSyntaxError(
            message, self.token.position if position is None else position, self.source, hint=hint
        )

    def too_deep(self, position: int) -> ExpressionSyntaxError:
        return ExpressionSyntaxError(
            f"the expression nests deeper than {MAX_NESTING}", position, self.source, code=EXPRESSION_TOO_DEEP
        )

    def grown(self, node: N, *children: Node) -> N:
        """node, once its height above its children is known and allowed."""
        node.height = 1 + max((child.height for child in children), default=0)
        if node.height > MAX_NESTING:
            raise self.too_deep(node.position)
        return node

    # The grammar, from the loosest binding to the tightest

    def expression(self) -> Node:
        self.depth += 1
        if self.depth > MAX_NESTING:
            raise self.too_deep(self.token.position)
        node = self.conditional()
        self.depth -= 1
        return node

    def conditional(self) -> Node:
        node = self.disjunction()
        if self.token.text != "?" or self.token.kind == VALUE:
            return node
        position = self.token.position
        branches: list[tuple[Node, Node]] = []
        while self.accept("?"):
            value = self.expression()
            self.expect(":")
            branches.append((node, value))
            node = self.disjunction()
        parts = [part for branch in branches for part in branch]
        return self.grown(Conditional(position=position, branches=branches, otherwise=node), *parts, node)

    def disjunction(self) -> Node:
        node = self.conjunction()
        operator = self.accept("||")
        if operator is None:
            return node
        terms = [node, self.conjunction()]
        while self.accept("||"):
            terms.append(self.conjunction())
        return self.grown(Logic(position=operator.position, operator="||", terms=terms), *terms)

    def conjunction(self) -> Node:
        node = self.operators(1)
        operator = self.accept("&&")
        if operator is None:
            return node
        terms = [node, self.operators(1)]
        while self.accept("&&"):
            terms.append(self.operators(1))
        return self.grown(Logic(position=operator.position, operator="&&", terms=terms), *terms)

    def operators(self, level: int) -> Node:
        """Relations (1), sums (2) or products (3)."""
        first = self.operators(level + 1) if level < 3 else self.unary()
        rest: list[tuple[str, int, Node]] = []
        while self.token.kind != VALUE and _LEVELS.get(self.token.text) == level:
            operator = self.take()
            operand = self.operators(level + 1) if level < 3 else self.unary()
            rest.append((operator.text, operator.position, operand))
        if not rest:
            return first
        operands = [operand for _, _, operand in rest]
        return self.grown(Chain(position=rest[0][1], first=first, rest=rest), first, *operands)

    def unary(self) -> Node:
        signs: list[Token] = []
        while self.token.text in ("!", "-") and self.token.kind != VALUE:
            signs.append(self.take())
        if signs and signs[-1].text == "-" and type(self.token.value) in (int, float):
            sign = signs.pop()
            literal = self.take()
            node = self.members(Literal(position=sign.position, value=-literal.value))
        else:
            node = self.members(self.primary())
        # Equal signs cancel out in pairs, except that one pair must remain to check the operand's type.
        while signs:
            sign = signs.pop()
            run = 1
            while signs and signs[-1].text == sign.text:
                sign = signs.pop()
                run += 1
            for _ in range(1 if run % 2 else 2):
                node = self.grown(Unary(position=sign.position, operator=sign.text, operand=node), node)
        return node

    def members(self, node: Node) -> Node:
        while True:
            if dot := self.accept("."):
                if self.token.text == "?":
                    raise self.error("optional values are not supported", hint="write get(a.b, default)")
                name = self.field()
                if self.accept("("):
                    arguments = self.sequence(")")
                    call = Call(position=dot.position + 1, name=name, target=node, arguments=arguments)
                    node = self.grown(call, node, *arguments)
                elif isinstance(node, Literal) and type(node.value) in (int, float):
                    raise self.error(
                        "a number has no fields",
                        dot.position,
                        hint='write nodes["node-1"] for ids with other characters than letters and digits',
                    )
                else:
                    node = self.grown(Select(position=dot.position + 1, operand=node, field=name), node)
            elif bracket := self.accept("["):
                if self.token.text == "?":
                    raise self.error("optional values are not supported", hint="write get(a[b], default)")
                index = self.expression()
                self.expect("]")
                node = self.grown(Index(position=bracket.position, operand=node, index=index), node, index)
            elif self.token.text == "{" and isinstance(node, (Name, Select)):
                raise self.error("messages are not supported", hint="write a map: {'field': value}")
            else:
                return node

    def field(self) -> str:
        if self.token.kind != NAME:
            self.missing("a field name")
        return self.take().text.strip("`")

    def primary(self) -> Node:
        token = self.token
        if token.kind == VALUE:
            if type(token.value) is int and token.value == INT_MAX + 1 and token.text[-1] not in "uU":
                raise ExpressionSyntaxError(
                    f"the integer {token.text} does not fit in 64 bits",
                    token.position,
                    self.source,
                    code=INVALID_LITERAL,
                )
            self.take()
            return Literal(position=token.position, value=token.value)
        if token.kind == NAME:
            return self.named()
        if self.accept("("):
            node = self.expression()
            self.expect(")")
            return node
        if self.accept("["):
            items = self.sequence("]")
            return self.grown(ListLiteral(position=token.position, items=items), *items)
        if self.accept("{"):
            return self.map_literal(token.position)
        if self.accept("."):
            if self.token.kind != NAME:
                self.missing("a name")
            return Name(position=self.token.position, name=self.take().text, absolute=True)
        self.missing("a value")
        raise AssertionError

    def named(self) -> Node:
        token = self.take()
        name = token.text
        if name in _CONSTANTS:
            return Literal(position=token.position, value=_CONSTANTS[name])
        if name in _RESERVED or name[0] == "`":
            raise self.error(f"{name} is a reserved word", token.position)
        if self.accept("("):
            arguments = self.sequence(")")
            call = Call(position=token.position, name=name, target=None, arguments=arguments)
            return self.grown(call, *arguments)
        return Name(position=token.position, name=name)

    def sequence(self, closing: str) -> list[Node]:
        """Expressions between commas up to closing; a list may end in a comma."""
        items: list[Node] = []
        while not self.accept(closing):
            if items:
                self.expect(",")
                if closing == "]" and self.accept(closing):
                    break
            items.append(self.expression())
        return items

    def map_literal(self, position: int) -> Node:
        entries: list[tuple[Node, Node]] = []
        while not self.accept("}"):
            if entries:
                self.expect(",")
                if self.accept("}"):
                    break
            key = self.expression()
            self.expect(":")
            entries.append((key, self.expression()))
        parts = [part for entry in entries for part in entry]
        return self.grown(MapLiteral(position=position, entries=entries), *parts)
