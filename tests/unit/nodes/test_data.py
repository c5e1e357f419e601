from __future__ import annotations

import asyncio
import hashlib
import hmac
from typing import Any

import pytest
from hypothesis import given
from hypothesis import strategies as st
from pydantic import ValidationError

from flow_engine.nodes.contract import Completed
from flow_engine.nodes.data_split import DataSplitConfig, _parts
from tests.unit.nodes.contexts import completed, config, failed


async def output(name: str, raw: dict[str, Any], **changes: Any) -> Any:
    return (await completed(name, raw, **changes)).output


async def code(name: str, raw: dict[str, Any]) -> str:
    return (await failed(name, raw)).failure.code


# data.merge

PEOPLE = [{"id": 1, "name": "Ada"}, {"id": 2, "name": "Alan"}]
AGES = [{"id": 2, "age": 41}, {"id": 3, "age": 70}, {"id": 1.0, "age": 36}, {"id": "1", "age": 0}, {"age": 5}]
NESTED = [{"a": {"x": 1}}, {"a": {"y": 2}}]


@pytest.mark.parametrize(
    ("raw", "merged"),
    [
        ({"sources": [[1, 2], 3, [[4]]]}, [1, 2, 3, [4]]),
        ({"sources": []}, []),
        ({"mode": "first", "sources": [None, 0, 1]}, 0),
        ({"mode": "first", "sources": [None]}, None),
        ({"mode": "objects", "sources": [{"a": 1, "b": 1}, {"b": 2}]}, {"a": 1, "b": 2}),
        ({"mode": "objects", "onConflict": "first", "sources": [{"a": 1}, {"a": 2}]}, {"a": 1}),
        ({"mode": "objects", "sources": NESTED}, {"a": {"y": 2}}),
        ({"mode": "objects", "deep": True, "sources": NESTED}, {"a": {"x": 1, "y": 2}}),
        ({"mode": "objects", "onConflict": "fail", "sources": [{"a": 1}, {"a": 1.0}]}, {"a": 1.0}),
        ({"mode": "position", "sources": [PEOPLE, [{"n": 0}]]}, [{**PEOPLE[0], "n": 0}, PEOPLE[1]]),
        (
            {"mode": "position", "unmatched": "drop", "sources": [PEOPLE, [{"n": 0}]]},
            [{**PEOPLE[0], "n": 0}],
        ),
        (
            {"mode": "key", "keys": ["id"], "unmatched": "drop", "sources": [PEOPLE, AGES]},
            [{"id": 1.0, "name": "Ada", "age": 36}, {"id": 2, "name": "Alan", "age": 41}],
        ),
    ],
)
async def test_merge(raw: dict[str, Any], merged: Any) -> None:
    assert await output("data.merge", raw) == merged


async def test_merge_by_key_keeps_what_matches_nothing_in_order_of_appearance() -> None:
    merged = await output("data.merge", {"mode": "key", "keys": ["id"], "sources": [PEOPLE, AGES]})
    assert [row.get("id") for row in merged] == [1, 2, 3, "1", None]


async def test_merge_takes_its_predecessors_when_it_names_no_sources() -> None:
    assert await output("data.merge", {}, predecessors={"a": [1], "b": [2]}) == [1, 2]


@pytest.mark.parametrize(
    ("raw", "expected"),
    [
        ({"mode": "objects", "sources": [{}, []]}, "MERGE_TYPE"),
        ({"mode": "key", "keys": ["id"], "sources": [{}]}, "MERGE_TYPE"),
        ({"mode": "position", "sources": [[1]]}, "MERGE_TYPE"),
        ({"mode": "objects", "onConflict": "fail", "sources": [{"a": 1}, {"a": True}]}, "MERGE_CONFLICT"),
        (
            {
                "mode": "objects",
                "onConflict": "fail",
                "deep": True,
                "sources": [{"a": {"b": 1}}, {"a": {"b": 2}}],
            },
            "MERGE_CONFLICT",
        ),
    ],
)
async def test_merge_refuses(raw: dict[str, Any], expected: str) -> None:
    assert await code("data.merge", raw) == expected


# data.split


async def test_split_into_parts_of_a_size() -> None:
    assert await output("data.split", {"items": [1, 2, 3, 4, 5], "size": 2}) == [[1, 2], [3, 4], [5]]


@given(items=st.lists(st.integers()), count=st.integers(1, 20))
def test_split_into_so_many_parts_loses_nothing_and_is_even(items: list[int], count: int) -> None:
    parts = _parts(DataSplitConfig(items=items, parts=count))
    assert [item for part in parts for item in part] == items
    assert len(parts) == count
    assert max(map(len, parts)) - min(map(len, parts)) <= 1


async def test_split_a_text() -> None:
    assert await output("data.split", {"text": "a, b,, c", "separator": ", "}) == ["a", "b,", "c"]


@pytest.mark.parametrize(
    "raw",
    [
        {},
        {"items": []},
        {"items": [], "size": 1, "parts": 1},
        {"text": "a"},
        {"items": [], "text": "", "size": 1},
    ],
)
def test_split_wants_to_know_what_and_how(raw: dict[str, Any]) -> None:
    with pytest.raises(ValidationError):
        config("data.split", raw)


# data.validate

COUNT = {
    "type": "object",
    "required": ["count"],
    "properties": {"count": {"type": "integer", "minimum": 1}},
}


async def test_a_value_that_fits_goes_on_at_valid() -> None:
    outcome = await completed("data.validate", {"value": {"count": 2**64}, "schema": COUNT})
    assert outcome == Completed({"valid": True, "problems": [], "value": {"count": 2**64}}, "valid")


async def test_a_value_that_does_not_fit_fails_with_all_its_problems() -> None:
    raw = {"value": [{"count": 0}, {}], "schema": {"type": "array", "items": COUNT}}
    failure = (await failed("data.validate", raw)).failure
    assert failure.code == "VALUE_INVALID"
    assert [problem["path"] for problem in failure.details["problems"]] == ["/0/count", "/1/count"]


async def test_or_goes_on_at_invalid_when_asked() -> None:
    raw = {"value": {"count": 0}, "schema": COUNT, "failOnInvalid": False}
    outcome = await completed("data.validate", raw)
    assert outcome.handle == "invalid"
    assert outcome.output["valid"] is False


@pytest.mark.parametrize(
    "schema", [{"type": "nonsense"}, {"$ref": "https://example.com/schema.json"}, {"pattern": "(?=a)"}]
)
def test_schemas_that_cannot_be_held_are_refused(schema: dict[str, Any]) -> None:
    with pytest.raises(ValidationError):
        config("data.validate", {"value": 1, "schema": schema})


# data.hash


@pytest.mark.parametrize(
    ("raw", "digest"),
    [
        ({"value": "hello"}, hashlib.sha256(b"hello").hexdigest()),
        (
            {"value": "aGVsbG8=", "valueEncoding": "base64", "algorithm": "md5"},
            hashlib.md5(b"hello").hexdigest(),
        ),
        ({"value": "hello", "secret": "key"}, hmac.new(b"key", b"hello", "sha256").hexdigest()),
        ({"value": "hello", "algorithm": "sha1", "encoding": "base64"}, "qvTGHdzF6KLavt4PO0gs2a6pQ00="),
        ({"value": "hello", "algorithm": "sha1", "encoding": "base64url"}, "qvTGHdzF6KLavt4PO0gs2a6pQ00"),
        ({"value": {"b": 1.0, "a": [2]}}, hashlib.sha256(b'{"a":[2],"b":1}').hexdigest()),
    ],
)
async def test_hash(raw: dict[str, Any], digest: str) -> None:
    assert await output("data.hash", raw) == digest


@pytest.mark.parametrize("value", ["no base64!", 7])
async def test_hash_refuses_bytes_that_are_none(value: Any) -> None:
    assert await code("data.hash", {"value": value, "valueEncoding": "base64"}) == "HASH_INPUT"


# data.transform

ORDERS = [
    {"id": 1, "customer": {"city": "Paris"}, "amount": 20, "tags": ["a", "b"]},
    {"id": 2, "customer": {"city": "Oslo"}, "amount": 7, "tags": []},
    {"id": 3, "customer": {"city": "Paris"}, "amount": 5.5},
    {"id": 4, "customer": {}, "amount": None},
]
IDS = {"op": "map", "value": "${ item.id }"}
STATISTICS: dict[str, dict[str, Any]] = {
    "n": {"fn": "count"},
    "known": {"fn": "count", "field": "amount"},
    "total": {"fn": "sum", "field": "amount"},
    "mean": {"fn": "avg", "field": "id"},
    "low": {"fn": "min", "field": "amount"},
    "high": {"fn": "max", "field": "amount"},
    "firstId": {"fn": "first", "field": "id"},
    "lastId": {"fn": "last", "field": "id"},
    "all": {"fn": "list", "field": "amount"},
}


@pytest.mark.parametrize(
    ("operations", "expected"),
    [
        ([], ORDERS),
        (
            [{"op": "pick", "fields": ["id", "customer.city"]}],
            [{"id": 1, "city": "Paris"}, {"id": 2, "city": "Oslo"}, {"id": 3, "city": "Paris"}, {"id": 4}],
        ),
        (
            [{"op": "omit", "fields": ["customer", "amount", "tags"]}, {"op": "limit", "count": 1}],
            [{"id": 1}],
        ),
        (
            [{"op": "rename", "fields": {"id": "key"}}, {"op": "pick", "fields": ["key"]}],
            [{"key": 1}, {"key": 2}, {"key": 3}, {"key": 4}],
        ),
        ([{"op": "filter", "where": "${ index % 2 == 1 }"}, IDS], [2, 4]),
        (
            [
                {"op": "map", "value": {"n": "${ item.id + vars.base }", "fixed": 1}},
                {"op": "limit", "count": 1},
            ],
            [{"n": 101, "fixed": 1}],
        ),
        ([{"op": "sort", "by": [{"field": "amount"}]}, IDS], [3, 2, 1, 4]),
        (
            [
                {"op": "sort", "by": [{"field": "customer.city", "descending": True}, {"field": "amount"}]},
                IDS,
            ],
            [3, 1, 2, 4],
        ),
        (
            [
                {"op": "group", "by": ["customer.city"]},
                {"op": "map", "value": "${ [item.key, size(item.items)] }"},
            ],
            [[{"city": "Paris"}, 2], [{"city": "Oslo"}, 1], [{}, 1]],
        ),
        (
            [{"op": "aggregate", "values": STATISTICS}],
            [
                {
                    "n": 4,
                    "known": 3,
                    "total": 32.5,
                    "mean": 2.5,
                    "low": 5.5,
                    "high": 20,
                    "firstId": 1,
                    "lastId": 4,
                    "all": [20, 7, 5.5],
                }
            ],
        ),
        ([{"op": "flatten", "field": "tags"}], ["a", "b"]),
        (
            [{"op": "map", "value": "${ [item.id, item.id] }"}, {"op": "flatten"}, {"op": "unique"}],
            [1, 2, 3, 4],
        ),
        ([{"op": "unique", "by": ["customer.city"]}, IDS], [1, 2, 4]),
        ([{"op": "limit", "count": 2, "offset": 3}, {"op": "pick", "fields": ["id"]}], [{"id": 4}]),
    ],
)
async def test_transform(operations: list[dict[str, Any]], expected: Any) -> None:
    raw = {"items": ORDERS, "operations": operations}
    assert await output("data.transform", raw, scope={"vars": {"base": 100}}) == expected


async def test_transform_keeps_big_numbers_exact() -> None:
    total = {"op": "aggregate", "values": {"total": {"fn": "sum"}}}
    raw = {"items": [2**53, 1], "operations": [total]}
    assert await output("data.transform", raw) == [{"total": 2**53 + 1}]


async def test_transform_tells_true_from_one() -> None:
    raw = {"items": [1, True, "1", 1.0, None], "operations": [{"op": "unique"}]}
    assert [repr(item) for item in await output("data.transform", raw)] == ["1", "True", "'1'", "None"]


async def test_transform_of_nothing_aggregates_to_one_row() -> None:
    values = {"n": {"fn": "count"}, "m": {"fn": "max"}}
    raw = {"items": [], "operations": [{"op": "aggregate", "values": values}]}
    assert await output("data.transform", raw) == [{"n": 0, "m": None}]


@pytest.mark.parametrize(
    ("items", "operation", "expected"),
    [
        ([1], {"op": "pick", "fields": ["a"]}, "TRANSFORM_TYPE"),
        ([{"a": []}, {"a": []}], {"op": "sort", "by": [{"field": "a"}]}, "TRANSFORM_TYPE"),
        ([None], {"op": "sort"}, "TRANSFORM_TYPE"),
        (["x"], {"op": "aggregate", "values": {"s": {"fn": "sum"}}}, "TRANSFORM_TYPE"),
        ([10**400, 1.5], {"op": "aggregate", "values": {"s": {"fn": "sum"}}}, "TRANSFORM_TYPE"),
        ([{"a": 1}], {"op": "flatten", "field": "a"}, "TRANSFORM_TYPE"),
        ([1], {"op": "filter", "where": "${ item }"}, "EXPRESSION_FAILED"),
        ([1], {"op": "map", "value": "${ item.missing }"}, "EXPRESSION_FAILED"),
    ],
)
async def test_transform_refuses(items: list[Any], operation: dict[str, Any], expected: str) -> None:
    assert await code("data.transform", {"items": items, "operations": [operation]}) == expected


async def test_transform_does_not_multiply_without_end() -> None:
    several = "${ [vars.text, vars.text, vars.text, vars.text, vars.text] }"
    raw = {"items": [0] * 10, "operations": [{"op": "map", "value": several}]}
    outcome = await failed("data.transform", raw, scope={"vars": {"text": "x" * 100_000}})
    assert outcome.failure.code == "TRANSFORM_TOO_LARGE"


async def test_transform_of_many_items_can_be_cancelled() -> None:
    raw = {"items": list(range(10_000)), "operations": [{"op": "map", "value": "${ item }"}]}
    running = asyncio.create_task(completed("data.transform", raw))
    await asyncio.sleep(0)
    await asyncio.sleep(0)
    running.cancel()
    with pytest.raises(asyncio.CancelledError):
        await running
