"""What many ask at once is asked once: an answer under way is for everybody who asks the same meanwhile."""

from __future__ import annotations

import asyncio
from collections.abc import Awaitable, Callable, Hashable
from typing import Generic, TypeVar

Answer = TypeVar("Answer")


class Shared(Generic[Answer]):
    """For reads whose answer may be as old as the question of whoever asked first."""

    def __init__(self) -> None:
        self._under_way: dict[Hashable, asyncio.Future[Answer]] = {}

    async def ask(self, key: Hashable, ask: Callable[[], Awaitable[Answer]]) -> Answer:
        """The answer to `ask`, or to that of somebody with the same key. Raises what it raises.

        Whoever goes away leaves the others their answer.
        """
        answer = self._under_way.get(key)
        if answer is None:
            answer = self._under_way[key] = asyncio.ensure_future(ask())
            answer.add_done_callback(lambda ended: self._forget(key, ended))
        return await asyncio.shield(answer)

    def _forget(self, key: Hashable, ended: asyncio.Future[Answer]) -> None:
        del self._under_way[key]
        if not ended.cancelled():
            ended.exception()  # all who wanted it may be gone
