"""What ended executions teach about a definition: how long its nodes take and which ways they go on.

Histograms fade: when a node has been seen often enough, what it did lately outweighs what it did once.
"""

from __future__ import annotations

import math
from collections import Counter
from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field
from typing import NamedTuple, TypeVar

import msgspec

from flow_engine.interpreter.steps import Step
from flow_engine.workflow.graph import ERROR_HANDLE, GraphNode, WorkflowGraph
from services.executor.stats.histogram import bucket_of, quantile
from services.executor.stats.tally import Ended, microseconds

K = TypeVar("K", int, str)

MEMORY = 64
"""Observations after which older ones count half."""
LEAST_OF_NODE, LEAST_OF_TYPE = 3, 20
"""Observations from which on a node's, or a type's, own history is believed rather than declarations."""
MOST_NODES = 2_000
"""Of larger definitions only the node types are learned: what is known of one is read with each start."""

Histogram = dict[int, float]
"""Microseconds by bucket; the weight of each."""


class NodeLearned(msgspec.Struct, omit_defaults=True):
    """Of one node, or of one node type."""

    took: Histogram = {}
    ways: dict[str, float] = {}  # runs that went on at a handle; "error" for handled failures
    rounds: Histogram = {}  # of containers: one round of iterations, those side by side together

    @property
    def runs(self) -> float:
        return sum(self.took.values())

    def milliseconds(self, share: float = 0.5) -> float | None:
        return _milliseconds(self.took, share)

    def round_ms(self) -> float | None:
        return _milliseconds(self.rounds, 0.5)

    def likely_ways(self) -> frozenset[str] | None:
        """Handles that it mostly goes on at; None when nothing is known."""
        if not self.ways:
            return None
        most = max(self.ways.values())
        total = max(self.runs, most)
        return frozenset(way for way, count in self.ways.items() if count == most or count > total / 2)


class Learned(msgspec.Struct, omit_defaults=True):
    """Of one definition, by node id; or, under the empty hash, of a namespace by node type."""

    nodes: dict[str, NodeLearned] = {}
    overhead: dict[str, Histogram] = {}
    """By mode: what executions take beyond their steps."""

    def overhead_ms(self, mode: str) -> float:
        known = self.overhead.get(mode) or next(iter(self.overhead.values()), {})
        return _milliseconds(known, 0.5) or 0.0


_decoder = msgspec.json.Decoder(Learned)


def decode_learned(text: str | bytes) -> Learned:
    return _decoder.decode(text)


def encode_learned(learned: Learned) -> str:
    return msgspec.json.encode(learned).decode()


def learn(of_definition: Learned, of_types: Learned, ended: Ended, graph: WorkflowGraph) -> None:
    """Take in one execution: the last few steps of each node and type, as they outweigh those before."""
    whole = len(graph.nodes) <= MOST_NODES
    by_node, by_type = Counter[str](), Counter[str]()
    for step in reversed(ended.steps):
        node = graph.nodes.get(step.node_id)
        if node is None or not _teaches(step):
            continue
        if whole and by_node[node.id] < MEMORY:
            by_node[node.id] += 1
            _observe(_node(of_definition, node.id), node, step)
        if not node.type.container and by_type[node.type.type] < MEMORY:
            by_type[node.type.type] += 1
            _observe(_node(of_types, node.type.type), node, step)
    if whole and ended.status == "completed" and not ended.promoted and ended.duration_us is not None:
        beyond = ended.duration_us - busy_us(ended.steps)
        _add(of_definition.overhead.setdefault(ended.mode, {}), max(1, beyond))


def _teaches(step: Step) -> bool:
    handled = step.status == "failed" and step.handled in ("continue", "branch")
    timed = step.attempts > 0 and not step.kept and step.started_at is not None
    return timed and (step.status == "completed" or handled)


def _observe(learned: NodeLearned, node: GraphNode, step: Step) -> None:
    assert step.started_at is not None
    assert step.completed_at is not None
    took = microseconds(step.started_at, step.completed_at)
    _add(learned.took, took)
    for way in _ways(step):
        _count(learned.ways, way)
    if step.item_count:
        _add(learned.rounds, took / rounds_of(node, step.item_count))


def _ways(step: Step) -> Sequence[str]:
    """Where it went on. Source: docs/semantics.md, "Edges"."""
    if step.status == "failed":
        return [ERROR_HANDLE if step.handled == "branch" else ""]
    return step.handles or [step.handle]


def rounds_of(node: GraphNode, items: int) -> int:
    """How often a container goes through its scope, one after another."""
    concurrency = node.raw_config.get("concurrency", 1)
    return math.ceil(items / concurrency) if isinstance(concurrency, int) and concurrency > 0 else items


def busy_us(steps: Sequence[Step]) -> int:
    """Microseconds in which at least one step was open."""
    spans = sorted(
        (step.started_at, step.completed_at)
        for step in steps
        if step.started_at is not None and step.completed_at is not None and not step.kept
    )
    busy, reached = 0, None
    for begin, end in spans:
        if reached is None or begin > reached:
            busy += microseconds(begin, end)
            reached = end
        elif end > reached:
            busy += microseconds(reached, end)
            reached = end
    return busy


def _node(learned: Learned, name: str) -> NodeLearned:
    node = learned.nodes.get(name)
    if node is None:
        node = learned.nodes[name] = NodeLearned(took={}, ways={}, rounds={})
    return node


def _add(histogram: Histogram, value: float) -> None:
    _count(histogram, bucket_of(value))


def _count(counts: dict[K, float], key: K) -> None:
    counts[key] = counts.get(key, 0.0) + 1
    if sum(counts.values()) >= MEMORY:
        for known in list(counts):
            counts[known] /= 2
            if counts[known] < 0.1:
                del counts[known]


def _milliseconds(histogram: Mapping[int, float], share: float) -> float | None:
    found = quantile(histogram, share)
    return None if found is None else found / 1000


class NodeKnown(NamedTuple):
    """What is believed of one node."""

    own: NodeLearned | None  # its own history, where there is enough of it
    leaf_ms: float | None  # how long it takes, if it is no container; None when declarations know better
    ways: frozenset[str] | None  # handles that it mostly goes on at


UNKNOWN = NodeKnown(None, None, None)


@dataclass(frozen=True, slots=True)
class Knowledge:
    """What is known when an execution starts. Worked out once for many starts of one definition."""

    definition: Learned = field(default_factory=Learned)
    types: Learned = field(default_factory=Learned)
    _known: dict[str, NodeKnown] = field(default_factory=dict, compare=False)

    def known(self, node: GraphNode) -> NodeKnown:
        if not self.definition.nodes and not self.types.nodes:
            return UNKNOWN
        known = self._known.get(node.id)
        if known is None:
            own = self.definition.nodes.get(node.id)
            own = own if own is not None and own.runs >= LEAST_OF_NODE else None
            ways = None if own is None else own.likely_ways()
            known = self._known[node.id] = NodeKnown(own, self._leaf_ms(node, own), ways)
        return known

    def of(self, node: GraphNode) -> NodeLearned | None:
        """The node's own history."""
        return self.known(node).own

    def _leaf_ms(self, node: GraphNode, own: NodeLearned | None) -> float | None:
        if own is not None:
            return own.milliseconds()
        of_type = self.types.nodes.get(node.type.type)
        if node.type.timed_by_config or of_type is None or of_type.runs < LEAST_OF_TYPE:
            return None
        return of_type.milliseconds()

    def typical_ms(self, graph: WorkflowGraph) -> dict[str, float]:
        """By node id, where it is known: for whoever must tell whether a node fits into its time."""
        known = (
            (node.id, self.known(node).leaf_ms) for node in graph.nodes.values() if not node.type.container
        )
        return {node_id: ms for node_id, ms in known if ms is not None}


NOTHING_KNOWN = Knowledge()
