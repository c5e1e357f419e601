"""Fans the events of executions out to watchers: one upstream stream per execution, however many clients.

A watcher first reads history by pages, at its own pace; as soon as it has caught up with the upstream
stream it joins it, between two steps of the event loop, so that nothing is missed or doubled. The upstream
reconnects with its cursor when the executor restarts; watchers notice a delay at most.

A watcher holds at most so many events. One that falls further behind leaves the upstream, takes what it
has, and catches up from history again; others never wait for it. Whether it still takes anything at all is
for the side that writes to the client to judge.

Source: docs/protocol.md, "Seeing".
"""

from __future__ import annotations

import asyncio
import random
from collections.abc import Sequence
from dataclasses import dataclass
from typing import NamedTuple, Protocol

import grpc
import structlog

from flow_engine.clock import Clock
from flow_engine.v1 import execution_pb2 as pb
from services.gateway.credentials import current_sender
from services.gateway.errors import Refused, refusal_of

log = structlog.get_logger(__name__)

BURST_EVENTS = 64
"""After so many published events other tasks get a turn, so that a burst overruns nobody who reads."""
LONGEST_PAUSE_SECONDS = 1.0

TERMINAL_EVENTS = frozenset({"execution.completed", "execution.failed", "execution.cancelled"})
GONE = frozenset(
    {
        grpc.StatusCode.NOT_FOUND,
        grpc.StatusCode.INVALID_ARGUMENT,
        grpc.StatusCode.PERMISSION_DENIED,
        grpc.StatusCode.UNAUTHENTICATED,
        grpc.StatusCode.UNIMPLEMENTED,
    }
)


class Frame(NamedTuple):
    """One event as clients see it."""

    sequence: int
    json: str
    last: bool  # nothing comes after it

    @property
    def id(self) -> str:
        return str(self.sequence)


class Source(Protocol):
    """A stream of events from the executor."""

    async def read(self) -> list[pb.Event] | None: ...

    def close(self) -> None: ...


class History(Protocol):
    """What the hub needs of the executor."""

    async def list_events(
        self, execution_id: str, after_sequence: int, limit: int
    ) -> pb.ListEventsResponse: ...

    async def head(self, execution_id: str) -> pb.Execution: ...

    def watch(self, execution_id: str, after_sequence: int) -> Source: ...


@dataclass(slots=True)
class Counters:
    """What the hub has done so far."""

    reconnects: int = 0
    fallen_behind: int = 0
    delivered: int = 0


class Hub:
    def __init__(self, history: History, clock: Clock, buffer_events: int) -> None:
        self.history = history
        self.clock = clock
        self.buffer_events = buffer_events
        self.counters = Counters()
        self.closing = False
        self._upstreams: dict[str, Upstream] = {}
        self._watchers: set[Watcher] = set()

    @property
    def upstream_count(self) -> int:
        return len(self._upstreams)

    @property
    def watcher_count(self) -> int:
        return len(self._watchers)

    def follow(self, execution_id: str, after_sequence: int, known_sequence: int) -> Watcher:
        """Watch an execution from after a sequence on.

        known_sequence: of an event that is known to exist; the newest known, to save reading history.
        """
        self._refuse_when_closing()
        watcher = Watcher(self, execution_id, after_sequence, known_sequence)
        self._watchers.add(watcher)
        return watcher

    def follow_blindly(self, execution_id: str, after_sequence: int) -> Watcher:
        """Watch an execution that nobody can tell about right now: the watcher asks until somebody does."""
        return self.follow(execution_id, after_sequence, after_sequence + 1)

    def adopt(self, execution_id: str, source: Source) -> Watcher:
        """Watch an execution from its first event on, by a stream that is open already."""
        if self.closing or key_of(execution_id) in self._upstreams:
            source.close()
            return self.follow(execution_id, 0, 0)
        watcher = self.follow(execution_id, 0, 0)
        upstream = self._upstreams[watcher.key] = Upstream(self, watcher, 0, source)
        upstream.attach(watcher)
        return watcher

    def join(self, watcher: Watcher, known_sequence: int) -> bool:
        """Attach a watcher that has seen everything up to its cursor; False if it must catch up first."""
        upstream = self._upstreams.get(watcher.key)
        if upstream is None:
            # A client may name a cursor that does not exist yet; who joins later must not suffer from it.
            cursor = min(watcher.cursor, known_sequence)
            upstream = self._upstreams[watcher.key] = Upstream(self, watcher, cursor)
        if upstream.cursor > watcher.cursor:
            return False
        upstream.attach(watcher)
        return True

    def forget_upstream(self, upstream: Upstream) -> None:
        if self._upstreams.get(upstream.key) is upstream:
            del self._upstreams[upstream.key]

    def forget_watcher(self, watcher: Watcher) -> None:
        self._watchers.discard(watcher)

    async def close(self) -> None:
        """End every stream; clients may resume elsewhere."""
        self.closing = True
        for watcher in list(self._watchers):
            watcher.close()
        await asyncio.gather(*(upstream.stop() for upstream in list(self._upstreams.values())))

    def _refuse_when_closing(self) -> None:
        if self.closing:
            raise Refused("UNAVAILABLE", "the gateway is shutting down")


def key_of(execution_id: str) -> str:
    """Upstreams are shared by those who send the same credential: they end when that holds no more."""
    return f"{current_sender().key} {execution_id}"


class Watcher:
    """One client's view of an execution: every event after its cursor once, in order, at its own pace."""

    def __init__(self, hub: Hub, execution_id: str, cursor: int, known_sequence: int) -> None:
        self.execution_id = execution_id
        self.key = key_of(execution_id)
        self.cursor = cursor  # everything up to here was taken by the client or lies in the buffer
        self.finished = False  # the execution has ended and all was taken
        self.closed = False  # the client or the gateway has gone
        self._hub = hub
        self._known_sequence = known_sequence
        self._buffer: list[Frame] = []
        self._wake = asyncio.Event()
        self._upstream: Upstream | None = None
        self._failure: Refused | None = None

    @property
    def subject(self) -> dict[str, str]:
        """For the log."""
        return {"execution_id": self.execution_id}

    async def read(self) -> list[Frame]:
        """The next frames; none once finished or closed. May be cancelled and called again.

        Raises Refused when the execution cannot be read any more.
        """
        while not self.finished and not self.closed:
            if self._buffer:
                return self._take()
            if self._failure is not None:
                raise self._failure
            if self._upstream is not None:
                self._wake.clear()
                await self._wake.wait()
            elif self.cursor < self._known_sequence or not self._hub.join(self, self._known_sequence):
                await self._read_history()
        return []

    def offer(self, frames: Sequence[Frame]) -> bool:
        """Take frames from the upstream; False when there is no room for all of them."""
        fresh = [frame for frame in frames if frame.sequence > self.cursor]
        room = self._hub.buffer_events - len(self._buffer)
        taken = fresh[:room]
        if taken:
            self._buffer += taken
            self.cursor = taken[-1].sequence
            self._wake.set()
        return len(taken) == len(fresh)

    def attached(self, upstream: Upstream) -> None:
        self._upstream = upstream

    def detached(self, known_sequence: int, failure: Refused | None = None) -> None:
        """The upstream has left this watcher: it goes on by itself from history."""
        self._upstream = None
        self._known_sequence = known_sequence
        self._failure = failure
        self._wake.set()

    def end(self) -> None:
        """There is nothing after what the client has."""
        self.finished = not self._buffer
        self._wake.set()

    def close(self) -> None:
        """The client has gone, or must go. Safe to repeat."""
        if self.closed:
            return
        self.closed = True
        self._wake.set()
        self._hub.forget_watcher(self)
        if self._upstream is not None:
            self._upstream.detach(self)
            self._upstream = None

    def _take(self) -> list[Frame]:
        frames, self._buffer = self._buffer, []
        self._delivered(frames)
        return frames

    async def _read_history(self) -> None:
        try:
            page = await self._hub.history.list_events(
                self.execution_id, self.cursor, self._hub.buffer_events
            )
        except Refused as refused:
            if not refused.passing:
                raise
            await self._hub.clock.sleep(0.2)
            return
        self._known_sequence = page.last_sequence
        self.offer([frame_of(event) for event in page.events])
        if not page.events:
            # Somebody is ahead of this watcher by events that history does not show yet.
            self._known_sequence = min(self._known_sequence, self.cursor)
            await self._hub.clock.sleep(0.05)

    def _delivered(self, frames: Sequence[Frame]) -> None:
        self._hub.counters.delivered += len(frames)
        self.finished = frames[-1].last


class Upstream:
    """The stream of one execution from the executor, kept open while anybody watches."""

    def __init__(self, hub: Hub, first: Watcher, cursor: int, source: Source | None = None) -> None:
        self.execution_id = first.execution_id
        self.key = first.key
        self.cursor = cursor  # everything up to here was published
        self._hub = hub
        self._source = source
        self._watchers: set[Watcher] = set()
        self._task = asyncio.create_task(self._run())
        # Also where the task was cancelled before it could begin.
        self._task.add_done_callback(lambda _: self._close_source())

    def attach(self, watcher: Watcher) -> None:
        self._watchers.add(watcher)
        watcher.attached(self)

    def detach(self, watcher: Watcher) -> None:
        self._watchers.discard(watcher)
        if not self._watchers:
            self._hub.forget_upstream(self)
            self._task.cancel()

    async def stop(self) -> None:
        self._hub.forget_upstream(self)
        self._task.cancel()
        await asyncio.gather(self._task, return_exceptions=True)

    async def _run(self) -> None:
        pause = 0.05
        failure: Refused | None = None
        try:
            while True:
                before = self.cursor
                try:
                    if await self._follow_once():
                        return
                except grpc.aio.AioRpcError as error:
                    if error.code() in GONE:
                        failure = refusal_of(error)
                        return
                    log.info("watch.interrupted", execution_id=self.execution_id, code=error.code().name)
                pause = 0.05 if self.cursor > before else min(2 * pause, LONGEST_PAUSE_SECONDS)
                self._hub.counters.reconnects += 1
                await self._hub.clock.sleep(pause * random.uniform(0.5, 1.0))
        finally:
            self._hub.forget_upstream(self)
            for watcher in list(self._watchers):
                watcher.detached(self.cursor, failure)

    async def _follow_once(self) -> bool:
        """Read one stream to its end and say whether it was the execution's."""
        source = self._source = self._source or self._hub.history.watch(self.execution_id, self.cursor)
        try:
            while (events := await source.read()) is not None:
                if not await self._publish(
                    [frame_of(event) for event in events if event.sequence > self.cursor]
                ):
                    return False
                if events and events[-1].type in TERMINAL_EVENTS:
                    return True
        finally:
            self._close_source()
        return await self._ended()

    def _close_source(self) -> None:
        if self._source is not None:
            self._source.close()
            self._source = None

    async def _publish(self, frames: Sequence[Frame]) -> bool:
        """Hand frames to all watchers; False if one is missing before them, so that it is asked for again."""
        if frames and frames[0].sequence != self.cursor + 1:
            log.warning(
                "watch.gap", execution_id=self.execution_id, after=self.cursor, got=frames[0].sequence
            )
            return False
        for start in range(0, len(frames), BURST_EVENTS):
            burst = frames[start : start + BURST_EVENTS]
            self.cursor = burst[-1].sequence
            for watcher in list(self._watchers):
                if not watcher.offer(burst):
                    self._hub.counters.fallen_behind += 1
                    self._watchers.discard(watcher)
                    watcher.detached(self.cursor)
            if start + BURST_EVENTS < len(frames):
                await asyncio.sleep(0)
        return True

    async def _ended(self) -> bool:
        """Whether the execution has ended, asked after a stream ended without a terminal event."""
        try:
            execution = await self._hub.history.head(self.execution_id)
        except Refused:
            return False
        if execution.status not in _TERMINAL_STATUSES or execution.last_sequence > self.cursor:
            return False
        for watcher in list(self._watchers):
            watcher.end()
        return True


_TERMINAL_STATUSES = frozenset(
    {pb.EXECUTION_STATUS_COMPLETED, pb.EXECUTION_STATUS_FAILED, pb.EXECUTION_STATUS_CANCELLED}
)


def frame_of(event: pb.Event) -> Frame:
    return Frame(event.sequence, event.frame_json, event.type in TERMINAL_EVENTS)
