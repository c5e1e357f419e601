"""JSON text from outside: other systems' answers, files, messages."""

from __future__ import annotations

from collections.abc import Iterable
from typing import Any

import msgspec

from flow_engine.payload import JsonValue, decode

MAX_DEPTH = 64


class InvalidJson(ValueError):
    """The text is no JSON that the engine takes; the message says why."""


def parse_json(text: bytes | str, max_depth: int = MAX_DEPTH) -> JsonValue:
    """The value of untrusted JSON text; integers of any size keep their value.

    The caller bounds the length. Raises InvalidJson for wrong syntax, invalid UTF-8, numbers that no
    double holds, and more than `max_depth` nested lists and objects.
    """
    try:
        value = decode(text)
    except RecursionError as error:
        raise InvalidJson(f"nests deeper than {max_depth}") from error
    except (msgspec.DecodeError, UnicodeError) as error:
        raise InvalidJson(str(error)) from error
    if nests_deeper(value, max_depth):
        raise InvalidJson(f"nests deeper than {max_depth}")
    return value


def nests_deeper(value: JsonValue, max_depth: int) -> bool:
    """Whether lists and objects stand in one another more than `max_depth` deep."""
    level = _containers([value])
    for _ in range(max_depth):
        level = [
            inner
            for outer in level
            for inner in _containers(outer.values() if isinstance(outer, dict) else outer)
        ]
    return bool(level)


def _containers(values: Iterable[Any]) -> list[Any]:
    return [value for value in values if isinstance(value, dict | list)]
