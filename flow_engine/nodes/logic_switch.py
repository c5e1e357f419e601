from __future__ import annotations

from collections.abc import Mapping
from typing import Annotated, Any, ClassVar, Literal

from pydantic import AfterValidator, Field

from flow_engine.nodes.contract import Completed, NodeConfig, NodeContext, NodeType
from flow_engine.nodes.deferred import DeferredCondition, holds

DEFAULT_HANDLE = "default"


def _not_reserved(handle: str) -> str:
    if handle == "error":
        raise ValueError("the handle `error` belongs to failed steps")
    return handle


Handle = Annotated[str, Field(pattern=r"^[A-Za-z0-9_][A-Za-z0-9_.-]{0,63}$"), AfterValidator(_not_reserved)]


class SwitchCase(NodeConfig):
    when: DeferredCondition = Field(
        description="An expression that gives true or false; in mode `first` evaluated only if no case "
        "before it held."
    )
    handle: Handle = Field(description="The handle to go on at when it holds. Several cases may share one.")


class LogicSwitchConfig(NodeConfig):
    cases: tuple[SwitchCase, ...] = Field(min_length=1, max_length=1000, description="Tried in order.")
    mode: Literal["first", "all"] = Field(
        default="first", description="Whether the first case that holds wins, or all that hold are taken."
    )


class LogicSwitch(NodeType[LogicSwitchConfig]):
    """Takes the way of the first case that holds, or `default`.

    With `mode: all` the ways of all cases that hold are taken, at once; `default` again if none does. The
    output is `{"handle": …}`, the handle taken, or `{"handles": […]}`, in the order of the cases.
    """

    type = "logic.switch"
    title = "Switch"
    config_model = LogicSwitchConfig
    example: ClassVar[dict[str, Any]] = {
        "cases": [
            {"when": "${ input.total > 1000 }", "handle": "large"},
            {"when": "${ input.total > 100 }", "handle": "medium"},
        ]
    }
    inline = True
    handles = (DEFAULT_HANDLE,)
    deferred: ClassVar[Mapping[str, frozenset[str]]] = {"cases.*.when": frozenset()}
    error_codes: ClassVar[Mapping[str, str]] = {
        "EXPRESSION_FAILED": "A `when` failed, or gave neither true nor false."
    }

    def handles_of(self, config: Mapping[str, Any]) -> tuple[str, ...]:
        cases = config.get("cases")
        named = (
            [case["handle"] for case in cases if _names_handle(case)]
            if isinstance(cases, list | tuple)
            else []
        )
        return tuple(dict.fromkeys([*named, DEFAULT_HANDLE]))

    def output_schema(self, config: Mapping[str, Any]) -> Mapping[str, Any]:
        one, all_ = {"handle": {"type": "string"}}, {"handles": {"type": "array"}}
        mode = config.get("mode", "first")
        properties = {"first": one, "all": all_}.get(mode if isinstance(mode, str) else "", {**one, **all_})
        return {"type": "object", "properties": properties, "additionalProperties": False}

    async def run(self, context: NodeContext, config: LogicSwitchConfig) -> Completed:
        held = (
            case.handle
            for number, case in enumerate(config.cases)
            if holds(case.when, context.scope, f"cases[{number}].when")
        )
        if config.mode == "first":
            handle = next(held, DEFAULT_HANDLE)
            return Completed({"handle": handle}, handle)
        handles = tuple(dict.fromkeys(held)) or (DEFAULT_HANDLE,)
        return Completed({"handles": list(handles)}, handles=handles)


def _names_handle(case: Any) -> bool:
    return isinstance(case, Mapping) and isinstance(case.get("handle"), str)
