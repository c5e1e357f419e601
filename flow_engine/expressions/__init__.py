"""The expression language: CEL over JSON values, bounded in time and memory. See docs/expressions.md.

    compile_expression("input.amount > 100").evaluate({"input": {"amount": 120}})   # True
    compile_template({"url": "https://shop.example/${ input.id }"}).render({"input": {"id": 7}})

Nothing in it reaches Python: expressions see plain values through a fixed table of functions.
"""

from __future__ import annotations

from flow_engine.expressions.compiler import Reference, path_text
from flow_engine.expressions.errors import (
    EXPRESSION_TOO_DEEP,
    EXPRESSION_TOO_LONG,
    INVALID_LITERAL,
    INVALID_REGEX,
    SYNTAX_ERROR,
    UNKNOWN_FUNCTION,
    WRONG_ARGUMENTS,
    AbsentValue,
    EvaluationError,
    ExpressionError,
    ExpressionSyntaxError,
    LimitExceeded,
)
from flow_engine.expressions.expression import Expression, compile_expression
from flow_engine.expressions.limits import DEFAULT_LIMITS, MAX_NESTING, MAX_SOURCE_LENGTH, Limits
from flow_engine.expressions.template import Template, TemplateErrors, compile_template
from flow_engine.expressions.values import JsonValue

__all__ = [
    "DEFAULT_LIMITS",
    "EXPRESSION_TOO_DEEP",
    "EXPRESSION_TOO_LONG",
    "INVALID_LITERAL",
    "INVALID_REGEX",
    "MAX_NESTING",
    "MAX_SOURCE_LENGTH",
    "SYNTAX_ERROR",
    "UNKNOWN_FUNCTION",
    "WRONG_ARGUMENTS",
    "AbsentValue",
    "EvaluationError",
    "Expression",
    "ExpressionError",
    "ExpressionSyntaxError",
    "JsonValue",
    "LimitExceeded",
    "Limits",
    "Reference",
    "Template",
    "TemplateErrors",
    "compile_expression",
    "compile_template",
    "path_text",
]
