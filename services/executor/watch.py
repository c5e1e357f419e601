"""Following an execution: everything after a cursor, in order, once, until its end.

A watcher reads the database and then sleeps until it is told that there is more. Nothing is
buffered for it: a slow one reads later. It is told by commits in this process, by hints from
others over Redis, and by one look a second at all watched executions, in case a hint is lost.
"""

from __future__ import annotations

from collections.abc import AsyncIterator
from dataclasses import dataclass

import msgspec

from flow_engine.ids import ExecutionId
from flow_engine.looping import Looping
from services.executor.history import PAGE
from services.executor.notifications import Listener, Notifications
from services.executor.persistence.contract import TERMINAL, ExecutionPersistence, StoredBatch


@dataclass(frozen=True, slots=True)
class News:
    """Whole batches; the first may begin before the cursor. Empty: nothing new, a heartbeat."""

    batches: tuple[StoredBatch, ...]
    cursor: int  # everything up to here was given


class Watches(Looping):
    """Wakes watchers whose execution has moved on without anybody telling."""

    def __init__(
        self,
        persistence: ExecutionPersistence,
        notifications: Notifications,
        poll_seconds: float,
        heartbeat_seconds: float,
    ) -> None:
        super().__init__(poll_seconds)
        self._persistence = persistence
        self._notifications = notifications
        self._heartbeat_seconds = heartbeat_seconds
        self._closing = False

    async def turn(self) -> None:
        watched = self._notifications.watched
        if watched:
            found = await self._persistence.last_sequences(watched)
            self._notifications.wake_behind({key: last for key, (last, _) in found.items()})

    async def follow(self, execution_id: ExecutionId, after: int, namespace: str) -> AsyncIterator[News]:
        """Ends after the last event of an ended execution, and when the executor stops.

        Raises ExecutionNotFound.
        """
        with self._notifications.listening(execution_id, after) as listener:
            # The row before the events: if it has ended, its last event is there to be read.
            record = await self._persistence.get(execution_id, namespace)
            ended = record.status in TERMINAL
            while not self._closing:
                async for news in self._unread(listener, namespace):
                    ended = ended or ends(news.batches[-1])
                    yield news
                if ended:
                    return
                if not await listener.wait(self._heartbeat_seconds):
                    yield News((), listener.cursor)

    async def _unread(self, listener: Listener, namespace: str) -> AsyncIterator[News]:
        full = True
        while full and (
            batches := await self._persistence.events(listener.execution_id, listener.cursor, PAGE, namespace)
        ):
            # Of a page that is not full the listener is told what comes next.
            full = batches[-1].last_sequence >= listener.cursor + PAGE
            listener.cursor = batches[-1].last_sequence
            yield News(tuple(batches), listener.cursor)

    def close(self) -> None:
        """End every stream; clients come back, to another executor or later."""
        self._closing = True
        self._notifications.wake_all()


class _Type(msgspec.Struct):
    type: str


_raw = msgspec.json.Decoder(list[msgspec.Raw])
_type = msgspec.json.Decoder(_Type)
_LAST = ("execution.completed", "execution.failed", "execution.cancelled")


def ends(batch: StoredBatch) -> bool:
    """Whether the batch holds an execution's last event; nothing follows that one."""
    return _type.decode(_raw.decode(batch.events_json)[-1]).type in _LAST
