"""Definitions inside definitions: where sub-flows name one, hold one, and how one is put in its place.

A sub-flow node says `workflowId` (and `version`), or holds the definition itself as `workflow`. What runs
holds them all: whoever starts an execution puts every named definition beside its name.
"""

from __future__ import annotations

from collections.abc import Iterator, Mapping
from dataclasses import dataclass

from flow_engine.payload import JsonValue
from flow_engine.workflow import reactflow
from flow_engine.workflow.configs import replaced, value_at
from flow_engine.workflow.model_problems import Keys, field_names
from flow_engine.workflow.pointers import pointer, tokens
from flow_engine.workflow.reading import NodeTypes


@dataclass(frozen=True, slots=True)
class Reference:
    """A sub-flow that names a stored workflow whose definition does not stand beside the name."""

    place: Keys  # of its config in the document
    workflow_id: str
    version: int  # 0: the latest
    recursion: int = 0  # how often the workflow may stand in itself by way of this reference

    @property
    def path(self) -> str:
        return pointer(self.place)


@dataclass(frozen=True, slots=True)
class Found:
    version: int  # 0: the definition that is started, which is not stored
    definition: JsonValue


def references(document: JsonValue, types: NodeTypes) -> list[Reference]:
    """What must be found before the document can run, also for the definitions that it holds; in order."""
    return list(_references(document, types, ()))


def _references(document: JsonValue, types: NodeTypes, place: Keys) -> Iterator[Reference]:
    nodes = document.get("nodes") if isinstance(document, dict) else None
    for index, item in enumerate(nodes if isinstance(nodes, list) else ()):
        if not isinstance(item, dict) or not isinstance(name := item.get("type"), str):
            continue
        node_type = types.get(name)
        if node_type is None or not node_type.subflow:
            continue
        known = field_names(node_type.config_model)
        fields = reactflow.node(item, lambda _, known=known: known)  # type: ignore[misc]
        config = fields.fields.get("config")
        if not isinstance(config, dict):
            continue
        here = (*place, "nodes", index, *tokens(fields.path_of("config")))
        workflow_id, version = config.get("workflowId"), config.get("version") or 0
        if isinstance(config.get("workflow"), dict):
            yield from _references(config["workflow"], types, (*here, "workflow"))
        elif isinstance(workflow_id, str) and isinstance(version, int) and "${" not in workflow_id:
            recursion = config.get("recursion")
            yield Reference(here, workflow_id, int(version), recursion if isinstance(recursion, int) else 0)


def embedded(document: JsonValue, found: Mapping[Keys, Found]) -> JsonValue:
    """The document with definitions put beside their names; what lies above them is copied."""
    return replaced(
        document,
        {
            place: {
                **value_at(document, place),
                **({"version": one.version} if one.version else {}),
                "workflow": one.definition,
            }
            for place, one in found.items()
        },
    )
