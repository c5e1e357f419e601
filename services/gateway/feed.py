"""Fans the changes of all executions out to watchers: one upstream stream per filter, however many clients.

As in the hub, a watcher first reads pages, at its own pace, and joins the upstream of its filter as soon as
it has caught up with it. A cursor says where a watcher is; cursors compare as text. One that falls behind
leaves the upstream and reads pages again; others never wait for it.

Source: docs/streams.md.
"""

from __future__ import annotations

import asyncio
import random
from collections.abc import Sequence
from typing import NamedTuple, Protocol

import grpc
import msgspec
import structlog

from flow_engine.clock import Clock
from flow_engine.v1 import execution_pb2 as pb
from services.gateway.credentials import current_sender
from services.gateway.documents import OpenedFrame, change_frame
from services.gateway.errors import Refused, refusal_of
from services.gateway.hub import GONE, LONGEST_PAUSE_SECONDS, Counters

log = structlog.get_logger(__name__)


class ChangeFrame(NamedTuple):
    """One change as clients see it."""

    id: str  # its cursor
    json: str


class ChangeStream(Protocol):
    """A stream of changes from the executor."""

    async def message(self) -> pb.WatchExecutionsResponse | None: ...

    def close(self) -> None: ...


class ChangeHistory(Protocol):
    """What the feed needs of the executor."""

    async def list_changes(self, where: pb.ChangeFilter, cursor: str, limit: int) -> pb.ListChangesResponse:
        """An empty cursor gives none, and the cursor of now."""
        ...

    def watch_all(self, where: pb.ChangeFilter, cursor: str) -> ChangeStream: ...


class Feed:
    def __init__(self, history: ChangeHistory, clock: Clock, buffer_changes: int) -> None:
        self.history = history
        self.clock = clock
        self.buffer_changes = buffer_changes
        self.counters = Counters()
        self._upstreams: dict[bytes, FeedUpstream] = {}
        self._watchers: set[FeedWatcher] = set()
        self._closing = False

    @property
    def upstream_count(self) -> int:
        return len(self._upstreams)

    @property
    def watcher_count(self) -> int:
        return len(self._watchers)

    def follow(self, where: pb.ChangeFilter, cursor: str) -> FeedWatcher:
        """Watch what a filter finds, from after a cursor; with an empty one from now on."""
        if self._closing:
            raise Refused("UNAVAILABLE", "the gateway is shutting down")
        watcher = FeedWatcher(self, where, cursor)
        self._watchers.add(watcher)
        return watcher

    def join(self, watcher: FeedWatcher) -> bool:
        """Attach a watcher that has seen everything up to its cursor; False if it must catch up first."""
        upstream = self._upstreams.get(watcher.key)
        if upstream is None:
            upstream = self._upstreams[watcher.key] = FeedUpstream(self, watcher)
        if upstream.cursor > watcher.cursor:
            return False
        upstream.attach(watcher)
        return True

    def forget_upstream(self, upstream: FeedUpstream) -> None:
        if self._upstreams.get(upstream.key) is upstream:
            del self._upstreams[upstream.key]

    def forget_watcher(self, watcher: FeedWatcher) -> None:
        self._watchers.discard(watcher)

    async def close(self) -> None:
        """End every stream; clients may resume elsewhere."""
        self._closing = True
        for watcher in list(self._watchers):
            watcher.close()
        await asyncio.gather(*(upstream.stop() for upstream in list(self._upstreams.values())))


class FeedWatcher:
    """One client's view: every change after its cursor once, in order, at its own pace. Never finishes."""

    finished = False

    def __init__(self, feed: Feed, where: pb.ChangeFilter, cursor: str) -> None:
        self.where = where
        # Shared by those who ask the same with the same credential.
        self.key = current_sender().key.encode() + where.SerializeToString(deterministic=True)
        self.cursor = cursor  # everything up to here was taken by the client or lies in the buffer
        self.closed = False  # the client or the gateway has gone
        self._feed = feed
        self._buffer: list[ChangeFrame] = []
        self._behind = True  # there may be more to read by pages
        self._wake = asyncio.Event()
        self._upstream: FeedUpstream | None = None
        self._failure: Refused | None = None

    @property
    def subject(self) -> dict[str, str]:
        return {"stream": "all"}

    async def read(self) -> list[ChangeFrame]:
        """The next frames; none once closed. May be cancelled and called again.

        Raises Refused when there is no reading any more.
        """
        while not self.closed:
            if self._buffer:
                return self._take()
            if self._failure is not None:
                raise self._failure
            if self._upstream is not None:
                self._wake.clear()
                await self._wake.wait()
            elif self._behind or not self._feed.join(self):
                await self._read_patiently()
        return []

    async def read_page(self) -> None:
        """Raises Refused."""
        limit = min(self._feed.buffer_changes, 500)
        page = await self._feed.history.list_changes(self.where, self.cursor, limit)
        frames = frames_of(page.changes)
        if not self.cursor:
            opened = OpenedFrame(cursor=page.cursor)
            frames = [ChangeFrame(page.cursor, msgspec.json.encode(opened).decode())]
        self._behind = page.more
        self.offer(frames, page.cursor)

    def offer(self, frames: Sequence[ChangeFrame], cursor: str) -> bool:
        """Take frames, the last of a stretch up to `cursor`; False when there is no room for all of them."""
        fresh = [frame for frame in frames if frame.id > self.cursor]
        taken = fresh[: self._feed.buffer_changes - len(self._buffer)]
        self._buffer += taken
        if taken:
            self.cursor = taken[-1].id
            self._wake.set()
        if len(taken) < len(fresh):
            return False
        self.cursor = max(self.cursor, cursor)
        return True

    def attached(self, upstream: FeedUpstream) -> None:
        self._upstream = upstream

    def detached(self, failure: Refused | None = None) -> None:
        """The upstream has left this watcher: it goes on by itself."""
        self._upstream = None
        self._behind = True
        self._failure = failure
        self._wake.set()

    def close(self) -> None:
        """The client has gone, or must go. Safe to repeat."""
        if self.closed:
            return
        self.closed = True
        self._wake.set()
        self._feed.forget_watcher(self)
        if self._upstream is not None:
            self._upstream.detach(self)
            self._upstream = None

    def _take(self) -> list[ChangeFrame]:
        frames, self._buffer = self._buffer, []
        self._feed.counters.delivered += len(frames)
        return frames

    async def _read_patiently(self) -> None:
        try:
            await self.read_page()
        except Refused as refused:
            if not refused.passing:
                raise
            await self._feed.clock.sleep(0.2)


class FeedUpstream:
    """The stream of one filter from the executor, kept open while anybody watches."""

    def __init__(self, feed: Feed, first: FeedWatcher) -> None:
        self.key = first.key
        self.cursor = first.cursor  # everything up to here was published
        self._where = first.where
        self._feed = feed
        self._watchers: set[FeedWatcher] = set()
        self._task = asyncio.create_task(self._run())

    def attach(self, watcher: FeedWatcher) -> None:
        self._watchers.add(watcher)
        watcher.attached(self)

    def detach(self, watcher: FeedWatcher) -> None:
        self._watchers.discard(watcher)
        if not self._watchers:
            self._feed.forget_upstream(self)
            self._task.cancel()

    async def stop(self) -> None:
        self._feed.forget_upstream(self)
        self._task.cancel()
        await asyncio.gather(self._task, return_exceptions=True)

    async def _run(self) -> None:
        pause = 0.05
        failure: Refused | None = None
        try:
            while True:
                before = self.cursor
                try:
                    await self._follow_once()
                except grpc.aio.AioRpcError as error:
                    if error.code() in GONE:
                        failure = refusal_of(error)
                        return
                    log.info("feed.interrupted", code=error.code().name)
                pause = 0.05 if self.cursor > before else min(2 * pause, LONGEST_PAUSE_SECONDS)
                self._feed.counters.reconnects += 1
                await self._feed.clock.sleep(pause * random.uniform(0.5, 1.0))
        finally:
            self._feed.forget_upstream(self)
            for watcher in list(self._watchers):
                watcher.detached(failure)

    async def _follow_once(self) -> None:
        stream = self._feed.history.watch_all(self._where, self.cursor)
        try:
            while (message := await stream.message()) is not None:
                self._publish(frames_of(message.changes), message.cursor)
        finally:
            stream.close()

    def _publish(self, frames: Sequence[ChangeFrame], cursor: str) -> None:
        self.cursor = max(self.cursor, cursor)
        for watcher in list(self._watchers):
            if not watcher.offer(frames, cursor):
                self._feed.counters.fallen_behind += 1
                self._watchers.discard(watcher)
                watcher.detached()


def frames_of(changes: Sequence[pb.ExecutionChange]) -> list[ChangeFrame]:
    return [
        ChangeFrame(change.cursor, msgspec.json.encode(change_frame(change)).decode()) for change in changes
    ]
