from __future__ import annotations

import pytest
from pydantic import ValidationError

from flow_engine.interpreter.events import Failure
from flow_engine.nodes.contract import Completed, Failed
from tests.unit.nodes.contexts import completed, config, failed


async def test_noop_passes_on_the_output_of_its_one_predecessor() -> None:
    assert await completed("flow.noop", {}, predecessors={"a": [1, None]}) == Completed([1, None])


async def test_noop_passes_on_a_null_too() -> None:
    assert await completed("flow.noop", {}, predecessors={"a": None}, default_input=7) == Completed(None)


async def test_noop_puts_several_outputs_out_by_node_id() -> None:
    assert await completed("flow.noop", {}, predecessors={"a": 1, "b": 2}) == Completed({"a": 1, "b": 2})


async def test_noop_without_predecessor_puts_out_the_input() -> None:
    assert await completed("flow.noop", {}, default_input={"x": 1}) == Completed({"x": 1})


async def test_fail_fails_as_it_is_told() -> None:
    raw = {"code": "OUT_OF_STOCK", "message": "none left", "details": {"article": 7}}
    assert await failed("flow.fail", raw) == Failed(
        Failure(code="OUT_OF_STOCK", message="none left", details={"article": 7})
    )


@pytest.mark.parametrize("code", ["", "lower", "A B", "1A", "A" * 65])
def test_fail_refuses_codes_that_programs_cannot_rely_on(code: str) -> None:
    with pytest.raises(ValidationError):
        config("flow.fail", {"code": code})
