"""Streams end when what opened them does not hold any more: revoked, expired, or given another role.

And calls are given up whose message does not come.
"""

from __future__ import annotations

import asyncio
from collections import defaultdict
from collections.abc import Iterator
from contextlib import contextmanager
from dataclasses import dataclass
from typing import Any

from flow_engine.clock import Clock
from flow_engine.errors import MessageTooSlow, Unauthenticated
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
    """Looks at the credentials of open streams, each once, however many streams it holds open.

    message_seconds: how long the message that says what a call is about may be on its way.
    """

    def __init__(self, authenticator: Authenticator, clock: Clock, message_seconds: float) -> None:
        super().__init__(min(LOOK_SECONDS, message_seconds / 2))
        self._authenticator = authenticator
        self._clock = clock
        self._message_seconds = message_seconds
        self._reading: dict[asyncio.Task[object], float] = {}
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

    async def message_of(self, context: Any) -> Any:
        """The message of the call that the current task answers. Raises MessageTooSlow.

        Not by a timer of each call: those would cost more than all else here.
        """
        task = asyncio.current_task()
        assert task is not None
        self._reading[task] = self._clock.monotonic()
        try:
            return await context.read()
        except asyncio.CancelledError:
            if task in self._reading:
                raise
            task.uncancel()
            raise MessageTooSlow(self._message_seconds) from None
        finally:
            self._reading.pop(task, None)

    async def turn(self) -> None:
        self._give_up_reading()
        for credential, live_calls in list(self._live.items()):
            try:
                caller = await self._authenticator.caller_of(credential)
            except Unauthenticated:
                caller = None
            for live in list(live_calls):
                if live.caller != caller:
                    live.end()

    def _give_up_reading(self) -> None:
        before = self._clock.monotonic() - self._message_seconds
        for task in [task for task, since in self._reading.items() if since <= before]:
            del self._reading[task]
            task.cancel()
