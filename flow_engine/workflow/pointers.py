"""JSON Pointers (RFC 6901): how problems name their place."""

from __future__ import annotations

from collections.abc import Iterable, Iterator

from flow_engine.payload import JsonValue

MAX_TOKEN = 256


def step(key: str | int) -> str:
    """One reference token with its slash; of absurd keys the beginning, so that many problems stay small."""
    return f"/{key}" if isinstance(key, int) else "/" + key[:MAX_TOKEN].replace("~", "~0").replace("/", "~1")


def pointer(keys: Iterable[str | int]) -> str:
    return "".join(map(step, keys))


def tokens(path: str) -> list[str]:
    return [token.replace("~1", "/").replace("~0", "~") for token in path.split("/")[1:]]


class DocumentOrder:
    """Sorts paths as the document is read; what is absent comes after what is there."""

    def __init__(self, document: JsonValue) -> None:
        self._document = document
        self._positions: dict[int, dict[str, int]] = {}

    def __call__(self, path: str) -> tuple[int, ...]:
        value, found = self._document, list[int]()
        for token in tokens(path):
            if isinstance(value, dict):
                found.append(self._position(value, token))
                value = value.get(token)
            elif isinstance(value, list) and token.isdecimal():
                found.append(int(token))
                value = value[int(token)] if int(token) < len(value) else None
            else:
                found.append(0)
        return tuple(found)

    def _position(self, value: dict[str, JsonValue], key: str) -> int:
        if id(value) not in self._positions:
            self._positions[id(value)] = {known: position for position, known in enumerate(value)}
        return self._positions[id(value)].get(key, len(value))


def leaves(value: JsonValue, path: str = "") -> Iterator[tuple[str, JsonValue]]:
    """Every scalar and every object key of `value`, with the place it stands at."""
    if isinstance(value, dict):
        for key, child in value.items():
            here = path + step(key)
            yield here, key
            yield from leaves(child, here)
    elif isinstance(value, list):
        for index, child in enumerate(value):
            yield from leaves(child, f"{path}/{index}")
    else:
        yield path, value
