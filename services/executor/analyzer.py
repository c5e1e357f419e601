"""Which mode a workflow should run in, and why.

Decided by what node types declare about themselves, never by their names.
"""

from __future__ import annotations

import math
from collections.abc import Callable, Iterable, Mapping, Sequence
from dataclasses import asdict, dataclass
from typing import Any

from flow_engine.expressions import EvaluationError, Limits
from flow_engine.nodes.contract import Effect
from flow_engine.payload import JsonValue
from flow_engine.workflow.graph import GraphNode, ScopeGraph, WorkflowGraph

AUTO, IMMEDIATE, QUEUED = "auto", "immediate", "queued"

_UNKNOWN_MS = 1.0
_EVALUATED_NODES = 100
"""In larger workflows configs are taken as they are written: their mode does not hang on a single loop."""
_LIMITS = Limits(max_steps=20_000, max_output_bytes=1 << 20)


@dataclass(frozen=True, slots=True)
class Thresholds:
    """Beyond these, auto mode queues."""

    max_nodes: int = 10
    max_estimate_ms: int = 30_000


@dataclass(frozen=True, slots=True)
class Factor:
    """One thing that was looked at."""

    name: str
    value: JsonValue
    threshold: JsonValue
    fired: bool  # asks for the queue
    explanation: str  # one sentence


@dataclass(frozen=True, slots=True)
class ComplexityAnalysis:
    """The decision with everything that led to it."""

    mode: str  # immediate or queued
    requested_mode: str  # auto, immediate or queued
    factors: tuple[Factor, ...]
    estimated_duration_ms: float  # along the critical path
    node_count: int  # children of containers and nodes of sub-flows too
    external_call_count: int  # nodes that act on the outside, each once
    loop_count: int
    max_parallel_paths: int  # the most nodes that can run side by side
    human_input: bool
    explanation: str  # one sentence

    def as_json(self) -> dict[str, JsonValue]:
        return {
            "mode": self.mode,
            "requestedMode": self.requested_mode,
            "factors": [asdict(factor) for factor in self.factors],
            "estimatedDurationMs": self.estimated_duration_ms,
            "nodeCount": self.node_count,
            "externalCallCount": self.external_call_count,
            "loopCount": self.loop_count,
            "maxParallelPaths": self.max_parallel_paths,
            "humanInput": self.human_input,
            "explanation": self.explanation,
        }


class ComplexityAnalyzer:
    """Chooses between immediate and queued."""

    def __init__(self, thresholds: Thresholds = Thresholds()) -> None:
        self.thresholds = thresholds

    def analyze(
        self,
        graph: WorkflowGraph,
        requested_mode: str = AUTO,
        *,
        input_value: JsonValue = None,
        busy: bool = False,
    ) -> ComplexityAnalysis:
        """The mode for one run of `graph`. An explicit mode is honoured; the rest is told all the same.

        input_value: makes estimates better where configs depend on it; busy: the executor has no room.
        """
        nodes = list(graph.nodes.values())
        external = [node for node in nodes if node.type.effect is Effect.EXTERNAL]
        loops = [node for node in nodes if node.type.container and not node.type.subflow]
        human = [node for node in nodes if node.type.human]
        estimate = _Estimate(graph, input_value)
        factors = (
            _node_count(len(nodes), self.thresholds.max_nodes),
            _estimated_duration(estimate.duration_ms, self.thresholds.max_estimate_ms),
            _human_input(human),
            _external_calls_in_loops(external, loops),
            _executor_busy(busy),
        )
        chosen = QUEUED if any(factor.fired for factor in factors) else IMMEDIATE
        mode = chosen if requested_mode == AUTO else requested_mode
        return ComplexityAnalysis(
            mode=mode,
            requested_mode=requested_mode,
            factors=factors,
            estimated_duration_ms=estimate.duration_ms,
            node_count=len(nodes),
            external_call_count=len(external),
            loop_count=len(loops),
            max_parallel_paths=min(estimate.width, graph.max_parallel),
            human_input=bool(human),
            explanation=_explanation(requested_mode, mode, chosen, factors),
        )


# Factors


def _node_count(count: int, limit: int) -> Factor:
    nodes = "1 node" if count == 1 else f"{count:,} nodes"
    return Factor("nodeCount", count, limit, count > limit, f"It has {nodes} (limit {limit:,}).")


def _estimated_duration(duration_ms: float, limit_ms: int) -> Factor:
    sentence = f"It should take about {spoken(duration_ms)} (limit {spoken(limit_ms)})."
    return Factor("estimatedDuration", duration_ms, limit_ms, duration_ms > limit_ms, sentence)


def _human_input(human: Sequence[GraphNode]) -> Factor:
    sentence = f"It asks a person ({_named(human)})." if human else "It asks no person."
    return Factor("humanInput", bool(human), False, bool(human), sentence)


def _external_calls_in_loops(external: Sequence[GraphNode], loops: Sequence[GraphNode]) -> Factor:
    """Fires for external calls together with loops, wherever they stand."""
    count = len(external) if loops else 0
    if count:
        sentence = f"It has external calls ({_named(external)}) together with loops ({_named(loops)})."
    else:
        sentence = "It has no external calls together with loops."
    return Factor("externalCallsInLoops", count, 0, count > 0, sentence)


def _executor_busy(busy: bool) -> Factor:
    sentence = "The executor has no room for another immediate run." if busy else "The executor has room."
    return Factor("executorBusy", busy, False, busy, sentence)


# The estimate


class _Estimate:
    """Duration along the critical path, and how many nodes can run side by side."""

    def __init__(self, graph: WorkflowGraph, input_value: JsonValue) -> None:
        self._graph = graph
        self._scopes: dict[str | None, dict[str, Any]] = {None: {"input": input_value, "vars": graph.vars}}
        self._evaluates = len(graph.nodes) <= _EVALUATED_NODES
        self._inner: dict[str, tuple[float, int]] = {}
        by_depth = sorted(graph.scopes.values(), key=lambda scope: -self._depth(scope))
        for scope in by_depth:
            self._inner[scope.container_id or ""] = self._measure(scope)
        self.duration_ms, self.width = self._inner[""]

    def _depth(self, scope: ScopeGraph) -> int:
        return 0 if scope.container_id is None else len(self._graph.nodes[scope.container_id].path) + 1

    def _measure(self, scope: ScopeGraph) -> tuple[float, int]:
        """(milliseconds of the longest way through the scope, nodes of its widest level)."""
        ends: dict[str, float] = {}
        levels: dict[str, int] = {}
        widths: dict[int, int] = {}
        for node in _in_order(scope.nodes):
            before = [edge.source for edge in node.incoming]
            begin = max((ends[source] for source in before), default=0.0)
            level = max((levels[source] + 1 for source in before), default=0)
            ends[node.id], levels[node.id] = begin + self._duration_of(node), level
            widths[level] = widths.get(level, 0) + max(1, self._inner.get(node.id, (0.0, 1))[1])
        return max(ends.values(), default=0.0), max(widths.values(), default=0)

    def _duration_of(self, node: GraphNode) -> float:
        """One run of the node without retries; of a container, of all its iterations."""
        config = self._config(node)
        if node.type.container:
            one, _ = self._inner[node.id]
            duration = one * _declared(node.type.typical_iterations, config)
        else:
            duration = _declared(node.type.typical_ms, config)
        return duration if node.timeout_ms is None else min(duration, float(node.timeout_ms))

    def _config(self, node: GraphNode) -> Mapping[str, Any]:
        """The config with what is known before the run: what depends on the input and the vars only."""
        template = node.config
        if template.is_constant or not self._evaluates:
            return node.raw_config
        scope = self._scope_in(node.flow)
        if any(reference.path[0] not in scope for reference in template.references):
            return node.raw_config
        try:
            known: Any = template.render(scope, _LIMITS)
        except EvaluationError:
            return node.raw_config
        deferred = {path.split(".")[0] for path in node.type.deferred}
        return {key: node.raw_config[key] if key in deferred else value for key, value in known.items()}

    def _scope_in(self, flow: str | None) -> dict[str, Any]:
        """What is known of the variables in a sub-flow: its input, where that depends on what is known."""
        if flow not in self._scopes:
            container = self._graph.nodes[str(flow)]
            scope = {"vars": self._graph.vars_of(flow)}
            config = self._config(container)
            if container.config.is_constant or config is not container.raw_config:
                scope["input"] = config.get("input", {})
            self._scopes[flow] = scope
        return self._scopes[flow]


def _in_order(nodes: Sequence[GraphNode]) -> Iterable[GraphNode]:
    """The nodes, each after its predecessors."""
    by_id = {node.id: node for node in nodes}
    missing = {node.id: len(node.incoming) for node in nodes}
    ready = [node for node in nodes if not node.incoming]
    for node in ready:
        for edge in node.outgoing:
            missing[edge.target] -= 1
            if not missing[edge.target]:
                ready.append(by_id[edge.target])
    return ready


def _declared(declaration: Callable[[Mapping[str, Any]], float], config: Mapping[str, Any]) -> float:
    """What a node type says of a config, which may hold anything: an answer that is none counts as 1."""
    try:
        value = float(declaration(config))
    except Exception:  # node types come from anywhere; an estimate must not stop a start
        return _UNKNOWN_MS
    return value if math.isfinite(value) and value >= 0 else _UNKNOWN_MS


# Words


def _explanation(requested: str, mode: str, chosen: str, factors: Sequence[Factor]) -> str:
    because = _because([factor for factor in factors if factor.fired == (chosen == QUEUED)])
    if requested == AUTO:
        return f"{mode.capitalize()}, because {because}."
    also = "too" if chosen == mode else "instead"
    return f"{mode.capitalize()}, as requested; auto would choose {chosen} {also}, because {because}."


def _because(factors: Sequence[Factor]) -> str:
    clauses = [factor.explanation[0].lower() + factor.explanation[1:-1] for factor in factors]
    return " and ".join(filter(None, [", ".join(clauses[:-1]), *clauses[-1:]]))


def spoken(milliseconds: float) -> str:
    """`4.2 min`"""
    for unit, size in (("days", 86_400_000), ("h", 3_600_000), ("min", 60_000), ("s", 1000)):
        if milliseconds >= size:
            return f"{_rounded(milliseconds / size)} {unit}"
    return f"{_rounded(milliseconds)} ms"


def _rounded(value: float) -> str:
    return f"{value:,.0f}" if value >= 10 or value == int(value) else f"{value:.1f}"


def _named(nodes: Sequence[GraphNode]) -> str:
    shown = ", ".join(node.id for node in nodes[:3])
    return shown if len(nodes) <= 3 else f"{shown} and {len(nodes) - 3} more"
