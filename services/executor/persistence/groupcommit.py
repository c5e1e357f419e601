"""Group commit: what arrives while one commit is under way goes into the next. No timer. PROTOCOL 10."""

from __future__ import annotations

import asyncio
from collections import deque
from collections.abc import Awaitable, Callable, Collection, Sequence
from dataclasses import dataclass, field
from typing import Generic, TypeVar

from flow_engine.errors import Unavailable

Member = TypeVar("Member")
Answer = TypeVar("Answer")

BATCH = 256
BATCH_BYTES = 4 << 20
"""A batch ends with the member that reaches this."""


@dataclass(slots=True)
class _Waiting(Generic[Member, Answer]):
    member: Member
    keys: Collection[str]
    answer: asyncio.Future[Answer] = field(default_factory=lambda: asyncio.get_running_loop().create_future())


class GroupCommit(Generic[Member, Answer]):
    """Gives members to `commit` in batches and each its own answer, or its own error.

    commit: answers in the order of the members; an answer that is an exception is raised to that member only.
    keys: of two members that share a key the later one goes into a later batch.
    size: bytes of a member, roughly; a batch holds a bounded number.
    """

    def __init__(
        self,
        commit: Callable[[Sequence[Member]], Awaitable[Sequence[Answer | Exception]]],
        keys: Callable[[Member], Collection[str]],
        size: Callable[[Member], int] = lambda member: 0,
    ) -> None:
        self._commit = commit
        self._keys = keys
        self._size = size
        self._queue: deque[_Waiting[Member, Answer]] = deque()
        self._committing: asyncio.Task[None] | None = None
        self._stopped = False

    async def submit(self, member: Member) -> Answer:
        if self._stopped:
            raise Unavailable("the executor is stopping")
        waiting: _Waiting[Member, Answer] = _Waiting(member, self._keys(member))
        self._queue.append(waiting)
        if self._committing is None:
            self._committing = asyncio.create_task(self._commit_all(), name="group-commit")
        return await waiting.answer

    async def stop(self) -> None:
        """Accept nothing more; commit what is queued."""
        self._stopped = True
        if self._committing is not None:
            await self._committing

    async def _commit_all(self) -> None:
        while self._queue:
            await self._gather()
            if batch := self._next_batch():
                await self._commit_together(batch)
        self._committing = None

    async def _gather(self) -> None:
        """Let in who is about to come: for as long as each turn of the event loop brings more."""
        known = 0
        while known < len(self._queue) < BATCH:
            known = len(self._queue)
            await asyncio.sleep(0)

    async def _commit_together(self, batch: Sequence[_Waiting[Member, Answer]]) -> None:
        try:
            answers = await self._commit([waiting.member for waiting in batch])
        except Exception as error:  # whatever it is, it belongs to those who wait, not to this task
            answers = [error] * len(batch)
        for waiting, answer in zip(batch, answers, strict=True):
            if waiting.answer.done():
                continue  # its caller was cancelled
            if isinstance(answer, Exception):
                waiting.answer.set_exception(answer)
            else:
                waiting.answer.set_result(answer)

    def _next_batch(self) -> list[_Waiting[Member, Answer]]:
        """The longest waiting members, none of which share a key."""
        batch: list[_Waiting[Member, Answer]] = []
        taken: set[str] = set()
        later: list[_Waiting[Member, Answer]] = []
        size = 0
        while self._queue and len(batch) < BATCH and size < BATCH_BYTES:
            waiting = self._queue.popleft()
            if waiting.answer.done():
                continue
            if taken.isdisjoint(waiting.keys):
                batch.append(waiting)
                size += self._size(waiting.member)
            else:
                later.append(waiting)
            taken.update(waiting.keys)
        self._queue.extendleft(reversed(later))
        return batch
