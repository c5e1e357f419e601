from __future__ import annotations

import asyncio
import math
from collections.abc import Callable, Hashable, Mapping, Sequence
from typing import Annotated, Any, ClassVar, Literal

from pydantic import Field

from flow_engine.expressions import Template
from flow_engine.nodes.contract import Completed, NodeConfig, NodeContext, NodeError, NodeType
from flow_engine.nodes.deferred import DeferredCondition, DeferredValue, evaluate, holds
from flow_engine.nodes.fields import MISSING, FieldPath, field_of, identity, identity_of_fields
from flow_engine.nodes.outputs import ANYTHING, list_of
from flow_engine.payload import JsonValue, encode

MAX_MAPPED_BYTES = 4 << 20
"""What `map` may make in all, as JSON: expressions could otherwise multiply a small input without end."""
EXPRESSIONS_AT_ONCE = 100
"""After so many items the event loop gets its turn."""

ITEM_NAMES = frozenset({"item", "index"})


class Pick(NodeConfig):
    op: Literal["pick"]
    fields: list[FieldPath] = Field(min_length=1, description="The fields to keep, in this order.")


class Omit(NodeConfig):
    op: Literal["omit"]
    fields: list[str] = Field(min_length=1, description="The fields to leave out.")


class Rename(NodeConfig):
    op: Literal["rename"]
    fields: dict[str, str] = Field(min_length=1, description="New names by old ones.")


class Filter(NodeConfig):
    op: Literal["filter"]
    where: DeferredCondition = Field(description="Keeps an item if this holds; sees `item` and `index`.")


class Map(NodeConfig):
    op: Literal["map"]
    value: DeferredValue = Field(
        description="What becomes of an item; its expressions see `item` and `index`."
    )


class SortField(NodeConfig):
    field: FieldPath = Field(description="The field to compare.")
    descending: bool = Field(default=False, description="From large to small.")


class Sort(NodeConfig):
    op: Literal["sort"]
    by: list[SortField] = Field(
        default_factory=list,
        description="Compared in this order; equal items keep their order. Empty: whole items.",
    )


class Group(NodeConfig):
    op: Literal["group"]
    by: list[FieldPath] = Field(min_length=1, description="Items that agree in these fields form a group.")


class Aggregation(NodeConfig):
    fn: Literal["count", "sum", "avg", "min", "max", "first", "last", "list"] = Field(
        description="What to compute."
    )
    field: FieldPath | None = Field(default=None, description="Of which field; absent: of whole items.")


class Aggregate(NodeConfig):
    op: Literal["aggregate"]
    by: list[FieldPath] = Field(
        default_factory=list, description="For each group by these fields; empty: over all."
    )
    values: dict[str, Aggregation] = Field(min_length=1, description="The results, by the field they go to.")


class Flatten(NodeConfig):
    op: Literal["flatten"]
    field: FieldPath | None = Field(
        default=None,
        description="A field with a list: each element becomes an item. Absent: the items are lists "
        "themselves.",
    )


class Unique(NodeConfig):
    op: Literal["unique"]
    by: list[FieldPath] = Field(
        default_factory=list, description="Compare these fields only; empty: whole items."
    )


class Limit(NodeConfig):
    op: Literal["limit"]
    count: int = Field(ge=0, description="So many items at most.")
    offset: int = Field(default=0, ge=0, description="After leaving out so many.")


Operation = Pick | Omit | Rename | Filter | Map | Sort | Group | Aggregate | Flatten | Unique | Limit


class DataTransformConfig(NodeConfig):
    items: list[Any] = Field(description="The list to work on.")
    operations: list[Annotated[Operation, Field(discriminator="op")]] = Field(
        max_length=100, description="Done one after another, each on what the one before made."
    )


class DataTransform(NodeType[DataTransformConfig]):
    """Works on a list: picks and renames fields, filters, maps, sorts, groups, aggregates, flattens.

    The output is the list after the last operation. `group` makes `{"key": {…}, "items": […]}` of each
    group and `aggregate` an object of the group's fields and the results. Fields are named by paths,
    `customer.city`. Missing values sort last and are left out of `sum`, `avg`, `min`, `max` and `list`.
    """

    type = "data.transform"
    title = "Transform"
    config_model = DataTransformConfig
    example: ClassVar[dict[str, Any]] = {
        "items": [
            {"city": "Paris", "amount": 20},
            {"city": "Oslo", "amount": 7},
            {"city": "Paris", "amount": 5},
        ],
        "operations": [
            {"op": "filter", "where": "${ item.amount > 6 }"},
            {"op": "aggregate", "by": ["city"], "values": {"total": {"fn": "sum", "field": "amount"}}},
            {"op": "sort", "by": [{"field": "total", "descending": True}]},
        ],
    }
    deferred: ClassVar[Mapping[str, frozenset[str]]] = {
        "operations.*.where": ITEM_NAMES,
        "operations.*.value": ITEM_NAMES,
    }
    error_codes: ClassVar[Mapping[str, str]] = {
        "EXPRESSION_FAILED": "An expression failed on an item, or a `where` gave neither true nor false.",
        "TRANSFORM_TYPE": "An item is not of the kind that the operation works on.",
        "TRANSFORM_TOO_LARGE": "`map` makes more than 4 MiB of JSON.",
    }

    def output_schema(self, config: Mapping[str, Any]) -> Mapping[str, Any]:
        return list_of(ANYTHING)

    async def run(self, context: NodeContext, config: DataTransformConfig) -> Completed:
        items: list[JsonValue] = config.items
        for operation in config.operations:
            match operation:
                case Filter():
                    items = await _filtered(items, operation.where, context.scope)
                case Map():
                    items = await _mapped(items, operation.value, context.scope)
                case _:
                    items = _applied(items, operation)
                    await asyncio.sleep(0)
        return Completed(items)


# With expressions


async def _filtered(items: Sequence[JsonValue], where: Template, scope: Mapping[str, Any]) -> list[JsonValue]:
    kept = []
    for index, item in enumerate(items):
        if holds(where, {**scope, "item": item, "index": index}, "where"):
            kept.append(item)
        if index % EXPRESSIONS_AT_ONCE == EXPRESSIONS_AT_ONCE - 1:
            await asyncio.sleep(0)
    return kept


async def _mapped(items: Sequence[JsonValue], value: Template, scope: Mapping[str, Any]) -> list[JsonValue]:
    mapped, size = [], 0
    for index, item in enumerate(items):
        result = evaluate(value, {**scope, "item": item, "index": index})
        size += len(encode(result))
        if size > MAX_MAPPED_BYTES:
            raise NodeError("TRANSFORM_TOO_LARGE", f"map makes more than {MAX_MAPPED_BYTES:,} bytes")
        mapped.append(result)
        if index % EXPRESSIONS_AT_ONCE == EXPRESSIONS_AT_ONCE - 1:
            await asyncio.sleep(0)
    return mapped


# Without


def _applied(items: list[JsonValue], operation: Operation) -> list[JsonValue]:
    match operation:
        case Pick(fields=fields):
            return [_picked(item, fields) for item in _objects(items, "pick")]
        case Omit(fields=fields):
            left_out = set(fields)
            return [{k: v for k, v in item.items() if k not in left_out} for item in _objects(items, "omit")]
        case Rename(fields=names):
            return [{names.get(k, k): v for k, v in item.items()} for item in _objects(items, "rename")]
        case Sort(by=by):
            return _sorted(items, by)
        case Group(by=by):
            return [{"key": _picked(group[0], by), "items": group} for group in _groups(items, by)]
        case Aggregate(by=by, values=values):
            groups = _groups(items, by) if by else [items]
            return [_aggregated(group, by, values) for group in groups]
        case Flatten(field=field):
            return [inner for item in items for inner in _list(item, field)]
        case Unique(by=by):
            return [group[0] for group in _groups(items, by)]
        case Limit(count=count, offset=offset):
            return items[offset : offset + count]
        case _:
            raise AssertionError(operation)


def _objects(items: Sequence[JsonValue], op: str) -> Sequence[dict[str, JsonValue]]:
    for index, item in enumerate(items):
        if not isinstance(item, dict):
            raise NodeError("TRANSFORM_TYPE", f"{op} works on objects, but item {index} is none")
    return items


def _picked(item: JsonValue, fields: Sequence[str]) -> dict[str, JsonValue]:
    """The fields by the last name of their paths; missing ones are left out."""
    found = ((path, field_of(item, path)) for path in fields)
    return {path.rpartition(".")[2]: value for path, value in found if value is not MISSING}


def _key(item: JsonValue, by: Sequence[str]) -> Hashable:
    return identity_of_fields(item, by) if by else identity(item)


def _groups(items: Sequence[JsonValue], by: Sequence[str]) -> list[list[JsonValue]]:
    groups: dict[Hashable, list[JsonValue]] = {}
    for item in items:
        groups.setdefault(_key(item, by), []).append(item)
    return list(groups.values())


def _list(item: JsonValue, field: str | None) -> list[JsonValue]:
    value = item if field is None else field_of(item, field)
    if value is MISSING or (field is not None and value is None):
        return []
    if isinstance(value, list):
        return value
    if field is None:
        return [value]
    raise NodeError("TRANSFORM_TYPE", f"flatten needs lists, but a field {field!r} is none")


def _sorted(items: list[JsonValue], by: Sequence[SortField]) -> list[JsonValue]:
    """Stable; missing and null last in either direction."""
    if not by:
        return sorted(items, key=_order)
    for one in reversed(by):
        present = [item for item in items if _is_there(field_of(item, one.field))]
        absent = [item for item in items if not _is_there(field_of(item, one.field))]
        present.sort(key=lambda item, path=one.field: _order(field_of(item, path)), reverse=one.descending)  # type: ignore[misc]
        items = present + absent
    return items


def _is_there(value: Any) -> bool:
    return value is not MISSING and value is not None


_RANKS = {bool: 0, int: 1, float: 1, str: 2}


def _order(value: JsonValue) -> tuple[int, Any]:
    """Booleans before numbers before strings; strings by code point."""
    rank = _RANKS.get(type(value))
    if rank is None:
        raise NodeError("TRANSFORM_TYPE", "sort compares booleans, numbers and strings only")
    return rank, value


# Aggregation


def _aggregated(
    group: Sequence[JsonValue], by: Sequence[str], values: Mapping[str, Aggregation]
) -> dict[str, JsonValue]:
    key = _picked(group[0], by) if group else {}
    return {**key, **{name: _aggregate(group, wanted) for name, wanted in values.items()}}


def _aggregate(group: Sequence[JsonValue], wanted: Aggregation) -> JsonValue:
    found = [item if wanted.field is None else field_of(item, wanted.field) for item in group]
    present = [value for value in found if _is_there(value)]
    match wanted.fn:
        case "count":
            return len(group) if wanted.field is None else len(present)
        case "sum":
            return _number(lambda: _sum(present))
        case "avg":
            return _number(lambda: _sum(present) / len(present)) if present else None
        case "min":
            return min(present, key=_order, default=None)
        case "max":
            return max(present, key=_order, default=None)
        case "first":
            return present[0] if present else None
        case "last":
            return present[-1] if present else None
        case "list":
            return present


def _sum(values: Sequence[JsonValue]) -> int | float:
    """Exact for integers; floats are added without accumulating rounding errors."""
    if not all(type(value) in (int, float) for value in values):
        raise NodeError("TRANSFORM_TYPE", "sum and avg add numbers only")
    return sum(values) if all(type(value) is int for value in values) else math.fsum(values)


def _number(compute: Callable[[], int | float]) -> int | float:
    try:
        return compute()
    except OverflowError as error:
        raise NodeError("TRANSFORM_TYPE", "the result is larger than a double can be") from error
