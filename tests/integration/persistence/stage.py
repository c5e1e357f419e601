"""A persistence under test: its clock is moved by hand, its runners obey the test, its tables are audited."""

from __future__ import annotations

import sqlite3
from collections.abc import Sequence
from contextlib import closing
from dataclasses import dataclass, replace
from datetime import UTC, datetime, timedelta
from typing import Any

import msgspec
import psycopg

from flow_engine.ids import ExecutionId, child_id, new_execution_id
from flow_engine.interpreter.events import (
    AnyEvent,
    ChildStarted,
    Event,
    ExecutionCompleted,
    ExecutionCreated,
    ExecutionWaiting,
    Parent,
    StepCompleted,
    StepStarted,
    decode_events,
    encode_events,
)
from flow_engine.interpreter.journal import Entry, GiveUp
from flow_engine.payload import JsonValue, Payload
from services.executor.persistence.contract import (
    TERMINAL,
    Claim,
    ClaimedExecution,
    ExecutionRecord,
    ImmediateRun,
    NewExecution,
    Report,
    ReportOutcome,
    ReportReply,
)
from services.executor.persistence.store import SqlExecutionPersistence
from services.executor.persistence.tables import metadata

CLOCK = "(SELECT instant FROM test_clock)"
START = datetime(2026, 1, 1, 12, tzinfo=UTC)
TABLES = tuple(table.name for table in reversed(metadata.sorted_tables))
"""In an order in which they can be emptied."""

DEFINITION = b'{"nodes": [{"id": "a", "type": "flow.noop"}], "edges": []}'


def put_clock(url: str) -> None:
    """Give a migrated database a clock that stands still."""
    execute(url, "CREATE TABLE test_clock (instant TIMESTAMP WITH TIME ZONE NOT NULL)")
    execute(url, f"INSERT INTO test_clock VALUES ('{_text(START, url)}')")


def empty(url: str) -> None:
    with closing(Behind(url)) as connection:
        connection.clear()
        connection.execute(f"UPDATE test_clock SET instant = '{_text(START, url)}'")


class Behind:
    """A connection behind the persistence's back."""

    def __init__(self, url: str) -> None:
        self._sqlite: sqlite3.Connection | None = None
        self._postgres: psycopg.Connection[Any] | None = None
        if url.startswith("sqlite"):
            file = url.removeprefix("sqlite:///")
            self._sqlite = sqlite3.connect(file, isolation_level=None, timeout=10)
        else:
            self._postgres = psycopg.connect(url, autocommit=True)

    def execute(self, statement: str) -> list[tuple[Any, ...]]:
        if self._sqlite:
            return self._sqlite.execute(statement).fetchall()
        assert self._postgres
        cursor = self._postgres.execute(statement.encode())
        return cursor.fetchall() if cursor.description else []

    def clear(self) -> None:
        """Empty all tables, in one transaction."""
        deletions = "; ".join(f"DELETE FROM {table}" for table in TABLES)
        if self._sqlite:
            self._sqlite.executescript(f"BEGIN IMMEDIATE; {deletions}; COMMIT")
        else:
            self.execute(deletions)

    def close(self) -> None:
        for connection in (self._sqlite, self._postgres):
            if connection:
                connection.close()


def execute(url: str, statement: str) -> list[tuple[Any, ...]]:
    """Run one statement behind the persistence's back."""
    with closing(Behind(url)) as connection:
        return connection.execute(statement)


def _text(instant: datetime, url: str) -> str:
    return instant.strftime("%Y-%m-%d %H:%M:%S.%f") + ("" if url.startswith("sqlite") else "+00")


class Stage:
    def __init__(self, url: str, store: SqlExecutionPersistence) -> None:
        self.url = url
        self.store = store
        self.now = START
        self._behind: Behind | None = None
        self._newest = ""

    @property
    def is_sqlite(self) -> bool:
        return self.url.startswith("sqlite")

    @property
    def behind(self) -> Behind:
        if self._behind is None:
            self._behind = Behind(self.url)
        return self._behind

    def execute(self, statement: str) -> list[tuple[Any, ...]]:
        """Run one statement behind the persistence's back."""
        return self.behind.execute(statement)

    def clear(self) -> None:
        self.behind.clear()

    def close(self) -> None:
        if self._behind is not None:
            self._behind.close()

    def pass_time(self, seconds: float) -> None:
        self.now += timedelta(seconds=seconds)
        self.execute(f"UPDATE test_clock SET instant = '{_text(self.now, self.url)}'")

    def later_id(self) -> ExecutionId:
        """Sorts behind those before it, though they be of the same millisecond."""
        while (made := new_execution_id()) <= self._newest:
            pass
        self._newest = made
        return made

    # Starting ---------------------------------------------------------------------------------

    def new(
        self,
        mode: str = "queued",
        value: JsonValue = None,
        priority: int = 5,
        tags: Sequence[str] = (),
        **more: Any,
    ) -> NewExecution:
        execution_id = self.later_id()
        given = Payload.of(value)
        created = ExecutionCreated(
            time=self.now,
            definition_hash="definition",
            mode=mode,
            requested_mode="auto",
            root_id=execution_id,
            workflow_id=more.pop("workflow_id", "orders"),
            workflow_name="Orders",
            priority=priority,
            tags=tuple(tags),
            **({"input": value} if given.inline else {"input_ref": given.ref}),
        )
        return NewExecution(
            id=execution_id,
            created=created,
            definition_hash="definition",
            definition=DEFINITION,
            input=given,
            complexity=b'{"nodeCount":1}',
            **more,
        )

    async def queued(self, **more: Any) -> ExecutionId:
        new = self.new(**more)
        assert (await self.store.create(new)).created
        return new.id

    async def immediate(self, owner: str = "executor:1", first: Entry | None = None, **more: Any) -> Runner:
        new = self.new("immediate", **more)
        started = await self.store.create(new, ImmediateRun(owner, first))
        assert started.created
        runner = Runner(self, new.id, 1, owner, seen=1)
        if first is not None:
            runner.report_no = 1
            runner.seen = started.first_sequence + len(first.events) - 1
        return runner

    async def claim(
        self, worker: str = "worker:1", slots: int = 1, claim_id: str = "", **more: Any
    ) -> list[ClaimedExecution]:
        return await self.store.claim_next(Claim(worker, claim_id or new_execution_id(), slots, **more))

    async def claimed(self, worker: str = "worker:1", **more: Any) -> Runner:
        """An execution of our own, claimed: nothing else may be pending."""
        execution_id = await self.queued(**more)
        (claimed,) = await self.claim(worker)
        assert claimed.execution_id == execution_id
        return self.runner(claimed, worker)

    def runner(self, claimed: ClaimedExecution, worker: str = "worker:1") -> Runner:
        return Runner(self, claimed.execution_id, claimed.epoch, worker, claimed.last_sequence)

    async def waiting(self, wake_in: float | None = None, **more: Any) -> ExecutionId:
        """An execution that waits for an answer to step `ask`, or for a timer."""
        runner = await self.claimed(**more)
        wake_at = None if wake_in is None else self.now + timedelta(seconds=wake_in)
        reply = await runner.give_up(
            GiveUp(
                "waiting", wake_at=wake_at, wake_timer="ask#1", all_waiting=True, waits=[{"nodeId": "ask"}]
            ),
            ExecutionWaiting(time=self.now, wake_at=wake_at),
        )
        assert reply.outcome is ReportOutcome.OK
        return runner.id

    def child(self, parent: Runner, node_id: str = "child", *, waits: str = "each") -> NewExecution:
        """A child that a step of the parent starts; its start is to be reported."""
        link = Parent(execution_id=parent.id, node_id=node_id, waits=bool(waits))
        new = self.new(parent_waits=waits)
        id_ = child_id(parent.id, node_id, (), 0)
        created = msgspec.structs.replace(new.created, parent=link, root_id=parent.id, key_root=id_)
        return msgspec.structs.replace(new, id=id_, created=created)

    def item(self, parent: Runner, index: int, wakes: str) -> NewExecution:
        """An item of the parent's loop `each`."""
        link = Parent(execution_id=parent.id, node_id="each", index=index)
        new = self.new(parent_waits=wakes)
        id_ = child_id(parent.id, "each", (index,), 0)
        return msgspec.structs.replace(
            new, id=id_, created=msgspec.structs.replace(new.created, parent=link, key_root=id_)
        )

    def item_started(self, child: NewExecution, at_once: int, wakes: str) -> ChildStarted:
        link = child.created.parent
        assert link is not None
        return ChildStarted(
            time=self.now, node_id="each", child_id=child.id, index=link.index, at_once=at_once, wakes=wakes
        )

    def child_started(self, child: NewExecution) -> ChildStarted:
        link = child.created.parent
        assert link is not None
        return ChildStarted(time=self.now, node_id=link.node_id, child_id=child.id, waits=link.waits)

    async def with_child(self, *, waits: str = "each", gives_up: bool = True) -> tuple[Runner, NewExecution]:
        """A parent that waits for a child, which has started and is claimed by nobody."""
        parent = await self.claimed()
        child = self.child(parent, waits=waits)
        await parent.report(self.child_started(child))
        assert (await self.store.create(child)).created
        if gives_up:
            waiting = GiveUp("waiting", all_waiting=True, waits=[{"nodeId": "child", "kind": "child"}])
            await parent.give_up(waiting, ExecutionWaiting(time=self.now))
        return parent, child

    async def ended(self, execution_id: ExecutionId) -> Runner:
        """Claims it, with whatever else is pending, and completes it."""
        claimed = {one.execution_id: one for one in await self.claim(slots=10)}
        runner = self.runner(claimed[execution_id])
        await runner.complete()
        return runner

    async def relayed(self) -> None:
        """Apply all signals but starts."""
        for signal in await self.store.take_signals(100):
            match signal.kind:
                case "finished":
                    await self.store.finish_children(ExecutionId(signal.target), [ExecutionId(signal.source)])
                case "control":
                    await self.store.control_children(signal)

    def signals(self) -> set[tuple[str, str]]:
        """(kind, body) of what is still to be applied; the body of a start is left out."""
        rows = self.execute("SELECT kind, body FROM outbox_signals")
        return {(kind, "" if kind == "start" else body) for kind, body in rows}

    def step_events(self, node_id: str = "a") -> tuple[Event, Event]:
        return StepStarted(time=self.now, node_id=node_id), StepCompleted(time=self.now, node_id=node_id)

    # Looking ----------------------------------------------------------------------------------

    async def status(self, execution_id: ExecutionId) -> str:
        return (await self.store.get(execution_id)).status

    async def record(self, execution_id: ExecutionId) -> ExecutionRecord:
        return await self.store.get(execution_id)

    async def history(self, execution_id: ExecutionId) -> list[AnyEvent]:
        batches = await self.store.events(execution_id, 0, 100_000)
        return [
            event for batch in batches for event in decode_events(batch.events_json, batch.first_sequence)
        ]

    async def types(self, execution_id: ExecutionId) -> list[str]:
        return [type_of(event) for event in await self.history(execution_id)]

    def bells(self) -> set[str]:
        return {row[0] for row in self.execute("SELECT execution_id FROM outbox")}

    def audit(self) -> None:
        """What is true whatever happened: histories without gaps and in order, bells only for the queue."""
        rows = self.execute("SELECT id, status, last_sequence FROM workflow_executions")
        batches = self.execute(
            "SELECT execution_id, first_sequence, last_sequence, events FROM execution_events ORDER BY 1, 2",
        )
        for execution_id, status, last_sequence in rows:
            reached, time = 0, datetime.min.replace(tzinfo=UTC)
            ended = False
            for owner, first, last, text in batches:
                if owner != execution_id:
                    continue
                assert first == reached + 1, f"a gap in {execution_id}: {first} follows {reached}"
                events = decode_events(bytes(text), first)
                assert len(events) == last - first + 1
                for event in events:
                    assert event.time >= time, f"time goes back in {execution_id} at {event.sequence}"
                    assert not ended, f"{execution_id} goes on after its end"
                    time = event.time
                    ended = type_of(event) in {f"execution.{status}" for status in TERMINAL}
                reached = last
            assert reached == last_sequence
            assert ended == (status in TERMINAL)
        pending = {execution_id for execution_id, status, _ in rows if status == "pending"}
        assert self.bells() <= pending


@dataclass
class Runner:
    """A runner that does as the test says."""

    stage: Stage
    id: ExecutionId
    epoch: int
    owner: str
    seen: int
    report_no: int = 0

    def next_report(self, *events: Event, entry: Entry | None = None) -> Report:
        return Report(
            execution_id=self.id,
            epoch=self.epoch,
            owner=self.owner,
            report_no=self.report_no + 1,
            seen_sequence=self.seen,
            events_json=encode_events(events),
            event_count=len(events),
            entry=entry,
        )

    async def send(self, report: Report) -> ReportReply:
        reply = await self.stage.store.report(report)
        if reply.outcome is ReportOutcome.OK:
            self.report_no = max(self.report_no, report.report_no)
        if reply.outcome in (ReportOutcome.OK, ReportOutcome.UNSEEN_EVENTS):
            self.seen = max(self.seen, reply.last_sequence)
        return reply

    async def report(self, *events: Event, entry: Entry | None = None) -> ReportReply:
        return await self.send(self.next_report(*events, entry=entry))

    async def step(self, node_id: str = "a") -> ReportReply:
        now = self.stage.now
        return await self.report(
            StepStarted(time=now, node_id=node_id), StepCompleted(time=now, node_id=node_id)
        )

    async def give_up(self, give_up: GiveUp, *events: Event, **entry: Any) -> ReportReply:
        return await self.send(self.give_up_report(give_up, *events, **entry))

    def give_up_report(self, give_up: GiveUp, *events: Event, **entry: Any) -> Report:
        return self.next_report(*events, entry=Entry(events, give_up=give_up, **entry))

    async def complete(self) -> ReportReply:
        return await self.give_up(completed(), ExecutionCompleted(time=self.stage.now, output=1))

    def zombie(self) -> Runner:
        """The same runner in another process that does not know what became of it."""
        return replace(self)


def completed(result: bytes = b'{"output":1,"steps":[]}') -> GiveUp:
    return GiveUp("completed", result=result)


def type_of(event: Event) -> str:
    tag = event.__struct_config__.tag
    assert isinstance(tag, str)
    return tag
