"""Carries out one execution, in either mode: orders in, facts out.

The runner holds the lease of its execution through a `Journal`. Facts are applied to the
state as they are recorded and committed soon after: at once and in order before an outside
effect, otherwise within 50 ms or 256 events. Nobody else is told of them before that.
Source of the rules: docs/protocol.md.
"""

from __future__ import annotations

import asyncio
import time
from collections.abc import Coroutine, Mapping, Sequence
from contextlib import suppress
from dataclasses import dataclass
from datetime import datetime, timedelta
from functools import lru_cache
from math import inf
from typing import Any

from flow_engine import tracing
from flow_engine.callbacks import Callbacks, hidden
from flow_engine.expressions import EvaluationError
from flow_engine.ids import child_id, step_key
from flow_engine.interpreter import commands as c
from flow_engine.interpreter import events as e
from flow_engine.interpreter import snapshots
from flow_engine.interpreter.attempts import (
    MAX_VALUE_BYTES,
    Prepared,
    backoff_ms,
    in_doubt,
    input_invalid,
    judged,
    may_retry,
    prepare,
    retry_policy,
    run_attempt,
    timed_out,
    too_large,
    wake_of,
)
from flow_engine.interpreter.decisions import next_command
from flow_engine.interpreter.journal import GiveUp, Journal, PayloadSource
from flow_engine.interpreter.recorder import Recorder
from flow_engine.interpreter.state import ExecutionState, IterationResult, Scope, StepState, Stored
from flow_engine.interpreter.steps import MILLISECOND, StepsView, encode_result
from flow_engine.interpreter.timers import Timer, Timers
from flow_engine.interpreter.values import Values
from flow_engine.interpreter.visible import (
    Place,
    condition_scope,
    default_input,
    expression_scope,
    outer_of,
)
from flow_engine.looping import put_down
from flow_engine.metering import Meter, Usage, metered
from flow_engine.nodes.contract import (
    Completed,
    Effect,
    Failed,
    NodeContext,
    NodeError,
    NodeServices,
    Outcome,
    Spawning,
    Waiting,
)
from flow_engine.payload import JsonValue, Payload, encode
from flow_engine.secrets import NO_SECRETS, SecretSource
from flow_engine.secrets.use import SecretsInUse, secrets_for
from flow_engine.workflow.graph import WorkflowGraph, local_id
from flow_engine.workflow.json_schemas import value_problems

SHORT_WAIT_SECONDS = 5.0
"""Waits up to this long keep the lease; longer ones let go of the execution."""
OVERRUN = 1.25
"""Typical durations are guesses: a node is not begun only where it would clearly overrun the budget."""
TURN_SECONDS = 0.005
"""How long a run of inline nodes may keep the event loop."""
MAX_HISTORY_BYTES = 64 << 20
ITEMS_AT_ONCE = 256
"""Children that a distributed loop starts before other orders have their turn."""
SNAPSHOT_AFTER_EVENTS = 100
"""A shorter history is folded faster than a snapshot of it is written and read."""
SNAPSHOT_BYTES_PER_EVENT = 256
"""A large state is written anew only after as much history again."""


@dataclass(frozen=True, slots=True)
class RunEnd:
    """How a run ended or was put down: the status that the execution has now."""

    status: str  # completed, failed, cancelled, waiting, paused, pending
    output: Payload | None = None  # when completed
    error: e.Failure | None = None  # when failed


class Runner:
    """One run of one leased execution. `run` it once.

    history: all events so far, from 1, or those after the `snapshot` of the state before them.
    budget_ends_at: on the monotonic clock, for immediate runs: a node that would typically take
    longer than what is left is not begun here. snapshot_after: so many events are worth a new snapshot.
    """

    def __init__(
        self,
        graph: WorkflowGraph,
        history: Sequence[e.AnyEvent],
        journal: Journal,
        payloads: PayloadSource,
        services: NodeServices,
        execution_id: str,
        *,
        snapshot: bytes = b"",
        snapshot_after: int = SNAPSHOT_AFTER_EVENTS,
        budget_ends_at: float | None = None,
        typical_ms: Mapping[str, float] | None = None,
        callbacks: Callbacks | None = None,
        secrets: SecretSource = NO_SECRETS,
    ) -> None:
        self.graph = graph
        self.execution_id = execution_id
        self.state = snapshots.restore(graph, snapshot) if snapshot else ExecutionState(graph)
        self.view = None if snapshot else StepsView()  # a snapshot does not say how each step went
        self._snapshot_after = max(snapshot_after, len(snapshot) // SNAPSHOT_BYTES_PER_EVENT)
        self._events_since_snapshot = 0
        self._journal = journal
        self._values = Values(payloads)
        self._services = services
        self._budget_ends_at = budget_ends_at
        self._typical_ms = typical_ms or {}
        self._callbacks = callbacks
        self._secrets = secrets
        self._recorder = Recorder(journal, self._values, self._take_in, self._spawn, self._drop)
        self._changed = asyncio.Event()
        self._tasks: dict[asyncio.Task[None], c.StepId | None] = {}
        self._timers = Timers()
        self._meters: dict[c.StepId, Meter] = {}
        self._traced: list[tracing.Ended] = []  # spans of inline nodes, which cost less when told together
        self._nudged = False
        self._quiescing = ""
        self._dropped: BaseException | None = None
        self._end: RunEnd | None = None
        for event in history:
            self._absorb(event)
        self.state.history_bytes += e.value_bytes(history)

    # From outside ---------------------------------------------------------------------------

    async def run(self) -> RunEnd:
        """Run until the execution ends or must be given up.

        Raises LeaseLost when it is no longer ours, and CancelledError after `abandon`; then
        nothing more was written.
        """
        try:
            self._begin()
            while self._end is None:
                self._changed.clear()
                self._raise_if_dropped()
                await self._fetch_if_nudged()
                await self._fire_due_timers()
                await self._carry_out_commands()
                if not await self._let_go_if_idle():
                    await self._wait_for_change()
            return self._end
        finally:
            self._tell_spans()
            await self._stop_tasks()

    def nudge(self) -> None:
        """Others have written to the history: look."""
        self._nudged = True
        self._changed.set()

    def quiesce(self, reason: str) -> None:
        """Start nothing new; when the running steps are done, give the execution to the queue.

        reason: budget, predicted, shutdown. An immediate run is promoted at once and kept until quiet.
        """
        if self._quiescing or self._end is not None:
            return
        self._quiescing = reason
        if self.state.mode == "immediate" and not self.state.ended:
            self._record(e.ExecutionPromoted(time=self._now(), reason=reason))
            self._spawn(self._recorder.durable())
        self._changed.set()

    def abandon(self) -> None:
        """Drop the run at once and write nothing more: somebody else will go on from the history."""
        self._drop(asyncio.CancelledError())

    # The loop -------------------------------------------------------------------------------

    def _begin(self) -> None:
        state = self.state
        if not state.started:
            self._record(e.ExecutionStarted(time=self._now()))
        for step in state.orphans():
            if step.node.at_most_once:
                self._settle_failure(step, in_doubt("its runner was lost"), None)
            elif step.cancelling or state.scopes[step.node.parent_id, step.iteration].closing:
                continue  # its cancellation is ordered again
            else:
                state.give_back(step)
        for step in state.open_steps():
            self._arm(step)
        created = state.created
        if created is not None and created.deadline_at is not None:
            self._hold_timer(created.deadline_at, Timer("deadline"))

    async def _carry_out_commands(self) -> None:
        turn_ends = time.monotonic() + TURN_SECONDS
        while (command := next_command(self.state, may_start=not self._quiescing)) is not None:
            await self._carry_out(command)
            if self._end is not None or self._nudged or self._dropped is not None:
                return
            if time.monotonic() >= turn_ends:
                await self._yield()
                turn_ends = time.monotonic() + TURN_SECONDS

    async def _yield(self) -> None:
        """Let everything else of this process have its turn, timers that came due meanwhile too."""
        self._tell_spans()
        if self._recorder.is_behind:
            await self._recorder.durable()
        for _ in range(3):  # a timer sets a future, which wakes a task: each takes a round
            await asyncio.sleep(0)

    async def _carry_out(self, command: c.Command) -> None:
        match command:
            case c.RunNode(step_id):
                await self._start(self.state.step(step_id), resumed=False)
            case c.ResumeNode(step_id):
                await self._start(self.state.step(step_id), resumed=True)
            case c.SkipNode((node_id, iteration)):
                self._record(e.StepSkipped(time=self._now(), node_id=node_id, iteration=iteration))
            case c.CancelStep(step_id, reason):
                self._cancel(self.state.step(step_id), reason)
            case c.CheckCondition(step_id):
                await self._check_condition(self.state.step(step_id))
            case c.StartChildren(step_id):
                await self._start_items(self.state.step(step_id))
            case c.CompleteContainer(step_id):
                await self._complete_container(self.state.step(step_id))
            case c.FailContainer(step_id, failure):
                self._settle_failure(self.state.step(step_id), failure, None)
            case c.CompleteExecution():
                await self._complete()
            case c.FailExecution(failure):
                await self._finish(e.ExecutionFailed(time=self._now(), error=failure), error=failure)
            case c.CancelExecution(reason):
                await self._finish(e.ExecutionCancelled(time=self._now(), reason=reason))

    async def _let_go_if_idle(self) -> bool:
        """Give the execution up when nothing runs here and nothing will soon. True: look again at once."""
        state = self.state
        if self._end is not None:
            return True
        if any(step is not None for step in self._tasks.values()) or self._nudged or state.doomed:
            return False
        if state.pause_requested:
            return await self._give_up("paused", e.ExecutionPaused(time=self._now()))
        if state.may_go_on:
            return await self._give_up("pending") if self._quiescing else True
        if self._timers.seconds_left() > SHORT_WAIT_SECONDS:
            return await self._give_up(
                "waiting", e.ExecutionWaiting(time=self._now(), wake_at=self._earliest()[0])
            )
        return await self._give_up("pending") if self._quiescing else False

    async def _wait_for_change(self) -> None:
        self._tell_spans()
        seconds = self._timers.seconds_left()
        with suppress(TimeoutError):
            async with asyncio.timeout(None if seconds == inf else max(0.0, seconds)):
                await self._changed.wait()

    # Steps ----------------------------------------------------------------------------------

    async def _start(self, step: StepState, *, resumed: bool) -> None:
        if self._would_overrun(step):
            self.quiesce("predicted")
            self.state.put_back(step) if step.status == "ready" else self.state.woken.appendleft(step)
            return
        if step.node.type.container:
            await self._open_container(step)
            return
        self.state.reserve(step)
        if step.node.type.inline:
            await self._attempt(step, resumed)
        else:
            self._spawn(self._attempt(step, resumed), step.id)

    def _tell_spans(self) -> None:
        if self._traced:
            traced, self._traced = self._traced, []
            tracing.tell(traced)

    def _would_overrun(self, step: StepState) -> bool:
        """A question is asked here: waiting for its answer lets go of the execution anyway."""
        if self._budget_ends_at is None or self.state.mode != "immediate":
            return False
        if step.node.type.container or step.node.type.human or step.node.type.called_back:
            return False
        learned = self._typical_ms.get(step.node.id)
        typical = (step.node.type.typical_ms(step.node.raw_config) if learned is None else learned) / 1000
        return typical > OVERRUN * max(0.0, self._budget_ends_at - time.monotonic())

    async def _attempt(self, step: StepState, resumed: bool) -> None:
        """One attempt, from its start event to its outcome."""
        self._settle(step, await self._try(step, resumed))

    async def _try(self, step: StepState, resumed: bool) -> Outcome:
        node, state = step.node, self.state
        scope = await self._scope(Place.of(step), node.reads)
        if node.callbacks and self._callbacks:
            scope["callbacks"] = self._callback_urls(self._callbacks, step)
        given = await secrets_for(self._secrets, node.secrets) if node.secrets else None
        secrets = given if isinstance(given, SecretsInUse) else None
        prepared = given if isinstance(given, e.Failure) else prepare(node, scope, secrets)
        wake = None
        if resumed:
            wake = wake_of(await self._values.get(_came(step)), step.timed_out, step.child)
            if step.timed_out and step.times_out:
                return Failed(timed_out(node))
        else:
            self._record_start(step, prepared)
        if not isinstance(prepared, Prepared):
            return Failed(prepared)
        if node.type.effect is Effect.EXTERNAL:
            await asyncio.shield(
                self._spawn(self._recorder.durable())
            )  # a cancelled step must not undo a commit
            await self._journal.sure()
        context = NodeContext(
            execution_id=self.execution_id,
            node_id=node.id,
            iteration=step.iteration,
            attempt=step.attempt,
            step_key=step_key(self._key_root, node.id, step.iteration, state.generation(step.id)),
            services=self._services if secrets is None else secrets.services(self._services),
            scope=scope,
            predecessors=await self._predecessors(step) if node.type.wants_predecessors else {},
            default_input=await default_input(state, self._values, step)
            if node.type.wants_predecessors
            else None,
            remaining_ms=self._remaining_ms(step),
        )
        running = run_attempt(node, context, prepared.config, wake, node.timeout_ms)
        if not node.type.inline:
            meter = self._meters[step.id] = Meter()
            running = metered(running, meter)
        if not tracing.enabled():
            outcome = await running
        elif node.type.inline:
            began = time.time_ns()
            outcome = await running
            described = _described(node.id, node.type.type, step.attempt)
            self._traced.append((described, began, time.time_ns(), _code_of(outcome)))
        else:
            with tracing.span_of(_described(node.id, node.type.type, step.attempt)) as span:
                outcome = await running
                tracing.mark_failed(span, _code_of(outcome))
        return outcome if secrets is None else secrets.outcome(outcome)

    def _record_start(
        self,
        step: StepState,
        prepared: Prepared | e.Failure,
        loop: e.Loop | None = None,
        items: Payload | None = None,
    ) -> None:
        shown = prepared.shown if isinstance(prepared, Prepared) else None
        if step.node.callbacks and self._callbacks:
            shown = hidden(shown, self._callbacks.prefix)
        payload = None if shown is None else Payload.of(shown)
        self._record(
            e.StepStarted(
                time=self._now(),
                node_id=step.node.id,
                iteration=step.iteration,
                attempt=step.attempt + 1,
                loop=loop,
                **(e.placed(payload, "input") if payload else {}),
            ),
            *filter(None, (payload, items)),
        )

    async def _predecessors(self, step: StepState) -> dict[str, JsonValue]:
        scope = self.state.scopes[step.node.parent_id, step.iteration]
        return {
            source.node.id: await self._values.get(source.output)
            for edge in step.node.incoming
            if (source := scope.steps.get(edge.source)) is not None and source.took(edge)
        }

    def _settle(self, step: StepState, outcome: Outcome) -> None:
        """Record what became of an attempt."""
        verdict = judged(outcome)
        match verdict:
            case Payload():
                assert isinstance(outcome, Completed)
                self._record(
                    e.StepCompleted(
                        time=self._now(),
                        node_id=step.node.id,
                        iteration=step.iteration,
                        attempt=step.attempt,
                        handle=outcome.handle,
                        stops_children=step.loop is not None and step.has_child,
                        handles=outcome.handles,
                        usage=self._used(step),
                        **e.placed(verdict, "output"),
                    ),
                    verdict,
                )
            case Waiting():
                self._settle_waiting(step, verdict)
            case Spawning():
                self._settle_spawning(step, verdict)
            case Failed(failure, retry_after_ms):
                self._settle_failure(step, failure, retry_after_ms)

    def _used(self, step: StepState) -> Usage | None:
        meter = self._meters.pop(step.id, None)
        return None if meter is None else meter.usage()

    def _settle_waiting(self, step: StepState, waiting: Waiting) -> None:
        own = step.node.timeout_ms
        times_out = own is not None and (waiting.timeout_ms is None or own < waiting.timeout_ms)
        span = own if times_out else waiting.timeout_ms
        given = None if waiting.input is None else Payload.of(waiting.input)
        if given is not None and len(given.text) > MAX_VALUE_BYTES:
            self._settle_failure(step, too_large("input", len(given.text)), None)
            return
        self._record(
            e.StepWaiting(
                time=self._now(),
                node_id=step.node.id,
                iteration=step.iteration,
                attempt=step.attempt,
                until=None if span is None else self._now() + timedelta(milliseconds=span),
                times_out=times_out,
                wait=None if waiting.signal is None else dict(waiting.signal),
                usage=self._used(step),
                **(e.placed(given, "input") if given else {}),
            ),
            *([given] if given else []),
        )
        self._arm(step)

    def _settle_spawning(self, step: StepState, spawning: Spawning) -> None:
        """Start a child. Its id follows from the step: however often this happens, it is started once."""
        node, given = step.node, Payload.of(spawning.input)
        failure = self._unfit_input(given, self.graph.children[node.id].graph.input_schema)
        if failure is not None:
            self._settle_failure(step, failure, None)
            return
        started = child_id(self._key_root, node.id, step.iteration, self.state.generation(step.id))
        self._record(
            e.ChildStarted(
                time=self._now(),
                node_id=node.id,
                iteration=step.iteration,
                attempt=step.attempt,
                child_id=started,
                waits=spawning.waits,
                **e.placed(given, "input"),
            ),
            given,
        )
        if spawning.waits:
            self._settle_waiting(step, Waiting(signal={"kind": "child", "executionId": started}))
        else:
            self._settle(step, Completed({"executionId": started}))

    async def _start_items(self, step: StepState) -> None:
        """Start children for the next items of a distributed loop; the rest in another turn."""
        loop = step.loop
        assert loop is not None
        items = await self._values.get(loop.items)
        outer = Payload.of(await outer_of(self.state, self._values, self.execution_id, step))
        if len(outer.text) > MAX_VALUE_BYTES:
            self.state.time_out(_at(too_large("part that the items see", len(outer.text)), step), step)
            return
        wakes = "each" if loop.plan.stop_after else "last" if loop.plan.collect_errors else "failed"
        generation = self.state.generation(step.id)
        for index in range(loop.next_index, min(loop.next_index + ITEMS_AT_ONCE, len(items))):
            item = Payload.of(items[index])
            self._record(
                e.ChildStarted(
                    time=self._now(),
                    node_id=step.node.id,
                    iteration=step.iteration,
                    attempt=step.attempt,
                    child_id=child_id(self._key_root, step.node.id, (*step.iteration, index), generation),
                    index=index,
                    at_once=loop.plan.concurrency,
                    wakes=wakes,
                    outer_ref=outer.ref,
                    **e.placed(item, "input"),
                ),
                item,
                referred=(outer,),
            )
        if loop.awaits_start:
            self.state.undistributed.append(step)

    def _unfit_input(self, given: Payload, schema: Mapping[str, Any] | None) -> e.Failure | None:
        """Why a sub-flow cannot run with this input."""
        if len(given.text) > MAX_VALUE_BYTES:
            return too_large("sub-flow's input", len(given.text))
        return None if schema is None else input_invalid(value_problems(schema, given.value))

    def _settle_failure(self, step: StepState, failure: e.Failure, retry_after_ms: int | None) -> None:
        max_retries = self.state.created.max_retries if self.state.created else None
        policy = retry_policy(step.node, self.graph.retry_of(step.node), max_retries)
        common: dict[str, Any] = {
            "time": self._now(),
            "node_id": step.node.id,
            "iteration": step.iteration,
            "attempt": step.attempt,
            "usage": self._used(step),
        }
        closing = self.state.scopes[step.node.parent_id, step.iteration].closing
        takes_retry = not (step.node.type.container or step.node.type.spawns)
        if may_retry(failure, policy, step.failures) and takes_retry and not closing:
            wait = timedelta(milliseconds=backoff_ms(policy, step.failures, retry_after_ms))
            self._record(e.StepRetrying(error=failure, retry_at=self._now() + wait, **common))
            self._arm(step)
            return
        origin = failure if failure.node_id else _at(failure, step)
        self._record(
            e.StepFailed(error=origin, handled=step.node.on_error, stops_children=step.has_child, **common)
        )

    def _cancel(self, step: StepState, reason: str) -> None:
        """Interrupt a step: its task if it has one, else just by saying so."""
        step.cancel_reason = reason
        task = next((task for task, owner in self._tasks.items() if owner == step.id), None)
        if task is None or not task.cancel():  # of an earlier attempt, and over
            self._settle_cancelled(step)

    def _settle_cancelled(self, step: StepState) -> None:
        if step.node.at_most_once and step.status == "running" and not step.node.type.container:
            self._settle_failure(step, in_doubt("it was interrupted"), None)
            return
        self._record(
            e.StepCancelled(
                time=self._now(),
                node_id=step.node.id,
                iteration=step.iteration,
                attempt=step.attempt,
                reason=step.cancel_reason,
                stops_children=step.has_child,
            )
        )

    # Containers and the end -----------------------------------------------------------------

    async def _open_container(self, step: StepState) -> None:
        scope = await self._scope(Place.of(step), step.node.reads)
        prepared = prepare(step.node, scope)
        failure = prepared if isinstance(prepared, e.Failure) else None
        loop, items = None, None
        if isinstance(prepared, Prepared):
            try:
                opening = step.node.type.open(prepared.config)
            except NodeError as error:
                failure = error.failure
            else:
                if prepared.shown is not None:
                    prepared.shown.pop(step.node.type.planned, None)  # the loop's plan holds it
                items = None if opening.items is None else Payload.of(opening.items)
                loop = e.Loop(
                    item_count=None if opening.items is None else len(opening.items),
                    concurrency=opening.concurrency,
                    collect_errors=opening.collect_errors,
                    stop_after=opening.stop_after,
                    distributed=step.node.type.spawns,
                    **(e.placed(items, "items") if items else {}),
                )
                failure = self._unfit(step, opening.items, items)
                if failure is not None:
                    loop, items = None, None
        self._record_start(step, prepared, loop, items)
        if failure is not None:
            self._settle_failure(step, failure, None)
        else:
            self._arm(step)

    def _unfit(
        self, step: StepState, items: Sequence[JsonValue] | None, payload: Payload | None
    ) -> e.Failure | None:
        """Why a container cannot run with these items; of a sub-flow, with this input."""
        if items is None or payload is None:
            return None
        subflow = self.graph.subflows.get(step.node.id)
        if subflow is not None:
            return self._unfit_input(Payload.of(items[0]), subflow.input_schema)
        if len(payload.text) > MAX_VALUE_BYTES:
            return too_large("item list", len(payload.text))
        return None

    async def _check_condition(self, step: StepState) -> None:
        """Between two iterations of a container without items: open another, or end it."""
        assert step.loop is not None
        scope = await self._scope(Place.of(step), step.node.reads)
        prepared = prepare(step.node, scope)
        if isinstance(prepared, e.Failure):
            self._settle_failure(step, prepared, None)
            return
        try:
            inside = await condition_scope(scope, step, self._values)
            goes_on = step.node.type.goes_on(prepared.config, inside, step.loop.next_index)
        except NodeError as error:
            self._settle_failure(step, error.failure, None)
            return
        if goes_on:
            self.state.open_next_iteration(step)
        else:
            step.loop.ended = True
            await self._complete_container(step)

    async def _complete_container(self, step: StepState) -> None:
        assert step.loop is not None
        results = [
            await self._iteration_result(step, result) for _, result in sorted(step.loop.results.items())
        ]
        prepared = prepare(step.node, await self._scope(Place.of(step), step.node.reads))
        if isinstance(prepared, e.Failure):
            self._settle_failure(step, prepared, None)
        else:
            self._settle(step, step.node.type.fold(prepared.config, results))

    async def _iteration_result(self, step: StepState, result: IterationResult) -> JsonValue | e.Failure:
        if result.error is None and step.node.type.subflow:
            return await self._subflow_output(step)
        return result.error or await self._values.folded(result.sinks)

    async def _subflow_output(self, step: StepState) -> JsonValue | e.Failure:
        subflow, inside = self.graph.subflows[step.node.id], Place.inside(step)
        returned = self.state.scopes[inside.flow, inside.iteration].returned
        try:
            if returned is None and subflow.output is not None:
                return subflow.output.render(await self._scope(inside, subflow.output_reads))
        except EvaluationError as error:
            return e.Failure("OUTPUT_FAILED", f"output: {error}")
        return await self._scope_output(self.state.scopes[inside.flow, inside.iteration])

    async def _scope_output(self, scope: Scope) -> JsonValue:
        """What a scope without a template for it puts out."""
        if scope.returned is not None:
            return await self._values.get(scope.returned)
        return await self._values.folded(scope.sinks())

    async def _complete(self) -> None:
        try:
            output = Payload.of(await self._output())
        except EvaluationError as error:
            failure = e.Failure("OUTPUT_FAILED", f"output: {error}")
        else:
            if len(output.text) <= MAX_VALUE_BYTES:
                event = e.ExecutionCompleted(time=self._now(), **e.placed(output, "output"))
                await self._finish(event, output=output)
                return
            failure = too_large("execution's output", len(output.text))
        await self._finish(e.ExecutionFailed(time=self._now(), error=failure), error=failure)

    async def _output(self) -> JsonValue:
        whole = self.state.within is None
        if whole and self.graph.output is not None and self.state.top.returned is None:
            return self.graph.output.render(await self._scope(Place(), self.graph.output_reads))
        return await self._scope_output(self.state.top)

    async def _finish(
        self, event: e.Event, *, output: Payload | None = None, error: e.Failure | None = None
    ) -> None:
        status = {e.ExecutionCompleted: "completed", e.ExecutionFailed: "failed"}.get(
            type(event), "cancelled"
        )
        give_up = GiveUp(
            status,
            result=encode_result(self.view, output),
            error=b"" if error is None else encode(error),
        )
        payloads = [output] if output is not None and not output.inline else []
        if await self._recorder.commit([event], give_up=give_up, payloads=payloads):
            self._end = RunEnd(status, output, error)

    async def _give_up(self, status: str, *events: e.Event) -> bool:
        """Put the run down; True also when others have written meanwhile and we must look again."""
        reason = {"waiting": "waiting", "paused": "paused"}.get(status, self._quiescing)
        promoted = []
        if self.state.mode == "immediate":  # it stands before `events`, which have their time already
            promoted = [e.ExecutionPromoted(time=events[0].time if events else self._now(), reason=reason)]
        wake_at, wake_timer = self._earliest()
        leaves = [step for step in self.state.open_steps() if _rests(step)]
        give_up = GiveUp(
            status,
            wake_at=wake_at,
            wake_timer=wake_timer,
            all_waiting=bool(leaves) and not self.state.may_go_on,
            waits=[_wait_shown(step) for step in leaves],
        )
        extra = [*promoted, *events]
        snapshot = (
            snapshots.take(self.state, extra) if self._events_since_snapshot >= self._snapshot_after else b""
        )
        if await self._recorder.commit(extra, give_up=give_up, snapshot=snapshot):
            self._end = RunEnd(status)
        return True

    # Time -----------------------------------------------------------------------------------

    def _now(self) -> datetime:
        now = self._journal.database_now()
        last = self.state.last_time
        return now if last is None else max(now, last)

    def _arm(self, step: StepState) -> None:
        """Hold the timers of an open step."""
        if step.due_at is not None and step.status in ("waiting", "retrying"):
            self._hold_timer(step.due_at, Timer(step.status, step.id, step.attempt))
        if (ends_at := _container_ends_at(step)) is not None:
            self._hold_timer(ends_at, Timer("container", step.id, step.attempt))

    def _hold_timer(self, due: datetime, timer: Timer) -> None:
        self._timers.hold((due - self._journal.database_now()).total_seconds(), timer)

    def _earliest(self) -> tuple[datetime | None, str]:
        """When an idle execution must be woken, and by which timer."""
        due = [
            (time, step.timer_id)
            for step in self.state.open_steps()
            for time in (step.due_at, _container_ends_at(step))
            if time is not None
        ]
        return min(due) if due else (None, "")

    async def _fire_due_timers(self) -> None:
        while (timer := self._timers.take_due()) is not None:
            if timer.kind == "deadline":
                self.state.time_out(e.Failure("TIMEOUT", "the execution's deadline has passed"))
                continue
            node_id, iteration = timer.step
            step = self.state.find_step(self.graph.nodes[node_id], iteration)
            if step is None or step.attempt != timer.attempt or step.iteration != iteration:
                continue
            match timer.kind:
                case "container" if step.status == "running":
                    limit = step.node.timeout_ms
                    failure = e.Failure("TIMEOUT", f"the container took longer than {limit} ms")
                    self.state.time_out(_at(failure, step), step)
                case "retrying" if step.status == "retrying" and step.due_at is not None:
                    step.due_at = None
                    self.state.woken.append(step)
                case "waiting" if step.status == "waiting" and not step.woken:
                    await self._fire(step)

    async def _fire(self, step: StepState) -> None:
        """Whether the answer or the time came first is for the history to say."""
        fired = e.TimerFired(
            time=self._now(), timer_id=step.timer_id, node_id=step.node.id, iteration=step.iteration
        )
        if not await self._recorder.commit([fired], require_seen=True) and not step.woken:
            self._arm(step)

    def _remaining_ms(self, step: StepState) -> int | None:
        ends = [] if self.state.created is None else [self.state.created.deadline_at]
        outside = 0 if self.state.within is None else len(self.state.within.iteration)
        for depth in range(outside, len(step.node.path)):
            container_id = step.node.path[depth]
            ends.append(_container_ends_at(self.state.step((container_id, step.iteration[:depth]))))
        spans = [(end - self._now()) // MILLISECOND for end in ends if end is not None]
        if step.node.timeout_ms is not None:
            spans.append(step.node.timeout_ms)
        return max(0, min(spans)) if spans else None

    # History --------------------------------------------------------------------------------

    def _absorb(self, event: e.Event) -> None:
        """Take in an event that is true already."""
        self.state.apply(event)
        if self.view is not None:
            self.view.apply(event)
        self._events_since_snapshot += 1

    def _take_in(self, event: e.Event) -> None:
        self._absorb(event)
        self._changed.set()

    def _record(self, event: e.Event, *payloads: Payload, referred: Sequence[Payload] = ()) -> None:
        """A new fact: true here at once, committed soon. referred: values that it names by hash only."""
        self._take_in(event)
        self._recorder.record(event, payloads, referred)
        self.state.history_bytes += sum(len(payload.text) for payload in payloads)
        if self.state.history_bytes > MAX_HISTORY_BYTES and not self.state.top.closing:
            self.state.time_out(
                e.Failure("HISTORY_TOO_LARGE", f"the history exceeds {MAX_HISTORY_BYTES:,} bytes")
            )

    async def _fetch_if_nudged(self) -> None:
        if self._nudged:
            self._nudged = False
            await self._recorder.commit([])

    # Tasks ----------------------------------------------------------------------------------

    def _spawn(self, work: Coroutine[Any, Any, None], step_id: c.StepId | None = None) -> asyncio.Task[None]:
        task = asyncio.create_task(work)
        self._tasks[task] = step_id
        task.add_done_callback(self._task_done)
        return task

    def _task_done(self, task: asyncio.Task[None]) -> None:
        step_id = self._tasks.pop(task, None)
        if task.cancelled():
            if step_id is not None and self._dropped is None and self._end is None:
                self._settle_cancelled(self.state.step(step_id))  # here: it may not even have begun
        elif (error := task.exception()) is not None:
            self._drop(error)
        self._changed.set()

    def _drop(self, error: BaseException) -> None:
        if self._dropped is None and self._end is None:
            self._dropped = error
            self._recorder.close(error)
        self._changed.set()

    def _raise_if_dropped(self) -> None:
        if self._dropped is not None:
            raise self._dropped

    async def _stop_tasks(self) -> None:
        if self._end is None and self._dropped is None:
            self._dropped = asyncio.CancelledError()
        self._recorder.close(self._dropped or asyncio.CancelledError())
        await put_down(*self._tasks)
        self._recorder.release()

    # What expressions see -------------------------------------------------------------------

    @property
    def _key_root(self) -> str:
        created = self.state.created
        return (created.key_root or created.root_id) if created else ""

    async def _scope(self, place: Place, reads: frozenset[str] | None) -> dict[str, Any]:
        return await expression_scope(self.state, self._values, self.execution_id, place, reads)

    def _callback_urls(self, callbacks: Callbacks, step: StepState) -> dict[str, JsonValue]:
        """Of callbacks in the step's own scope and those around it."""
        depths = {node_id: len(self.graph.nodes[node_id].path) for node_id in step.node.callbacks}
        return {
            local_id(node_id): {"url": callbacks.url(node_id, step.iteration[:depth])}
            for node_id, depth in depths.items()
        }


@lru_cache(4096)
def _described(node_id: str, node_type: str, attempt: int) -> tracing.Described:
    """How its attempts are traced; those of the next execution just so."""
    return tracing.Described(f"node {node_id}", "internal", {"node_type": node_type, "attempt": attempt})


def _code_of(outcome: Outcome) -> str:
    """Why an attempt failed; empty if it did not."""
    return outcome.failure.code if isinstance(outcome, Failed) else ""


def _container_ends_at(step: StepState) -> datetime | None:
    """When a running container's time is over."""
    limit = step.node.timeout_ms
    if not step.node.type.container or limit is None or step.started_at is None:
        return None
    return step.started_at + timedelta(milliseconds=limit)


def _came(step: StepState) -> Stored:
    """What a waiting step got."""
    if step.child is not None:
        return Stored.of(step.child.output, step.child.output_ref)
    return step.answer or Stored()


def _at(failure: e.Failure, step: StepState) -> e.Failure:
    """The failure with the step that it began at."""
    return e.Failure(
        failure.code, failure.message, failure.retryable, step.node.id, step.iteration, failure.details
    )


def _rests(step: StepState) -> bool:
    """An open step that something outside of this execution ends."""
    return not step.node.type.container or (step.loop is not None and step.loop.plan.distributed)


def _wait_shown(step: StepState) -> dict[str, object]:
    """An open step of an idle execution, for the row's `waits`."""
    kind: dict[str, JsonValue] = {"kind": "retry"} if step.status == "retrying" else {"kind": "timer"}
    if step.loop is not None:
        kind = {"kind": "child"}
    shown: dict[str, object] = {
        "nodeId": step.node.id,
        "iteration": list(step.iteration),
        **(step.wait or kind),
    }
    if step.due_at is not None:
        shown["until"] = step.due_at.isoformat().replace("+00:00", "Z")
    return shown
