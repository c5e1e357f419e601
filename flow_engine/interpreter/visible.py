"""What an expression sees. Source: docs/semantics.md, "Scopes" and "References"."""

from __future__ import annotations

from collections.abc import Iterable
from typing import Any

from msgspec import to_builtins

from flow_engine.ids import Iteration
from flow_engine.interpreter.state import ExecutionState, StepState, Stored
from flow_engine.interpreter.values import Values
from flow_engine.payload import JsonValue
from flow_engine.workflow.graph import GraphNode

STATUS_SHOWN = {"ready": "pending", "starting": "pending", "retrying": "running"}


async def expression_scope(
    state: ExecutionState,
    values: Values,
    execution_id: str,
    path: tuple[str, ...],
    iteration: Iteration,
    reads: frozenset[str] | None,
) -> dict[str, Any]:
    """The variables at one place: `path` names the containers around it, outermost first.

    reads: ids of the nodes whose values are needed; None: all that are visible.
    """
    created = state.created
    assert created is not None, "a history begins with execution.created"
    scope: dict[str, Any] = {
        "input": await values.get(Stored.of(created.input, created.input_ref)),
        "vars": state.graph.vars,
        "execution": {
            "id": execution_id,
            "workflowId": created.workflow_id,
            "rootId": created.root_id,
            "createdAt": created.time.isoformat().replace("+00:00", "Z"),
            "tags": list(created.tags),
        },
    }
    if path:
        scope.update(await _loop_variables(state, values, path, iteration))
    scope["nodes"] = {
        node.id: await _node_view(values, state.find_step(node, iteration))
        for node in _visible_nodes(state, path, reads)
    }
    return scope


async def default_input(state: ExecutionState, values: Values, step: StepState) -> JsonValue:
    """What a node without predecessors gets: the execution's input, or in a loop the item."""
    variables = await _loop_variables(state, values, step.node.path, step.iteration)
    for name in ("item", "previous"):
        if name in variables:
            return variables[name]
    created = state.created
    assert created is not None
    return await values.get(Stored.of(created.input, created.input_ref))


def _visible_nodes(
    state: ExecutionState, path: tuple[str, ...], reads: frozenset[str] | None
) -> Iterable[GraphNode]:
    if reads is not None:
        return [state.graph.nodes[node_id] for node_id in reads]
    return [node for container in (None, *path) for node in state.graph.scopes[container].nodes]


async def _node_view(values: Values, step: StepState | None) -> dict[str, JsonValue]:
    """`status` is always there, `output` when completed, `error` when failed; under `continue` both."""
    if step is None:
        return {"status": "pending"}
    view: dict[str, JsonValue] = {"status": STATUS_SHOWN.get(step.status, step.status)}
    if step.status == "completed":
        view["output"] = await values.get(step.output)
    elif step.status == "failed":
        view["error"] = to_builtins(step.error)
        if step.handled == "continue":
            view["output"] = None
    return view


async def _loop_variables(
    state: ExecutionState, values: Values, path: tuple[str, ...], iteration: Iteration
) -> dict[str, Any]:
    loops: dict[str, dict[str, JsonValue]] = {}
    for depth, container_id in enumerate(path):
        index = iteration[depth]
        container = state.step((container_id, iteration[:depth]))
        if container.node.type.loop_variables:
            loops[container_id] = await _variables_of(container, values, index)
    innermost = next((loops[container_id] for container_id in reversed(path) if container_id in loops), {})
    return {"loops": loops, **innermost}


async def _variables_of(container: StepState, values: Values, index: int) -> dict[str, JsonValue]:
    loop = container.loop
    variables: dict[str, JsonValue] = {"index": index, "iteration": index}
    if loop is None:
        return variables
    if loop.conditional:
        last = loop.results.get(index - 1)
        variables["previous"] = await values.folded(last.sinks) if last is not None else None
    else:
        variables["item"] = (await values.get(loop.items))[index]
    return variables


async def condition_scope(scope: dict[str, Any], container: StepState, values: Values) -> dict[str, Any]:
    """What the condition of a container without items sees: what the container sees, and its iterations."""
    loop = container.loop
    assert loop is not None
    return {**scope, **await _variables_of(container, values, loop.next_index)}
