"""A config field that is a JSON Schema."""

from __future__ import annotations

from typing import Annotated, Any

from pydantic import AfterValidator

from flow_engine.workflow.json_schemas import schema_problems


def _usable(schema: dict[str, Any]) -> dict[str, Any]:
    if problems := schema_problems(schema, ""):
        raise ValueError("; ".join(f"{each.path or '/'}: {each.message}" for each in problems[:5]))
    return schema


JsonSchema = Annotated[dict[str, Any], AfterValidator(_usable)]
"""Draft 2020-12. Refers to nothing outside itself; its patterns are RE2's."""
