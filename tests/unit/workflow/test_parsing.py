from __future__ import annotations

import json
from typing import Any

import pytest
from hypothesis import given
from hypothesis import strategies as st

from flow_engine import payload
from flow_engine.errors import InvalidRequest, Problem
from flow_engine.workflow.parsing import parse_json


def parsed(text: bytes | str, **limits: int) -> Any:
    return parse_json(text, **{"max_bytes": 1 << 20, **limits})


def only_problem(text: bytes | str, **limits: int) -> Problem:
    with pytest.raises(InvalidRequest) as caught:
        parsed(text, **limits)
    (problem,) = caught.value.problems
    return problem


@pytest.mark.parametrize(
    "number",
    ["1", "9007199254740993", "-9007199254740993", "18446744073709551616", "123456789012345678901234567890"],
)
def test_integers_keep_their_value(number: str) -> None:
    assert parsed(number) == int(number)
    assert payload.encode(parsed(number)).decode() == number


def test_fractions_stay_fractions() -> None:
    assert repr(parsed("[1.0, 0.1, 1e22, -0.0]")) == "[1.0, 0.1, 1e+22, -0.0]"


def test_escaped_text_that_only_looks_dangerous_is_taken() -> None:
    assert parsed(rb'{"a": "\\ud800 \\u0000 [[[[ \" {{{{", "\ud83d\ude00": "]"}') == {
        "a": r'\ud800 \u0000 [[[[ " {{{{',
        "😀": "]",
    }


def test_a_byte_order_mark_is_taken() -> None:
    assert parsed(b"\xef\xbb\xbf{}") == {}


def test_text_of_the_largest_size_and_depth_is_taken() -> None:
    assert parsed("[" * 64 + "]" * 64)
    assert parsed(b"[[], [[]], []]", max_depth=3) == [[], [[]], []]
    assert parsed(b"[12]", max_bytes=4) == [12]


@pytest.mark.parametrize("text", [b"[" * 65 + b"]" * 65, b"[[], [[[]]]]", b'{"a": [{"b": [0]}]}'])
def test_deeper_text_is_refused(text: bytes) -> None:
    depth = 64 if len(text) == 130 else 3
    assert only_problem(text, max_depth=depth).code == "TOO_DEEP"


def test_longer_text_is_refused() -> None:
    assert only_problem(b"[123]", max_bytes=4).code == "TOO_LARGE"


def test_half_of_a_surrogate_pair_in_a_python_string_is_refused() -> None:
    assert only_problem('{"a": "\ud800"}').code == "LONE_SURROGATE"


@pytest.mark.parametrize(
    ("text", "position"),
    [
        (b'{"a" 1}', "line 1, column 6"),
        (b'{\n "a": 1,\n "b" 2\n}', "line 3, column 6"),
        (b'{"nodes":\n [', "line 2, column 3"),
        ('{"ä": 1 x}'.encode(), "line 1, column 9"),
        (b"[NaN]", "line 1, column 2"),
    ],
)
def test_a_syntax_error_names_line_and_column(text: bytes, position: str) -> None:
    assert position in only_problem(text).message


def test_every_number_out_of_range_is_named_by_its_path() -> None:
    with pytest.raises(InvalidRequest) as caught:
        parsed('{"a": [1e400, 1], "b/c": -1e400}')
    assert [problem.path for problem in caught.value.problems] == ["/a/0", "/b~1c"]


def test_an_integer_of_five_thousand_digits_is_refused_at_once() -> None:
    assert only_problem('{"a": ' + "9" * 5000 + "}") == Problem(
        "/a", "INVALID_NUMBER", "this number is out of range", "send it as a string"
    )


VALUES = st.recursive(
    st.none()
    | st.booleans()
    | st.integers()
    | st.floats(allow_nan=False, allow_infinity=False)
    | st.text(st.characters(exclude_characters="\0", codec="utf-8")),
    lambda inner: (
        st.lists(inner, max_size=4)
        | st.dictionaries(st.text(st.characters(codec="ascii", exclude_characters="\0")), inner, max_size=4)
    ),
    max_leaves=20,
)


@given(VALUES, st.booleans())
def test_what_json_writes_is_read_back(value: Any, ascii_only: bool) -> None:
    assert parsed(json.dumps(value, ensure_ascii=ascii_only)) == value


@given(st.binary(max_size=200) | st.text('{}[]":,\\ud8c0NaInfity-1e+.\n\0 ', max_size=80).map(str.encode))
def test_any_bytes_give_a_value_or_a_refusal(text: bytes) -> None:
    try:
        problems: tuple[Problem, ...] = (Problem("", "NONE", repr(parsed(text))),)
    except InvalidRequest as error:
        problems = error.problems
    assert problems
    assert all(problem.code and problem.message for problem in problems)
