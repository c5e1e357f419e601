"""What an expression may see from where it stands. docs/semantics.md, "Scopes" and "References"."""

from __future__ import annotations

from collections.abc import Iterable, Mapping
from dataclasses import dataclass
from typing import Any, Final

from flow_engine.errors import Problem
from flow_engine.expressions import Expression, Reference, path_text
from flow_engine.payload import JsonValue
from flow_engine.workflow.findings import listed, near_miss, quoted
from flow_engine.workflow.output_types import ANYTHING, Absent, follow, kind_of
from flow_engine.workflow.reading import Draft
from flow_engine.workflow.secrets import SECRETS, outside_problem
from flow_engine.workflow.structure import Structure

EVERYWHERE: Final = frozenset(("input", "nodes", "vars", "execution"))
AT_START: Final = frozenset(("input", "vars", "execution"))
IN_LOOPS: Final = frozenset(("item", "index", "iteration", "previous", "loops"))
NODE_FIELDS: Final = ("output", "status", "error")

Fault = tuple[str, str, str]  # code, message, hint


@dataclass(frozen=True, slots=True)
class Viewpoint:
    """Where an expression stands."""

    structure: Structure
    vars: Mapping[str, JsonValue]
    node_id: str | None  # None: the workflow's own output, which sees every node at the top
    names: frozenset[str] = EVERYWHERE
    input_schema: Mapping[str, JsonValue] | None = None

    def fault(self, reference: Reference) -> Fault | None:
        """What is wrong with reading `reference` from here; None when nothing is."""
        name, *rest = reference.path
        if name == SECRETS and name not in self.names:
            return outside_problem(path_text(str(name), rest))
        if name not in self.names:
            return self._unknown_name(str(name))
        match name, rest:
            case "nodes", [node_id, *fields]:
                return self._node_fault(str(node_id), fields) or self._absent(reference)
            case "input", [_, *_]:
                return self._absent(reference)
            case "vars", [key, *_] if key not in self.vars:
                hint = near_miss(str(key), self.vars)
                return "UNKNOWN_VARIABLE", f"vars has no {quoted(key)}", hint
            case "loops", [node_id, *fields]:
                return self._loop_fault(str(node_id), fields)
            case "callbacks", [node_id, *fields]:
                return self._callback_fault(str(node_id), fields)
            case _:
                return None

    def schema_of(self, reference: Reference) -> Mapping[str, Any] | Absent:
        """What is known of the value that `reference` reads."""
        match reference.path:
            case "input", *keys:
                return follow(self.input_schema, keys)
            case "nodes", str() as node_id, "output", *keys if node_id in self.structure.nodes:
                outputs = self.structure.outputs
                if node_id not in outputs:
                    outputs[node_id] = _output_schema(self.structure.nodes[node_id])
                return follow(outputs[node_id], keys)
            case _:
                return ANYTHING

    def kind_of(self, expression: Expression) -> str:
        """The type of the expression's value as expressions name types; "any" if it is not known."""
        if expression.kind != "any" or len(expression.references) != 1:
            return expression.kind
        (reference,) = expression.references
        known = self.schema_of(reference)
        alone = expression.source.strip() == path_text(str(reference.path[0]), reference.path[1:])
        return kind_of(known) if alone and not isinstance(known, Absent) else "any"

    def _absent(self, reference: Reference) -> Fault | None:
        known = self.schema_of(reference)
        return ("UNKNOWN_FIELD", known.message, known.hint) if isinstance(known, Absent) else None

    def _unknown_name(self, name: str) -> Fault:
        if name in IN_LOOPS:
            where = "logic.while" if name == "previous" else "a loop"
            return (
                "OUTSIDE_LOOP",
                f"{name!r} exists only inside {where}",
                "set parentId to the loop that it belongs to",
            )
        if name in self.structure.nodes:
            hint = f"write {_spelled(name)}.output"
        else:
            hint = near_miss(name, self.names) or f"known are {listed(sorted(self.names))}"
        return "UNKNOWN_VARIABLE", f"unknown variable {quoted(name)}", hint

    def _node_fault(self, node_id: str, fields: list[str | int]) -> Fault | None:
        if node_id not in self.structure.nodes:
            near = [known for known in self.structure.nodes if known.startswith(f"{node_id}-")][:1]
            hint = f"write {_spelled(near[0])}" if near else near_miss(node_id, self.structure.nodes)
            return "UNKNOWN_NODE", f"there is no node {quoted(node_id)}", hint
        if fields and fields[0] not in NODE_FIELDS:
            hint = (
                near_miss(str(fields[0]), NODE_FIELDS)
                or f"write {_spelled(node_id)}.output.{str(fields[0])[:60]}"
            )
            message = f"a node has {listed(NODE_FIELDS)}, not {quoted(fields[0])}"
            return "UNKNOWN_FIELD", message, hint
        return self._order_fault(node_id)

    def _order_fault(self, node_id: str) -> Fault | None:
        parents = self.structure.parents
        scope = parents[node_id]
        if {node_id, self.node_id} & self.structure.misplaced:
            return None
        here = self.node_id
        while here is not None and parents[here] != scope:
            here = parents[here]
        if here is None:
            if self.node_id is None and scope is None:
                return None
            container = quoted(scope)
            message = f"node {quoted(node_id)} lies inside {container}, which lets out its own output only"
            return "NOT_UPSTREAM", message, f"write {_spelled(str(scope))}.output"
        if here == node_id:
            what = "itself" if here == self.node_id else f"the loop {quoted(node_id)} around it"
            return "NOT_UPSTREAM", f"a node cannot read the outcome of {what}", ""
        if self.structure.may_be_upstream(node_id, here):
            return None
        message = f"node {quoted(node_id)} need not have ended before {quoted(here)} starts"
        return "NOT_UPSTREAM", message, f"draw an edge that leads from {quoted(node_id)} to {quoted(here)}"

    def _callback_fault(self, node_id: str, fields: list[str | int]) -> Fault | None:
        """Callbacks need not be upstream: their URLs are known beforehand."""
        known = called_back(self.structure)
        if node_id not in known:
            message = f"no node {quoted(node_id)} waits for a callback"
            return "UNKNOWN_NODE", message, near_miss(node_id, known) or f"known are {listed(sorted(known))}"
        if fields and fields[0] != "url":
            return "UNKNOWN_FIELD", f"a callback has a url, not {quoted(fields[0])}", ""
        around = self.structure.containers_of(node_id)
        here = self.structure.containers_of(self.node_id) if self.node_id else ()
        if here[: len(around)] != around:
            message = f"callback {quoted(node_id)} has a URL for each iteration of {quoted(around[-1])}"
            return "OUTSIDE_LOOP", message, "read it from a node inside the same loop"
        for container_id in here[len(around) :]:
            container = self.structure.nodes[container_id]
            if container.type is not None and container.type.spawns:
                message = f"each item of {quoted(container_id)} is an execution of its own"
                return "OUTSIDE_LOOP", message, "put the callback into the loop, or read it before"
        return None

    def _loop_fault(self, node_id: str, fields: list[str | int]) -> Fault | None:
        around = [
            container_id
            for container_id in (self.structure.containers_of(self.node_id) if self.node_id else ())
            if _variables_of(self.structure, container_id)
        ]
        if node_id not in around:
            hint = near_miss(node_id, around) or f"around it are {listed(around)}"
            return "OUTSIDE_LOOP", f"{quoted(node_id)} is no loop around this node", hint
        known = sorted(_variables_of(self.structure, node_id))
        if fields and fields[0] not in known:
            message = f"the loop {quoted(node_id)} has {listed(known)}, not {quoted(fields[0])}"
            return "UNKNOWN_FIELD", message, near_miss(str(fields[0]), known)
        return None


def loop_names(structure: Structure, node_id: str) -> frozenset[str]:
    """The variables that a node has from the loops around it: those of the innermost, and `loops`."""
    if node_id in structure.misplaced:
        return IN_LOOPS
    for container_id in reversed(structure.containers_of(node_id)):
        if variables := _variables_of(structure, container_id):
            return variables | {"loops"}
    return frozenset()


def _variables_of(structure: Structure, container_id: str) -> frozenset[str]:
    container = structure.nodes[container_id]
    return container.type.loop_variables if container.type is not None else IN_LOOPS - {"loops"}


def called_back(structure: Structure) -> frozenset[str]:
    """Ids of the nodes that wait for a callback."""
    return frozenset(id_ for id_, draft in structure.nodes.items() if draft.type and draft.type.called_back)


def callbacks_read(expressions: Iterable[Expression], known: frozenset[str]) -> frozenset[str]:
    """Ids of the nodes whose callback URL the expressions read."""
    paths = [reference.path for expression in expressions for reference in expression.references]
    read = [path for path in paths if path[0] == "callbacks"]
    return known if any(len(path) == 1 for path in read) else frozenset(str(path[1]) for path in read)


def reference_problems(expression: Expression, viewpoint: Viewpoint, path: str) -> Iterable[Problem]:
    """What the expression at `path` reads and must not, in the order of its text."""
    for reference in sorted(expression.references, key=lambda found: found.position):
        if fault := viewpoint.fault(reference):
            code, message, hint = fault
            yield Problem(
                path,
                code,
                f"{message} (character {reference.position + 1} of {quoted(expression.source)})",
                hint,
            )


def nodes_read(expressions: Iterable[Expression]) -> frozenset[str] | None:
    """Ids of the nodes whose outcome the expressions read; None when only running them tells."""
    found: set[str] = set()
    for expression in expressions:
        for reference in expression.references:
            if reference.path[0] == "nodes":
                if len(reference.path) == 1:
                    return None
                found.add(str(reference.path[1]))
    return frozenset(found)


def _output_schema(draft: Draft) -> Mapping[str, JsonValue] | None:
    if draft.type is None or draft.config is None:
        return None
    try:
        return draft.type.output_schema(draft.config)
    except Exception:  # node types come from anywhere, and the config may be wrong
        return None


def _spelled(node_id: str) -> str:
    return f"nodes.{node_id}" if node_id.isidentifier() and node_id.isascii() else f'nodes["{node_id}"]'
