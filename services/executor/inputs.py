"""JSON that comes in from outside with a call: parsed, bounded, and held against its schema."""

from __future__ import annotations

from collections.abc import Mapping

from flow_engine.errors import InvalidInput, InvalidRequest
from flow_engine.payload import JsonValue, Payload
from flow_engine.workflow.json_schemas import value_problems
from flow_engine.workflow.parsing import parse_json

MAX_INPUT_BYTES = 1 << 20


def parse_input(text: str) -> Payload:
    """An input or an answer. Empty text is `{}`. Raises InvalidInput."""
    if not text:
        return Payload.of({})
    try:
        return Payload.of(parse_json(text, max_bytes=MAX_INPUT_BYTES))
    except InvalidRequest as error:
        raise InvalidInput(error.problems) from None


def check_against(schema: Mapping[str, JsonValue] | None, value: JsonValue) -> None:
    """Raises InvalidInput with every place where the value does not fit its JSON Schema."""
    if schema is not None and (problems := value_problems(schema, value)):
        raise InvalidInput(problems)
