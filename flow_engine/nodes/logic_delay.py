from __future__ import annotations

import asyncio
from collections.abc import Mapping
from typing import Any, ClassVar

from pydantic import Field

from flow_engine.nodes.contract import Completed, NodeConfig, NodeContext, NodeType, Outcome, Waiting, Wake

YEAR_MS = 365 * 24 * 3600 * 1000
LONGEST_SLEEP_MS = 5000
"""Up to here waiting in place costs less than letting go of the execution and taking it up again."""


class LogicDelayConfig(NodeConfig):
    duration_ms: int = Field(
        ge=0, le=YEAR_MS, description="How long to wait, in milliseconds; at most 365 days."
    )


class LogicDelay(NodeType[LogicDelayConfig]):
    """Waits for a while.

    A wait of more than five seconds is a durable timer: it holds no worker and survives restarts.
    The output is `{"durationMs": …}`.
    """

    type = "logic.delay"
    title = "Delay"
    config_model = LogicDelayConfig
    example: ClassVar[dict[str, Any]] = {"durationMs": 20}
    timed_by_config = True

    def typical_ms(self, config: Mapping[str, Any]) -> float:
        duration = config.get("durationMs")
        return float(min(max(duration, 0), YEAR_MS)) if isinstance(duration, int | float) else 1000.0

    def output_schema(self, config: Mapping[str, Any]) -> Mapping[str, Any]:
        properties = {"durationMs": {"type": "integer"}}
        return {"type": "object", "properties": properties, "additionalProperties": False}

    async def run(self, context: NodeContext, config: LogicDelayConfig) -> Outcome:
        if config.duration_ms > LONGEST_SLEEP_MS:
            return Waiting(timeout_ms=config.duration_ms)
        if config.duration_ms:
            await asyncio.sleep(config.duration_ms / 1000)
        return _done(config)

    async def resume(self, context: NodeContext, config: LogicDelayConfig, wake: Wake) -> Outcome:
        return _done(config)


def _done(config: LogicDelayConfig) -> Completed:
    return Completed({"durationMs": config.duration_ms})
