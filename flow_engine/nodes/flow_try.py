from __future__ import annotations

from collections.abc import Mapping, Sequence
from typing import Any, ClassVar

from msgspec import to_builtins
from pydantic import Field

from flow_engine.interpreter.events import Failure
from flow_engine.nodes.contract import Completed, Failed, NodeConfig, NodeType, Opening, Outcome
from flow_engine.nodes.logic_switch import Handle
from flow_engine.payload import JsonValue

SUCCESS_HANDLE = "success"
CAUGHT_HANDLE = "caught"


class Catch(NodeConfig):
    codes: tuple[str, ...] = Field(default=(), description="Error codes that it catches; empty: every one.")
    handle: Handle = Field(default=CAUGHT_HANDLE, description="The handle to go on at.")


class FlowTryConfig(NodeConfig):
    catches: tuple[Catch, ...] = Field(
        default=(Catch(),),
        alias="catch",
        max_length=100,
        description="Tried in order; the first that names the error's code wins. "
        "An error that none names fails the step.",
    )


class FlowTry(NodeType[FlowTryConfig]):
    """Runs the nodes inside it once and catches their failure.

    Goes on at `success` with their output, or at the handle of the catch with
    `{"error": {code, message, nodeId, …}}`. Edges without a handle are taken either way: they lead to what
    is done finally.
    """

    type = "flow.try"
    title = "Try"
    config_model = FlowTryConfig
    example: ClassVar[dict[str, Any]] = {
        "catch": [{"codes": ["HTTP_STATUS", "TIMEOUT"], "handle": "unreachable"}]
    }
    container = True

    def handles_of(self, config: Mapping[str, Any]) -> tuple[str, ...]:
        catches = config.get("catch")
        named = [
            catch.get("handle", CAUGHT_HANDLE)
            for catch in (catches if isinstance(catches, list | tuple) else [{}])
            if isinstance(catch, Mapping)
        ]
        return tuple(dict.fromkeys([SUCCESS_HANDLE, *named]))

    def open(self, config: FlowTryConfig) -> Opening:
        return Opening(items=[None], collect_errors=True)

    def fold(self, config: FlowTryConfig, results: Sequence[JsonValue | Failure]) -> Outcome:
        (result,) = results
        if not isinstance(result, Failure):
            return Completed(result, SUCCESS_HANDLE)
        for catch in config.catches:
            if not catch.codes or result.code in catch.codes:
                return Completed({"error": to_builtins(result)}, catch.handle)
        return Failed(result)
