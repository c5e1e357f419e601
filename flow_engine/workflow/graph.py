"""A definition compiled for running: nodes by scope, edges by node, expressions as closures."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass, field
from typing import Any

from flow_engine.expressions import Template
from flow_engine.nodes.contract import NodeConfig, NodeType

ERROR_HANDLE = "error"


@dataclass(frozen=True, slots=True)
class RetryPolicy:
    """SEMANTICS: attempts, then onError."""

    max_attempts: int = 1
    initial_interval_ms: int = 1000
    backoff_coefficient: float = 2.0
    max_interval_ms: int = 60_000
    jitter: float = 0.0  # 0.2: each interval varies by up to 20 %
    retry_on: frozenset[str] | None = None  # error codes; None: every retryable one


@dataclass(frozen=True, slots=True)
class GraphEdge:
    source: str
    target: str
    handle: str  # "" for an edge without sourceHandle


@dataclass(frozen=True, slots=True)
class GraphNode:
    """One node, ready to run."""

    id: str  # of a node in a sub-flow: after that of its container, as in `price/lookup`
    index: int  # declaration order in the whole definition, sub-flows in the place of their containers
    name: str
    type: NodeType[Any]
    parent_id: str | None  # the container around it
    path: tuple[str, ...]  # ids of the containers around it, outermost first
    incoming: tuple[GraphEdge, ...]
    outgoing: tuple[GraphEdge, ...]
    needed: int  # taken edges that make it ready; 0 stands for `all`
    raw_config: Mapping[str, Any]  # as written, expressions not evaluated
    config: Template
    constant_config: NodeConfig | None  # validated once, when nothing in it is evaluated
    reads: frozenset[str] | None  # ids of nodes whose output, status or error it reads; None: any
    on_error: str  # fail, continue or branch
    retry: RetryPolicy | None  # its own; None: the workflow's or the options'
    timeout_ms: int | None
    at_most_once: bool
    callbacks: frozenset[str] = frozenset()  # ids of nodes whose callback URL it reads
    secrets: frozenset[str] = frozenset()  # names of those that its config holds
    cancels: tuple[str, ...] = ()  # nodes all of whose paths lead only to it, to be cancelled when it starts
    reads_input: bool = False
    flow: str | None = None  # the sub-flow that it belongs to, by the id of its container


@dataclass(frozen=True, slots=True)
class ScopeGraph:
    """The nodes directly inside one container, or at the top; declaration order."""

    container_id: str | None
    nodes: tuple[GraphNode, ...]


@dataclass(frozen=True, slots=True)
class Subflow:
    """What the definition of a sub-flow says besides its nodes."""

    vars: Mapping[str, Any]
    output: Template | None
    output_reads: frozenset[str] | None
    retry: RetryPolicy | None  # default for its nodes
    input_schema: Mapping[str, Any] | None


@dataclass(frozen=True, slots=True)
class ConcurrencyPolicy:
    """At most `limit` executions with the same key hold a slot at once."""

    key: Template
    limit: int
    on_limit: str  # queue, reject, cancel_oldest
    keeps_slot: bool  # over waits too, until the execution's end


@dataclass(frozen=True, slots=True)
class RatePolicy:
    """At most `limit` executions with the same key begin within any period."""

    key: Template
    limit: int
    period_ms: int
    on_limit: str  # queue, reject


@dataclass(frozen=True, slots=True)
class WorkflowGraph:
    """A whole definition. Immutable: cached by `definition_hash` and shared by runs."""

    definition_hash: str
    id: str
    name: str
    nodes: Mapping[str, GraphNode]
    scopes: Mapping[str | None, ScopeGraph]  # by container id; None is the top
    vars: Mapping[str, Any]
    output: Template | None
    output_reads: frozenset[str] | None
    retry: RetryPolicy | None  # default for nodes
    max_parallel: int  # leaf steps at once over all scopes
    timeout_ms: int | None
    input_schema: Mapping[str, Any] | None
    tags: tuple[str, ...] = ()
    on_conflict: str = "allow"  # or reject, use_existing, cancel_existing
    concurrency: ConcurrencyPolicy | None = None
    rate_limit: RatePolicy | None = None
    subflows: Mapping[str, Subflow] = field(default_factory=dict)  # by the id of their container
    children: Mapping[str, Child] = field(default_factory=dict)  # detached sub-flows by the id of their node

    @property
    def secrets(self) -> frozenset[str]:
        """Names of the secrets that its nodes use."""
        return frozenset().union(*(node.secrets for node in self.nodes.values()))

    @property
    def callbacks(self) -> frozenset[str]:
        """Ids of nodes whose callback URL others read."""
        return frozenset().union(*(node.callbacks for node in self.nodes.values()))

    def vars_of(self, flow: str | None) -> Mapping[str, Any]:
        return self.vars if flow is None else self.subflows[flow].vars

    def retry_of(self, node: GraphNode) -> RetryPolicy | None:
        """The default of the definition that the node stands in."""
        return self.retry if node.flow is None else self.subflows[node.flow].retry

    def depth_of(self, flow: str | None) -> int:
        """How many containers lie around the nodes at the top of a sub-flow, its own included."""
        return 0 if flow is None else len(self.nodes[flow].path) + 1


@dataclass(frozen=True, slots=True)
class Child:
    """The workflow of a detached sub-flow."""

    graph: WorkflowGraph
    definition: bytes  # canonical JSON, whose hash is graph.definition_hash
    workflow_id: str  # empty: it has no name
    version: int  # 0: it was given as a definition


def local_id(node_id: str) -> str:
    """The id that a node has in its own definition. Source: docs/semantics.md, "Sub-flows"."""
    return node_id.rpartition("/")[2]
