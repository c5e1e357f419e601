"""The macros: loops over a list or a map, with a variable for each element.

They pay for each turn as much as their body weighs. `map`, `filter` and the like, which never stop early, pay
for all turns before the first.
"""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass
from typing import Any

from flow_engine.expressions.errors import EvaluationError, LimitExceeded
from flow_engine.expressions.functions.lists import sort_by
from flow_engine.expressions.functions.maps import checked_key
from flow_engine.expressions.functions.registry import document
from flow_engine.expressions.limits import STEPS, Frame, Run, charge
from flow_engine.expressions.values import keys_of, map_key, type_name

Build = Callable[[Run, tuple[int, ...], tuple[Run, ...], int], Run]


@dataclass(frozen=True, slots=True)
class Macro:
    """`target.name(variables…, bodies…)`. cost: steps of one turn beside its bodies'."""

    name: str
    variables: int
    bodies: int
    result: str
    build: Build
    cost: int = 2

    def takes(self, arguments: int) -> bool:
        return arguments == self.variables + self.bodies


def _elements(frame: Frame, value: Any) -> list[Any]:
    """What a loop with one variable goes through: elements, or keys."""
    if type(value) is list:
        return value
    if type(value) is dict:
        charge(frame, len(value) >> 3)
        return keys_of(value)
    raise EvaluationError(f"a list or a map expected, found {type_name(value)}")


def _pairs(frame: Frame, value: Any) -> list[tuple[Any, Any]]:
    """What a loop with two variables goes through: indexes and elements, or keys and values."""
    if type(value) is list:
        charge(frame, 2 * len(value))
        return list(enumerate(value))
    if type(value) is dict:
        charge(frame, 2 * len(value))
        return list(zip(keys_of(value), value.values(), strict=True))
    raise EvaluationError(f"a list or a map expected, found {type_name(value)}")


def _turns(source: Run, slots: tuple[int, ...]) -> Callable[[Frame], list[Any]]:
    """The elements to loop over; with two variables each is a pair."""
    go_through = _elements if len(slots) == 1 else _pairs
    return lambda frame: go_through(frame, source(frame))


def _set(frame: Frame, slots: tuple[int, ...], turn: Any) -> None:
    if len(slots) == 1:
        frame[slots[0]] = turn
    else:
        frame[slots[0]], frame[slots[1]] = turn


def _map(source: Run, slots: tuple[int, ...], bodies: tuple[Run, ...], cost: int) -> Run:
    (slot,), (body,) = slots, bodies

    def run(frame: Frame) -> list[Any]:
        elements = _elements(frame, source(frame))
        charge(frame, cost * len(elements))
        result: list[Any] = []
        append = result.append
        for frame[slot] in elements:
            append(body(frame))
        return result

    return run


def _chosen_map(source: Run, slots: tuple[int, ...], bodies: tuple[Run, ...], cost: int) -> Run:
    turns, (test, body) = _turns(source, slots), bodies

    def run(frame: Frame) -> list[Any]:
        elements = turns(frame)
        charge(frame, cost * len(elements))
        result = []
        for turn in elements:
            _set(frame, slots, turn)
            if _decided(test(frame)):
                result.append(body(frame))
        return result

    return run


def _paired_map(source: Run, slots: tuple[int, ...], bodies: tuple[Run, ...], cost: int) -> Run:
    (body,) = bodies
    return _chosen_map(source, slots, (lambda frame: True, body), cost)


def _filter(source: Run, slots: tuple[int, ...], bodies: tuple[Run, ...], cost: int) -> Run:
    (slot,), (test,) = slots, bodies

    def run(frame: Frame) -> list[Any]:
        elements = _elements(frame, source(frame))
        charge(frame, cost * len(elements))
        result = []
        for element in elements:
            frame[slot] = element
            if _decided(test(frame)):
                result.append(element)
        return result

    return run


def _quantifier(decides: bool) -> Build:
    """`exists` (a true decides) and `all` (a false decides), which like || and && look past failures."""

    def build(source: Run, slots: tuple[int, ...], bodies: tuple[Run, ...], cost: int) -> Run:
        turns, (test,) = _turns(source, slots), bodies

        def run(frame: Frame) -> bool:
            failure: EvaluationError | None = None
            for turn in turns(frame):
                frame[STEPS] -= cost
                if frame[STEPS] < 0:
                    charge(frame, 0)
                _set(frame, slots, turn)
                try:
                    value = test(frame)
                except LimitExceeded:
                    raise
                except EvaluationError as error:
                    charge(frame, 70)
                    failure = failure or error
                    continue
                if value is decides:
                    return bool(decides)
                if type(value) is not bool:
                    failure = failure or _undecided(value)
            if failure is not None:
                raise failure
            return not decides

        return run

    return build


def _exists_one(source: Run, slots: tuple[int, ...], bodies: tuple[Run, ...], cost: int) -> Run:
    turns, (test,) = _turns(source, slots), bodies

    def run(frame: Frame) -> bool:
        elements = turns(frame)
        charge(frame, cost * len(elements))
        count = 0
        for turn in elements:
            _set(frame, slots, turn)
            count += _decided(test(frame))
        return count == 1

    return run


def _transform_map(source: Run, slots: tuple[int, ...], bodies: tuple[Run, ...], cost: int) -> Run:
    turns, body = _turns(source, slots), bodies[-1]
    test = bodies[0] if len(bodies) == 2 else lambda frame: True

    def run(frame: Frame) -> dict[Any, Any]:
        elements = turns(frame)
        charge(frame, cost * len(elements))
        result = {}
        for turn in elements:
            _set(frame, slots, turn)
            if _decided(test(frame)):
                result[map_key(turn[0])] = body(frame)
        return result

    return run


def _transform_entries(source: Run, slots: tuple[int, ...], bodies: tuple[Run, ...], cost: int) -> Run:
    turns, body = _turns(source, slots), bodies[-1]
    test = bodies[0] if len(bodies) == 2 else lambda frame: True

    def run(frame: Frame) -> dict[Any, Any]:
        elements = turns(frame)
        charge(frame, cost * len(elements))
        result: dict[Any, Any] = {}
        for turn in elements:
            _set(frame, slots, turn)
            if not _decided(test(frame)):
                continue
            entry = body(frame)
            if type(entry) is not dict:
                raise EvaluationError(f"transformMapEntry needs a map, found {type_name(entry)}")
            charge(frame, len(entry))
            if not result.keys().isdisjoint(entry):
                raise EvaluationError("transformMapEntry made a key twice")
            result.update(entry)
        return result

    return run


def _sort_by(source: Run, slots: tuple[int, ...], bodies: tuple[Run, ...], cost: int) -> Run:
    keys = _map(lambda frame: frame[slots[0]], slots, bodies, cost)

    def run(frame: Frame) -> list[Any]:
        elements = _elements(frame, source(frame))
        frame[slots[0]] = elements
        return sort_by(frame, elements, keys(frame))

    return run


def _group_by(source: Run, slots: tuple[int, ...], bodies: tuple[Run, ...], cost: int) -> Run:
    (slot,), (key,) = slots, bodies

    def run(frame: Frame) -> dict[Any, Any]:
        elements = _elements(frame, source(frame))
        charge(frame, cost * len(elements))
        groups: dict[Any, Any] = {}
        for element in elements:
            frame[slot] = element
            groups.setdefault(checked_key(key(frame)), []).append(element)
        return groups

    return run


def _decided(value: Any) -> bool:
    if type(value) is not bool:
        raise _undecided(value)
    return value


def _undecided(value: Any) -> EvaluationError:
    return EvaluationError(f"a condition must be a bool, found {type_name(value)}")


MACROS = (
    Macro("map", 1, 1, "list", _map),
    Macro("map", 1, 2, "list", _chosen_map),
    Macro("filter", 1, 1, "list", _filter),
    Macro("all", 1, 1, "bool", _quantifier(False), 5),
    Macro("all", 2, 1, "bool", _quantifier(False), 5),
    Macro("exists", 1, 1, "bool", _quantifier(True), 5),
    Macro("exists", 2, 1, "bool", _quantifier(True), 5),
    Macro("exists_one", 1, 1, "bool", _exists_one, 3),
    Macro("exists_one", 2, 1, "bool", _exists_one, 3),
    Macro("existsOne", 1, 1, "bool", _exists_one, 3),
    Macro("existsOne", 2, 1, "bool", _exists_one, 3),
    Macro("transformList", 2, 1, "list", _paired_map, 4),
    Macro("transformList", 2, 2, "list", _chosen_map, 4),
    Macro("transformMap", 2, 1, "map", _transform_map, 8),
    Macro("transformMap", 2, 2, "map", _transform_map, 8),
    Macro("transformMapEntry", 2, 1, "map", _transform_entries, 8),
    Macro("transformMapEntry", 2, 2, "map", _transform_entries, 8),
    Macro("sortBy", 1, 1, "list", _sort_by, 3),
    Macro("groupBy", 1, 1, "map", _group_by, 9),
)

GROUP = "Loops and absent values"

document(
    GROUP,
    "list.map(x, value) -> list",
    "list.map(x, condition, value) -> list",
    doc="A value for each element, or for each that meets a condition. Loops go through the keys of a map.",
    examples=[("[1, 2, 3].map(x, x * 2)", "[2,4,6]"), ("[1, 2, 3].map(x, x > 1, x * 2)", "[4,6]")],
)
document(
    GROUP,
    "list.filter(x, condition) -> list",
    doc="The elements that meet a condition.",
    examples=[("[1, 2, 3].filter(x, x > 1)", "[2,3]")],
)
document(
    GROUP,
    "list.all(x, condition) -> bool",
    "list.all(i, x, condition) -> bool",
    doc="Whether every element meets a condition. With two variables: index and element, or key and value.",
    examples=[("[1, 2].all(x, x > 0)", "true"), ("{'a': 1}.all(k, v, v > 0)", "true")],
)
document(
    GROUP,
    "list.exists(x, condition) -> bool",
    "list.exists(i, x, condition) -> bool",
    doc="Whether an element meets a condition.",
    examples=[("[1, 2].exists(x, x > 1)", "true")],
)
document(
    GROUP,
    "list.exists_one(x, condition) -> bool",
    "list.existsOne(i, x, condition) -> bool",
    doc="Whether exactly one element meets a condition.",
    examples=[("[1, 2, 3].exists_one(x, x > 2)", "true")],
)
document(
    GROUP,
    "list.transformList(i, x, value) -> list",
    "list.transformList(i, x, condition, value) -> list",
    doc="Like map, with index and element, or key and value.",
    examples=[("['a', 'b'].transformList(i, x, x + string(i))", '["a0","b1"]')],
)
document(
    GROUP,
    "map.transformMap(k, v, value) -> map",
    "map.transformMap(k, v, condition, value) -> map",
    doc="A map with the same keys and new values.",
    examples=[("{'a': 1, 'b': 2}.transformMap(k, v, v * 10)", '{"a":10,"b":20}')],
)
document(
    GROUP,
    "list.transformMapEntry(i, x, entry) -> map",
    "list.transformMapEntry(i, x, condition, entry) -> map",
    doc="A map put together from a map for each element.",
    examples=[("['a', 'b'].transformMapEntry(i, x, {x: i})", '{"a":0,"b":1}')],
)
document(
    GROUP,
    "has(a.b) -> bool",
    doc="Whether the map a has the key b; a itself must exist. A key whose value is null exists.",
    examples=[("has({'a': null}.a)", "true"), ("has({}.a)", "false")],
)
document(
    GROUP,
    "get(value, default) -> any",
    doc="The default if a variable, key or element read by the value does not exist, or is read of null.",
    examples=[("get({'a': {}}.a.b.c, 'none')", '"none"'), ("get({'a': null}.a, 1)", "null")],
)
document(
    GROUP,
    "coalesce(any...) -> any",
    doc="The first that exists and is not null; null if there is none.",
    examples=[("coalesce({}.a, null, 3)", "3")],
)
document(
    GROUP,
    "cel.bind(x, value, expression) -> any",
    doc="The expression, with a name for a value that it uses more than once.",
    examples=[("cel.bind(x, 3 + 4, x * x)", "49")],
)
