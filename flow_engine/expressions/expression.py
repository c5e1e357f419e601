"""A compiled expression."""

from __future__ import annotations

from collections.abc import Mapping
from functools import lru_cache
from typing import Any

from flow_engine.expressions.compiler import Program, Reference, compile_source
from flow_engine.expressions.errors import EvaluationError, LimitExceeded
from flow_engine.expressions.limits import DEFAULT_LIMITS, Frame, Limits, new_frame
from flow_engine.expressions.values import JsonValue, to_json


class Expression:
    """What `${ … }` holds. Immutable; compile_expression makes it.

    references: what it reads of the scope; kind: the static type of its value ("bool", "string", …) or "any".
    """

    __slots__ = ("_plain", "_run", "_slots", "kind", "references", "source")

    def __init__(self, source: str, program: Program) -> None:
        self.source = source
        self.references: frozenset[Reference] = program.references
        self.kind = program.kind
        self._run = program.run
        self._slots = program.slots
        self._plain = program.plain

    def __repr__(self) -> str:
        return f"Expression({self.source!r})"

    def evaluate(self, scope: Mapping[str, Any], limits: Limits = DEFAULT_LIMITS) -> JsonValue:
        """The value over scope: JSON, perhaps sharing parts with scope, so neither may be changed afterwards.

        Raises EvaluationError; LimitExceeded is one.
        """
        return self.evaluate_in(new_frame(scope, limits, self._slots), self._plain)

    def evaluate_in(self, frame: Frame, unmeasured: bool) -> JsonValue:
        """The value in a frame with `slots` slots. unmeasured: take a value from the scope as it is."""
        try:
            value = self._run(frame)
            return value if unmeasured and type(value) is not float else to_json(frame, value)
        except EvaluationError as error:
            error.source = error.source or self.source
            raise
        except RecursionError:
            raise LimitExceeded("the expression nests too deep", 0, self.source) from None

    @property
    def slots(self) -> int:
        """How many variables its macros bind."""
        return self._slots

    @property
    def plain(self) -> bool:
        """Whether its value comes from the scope as it is, or is small and JSON."""
        return self._plain


MAX_CACHED_LENGTH = 512


def compile_expression(source: str) -> Expression:
    """The expression source stands for; short ones are compiled once. Raises ExpressionSyntaxError."""
    return (
        _compiled(source) if len(source) <= MAX_CACHED_LENGTH else Expression(source, compile_source(source))
    )


@lru_cache(maxsize=2048)
def _compiled(source: str) -> Expression:
    return Expression(source, compile_source(source))
