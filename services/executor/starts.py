"""From what somebody asks to start to what can be started: resolved, checked, decided. Stores nothing."""

from __future__ import annotations

from datetime import timedelta
from typing import Any

from msgspec import Struct

from flow_engine import tracing
from flow_engine.errors import Busy, InvalidInput, InvalidRequest, Problem
from flow_engine.ids import DEFAULT_NAMESPACE, ExecutionId, new_execution_id
from flow_engine.interpreter.events import ExecutionCreated, placed
from flow_engine.interpreter.visible import about
from flow_engine.payload import Payload
from flow_engine.workflow.graph import WorkflowGraph
from flow_engine.workflow.queue_keys import concurrency_key, rate_key
from flow_engine.workflow.requirements import requirements
from flow_engine.workflow.validation import check_input
from services.executor.analyzer import ComplexityAnalysis, ComplexityAnalyzer
from services.executor.database_clock import DatabaseClock
from services.executor.definitions import Definition, Definitions
from services.executor.durations.learned import Knowledge
from services.executor.durations.memory import Durations
from services.executor.inputs import parse_input
from services.executor.persistence.contract import NewExecution, RatePolicy, SlotPolicy, WorkflowStore
from services.executor.strategies.immediate import ImmediateExecutionStrategy
from services.executor.strategies.strategy import Prepared

MAX_TAGS = 64
MAX_TAG_LENGTH = 128
MAX_RETRIES = 100
MAX_REQUEST_ID_LENGTH = 255
MAX_TIMEOUT_MS = 366 * 86_400_000
DEFAULT_PRIORITY = 5


class StartRequest(Struct, frozen=True):
    """What to start: `workflow_json`, or else the stored workflow `workflow_id`."""

    workflow_json: str = ""
    workflow_id: str = ""
    workflow_version: int = 0  # 0: the latest
    input_json: str = ""
    mode: str = "auto"
    timeout_ms: int | None = None
    priority: int = DEFAULT_PRIORITY
    tags: tuple[str, ...] = ()
    max_retries: int | None = None
    immediate_budget_ms: int | None = None
    request_id: str = ""
    request_hash: str = ""  # of all of the above but the id
    namespace: str = DEFAULT_NAMESPACE
    on_conflict: str = ""  # instead of the definition's own policy


class Resolved(Struct, frozen=True):
    """A request with its definition and input, both valid."""

    request: StartRequest
    definition: Definition
    version: int  # of the stored workflow; 0 for a definition that came with the call
    input: Payload

    @property
    def graph(self) -> WorkflowGraph:
        return self.definition.graph


class Starts:
    def __init__(
        self,
        definitions: Definitions,
        workflows: WorkflowStore,
        analyzer: ComplexityAnalyzer,
        immediate: ImmediateExecutionStrategy,
        database_clock: DatabaseClock,
        immediate_budget_ms: int,
        durations: Durations,
    ) -> None:
        self._definitions = definitions
        self._workflows = workflows
        self._analyzer = analyzer
        self._immediate = immediate
        self._database_clock = database_clock
        self._immediate_budget_ms = immediate_budget_ms
        self._durations = durations

    async def prepare(self, request: StartRequest, *, at_once: bool) -> Prepared:
        """Raises InvalidRequest and its kin, WorkflowNotFound, Busy."""
        resolved = await self._resolve(request)
        knowledge = await self._durations.of(resolved.graph, request.namespace)
        decision = self._decide(resolved, knowledge)
        budget_ms = request.immediate_budget_ms or self._immediate_budget_ms
        new = self._new(resolved, decision)
        # What others of its workflow or key decide must be known before anything runs.
        at_once = at_once or new.on_conflict != "allow" or new.slot is not None or new.rate is not None
        typical = knowledge.typical_ms(resolved.graph) if decision.mode == "immediate" else {}
        return Prepared(new, resolved.graph, budget_ms / 1000, at_once, typical)

    async def analyze(self, request: StartRequest) -> ComplexityAnalysis:
        """The decision, as if it were started now. The input may be left out; it only sharpens estimates."""
        definition, _ = await self._definition(request)
        value = parse_input(request.input_json).value if request.input_json else None
        return self._analyzer.analyze(
            definition.graph,
            request.mode,
            input_value=value,
            busy=self._immediate.busy,
            knowledge=await self._durations.of(definition.graph, request.namespace),
            counterfactual=True,
        )

    async def _resolve(self, request: StartRequest) -> Resolved:
        if problems := option_problems(request):
            raise InvalidRequest(problems)
        definition, version = await self._definition(request)
        value = parse_input(request.input_json)
        if problems := check_input(definition.graph, value.value):
            raise InvalidInput(problems)
        return Resolved(request, definition, version, value)

    async def _definition(self, request: StartRequest) -> tuple[Definition, int]:
        if request.workflow_json and request.workflow_id:
            problem = Problem("/workflowId", "CONFLICTING_FIELDS", "give workflow or workflowId, not both")
            raise InvalidRequest([problem])
        if request.workflow_json:
            return await self._definitions.compile(request.workflow_json.encode(), request.namespace), 0
        if not request.workflow_id:
            raise InvalidRequest([Problem("/workflow", "MISSING_FIELD", "there is no workflow to run")])
        stored = await self._workflows.get_workflow(
            request.workflow_id, request.workflow_version, request.namespace
        )
        definition = await self._definitions.compile(
            stored.definition, request.namespace, workflow_id=stored.id, version=stored.version
        )
        return definition, stored.version

    def _decide(self, resolved: Resolved, knowledge: Knowledge) -> ComplexityAnalysis:
        mode = resolved.request.mode
        busy = self._immediate.busy
        if mode == "immediate" and busy:
            raise Busy("the executor has no room for another immediate run; try again, or use the queue")
        value = resolved.input.value
        return self._analyzer.decide(resolved.graph, mode, value, knowledge, busy=busy)

    def _new(self, resolved: Resolved, decision: ComplexityAnalysis) -> NewExecution:
        request, graph = resolved.request, resolved.graph
        id_ = new_execution_id()
        now = self._database_clock.now()
        timeout_ms = min(
            (ms for ms in (request.timeout_ms, graph.timeout_ms) if ms is not None), default=None
        )
        created = ExecutionCreated(
            time=now,
            definition_hash=graph.definition_hash,
            mode=decision.mode,
            requested_mode=request.mode,
            root_id=id_,
            workflow_id=request.workflow_id or graph.id,
            workflow_name=graph.name,
            priority=request.priority,
            tags=tuple(dict.fromkeys([*graph.tags, *request.tags])),
            max_retries=request.max_retries,
            deadline_at=None if timeout_ms is None else now + timedelta(milliseconds=timeout_ms),
            trace_parent=tracing.current_traceparent(),
            **placed(resolved.input, "input"),
        )
        return NewExecution(
            id=ExecutionId(id_),
            created=created,
            definition_hash=graph.definition_hash,
            definition=resolved.definition.text,
            input=resolved.input,
            complexity=decision.text,
            timeout_ms=timeout_ms,
            request_id=request.request_id,
            request_hash=request.request_hash,
            workflow_version=resolved.version,
            on_conflict=request.on_conflict or graph.on_conflict,
            **limits(graph, created, resolved.input, id_),
            namespace=request.namespace,
        )


def limits(
    graph: WorkflowGraph, created: ExecutionCreated, value: Payload, execution_id: str
) -> dict[str, Any]:
    """What limits an execution and what it needs, as fields of NewExecution. Raises InvalidInput."""
    scope = {"input": value.value, "vars": graph.vars, "execution": about(created, execution_id)}
    slot, rate = graph.concurrency, graph.rate_limit
    return {
        "slot": slot
        and SlotPolicy(concurrency_key(graph, scope), slot.limit, slot.on_limit, slot.keeps_slot),
        "rate": rate and RatePolicy(rate_key(graph, scope), rate.limit, rate.period_ms, rate.on_limit),
        "needs": requirements(graph),
    }


def option_problems(request: StartRequest) -> list[Problem]:
    """Everything wrong with a request besides its workflow and input."""
    bounds = [
        ("/options/timeout", request.timeout_ms, 1, MAX_TIMEOUT_MS),
        ("/options/priority", request.priority, 0, 9),
        ("/options/maxRetries", request.max_retries, 0, MAX_RETRIES),
        ("/options/immediateBudget", request.immediate_budget_ms, 1, 86_400_000),
        ("/workflowVersion", request.workflow_version, 0, 2**31 - 1),
    ]
    problems = [
        Problem(path, "OUT_OF_RANGE", f"must be between {least:,} and {most:,}, not {value:,}")
        for path, value, least, most in bounds
        if value is not None and not least <= value <= most
    ]
    if len(request.tags) > MAX_TAGS:
        problems.append(Problem("/options/tags", "OUT_OF_RANGE", f"at most {MAX_TAGS} tags"))
    problems += [
        Problem(f"/options/tags/{index}", "OUT_OF_RANGE", f"a tag has 1 to {MAX_TAG_LENGTH} characters")
        for index, tag in enumerate(request.tags)
        if not 1 <= len(tag) <= MAX_TAG_LENGTH
    ]
    if len(request.request_id) > MAX_REQUEST_ID_LENGTH:
        message = f"a request id has at most {MAX_REQUEST_ID_LENGTH} characters"
        problems.append(Problem("/requestId", "OUT_OF_RANGE", message))
    return problems
