"""Following all executions that a filter finds: every change after a place, in one order for everybody, once.

Each reader keeps its own place and reads the database from there: nothing is buffered for it, and it goes
on after a restart, at any executor, as if nothing had happened. It is woken by commits here and by hints
from others, and looks by itself once a second.
"""

from __future__ import annotations

import asyncio
import re
from collections.abc import AsyncIterator

from flow_engine.errors import InvalidRequest, Problem
from services.executor.notifications import Notifications
from services.executor.persistence.contract import ChangeFilter, ChangePage, ExecutionPersistence, Place

PAGE = 500
PACE_SECONDS = 0.05
"""Between two looks: many small commits make few reads, and what is unsettled gets that long."""


CURSOR = re.compile(r"([0-7][0-9a-f]{15})\.([0-9a-f-]{0,64})\.([0-7][0-9a-f]{15})")


class Feed:
    def __init__(
        self,
        persistence: ExecutionPersistence,
        notifications: Notifications,
        poll_seconds: float,
        heartbeat_seconds: float,
    ) -> None:
        self._persistence = persistence
        self._notifications = notifications
        self._poll_seconds = poll_seconds
        self._heartbeat_seconds = heartbeat_seconds
        self._closing = False

    async def page(self, where: ChangeFilter, after: Place | None, limit: int) -> ChangePage:
        """What is there after a place; without one nothing but the newest place."""
        if after is None:
            return ChangePage([], await self._persistence.change_head(where.namespace))
        return await self._persistence.changes(after, where, limit)

    async def follow(self, where: ChangeFilter, after: Place | None) -> AsyncIterator[ChangePage]:
        """Begins with a page at once, which tells the place at least; ends when the executor stops.

        Pages without changes are heartbeats.
        """
        loop = asyncio.get_running_loop()
        with self._notifications.listening_to_all() as listener:
            told_at = -self._heartbeat_seconds
            while not self._closing:
                page = await self.page(where, after, PAGE)
                if page.changes or loop.time() - told_at >= self._heartbeat_seconds:
                    yield page
                    told_at = loop.time()
                opened, after = after is None, page.reached
                if page.unsettled:
                    await asyncio.sleep(PACE_SECONDS)
                elif not page.more and not opened:
                    await listener.wait(self._poll_seconds)
                    await asyncio.sleep(PACE_SECONDS)

    def close(self) -> None:
        """End every stream; clients come back, to another executor or later."""
        self._closing = True
        self._notifications.wake_all()


def cursor_of(place: Place) -> str:
    """Opaque to clients, except that cursors compare as text like their places do."""
    return f"{place.position:016x}.{place.execution_id}.{place.first_sequence:016x}"


def place_of(cursor: str) -> Place:
    """Raises InvalidRequest for a cursor that is not ours."""
    match = CURSOR.fullmatch(cursor)
    if match is None:
        raise InvalidRequest(
            [Problem("/afterCursor", "INVALID_VALUE", "this cursor was not given by this service")]
        )
    return Place(int(match[1], 16), match[2], int(match[3], 16))
