"""What every node type keeps, whatever it does."""

from __future__ import annotations

import ast
import asyncio
import inspect
import json
import math
from pathlib import Path
from typing import Any

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st
from jsonschema import Draft202012Validator
from pydantic import ValidationError

from flow_engine.nodes.contract import (
    Completed,
    Effect,
    Failed,
    NodeError,
    NodeType,
    Outcome,
    TimedOut,
    Waiting,
)
from flow_engine.nodes.registry import config_schema, declaration_problems, describe
from flow_engine.payload import decode, encode
from tests.unit.nodes.contexts import BUILT_IN, context

TYPES = list(BUILT_IN)
RUNNABLE = [kind for kind in TYPES if kind.effect is Effect.PURE and not kind.container]

every_type = pytest.mark.parametrize("kind", TYPES, ids=lambda kind: kind.type)
every_runnable_type = pytest.mark.parametrize("kind", RUNNABLE, ids=lambda kind: kind.type)

json_values = st.recursive(
    st.none()
    | st.booleans()
    | st.integers()
    | st.floats(allow_nan=False, allow_infinity=False)
    | st.text(max_size=8),
    lambda inner: st.lists(inner, max_size=4) | st.dictionaries(st.text(max_size=8), inner, max_size=4),
    max_leaves=8,
)


async def outcome_of_example(kind: NodeType[Any]) -> Outcome:
    try:
        return await kind.run(context(), kind.config_model.model_validate(kind.example))
    except NodeError as error:
        return Failed(error.failure, error.retry_after_ms)


@every_type
def test_declarations_are_complete(kind: NodeType[Any]) -> None:
    assert declaration_problems(type(kind)) == []


@every_type
def test_config_schema_is_valid_and_accepts_the_example(kind: NodeType[Any]) -> None:
    schema = config_schema(kind)
    Draft202012Validator.check_schema(schema)
    Draft202012Validator(schema).validate(kind.example)


@every_type
def test_unknown_config_fields_are_refused(kind: NodeType[Any]) -> None:
    with pytest.raises(ValidationError):
        kind.config_model.model_validate({**kind.example, "noSuchField": 1})
    assert config_schema(kind)["additionalProperties"] is False


@every_type
def test_description_is_json_without_loss(kind: NodeType[Any]) -> None:
    described = describe(kind)
    assert decode(encode(described)) == described
    json.dumps(described, allow_nan=False)


@every_type
def test_instances_hold_no_state(kind: NodeType[Any]) -> None:
    assert vars(kind) == {}


@every_type
@settings(max_examples=25)
@given(raw=st.dictionaries(st.text(max_size=8), json_values, max_size=4), value=json_values)
def test_estimates_and_handles_take_any_raw_config(
    kind: NodeType[Any], raw: dict[str, Any], value: Any
) -> None:
    for config in (
        raw,
        dict.fromkeys(kind.example, value),
        dict.fromkeys(kind.example, "${ input.x }"),
    ):
        for number in (kind.typical_ms(config), kind.typical_iterations(config)):
            assert math.isfinite(number)
            assert number >= 0
        handles = kind.handles_of(config)
        assert "error" not in handles
        assert len(set(handles)) == len(handles)


@every_type
def test_every_error_code_in_its_module_is_documented(kind: NodeType[Any]) -> None:
    source = Path(inspect.getfile(type(kind))).read_text()
    calls = [node for node in ast.walk(ast.parse(source)) if isinstance(node, ast.Call)]
    raised = {
        call.args[0].value
        for call in calls
        if isinstance(call.func, ast.Name)
        and call.func.id == "NodeError"
        and isinstance(call.args[0], ast.Constant)
    }
    assert raised <= set(kind.error_codes)


@every_runnable_type
async def test_example_runs(kind: NodeType[Any]) -> None:
    outcome = await outcome_of_example(kind)
    match outcome:
        case Completed(output, handle, handles):
            json.dumps(output, allow_nan=False)
            Draft202012Validator(kind.output_schema(kind.example) or {}).validate(output)
            assert {*(handles or (handle,))} <= {*(kind.handles_of(kind.example) or ("",))}
        case Waiting(timeout_ms, signal):
            assert timeout_ms is not None or signal is not None
            if signal is not None:
                assert signal["kind"] in ("person", "callback")
                Draft202012Validator.check_schema(signal["schema"])
        case Failed(failure):
            assert kind.type == "flow.fail"
            assert failure.message


@every_runnable_type
async def test_what_waits_goes_on_after_its_time(kind: NodeType[Any]) -> None:
    if not isinstance(await outcome_of_example(kind), Waiting):
        return
    config = kind.config_model.model_validate(kind.example)
    outcome = await kind.resume(context(), config, TimedOut())
    assert isinstance(outcome, Completed)
    assert outcome.handle in (kind.handles or ("",))


@pytest.mark.parametrize("kind", [kind for kind in RUNNABLE if kind.inline], ids=lambda kind: kind.type)
def test_inline_types_never_suspend(kind: NodeType[Any]) -> None:
    running = kind.run(context(), kind.config_model.model_validate(kind.example))
    with pytest.raises(StopIteration):
        running.send(None)


@pytest.mark.parametrize("kind", [kind for kind in RUNNABLE if not kind.inline], ids=lambda kind: kind.type)
async def test_cancellation_passes_through(kind: NodeType[Any]) -> None:
    running = asyncio.ensure_future(outcome_of_example(kind))
    await asyncio.sleep(0)
    if running.cancel():
        with pytest.raises(asyncio.CancelledError):
            await running
