"""Tree to closures. Each node becomes one Python function of a frame; nothing is looked up twice.

Names are resolved here: variables of macros get slots in the frame, all others are read from the scope and
are the expression's references; calls are bound to overloads by name and number of arguments, and what cannot
be bound is a syntax error, with what was probably meant as a hint.
"""

from __future__ import annotations

import operator
from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass
from difflib import get_close_matches
from functools import lru_cache
from typing import Any, NamedTuple

from flow_engine.expressions.errors import (
    INVALID_REGEX,
    UNKNOWN_FUNCTION,
    WRONG_ARGUMENTS,
    AbsentValue,
    EvaluationError,
    ExpressionSyntaxError,
    LimitExceeded,
)
from flow_engine.expressions.functions import ACCEPTED, OVERLOADS, Overload
from flow_engine.expressions.functions.maps import checked_key
from flow_engine.expressions.functions.patterns import InvalidPattern, compiled, compiled_at_run_time
from flow_engine.expressions.limits import DEFAULT_LIMITS, FIRST_SLOT, SCOPE, Frame, Run, charge, new_frame
from flow_engine.expressions.macros import MACROS, Macro
from flow_engine.expressions.operators import (
    Operator,
    add,
    differs,
    divide,
    equals,
    is_in,
    item,
    member,
    multiply,
    negate,
    not_readable,
    ordering,
    remainder,
    subtract,
)
from flow_engine.expressions.parser import parse
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
from flow_engine.expressions.values import CEL_TYPES, NUMBERS, named_type, preview, type_name


@dataclass(frozen=True, slots=True)
class Reference:
    """A variable an expression reads, with the fields and indexes after it that are fixed in the source."""

    path: tuple[str | int, ...]
    position: int


class Code(NamedTuple):
    """A compiled node.

    kind: its static type as in signatures, "any" if unknown; path: how it names a value, "" if it is
    computed; weight: steps one run of it costs at most, without loops; plain: whether its value is JSON and
    comes from the scope or is small, so that it needs no check on the way out; constant: its value, if it
    always is the same.
    """

    run: Run
    kind: str = "any"
    path: str = ""
    weight: int = 1
    plain: bool = False
    constant: tuple[Any] | None = None


@dataclass(frozen=True, slots=True)
class Program:
    run: Run
    slots: int
    plain: bool
    kind: str
    references: frozenset[Reference]


Names = Mapping[str, int]

SPECIAL_FORMS = ("has", "get", "coalesce")
MAX_PATTERN_SIZE = 20_000
"""RE2 instructions in all patterns of one expression; compiling takes up to half a microsecond for each."""


def compile_source(source: str) -> Program:
    """Raises ExpressionSyntaxError."""
    compiler = _Compiler(source)
    code = compiler.compile(parse(source), {})
    return Program(code.run, compiler.slots, code.plain, code.kind, frozenset(compiler.references))


class _Compiler:
    def __init__(self, source: str) -> None:
        self.source = source
        self.slots = 0
        self.pattern_size = 0
        self.references: set[Reference] = set()

    def compile(self, node: Node, names: Names) -> Code:
        return _COMPILE[type(node)](self, node, names)

    def error(
        self, message: str, node: Node, code: str = "SYNTAX_ERROR", hint: str | None = None
    ) -> ExpressionSyntaxError:
        return ExpressionSyntaxError(message, node.position, self.source, code=code, hint=hint)

    def new_slot(self) -> int:
        self.slots += 1
        return FIRST_SLOT + self.slots - 1

    # Values and access

    def literal(self, node: Literal, names: Names) -> Code:
        value = node.value
        return Code(
            lambda frame: value,
            kind=type_name(value),
            plain=type(value) is not bytes,
            constant=(value,),
        )

    def access(self, node: Name | Select | Index, names: Names) -> Code:
        """A variable and everything fixed that is read from it; one function while keys are strings."""
        steps: list[tuple[Any, int]] = []
        rest: Node = node
        while True:
            if isinstance(rest, Select):
                steps.append((rest.field, rest.position))
                rest = rest.operand
            elif isinstance(rest, Index) and (key := _fixed_key(rest.index)) is not None:
                steps.append((key, rest.position))
                rest = rest.operand
            else:
                break
        steps.reverse()
        if isinstance(rest, Name):
            return self.variable(rest, steps, names)
        base = self.index(rest, names) if isinstance(rest, Index) else self.compile(rest, names)
        return _read(base, steps)

    def index(self, node: Index, names: Names) -> Code:
        base, index = self.compile(node.operand, names), self.compile(node.index, names)
        path = f"{base.path}[…]" if base.path else ""
        run = _binary(item, base.run, index.run, node.position, path)
        return Code(run, path=path, weight=base.weight + index.weight + 3, plain=base.plain)

    def variable(self, node: Name, steps: list[tuple[Any, int]], names: Names) -> Code:
        name, count = node.name, 0
        if not node.absolute and name in names:
            return _slot_read(names[name], name, steps)
        if name in CEL_TYPES or name == "uint":
            kind = CEL_TYPES["int" if name == "uint" else name]
            return _read(Code(lambda frame: kind, kind="type"), steps)
        dotted = ".".join((name, *(str(key) for key, _ in steps[:2])))
        if dotted in CEL_TYPES:
            kind = CEL_TYPES[dotted]
            return _read(Code(lambda frame: kind, kind="type"), steps[2:])
        self.references.add(Reference((name, *(key for key, _ in steps)), node.position))
        while count < len(steps) and type(steps[count][0]) is str:
            count += 1
        path = path_text(name, [key for key, _ in steps[:count]])
        run = _scope_read(name, node.position, steps[:count])
        return _read(Code(run, path=path, weight=1 + count // 2, plain=True), steps[count:])

    def list_literal(self, node: ListLiteral, names: Names) -> Code:
        items = [self.compile(part, names) for part in node.items]
        if all(part.constant for part in items):
            value = [part.constant[0] for part in items if part.constant]
            plain = all(part.plain for part in items)
            return Code(lambda frame: value, kind="list", plain=plain, constant=(value,))
        runs = [part.run for part in items]
        return Code(
            lambda frame: [run(frame) for run in runs],
            kind="list",
            weight=7 + sum(part.weight for part in items),
        )

    def map_literal(self, node: MapLiteral, names: Names) -> Code:
        entries = [(self.compile(key, names), self.compile(value, names), key) for key, value in node.entries]
        weight = 4 + sum(key.weight + value.weight + 3 for key, value, _ in entries)
        runs = [(key.run, value.run, part.position) for key, value, part in entries]

        def run(frame: Frame) -> dict[Any, Any]:
            result: dict[Any, Any] = {}
            for key_run, value_run, position in runs:
                key = key_run(frame)
                if type(key) is not str:
                    with _At(position):
                        key = checked_key(key)
                if key in result:
                    raise EvaluationError(f"the map has the key {preview(key)} twice", position)
                result[key] = value_run(frame)
            return result

        if all(key.constant and value.constant for key, value, _ in entries):
            try:
                constant = run([])
            except EvaluationError:
                return Code(run, kind="map", weight=weight)
            plain = all(type(key) is str for key in constant) and all(value.plain for _, value, _ in entries)
            return Code(lambda frame: constant, kind="map", plain=plain, constant=(constant,))
        return Code(run, kind="map", weight=weight)

    # Operators

    def unary(self, node: Unary, names: Names) -> Code:
        operand = self.compile(node.operand, names)
        if node.operator == "!":
            return Code(_negation(operand, node.position), "bool", weight=operand.weight + 1, plain=True)
        run = _guarded(negate, operand.run, node.position, operand.path)
        return Code(run, operand.kind, weight=operand.weight + 2)

    def chain(self, node: Chain, names: Names) -> Code:
        left = self.compile(node.first, names)
        operands = [(sign, position, self.compile(part, names)) for sign, position, part in node.rest]
        if len(operands) <= 4:
            for sign, position, right in operands:
                left = _operation(sign, position, left, right)
            return left
        kind = "bool" if operands[-1][0] not in _ARITHMETIC else "any"
        weight = left.weight + sum(right.weight + 4 for _, _, right in operands)
        runs = [(_OPERATORS[sign], right.run, position, right.path) for sign, position, right in operands]
        first = left.run

        def run(frame: Frame) -> Any:
            value = first(frame)
            for apply, operand, position, path in runs:
                other = operand(frame)
                try:
                    value = apply(frame, value, other)
                except (EvaluationError, ArithmeticError) as error:
                    raise _located(error, position, path) from None
            return value

        return Code(run, kind, weight=weight, plain=kind == "bool")

    def logic(self, node: Logic, names: Names) -> Code:
        """&& and || look past what fails on one side if the other side decides."""
        terms = [self.compile(term, names) for term in node.terms]
        runs = [term.run for term in terms]
        decides, symbol, position = node.operator == "||", node.operator, node.position

        def run(frame: Frame) -> bool:
            failure: EvaluationError | None = None
            for term in runs:
                try:
                    value = term(frame)
                except LimitExceeded:
                    raise
                except EvaluationError as error:
                    charge(frame, 70)
                    failure = failure or error
                    continue
                if value is decides:
                    return bool(decides)
                if type(value) is not bool and failure is None:
                    failure = EvaluationError(f"{symbol} needs bools, found {type_name(value)}", position)
            if failure is not None:
                raise failure
            return not decides

        return Code(run, "bool", weight=2 + sum(term.weight + 1 for term in terms), plain=True)

    def conditional(self, node: Conditional, names: Names) -> Code:
        branches = [(self.compile(test, names), self.compile(value, names)) for test, value in node.branches]
        otherwise = self.compile(node.otherwise, names)
        values = [value for _, value in branches] + [otherwise]
        runs = [(test.run, value.run, test.path) for test, value in branches]
        last, position = otherwise.run, node.position

        def run(frame: Frame) -> Any:
            for test, value, path in runs:
                decision = test(frame)
                if decision is True:
                    return value(frame)
                if decision is not False:
                    raise EvaluationError(f"? needs a bool, found {type_name(decision)}", position, path=path)
            return last(frame)

        kinds = {value.kind for value in values}
        return Code(
            run,
            kinds.pop() if len(kinds) == 1 else "any",
            weight=1 + sum(test.weight for test, _ in branches) + sum(value.weight for value in values),
            plain=all(value.plain for value in values),
        )

    # Calls

    def call(self, node: Call, names: Names) -> Code:
        if node.target is None:
            if node.name in SPECIAL_FORMS:
                return _SPECIAL[node.name](self, node, names)
            return self.function(node, node.name, node.arguments, False, names)
        namespace = _namespace(node.target, names)
        if namespace == "cel" and node.name == "bind":
            return self.bind(node, names)
        if namespace is not None and f"{namespace}.{node.name}" in OVERLOADS:
            return self.function(node, f"{namespace}.{node.name}", node.arguments, False, names)
        macros = [macro for macro in MACROS if macro.name == node.name]
        for macro in macros:
            if macro.takes(len(node.arguments)) and all(
                isinstance(argument, Name) for argument in node.arguments[: macro.variables]
            ):
                return self.macro(node, macro, names)
        if macros and not any(overload.member for overload in OVERLOADS.get(node.name, ())):
            raise self.error(f"{node.name} needs a variable and what to do with it", node, WRONG_ARGUMENTS,
                             f"list.{node.name}(x, …)")  # fmt: skip
        if namespace in _NAMESPACES:
            raise self.unknown(node, f"{namespace}.{node.name}")
        return self.function(node, node.name, [node.target, *node.arguments], True, names)

    def unknown(self, node: Call, name: str) -> ExpressionSyntaxError:
        close = _near_misses(name)
        return self.error(
            f"unknown function '{name}'",
            node,
            UNKNOWN_FUNCTION,
            f"did you mean '{close}'?" if close else None,
        )

    def function(self, node: Call, name: str, arguments: Sequence[Node], member: bool, names: Names) -> Code:
        known = OVERLOADS.get(name)
        if not known:
            raise self.unknown(node, name)
        fitting = [
            overload for overload in known if overload.member is member and overload.takes(len(arguments))
        ]
        if not fitting:
            written = " or ".join(overload.signature for overload in known[:3])
            raise self.error(f"{name} is not called so", node, WRONG_ARGUMENTS, f"write {written}")
        codes = [
            self.pattern(part, names)
            if any(overload.parameter(index) == "pattern" for overload in fitting)
            else self.compile(part, names)
            for index, part in enumerate(arguments)
        ]
        run = _calling(name, fitting, codes, node.position)
        if name in ("duration", "timestamp") and all(code.constant for code in codes):
            return _computed(run, name)
        kinds = {overload.result for overload in fitting}
        return Code(
            run,
            kinds.pop() if len(kinds) == 1 else "any",
            weight=10 + len(codes) + sum(code.weight for code in codes),
            plain=kinds == {"bool"} or kinds == {"int"},
        )

    def pattern(self, node: Node, names: Names) -> Code:
        """A regular expression: compiled here if it is written out, else when it is known."""
        code = self.compile(node, names)
        if code.constant is None:
            position = node.position

            def run(frame: Frame) -> Any:
                pattern = code.run(frame)
                if type(pattern) is not str:
                    raise EvaluationError(f"a pattern is a string, found {type_name(pattern)}", position)
                with _At(position):
                    return compiled_at_run_time(frame, pattern)

            return Code(run, "string", code.path, code.weight + 3)
        (value,) = code.constant
        if type(value) is not str:
            return code
        try:
            constant = compiled(value)
        except InvalidPattern as error:
            raise self.error(f"invalid regular expression: {error}", node, INVALID_REGEX) from None
        self.pattern_size += constant.programsize
        if self.pattern_size > MAX_PATTERN_SIZE:
            raise self.error("the regular expressions are too large", node, INVALID_REGEX)
        return Code(lambda frame: constant, "string")

    def macro(self, node: Call, macro: Macro, names: Names) -> Code:
        assert node.target is not None
        source = self.compile(node.target, names)
        variables = [part.name for part in node.arguments[: macro.variables] if isinstance(part, Name)]
        if len(set(variables)) != len(variables):
            raise self.error("the variables of a macro need different names", node)
        slots = tuple(self.new_slot() for _ in variables)
        inner = {**names, **dict(zip(variables, slots, strict=True))}
        bodies = [self.compile(part, inner) for part in node.arguments[macro.variables :]]
        cost = macro.cost + sum(body.weight for body in bodies)
        run = macro.build(source.run, slots, tuple(body.run for body in bodies), cost)
        return Code(
            _placed(run, node.position, source.path),
            macro.result,
            weight=source.weight + 6,
            plain=macro.result == "bool",
        )

    def bind(self, node: Call, names: Names) -> Code:
        """cel.bind(name, value, expression): expression with a name for a value."""
        if len(node.arguments) != 3 or not isinstance(node.arguments[0], Name):
            raise self.error("cel.bind needs a name, a value and an expression", node, WRONG_ARGUMENTS)
        name, value = node.arguments[0].name, self.compile(node.arguments[1], names)
        slot = self.new_slot()
        body = self.compile(node.arguments[2], {**names, name: slot})

        def run(frame: Frame) -> Any:
            frame[slot] = value.run(frame)
            return body.run(frame)

        return Code(run, body.kind, weight=2 + value.weight + body.weight, plain=body.plain and value.plain)

    def has(self, node: Call, names: Names) -> Code:
        """has(a.b): whether a has b. That a itself exists is required, as in CEL."""
        target = node.arguments[0] if len(node.arguments) == 1 else None
        if isinstance(target, Select):
            base, key = self.compile(target.operand, names), target.field
        elif isinstance(target, Index) and type(fixed := _fixed_key(target.index)) is str:
            base, key = self.compile(target.operand, names), fixed
        else:
            raise self.error("has() needs a field", node, WRONG_ARGUMENTS, "has(a.b)")
        if (path := _fixed_path(target, names)) is not None:
            self.references.add(path)
        run, position, owner = base.run, target.position, base.path

        def check(frame: Frame) -> bool:
            value = run(frame)
            if type(value) is not dict:
                raise _located(not_readable(value, preview(key)), position, owner)
            return key in value

        return Code(check, "bool", weight=base.weight + 2, plain=True)

    def get(self, node: Call, names: Names) -> Code:
        """get(a.b, default): the default wherever a.b stops existing."""
        if len(node.arguments) != 2:
            raise self.error("get() needs a value and a default", node, WRONG_ARGUMENTS, "get(a.b, default)")
        value, default = (self.compile(part, names) for part in node.arguments)
        run, fallback = value.run, default.run

        def attempt(frame: Frame) -> Any:
            try:
                return run(frame)
            except AbsentValue:
                charge(frame, 70)
            return fallback(frame)

        kind = value.kind if value.kind == default.kind else "any"
        return Code(
            attempt, kind, weight=2 + value.weight + default.weight, plain=value.plain and default.plain
        )

    def coalesce(self, node: Call, names: Names) -> Code:
        """coalesce(a, b, …): the first that exists and is not null; null if none."""
        if not node.arguments:
            raise self.error("coalesce() needs values", node, WRONG_ARGUMENTS, "coalesce(a.b, c, 0)")
        codes = [self.compile(part, names) for part in node.arguments]
        runs = [code.run for code in codes]

        def first(frame: Frame) -> Any:
            for run in runs:
                try:
                    value = run(frame)
                except AbsentValue:
                    charge(frame, 70)
                    continue
                if value is not None:
                    return value
            return None

        return Code(
            first, weight=2 + sum(code.weight for code in codes), plain=all(code.plain for code in codes)
        )


_COMPILE: dict[type, Callable[..., Code]] = {
    Literal: _Compiler.literal,
    Name: _Compiler.access,
    Select: _Compiler.access,
    Index: _Compiler.access,
    ListLiteral: _Compiler.list_literal,
    MapLiteral: _Compiler.map_literal,
    Unary: _Compiler.unary,
    Chain: _Compiler.chain,
    Logic: _Compiler.logic,
    Conditional: _Compiler.conditional,
    Call: _Compiler.call,
}
_SPECIAL = {"has": _Compiler.has, "get": _Compiler.get, "coalesce": _Compiler.coalesce}
_NAMESPACES = frozenset(name.split(".")[0] for name in OVERLOADS if "." in name) | {"cel"}


# Errors


def _located(error: Exception, position: int, path: str) -> EvaluationError:
    """error with the place of the operation, unless it already has a closer one."""
    if not isinstance(error, EvaluationError):
        unpaired = isinstance(error, UnicodeError)
        error = EvaluationError("half a surrogate pair is no text" if unpaired else "out of range")
    if error.position < 0:
        error.position = position
        error.path = error.path or path
    return error


class _At:
    """Gives the errors raised inside a place."""

    __slots__ = ("path", "position")

    def __init__(self, position: int, path: str = "") -> None:
        self.position = position
        self.path = path

    def __enter__(self) -> None:
        return None

    def __exit__(self, kind: object, error: BaseException | None, trace: object) -> None:
        if isinstance(error, EvaluationError):
            _located(error, self.position, self.path)


def _placed(run: Run, position: int, path: str) -> Run:
    def placed(frame: Frame) -> Any:
        try:
            return run(frame)
        except EvaluationError as error:
            raise _located(error, position, path) from None

    return placed


# Reading


def path_text(root: str, keys: Sequence[Any]) -> str:
    """How a path is written: nodes["node-1"].output.items[0]."""
    text = root
    for key in keys:
        if type(key) is int:
            text += f"[{key}]"
        elif key.replace("_", "a").isalnum() and key.isascii() and not key[0].isdigit():
            text += f".{key}"
        else:
            text += f'["{key}"]'
    return text


def _fixed_key(node: Node) -> str | int | None:
    """The key of an index that is written out."""
    if isinstance(node, Literal) and type(node.value) in (str, int):
        return node.value  # type: ignore[no-any-return]
    return None


def _fixed_path(node: Node, names: Names) -> Reference | None:
    """The reference node is, if all of it is fixed and starts in the scope."""
    keys: list[str | int] = []
    while not isinstance(node, Name):
        if isinstance(node, Select):
            keys.append(node.field)
        elif isinstance(node, Index) and (key := _fixed_key(node.index)) is not None:
            keys.append(key)
        else:
            return None
        node = node.operand
    if node.name in names and not node.absolute:
        return None
    return Reference((node.name, *reversed(keys)), node.position)


def _scope_read(root: str, position: int, steps: list[tuple[Any, int]]) -> Run:
    """Read a variable and string keys from it: quickly, or if that fails step by step to say where."""

    def slowly(frame: Frame) -> Any:
        charge(frame, 20 + 6 * len(steps))
        try:
            value = frame[SCOPE][root]
        except KeyError:
            raise AbsentValue(f"unknown variable '{root}'", position, path=root) from None
        return _walk(value, steps, root)

    if not steps:

        def run(frame: Frame) -> Any:
            try:
                return frame[SCOPE][root]
            except KeyError:
                return slowly(frame)

    elif len(steps) == 1:
        ((first, _),) = steps

        def run(frame: Frame) -> Any:
            try:
                return frame[SCOPE][root][first]
            except (KeyError, TypeError):
                return slowly(frame)

    elif len(steps) == 2:
        (first, _), (second, _) = steps

        def run(frame: Frame) -> Any:
            try:
                return frame[SCOPE][root][first][second]
            except (KeyError, TypeError):
                return slowly(frame)

    else:
        (first, _), (second, _), (third, _), *others = steps
        rest = [key for key, _ in others]

        def run(frame: Frame) -> Any:
            try:
                value = frame[SCOPE][root][first][second][third]
                for key in rest:
                    value = value[key]
                return value
            except (KeyError, TypeError):
                return slowly(frame)

    return run


def _read(base: Code, steps: list[tuple[Any, int]]) -> Code:
    """Read fixed keys and indexes, one after the other, from a computed value or a macro's variable."""
    for key, position in steps:
        path = path_text(base.path, [key]) if base.path else ""
        base = base._replace(
            run=(_field if type(key) is str else _element)(base.run, key, position, path),
            kind="any",
            path=path,
            weight=base.weight + 1,
            constant=None,
        )
    return base


def _slot_read(slot: int, name: str, steps: list[tuple[Any, int]]) -> Code:
    """Read a macro's variable and what follows it; the first field in the same function."""
    if not steps or type(steps[0][0]) is not str:
        return _read(Code(lambda frame: frame[slot], path=name, plain=True), steps)
    key, position = steps[0]
    path = path_text(name, [key])

    def run(frame: Frame) -> Any:
        try:
            return frame[slot][key]
        except (KeyError, TypeError):
            with _At(position, path):
                return member(frame[slot], key)

    return _read(Code(run, path=path, weight=2, plain=True), steps[1:])


def _field(source: Run, key: str, position: int, path: str) -> Run:
    def run(frame: Frame) -> Any:
        value = source(frame)
        try:
            return value[key]
        except (KeyError, TypeError):
            with _At(position, path):
                return member(value, key)

    return run


def _element(source: Run, key: int, position: int, path: str) -> Run:
    def run(frame: Frame) -> Any:
        value = source(frame)
        if type(value) is list and 0 <= key < len(value):
            return value[key]
        with _At(position, path):
            return item(frame, value, key)

    return run


def _walk(value: Any, steps: list[tuple[Any, int]], root: str) -> Any:
    for at, (key, position) in enumerate(steps):
        if type(value) is dict and key in value:
            value = value[key]
            continue
        with _At(position, path_text(root, [done for done, _ in steps[: at + 1]])):
            value = member(value, key)
    return value


# Operators

_ARITHMETIC = frozenset("+-*/%")
_ORDER: dict[str, Callable[[Any, Any], Any]] = {
    "<": operator.lt,
    "<=": operator.le,
    ">": operator.gt,
    ">=": operator.ge,
}
_OPERATORS: dict[str, Operator] = {
    "+": add,
    "-": subtract,
    "*": multiply,
    "/": divide,
    "%": remainder,
    "==": equals,
    "!=": differs,
    "in": is_in,
    **{sign: ordering(sign, compare) for sign, compare in _ORDER.items()},
}


def _operation(sign: str, position: int, left: Code, right: Code) -> Code:
    path = left.path or right.path
    weight = left.weight + right.weight + 2
    if sign in ("==", "!="):
        run = _equality(sign == "==", left.run, right.run, position, path)
        return Code(run, "bool", weight=weight, plain=True)
    if sign in _ORDER:
        run = _order(_ORDER[sign], _OPERATORS[sign], left.run, right.run, position, path)
        return Code(run, "bool", weight=weight, plain=True)
    kind = "bool" if sign == "in" else "any"
    if left.kind == right.kind and left.kind in ("int", "double", "string", "list", "bytes") and sign != "in":
        kind = left.kind
    run = _binary(_OPERATORS[sign], left.run, right.run, position, path)
    return Code(run, kind, weight=weight + 2, plain=kind == "bool")


def _binary(apply: Operator, left: Run, right: Run, position: int, path: str) -> Run:
    def run(frame: Frame) -> Any:
        a = left(frame)
        b = right(frame)
        try:
            return apply(frame, a, b)
        except (EvaluationError, ArithmeticError) as error:
            raise _located(error, position, path) from None

    return run


def _equality(wanted: bool, left: Run, right: Run, position: int, path: str) -> Run:
    slowly = _OPERATORS["==" if wanted else "!="]

    def run(frame: Frame) -> Any:
        a = left(frame)
        b = right(frame)
        if type(a) is int and type(b) is int:
            return (a == b) is wanted
        try:
            return slowly(frame, a, b)
        except EvaluationError as error:
            raise _located(error, position, path) from None

    return run


def _order(
    compare: Callable[[Any, Any], Any], slowly: Operator, left: Run, right: Run, position: int, path: str
) -> Run:
    def run(frame: Frame) -> Any:
        a = left(frame)
        b = right(frame)
        if type(a) in NUMBERS and type(b) in NUMBERS:
            return compare(a, b)
        try:
            return slowly(frame, a, b)
        except EvaluationError as error:
            raise _located(error, position, path) from None

    return run


def _guarded(apply: Callable[[Frame, Any], Any], operand: Run, position: int, path: str) -> Run:
    def run(frame: Frame) -> Any:
        value = operand(frame)
        try:
            return apply(frame, value)
        except (EvaluationError, ArithmeticError) as error:
            raise _located(error, position, path) from None

    return run


def _negation(operand: Code, position: int) -> Run:
    source, path = operand.run, operand.path

    def run(frame: Frame) -> bool:
        value = source(frame)
        if type(value) is not bool:
            raise EvaluationError(f"! needs a bool, found {type_name(value)}", position, path=path)
        return not value

    return run


# Calls


def _namespace(node: Node, names: Names) -> str | None:
    """The name before a call that may be a namespace."""
    return node.name if isinstance(node, Name) and (node.absolute or node.name not in names) else None


def _calling(name: str, overloads: list[Overload], arguments: list[Code], position: int) -> Run:
    """A call of the first overload whose parameters accept the arguments.

    Which one that is depends on their types alone, so it is decided once for each combination that occurs;
    with more than two arguments there may be too many combinations to remember.
    """
    path = next((code.path for code in arguments if code.path), "")
    runs = [code.run for code in arguments]
    candidates = [(_checks(overload, len(runs)), overload.run) for overload in overloads]

    def resolve(kinds: tuple[type, ...]) -> Callable[..., Any]:
        for checks, implementation in candidates:
            if all(kinds[at] in accepted for at, accepted in checks):
                return implementation
        found = ", ".join(map(named_type, kinds))
        raise EvaluationError(f"{name} is not defined for ({found})", position, path=path)

    resolved: dict[Any, Callable[..., Any]] = {}

    if len(runs) == 1:
        (only,) = runs

        def run(frame: Frame) -> Any:
            value = only(frame)
            implementation = resolved.get(type(value))
            if implementation is None:
                implementation = resolved[type(value)] = resolve((type(value),))
            try:
                return implementation(frame, value)
            except (EvaluationError, ArithmeticError, ValueError) as error:
                raise _located(error, position, path) from None

    elif len(runs) == 2:
        first, second = runs

        def run(frame: Frame) -> Any:
            a = first(frame)
            b = second(frame)
            kinds = type(a), type(b)
            implementation = resolved.get(kinds)
            if implementation is None:
                implementation = resolved[kinds] = resolve(kinds)
            try:
                return implementation(frame, a, b)
            except (EvaluationError, ArithmeticError, ValueError) as error:
                raise _located(error, position, path) from None

    else:

        def run(frame: Frame) -> Any:
            values = [run(frame) for run in runs]
            implementation = resolve(tuple(map(type, values)))
            try:
                return implementation(frame, *values)
            except (EvaluationError, ArithmeticError, ValueError) as error:
                raise _located(error, position, path) from None

    return run


def _computed(run: Run, kind: str) -> Code:
    """A call on constants, computed now; if it fails, it fails when it is evaluated."""
    try:
        value = run(new_frame({}, DEFAULT_LIMITS, 0))
    except EvaluationError:
        return Code(run, kind, weight=100)
    return Code(lambda frame: value, kind, constant=(value,))


def _checks(overload: Overload, count: int) -> list[tuple[int, frozenset[type]]]:
    """Which argument must be of which types. Patterns are checked where they are compiled."""
    return [
        (at, accepted)
        for at in range(count)
        if overload.parameter(at) != "pattern" and (accepted := ACCEPTED[overload.parameter(at)]) is not None
    ]


@lru_cache(maxsize=1024)
def _near_misses(name: str) -> str | None:
    known = [*OVERLOADS, *(macro.name for macro in MACROS), *SPECIAL_FORMS, "cel.bind"]
    close = get_close_matches(name[:64], known, n=1, cutoff=0.7)
    return close[0] if close else None
