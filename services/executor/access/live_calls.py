"""Streams end when what opened them does not hold any more: revoked, expired, or given another role."""

from __future__ import annotations

import asyncio
from collections import defaultdict
from collections.abc import Iterator
from contextlib import contextmanager
from dataclasses import dataclass

from flow_engine.errors import Unauthenticated
from flow_engine.looping import Looping
from services.executor.access.authenticator import Authenticator, Credential
from services.executor.access.caller import Caller

LOOK_SECONDS = 2.0


@dataclass(eq=False, slots=True)
class Live:
    caller: Caller
    task: asyncio.Task[object]
    ended: bool = False

    def end(self) -> None:
        if not self.ended:
            self.ended = True
            self.task.cancel()


class LiveCalls(Looping):
    """Looks at the credentials of open streams, each once, however many streams it holds open."""

    def __init__(self, authenticator: Authenticator) -> None:
        super().__init__(LOOK_SECONDS)
        self._authenticator = authenticator
        self._live: dict[Credential, set[Live]] = defaultdict(set)

    @contextmanager
    def holding(self, credential: Credential, caller: Caller) -> Iterator[None]:
        """While the current task answers one call. Raises Unauthenticated when its time is over."""
        task = asyncio.current_task()
        if not credential or task is None:
            yield
            return
        live = Live(caller, task)
        self._live[credential].add(live)
        try:
            yield
        except asyncio.CancelledError:
            if not live.ended:
                raise
            task.uncancel()
            raise Unauthenticated("the credentials of this stream do not hold any more") from None
        finally:
            self._live[credential].discard(live)
            if not self._live[credential]:
                del self._live[credential]

    async def turn(self) -> None:
        for credential, live_calls in list(self._live.items()):
            try:
                caller = await self._authenticator.caller_of(credential)
            except Unauthenticated:
                caller = None
            for live in list(live_calls):
                if live.caller != caller:
                    live.end()
