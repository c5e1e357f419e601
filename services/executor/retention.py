"""Which executions are kept, and the sweeper that deletes the others.

`FLOW_RETENTION` says for how long, and how many of a workflow, by rules separated by commas:
`90d/1000, nightly=7d, audit=forever`. The rule without a name is for all workflows that have none.
"""

from __future__ import annotations

import asyncio
import re
import time
from collections.abc import Awaitable, Collection, Mapping
from dataclasses import dataclass, field
from datetime import datetime, timedelta

import structlog

from flow_engine.looping import Looping
from services.executor.persistence.contract import ExecutionPersistence
from services.executor.persistence.retention import LEAST_AGE, Place, SqlRetention

log = structlog.get_logger()

PAGE = 1000
SMALLEST_BATCH, LARGEST_BATCH = 50, 500
BATCH_SECONDS = 0.03
"""Batches grow and shrink so that each takes about so long: nobody waits for one for longer."""
REST = 19.0
"""Between two batches the sweeper rests for so many times as long as the batch took. Whatever it must delete,
however slow the database is, it works for a twentieth of the time, and few starts meet it."""
DEFINITION_MARGIN = timedelta(hours=3)
"""When a definition was started last is known to within two hours."""
_UNITS = {"h": 3600, "d": 86_400, "w": 7 * 86_400}


@dataclass(frozen=True, slots=True)
class Rule:
    """None: no limit."""

    age: timedelta | None = None
    runs: int | None = None  # the newest so many of a workflow


@dataclass(frozen=True, slots=True)
class Retention:
    default: Rule = Rule()
    workflows: Mapping[str, Rule] = field(default_factory=dict)

    @property
    def keeps_all(self) -> bool:
        return all(rule == Rule() for rule in (self.default, *self.workflows.values()))

    def of(self, workflow_id: str) -> Rule:
        return self.workflows.get(workflow_id, self.default)


KEEP_ALL = Retention()


def parse_retention(text: str) -> Retention:
    """Raises ValueError saying what is expected."""
    default, workflows = Rule(), dict[str, Rule]()
    for part in filter(None, map(str.strip, text.split(","))):
        name, named, rule = part.rpartition("=")
        if not named:
            default = _rule(rule)
        else:
            workflows[name.strip()] = _rule(rule)
    return Retention(default, workflows)


def _rule(text: str) -> Rule:
    text = text.strip()
    if text == "forever":
        return Rule()
    match = re.fullmatch(r"(?:(\d{1,5})([hdw]))?(?:/(\d{1,9}))?", text)
    if not match or not text:
        raise ValueError(f"{text!r} is no rule; write 90d, 90d/1000, /1000 or forever; workflow=rule for one")
    count, unit, runs = match.groups()
    age = None if count is None else timedelta(seconds=int(count) * _UNITS[unit])
    if age is not None and age < LEAST_AGE:
        raise ValueError(f"{text!r} is too short: at least 26h, as a start may be repeated for a day")
    return Rule(age, None if runs is None else int(runs))


@dataclass(frozen=True, slots=True)
class Limits:
    """What may go of a workflow: what ended before `ended`, and what was created up to `created`."""

    ended: datetime | None = None
    created: datetime | None = None

    def let_go(self, one: Place) -> bool:
        if one.completed_at is None:
            return False
        old = self.ended is not None and one.completed_at < self.ended
        return old or (self.created is not None and one.created_at <= self.created)

    @property
    def reach(self) -> datetime | None:
        """Nothing created after it may go."""
        return max(filter(None, (self.ended, self.created)), default=None)


class RetentionSweeper(Looping):
    """Forgets request ids whose time is over. Walks through executions from the oldest on, as far as rules
    reach, and passes by what must stay."""

    def __init__(
        self,
        retention: Retention,
        store: SqlRetention,
        persistence: ExecutionPersistence,
        interval_seconds: float,
    ) -> None:
        super().__init__(interval_seconds)
        self._retention = retention
        self._store = store
        self._persistence = persistence
        self._size = SMALLEST_BATCH

    async def turn(self) -> None:
        while await self._at_leisure(self._persistence.forget_requests()):
            pass
        if self._retention.keeps_all:
            return
        now = await self._persistence.ping()
        for namespace in await self._store.namespaces():
            deleted = await self._sweep(namespace, now)
            if deleted:
                log.info("executions.deleted", namespace=namespace, count=deleted)

    async def _sweep(self, namespace: str, now: datetime) -> int:
        limits = {id_: await self._limits(namespace, id_, now) for id_ in await self._workflows(namespace)}
        reach = max((limit.reach for limit in limits.values() if limit.reach is not None), default=None)
        if reach is None:
            return 0
        deleted, after, used = 0, None, set[str]()
        while found := await self._store.walk(namespace, reach + SMALLEST, after, PAGE):
            goes = [limits.get(one.workflow_id, NO_LIMITS).let_go(one) for one in found]
            old = [one for one, go in zip(found, goes, strict=True) if go]
            used.update(one.definition_hash for one, go in zip(found, goes, strict=True) if not go)
            while old:
                some, old = old[: self._size], old[self._size :]
                gone = await self._delete([one.id for one in some])
                if gone < len(some):
                    used.update(one.definition_hash for one in some)
                deleted += gone
            after = found[-1]
        await self._forget_definitions(namespace, min(reach, now - LEAST_AGE) - DEFINITION_MARGIN, used)
        return deleted

    async def _forget_definitions(self, namespace: str, before: datetime, used: Collection[str]) -> None:
        """used: by executions up to DEFINITION_MARGIN after `before`; nothing later is of one that was not
        started since."""
        after = ""
        while found := await self._store.unused_definitions(namespace, before, after, PAGE):
            unused = [hash_ for hash_ in found if hash_ not in used]
            for start in range(0, len(unused), SMALLEST_BATCH):
                some = unused[start : start + SMALLEST_BATCH]
                await self._at_leisure(self._store.delete_definitions(namespace, some, before))
            after = found[-1]

    async def _delete(self, ids: list[str]) -> int:
        began = time.monotonic()
        deleted = await self._store.delete(ids)
        took = time.monotonic() - began
        self._size = next_size(self._size, len(ids), took)
        await asyncio.sleep(REST * took)
        return deleted

    async def _at_leisure(self, work: Awaitable[int]) -> int:
        """What it gives, after a rest if it did anything."""
        began = time.monotonic()
        done = await work
        if done:
            await asyncio.sleep(REST * (time.monotonic() - began))
        return done

    async def _workflows(self, namespace: str) -> list[str]:
        ids: list[str] = []
        while found := await self._store.workflows(namespace, ids[-1] if ids else None):
            ids += found
        return ids

    async def _limits(self, namespace: str, workflow_id: str, now: datetime) -> Limits:
        rule = self._retention.of(workflow_id)
        return Limits(
            None if rule.age is None else now - rule.age,
            None if rule.runs is None else await self._store.newest_beyond(namespace, workflow_id, rule.runs),
        )


def next_size(size: int, deleted: int, seconds: float) -> int:
    """Of the next batch, after one of so many took so long. At most twice, at least half of what it was."""
    fitting = deleted * BATCH_SECONDS / seconds if seconds > 0 else 2 * size
    return round(min(max(fitting, size / 2, SMALLEST_BATCH), 2 * size, LARGEST_BATCH))


NO_LIMITS = Limits()
SMALLEST = timedelta(microseconds=1)
