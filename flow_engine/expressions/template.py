"""Configurations with `${ expression }` in their strings.

A string that is exactly one `${ … }` takes the value as it is. Otherwise the text around stays, and values
that are no strings are written as JSON. `$${` stands for `${`. Keys are never expressions, and no value that
comes in at run time is ever read as one.
"""

from __future__ import annotations

from collections.abc import Callable, Mapping
from typing import Any

from flow_engine.expressions.compiler import Reference
from flow_engine.expressions.errors import (
    EXPRESSION_TOO_DEEP,
    EXPRESSION_TOO_LONG,
    EvaluationError,
    ExpressionSyntaxError,
    LimitExceeded,
    Place,
)
from flow_engine.expressions.expression import Expression, compile_expression
from flow_engine.expressions.functions.encodings import json_text
from flow_engine.expressions.lexer import END, SIGN, tokens
from flow_engine.expressions.limits import BYTES, DEFAULT_LIMITS, MAX_SOURCE_LENGTH, Frame, Limits, new_frame
from flow_engine.expressions.values import JsonValue

MAX_TEMPLATE_DEPTH = 128
UNMEASURED_REFERENCES = 4
"""Up to so many values may be taken from the scope without being measured: they can only multiply it so
often.
"""

Render = Callable[[Frame], Any]


class TemplateErrors(Exception):
    """All that is wrong with a template: places in it and the errors there."""

    def __init__(self, errors: list[tuple[Place, ExpressionSyntaxError]]) -> None:
        super().__init__(f"{len(errors)} invalid expressions, the first: {errors[0][1]}")
        self.errors = errors


class Template:
    """A compiled configuration value. Immutable; compile_template makes it.

    references: of all its expressions; expressions: each with its place; is_constant: whether there are none.
    """

    __slots__ = ("_render", "_slots", "_value", "expressions", "is_constant", "references")

    def __init__(
        self, value: JsonValue, render: Render | None, expressions: list[tuple[Place, Expression]]
    ) -> None:
        self.expressions = tuple(expressions)
        self.references: frozenset[Reference] = frozenset().union(
            *(expression.references for _, expression in expressions)
        )
        self.is_constant = render is None
        self._value = value
        self._render = render
        self._slots = max((expression.slots for _, expression in expressions), default=0)

    def render(self, scope: Mapping[str, Any], limits: Limits = DEFAULT_LIMITS) -> JsonValue:
        """The value with its expressions evaluated over scope; limits hold for all of them together.

        What is constant, and what expressions take from scope, is shared, not copied. Raises EvaluationError
        with the `place` it happened at.
        """
        if self._render is None:
            return self._value
        value: JsonValue = self._render(new_frame(scope, limits, self._slots))
        return value


def compile_template(value: JsonValue) -> Template:
    """Compile every string of value. Raises TemplateErrors with all errors at once."""
    compiler = _Compiler()
    render = compiler.compile(value, ())
    if compiler.errors:
        raise TemplateErrors(compiler.errors)
    return Template(value, render, compiler.expressions)


class _Compiler:
    def __init__(self) -> None:
        self.errors: list[tuple[Place, ExpressionSyntaxError]] = []
        self.expressions: list[tuple[Place, Expression]] = []
        self.plain = 0

    def compile(self, value: Any, place: Place) -> Render | None:
        """How to render value; None if it is constant."""
        if type(value) is str:
            return self.text(value, place) if "${" in value else None
        if type(value) not in (dict, list):
            return None
        if len(place) >= MAX_TEMPLATE_DEPTH:
            message = f"the configuration nests deeper than {MAX_TEMPLATE_DEPTH}"
            self.errors.append((place, ExpressionSyntaxError(message, code=EXPRESSION_TOO_DEEP)))
            return None
        parts = value.items() if type(value) is dict else enumerate(value)
        moving = [(key, each) for key, part in parts if (each := self.compile(part, (*place, key)))]
        if not moving:
            return None
        copy = dict if type(value) is dict else list

        def render(frame: Frame) -> Any:
            result = copy(value)
            for key, part in moving:
                result[key] = part(frame)
            return result

        return render

    def text(self, text: str, place: Place) -> Render | None:
        try:
            pieces = _pieces(text)
            parts: list[Any] = [
                piece if literal else self.expression(piece, place) for literal, piece in pieces
            ]
        except ExpressionSyntaxError as error:
            # Its traceback would keep everything alive that was under way, until the collector comes.
            self.errors.append((place, error.with_traceback(None)))
            return None
        if all(literal for literal, _ in pieces):
            constant = "".join(piece for _, piece in pieces)
            return lambda frame: constant
        return parts[0] if len(parts) == 1 else lambda frame: _joined(frame, parts, place)

    def expression(self, source: str, place: Place) -> Render:
        expression = compile_expression(source)
        self.expressions.append((place, expression))
        self.plain += expression.plain
        unmeasured = expression.plain and self.plain <= UNMEASURED_REFERENCES

        def render(frame: Frame) -> Any:
            try:
                return expression.evaluate_in(frame, unmeasured)
            except EvaluationError as error:
                error.place = place
                raise

        return render


def _joined(frame: Frame, parts: list[Any], place: Place) -> str:
    """Text and values as one string; its size is taken from the output's bytes."""
    texts = []
    for part in parts:
        text = part
        if callable(part):
            value = part(frame)
            text = value if type(value) is str else json_text(frame, value)
        frame[BYTES] -= len(text)
        if frame[BYTES] < 0:
            error = LimitExceeded("the result of the template is too large")
            error.place = place
            raise error
        texts.append(text)
    return "".join(texts)


def _pieces(text: str) -> list[tuple[bool, str]]:
    """text as literal pieces (True) and sources of expressions (False). Raises ExpressionSyntaxError."""
    pieces: list[tuple[bool, str]] = []
    literal, start = "", 0
    while (opening := text.find("${", start)) >= 0:
        if opening > start and text[opening - 1] == "$":
            literal += text[start : opening - 1] + "${"
            start = opening + 2
            continue
        literal += text[start:opening]
        if literal:
            pieces.append((True, literal))
        literal = ""
        end = _end(text, opening)
        pieces.append((False, text[opening + 2 : end]))
        start = end + 1
    literal += text[start:]
    if literal:
        pieces.append((True, literal))
    return pieces


def _end(text: str, opening: int) -> int:
    """Where the `}` stands that closes the `${` at opening: outside strings, its braces in pairs."""
    source = text[opening + 2 : opening + 2 + MAX_SOURCE_LENGTH + 1]
    depth = 0
    try:
        for token in tokens(source):
            if token.kind == SIGN and token.text == "{":
                depth += 1
            elif token.kind == SIGN and token.text == "}":
                if depth == 0:
                    return opening + 2 + token.position
                depth -= 1
            elif token.kind == END:
                break
    except ExpressionSyntaxError as error:
        if len(source) <= MAX_SOURCE_LENGTH:
            raise error
    if len(source) > MAX_SOURCE_LENGTH:
        message = f"the expression is longer than {MAX_SOURCE_LENGTH} characters, or not closed by }}"
        raise ExpressionSyntaxError(message, MAX_SOURCE_LENGTH, source[:-1], code=EXPRESSION_TOO_LONG)
    raise ExpressionSyntaxError("the expression is not closed by }", opening, text[: opening + 200])
