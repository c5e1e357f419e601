"""Values of a run: at hand, or fetched once by content hash."""

from __future__ import annotations

from collections import OrderedDict
from collections.abc import Sequence

from flow_engine.interpreter.journal import PayloadSource
from flow_engine.interpreter.state import Stored
from flow_engine.payload import JsonValue, Payload, PayloadRef, decode

CACHE_BYTES = 16 << 20


class Values:
    """Large values of one run. What is not committed yet stays; the rest is a bounded cache."""

    def __init__(self, source: PayloadSource) -> None:
        self._source = source
        self._cache: OrderedDict[str, tuple[JsonValue, int]] = OrderedDict()
        self._cached_bytes = 0
        self._uncommitted: dict[str, JsonValue] = {}

    def keep(self, payload: Payload) -> None:
        """A value that the database does not have yet."""
        self._uncommitted[payload.ref.hash] = payload.value

    def committed(self, payloads: list[Payload]) -> None:
        for payload in payloads:
            ref = payload.ref
            if self._uncommitted.pop(ref.hash, None) is not None:
                self._remember(ref, payload.value)

    async def get(self, stored: Stored) -> JsonValue:
        ref = stored.ref
        if ref is None:
            return stored.value
        if ref.hash in self._uncommitted:
            return self._uncommitted[ref.hash]
        if ref.hash in self._cache:
            self._cache.move_to_end(ref.hash)
            return self._cache[ref.hash][0]
        value = decode(await self._source.payload(ref))
        self._remember(ref, value)
        return value

    async def folded(self, sinks: Sequence[tuple[str, Stored]]) -> JsonValue:
        """What a scope puts out. SEMANTICS, end: the only sink's output; several: by node id; none: null."""
        if len(sinks) == 1:
            return await self.get(sinks[0][1])
        return {node_id: await self.get(output) for node_id, output in sinks} or None

    def _remember(self, ref: PayloadRef, value: JsonValue) -> None:
        if ref.hash not in self._cache:
            self._cached_bytes += ref.bytes
        self._cache[ref.hash] = value, ref.bytes
        while self._cached_bytes > CACHE_BYTES and len(self._cache) > 1:
            _, (_, size) = self._cache.popitem(last=False)
            self._cached_bytes -= size
