from __future__ import annotations

import pytest

from flow_engine.nodes.untrusted_json import InvalidJson, nests_deeper, parse_json


@pytest.mark.parametrize("number", [2**53 + 1, -(2**63) - 1, 10**30, 1, 0])
def test_integers_keep_their_value(number: int) -> None:
    parsed = parse_json(str(number).encode())
    assert parsed == number
    assert type(parsed) is int


def test_depth_is_allowed_up_to_the_limit() -> None:
    assert parse_json(b"[" * 64 + b"]" * 64) is not None
    assert parse_json(b'{"a":' * 64 + b"1" + b"}" * 64) is not None


@pytest.mark.parametrize("depth", [65, 500, 200_000])
def test_greater_depth_is_refused(depth: int) -> None:
    with pytest.raises(InvalidJson, match="nests deeper than 64"):
        parse_json(b"[" * depth + b"]" * depth)


@pytest.mark.parametrize(
    "text",
    [
        b"",
        b"{",
        b"NaN",
        b"Infinity",
        b"1e999",
        b"{'a':1}",
        b"[1,]",
        b'"\xff"',
        b'"\\ud800"',
        "\ufeff1",
        '"\ud800"',
    ],
)
def test_what_is_no_json_is_refused(text: bytes | str) -> None:
    with pytest.raises(InvalidJson):
        parse_json(text)


def test_scalars_nest_nothing() -> None:
    assert not nests_deeper(1, 0)
    assert nests_deeper([], 0)
    assert not nests_deeper([1, {"a": 2}], 2)
    assert nests_deeper([1, {"a": 2}], 1)
