"""What was used last, kept within a bound of number and size."""

from __future__ import annotations

from collections import OrderedDict
from typing import Generic, TypeVar

V = TypeVar("V")

BYTES = 8 << 20
"""Of the texts that compiled definitions came from: compiled they take some twenty times as much."""


class Recent(Generic[V]):
    """The values last used: at most `size`, and of `most_bytes` together, but always the last one."""

    def __init__(self, size: int, most_bytes: int = BYTES) -> None:
        self._size = size
        self._most_bytes = most_bytes
        self._bytes = 0
        self._values: OrderedDict[str, tuple[V, int]] = OrderedDict()

    def __len__(self) -> int:
        return len(self._values)

    def get(self, key: str) -> V | None:
        found = self._values.get(key)
        if found is None:
            return None
        self._values.move_to_end(key)
        return found[0]

    def put(self, key: str, value: V, size_bytes: int = 0) -> None:
        _, before = self._values.pop(key, (None, 0))
        self._values[key] = value, size_bytes
        self._bytes += size_bytes - before
        while len(self._values) > 1 and (len(self._values) > self._size or self._bytes > self._most_bytes):
            _, (_, gone) = self._values.popitem(last=False)
            self._bytes -= gone
