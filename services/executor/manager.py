"""ExecutionManager: everything that can be done with executions, over whatever transport."""

from __future__ import annotations

import asyncio
from collections.abc import AsyncIterator, Callable, Sequence
from contextlib import suppress
from dataclasses import dataclass, replace
from datetime import datetime, timedelta

from msgspec import UNSET

from flow_engine import tracing
from flow_engine.callbacks import Claimed
from flow_engine.errors import (
    CallbackGone,
    FlowEngineError,
    IllegalTransition,
    InvalidRequest,
    NodeNotFound,
    NotWaiting,
    Problem,
    Unavailable,
    ValueNotFound,
)
from flow_engine.ids import MADE_FOR_ONE_CALL, ExecutionId, Iteration, new_execution_id
from flow_engine.interpreter.events import ExecutionCreated, ExecutionForked, placed
from flow_engine.interpreter.steps import Result, Step
from flow_engine.payload import Payload, decode, encode
from flow_engine.workflow.graph import WorkflowGraph
from services.executor.analyzer import ComplexityAnalysis
from services.executor.answers import answered_step
from services.executor.callbacks import CallbackKeys
from services.executor.database_clock import DatabaseClock
from services.executor.definitions import Definition, Definitions, node_types_of, types_of
from services.executor.durations.estimate import LONGEST_MS, Estimate
from services.executor.durations.memory import Durations
from services.executor.feed import Feed
from services.executor.fork import fork
from services.executor.history import created_event, names_value, result_of, snapshot_of, steps_at
from services.executor.inputs import check_against, parse_input
from services.executor.notifications import Notifications
from services.executor.persistence.contract import (
    TERMINAL,
    ChangeFilter,
    ChangePage,
    ExecutionFilter,
    ExecutionPersistence,
    ExecutionRecord,
    Move,
    NewExecution,
    Place,
    PurgeFilter,
    Started,
    StoredBatch,
)
from services.executor.progress import Progress, item_of, progress_of
from services.executor.queue_view import QueueView
from services.executor.quotas import QuotaKeeper
from services.executor.starts import StartRequest, Starts, limits
from services.executor.strategies.immediate import ImmediateExecutionStrategy
from services.executor.strategies.queued import QueuedExecutionStrategy
from services.executor.strategies.strategy import ExecutionStrategy, Prepared, Run
from services.executor.waiting import WaitingReason, waiting_reason
from services.executor.watch import News, Watches


@dataclass(frozen=True, slots=True)
class Accepted:
    """A start that is committed, by this call or an earlier one."""

    run: Run
    created: bool


@dataclass(frozen=True, slots=True)
class View:
    """One execution as it is shown."""

    record: ExecutionRecord
    result: Result  # steps; output when completed
    node_types: dict[str, str]
    progress: Progress | None
    waiting: WaitingReason | None


class ExecutionManager:
    """told: called when others wrote to the history of a running execution."""

    def __init__(
        self,
        persistence: ExecutionPersistence,
        definitions: Definitions,
        starts: Starts,
        immediate: ImmediateExecutionStrategy,
        queued: QueuedExecutionStrategy,
        notifications: Notifications,
        watches: Watches,
        feed: Feed,
        database_clock: DatabaseClock,
        queue: QueueView,
        callbacks: CallbackKeys,
        durations: Durations,
        told: Callable[[ExecutionId], None],
        quotas: QuotaKeeper,
    ) -> None:
        self._persistence = persistence
        self._quotas = quotas
        self._definitions = definitions
        self._starts = starts
        self._immediate = immediate
        self._queued = queued
        self._notifications = notifications
        self._watches = watches
        self._feed = feed
        self._database_clock = database_clock
        self._queue = queue
        self._callbacks = callbacks
        self._durations = durations
        self._told = told
        self._closed = False

    def close(self) -> None:
        """Start nothing from now on."""
        self._closed = True

    # Starting ---------------------------------------------------------------------------------

    async def start(self, request: StartRequest, *, at_once: bool = False) -> Accepted:
        """Start it, or find what this request id started. Returns once that is committed.

        at_once: commit before anything runs, because somebody watches or wants an answer now.
        """
        if self._closed:
            raise Unavailable("the executor is stopping")
        made = request.request_id.startswith(MADE_FOR_ONE_CALL)
        if not made and (known := await self._known(request)):
            return known
        try:
            prepared = await self._starts.prepare(request, at_once=at_once)
            self._quotas.admit(request.namespace, prepared.new.created.mode)
            run = await self._strategy(prepared.new.created.mode).execute(prepared)
            started = await run.accepted()
        except FlowEngineError:
            # It may be a repetition, refused for what the first call did.
            if made and (known := await self._known(request)):
                return known
            raise
        for replaced in started.replaced:
            self._told(replaced)
        if started.created:
            return Accepted(run, created=True)
        return Accepted(self._under_way(started.execution_id, request.namespace), created=False)

    async def _known(self, request: StartRequest) -> Accepted | None:
        """What its request id started before."""
        if not request.request_id:
            return None
        found = await self._persistence.find_start(
            request.request_id, request.request_hash, request.namespace
        )
        return None if found is None else Accepted(self._under_way(found, request.namespace), created=False)

    async def analyze(self, request: StartRequest) -> ComplexityAnalysis:
        """Which mode it would get, and why. Starts nothing."""
        return await self._starts.analyze(request)

    async def validate(self, workflow_json: str, namespace: str) -> list[Problem]:
        """All that is wrong with a definition."""
        try:
            await self._definitions.compile(workflow_json.encode(), namespace)
        except InvalidRequest as error:
            return list(error.problems)
        return []

    def _strategy(self, mode: str) -> ExecutionStrategy:
        return self._immediate if mode == self._immediate.mode else self._queued

    def _under_way(self, execution_id: ExecutionId, namespace: str) -> Run:
        return self._immediate.find(execution_id) or ForeignRun(
            execution_id, namespace, self._persistence, self._notifications
        )

    async def retry(self, execution_id: ExecutionId, from_node: str, namespace: str) -> ExecutionRecord:
        """A new queued execution that keeps what was done; the live one, if there is one.

        Raises ExecutionNotFound, IllegalTransition, NodeNotFound.
        """
        record = await self._persistence.get(execution_id, namespace)
        if record.status not in ("failed", "cancelled"):
            raise IllegalTransition(record.status, "retried")
        definition = await self._definitions.stored(record.definition_hash, record.namespace)
        view = await steps_at(self._persistence, record)
        now = self._database_clock.now()
        created = await created_event(self._persistence, record)
        forked = fork(definition.graph, view, from_node, now, created.within)
        new = again(record, created, definition, await self._input(created, record.namespace), forked)
        self._quotas.admit(namespace, "queued")
        run = await self._queued.execute(Prepared(new, definition.graph, 0.0))
        for replaced in run.started.replaced:
            self._told(replaced)
        return await self._persistence.get(run.execution_id, namespace)

    async def _input(self, created: ExecutionCreated, namespace: str) -> Payload:
        if created.input_ref is None:
            return Payload.of(None if created.input is UNSET else created.input)
        text = await self._persistence.payload(created.input_ref.hash, namespace)
        return Payload(decode(text), text)

    # Control ----------------------------------------------------------------------------------

    async def pause(self, execution_id: ExecutionId, reason: str, namespace: str) -> Move:
        """Running steps finish, nothing new starts. Raises ExecutionNotFound, IllegalTransition."""
        strategy = await self._strategy_of(execution_id, namespace)
        return legal(await strategy.pause(execution_id, reason, namespace), "paused", unless=TERMINAL)

    async def resume(self, execution_id: ExecutionId, namespace: str) -> Move:
        """Raises ExecutionNotFound, IllegalTransition."""
        strategy = await self._strategy_of(execution_id, namespace)
        return legal(await strategy.resume(execution_id, namespace), "resumed", unless=TERMINAL)

    async def cancel(self, execution_id: ExecutionId, reason: str, namespace: str) -> Move:
        """Running steps are interrupted. Raises ExecutionNotFound, IllegalTransition."""
        strategy = await self._strategy_of(execution_id, namespace)
        return legal(
            await strategy.cancel(execution_id, reason, namespace),
            "cancelled",
            unless=("completed", "failed"),
        )

    async def requeue(self, execution_id: ExecutionId, namespace: str, *, first: bool) -> ExecutionRecord:
        """Take it from its runner, who is locked out, and put it back into the queue.

        Raises ExecutionNotFound, IllegalTransition.
        """
        move = await self._persistence.requeue(execution_id, namespace, first=first)
        if not move.changed and move.record.status != "pending":
            raise IllegalTransition(move.record.status, "requeued")
        self._told(execution_id)
        return move.record

    async def purge(self, where: PurgeFilter, limit: int, reason: str) -> Sequence[ExecutionId]:
        """Cancel pending executions, at most so many."""
        return await self._persistence.purge(where, limit, reason)

    async def would_purge(self, where: PurgeFilter) -> Sequence[ExecutionId]:
        return await self._persistence.would_purge(where)

    async def _strategy_of(self, execution_id: ExecutionId, namespace: str) -> ExecutionStrategy:
        return self._strategy((await self._persistence.get(execution_id, namespace)).mode)

    async def submit_input(
        self,
        execution_id: ExecutionId,
        node_id: str,
        iteration: Iteration,
        input_json: str,
        namespace: str,
    ) -> ExecutionRecord:
        """Answer a waiting step. The same answer again changes nothing.

        Raises InvalidInput, NodeNotFound, NotWaiting, AmbiguousStep, AlreadyAnswered.
        """
        answer = parse_input(input_json)
        while True:
            record, beginning = await self._persistence.look(execution_id, namespace)
            if not await self._has_node(record, node_id):
                raise NodeNotFound(node_id)
            view = await steps_at(self._persistence, record, beginning)
            step, is_known = answered_step(view.steps, node_id, iteration, answer.ref.hash)
            if is_known:
                return record
            check_against((step.waiting or {}).get("schema"), answer.value)
            done = await self._persistence.signal(
                execution_id,
                node_id,
                step.iteration,
                step.attempts,
                answer,
                record.last_sequence,
                namespace,
                record,
            )
            if done is not None:
                if done.status == "running":
                    self._told(execution_id)
                return done

    async def submit_callback(self, token: str, payload_json: str) -> None:
        """What an outside system reports; a call that comes a little before its step waits is kept waiting.

        Raises CallbackNotFound, InvalidInput, NotWaiting, AlreadyAnswered, CallbackGone.
        """
        called = self._callbacks.read(token)
        execution_id = ExecutionId(called.execution_id)
        # The token is the right to answer, whoever brings it.
        namespace = await self._persistence.namespace_of(execution_id)
        deadline = asyncio.get_running_loop().time() + EARLY_SECONDS
        with self._notifications.listening(execution_id) as listener:
            while True:
                record = await self._persistence.get(execution_id, namespace)
                listener.cursor = record.last_sequence
                try:
                    await self.submit_input(
                        execution_id, called.node_id, called.iteration, payload_json, namespace
                    )
                    return
                except NotWaiting:
                    if not await self._may_wait_yet(record, called):
                        raise CallbackGone from None
                    left = deadline - asyncio.get_running_loop().time()
                    if left <= 0:
                        raise
                await listener.wait(left)

    async def _may_wait_yet(self, record: ExecutionRecord, called: Claimed) -> bool:
        if record.status in TERMINAL:
            return False
        step = (await steps_at(self._persistence, record)).get(called.node_id, called.iteration)
        return step is None or not step.finished

    # Reading ----------------------------------------------------------------------------------

    async def record(self, execution_id: ExecutionId, namespace: str) -> ExecutionRecord:
        """Raises ExecutionNotFound."""
        return await self._persistence.get(execution_id, namespace)

    async def view(self, execution_id: ExecutionId, namespace: str) -> View:
        """Raises ExecutionNotFound."""
        record = await self._persistence.get(execution_id, namespace)
        result = (await snapshot_of(self._persistence, record)).result
        self._tell_callback_urls(record, result.steps)
        node_types, progress = await self._shape(record, result.steps)
        return View(record, result, node_types, progress, await self._waiting(record))

    def _tell_callback_urls(self, record: ExecutionRecord, steps: Sequence[Step]) -> None:
        """Who may see an execution may answer it too."""
        callbacks = self._callbacks.of(record.id)
        for step in steps:
            if step.awaits_answer and step.waiting is not None and step.waiting["kind"] == "callback":
                step.waiting = {**step.waiting, "url": callbacks.url(step.node_id, step.iteration)}

    async def glance(self, run: Run, namespace: str) -> View:
        """Steps and output of an ended execution, of an open one its row alone: one read at most."""
        record = run.record or await self._persistence.get(run.execution_id, namespace)
        if record.result is None:
            return View(record, Result(), {}, None, self.reason(record))
        result = await result_of(self._persistence, record)
        node_types, progress = await self._shape(record, result.steps)
        return View(record, result, node_types, progress, None)

    async def _shape(
        self, record: ExecutionRecord, steps: Sequence[Step]
    ) -> tuple[dict[str, str], Progress | None]:
        """Node types and progress; where a node type is gone since, only what the definition says."""
        graph = await self._graph(record)
        if graph is None:
            return await self.node_types(record), None
        item = item_of(record)
        progress = progress_of(graph, steps, ended=record.status in TERMINAL, top=item)
        if record.status == "running" and item is None:
            progress = replace(progress, eta=await self._eta(graph, record, steps))
        return types_of(graph), progress

    async def _eta(self, graph: WorkflowGraph, record: ExecutionRecord, steps: Sequence[Step]) -> datetime:
        """When it will have ended, as far as history and declarations tell."""
        knowledge, now = await self._durations.of(graph, record.namespace), self._database_clock.now()
        left = Estimate(graph, None, knowledge, steps=steps, now=now).duration_ms
        return now + timedelta(milliseconds=min(left, LONGEST_MS))

    async def node_types(self, record: ExecutionRecord) -> dict[str, str]:
        graph = await self._graph(record)
        if graph is None:
            return node_types_of(await self._persistence.definition(record.definition_hash, record.namespace))
        return types_of(graph)

    async def _has_node(self, record: ExecutionRecord, node_id: str) -> bool:
        graph = await self._graph(record)
        return node_id in (await self.node_types(record) if graph is None else graph.nodes)

    async def _graph(self, record: ExecutionRecord) -> WorkflowGraph | None:
        """None where this process lacks a node type that the definition was accepted with."""
        try:
            return (await self._definitions.stored(record.definition_hash, record.namespace)).graph
        except InvalidRequest:
            return None

    async def _waiting(self, record: ExecutionRecord) -> WaitingReason | None:
        if record.status != "pending":
            return waiting_reason(record, None)
        return waiting_reason(record, await self._queue.of(record))

    def reason(self, record: ExecutionRecord) -> WaitingReason | None:
        """Why it does not run, as far as its row tells: without its place in the queue."""
        return waiting_reason(record, self._queue.glance(record) if record.status == "pending" else None)

    async def input_text(self, record: ExecutionRecord) -> str:
        created = await created_event(self._persistence, record)
        return (await self._input(created, record.namespace)).text.decode()

    async def output_text(self, view: View) -> str | None:
        """JSON text of a completed execution's output."""
        if view.record.status != "completed":
            return None
        if view.result.output_ref is not None:
            return (
                await self._persistence.payload(view.result.output_ref.hash, view.record.namespace)
            ).decode()
        return None if view.result.output is UNSET else encode(view.result.output).decode()

    async def value_text(self, execution_id: ExecutionId, hash_: str, namespace: str) -> str:
        """JSON text of a value that the execution's history names by its hash.

        Raises ExecutionNotFound, ValueNotFound.
        """
        record = await self._persistence.get(execution_id, namespace)
        if hash_ != record.input_hash and not await names_value(self._persistence, record, hash_):
            raise ValueNotFound(hash_)
        return (await self._persistence.payload(hash_, namespace)).decode()

    async def definition_text(self, record: ExecutionRecord) -> str:
        return (await self._persistence.definition(record.definition_hash, record.namespace)).decode()

    async def list(
        self, where: ExecutionFilter, limit: int, before: tuple[datetime, str] | None
    ) -> Sequence[ExecutionRecord]:
        """Newest first, after the one that `before` names by creation and id."""
        return await self._persistence.list(where, limit, before)

    async def count(self, where: ExecutionFilter, most: int) -> int:
        """How many match; `most` + 1 when there are more than `most`."""
        return await self._persistence.count(where, most)

    async def events(
        self, execution_id: ExecutionId, after_sequence: int, limit: int, namespace: str
    ) -> tuple[Sequence[StoredBatch], int]:
        """Batches after a sequence, and the newest sequence. Raises ExecutionNotFound."""
        record = await self._persistence.get(execution_id, namespace)
        batches = await self._persistence.events(execution_id, after_sequence, limit, namespace)
        return batches, record.last_sequence

    def watch(self, execution_id: ExecutionId, after_sequence: int, namespace: str) -> AsyncIterator[News]:
        """Everything after a sequence, as it happens, until the execution's end."""
        return self._watches.follow(execution_id, after_sequence, namespace)

    def watch_all(self, where: ChangeFilter, after: Place | None) -> AsyncIterator[ChangePage]:
        """Every change after a place, or from now on, as it happens."""
        return self._feed.follow(where, after)

    async def changes(self, where: ChangeFilter, after: Place | None, limit: int) -> ChangePage:
        """The changes after a place that are there; without one only the newest place."""
        return await self._feed.page(where, after, limit)


class ForeignRun:
    """An execution that runs elsewhere, or not at all: followed by its row."""

    record = None

    def __init__(
        self,
        execution_id: ExecutionId,
        namespace: str,
        persistence: ExecutionPersistence,
        notifications: Notifications,
    ) -> None:
        self.execution_id = execution_id
        self._namespace = namespace
        self._persistence = persistence
        self._notifications = notifications

    async def accepted(self) -> Started:
        return Started(self.execution_id, created=False)

    async def settled(self, timeout_seconds: float | None) -> None:
        with suppress(TimeoutError), self._notifications.listening(self.execution_id) as listener:
            async with asyncio.timeout(timeout_seconds):
                record = await self._persistence.get(self.execution_id, self._namespace)
                while record.status == "running" and record.mode == "immediate":
                    listener.cursor = record.last_sequence
                    await listener.wait(RELOOK_SECONDS)
                    record = await self._persistence.get(self.execution_id, self._namespace)


EARLY_SECONDS = 5.0
"""How long a callback waits for its step: the other system may be quicker than we are."""
RELOOK_SECONDS = 5.0
"""Watched executions are looked at each second; this is for when that fails."""


def legal(move: Move, requested: str, *, unless: Sequence[str]) -> Move:
    """The move, if the status it led to is not one that makes what was asked impossible.

    Once it was told to cancel, an execution does nothing else.
    """
    record = move.record
    cancelling = record.pending_control == "cancel" and requested != "cancelled"
    if not move.changed and (cancelling or record.status in unless):
        raise IllegalTransition(record.status, requested, cancelling=cancelling)
    return move


def again(
    record: ExecutionRecord,
    created: ExecutionCreated,
    definition: Definition,
    value: Payload,
    forked: ExecutionForked,
) -> NewExecution:
    """The start of a retry: what was asked of the first one, on the queue, with its time anew."""
    now = forked.time
    span = None if created.deadline_at is None else created.deadline_at - created.time
    policy = definition.graph.on_conflict
    execution_id = new_execution_id()
    anew = ExecutionCreated(
        time=now,
        definition_hash=record.definition_hash,
        mode="queued",
        requested_mode=record.requested_mode,
        root_id=record.root_id,
        key_root=created.key_root,
        within=created.within,
        workflow_id=record.workflow_id,
        workflow_name=record.workflow_name,
        priority=record.priority,
        tags=record.tags,
        max_retries=created.max_retries,
        deadline_at=None if span is None else now + span,
        retry_of=record.id,
        trace_parent=tracing.current_traceparent(),
        **placed(value, "input"),
    )
    return NewExecution(
        id=execution_id,
        created=anew,
        definition_hash=record.definition_hash,
        definition=definition.text,
        input=value,
        complexity=record.complexity,
        timeout_ms=None if span is None else span // timedelta(milliseconds=1),
        retry_of=record.id,
        forked=forked,
        workflow_version=record.workflow_version,
        # Who retries one execution must not be answered with another one.
        on_conflict="reject" if policy == "use_existing" else policy,
        namespace=record.namespace,
        **limits(definition.graph, anew, value, execution_id),
    )
