"""The JSON Schema of a definition, for editors and other tools. Validation itself finds more."""

from __future__ import annotations

from typing import Any

from flow_engine.payload import JsonValue
from flow_engine.workflow import reactflow
from flow_engine.workflow.model import MAX_ID_LENGTH, WorkflowDefinition
from flow_engine.workflow.reading import NodeTypes

EXPRESSION = {"type": "string", "pattern": r"\$\{"}


def workflow_schema(types: NodeTypes) -> dict[str, JsonValue]:
    """JSON Schema (2020-12) of a definition with nodes of these types.

    Wherever a config asks for another type, a string with an expression is allowed too.
    """
    schema = WorkflowDefinition.model_json_schema(by_alias=True)
    definitions: dict[str, Any] = schema["$defs"]
    _allow(schema, reactflow.TOP_FIELDS)
    _allow(definitions["EdgeDefinition"], reactflow.EDGE_FIELDS)
    node = definitions["NodeDefinition"]
    _allow(node, reactflow.NODE_FIELDS)
    for described in (schema, node):
        described["properties"]["id"] |= {"minLength": 1, "maxLength": MAX_ID_LENGTH, "pattern": "^[^/]+$"}
    node["properties"]["type"]["enum"] = sorted(types.names())
    node["allOf"] = [_config_rule(name, types, definitions) for name in sorted(types.names())]
    heading: dict[str, JsonValue] = {
        "$schema": "https://json-schema.org/draft/2020-12/schema",
        "title": "Workflow definition",
    }
    return {**heading, **_without_titles(schema)}


def _without_titles(schema: Any) -> Any:
    """pydantic's titles say what the name above them says already."""
    if isinstance(schema, list):
        return [_without_titles(item) for item in schema]
    if not isinstance(schema, dict):
        return schema
    return {
        key: _without_titles(value)
        for key, value in schema.items()
        if not (key == "title" and isinstance(value, str))
    }


def _allow(schema: dict[str, Any], fields: frozenset[str]) -> None:
    """Add fields that are kept for the editor, whatever they hold."""
    schema["properties"] |= {name: True for name in sorted(fields) if name not in schema["properties"]}


def _config_rule(name: str, types: NodeTypes, definitions: dict[str, Any]) -> dict[str, JsonValue]:
    """If a node is of the type, its config is as the type says."""
    node_type = types.get(name)
    assert node_type is not None
    config = node_type.config_model.model_json_schema(by_alias=True, ref_template=f"#/$defs/{name}.{{model}}")
    for model, definition in config.pop("$defs", {}).items():
        definitions[f"{name}.{model}"] = _with_expressions(definition)
    definitions[name] = _with_expressions(config)
    fields = config.get("properties", {})
    definitions[name].get("properties", {}).update({key: fields[key] for key in node_type.settled})
    rule: dict[str, JsonValue] = {
        "if": {"properties": {"type": {"const": name}}, "required": ["type"]},
        "then": {"properties": {"config": {"$ref": f"#/$defs/{name}"}}},
    }
    if config.get("required"):
        rule["then"]["anyOf"] = [{"required": ["config"]}, {"required": ["data"]}]
    return rule


def _with_expressions(schema: Any) -> Any:
    """The schema with an expression allowed for every field, element and value."""
    if not isinstance(schema, dict):
        return schema
    result = dict(schema)
    if "properties" in result:
        result["properties"] = {key: _or_expression(child) for key, child in result["properties"].items()}
    for name in ("items", "additionalProperties"):
        if isinstance(result.get(name), dict):
            result[name] = _or_expression(result[name])
    for name in ("anyOf", "oneOf", "allOf"):
        if name in result:
            result[name] = [_with_expressions(child) for child in result[name]]
    return result


def _or_expression(schema: Any) -> Any:
    if not isinstance(schema, dict) or not schema.keys() & {
        "type",
        "anyOf",
        "oneOf",
        "allOf",
        "enum",
        "const",
        "$ref",
    }:
        return schema
    notes = {key: value for key, value in schema.items() if key in ("description", "title", "default")}
    bare = {key: value for key, value in schema.items() if key not in notes}
    return {**notes, "anyOf": [_with_expressions(bare), EXPRESSION]}
