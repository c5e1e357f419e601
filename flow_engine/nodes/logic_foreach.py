from __future__ import annotations

import math
from collections.abc import Mapping
from typing import Any, ClassVar, Literal

from pydantic import Field

from flow_engine.nodes.contract import NodeConfig, NodeError, NodeType, Opening

GUESSED_ITEMS = 10
"""How many items the estimate assumes while the list is an expression."""


class LogicForeachConfig(NodeConfig):
    items: list[Any] = Field(description="The list to go through; evaluated once, when the loop begins.")
    concurrency: int = Field(
        default=1, ge=1, le=1000, description="How many items are worked on at once; they start in order."
    )
    on_item_error: Literal["fail", "collect"] = Field(
        default="fail",
        description="`fail`: the first failed item stops the others and fails the loop. "
        '`collect`: it puts out `{"error": …}` and the others go on.',
    )
    stop_after: int | None = Field(
        default=None,
        ge=1,
        le=1_000_000,
        description="So many successful iterations are enough: the others are cancelled and left out.",
    )
    distribute: bool = Field(
        default=False,
        description="Each item is an execution of its own on the queue, a child of this one, "
        "so that many workers share them.",
    )
    max_iterations: int = Field(
        default=10_000, ge=0, le=1_000_000, description="A longer list fails the loop before its first item."
    )


class LogicForeach(NodeType[LogicForeachConfig]):
    """Runs the nodes inside it once for each item of a list.

    Inside, `item` is the item, `index` its place from 0. The output is the list of what each
    iteration put out, in the order of the items; of an empty list, `[]`.

    With `distribute` each item is a child execution: docs/control.md, "Children".
    """

    type = "logic.foreach"
    title = "For each"
    config_model = LogicForeachConfig
    example: ClassVar[dict[str, Any]] = {"items": ["a", "b", "c"], "concurrency": 2}
    container = True
    settled = frozenset(("distribute",))
    loop_variables = frozenset(("item", "index", "iteration"))
    error_codes: ClassVar[Mapping[str, str]] = {"ITERATION_LIMIT": "The list is longer than `maxIterations`."}

    def variant(self, config: Mapping[str, Any]) -> NodeType[Any]:
        return _DISTRIBUTED if config.get("distribute") is True else self

    def output_schema(self, config: Mapping[str, Any]) -> Mapping[str, Any]:
        return {"type": "array"}

    def typical_iterations(self, config: Mapping[str, Any]) -> float:
        items, concurrency = config.get("items"), config.get("concurrency", 1)
        length = len(items) if isinstance(items, list) else GUESSED_ITEMS
        at_once = concurrency if isinstance(concurrency, int) and concurrency > 0 else 1
        return float(math.ceil(length / at_once))

    def open(self, config: LogicForeachConfig) -> Opening:
        if len(config.items) > config.max_iterations:
            raise NodeError(
                "ITERATION_LIMIT",
                f"{len(config.items)} items are more than maxIterations allows ({config.max_iterations})",
                items=len(config.items),
                maxIterations=config.max_iterations,
            )
        return Opening(
            config.items,
            config.concurrency,
            collect_errors=config.on_item_error == "collect",
            stop_after=config.stop_after,
        )


class DistributedForeach(LogicForeach):
    """Runs each item as an execution of its own."""

    spawns = True


_DISTRIBUTED = DistributedForeach()
