"""Tells runners that others have written to their history: those here, and those of our workers."""

from __future__ import annotations

from collections import defaultdict

from flow_engine.looping import Looping
from services.executor.persistence.contract import ExecutionPersistence, Nudged
from services.executor.sessions import Sessions
from services.executor.strategies.immediate import ImmediateExecutionStrategy


class Nudger(Looping):
    """One query for all of them, as long as there is anybody to tell; `hint` after a control call."""

    def __init__(
        self,
        persistence: ExecutionPersistence,
        immediate: ImmediateExecutionStrategy,
        sessions: Sessions,
        interval_seconds: float,
    ) -> None:
        super().__init__(interval_seconds)
        self._persistence = persistence
        self._immediate = immediate
        self._sessions = sessions

    async def turn(self) -> None:
        owners = set(self._sessions.worker_ids)
        if self._immediate.live:
            owners.add(self._immediate.owner)
        if not owners:
            return
        by_owner: dict[str, list[Nudged]] = defaultdict(list)
        for nudged in await self._persistence.nudges(owners):
            by_owner[nudged.owner].append(nudged)
        for nudged in by_owner.pop(self._immediate.owner, []):
            run = self._immediate.find(nudged.execution_id)
            if run is not None:
                run.nudge()
        self._sessions.push(by_owner)
