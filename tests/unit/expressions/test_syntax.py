"""What is no expression, with the code, position and hint it is refused with; and nothing ever crashes."""

from __future__ import annotations

from contextlib import suppress

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from flow_engine.expressions import ExpressionError, ExpressionSyntaxError, compile_expression


@pytest.mark.parametrize(
    ("source", "code", "position", "hint"),
    [
        ("", "SYNTAX_ERROR", 0, None),
        ("   ", "SYNTAX_ERROR", 0, None),
        ("1 +", "SYNTAX_ERROR", 3, None),
        ("1 2", "SYNTAX_ERROR", 2, None),
        ("(1", "SYNTAX_ERROR", 2, None),
        ("a.", "SYNTAX_ERROR", 2, None),
        ("a.1", "SYNTAX_ERROR", 1, None),
        ("a..b", "SYNTAX_ERROR", 2, None),
        ("[1, 2", "SYNTAX_ERROR", 5, None),
        ("{'a' 1}", "SYNTAX_ERROR", 5, None),
        ("a ? b", "SYNTAX_ERROR", 5, None),
        ("a = 1", "SYNTAX_ERROR", 2, None),
        ("a & b", "SYNTAX_ERROR", 2, None),
        ("a @ b", "SYNTAX_ERROR", 2, None),
        ("'abc", "SYNTAX_ERROR", 0, None),
        ("'a\nb'", "SYNTAX_ERROR", 0, None),
        (r"'\q'", "SYNTAX_ERROR", 0, None),
        (r"'\ud800'", "SYNTAX_ERROR", 0, None),
        (r"'\U00110000'", "SYNTAX_ERROR", 0, None),
        (r"b'\u0041'", "SYNTAX_ERROR", 0, None),
        ("if", "SYNTAX_ERROR", 0, None),
        ("a.?b", "SYNTAX_ERROR", 2, "write get(a.b, default)"),
        ("a[?0]", "SYNTAX_ERROR", 2, "write get(a[b], default)"),
        ("Message{a: 1}", "SYNTAX_ERROR", 7, "write a map: {'field': value}"),
        ("nodes.node-1.output", "SYNTAX_ERROR", 12, None),
        ("9223372036854775808", "INVALID_LITERAL", 0, None),
        ("1e999", "INVALID_LITERAL", 0, None),
        ("0x" + "f" * 100, "INVALID_LITERAL", 0, None),
        ("sise(a)", "UNKNOWN_FUNCTION", 0, "did you mean 'size'?"),
        ("a.startWith('x')", "UNKNOWN_FUNCTION", 2, "did you mean 'startsWith'?"),
        ("a.mapp(x, x)", "UNKNOWN_FUNCTION", 2, "did you mean 'map'?"),
        ("math.flor(1)", "UNKNOWN_FUNCTION", 5, "did you mean 'math.floor'?"),
        ("nonsense(1)", "UNKNOWN_FUNCTION", 0, None),
        ("size()", "WRONG_ARGUMENTS", 0, None),
        ("a.trim(1)", "WRONG_ARGUMENTS", 2, "write string.trim() -> string"),
        ("a.map(x)", "WRONG_ARGUMENTS", 2, "list.map(x, …)"),
        ("a.filter(x.y, true)", "WRONG_ARGUMENTS", 2, "list.filter(x, …)"),
        ("has(a)", "WRONG_ARGUMENTS", 0, "has(a.b)"),
        ("get(a)", "WRONG_ARGUMENTS", 0, "get(a.b, default)"),
        ("coalesce()", "WRONG_ARGUMENTS", 0, "coalesce(a.b, c, 0)"),
        ("a.matches('(')", "INVALID_REGEX", 10, None),
        (r"a.matches('(?=x)')", "INVALID_REGEX", 10, None),
        ("1 + " * 1100 + "1", "EXPRESSION_TOO_LONG", 4096, None),
        ("(" * 100 + "1" + ")" * 100, "EXPRESSION_TOO_DEEP", 64, None),
        ("[" * 2000, "EXPRESSION_TOO_DEEP", 64, None),
        ("a" + "[0]" * 1000, "EXPRESSION_TOO_DEEP", None, None),
        ("a" + ".b()" * 1000, "EXPRESSION_TOO_DEEP", None, None),
        ("a" + ".b" * 1000, "EXPRESSION_TOO_DEEP", None, None),
        ("!-" * 1000 + "a", "EXPRESSION_TOO_DEEP", None, None),
        ("{1:" * 100, "EXPRESSION_TOO_DEEP", None, None),
        ("f(" * 100, "EXPRESSION_TOO_DEEP", None, None),
    ],
)
def test_what_is_no_expression_is_refused(
    source: str, code: str, position: int | None, hint: str | None
) -> None:
    with pytest.raises(ExpressionSyntaxError) as caught:
        compile_expression(source)

    assert caught.value.code == code
    assert position is None or caught.value.position == position
    assert hint is None or caught.value.hint == hint
    assert caught.value.source == source[:4096]


@pytest.mark.parametrize(
    "source",
    [
        " + ".join(["1"] * 1000),
        " && ".join(["true"] * 500),
        "true ? 1 : " * 300 + "2",
        "!" * 4000 + "true",
        "-" * 4000 + "1",
        "(" * 60 + "1" + ")" * 60,
        "[" + "1," * 2000 + "]",
        "'" + "x" * 4000 + "'",
    ],
)
def test_long_is_not_deep(source: str) -> None:
    compile_expression(source).evaluate({})


ANYTHING = st.text(
    alphabet=st.sampled_from("abxi019.,:?!&|=<>+-*/%()[]{}'\"\\ \n`$eu_") | st.characters(), max_size=60
)
PIECES = st.lists(
    st.sampled_from(
        "a input x . [ ] ( ) { } , : ? + - * / % ! == < in && || 1 2.5 'a' true null map(x, x) has( get( "
        "size( .filter(x, x > 1) .sort() .first() json.decode( timestamp( duration( b'x' cel.bind(x, ".split(
            " "
        )
    ),
    max_size=25,
).map("".join)


@settings(max_examples=600, deadline=None, derandomize=True)
@given(source=ANYTHING | PIECES)
def test_any_text_is_an_expression_or_an_error_of_ours(source: str) -> None:
    with suppress(ExpressionError):
        compile_expression(source).evaluate({"a": [3, 1, 2], "x": {"a": None}, "input": "text", "i": 0})
