"""What is different between two definitions: nodes by id, edges by their ends, settings by name.

Pure. Both are compared as they are meant: what an editor keeps for itself (positions, selection) is left out,
and a config counts the same wherever it stands.
"""

from __future__ import annotations

from collections.abc import Collection, Iterator, Mapping
from dataclasses import dataclass
from typing import Literal

from flow_engine.payload import JsonValue, encode
from flow_engine.workflow import pointers, reactflow
from flow_engine.workflow.model_problems import field_names
from flow_engine.workflow.reactflow import ConfigFields
from flow_engine.workflow.reading import NodeTypes

Kind = Literal["added", "removed", "changed"]


@dataclass(frozen=True, slots=True)
class FieldChange:
    """One value. path: JSON Pointer within the node, edge or definition. Absent values are None."""

    path: str
    before: bytes | None  # JSON text
    after: bytes | None

    @property
    def kind(self) -> Kind:
        if self.before is None:
            return "added"
        return "removed" if self.after is None else "changed"


@dataclass(frozen=True, slots=True)
class NodeDiff:
    kind: Kind
    node_id: str
    node_type: str  # after the change; of a removed one before it
    path: str  # of the node in the second definition; of a removed one in the first
    changes: tuple[FieldChange, ...] = ()


@dataclass(frozen=True, slots=True)
class EdgeDiff:
    kind: Kind
    source: str
    handle: str  # "" for none
    target: str
    path: str
    changes: tuple[FieldChange, ...] = ()


@dataclass(frozen=True, slots=True)
class WorkflowDiff:
    """nodes, edges: those of the second definition in its order, then those that were removed."""

    nodes: tuple[NodeDiff, ...] = ()
    edges: tuple[EdgeDiff, ...] = ()
    settings: tuple[FieldChange, ...] = ()

    @property
    def same(self) -> bool:
        return not (self.nodes or self.edges or self.settings)


Fields = Mapping[str, JsonValue]
Placed = dict[str, tuple[str, Fields]]  # path and fields, by id
Ends = tuple[str, str, str]


def diff(before: JsonValue, after: JsonValue, types: NodeTypes) -> WorkflowDiff:
    """before, after: definitions that are, or once were, valid."""

    def config_fields(type_name: str) -> Collection[str]:
        found = types.get(type_name)
        return field_names(found.config_model) if found else ()

    return WorkflowDiff(
        tuple(_node_diffs(_nodes(before, config_fields), _nodes(after, config_fields))),
        tuple(_edge_diffs(_edges(before), _edges(after))),
        tuple(field_changes(_settings(before), _settings(after))),
    )


def field_changes(before: JsonValue, after: JsonValue, path: str = "") -> Iterator[FieldChange]:
    """The smallest values that differ. 1, 1.0 and true are three values."""
    if isinstance(before, dict) and isinstance(after, dict):
        for key in dict.fromkeys([*before, *after]):
            here = path + pointers.step(key)
            if key not in after:
                yield FieldChange(here, encode(before[key]), None)
            elif key not in before:
                yield FieldChange(here, None, encode(after[key]))
            else:
                yield from field_changes(before[key], after[key], here)
    elif isinstance(before, list) and isinstance(after, list):
        common = min(len(before), len(after))
        for index in range(common):
            yield from field_changes(before[index], after[index], f"{path}/{index}")
        for index in range(common, len(before)):
            yield FieldChange(f"{path}/{index}", encode(before[index]), None)
        for index in range(common, len(after)):
            yield FieldChange(f"{path}/{index}", None, encode(after[index]))
    else:
        old, new = encode(before), encode(after)
        if old != new:
            yield FieldChange(path, old, new)


def _node_diffs(before: Placed, after: Placed) -> Iterator[NodeDiff]:
    for node_id, (path, fields) in after.items():
        node_type = str(fields.get("type", ""))
        if node_id not in before:
            yield NodeDiff("added", node_id, node_type, path)
        elif changes := tuple(field_changes(before[node_id][1], fields)):
            yield NodeDiff("changed", node_id, node_type, path, changes)
    for node_id, (path, fields) in before.items():
        if node_id not in after:
            yield NodeDiff("removed", node_id, str(fields.get("type", "")), path)


def _edge_diffs(
    before: Mapping[Ends, tuple[str, Fields]], after: Mapping[Ends, tuple[str, Fields]]
) -> Iterator[EdgeDiff]:
    for ends, (path, fields) in after.items():
        if ends not in before:
            yield EdgeDiff("added", *ends, path)
        elif changes := tuple(field_changes(before[ends][1], fields)):
            yield EdgeDiff("changed", *ends, path, changes)
    for ends, (path, _) in before.items():
        if ends not in after:
            yield EdgeDiff("removed", *ends, path)


def _nodes(document: JsonValue, config_fields: ConfigFields) -> Placed:
    nodes = [reactflow.node(raw, config_fields).fields for raw in document.get("nodes", ())]
    return {str(fields["id"]): (f"/nodes/{index}", fields) for index, fields in enumerate(nodes)}


def _edges(document: JsonValue) -> dict[Ends, tuple[str, Fields]]:
    edges = [reactflow.edge(raw).fields for raw in document.get("edges", ())]
    return {
        (str(fields["source"]), str(fields.get("sourceHandle") or ""), str(fields["target"])): (
            f"/edges/{index}",
            # An edge's id is the editor's affair.
            {key: value for key, value in fields.items() if key not in ("id", "source", "sourceHandle")},
        )
        for index, fields in enumerate(edges)
    }


def _settings(document: JsonValue) -> Fields:
    fields = reactflow.top(document).fields
    return {key: value for key, value in fields.items() if key not in ("nodes", "edges")}
