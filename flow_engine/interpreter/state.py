"""What an execution's history amounts to: the fold from events to state.

`apply` takes facts in any order that history can have and derives the rest: which edges
are taken, which nodes are ready or unreachable, which scopes and iterations are open. It
decides nothing that is not already implied; orders come from `decisions.next_commands`.
Its cost per event does not grow with the size of the graph.
Source of the rules: docs/semantics.md.
"""

from __future__ import annotations

import heapq
from collections import deque
from collections.abc import Iterable
from dataclasses import dataclass, field
from datetime import datetime
from typing import Any

from msgspec import UNSET, Struct, UnsetType

from flow_engine.ids import Iteration
from flow_engine.interpreter import events as e
from flow_engine.interpreter.commands import StepId
from flow_engine.payload import JsonValue, PayloadRef
from flow_engine.workflow.graph import ERROR_HANDLE, GraphEdge, GraphNode, ScopeGraph, WorkflowGraph

ScopeId = tuple[str | None, Iteration]
"""A scope: the container's id (None: the top) and the iteration path inside it."""

HARD = frozenset({"request", "timeout"})
"""Reasons that outrank a failure which is already closing a scope: they interrupt `atMostOnce` steps too."""


class CorruptHistory(Exception):
    """An event names something that the definition does not have."""


class Stored(Struct, frozen=True):
    """A value in history: here, or by reference."""

    value: JsonValue = None
    ref: PayloadRef | None = None

    @classmethod
    def of(cls, value: Any | UnsetType, ref: PayloadRef | None) -> Stored:
        return cls(None if value is UNSET else value, ref)


NO_VALUE = Stored()


@dataclass(slots=True)
class StepState:
    node: GraphNode
    iteration: Iteration
    status: str = "ready"  # as in events, and: ready, starting (reserved by a runner), retrying
    attempt: int = 0
    failures: int = 0  # attempts that used up a retry
    output: Stored = NO_VALUE
    error: e.Failure | None = None
    handled: str = ""
    handle: str = ""
    handles: tuple[str, ...] = ()  # where it took several branches at once
    due_at: datetime | None = None  # of a waiting or retrying step
    started_at: datetime | None = None
    wait: dict[str, JsonValue] | None = None
    times_out: bool = False  # reaching due_at is the node's own time-out
    timed_out: bool = False
    answer: Stored | None = None
    child_id: str = ""
    child: e.ChildFinished | None = None
    loop: LoopState | None = None
    cancelling: bool = False  # its cancellation was ordered
    cancel_reason: str = ""

    @property
    def id(self) -> StepId:
        return self.node.id, self.iteration

    def took(self, edge: GraphEdge) -> bool:
        """Whether it takes an outgoing edge. Source: docs/semantics.md, "Edges"."""
        if self.status == "completed":
            return edge.handle in ("", self.handle, *self.handles) and edge.handle != ERROR_HANDLE
        if self.status == "failed":
            return {"branch": edge.handle == ERROR_HANDLE, "continue": edge.handle == ""}.get(
                self.handled, False
            )
        return False

    @property
    def decided(self) -> bool:
        return self.status in ("completed", "failed", "skipped", "cancelled")

    @property
    def woken(self) -> bool:
        """What it waited for has come: the first of answer and timer counts."""
        return self.timed_out or self.answer is not None or self.child is not None

    @property
    def has_child(self) -> bool:
        """A child execution of it lives, as far as is known."""
        if self.loop is not None:
            return self.loop.plan.distributed and bool(self.loop.closing)
        return bool(self.child_id) and self.child is None

    @property
    def timer_id(self) -> str:
        return timer_id(self.node.id, self.iteration, self.attempt)


@dataclass(slots=True)
class LoopState:
    """The iterations of a running container."""

    plan: e.Loop
    items: Stored
    next_index: int = 0
    open: set[int] = field(default_factory=set)
    opening: bool = False  # iterations are being opened further up the stack
    results: dict[int, IterationResult] = field(default_factory=dict)
    failure: e.Failure | None = None  # closes the container
    closing: str = ""  # why its iterations are being cancelled
    ended: bool = False  # its end was ordered

    @property
    def all_done(self) -> bool:
        return not self.open and len(self.results) == self.plan.item_count

    @property
    def conditional(self) -> bool:
        """A condition, not a list, says how often it runs; only the last result is kept."""
        return self.plan.item_count is None

    @property
    def awaits_start(self) -> bool:
        """Items of a distributed loop are left that no child runs."""
        return self.plan.distributed and not self.closing and self.next_index < (self.plan.item_count or 0)

    @property
    def has_enough(self) -> bool:
        wanted = self.plan.stop_after
        return wanted is not None and sum(result.error is None for result in self.results.values()) >= wanted


@dataclass(frozen=True, slots=True)
class IterationResult:
    """What a finished iteration leaves behind."""

    sinks: tuple[tuple[str, Stored], ...] = ()
    error: e.Failure | None = None


@dataclass(slots=True)
class Scope:
    graph: ScopeGraph
    iteration: Iteration
    undecided: int
    steps: dict[str, StepState] = field(default_factory=dict)
    counts: dict[str, tuple[int, int]] = field(default_factory=dict)  # node id: edges decided, taken
    open: dict[str, StepState] = field(default_factory=dict)
    closing: str = ""  # siblingFailed, joinSatisfied, enough, returned, request, timeout
    failure: e.Failure | None = None
    returned: Stored | None = None  # its output, where a node set it

    @property
    def id(self) -> ScopeId:
        return self.graph.container_id, self.iteration

    @property
    def over(self) -> bool:
        return self.undecided == 0

    def sinks(self) -> tuple[tuple[str, Stored], ...]:
        """Outputs of completed nodes that took no outgoing edge, in declaration order."""
        return tuple(
            (node.id, step.output)
            for node in self.graph.nodes
            if (step := self.steps.get(node.id)) is not None
            and step.status == "completed"
            and not any(step.took(edge) for edge in node.outgoing)
        )


class ExecutionState:
    """The fold of one history. `apply` events in order of sequence, from 1."""

    def __init__(self, graph: WorkflowGraph) -> None:
        self.graph = graph
        self.created: e.ExecutionCreated | None = None
        self.mode = ""
        self.started = False
        self.ended: str = ""  # terminal status
        self.pause_requested = False
        self.cancel_requested = False
        self.cancel_reason = ""
        self.last_time: datetime | None = None
        self.started_at: datetime | None = None
        self.running = 0  # leaf steps
        self.history_bytes = 0  # counted by the runner
        self.scopes: dict[ScopeId, Scope] = {}
        self.woken: deque[StepState] = deque()
        self.unreachable: deque[StepState] = deque()
        self.finished_loops: deque[StepState] = deque()
        self.undecided_loops: deque[StepState] = deque()  # between two iterations
        self.undistributed: deque[StepState] = deque()  # loops with items that no child runs yet
        self.doomed: deque[tuple[StepState, str]] = deque()  # undecided steps to be cancelled, and why
        self.ready: list[tuple[int, Iteration]] = []  # heap by declaration order
        self._order = list(graph.nodes.values())
        self.kept: dict[StepId, e.KeptStep] = {}
        self.generations: dict[StepId, int] = {}
        self.within: e.Within | None = None
        self.top_id: ScopeId = (None, ())
        """Of the scope that is the whole execution."""

    # Reading --------------------------------------------------------------------------------

    @property
    def top(self) -> Scope:
        return self.scopes[self.top_id]

    @property
    def top_flow(self) -> str | None:
        """The sub-flow that the top belongs to."""
        return None if self.within is None else self.graph.nodes[self.within.node_id].flow

    def scope_of_flow(self, node: GraphNode, iteration: Iteration) -> Scope:
        """The scope of the sub-flow that a node belongs to; of the others, the top."""
        if node.flow == self.top_flow:
            return self.top
        return self.scopes[node.flow, iteration[: self.graph.depth_of(node.flow)]]

    def step(self, step_id: StepId) -> StepState:
        node_id, iteration = step_id
        return self.scopes[self._node(node_id).parent_id, iteration].steps[node_id]

    def find_step(self, node: GraphNode, iteration: Iteration) -> StepState | None:
        """The step of a node that is visible from an iteration: its own loops are a prefix of it."""
        scope = self.scopes.get((node.parent_id, iteration[: len(node.path)]))
        return scope.steps.get(node.id) if scope else None

    def generation(self, step_id: StepId) -> int:
        return self.generations.get(step_id, 0)

    def open_steps(self) -> Iterable[StepState]:
        for scope in self.scopes.values():
            yield from scope.open.values()

    def next_ready(self) -> StepState | None:
        """Takes the first ready step, in declaration order; one whose scope closes never runs."""
        while self.ready:
            index, iteration = heapq.heappop(self.ready)
            node = self._order[index]
            scope = self.scopes.get((node.parent_id, iteration))
            if scope is not None and not scope.closing and scope.steps[node.id].status == "ready":
                return scope.steps[node.id]
        return None

    def open_next_iteration(self, container: StepState) -> None:
        """The condition of a container without items holds. Not a fact by itself: after a change of hands
        it is asked again, about the same values."""
        loop = container.loop
        assert loop is not None
        index, loop.next_index = loop.next_index, loop.next_index + 1
        loop.open.add(index)
        self._end_scope_if_over(self._open_scope(container.node.id, (*container.iteration, index)))

    def put_back(self, step: StepState) -> None:
        heapq.heappush(self.ready, (step.node.index, step.iteration))

    @property
    def has_ready(self) -> bool:
        step = self.next_ready()
        if step is not None:
            self.put_back(step)
        return step is not None

    @property
    def may_go_on(self) -> bool:
        """Something could begin right now if it were let."""
        unstarted = any(step.loop is not None and step.loop.awaits_start for step in self.undistributed)
        return self.has_ready or bool(self.woken) or bool(self.undecided_loops) or unstarted

    # Folding --------------------------------------------------------------------------------

    def apply(self, event: e.Event) -> None:
        """Take one fact. Raises CorruptHistory when it does not fit the definition."""
        self.last_time = event.time if self.last_time is None else max(event.time, self.last_time)
        match event:
            case e.ChildStarted():
                self._begin_child(event)
            case e.ChildFinished():
                self._end_child(event)
            case e.StepEvent():
                self._apply_step(event)
            case e.ExecutionCreated():
                self.stand(event)
                self.mode = event.mode
                self._open_scope(*self.top_id)
            case e.ExecutionForked():
                self.kept = {(kept.node_id, kept.iteration): kept for kept in event.kept}
                self.generations = {(g.node_id, g.iteration): g.generation for g in event.generations}
                self._restore_kept(self.top)
            case e.ExecutionStarted():
                self.started = True
                self.started_at = event.time
            case e.ExecutionPromoted():
                self.mode = "queued"
            case e.ExecutionPauseRequested() | e.ExecutionPaused():
                self.pause_requested = True
            case e.ExecutionResumed():
                self.pause_requested = False
            case e.ExecutionCancelRequested():
                self.cancel_requested = True
                self.cancel_reason = event.reason
                self._close(self.top, "request")
            case e.TimerFired():
                self._fire(event)
            case e.SignalReceived():
                self._answer(event)
            case e.ExecutionCompleted():
                self.ended = "completed"
            case e.ExecutionFailed():
                self.ended = "failed"
            case e.ExecutionCancelled():
                self.ended = "cancelled"
            case _:
                pass

    def stand(self, created: e.ExecutionCreated) -> None:
        """What it is an execution of, as its first fact says."""
        self.created, self.within = created, created.within
        if created.within is not None:
            self.top_id = (created.within.node_id, created.within.iteration)

    def time_out(self, failure: e.Failure, container: StepState | None = None) -> None:
        """The execution's deadline, or a container's time, is over: close it. Not a fact by itself;
        after a crash the same clock says it again."""
        if container is None:
            self.top.failure = failure
            self._close(self.top, "timeout")
        elif container.loop is not None and not container.loop.closing:
            container.loop.failure = failure
            self._close_loop(container, "timeout")

    def reserve(self, step: StepState) -> None:
        """A runner is about to begin or resume the step: it counts as running from now on."""
        step.status = "starting"
        self.running += 1
        self._scope_of(step).open[step.node.id] = step

    def give_back(self, step: StepState) -> None:
        """Make a step ready again that is reserved, or whose runner was lost while it ran."""
        self._leave_running(step)
        step.status = "ready"
        self._scope_of(step).open.pop(step.node.id, None)
        self.put_back(step)

    def orphans(self) -> list[StepState]:
        """After a change of hands: leaf steps that ran when their runner was lost."""
        return [
            step for step in self.open_steps() if step.status == "running" and not step.node.type.container
        ]

    # Steps ----------------------------------------------------------------------------------

    def _apply_step(self, event: e.StepEvent) -> None:
        step = self._ensure_step(event.node_id, event.iteration)
        scope = self._scope_of(step)
        match event:
            case e.StepStarted():
                self._begin(scope, step, event)
            case e.StepRetrying():
                self._leave_running(step)
                step.status, step.due_at, step.error = "retrying", event.retry_at, event.error
                step.failures += 1
                self._keep_open(scope, step)
            case e.StepWaiting():
                self._leave_running(step)
                step.status, step.due_at, step.wait = "waiting", event.until, event.wait
                step.times_out = event.times_out
                step.timed_out, step.answer = False, None
                self._keep_open(scope, step)
                if step.child is not None:  # it ended before the step came to wait for it
                    self.woken.append(step)
            case e.StepCompleted():
                step.output = Stored.of(event.output, event.output_ref)
                step.handle, step.handles = event.handle, event.handles
                self._return(step)
                self._decide(scope, step, "completed")
            case e.StepFailed():
                step.error, step.handled = event.error, event.handled
                self._decide(scope, step, "failed")
            case e.StepSkipped():
                self._decide(scope, step, "skipped")
            case e.StepCancelled():
                self._decide(scope, step, "cancelled")
            case _:
                raise CorruptHistory(f"unknown step event {type(event).__name__}")

    def _return(self, step: StepState) -> None:
        """A node that ends the execution, or the sub-flow around it, has its output."""
        if step.node.type.ends_execution:
            ended = self.scope_of_flow(step.node, step.iteration)
            if not ended.closing:
                ended.returned = step.output
                self._close(ended, "returned")

    def _begin(self, scope: Scope, step: StepState, event: e.StepStarted) -> None:
        if step.status not in ("starting", "running") and not step.node.type.container:
            self.running += 1
        step.status = "running"
        step.attempt = event.attempt
        step.due_at = step.wait = step.answer = None
        step.timed_out = False
        step.started_at = event.time
        self._keep_open(scope, step)
        self._cancel_rest(scope, step)
        if event.loop is not None:
            step.loop = LoopState(event.loop, Stored.of(event.loop.items, event.loop.items_ref))
            self._open_iterations(step)

    def _cancel_rest(self, scope: Scope, join: StepState) -> None:
        """A join that has enough: what leads to nothing but it has become pointless."""
        for node_id in join.node.cancels:
            step = self._ensure_step(node_id, scope.iteration)
            if step.loop is not None:
                self._close_loop(step, "joinSatisfied")
            elif not step.decided:
                self.doomed.append((step, "joinSatisfied"))

    def _keep_open(self, scope: Scope, step: StepState) -> None:
        """The step is open; where its scope closes already, not for long."""
        scope.open[step.node.id] = step
        if scope.closing and step.status != "running":
            step.cancelling = False
            self.doomed.append((step, scope.closing))

    def _leave_running(self, step: StepState) -> None:
        if step.status in ("starting", "running") and not step.node.type.container:
            self.running -= 1

    def _decide(self, scope: Scope, step: StepState, status: str) -> None:
        """The step has its outcome: settle its outgoing edges and see whether the scope is over."""
        self._leave_running(step)
        if step.decided:
            return
        step.status = status
        step.due_at = step.answer = step.loop = None
        scope.open.pop(step.node.id, None)
        scope.undecided -= 1
        if step.node.type.subflow:
            self.scopes.pop((step.node.id, (*step.iteration, 0)), None)
        for edge in step.node.outgoing:
            self._settle_edge(scope, edge, step.took(edge))
        if status == "failed" and step.handled == "fail" and scope.failure is None:
            scope.failure = step.error
            self._close(scope, "siblingFailed")
        self._end_scope_if_over(scope)

    def _settle_edge(self, scope: Scope, edge: GraphEdge, taken: bool) -> None:
        node = self.graph.nodes[edge.target]
        decided, took = scope.counts.get(node.id, (0, 0))
        decided, took = decided + 1, took + taken
        scope.counts[node.id] = decided, took
        if node.id in scope.steps:
            return
        needed = node.needed or 1
        complete = decided == len(node.incoming)
        if took >= needed and (complete or node.needed):
            self._make_ready(scope, node)
        elif took + len(node.incoming) - decided < needed:
            step = self._ensure_step(node.id, scope.iteration)
            self.unreachable.append(step)

    def _make_ready(self, scope: Scope, node: GraphNode) -> None:
        self.put_back(self._ensure_step(node.id, scope.iteration))

    def _fire(self, event: e.TimerFired) -> None:
        step = self._visible(event.node_id, event.iteration)
        if step is None or step.timer_id != event.timer_id:
            return
        if step.status == "waiting" and not step.woken:
            step.timed_out = True
            self.woken.append(step)
        elif step.status == "retrying":
            step.due_at = None
            self.woken.append(step)

    def _answer(self, event: e.SignalReceived) -> None:
        step = self._visible(event.node_id, event.iteration)
        if step is not None and step.status == "waiting" and not step.woken:
            step.answer = Stored.of(event.payload, event.payload_ref)
            self.woken.append(step)

    def _begin_child(self, event: e.ChildStarted) -> None:
        step = self._ensure_step(event.node_id, event.iteration)
        if event.index is None:
            step.child_id = event.child_id
        elif step.loop is not None:
            step.loop.open.add(event.index)
            step.loop.next_index = max(step.loop.next_index, event.index + 1)

    def _end_child(self, event: e.ChildFinished) -> None:
        step = self._visible(event.node_id, event.iteration)
        if step is not None and event.index is not None:
            self._end_item(step, event)
            return
        if step is None or step.decided or step.child_id != event.child_id or step.child is not None:
            return
        was_woken, step.child = step.woken, event
        if step.status == "waiting" and not was_woken:
            self.woken.append(step)

    def _end_item(self, container: StepState, event: e.ChildFinished) -> None:
        loop, index = container.loop, event.index
        if loop is None or index not in loop.open:
            return
        loop.open.discard(index)
        if event.status == "completed":
            result = IterationResult((("", Stored.of(event.output, event.output_ref)),))
        else:
            result = IterationResult(
                error=event.error or e.Failure("CHILD_CANCELLED", "the item was cancelled")
            )
        self._end_iteration(container, loop, index, result)

    # Scopes ---------------------------------------------------------------------------------

    def _open_scope(self, container_id: str | None, iteration: Iteration) -> Scope:
        graph = self.graph.scopes[container_id]
        scope = Scope(graph, iteration, undecided=len(graph.nodes))
        self.scopes[container_id, iteration] = scope
        for node in graph.nodes:
            if not node.incoming:
                self._make_ready(scope, node)
        if self.kept:
            self._restore_kept(scope)
        return scope

    def _restore_kept(self, scope: Scope) -> None:
        """A retry takes over finished steps as if they had just happened."""
        for node in scope.graph.nodes:
            kept = self.kept.get((node.id, scope.iteration))
            if kept is None:
                continue
            step = self._ensure_step(node.id, scope.iteration)
            step.output = Stored.of(kept.output, kept.output_ref)
            step.handle, step.handles = kept.handle, kept.handles
            step.error, step.attempt = kept.error, kept.attempt
            step.handled = node.on_error if kept.status == "failed" else ""
            self._decide(scope, step, kept.status)

    def _open_iterations(self, container: StepState) -> None:
        """Open as many as may be at once. One that is over as it opens (it holds no nodes, or a retry
        kept them all) makes way for the next in this loop, not by recursion."""
        loop = container.loop
        if loop is None or loop.closing or loop.opening:
            return
        if loop.conditional:
            if not loop.open:
                self.undecided_loops.append(container)
            return
        if loop.plan.distributed:
            if loop.awaits_start:
                self.undistributed.append(container)
            elif loop.all_done:
                self.finished_loops.append(container)
            return
        loop.opening = True
        count = loop.plan.item_count or 0
        while loop.next_index < count and len(loop.open) < loop.plan.concurrency and not loop.closing:
            index = loop.next_index
            loop.next_index += 1
            if index not in loop.open and index not in loop.results:
                loop.open.add(index)
                self._end_scope_if_over(self._open_scope(container.node.id, (*container.iteration, index)))
        loop.opening = False
        if loop.all_done:
            self.finished_loops.append(container)

    def _end_scope_if_over(self, scope: Scope) -> None:
        if scope.id == self.top_id or not scope.over or self.scopes.get(scope.id) is not scope:
            return
        assert scope.graph.container_id is not None
        container = self.step((scope.graph.container_id, scope.iteration[:-1]))
        if not container.node.type.subflow:  # its output may read all that is in it
            del self.scopes[scope.id]
        loop = container.loop
        if loop is None:
            return
        index = scope.iteration[-1]
        loop.open.discard(index)
        if loop.conditional:
            loop.results.clear()
        if scope.closing and scope.failure is None and scope.closing != "returned":
            self._end_iteration(container, loop, index, None)  # it was cancelled: it leaves nothing behind
        elif scope.failure is None:
            self._end_iteration(container, loop, index, IterationResult(scope.sinks()))
        else:
            self._end_iteration(container, loop, index, IterationResult(error=scope.failure))

    def _end_iteration(
        self, container: StepState, loop: LoopState, index: int, result: IterationResult | None
    ) -> None:
        if result is None:
            pass
        elif result.error is None or (loop.plan.collect_errors and not loop.closing):
            loop.results[index] = result
        elif not loop.closing:
            loop.failure = result.error
            self._close_loop(container, "siblingFailed")
            return
        if loop.has_enough and not loop.closing:
            self._close_loop(container, "enough")
            return
        if not loop.closing:
            self._open_iterations(container)
        elif not loop.open:
            self.finished_loops.append(container)

    def _close(self, scope: Scope, reason: str) -> None:
        """Nothing new starts in the scope; every node of it that is not decided is to be cancelled."""
        if scope.closing and reason not in HARD:
            return
        scope.closing = reason
        for node in scope.graph.nodes:
            step = self._ensure_step(node.id, scope.iteration)
            if step.loop is not None:
                self._close_loop(step, reason)
            elif not step.decided:
                self.doomed.append((step, reason))

    def _close_loop(self, container: StepState, reason: str) -> None:
        loop = container.loop
        if loop is None or (loop.closing and reason not in HARD):
            return
        loop.closing = reason
        if loop.plan.distributed:  # the executor stops its children when it hears how the loop ended
            loop.open.clear()
        for index in sorted(loop.open):
            inner = self.scopes.get((container.node.id, (*container.iteration, index)))
            if inner is not None:
                self._close(inner, reason)
        if not loop.open:
            self.finished_loops.append(container)

    # Looking things up ----------------------------------------------------------------------

    def _node(self, node_id: str) -> GraphNode:
        try:
            return self.graph.nodes[node_id]
        except KeyError:
            raise CorruptHistory(f"history names node {node_id!r}, which the definition lacks") from None

    def _scope_of(self, step: StepState) -> Scope:
        return self.scopes[step.node.parent_id, step.iteration]

    def _visible(self, node_id: str, iteration: Iteration) -> StepState | None:
        scope = self.scopes.get((self._node(node_id).parent_id, iteration))
        return scope.steps.get(node_id) if scope else None

    def _ensure_step(self, node_id: str, iteration: Iteration) -> StepState:
        node = self._node(node_id)
        scope = self.scopes.get((node.parent_id, iteration)) or self._reopen_scope(node, iteration)
        step = scope.steps.get(node_id)
        if step is None:
            step = scope.steps[node_id] = StepState(node, iteration)
        return step

    def _reopen_scope(self, node: GraphNode, iteration: Iteration) -> Scope:
        """History can show an iteration that the fold had no reason to open yet: the runner learned
        of a cancellation only after it had begun it."""
        if node.parent_id is None or not iteration:
            raise CorruptHistory(f"history shows node {node.id!r} at iteration {list(iteration)}")
        container = self.step((node.parent_id, iteration[:-1]))
        if container.loop is None:
            raise CorruptHistory(f"history shows node {node.id!r} inside a container that does not run")
        container.loop.open.add(iteration[-1])
        container.loop.next_index = max(container.loop.next_index, iteration[-1] + 1)
        scope = self._open_scope(node.parent_id, iteration)
        if container.loop.closing:
            self._close(scope, container.loop.closing)
        return scope


def timer_id(node_id: str, iteration: Iteration, attempt: int) -> str:
    """Names a timer within its execution: call[2,0]#3. A node id may itself end with a bracket."""
    path = f"[{','.join(map(str, iteration))}]" if iteration or node_id.endswith("]") else ""
    return f"{node_id}{path}#{attempt}"


def parse_timer_id(value: str) -> StepId:
    """The step that a timer belongs to."""
    name, _, _attempt = value.rpartition("#")
    if not name.endswith("]"):
        return name, ()
    node_id, _, path = name[:-1].rpartition("[")
    return node_id, tuple(map(int, path.split(","))) if path else ()
