"""A plain `EventSource`, as strict as the HTML standard describes it.

Source: https://html.spec.whatwg.org/multipage/server-sent-events.html, "Parsing" and "Interpreting".
"""

from __future__ import annotations

import asyncio
import json
from collections.abc import AsyncIterator, Iterator
from dataclasses import dataclass, field
from typing import Any

import httpx


@dataclass(slots=True)
class Message:
    """What `onmessage` would get."""

    last_event_id: str
    data: str
    type: str = "message"

    @property
    def frame(self) -> Any:
        return json.loads(self.data)


@dataclass(slots=True)
class Interpreter:
    """Lines in, messages out. `comments` and `retry` are kept for tests."""

    last_event_id: str = ""
    retry: int | None = None
    comments: list[str] = field(default_factory=list)
    _data: list[str] = field(default_factory=list)
    _type: str = ""
    _rest: str = ""

    def feed(self, text: str) -> Iterator[Message]:
        assert "\r" not in text
        *lines, self._rest = (self._rest + text).split("\n")
        for line in lines:
            message = self._line(line)
            if message is not None:
                yield message

    def _line(self, line: str) -> Message | None:
        if not line:
            return self._dispatch()
        name, _, value = line.partition(":")
        value = value.removeprefix(" ")
        if name == "":
            self.comments.append(value)
        elif name == "data":
            self._data.append(value)
        elif name == "id":
            self.last_event_id = value
        elif name == "event":
            self._type = value
        elif name == "retry" and value.isdecimal():
            self.retry = int(value)
        else:
            raise AssertionError(f"a line that EventSource ignores: {line!r}")
        return None

    def _dispatch(self) -> Message | None:
        data, self._data = self._data, []
        kind, self._type = self._type or "message", ""
        return Message(self.last_event_id, "\n".join(data), kind) if data else None


class EventSource:
    """Connects, and connects again with the last id, until it is answered with anything but 200."""

    def __init__(self, client: httpx.AsyncClient, url: str) -> None:
        self.interpreter = Interpreter()
        self.connections = 0
        self.final_status = 0
        self._client = client
        self._url = url

    async def __aiter__(self) -> AsyncIterator[Message]:
        while True:
            headers = {"Accept": "text/event-stream", "Cache-Control": "no-store"}
            if self.interpreter.last_event_id:
                headers["Last-Event-ID"] = self.interpreter.last_event_id
            self.connections += 1
            try:
                async with self._client.stream("GET", self._url, headers=headers) as response:
                    if response.status_code != 200:
                        self.final_status = response.status_code
                        return
                    assert response.headers["content-type"].partition(";")[0] == "text/event-stream"
                    async for text in response.aiter_text():
                        for message in self.interpreter.feed(text):
                            yield message
            except httpx.TransportError:
                # What was not ended by an empty line does not count.
                self.interpreter = Interpreter(self.interpreter.last_event_id)
                await asyncio.sleep(0.02)
