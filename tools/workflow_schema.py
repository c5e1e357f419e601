"""Writes schemas/workflow.schema.json from the models of the definition and of the built-in node types."""

from __future__ import annotations

import json
from pathlib import Path

from flow_engine.nodes.registry import built_in_registry
from flow_engine.workflow.schema import workflow_schema

FILE = Path(__file__).resolve().parents[1] / "schemas" / "workflow.schema.json"


def text() -> str:
    """What the file must hold."""
    return json.dumps(workflow_schema(built_in_registry()), indent=2, ensure_ascii=False) + "\n"


if __name__ == "__main__":
    FILE.write_text(text())
