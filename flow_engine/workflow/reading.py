"""A document to nodes, edges and settings, field by field: what is wrong is noted and the rest read on."""

from __future__ import annotations

from collections.abc import Collection, Mapping
from dataclasses import dataclass, field, replace
from typing import Any, Protocol, TypeVar

from pydantic import ValidationError

from flow_engine.errors import Problem
from flow_engine.nodes.contract import NodeType
from flow_engine.payload import JsonValue
from flow_engine.workflow import pointers, reactflow
from flow_engine.workflow.findings import Findings, near_miss, quoted
from flow_engine.workflow.limits import WorkflowLimits
from flow_engine.workflow.model import (
    Definition,
    EdgeDefinition,
    NodeDefinition,
    WorkflowSettings,
)
from flow_engine.workflow.model_problems import field_names, problems_of
from flow_engine.workflow.reactflow import Normalised

D = TypeVar("D", bound=Definition)

_PLAIN_EDGE = frozenset(("id", "source", "target", "sourceHandle"))


class NodeTypes(Protocol):
    """The node types there are."""

    def get(self, type_name: str) -> NodeType[Any] | None: ...

    def names(self) -> Collection[str]: ...

    def setting_for(self, type_name: str) -> str:
        """The operator's setting that would turn the type on; empty when it is on, or unknown."""
        ...


@dataclass(frozen=True, slots=True)
class Draft:
    """One node as far as it could be read; what could not has its default."""

    index: int
    path: str  # /nodes/3
    id: str  # "" when it has none that could be used
    type: NodeType[Any] | None
    definition: NodeDefinition
    config: Mapping[str, JsonValue] | None  # None: it is no object
    fields: Normalised
    workflow: JsonValue = None  # the definition that a sub-flow holds; not in its config any more

    def path_of(self, name: str) -> str:
        return self.path + self.fields.path_of(name)


@dataclass(frozen=True, slots=True)
class DraftEdge:
    path: str
    source: str
    target: str
    handle: str  # "" for none


@dataclass(slots=True)
class Reading:
    settings: WorkflowSettings
    nodes: list[Draft] = field(default_factory=list)
    edges: list[DraftEdge] = field(default_factory=list)


def read(document: JsonValue, types: NodeTypes, limits: WorkflowLimits, findings: Findings) -> Reading:
    """Everything in `document` that can be made out; what cannot goes to `findings`."""
    if not isinstance(document, dict):
        findings.add(
            "", "NOT_AN_OBJECT", "a workflow is a JSON object", 'like {"nodes": [ … ], "edges": [ … ]}'
        )
        return Reading(WorkflowSettings())
    raw = reactflow.top(document).fields
    rest = {key: value for key, value in raw.items() if key not in ("nodes", "edges")}
    reading = Reading(_settings(rest, findings))
    raw_nodes = _items(raw, "nodes", limits.max_nodes, findings)
    raw_edges = _items(raw, "edges", limits.max_edges, findings)
    if raw.get("nodes", []) == []:
        findings.add("/nodes", "NO_NODES", "a workflow has at least one node")
    reader = _NodeReader(types, findings)
    reading.nodes = [draft for index, item in enumerate(raw_nodes) if (draft := reader.node(index, item))]
    reading.edges = [edge for index, item in enumerate(raw_edges) if (edge := _edge(index, item, findings))]
    return reading


def _settings(raw: dict[str, JsonValue], findings: Findings) -> WorkflowSettings:
    try:
        return WorkflowSettings.model_validate(raw)
    except ValidationError as error:
        problems = problems_of(error, raw, "", WorkflowSettings)
    known = (*field_names(WorkflowSettings), "nodes", "edges")
    findings.extend(_with_hint(problem, known) for problem in problems)
    return _without_faults(WorkflowSettings, raw, problems, {})


def _with_hint(problem: Problem, known: Collection[str]) -> Problem:
    """The hint for a top-level field, which may be meant for one that another model holds."""
    if problem.code != "UNKNOWN_FIELD" or problem.path.count("/") > 1:
        return problem
    name = pointers.tokens(problem.path)[0]
    return Problem(problem.path, problem.code, problem.message, near_miss(name, known) or problem.hint)


def _items(raw: Mapping[str, JsonValue], name: str, limit: int, findings: Findings) -> list[JsonValue]:
    value = raw.get(name, [])
    if not isinstance(value, list):
        findings.add(f"/{name}", "WRONG_TYPE", "must be a list")
        return []
    if len(value) > limit:
        code = f"TOO_MANY_{name.upper()}"
        findings.add(f"/{name}", code, f"{len(value):,} {name} are more than the limit of {limit:,}")
        return []
    return value


class _NodeReader:
    """Reads node after node; knows which ids are taken."""

    def __init__(self, types: NodeTypes, findings: Findings) -> None:
        self.types = types
        self.findings = findings
        self.taken: dict[str, int] = {}

    def node(self, index: int, item: JsonValue) -> Draft | None:
        path = f"/nodes/{index}"
        if not isinstance(item, dict):
            self.findings.add(path, "WRONG_TYPE", "a node is an object")
            return None
        fields = reactflow.node(item, self._config_fields)
        self.findings.extend(Problem(path + p.path, p.code, p.message, p.hint) for p in fields.problems)
        fields, workflow = self._without_workflow(fields)
        definition, faulty = self._definition(path, fields)
        node_type = self._type(path, fields, faulty)
        if node_type is not None and "config" not in faulty:
            node_type = node_type.variant(definition.config)
        return Draft(
            index=index,
            path=path,
            id=self._id(path, index, definition, faulty),
            type=node_type,
            definition=definition,
            config=None if "config" in faulty else definition.config,
            fields=fields,
            workflow=workflow,
        )

    def _without_workflow(self, fields: Normalised) -> tuple[Normalised, JsonValue]:
        """The node without the definition that it holds, and that definition; None if it holds none."""
        config, name = fields.fields.get("config"), fields.fields.get("type")
        if not isinstance(config, dict) or not isinstance(name, str):
            return fields, None
        found = self.types.get(name)
        if found is None or not found.subflow or not isinstance(config.get("workflow"), dict):
            return fields, None
        rest = {key: value for key, value in config.items() if key != "workflow"}
        return replace(fields, fields={**fields.fields, "config": rest}), config["workflow"]

    def _definition(self, path: str, fields: Normalised) -> tuple[NodeDefinition, frozenset[str]]:
        """The node, and the names of the fields that are missing or wrong and hold a default instead."""
        try:
            return NodeDefinition.model_validate(fields.fields), frozenset()
        except ValidationError as error:
            problems = problems_of(error, fields.fields, "", NodeDefinition)
        for problem in problems:
            name = pointers.tokens(problem.path)[0]
            where = path + fields.path_of(name) + problem.path[len(pointers.step(name)) :]
            self.findings.add(where, problem.code, problem.message, problem.hint)
        required = {"id": "unknown", "type": "unknown"}
        return _without_faults(NodeDefinition, fields.fields, problems, required), _names(problems)

    def _id(self, path: str, index: int, definition: NodeDefinition, faulty: Collection[str]) -> str:
        if "id" in faulty:
            return ""
        first = self.taken.setdefault(definition.id, index)
        if first == index:
            return definition.id
        message = f"the id {quoted(definition.id)} is that of node {first} already"
        self.findings.add(f"{path}/id", "DUPLICATE_ID", message, "ids are unique in the whole definition")
        return ""

    def _type(self, path: str, fields: Normalised, faulty: Collection[str]) -> NodeType[Any] | None:
        name = fields.fields.get("type")
        if "type" in faulty or not isinstance(name, str):
            return None
        found = self.types.get(name)
        if found is None:
            hint = near_miss(name, self.types.names()) or "`flow nodes` lists the types"
            self.findings.add(f"{path}/type", "UNKNOWN_TYPE", f"unknown type {quoted(name)}", hint)
        elif setting := self.types.setting_for(name):
            message = f"nodes of type {quoted(name)} are turned off here"
            self.findings.add(f"{path}/type", "TYPE_TURNED_OFF", message, f"the operator sets {setting}=1")
        return found

    def _config_fields(self, type_name: str) -> Collection[str]:
        found = self.types.get(type_name)
        return field_names(found.config_model) if found else ()


def _edge(index: int, item: JsonValue, findings: Findings) -> DraftEdge | None:
    path = f"/edges/{index}"
    if not isinstance(item, dict):
        findings.add(path, "WRONG_TYPE", "an edge is an object")
        return None
    if {"source", "target"} <= item.keys() <= _PLAIN_EDGE and set(map(type, item.values())) == {str}:
        # Most edges are like this: there is nothing to normalise and nothing that can be wrong.
        return DraftEdge(path, item["source"], item["target"], item.get("sourceHandle", ""))
    raw = reactflow.edge(item).fields
    try:
        edge = EdgeDefinition.model_validate(raw)
    except ValidationError as error:
        problems = problems_of(error, raw, "", EdgeDefinition)
        findings.extend(Problem(path + p.path, p.code, p.message, p.hint) for p in problems)
        if _names(problems) & {"source", "target", "sourceHandle"}:
            return None
        edge = _without_faults(EdgeDefinition, raw, problems, {})
    return DraftEdge(path, edge.source, edge.target, edge.source_handle or "")


def _names(problems: Collection[Problem]) -> frozenset[str]:
    """The fields that the problems are about."""
    return frozenset(pointers.tokens(problem.path)[0] for problem in problems)


def _without_faults(
    model: type[D],
    raw: Mapping[str, JsonValue],
    problems: Collection[Problem],
    required: Mapping[str, JsonValue],
) -> D:
    """The model of what is right in `raw`; `required` stands in for fields that have no default."""
    faulty = _names(problems)
    known = set(field_names(model)) - faulty
    return model.model_validate({**required, **{key: value for key, value in raw.items() if key in known}})
