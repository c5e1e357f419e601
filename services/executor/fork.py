"""What a retry keeps of the execution before it, from steps and graph alone.

A step is kept when its outcome is settled (completed, skipped, or failed and handled) and
everything that its outcome depended on is kept too. Steps inside a container that did not
finish are kept under the same rule: the container opens again with the same items.
Source: docs/protocol.md, "Retry" and "Step key".
"""

from __future__ import annotations

from collections import defaultdict
from collections.abc import Iterable
from datetime import datetime

from flow_engine.errors import NodeNotFound
from flow_engine.ids import Iteration
from flow_engine.interpreter.events import ExecutionForked, Generation, KeptStep, Within
from flow_engine.interpreter.steps import Step, StepKey, StepsView
from flow_engine.nodes.contract import Effect
from flow_engine.workflow.graph import ERROR_HANDLE, GraphNode, WorkflowGraph


def fork(
    graph: WorkflowGraph,
    view: StepsView,
    from_node: str,
    time: datetime,
    within: Within | None = None,
) -> ExecutionForked:
    """Event 2 of the retry. from_node: run this node and everything downstream again; may be empty.

    within: of an execution that runs an item.

    Raises NodeNotFound.
    """
    again, reopened = dropped(graph, from_node)
    steps = {step.key: step for step in view.steps}
    top = (None, ()) if within is None else (within.node_id, within.iteration)
    kept = _Keeping(graph, steps, again, reopened).kept(*top)
    return ExecutionForked(
        time=time,
        kept=tuple(kept_step(steps[key]) for key in steps if key in kept),
        generations=generations(graph, view, kept),
    )


def dropped(graph: WorkflowGraph, from_node: str) -> tuple[frozenset[str], frozenset[str]]:
    """Nodes that run again: `from_node`, all downstream of it and of the containers around it, all inside.

    The second set: the containers around it. They open again, with the same items.
    """
    if not from_node:
        return frozenset(), frozenset()
    node = graph.nodes.get(from_node)
    if node is None:
        raise NodeNotFound(from_node)
    again = downstream(graph, [from_node])
    for container_id in node.path:
        again |= downstream(graph, [container_id]) - {container_id}
    return frozenset(with_children(graph, again)), frozenset(node.path)


def downstream(graph: WorkflowGraph, start: Iterable[str]) -> set[str]:
    """The nodes themselves and those that their edges lead to, within their scopes."""
    found: set[str] = set()
    todo = list(start)
    while todo:
        node_id = todo.pop()
        if node_id not in found:
            found.add(node_id)
            todo.extend(edge.target for edge in graph.nodes[node_id].outgoing)
    return found


def with_children(graph: WorkflowGraph, node_ids: set[str]) -> set[str]:
    return {
        node.id for node in graph.nodes.values() if node.id in node_ids or node_ids.intersection(node.path)
    }


class _Keeping:
    """Decides for each step once whether it is kept, its causes first."""

    def __init__(
        self,
        graph: WorkflowGraph,
        steps: dict[StepKey, Step],
        again: frozenset[str],
        reopened: frozenset[str],
    ) -> None:
        self._graph = graph
        self._steps = steps
        self._again = again
        self._reopened = reopened
        self._kept: set[StepKey] = set()
        self._order = upstream_first(graph)
        self._iterations_in: dict[StepKey, set[Iteration]] = defaultdict(set)  # by the container's key
        for node_id, iteration in steps:
            container_id = graph.nodes[node_id].parent_id
            if container_id is not None:
                self._iterations_in[container_id, iteration[:-1]].add(iteration)

    def kept(self, top: str | None, iteration: Iteration) -> set[StepKey]:
        """Scope by scope from the top; what is inside a kept container went into its output."""
        todo: list[tuple[str | None, Iteration]] = [(top, iteration)]
        while todo:
            container_id, iteration = todo.pop()
            for node in self._order[container_id]:
                key = (node.id, iteration)
                step = self._steps.get(key)
                if step is None:
                    continue
                if self._keeps(node, step):
                    self._kept.add(key)
                elif node.type.container and self._same_items(node, iteration):
                    todo.extend((node.id, inner) for inner in self._iterations(step))
        return self._kept

    def _keeps(self, node: GraphNode, step: Step) -> bool:
        if node.id in self._again or node.id in self._reopened or not settled(step):
            return False
        if node.type.ends_execution:  # what it ended did not end: it ends it again, in its turn
            return False
        return self._causes_kept(node, step.iteration)

    def _causes_kept(self, node: GraphNode, iteration: Iteration) -> bool:
        """A join that was content with n branches depends on those only; any other on all of them."""
        sources = {edge.source for edge in node.incoming}
        kept = {source for source in sources if (source, iteration) in self._kept}
        if not node.needed:
            return kept == sources
        taken = {
            edge.source
            for edge in node.incoming
            if edge.source in kept
            and took(
                edge.handle, self._steps[edge.source, iteration], self._graph.nodes[edge.source].on_error
            )
        }
        return len(taken) >= node.needed or kept == sources

    def _same_items(self, node: GraphNode, iteration: Iteration) -> bool:
        """Whether the container will open as it did: only then does an iteration mean the same again."""
        return node.id not in self._again and self._causes_kept(node, iteration)

    def _iterations(self, container: Step) -> list[Iteration]:
        """Iterations with steps, that do not depend on one that has to run again."""
        seen = sorted(self._iterations_in[container.key])
        if container.item_count is not None:
            return seen
        # A loop without a list of items goes from one iteration to the next: the first that has to run
        # again is the last that may keep anything.
        broken = (n for n, iteration in enumerate(seen) if not self._whole(container.node_id, iteration))
        return seen[: next(broken, len(seen)) + 1]

    def _whole(self, container_id: str, iteration: Iteration) -> bool:
        return all(
            node.id not in self._again
            and (step := self._steps.get((node.id, iteration))) is not None
            and settled(step)
            for node in self._graph.scopes[container_id].nodes
        )


def settled(step: Step) -> bool:
    return step.status in ("completed", "skipped") or (step.status == "failed" and step.handled != "fail")


def took(handle: str, source: Step, on_error: str) -> bool:
    """Whether an edge with this handle was taken. Source: docs/semantics.md, "Edges"."""
    match source.status:
        case "completed":
            return handle in ("", source.handle, *source.handles)
        case "failed" if on_error == "branch":
            return handle == ERROR_HANDLE
        case "failed" if on_error == "continue":
            return handle == ""
    return False


def upstream_first(graph: WorkflowGraph) -> dict[str | None, list[GraphNode]]:
    """Nodes of each scope in an order in which every edge leads onward."""
    order: dict[str | None, list[GraphNode]] = {}
    for container_id, scope in graph.scopes.items():
        missing = {node.id: len(node.incoming) for node in scope.nodes}
        ready = [node for node in scope.nodes if not node.incoming]
        done: list[GraphNode] = []
        while ready:
            node = ready.pop()
            done.append(node)
            for edge in node.outgoing:
                missing[edge.target] -= 1
                if not missing[edge.target]:
                    ready.append(graph.nodes[edge.target])
        order[container_id] = done
    return order


def kept_step(step: Step) -> KeptStep:
    return KeptStep(
        node_id=step.node_id,
        iteration=step.iteration,
        status=step.status,
        attempt=step.attempts,
        started_at=step.started_at,
        completed_at=step.completed_at,
        output=step.output,
        output_ref=step.output_ref,
        handle=step.handle,
        handles=step.handles,
        error=step.error,
    )


def generations(graph: WorkflowGraph, view: StepsView, kept: set[StepKey]) -> tuple[Generation, ...]:
    """A step with a recorded outcome that runs again gets a new key; one without keeps the one it has.

    Only steps that act on the outside have use for it. Those inside a kept container are counted too:
    should a later retry open it again, their outcomes are spent.
    """
    counts: dict[StepKey, int] = defaultdict(int)
    if view.forked is not None:
        for old in view.forked.generations:
            counts[old.node_id, old.iteration] = old.generation
    for step in view.steps:
        node_type = graph.nodes[step.node_id].type
        acts = node_type.effect is Effect.EXTERNAL and step.status in ("completed", "failed")
        if (acts or (node_type.spawns and step.attempts)) and step.key not in kept:
            counts[step.key] += 1
    return tuple(
        Generation(node_id=node_id, iteration=iteration, generation=count)
        for (node_id, iteration), count in counts.items()
    )
