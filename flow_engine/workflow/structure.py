"""How the nodes hang together: containers, edges by scope, who comes before whom."""

from __future__ import annotations

from collections import defaultdict
from collections.abc import Iterable, Mapping, Sequence
from dataclasses import dataclass, field
from heapq import heapify, heappop, heappush
from typing import Any

from flow_engine.workflow.findings import Findings, listed, near_miss, quoted
from flow_engine.workflow.graph import ERROR_HANDLE
from flow_engine.workflow.reading import Draft, DraftEdge

Scope = str | None  # id of the container; None is the top

MAX_CONTAINER_DEPTH = 32


@dataclass(slots=True)
class Structure:
    """The drafts by id, with sound edges only."""

    nodes: dict[str, Draft]
    parents: dict[str, Scope] = field(default_factory=dict)
    members: dict[Scope, list[str]] = field(default_factory=lambda: defaultdict(list))  # declaration order
    incoming: dict[str, list[DraftEdge]] = field(default_factory=lambda: defaultdict(list))
    outgoing: dict[str, list[DraftEdge]] = field(default_factory=lambda: defaultdict(list))
    cyclic: set[Scope] = field(default_factory=set)
    misplaced: set[str] = field(default_factory=set)  # nobody knows which container they belong to
    loose_sources: set[str] = field(default_factory=set)  # an edge leaves here, nobody knows where to
    loose_targets: set[str] = field(default_factory=set)  # an edge leads here, nobody knows where from
    outputs: dict[str, Mapping[str, Any] | None] = field(default_factory=dict)
    """Output schemas as far as somebody asked for them, by node id."""
    _above: dict[Scope, dict[str, int]] = field(default_factory=dict)
    _loose: dict[Scope, int] = field(default_factory=dict)
    _bits: dict[str, int] = field(default_factory=dict)

    def containers_of(self, node_id: str) -> tuple[str, ...]:
        """Ids of the containers around the node, outermost first."""
        found: list[str] = []
        parent = self.parents[node_id]
        while parent is not None:
            found.append(parent)
            parent = self.parents[parent]
        return tuple(reversed(found))

    def leading_only_to(self, node_id: str) -> list[str]:
        """Nodes of its scope from which every way leads to this node, in no particular order."""
        found = {node_id}
        look = [edge.source for edge in self.incoming.get(node_id, ())]
        while look:
            candidate = look.pop()
            if candidate not in found and all(edge.target in found for edge in self.outgoing[candidate]):
                found.add(candidate)
                look += [edge.source for edge in self.incoming.get(candidate, ())]
        return [other for other in self.nodes if other in found and other != node_id]

    def may_be_upstream(self, source: str, node_id: str) -> bool:
        """Whether a way leads from `source` to `node_id`, both in one scope.

        Where edges are missing because they were wrong, or go in circles, the answer is yes.
        """
        scope = self.parents[node_id]
        if scope in self.cyclic:
            return True
        if scope not in self._above:
            self._find_ancestors(scope)
        found = self._above[scope][node_id]
        return bool((found | self._loose[scope]) >> self._bits[source] & 1 or found & _ANYBODY)

    def _find_ancestors(self, scope: Scope) -> None:
        """The nodes before each node, as bits of one integer."""
        order = topological(self.members[scope], self.outgoing, self.incoming)
        bits = {node_id: bit for bit, node_id in enumerate(order, 1)}
        above: dict[str, int] = {}
        loose = 0
        for node_id in order:
            found = _ANYBODY if node_id in self.loose_targets else 0
            for edge in self.incoming.get(node_id, ()):
                found |= above[edge.source] | 1 << bits[edge.source]
            above[node_id] = found
            if node_id in self.loose_sources:
                loose |= found | 1 << bits[node_id]
        self._bits |= bits
        self._above[scope] = above
        self._loose[scope] = loose


_ANYBODY = 1  # the bit that stands for a node nobody knows


def topological(
    members: Sequence[str],
    outgoing: Mapping[str, Sequence[DraftEdge]],
    incoming: Mapping[str, Sequence[DraftEdge]],
) -> list[str]:
    """The members, each after its predecessors; those on or behind a cycle are left out."""
    declared = {node_id: index for index, node_id in enumerate(members)}
    open_edges = {node_id: len(incoming.get(node_id, ())) for node_id in members}
    ready = [declared[node_id] for node_id, count in open_edges.items() if not count]
    heapify(ready)
    order: list[str] = []
    while ready:
        node_id = members[heappop(ready)]
        order.append(node_id)
        for edge in outgoing.get(node_id, ()):
            open_edges[edge.target] -= 1
            if not open_edges[edge.target]:
                heappush(ready, declared[edge.target])
    return order


def connect(drafts: Iterable[Draft], edges: Iterable[DraftEdge], findings: Findings) -> Structure:
    """Put nodes into containers and edges between nodes; note what does not fit."""
    structure = Structure({draft.id: draft for draft in drafts if draft.id})
    _place_in_containers(structure, findings)
    seen: set[tuple[str, str, str]] = set()
    for edge in edges:
        key = (edge.source, edge.handle, edge.target)
        if key not in seen and _fits(edge, structure, findings):
            structure.outgoing[edge.source].append(edge)
            structure.incoming[edge.target].append(edge)
        seen.add(key)  # an edge said twice is one edge
    _refuse_cycles(structure, findings)
    for draft in structure.nodes.values():
        _check_node(draft, structure, findings)
    return structure


def _place_in_containers(structure: Structure, findings: Findings) -> None:
    parents = {node_id: _parent(draft, structure, findings) for node_id, draft in structure.nodes.items()}
    for node_id in _break_circles(parents):
        path = structure.nodes[node_id].path_of("parentId")
        findings.add(path, "PARENT_CYCLE", f"node {quoted(node_id)} lies inside itself")
    for node_id, depth in _depths(parents).items():
        if depth == MAX_CONTAINER_DEPTH + 1:
            message = f"containers stand in one another more than {MAX_CONTAINER_DEPTH} deep"
            findings.add(structure.nodes[node_id].path_of("parentId"), "CONTAINERS_TOO_DEEP", message)
        if depth > MAX_CONTAINER_DEPTH:
            parents[node_id] = None
    for node_id, parent in parents.items():
        structure.members[parent].append(node_id)
        if parent is None and structure.nodes[node_id].definition.parent_id is not None:
            structure.misplaced.add(node_id)
    structure.parents = parents


def _break_circles(parents: dict[str, Scope]) -> list[str]:
    """Take one node out of each circle of containers. Returns these nodes."""
    taken_out: list[str] = []
    done: set[str] = set()
    for start in parents:
        way: list[str] = []
        on_way: set[str] = set()
        here: Scope = start
        while here is not None and here not in done and here not in on_way:
            way.append(here)
            on_way.add(here)
            here = parents[here]
        if here in on_way:
            taken_out.append(str(here))
            parents[str(here)] = None
        done |= on_way
    return taken_out


def _depths(parents: Mapping[str, Scope]) -> dict[str, int]:
    """How many containers are around each node."""
    depths: dict[str, int] = {}
    for node_id in parents:
        way: list[str] = []
        here: Scope = node_id
        while here is not None and here not in depths:
            way.append(here)
            here = parents[here]
        depth = -1 if here is None else depths[here]
        for found in reversed(way):
            depth += 1
            depths[found] = depth
    return depths


def _parent(draft: Draft, structure: Structure, findings: Findings) -> Scope:
    parent_id = draft.definition.parent_id
    if parent_id is None:
        return None
    path = draft.path_of("parentId")
    parent = structure.nodes.get(parent_id)
    if parent is None:
        hint = near_miss(parent_id, structure.nodes)
        findings.add(path, "UNKNOWN_PARENT", f"there is no node {quoted(parent_id)}", hint)
        return None
    if parent.type is not None and not parent.type.container:
        message = f"node {quoted(parent_id)} is a {parent.type.type}, which holds no other nodes"
        findings.add(path, "PARENT_NOT_CONTAINER", message, "containers are loops, such as logic.foreach")
        return None
    if parent.type is not None and parent.type.subflow:
        message = f"node {quoted(parent_id)} holds the nodes of its workflow, and no others"
        findings.add(path, "PARENT_NOT_CONTAINER", message, "put the node into that workflow")
        return None
    return parent_id


def _fits(edge: DraftEdge, structure: Structure, findings: Findings) -> bool:
    ends = (("source", edge.source), ("target", edge.target))
    unknown = [(name, node_id) for name, node_id in ends if node_id not in structure.nodes]
    for name, node_id in unknown:
        hint = near_miss(node_id, structure.nodes)
        findings.add(f"{edge.path}/{name}", "UNKNOWN_NODE", f"there is no node {quoted(node_id)}", hint)
    if not unknown and edge.source == edge.target:
        findings.add(edge.path, "SELF_EDGE", f"the edge leads from {quoted(edge.source)} to itself")
        return False
    source = structure.nodes.get(edge.source)
    if source is not None:
        _check_handle(edge, source, findings)
    if unknown or {edge.source, edge.target} & structure.misplaced:
        structure.loose_sources.add(edge.source)
        structure.loose_targets.add(edge.target)
        return False
    if structure.parents[edge.source] != structure.parents[edge.target]:
        message = (
            f"the edge from {quoted(edge.source)} to {quoted(edge.target)} crosses the border of a container"
        )
        findings.add(edge.path, "CROSSES_CONTAINER", message, "lead it to or from the container itself")
        return False
    return True


def _check_handle(edge: DraftEdge, source: Draft, findings: Findings) -> None:
    if edge.handle in ("", ERROR_HANDLE) or source.type is None or source.config is None:
        return
    handles = source.type.handles_of(source.config)
    if edge.handle in handles:
        return
    message = f"node {quoted(source.id)} ({source.type.type}) has no branch {quoted(edge.handle)}"
    hint = near_miss(edge.handle, handles) or f"it has {listed([*handles, ERROR_HANDLE])}"
    findings.add(f"{edge.path}/sourceHandle", "UNKNOWN_HANDLE", message, hint)


def _refuse_cycles(structure: Structure, findings: Findings) -> None:
    for scope, members in structure.members.items():
        order = topological(members, structure.outgoing, structure.incoming)
        if len(order) == len(members):
            continue
        structure.cyclic.add(scope)
        sound = set(order)
        for knot in _knots([node_id for node_id in members if node_id not in sound], structure):
            cycle = _way_back(knot, structure)
            way = " → ".join(quoted(edge.source, 30) for edge in cycle[:8]) + (
                " → …" if len(cycle) > 8 else ""
            )
            message = f"the edges go in a circle: {way} → {quoted(cycle[0].source, 30)}"
            findings.add(cycle[-1].path, "CYCLE", message, "repeat nodes by a loop node around them")


def _knots(suspects: Sequence[str], structure: Structure) -> Iterable[list[str]]:
    """Nodes that all lead to one another, more than one: Tarjan's algorithm, without recursion."""
    declared = {node_id: position for position, node_id in enumerate(suspects)}
    found: dict[str, int] = {}
    lowest: dict[str, int] = {}
    stack: list[str] = []
    on_stack: set[str] = set()
    for start in suspects:
        ahead = [] if start in found else [(start, iter(structure.outgoing.get(start, ())))]
        while ahead:
            node_id, edges = ahead[-1]
            if node_id not in found:
                found[node_id] = lowest[node_id] = len(found)
                stack.append(node_id)
                on_stack.add(node_id)
            for edge in edges:
                if edge.target not in found and edge.target in declared:
                    ahead.append((edge.target, iter(structure.outgoing.get(edge.target, ()))))
                    break
                if edge.target in on_stack:
                    lowest[node_id] = min(lowest[node_id], found[edge.target])
            else:
                ahead.pop()
                if ahead:
                    above = ahead[-1][0]
                    lowest[above] = min(lowest[above], lowest[node_id])
                if lowest[node_id] == found[node_id]:
                    knot = [stack.pop()]
                    while knot[-1] != node_id:
                        knot.append(stack.pop())
                    on_stack.difference_update(knot)
                    if len(knot) > 1:
                        yield sorted(knot, key=declared.__getitem__)


def _way_back(knot: Sequence[str], structure: Structure) -> list[DraftEdge]:
    """The shortest way from the first node of the knot to itself."""
    start, within = knot[0], set(knot)
    came_by: dict[str, DraftEdge] = {}
    ahead = [start]
    for node_id in ahead:
        for edge in structure.outgoing.get(node_id, ()):
            if edge.target == start:
                way = [edge]
                while way[-1].source != start:
                    way.append(came_by[way[-1].source])
                return way[::-1]
            if edge.target in within and edge.target not in came_by:
                came_by[edge.target] = edge
                ahead.append(edge.target)
    raise AssertionError("a knot leads back to each of its nodes")


def _check_node(draft: Draft, structure: Structure, findings: Findings) -> None:
    definition = draft.definition
    join, ways = definition.join, len(structure.incoming.get(draft.id, ()))
    if isinstance(join, int) and join > ways:
        message = f"waits for {join} edges, but {ways or 'none'} lead{'s' if ways == 1 else ''} here"
        findings.add(draft.path_of("join"), "JOIN_UNREACHABLE", message)
    takes_retry = draft.type is None or not (draft.type.container or draft.type.spawns)
    if draft.type is not None and not takes_retry and definition.retry is not None:
        message = f"a {draft.type.type} takes no retry"
        findings.add(
            draft.path_of("retry"), "RETRY_ON_CONTAINER", message, "set retry on the nodes inside it"
        )
    has_error_edge = any(edge.handle == ERROR_HANDLE for edge in structure.outgoing.get(draft.id, ()))
    if has_error_edge and definition.on_error not in (None, "branch"):
        message = f"an edge leaves from 'error', but onError is {definition.on_error!r}"
        findings.add(
            draft.path_of("onError"), "ERROR_EDGE_CONFLICT", message, "remove onError, or set it to 'branch'"
        )
