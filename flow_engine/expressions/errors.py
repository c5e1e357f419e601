"""What can go wrong with an expression: when it is written (syntax) and when it is evaluated."""

from __future__ import annotations

SYNTAX_ERROR = "SYNTAX_ERROR"
UNKNOWN_FUNCTION = "UNKNOWN_FUNCTION"
WRONG_ARGUMENTS = "WRONG_ARGUMENTS"
INVALID_LITERAL = "INVALID_LITERAL"
INVALID_REGEX = "INVALID_REGEX"
EXPRESSION_TOO_LONG = "EXPRESSION_TOO_LONG"
EXPRESSION_TOO_DEEP = "EXPRESSION_TOO_DEEP"

Place = tuple[str | int, ...]


class ExpressionError(Exception):
    """Base of both kinds.

    source: the expression's text without `${` and `}`; position: 0-based character offset in it, -1 if
    unknown.
    """

    def __init__(self, message: str, position: int = -1, source: str = "") -> None:
        super().__init__(message)
        self.message = message
        self.position = position
        self.source = source

    def __str__(self) -> str:
        where = f" at character {self.position + 1}" if self.position >= 0 else ""
        what = f" of `{_shortened(self.source)}`" if self.source else ""
        return f"{self.message}{where}{what}"


class ExpressionSyntaxError(ExpressionError):
    """The text is no expression. code: a constant of this module; hint: what to write instead, if known."""

    def __init__(
        self,
        message: str,
        position: int = -1,
        source: str = "",
        *,
        code: str = SYNTAX_ERROR,
        hint: str | None = None,
    ) -> None:
        super().__init__(message, position, source)
        self.code = code
        self.hint = hint


class EvaluationError(ExpressionError):
    """The expression failed on these values.

    path: the value it failed on as the expression names it (`nodes.order.output.body.total`), "" if it has
    none; place: where in the rendered template the expression stands, () for an expression on its own.
    """

    def __init__(self, message: str, position: int = -1, source: str = "", *, path: str = "") -> None:
        super().__init__(message, position, source)
        self.path = path
        self.place: Place = ()

    def __str__(self) -> str:
        value = f" ({self.path})" if self.path else ""
        place = f", in {'.'.join(map(str, self.place))}" if self.place else ""
        where = f", at character {self.position + 1}" if self.position >= 0 else ""
        what = f" of `{_shortened(self.source)}`" if self.source else ""
        return f"{self.message}{value}{where}{what}{place}"


class AbsentValue(EvaluationError):
    """A variable, key or list element that is read does not exist. The only error that `get` answers for."""


class LimitExceeded(EvaluationError):
    """The evaluation would have cost more than its limits allow. Nothing in the language can catch it."""


def _shortened(source: str) -> str:
    return source if len(source) <= 120 else source[:117] + "..."
