from __future__ import annotations

from collections.abc import Mapping, Sequence
from typing import Any, ClassVar, Literal

from pydantic import Field

from flow_engine.interpreter.events import Failure
from flow_engine.nodes.contract import Completed, NodeConfig, NodeError, NodeType, Opening
from flow_engine.nodes.deferred import DeferredCondition, holds
from flow_engine.payload import JsonValue

GUESSED_ITERATIONS = 10
"""How often the estimate assumes it to run."""
CONDITION_VARIABLES = frozenset(("index", "iteration", "previous"))


class LogicWhileConfig(NodeConfig):
    condition: DeferredCondition = Field(
        description="An expression that gives true or false; it runs on while it is true. "
        "`previous` is the output of the last iteration (null before the first), "
        "`iteration` how many there were."
    )
    check: Literal["before", "after"] = Field(
        default="before", description="`after`: the first iteration runs whatever the condition says."
    )
    max_iterations: int = Field(
        default=1000, ge=1, le=1_000_000, description="Wanting more fails the loop with ITERATION_LIMIT."
    )


class LogicWhile(NodeType[LogicWhileConfig]):
    """Runs the nodes inside it again and again while a condition holds.

    Inside, `iteration` counts from 0 and `previous` is what the iteration before put out. The output is
    that of the last iteration; null if there was none.
    """

    type = "logic.while"
    title = "While"
    config_model = LogicWhileConfig
    example: ClassVar[dict[str, Any]] = {"condition": "${ iteration < 3 }"}
    container = True
    loop_variables = CONDITION_VARIABLES
    deferred: ClassVar[Mapping[str, frozenset[str]]] = {"condition": CONDITION_VARIABLES}
    error_codes: ClassVar[Mapping[str, str]] = {
        "EXPRESSION_FAILED": "The condition failed, or gave neither true nor false.",
        "ITERATION_LIMIT": "The condition still held after `maxIterations` iterations.",
    }

    def typical_iterations(self, config: Mapping[str, Any]) -> float:
        limit = config.get("maxIterations")
        return float(min(GUESSED_ITERATIONS, limit) if isinstance(limit, int) else GUESSED_ITERATIONS)

    def open(self, config: LogicWhileConfig) -> Opening:
        return Opening()

    def goes_on(self, config: LogicWhileConfig, scope: Mapping[str, Any], done: int) -> bool:
        if done == 0 and config.check == "after":
            return True
        if not holds(config.condition, scope, "condition"):
            return False
        if done >= config.max_iterations:
            raise NodeError(
                "ITERATION_LIMIT", f"the condition still holds after {done} iterations", iterations=done
            )
        return True

    def fold(self, config: LogicWhileConfig, results: Sequence[JsonValue | Failure]) -> Completed:
        return Completed(results[-1] if results else None)
