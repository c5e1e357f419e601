"""What a worker must be able to do to run a definition, beyond what every worker can.

Words of two kinds: a node type, and `definition:N` for what version N of the definition's format brought.
A worker says the same words of itself when it claims.
"""

from __future__ import annotations

from collections.abc import Iterable

from flow_engine.workflow.graph import WorkflowGraph

FORMAT = 2
"""Of definitions. 2 brought rateLimit and concurrency.hold: whoever reads version 1 refuses these fields."""

BASELINE = frozenset(
    """
    ai.chat ai.extract data.format data.hash data.merge data.parse data.set data.split data.transform
    data.validate database.query email.send flow.fail flow.noop flow.return flow.try grpc.call http.request
    human.approval human.input logic.delay logic.foreach logic.if logic.join logic.switch logic.waitUntil
    logic.while redis.publish wait.callback
    """.split()
)
"""Node types of the first release. They are never asked for, so that nearly all executions ask for nothing;
what came later is. When no worker of some release is left, its node types may be added."""


def requirements(graph: WorkflowGraph) -> tuple[str, ...]:
    """Sorted; empty when any worker will do."""
    types = {node.type.type for node in graph.nodes.values()} - BASELINE
    return tuple(sorted(types | {f"definition:{version}" for version in range(2, format_of(graph) + 1)}))


def format_of(graph: WorkflowGraph) -> int:
    """The oldest version of the format that can express it."""
    newer = graph.rate_limit is not None or (graph.concurrency is not None and graph.concurrency.keeps_slot)
    return 2 if newer else 1


def capabilities(node_types: Iterable[str]) -> list[str]:
    """What a worker with these node types says of itself."""
    return sorted([*node_types, *(f"definition:{version}" for version in range(1, FORMAT + 1))])


def lacking(required: Iterable[str], able: Iterable[str]) -> list[str]:
    """What a worker would need besides. Whoever says nothing of itself can do what every worker can."""
    return sorted(frozenset(required) - frozenset(able))
