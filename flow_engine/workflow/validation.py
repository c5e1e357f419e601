"""A definition checked as a whole, and compiled for running.

Every problem is found in one go: what is wrong in one place is noted, and the rest
is checked as if that place had been right.
"""

from __future__ import annotations

import gc
from collections import defaultdict
from collections.abc import Iterable, Iterator, Mapping
from contextlib import contextmanager, suppress
from dataclasses import dataclass, field, replace
from functools import cached_property
from types import MappingProxyType

from flow_engine.errors import InvalidWorkflow, Problem
from flow_engine.expressions import Template
from flow_engine.ids import content_hash
from flow_engine.payload import JsonValue
from flow_engine.workflow import pointers
from flow_engine.workflow.configs import CompiledConfig, compile_config, compile_rest, syntax_problem
from flow_engine.workflow.definition import canonical
from flow_engine.workflow.findings import Enough, Findings, quoted
from flow_engine.workflow.graph import (
    ERROR_HANDLE,
    Child,
    ConcurrencyPolicy,
    GraphEdge,
    GraphNode,
    RatePolicy,
    RetryPolicy,
    ScopeGraph,
    Subflow,
    WorkflowGraph,
)
from flow_engine.workflow.json_schemas import schema_problems, value_problems
from flow_engine.workflow.limits import DEFAULT_LIMITS, WorkflowLimits
from flow_engine.workflow.model import (
    ConcurrencyDefinition,
    RateLimitDefinition,
    RetryDefinition,
    WorkflowSettings,
)
from flow_engine.workflow.reading import Draft, NodeTypes, read
from flow_engine.workflow.references import (
    AT_START,
    EVERYWHERE,
    Viewpoint,
    callbacks_read,
    called_back,
    loop_names,
    nodes_read,
    reference_problems,
)
from flow_engine.workflow.secrets import names_secrets, secret_problem, secrets_named
from flow_engine.workflow.structure import Structure, connect

NOTHING: Mapping[str, Problem] = MappingProxyType({})

__all__ = ["NodeTypes", "check_input", "compile_workflow", "validate_workflow"]


def compile_workflow(
    document: JsonValue,
    types: NodeTypes,
    limits: WorkflowLimits = DEFAULT_LIMITS,
    not_found: Mapping[str, Problem] = NOTHING,
) -> WorkflowGraph:
    """The graph that `document`, a parsed definition, describes.

    not_found: why definitions of sub-flows are missing, by the JSON Pointer of their nodes' configs;
    the problems' own paths begin there.
    Raises InvalidWorkflow with all its problems, in document order.
    """
    with _collector_paused():
        check = _Check(document, _Nest(types, limits, not_found))
        if check.findings:
            raise InvalidWorkflow(check.findings.in_order(document))
        return check.graph()


def validate_workflow(
    document: JsonValue, types: NodeTypes, limits: WorkflowLimits = DEFAULT_LIMITS
) -> list[Problem]:
    """All that is wrong with `document`, in document order; empty when it is valid."""
    with _collector_paused():
        return _Check(document, _Nest(types, limits, NOTHING)).findings.in_order(document)


def check_input(graph: WorkflowGraph, value: JsonValue) -> list[Problem]:
    """Where an execution's input does not fit the workflow's inputSchema; paths are those of the input."""
    return [] if graph.input_schema is None else value_problems(graph.input_schema, value)


@contextmanager
def _collector_paused() -> Iterator[None]:
    """Checking makes many objects and hardly any garbage: looking for it would take half of the time."""
    paused = gc.isenabled()
    gc.disable()
    try:
        yield
    finally:
        if paused:
            gc.enable()


@dataclass(frozen=True, slots=True)
class _Nest:
    """What a check of a definition and those of the sub-flows inside it have in common."""

    types: NodeTypes
    limits: WorkflowLimits
    not_found: Mapping[str, Problem]
    checked: dict[tuple[int, bytes], _Check] = field(default_factory=dict)

    def check(self, document: JsonValue, path: str, depth: int) -> _Check:
        """What stands in several sub-flows of the same depth is checked once."""
        key = depth, canonical(document)
        if key not in self.checked:
            self.checked[key] = _Check(document, self, path, depth)
        return self.checked[key]


class _Check:
    """One pass over a document: what it means, as far as it means anything.

    path, depth: where the document stands in the outermost one, and how many sub-flows are around it.
    """

    def __init__(self, document: JsonValue, nest: _Nest, path: str = "", depth: int = 0) -> None:
        limits = nest.limits
        self.nest = nest
        self.path = path
        self.depth = depth
        self.document = document
        self.text = canonical(document)
        self.findings = Findings(limits.max_problems)
        self.subflows: dict[str, _Check] = {}  # by node id
        self.node_count = 0  # those of sub-flows too
        self.settings = WorkflowSettings()
        self.structure = Structure({})
        self.callbacks: frozenset[str] = frozenset()  # ids of nodes that wait for one
        self.vars: Mapping[str, JsonValue] = {}
        self.configs: dict[int, CompiledConfig] = {}
        self.output: Template | None = None
        self.concurrency_key: Template | None = None
        self.rate_key: Template | None = None
        with suppress(Enough):
            self._check(nest.types, limits)

    def _check(self, types: NodeTypes, limits: WorkflowLimits) -> None:
        if (count := self.text.count(b"${")) > limits.max_expressions:
            message = f"{count:,} expressions are more than the limit of {limits.max_expressions:,}"
            self.findings.add("", "TOO_MANY_EXPRESSIONS", message)
            return
        reading = read(self.document, types, limits, self.findings)
        self.settings = settings = reading.settings
        self.structure = connect(reading.nodes, reading.edges, self.findings)
        self.callbacks = called_back(self.structure)
        self.node_count = len(reading.nodes)
        for draft in reading.nodes:
            if draft.type is not None and draft.type.subflow and draft.config is not None:
                self._enter(draft, draft.config)
        if settings.input_schema is not None:
            self.findings.extend(schema_problems(settings.input_schema, "/inputSchema"))
        if settings.on_conflict not in (None, "allow") and settings.id is None:
            hint = "it says which executions are of the same workflow"
            self.findings.add("/id", "MISSING_FIELD", "a workflow with onConflict needs an id", hint)
        self.vars = self._constants(settings.vars)
        for draft in reading.nodes:
            if draft.config is not None:
                self.configs[draft.index] = self._config(draft, draft.config)
        self.output = self._template(settings.output, "/output", EVERYWHERE)
        if settings.concurrency is not None:
            self.concurrency_key = self._template(settings.concurrency.key, "/concurrency/key", AT_START)
        if settings.rate_limit is not None:
            self.rate_key = self._template(settings.rate_limit.key, "/rateLimit/key", AT_START)

    def _enter(self, draft: Draft, config: Mapping[str, JsonValue]) -> None:
        """Check the workflow that a sub-flow runs."""
        place = draft.path_of("config")
        if draft.workflow is None:
            self._note_missing(place, config)
            return
        limits = self.nest.limits
        if self.depth >= limits.max_subflow_depth:
            message = f"sub-flows stand in one another more than {limits.max_subflow_depth} deep"
            self.findings.add(place, "SUBFLOW_TOO_DEEP", message)
            return
        inner = self.nest.check(draft.workflow, f"{self.path}{place}/workflow", self.depth + 1)
        self.findings.extend(_seen_from_outside(inner, place, config))
        self.node_count += inner.node_count
        if self.node_count > limits.max_nodes:
            message = f"with the nodes of its sub-flows it has more than the limit of {limits.max_nodes:,}"
            self.findings.add(place, "TOO_MANY_NODES", message)
            raise Enough
        if draft.id:
            self.subflows[draft.id] = inner

    def _note_missing(self, place: str, config: Mapping[str, JsonValue]) -> None:
        workflow_id = config.get("workflowId")
        if workflow_id is None and config.get("workflow") is None:
            hint = "give workflowId, or the definition itself as workflow"
            self.findings.add(place, "MISSING_FIELD", "a sub-flow says which workflow it runs", hint)
        elif isinstance(workflow_id, str) and "${" not in workflow_id:
            message = f"the definition of workflow {quoted(workflow_id)} is not known here"
            unknown = Problem("/workflowId", "UNKNOWN_WORKFLOW", message)
            why = self.nest.not_found.get(f"{self.path}{place}", unknown)
            self.findings.extend([replace(why, path=place + why.path)])

    def _config(self, draft: Draft, raw: Mapping[str, JsonValue]) -> CompiledConfig:
        path = draft.path_of("config")
        if not (draft.id and draft.type):  # nobody knows what its expressions may see
            compiled = compile_config(draft.type, raw, path)
            self.findings.extend(compiled.problems)
            return compiled
        names = EVERYWHERE | loop_names(self.structure, draft.id)
        if self.callbacks and not draft.type.container:
            names |= {"callbacks"}
        viewpoint = self._viewpoint(draft.id, names)
        compiled = compile_config(draft.type, raw, path, viewpoint.kind_of)
        self.findings.extend(compiled.problems)
        self._refuse_expressions(draft.type.settled, compiled, path)
        for place, expression, extra in compiled.expressions:
            if names_secrets(expression):
                if problem := secret_problem(draft.type, place, expression, path):
                    self.findings.extend([problem])
                continue
            here = replace(viewpoint, names=viewpoint.names | extra) if extra else viewpoint
            self.findings.extend(reference_problems(expression, here, path + pointers.pointer(place)))
        return compiled

    def _refuse_expressions(self, fields: frozenset[str], compiled: CompiledConfig, path: str) -> None:
        for place, _, _ in compiled.expressions if fields else ():
            if place[0] in fields:
                message = f"{place[0]!r} is settled before anything runs"
                self.findings.add(path + pointers.pointer(place), "EXPRESSION_NOT_ALLOWED", message)

    def _viewpoint(self, node_id: str | None, names: frozenset[str]) -> Viewpoint:
        return Viewpoint(self.structure, self.vars, node_id, names, self.settings.input_schema)

    def _template(self, value: JsonValue, path: str, names: frozenset[str]) -> Template | None:
        """A template that belongs to no node; None when there is none."""
        if value is None:
            return None
        template, errors = compile_rest(value)
        self.findings.extend(syntax_problem(error, path + pointers.pointer(place)) for place, error in errors)
        viewpoint = self._viewpoint(None, names)
        for place, expression in template.expressions:
            self.findings.extend(reference_problems(expression, viewpoint, path + pointers.pointer(place)))
        return template

    def _constants(self, values: Mapping[str, JsonValue]) -> Mapping[str, JsonValue]:
        """The vars with `$${` read as `${`."""
        template, errors = compile_rest(dict(values))
        self.findings.extend(
            syntax_problem(error, "/vars" + pointers.pointer(place)) for place, error in errors
        )
        for place in dict.fromkeys(place for place, _ in template.expressions):
            path = "/vars" + pointers.pointer(place)
            self.findings.add(
                path, "EXPRESSION_NOT_ALLOWED", "vars are constants", "write $${ for a literal ${"
            )
        constants: dict[str, JsonValue] = dict(values) if template.expressions else template.render({})  # type: ignore[assignment]
        return constants  # a plain dict: expressions take no other mapping

    # The graph of a definition without problems

    @cached_property
    def compiled(self) -> WorkflowGraph:
        return self.graph()

    def graph(self) -> WorkflowGraph:
        settings = self.settings
        listed: list[GraphNode] = []
        subflows: dict[str, Subflow] = {}
        children: dict[str, Child] = {}
        for draft in self.structure.nodes.values():
            listed.append(node := self._node(draft))
            if draft.id in self.subflows and node.type.container:
                self._unfold(node, listed, subflows, children)
            elif draft.id in self.subflows:
                children[node.id] = self._child(node)
        if subflows:
            listed = [replace(node, index=index) for index, node in enumerate(listed)]
        nodes = {node.id: node for node in listed}
        members: dict[str | None, list[GraphNode]] = defaultdict(list, {None: []})
        for node in nodes.values():
            members[node.parent_id].append(node)
            if node.type.container:
                members[node.id]
        return WorkflowGraph(
            definition_hash=content_hash(self.text),
            id=settings.id or "",
            name=settings.name,
            nodes=MappingProxyType(nodes),
            scopes=MappingProxyType(
                {scope: ScopeGraph(scope, tuple(found)) for scope, found in members.items()}
            ),
            vars=self.vars,
            output=self.output,
            output_reads=nodes_read(found for _, found in self.output.expressions)
            if self.output
            else frozenset(),
            retry=_policy(settings.retry),
            max_parallel=settings.max_parallel,
            timeout_ms=settings.timeout_ms,
            input_schema=settings.input_schema,
            tags=tuple(settings.tags),
            on_conflict=settings.on_conflict or "allow",
            subflows=MappingProxyType(subflows),
            concurrency=_concurrency(settings.concurrency, self.concurrency_key),
            rate_limit=_rate_limit(settings.rate_limit, self.rate_key),
            children=MappingProxyType(children),
        )

    def _child(self, node: GraphNode) -> Child:
        inner = self.subflows[node.id]
        named = node.raw_config.get("workflowId")
        return Child(
            graph=inner.compiled,
            definition=inner.text,
            workflow_id=named or inner.compiled.id,
            version=(node.raw_config.get("version") or 0) if named else 0,
        )

    def _unfold(
        self,
        container: GraphNode,
        nodes: list[GraphNode],
        subflows: dict[str, Subflow],
        children: dict[str, Child],
    ) -> None:
        """Add what a sub-flow holds behind its container, in the container's scope."""
        inner = self.subflows[container.id].compiled
        own_time = [ms for ms in (container.timeout_ms, inner.timeout_ms) if ms is not None]
        nodes[-1] = replace(container, timeout_ms=min(own_time, default=None))
        nodes.extend(nested(node, container) for node in inner.nodes.values())
        subflows[container.id] = Subflow(
            inner.vars,
            inner.output,
            _within(container.id, inner.output_reads),
            inner.retry,
            inner.input_schema,
        )
        for node_id, subflow in inner.subflows.items():
            reads = _within(container.id, subflow.output_reads)
            subflows[f"{container.id}/{node_id}"] = replace(subflow, output_reads=reads)
        children.update({f"{container.id}/{node_id}": child for node_id, child in inner.children.items()})

    def _node(self, draft: Draft) -> GraphNode:
        definition, config = draft.definition, self.configs[draft.index]
        assert draft.type is not None
        incoming, outgoing = (
            tuple(GraphEdge(edge.source, edge.target, edge.handle) for edge in edges.get(draft.id, ()))
            for edges in (self.structure.incoming, self.structure.outgoing)
        )
        branches = any(edge.handle == ERROR_HANDLE for edge in outgoing)
        rest = self.structure.leading_only_to(draft.id) if draft.type.cancels_rest(definition.config) else ()
        once = definition.at_most_once
        return GraphNode(
            id=draft.id,
            index=draft.index,
            name=definition.name,
            type=draft.type,
            parent_id=self.structure.parents[draft.id],
            path=self.structure.containers_of(draft.id),
            incoming=incoming,
            outgoing=outgoing,
            needed={"all": 0, "any": 1}[definition.join]
            if isinstance(definition.join, str)
            else definition.join,
            raw_config=definition.config,
            config=config.template,
            constant_config=config.constant,
            reads=nodes_read(expression for _, expression, _ in config.expressions),
            reads_input=any(
                reference.path[0] == "input"
                for _, expression, _ in config.expressions
                for reference in expression.references
            ),
            callbacks=callbacks_read((expression for _, expression, _ in config.expressions), self.callbacks),
            on_error="branch" if branches else definition.on_error or "fail",
            retry=_policy(definition.retry),
            timeout_ms=definition.timeout_ms,
            at_most_once=draft.type.at_most_once if once is None else once,
            cancels=tuple(rest),
            secrets=secrets_named(expression for _, expression, _ in config.expressions),
        )


def nested(node: GraphNode, container: GraphNode) -> GraphNode:
    """The node of a sub-flow's definition as a node of the definition that the sub-flow stands in."""

    def here(node_id: str) -> str:
        return f"{container.id}/{node_id}"

    def moved(edges: tuple[GraphEdge, ...]) -> tuple[GraphEdge, ...]:
        return tuple(GraphEdge(here(edge.source), here(edge.target), edge.handle) for edge in edges)

    return replace(
        node,
        id=here(node.id),
        parent_id=container.id if node.parent_id is None else here(node.parent_id),
        path=(*container.path, container.id, *map(here, node.path)),
        incoming=moved(node.incoming),
        outgoing=moved(node.outgoing),
        reads=_within(container.id, node.reads),
        callbacks=frozenset(map(here, node.callbacks)),
        cancels=tuple(map(here, node.cancels)),
        flow=container.id if node.flow is None else here(node.flow),
    )


def _within(container_id: str, node_ids: frozenset[str] | None) -> frozenset[str] | None:
    return None if node_ids is None else frozenset(f"{container_id}/{node_id}" for node_id in node_ids)


def _seen_from_outside(inner: _Check, place: str, config: Mapping[str, JsonValue]) -> Iterable[Problem]:
    """What is wrong with a sub-flow's definition. What was found under a name stands nowhere in the
    document as sent: there the name is to blame."""
    problems = inner.findings.in_order(inner.document)
    workflow_id = config.get("workflowId")
    if workflow_id is None:
        return [replace(one, path=f"{place}/workflow{one.path}") for one in problems]
    which = f"in workflow {quoted(workflow_id)}, version {config.get('version') or 0}"
    return [
        replace(one, path=f"{place}/workflowId", message=f"{which}, at {quoted(one.path)}: {one.message}")
        for one in problems
    ]


def _concurrency(definition: ConcurrencyDefinition | None, key: Template | None) -> ConcurrencyPolicy | None:
    if definition is None or key is None:
        return None
    return ConcurrencyPolicy(key, definition.limit, definition.on_limit, definition.hold == "live")


def _rate_limit(definition: RateLimitDefinition | None, key: Template | None) -> RatePolicy | None:
    if definition is None or key is None:
        return None
    return RatePolicy(key, definition.limit, definition.period_ms, definition.on_limit)


def _policy(retry: RetryDefinition | None) -> RetryPolicy | None:
    if retry is None:
        return None
    return RetryPolicy(
        max_attempts=retry.max_attempts,
        initial_interval_ms=retry.initial_interval_ms,
        backoff_coefficient=retry.backoff_coefficient,
        max_interval_ms=retry.max_interval_ms,
        jitter=retry.jitter,
        retry_on=None if retry.retry_on is None else frozenset(retry.retry_on),
    )
