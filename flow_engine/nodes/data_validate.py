from __future__ import annotations

from collections.abc import Mapping
from typing import Any, ClassVar

from pydantic import Field

from flow_engine.nodes.contract import Completed, NodeConfig, NodeContext, NodeError, NodeType
from flow_engine.nodes.json_schema_field import JsonSchema
from flow_engine.nodes.outputs import ANYTHING, BOOLEAN, STRING, list_of, record
from flow_engine.payload import JsonValue
from flow_engine.workflow.json_schemas import value_problems


class DataValidateConfig(NodeConfig):
    value: Any = Field(description="The value to check.")
    json_schema: JsonSchema = Field(
        alias="schema",
        description="JSON Schema, draft 2020-12; `$ref` within it only, patterns in RE2's syntax.",
    )
    fail_on_invalid: bool = Field(
        default=True, description="Whether a value that does not fit fails the step."
    )


class DataValidate(NodeType[DataValidateConfig]):
    """Checks a value against a JSON Schema.

    The output is `{"valid": …, "problems": [{"path", "message"}], "value": …}`. A value that does not fit
    fails the step with all its problems in the failure's `details`, or, with `failOnInvalid` off, goes on
    at `invalid`.
    """

    type = "data.validate"
    title = "Validate"
    config_model = DataValidateConfig
    example: ClassVar[dict[str, Any]] = {
        "value": {"count": 2},
        "schema": {"type": "object", "properties": {"count": {"type": "integer", "minimum": 1}}},
    }
    inline = True
    handles = ("valid", "invalid")
    error_codes: ClassVar[Mapping[str, str]] = {"VALUE_INVALID": "The value does not fit the schema."}

    def output_schema(self, config: Mapping[str, Any]) -> Mapping[str, Any]:
        problem = record(path=STRING, message=STRING)
        return record(valid=BOOLEAN, problems=list_of(problem), value=ANYTHING)

    async def run(self, context: NodeContext, config: DataValidateConfig) -> Completed:
        problems: list[JsonValue] = [
            {"path": problem.path, "message": problem.message}
            for problem in value_problems(config.json_schema, config.value)
        ]
        if problems and config.fail_on_invalid:
            first = problems[0]
            raise NodeError("VALUE_INVALID", f"{first['path'] or '/'}: {first['message']}", problems=problems)
        output = {"valid": not problems, "problems": problems, "value": config.value}
        return Completed(output, handle="invalid" if problems else "valid")
