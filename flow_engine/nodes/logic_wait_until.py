from __future__ import annotations

import math
from collections.abc import Mapping
from datetime import UTC, datetime
from typing import Any, ClassVar

from pydantic import Field, StrictFloat, StrictInt, model_validator

from flow_engine.nodes.contract import (
    Completed,
    NodeConfig,
    NodeContext,
    NodeError,
    NodeType,
    Outcome,
    Waiting,
    Wake,
)
from flow_engine.nodes.dates import instant_of, iso_utc
from flow_engine.nodes.logic_delay import YEAR_MS
from flow_engine.nodes.outputs import STRING, record

TYPICAL_WAIT_MS = 3_600_000.0


class LogicWaitUntilConfig(NodeConfig):
    time: str | StrictInt | StrictFloat = Field(
        description="When to go on: ISO 8601 text, or milliseconds since 1970. At most 365 days ahead."
    )
    time_zone: str = Field(
        default="UTC", description="Where a `time` without offset is meant; `Europe/Berlin`."
    )

    @model_validator(mode="after")
    def _is_a_time(self) -> LogicWaitUntilConfig:
        self.instant()
        return self

    def instant(self) -> datetime:
        """The time, in UTC. Raises ValueError."""
        return instant_of(self.time, self.time_zone)


class LogicWaitUntil(NodeType[LogicWaitUntilConfig]):
    """Waits until a point in time.

    A time that is over already does not wait. Like a long delay it holds no worker and survives restarts.
    The output is `{"time": …}`, the time in UTC.
    """

    type = "logic.waitUntil"
    title = "Wait until"
    config_model = LogicWaitUntilConfig
    example: ClassVar[dict[str, Any]] = {"time": "2026-01-01T09:00:00", "timeZone": "Europe/Berlin"}
    inline = True
    error_codes: ClassVar[Mapping[str, str]] = {"WAIT_TOO_LONG": "The time is more than 365 days ahead."}

    def output_schema(self, config: Mapping[str, Any]) -> Mapping[str, Any]:
        return record(time=STRING)

    def typical_ms(self, config: Mapping[str, Any]) -> float:
        return TYPICAL_WAIT_MS

    async def run(self, context: NodeContext, config: LogicWaitUntilConfig) -> Outcome:
        ahead_ms = math.ceil((config.instant() - datetime.now(UTC)).total_seconds() * 1000)
        if ahead_ms > YEAR_MS:
            raise NodeError("WAIT_TOO_LONG", "the time is more than 365 days ahead")
        return Waiting(timeout_ms=ahead_ms) if ahead_ms > 0 else _done(config)

    async def resume(self, context: NodeContext, config: LogicWaitUntilConfig, wake: Wake) -> Outcome:
        return _done(config)


def _done(config: LogicWaitUntilConfig) -> Completed:
    return Completed({"time": iso_utc(config.instant())})
