"""Lists. None of these changes its list; each makes a new one."""

from __future__ import annotations

from typing import Any

from flow_engine.expressions.errors import AbsentValue, EvaluationError
from flow_engine.expressions.functions.registry import document, function
from flow_engine.expressions.instants import Duration, duration
from flow_engine.expressions.limits import Frame, charge
from flow_engine.expressions.values import NUMBERS, checked_int, frozen, type_name

GROUP = "Lists"


@function(
    GROUP,
    "size(list) -> int",
    "size(map) -> int",
    "size(string) -> int",
    "size(bytes) -> int",
    "list.size() -> int",
    "map.size() -> int",
    "string.size() -> int",
    "bytes.size() -> int",
    doc="How many elements, entries, characters or bytes.",
    examples=[("size([1, 2])", "2"), ("'héllo'.size()", "5")],
)
def size(frame: Frame, value: Any) -> int:
    return len(value)


@function(
    GROUP,
    "sum(list) -> any",
    "list.sum() -> any",
    doc="The sum of numbers, or of durations; 0 of an empty list.",
    examples=[("[1, 2, 3.5].sum()", "6.5"), ("sum([])", "0")],
)
def total(frame: Frame, items: list[Any]) -> Any:
    kinds = _kinds(frame, items)
    if kinds <= NUMBERS:
        result = sum(items)
        return checked_int(result) if type(result) is int else result
    if kinds == {Duration}:
        return duration(sum(item.nanoseconds for item in items))
    raise _unsuitable("sum", "numbers", items)


@function(
    GROUP,
    "avg(list) -> double",
    "list.avg() -> double",
    doc="The mean of numbers; an error for an empty list.",
    examples=[("[1, 2].avg()", "1.5")],
)
def average(frame: Frame, items: list[Any]) -> float:
    if not _kinds(frame, items) <= NUMBERS:
        raise _unsuitable("avg", "numbers", items)
    if not items:
        raise AbsentValue("the list is empty")
    return float(sum(items) / len(items))


@function(
    GROUP,
    "min(list) -> any",
    "list.min() -> any",
    doc="The smallest element; an error for an empty list.",
    examples=[("[3, 1, 2].min()", "1")],
)
def smallest(frame: Frame, items: list[Any]) -> Any:
    _check_comparable(frame, "min", items)
    if not items:
        raise AbsentValue("the list is empty")
    return min(items)


@function(
    GROUP,
    "max(list) -> any",
    "list.max() -> any",
    doc="The largest element; an error for an empty list.",
    examples=[("max(['a', 'c', 'b'])", '"c"')],
)
def largest(frame: Frame, items: list[Any]) -> Any:
    _check_comparable(frame, "max", items)
    if not items:
        raise AbsentValue("the list is empty")
    return max(items)


@function(
    GROUP,
    "list.sort() -> list",
    doc="In rising order; numbers, strings, bools, timestamps or durations.",
    examples=[("[3, 1.5, 2].sort()", "[1.5,2,3]")],
)
def sort(frame: Frame, items: list[Any]) -> list[Any]:
    _check_comparable(frame, "sort", items)
    charge_sort(frame, items)
    return sorted(items)


def sort_by(frame: Frame, items: list[Any], keys: list[Any]) -> list[Any]:
    """items in rising order of their keys; equal keys keep their order."""
    _check_comparable(frame, "sortBy", keys)
    charge_sort(frame, keys)
    order = sorted(range(len(items)), key=keys.__getitem__)
    return [items[index] for index in order]


def charge_sort(frame: Frame, keys: list[Any]) -> None:
    """Pay for comparing n log n times; objects of our own are compared by Python code."""
    comparisons = len(keys) * len(keys).bit_length()
    slow = bool(keys) and type(keys[0]) not in (int, float, str, bool, bytes)
    charge(frame, comparisons * 12 if slow else comparisons)


document(
    GROUP,
    "list.sortBy(x, key) -> list",
    doc="In rising order of a key of each element; equal keys keep their order.",
    examples=[("[{'n': 2}, {'n': 1}].sortBy(x, x.n)", '[{"n":1},{"n":2}]')],
)
document(
    GROUP,
    "list.groupBy(x, key) -> map",
    doc="A list of elements for each key (a string, int or bool), in order of first appearance.",
    examples=[("['ant', 'bee', 'asp'].groupBy(x, x.charAt(0))", '{"a":["ant","asp"],"b":["bee"]}')],
)


@function(
    GROUP,
    "list.distinct() -> list",
    doc="Without repetitions.",
    examples=[("[1, 'a', 1.0, 'a'].distinct()", '[1,"a"]')],
)
def distinct(frame: Frame, items: list[Any]) -> list[Any]:
    charge(frame, 6 * len(items))
    seen: dict[Any, Any] = {}
    for item in items:
        seen.setdefault(frozen(frame, item), item)
    return list(seen.values())


@function(
    GROUP,
    "list.flatten() -> list",
    "list.flatten(int) -> list",
    doc="Lists within the list replaced by their elements, one level deep or as many as said.",
    examples=[("[[1], [2, [3]]].flatten()", "[1,2,[3]]"), ("[[1], [2, [3]]].flatten(2)", "[1,2,3]")],
)
def flatten(frame: Frame, items: list[Any], levels: int = 1) -> list[Any]:
    if levels < 0:
        raise EvaluationError("flatten needs a level of at least 0")
    for _ in range(levels):
        charge(frame, 4 * len(items))
        if not any(type(item) is list for item in items):
            break
        flat: list[Any] = []
        for item in items:
            if type(item) is list:
                charge(frame, len(item) >> 2)
                flat.extend(item)
            else:
                flat.append(item)
        items = flat
    return items


@function(
    GROUP,
    "list.slice(int, int) -> list",
    doc="The elements from one position to before another; positions past the end are the end.",
    examples=[("[1, 2, 3].slice(1, 9)", "[2,3]")],
)
def slice_of(frame: Frame, items: list[Any], start: int, end: int) -> list[Any]:
    if start < 0 or end < start:
        raise EvaluationError(f"invalid slice: start {start}, end {end}")
    charge(frame, len(items) >> 3)
    return items[start:end]


@function(
    GROUP,
    "list.reverse() -> list",
    doc="From last to first.",
    examples=[("[1, 2].reverse()", "[2,1]")],
)
def reverse(frame: Frame, items: list[Any]) -> list[Any]:
    charge(frame, len(items) >> 3)
    return items[::-1]


@function(
    GROUP,
    "list.first() -> any",
    doc="The first element; an empty list has none, which `get` answers for.",
    examples=[("[1, 2].first()", "1"), ("get([].first(), 0)", "0")],
)
def first(frame: Frame, items: list[Any]) -> Any:
    if not items:
        raise AbsentValue("the list is empty")
    return items[0]


@function(
    GROUP,
    "list.last() -> any",
    doc="The last element; an empty list has none, which `get` answers for.",
    examples=[("[1, 2].last()", "2")],
)
def last(frame: Frame, items: list[Any]) -> Any:
    if not items:
        raise AbsentValue("the list is empty")
    return items[-1]


@function(
    GROUP,
    "lists.range(int) -> list",
    doc="The integers from 0 to before a number.",
    examples=[("lists.range(3)", "[0,1,2]")],
)
def numbers(frame: Frame, count: int) -> list[int]:
    charge(frame, max(0, count))
    return list(range(count))


@function(
    GROUP,
    "list.chunk(int) -> list",
    doc="Parts of so many elements each; the last may have fewer.",
    examples=[("[1, 2, 3].chunk(2)", "[[1,2],[3]]")],
)
def chunk(frame: Frame, items: list[Any], length: int) -> list[list[Any]]:
    if length < 1:
        raise EvaluationError("chunk needs a length of at least 1")
    charge(frame, (len(items) >> 2) + 9 * (len(items) // length))
    return [items[start : start + length] for start in range(0, len(items), length)]


@function(
    GROUP,
    "list.zip(list) -> list",
    doc="Pairs of elements of two lists, as long as the shorter.",
    examples=[("['a', 'b'].zip([1, 2])", '[["a",1],["b",2]]')],
)
def pairs(frame: Frame, items: list[Any], others: list[Any]) -> list[list[Any]]:
    charge(frame, 9 * min(len(items), len(others)))
    return [list(pair) for pair in zip(items, others, strict=False)]


def _kinds(frame: Frame, items: list[Any]) -> set[type]:
    charge(frame, len(items))
    return set(map(type, items))


def _check_comparable(frame: Frame, name: str, items: list[Any]) -> None:
    """All numbers, or all of one type that has an order; long strings pay for being compared."""
    kinds = _kinds(frame, items)
    if len(kinds) == 1 and kinds <= {str, bytes}:
        charge(frame, (sum(map(len, items)) >> 6) * len(items).bit_length())
    if kinds and not kinds <= NUMBERS and (len(kinds) > 1 or kinds & {list, dict, type(None)}):
        raise _unsuitable(name, "values of one type that has an order", items)


def _unsuitable(name: str, wanted: str, items: list[Any]) -> EvaluationError:
    found = ", ".join(sorted({type_name(item) for item in items}))
    return EvaluationError(f"{name} needs {wanted}, found {found}")
