"""Watchers by Server-Sent Events that lose their connection, and come back with the id they saw last."""

from __future__ import annotations

import asyncio
import json
from collections.abc import AsyncIterator
from dataclasses import dataclass, field
from random import Random

import httpx

from tests.chaos.oracle import Stream
from tests.chaos.records import Frame

PAUSE_SECONDS = 0.1


@dataclass(slots=True)
class Watcher:
    """One client: reads until it is told 204, whatever happens in between."""

    url: str
    execution_id: str
    chance: Random
    frames: list[Frame] = field(default_factory=list)
    connections: int = 0
    ended: bool = False

    async def watch(self, client: httpx.AsyncClient) -> None:
        while not self.ended:
            try:
                await self._read_once(client)
            except httpx.HTTPError:
                await asyncio.sleep(PAUSE_SECONDS)

    @property
    def stream(self) -> Stream:
        return Stream(self.execution_id, self.frames, self.ended)

    async def _read_once(self, client: httpx.AsyncClient) -> None:
        self.connections += 1
        headers = {"Accept": "text/event-stream"}
        if self.frames:
            headers["Last-Event-ID"] = str(self.frames[-1]["sequence"])
        leaves_after = self.chance.choice((1, 2, 5, None, None, None))
        async with client.stream("GET", self.url, headers=headers) as response:
            if response.status_code == 204:
                self.ended = True
                return
            if response.status_code != 200:
                await asyncio.sleep(PAUSE_SECONDS)
                return
            count = 0
            async for frame in frames_of(response):
                self.frames.append(frame)
                count += 1
                if count == leaves_after:
                    return


async def frames_of(response: httpx.Response) -> AsyncIterator[Frame]:
    """The messages of a stream, as the HTML standard says; one cut off in the middle is none."""
    data: list[str] = []
    async for line in response.aiter_lines():
        if line.startswith("data:"):
            data.append(line[5:].removeprefix(" "))
        elif not line and data:
            yield json.loads("\n".join(data))
            data = []
