"""How long a run takes along the way that its input is likely to take, and how much can run side by side.

A branch goes where its condition says, if that hangs on the input alone; else where it mostly went; else,
as nothing is known, every way. Nodes take what they took before, or what their type declares.
"""

from __future__ import annotations

import math
from collections.abc import Callable, Iterable, Mapping, Sequence
from dataclasses import dataclass
from datetime import datetime
from typing import Any

from flow_engine.expressions import EvaluationError, Limits
from flow_engine.expressions.template import Template
from flow_engine.interpreter.attempts import Prepared, prepare
from flow_engine.interpreter.steps import Step
from flow_engine.nodes.contract import Completed, Effect, NodeContext, NodeServices
from flow_engine.payload import JsonValue
from flow_engine.workflow.graph import ERROR_HANDLE, GraphEdge, GraphNode, ScopeGraph, WorkflowGraph
from services.executor.durations.learned import NOTHING_KNOWN, Knowledge, rounds_of
from services.executor.stats.tally import microseconds

LONGEST_MS = 366 * 86_400_000.0
_UNKNOWN_MS = 1.0
_EVALUATED_NODES = 100
"""In larger workflows configs are taken as they are written: their mode does not hang on a single loop."""
_LIMITS = Limits(max_steps=20_000, max_output_bytes=1 << 20)
LEFT_OF_LATE = 0.1
"""Of a running step that is beyond its typical time, this much of it is taken to be left."""


@dataclass(frozen=True, slots=True)
class Config:
    """A node's config before the run."""

    values: Mapping[str, Any]
    known: bool  # nothing in it waits for the run


@dataclass(frozen=True, slots=True)
class Loop:
    """A container whose list is known before the run."""

    node: GraphNode
    field: str  # of the config, that holds the list
    items: int


class Estimate:
    """duration_ms: along the critical path. width: nodes that can run side by side. hangs_on_input: another
    input might give another estimate.

    items: how many items loops shall be taken to have, by node id, in place of what is known.
    steps, now: what has happened already; then `duration_ms` is what is left.
    """

    def __init__(
        self,
        graph: WorkflowGraph,
        input_value: JsonValue = None,
        knowledge: Knowledge = NOTHING_KNOWN,
        *,
        items: Mapping[str, int] | None = None,
        steps: Sequence[Step] = (),
        now: datetime | None = None,
    ) -> None:
        self._graph = graph
        self._knowledge = knowledge
        self._items = items or {}
        self._steps = {step.node_id: step for step in steps if not step.iteration}
        self._now = now
        top = {"input": input_value, "vars": graph.vars}
        self._scopes: dict[str | None, dict[str, Any]] = {None: top}
        self.hangs_on_input = False
        self._evaluates = len(graph.nodes) <= _EVALUATED_NODES
        self._configs: dict[str, Config] = {}
        self._inner: dict[str, tuple[float, int]] = {}
        by_depth = sorted(graph.scopes.values(), key=lambda scope: -self._depth(scope))
        for scope in by_depth:
            self._inner[scope.container_id or ""] = self._measure(scope)
        self.duration_ms, self.width = self._inner[""]

    def total_ms(self, mode: str) -> float:
        """With what executions of this mode take beyond their steps."""
        return self.duration_ms + self._knowledge.definition.overhead_ms(mode)

    def loops(self) -> list[Loop]:
        """Containers whose number of iterations is known and decides how long they take."""
        found = []
        for node in self._graph.nodes.values():
            if not node.type.container:
                continue
            config = self._config(node)
            for field, value in config.values.items() if config.known else ():
                if (
                    isinstance(value, list)
                    and self._rounds(node, {**config.values, field: [None] * 1000}) > 1
                ):
                    found.append(Loop(node, field, len(value)))
        return found

    def _depth(self, scope: ScopeGraph) -> int:
        return 0 if scope.container_id is None else len(self._graph.nodes[scope.container_id].path) + 1

    def _measure(self, scope: ScopeGraph) -> tuple[float, int]:
        """(milliseconds of the longest likely way through the scope, nodes of its widest level)."""
        ends: dict[str, float] = {}
        levels: dict[str, int] = {}
        widths: dict[int, int] = {}
        ways: dict[str, frozenset[str] | None] = {}  # of the nodes that are reached
        for node in _in_order(scope.nodes):
            level = max((levels[edge.source] + 1 for edge in node.incoming), default=0)
            levels[node.id] = level
            widths[level] = widths.get(level, 0) + max(1, self._inner.get(node.id, (0.0, 1))[1])
            taken = [
                edge for edge in node.incoming if edge.source in ways and _takes(ways[edge.source], edge)
            ]
            if node.incoming and not taken:
                continue
            ends[node.id] = _begin(node, [ends[edge.source] for edge in taken]) + self._left_of(node)
            ways[node.id] = self._ways_of(node)
        return max(ends.values(), default=0.0), max(widths.values(), default=0)

    def _left_of(self, node: GraphNode) -> float:
        """The node's duration, less what it has done of it."""
        duration = self._duration_of(node)
        step = self._steps.get(node.id)
        if step is None or self._now is None:
            return duration
        if step.finished:
            return 0.0
        elapsed = 0.0 if step.started_at is None else microseconds(step.started_at, self._now) / 1000
        return max(duration - elapsed, duration * LEFT_OF_LATE)

    def _duration_of(self, node: GraphNode) -> float:
        """One run of the node without retries; of a container, of all its iterations."""
        duration = self._container_ms(node) if node.type.container else self._leaf_ms(node)
        return duration if node.timeout_ms is None else min(duration, float(node.timeout_ms))

    def _leaf_ms(self, node: GraphNode) -> float:
        learned = self._knowledge.known(node).leaf_ms
        if learned is not None and not node.type.timed_by_config:
            return learned
        config = self._config(node)
        return _declared(node.type.typical_ms, config.values) if learned is None or config.known else learned

    def _container_ms(self, node: GraphNode) -> float:
        own, config = self._knowledge.of(node), self._config(node)
        step = self._steps.get(node.id)
        if step is not None and step.item_count is not None:
            rounds: float | None = rounds_of(node, step.item_count)
        else:
            rounds = self._rounds(node, config.values) if config.known else None
        if own is not None and rounds is not None and (one := own.round_ms()) is not None:
            return one * rounds
        if own is not None and rounds is None and (whole := own.milliseconds()) is not None:
            return whole
        inner, _ = self._inner[node.id]
        return inner * (self._rounds(node, config.values) if rounds is None else rounds)

    def _rounds(self, node: GraphNode, config: Mapping[str, Any]) -> float:
        return _declared(node.type.typical_iterations, config)

    def _ways_of(self, node: GraphNode) -> frozenset[str] | None:
        """The handles that it will go on at; None: any."""
        step = self._steps.get(node.id)
        if step is not None and step.status == "completed":
            return frozenset(step.handles or [step.handle])
        decided = self._decided(node)
        if decided is not None:
            return decided
        return self._knowledge.known(node).ways

    def _decided(self, node: GraphNode) -> frozenset[str] | None:
        """Of a branch that hangs on what is known before the run only: nothing it does can be noticed."""
        kind = node.type
        if not (kind.inline and kind.effect is Effect.PURE and len(kind.handles_of(node.raw_config)) > 0):
            return None
        scope = self._scope_in(node.flow)
        if not self._evaluates or not self._is_known(node.config, scope):
            return None
        try:
            prepared = prepare(node, scope)
            if not isinstance(prepared, Prepared):
                return None
            context = NodeContext("", node.id, (), 1, "", NodeServices(), scope)
            running: Any = kind.run(context, prepared.config)
            running.send(None)
        except StopIteration as ended:
            outcome = ended.value
            return frozenset(outcome.handles or [outcome.handle]) if isinstance(outcome, Completed) else None
        except Exception:  # node types come from anywhere; an estimate must not stop a start
            return None
        running.close()
        return None

    def _config(self, node: GraphNode) -> Config:
        known = self._configs.get(node.id)
        if known is None:
            known = self._configs[node.id] = self._evaluated(node)
        if (count := self._items.get(node.id)) is not None:
            longer = {
                field: [None] * count if isinstance(value, list) else value
                for field, value in known.values.items()
            }
            return Config(longer, known.known)
        return known

    def _evaluated(self, node: GraphNode) -> Config:
        """The config with what is known before the run: what depends on the input and the vars only."""
        template = node.config
        if template.is_constant:
            return Config(node.raw_config, known=True)
        scope = self._scope_in(node.flow)
        if not self._evaluates or not self._is_known(template, scope):
            return Config(node.raw_config, known=False)
        try:
            values: Any = template.render(scope, _LIMITS)
        except EvaluationError:
            return Config(node.raw_config, known=False)
        deferred = {path.split(".")[0] for path in node.type.deferred}
        shown = {key: node.raw_config[key] if key in deferred else value for key, value in values.items()}
        return Config(shown, known=True)

    def _is_known(self, template: Template, scope: Mapping[str, Any]) -> bool:
        """Whether all that it reads is known before the run."""
        roots = {ref.path[0] for ref in template.references}
        known = roots <= scope.keys()
        self.hangs_on_input |= known and "input" in roots
        return known

    def _scope_in(self, flow: str | None) -> dict[str, Any]:
        """What is known of the variables in a sub-flow: its input, where that depends on what is known."""
        if flow not in self._scopes:
            scope = {"vars": self._graph.vars_of(flow)}
            config = self._config(self._graph.nodes[str(flow)])
            if config.known:
                scope["input"] = config.values.get("input", {})
            self._scopes[flow] = scope
        return self._scopes[flow]


def _takes(ways: frozenset[str] | None, edge: GraphEdge) -> bool:
    """Whether a node that goes on at these handles takes the edge. Every success takes unnamed ones."""
    if ways is None:
        return True
    return edge.handle in ways or (not edge.handle and ways != {ERROR_HANDLE})


def _begin(node: GraphNode, ends: Sequence[float]) -> float:
    """When it becomes ready: after all of the ways to it, or after the first few."""
    if node.needed and len(ends) >= node.needed:
        return sorted(ends)[node.needed - 1]
    return max(ends, default=0.0)


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
