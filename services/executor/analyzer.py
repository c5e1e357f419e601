"""Which mode a workflow should run in, and why.

Decided by what node types declare about themselves, never by their names.
"""

from __future__ import annotations

from collections.abc import Callable, Sequence
from dataclasses import dataclass, replace
from functools import cached_property

from flow_engine.nodes.contract import Effect
from flow_engine.payload import JsonValue, encode
from flow_engine.recent import Recent
from flow_engine.workflow.graph import GraphNode, WorkflowGraph
from services.executor.durations.estimate import Estimate, Loop
from services.executor.durations.learned import NOTHING_KNOWN, Knowledge

AUTO, IMMEDIATE, QUEUED = "auto", "immediate", "queued"

REMEMBERED = 512
"""Decisions."""


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

    def as_json(self) -> dict[str, JsonValue]:
        return {name: getattr(self, name) for name in self.__slots__}


@dataclass(frozen=True)
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
    counterfactual: str = ""  # what would change what auto chooses; empty: nothing simple, or not asked for
    learned_nodes: int = 0  # of which the estimate knows from history how long they take

    @cached_property
    def text(self) -> bytes:
        """As JSON, as it is stored."""
        return encode(self.as_json())

    def as_json(self) -> dict[str, JsonValue]:
        return {
            "mode": self.mode,
            "requestedMode": self.requested_mode,
            "factors": [factor.as_json() for factor in self.factors],
            "estimatedDurationMs": self.estimated_duration_ms,
            "nodeCount": self.node_count,
            "externalCallCount": self.external_call_count,
            "loopCount": self.loop_count,
            "maxParallelPaths": self.max_parallel_paths,
            "humanInput": self.human_input,
            "explanation": self.explanation,
            **({"counterfactual": self.counterfactual} if self.counterfactual else {}),
            **({"learnedNodes": self.learned_nodes} if self.learned_nodes else {}),
        }


class ComplexityAnalyzer:
    """Chooses between immediate and queued."""

    def __init__(self, thresholds: Thresholds = Thresholds()) -> None:
        self.thresholds = thresholds
        self._decided: Recent[tuple[Knowledge, ComplexityAnalysis]] = Recent(REMEMBERED)

    def decide(
        self,
        graph: WorkflowGraph,
        requested_mode: str,
        input_value: JsonValue,
        knowledge: Knowledge,
        *,
        busy: bool,
    ) -> ComplexityAnalysis:
        """As `analyze`, but worked out once where it does not hang on the input, for as long as as much is
        known."""
        key = f"{graph.definition_hash} {requested_mode} {busy}"
        decided = self._decided.get(key)
        if decided is not None and decided[0] is knowledge:
            return decided[1]
        estimate = Estimate(graph, input_value, knowledge)
        analysis = self._analysis(graph, requested_mode, estimate, knowledge, busy=busy)
        if not estimate.hangs_on_input:
            self._decided.put(key, (knowledge, analysis))
        return analysis

    def analyze(
        self,
        graph: WorkflowGraph,
        requested_mode: str = AUTO,
        *,
        input_value: JsonValue = None,
        busy: bool = False,
        knowledge: Knowledge = NOTHING_KNOWN,
        counterfactual: bool = False,
    ) -> ComplexityAnalysis:
        """The mode for one run of `graph`. An explicit mode is honoured; the rest is told all the same.

        input_value: makes estimates better where configs depend on it; busy: the executor has no room.
        knowledge: what history teaches. counterfactual: also find what would change the mode, which takes a
        few more estimates.
        """
        estimate = Estimate(graph, input_value, knowledge)
        analysis = self._analysis(graph, requested_mode, estimate, knowledge, busy=busy)
        if not counterfactual:
            return analysis

        def duration_with(node_id: str, items: int) -> float:
            return Estimate(graph, input_value, knowledge, items={node_id: items}).total_ms(IMMEDIATE)

        limit_ms, factors = self.thresholds.max_estimate_ms, analysis.factors
        otherwise = _counterfactual(_chosen(factors), factors, estimate, limit_ms, duration_with)
        return replace(analysis, counterfactual=otherwise)

    def _analysis(
        self,
        graph: WorkflowGraph,
        requested_mode: str,
        estimate: Estimate,
        knowledge: Knowledge,
        *,
        busy: bool,
    ) -> ComplexityAnalysis:
        nodes = list(graph.nodes.values())
        external = [node for node in nodes if node.type.effect is Effect.EXTERNAL]
        loops = [node for node in nodes if node.type.container and not node.type.subflow]
        human = [node for node in nodes if node.type.human]
        factors = (
            _node_count(len(nodes), self.thresholds.max_nodes),
            _estimated_duration(estimate.total_ms(IMMEDIATE), self.thresholds.max_estimate_ms),
            _human_input(human),
            _external_calls_in_loops(external, loops),
            _executor_busy(busy),
        )
        chosen = _chosen(factors)
        mode = chosen if requested_mode == AUTO else requested_mode
        return ComplexityAnalysis(
            mode=mode,
            requested_mode=requested_mode,
            factors=factors,
            estimated_duration_ms=estimate.total_ms(mode),
            node_count=len(nodes),
            external_call_count=len(external),
            loop_count=len(loops),
            max_parallel_paths=min(estimate.width, graph.max_parallel),
            human_input=bool(human),
            explanation=_explanation(requested_mode, mode, chosen, factors),
            learned_nodes=sum(knowledge.of(node) is not None for node in nodes),
        )


def _chosen(factors: Sequence[Factor]) -> str:
    """What auto chooses."""
    return QUEUED if any(factor.fired for factor in factors) else IMMEDIATE


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


# What would change it


def _counterfactual(
    chosen: str,
    factors: Sequence[Factor],
    estimate: Estimate,
    limit_ms: int,
    duration_with: Callable[[str, int], float],
) -> str:
    """What it would take to choose the other mode, where one thing decides: `immediate if nodes ≤ 10`.

    duration_with: the estimate with another number of items for a loop, by its id.
    """
    fired = [factor.name for factor in factors if factor.fired]
    if chosen == IMMEDIATE:
        beyond = (_queued_beyond(loop, limit_ms, duration_with) for loop in estimate.loops())
        return next(filter(None, beyond), "")
    if len(fired) != 1:
        return ""
    match fired[0]:
        case "nodeCount":
            limit = next(factor.threshold for factor in factors if factor.name == "nodeCount")
            return f"immediate if nodes ≤ {limit:,}"
        case "estimatedDuration":
            below = (_immediate_up_to(loop, limit_ms, duration_with) for loop in estimate.loops())
            return next(filter(None, below), f"immediate if it took at most {spoken(limit_ms)}")
        case "humanInput":
            return "immediate if it asked no person"
        case "externalCallsInLoops":
            return "immediate if it had no loops, or no external calls"
        case _:
            return "immediate once the executor has room"


def _queued_beyond(loop: Loop, limit_ms: int, duration_with: Callable[[str, int], float]) -> str:
    def fits(items: int) -> bool:
        return duration_with(loop.node.id, items) <= limit_ms

    enough = _most_items(fits, MOST_ITEMS)
    return f"queued if {loop.field} of {loop.node.id} > {enough:,}" if enough < MOST_ITEMS else ""


def _immediate_up_to(loop: Loop, limit_ms: int, duration_with: Callable[[str, int], float]) -> str:
    def fits(items: int) -> bool:
        return duration_with(loop.node.id, items) <= limit_ms

    if not fits(0):
        return ""
    return f"immediate if {loop.field} of {loop.node.id} ≤ {_most_items(fits, loop.items):,}"


MOST_ITEMS = 100_000


def _most_items(fits: Callable[[int], bool], most: int) -> int:
    """The largest number up to `most` that fits, where 0 does and more never takes less."""
    low, high = 0, most
    while low < high:
        middle = (low + high + 1) // 2
        low, high = (middle, high) if fits(middle) else (low, middle - 1)
    return low


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
