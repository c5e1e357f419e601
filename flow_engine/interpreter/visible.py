"""What an expression sees. Source: docs/semantics.md, "Scopes" and "References"."""

from __future__ import annotations

from collections.abc import Iterable, Mapping
from dataclasses import dataclass, field
from datetime import datetime
from functools import lru_cache
from typing import Any

from msgspec import UNSET, Struct, to_builtins

from flow_engine.ids import Iteration
from flow_engine.interpreter.events import ExecutionCreated
from flow_engine.interpreter.state import ExecutionState, LoopState, StepState, Stored
from flow_engine.interpreter.values import Values
from flow_engine.payload import JsonValue
from flow_engine.workflow.graph import GraphNode, local_id

STATUS_SHOWN = {"ready": "pending", "starting": "pending", "retrying": "running"}


async def expression_scope(
    state: ExecutionState,
    values: Values,
    execution_id: str,
    place: Place,
    reads: frozenset[str] | None,
) -> dict[str, Any]:
    """The variables at one place. reads: ids of the nodes whose values are needed; None: all that are
    visible."""
    created = state.created
    assert created is not None, "a history begins with execution.created"
    scope: dict[str, Any] = {
        "input": await input_value(state, values, place),
        "vars": state.graph.vars_of(place.flow),
        "execution": about(created, execution_id),
    }
    if place.path:
        scope.update(await _loop_variables(state, values, place))
    outer = await _outer(state, values, place)
    scope["nodes"] = {
        local_id(node.id): await _node_view(values, state.find_step(node, place.iteration))
        if len(node.path) >= outer.depth
        else outer.nodes.get(local_id(node.id), {"status": "pending"})
        for node in _visible_nodes(state, place, reads)
    }
    return scope


@dataclass(frozen=True, slots=True)
class _Outer:
    """What an item that is an execution of its own sees of what is around its loop."""

    depth: int = 0  # so many containers are around the execution's top
    input: JsonValue = None
    nodes: Mapping[str, JsonValue] = field(default_factory=dict)
    loops: Mapping[str, dict[str, JsonValue]] = field(default_factory=dict)


_NOTHING = _Outer()


async def _outer(state: ExecutionState, values: Values, place: Place) -> _Outer:
    """Nothing where a place is in a sub-flow inside the item, which sees its own nodes only."""
    within = state.within
    if within is None or place.flow != state.top_flow:
        return _NOTHING
    found = await values.get(Stored.of(within.outer, within.outer_ref))
    return _Outer(len(within.iteration), found["input"], found["nodes"], found["loops"])


async def outer_of(
    state: ExecutionState, values: Values, execution_id: str, loop: StepState
) -> dict[str, JsonValue]:
    """What the items of a distributed loop are given to see of what is around it."""
    inside = [
        node
        for node in state.graph.nodes.values()
        if loop.node.id in node.path and node.flow == loop.node.flow
    ]
    read = [node.reads for node in inside]
    around = {node.id for node in _visible_nodes(state, Place.of(loop), None)}
    every = any(one is None for one in read)
    reads = around if every else around.intersection(*[frozenset().union(*(one or () for one in read))])
    scope = await expression_scope(
        state, values, execution_id, Place.of(loop), frozenset(reads - {loop.node.id})
    )
    # Each item fetches it: a large input that none reads would make a long list dear.
    given = scope["input"] if any(node.reads_input for node in inside) else None
    return {"input": given, "nodes": scope["nodes"], "loops": scope.get("loops", {})}


def about(created: ExecutionCreated, execution_id: str) -> dict[str, JsonValue]:
    """The variable `execution`."""
    return _about(execution_id, created.workflow_id, created.root_id, created.time, created.tags)


@lru_cache(maxsize=1024)  # every step of an execution asks for it
def _about(
    execution_id: str, workflow_id: str, root_id: str, time: datetime, tags: tuple[str, ...]
) -> dict[str, JsonValue]:
    return {
        "id": execution_id,
        "workflowId": workflow_id,
        "rootId": root_id,
        "createdAt": time.isoformat().replace("+00:00", "Z"),
        "tags": list(tags),
    }


class Place(Struct, frozen=True):
    """Where an expression stands: the sub-flow that it belongs to (None: none), the containers around it,
    outermost first, and their iterations."""

    flow: str | None = None
    path: tuple[str, ...] = ()
    iteration: Iteration = ()

    @classmethod
    def of(cls, step: StepState) -> Place:
        return cls(step.node.flow, step.node.path, step.iteration)

    @classmethod
    def inside(cls, subflow: StepState) -> Place:
        """At the top of a sub-flow: where its `output` stands."""
        node = subflow.node
        return cls(node.id, (*node.path, node.id), (*subflow.iteration, 0))


async def input_value(state: ExecutionState, values: Values, place: Place) -> JsonValue:
    """The input of the sub-flow around, or of the execution."""
    if state.within is not None and place.flow == state.top_flow:
        return (await _outer(state, values, place)).input
    if place.flow is not None:
        depth = state.graph.depth_of(place.flow)
        (value,) = await values.get(_loop_of(state, place.flow, place.iteration[: depth - 1]).items)
        return value
    return await execution_input(state, values)


async def execution_input(state: ExecutionState, values: Values) -> JsonValue:
    """What the execution was started with; of an item, the item."""
    created = state.created
    assert created is not None, "a history begins with execution.created"
    if created.input_ref is None:
        return None if created.input is UNSET else created.input
    return await values.get(Stored(ref=created.input_ref))


def _loop_of(state: ExecutionState, container_id: str, iteration: Iteration) -> LoopState:
    loop = state.step((container_id, iteration)).loop
    assert loop is not None, "what is inside a container runs while that is open"
    return loop


async def default_input(state: ExecutionState, values: Values, step: StepState) -> JsonValue:
    """What a node without predecessors gets: the input, or in a loop the item."""
    place = Place.of(step)
    if place.path:
        variables = await _loop_variables(state, values, place)
        for name in ("item", "previous"):
            if name in variables:
                return variables[name]
    return await input_value(state, values, place)


def _visible_nodes(state: ExecutionState, place: Place, reads: frozenset[str] | None) -> Iterable[GraphNode]:
    if reads is not None:
        return [state.graph.nodes[node_id] for node_id in reads]
    around = place.path[state.graph.depth_of(place.flow) :]
    return [node for container in (place.flow, *around) for node in state.graph.scopes[container].nodes]


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


async def _loop_variables(state: ExecutionState, values: Values, place: Place) -> dict[str, Any]:
    """Those of the loops around, as far as the sub-flow reaches."""
    loops: dict[str, dict[str, JsonValue]] = {}
    outer = await _outer(state, values, place)
    if state.within is not None and outer.depth:
        loops.update(outer.loops)
        index = state.within.iteration[-1]
        own = {"item": await execution_input(state, values), "index": index, "iteration": index}
        loops[local_id(state.within.node_id)] = own
    for depth in range(max(outer.depth, state.graph.depth_of(place.flow)), len(place.path)):
        container = state.step((place.path[depth], place.iteration[:depth]))
        if container.node.type.loop_variables:
            loops[local_id(container.node.id)] = await _variables_of(
                container, values, place.iteration[depth]
            )
    return {"loops": loops, **(next(reversed(loops.values())) if loops else {})}


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
