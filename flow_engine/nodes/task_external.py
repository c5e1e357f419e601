from __future__ import annotations

from collections.abc import Mapping
from typing import Any, ClassVar

from pydantic import Field

from flow_engine.nodes.contract import (
    Answered,
    Completed,
    Effect,
    Failed,
    NodeConfig,
    NodeContext,
    NodeError,
    NodeType,
    Outcome,
    Waiting,
    Wake,
)
from flow_engine.nodes.signals import task_failure, task_signal
from flow_engine.payload import JsonValue

TYPICAL_TASK_MS = 60_000.0


class TaskExternalConfig(NodeConfig):
    queue: str = Field(
        pattern=r"^[A-Za-z0-9_][A-Za-z0-9_.-]{0,127}$",
        description="The queue that programs take the task from. It needs no declaring.",
    )
    input: JsonValue = Field(default=None, description="What the task is about; any JSON.")


class TaskExternal(NodeType[TaskExternalConfig]):
    """Hands a task to a program in any language, and waits for what it reports.

    The program takes tasks of `queue` by gRPC (`TaskService.PollTask`) or REST
    (`POST /api/tasks/{queue}/poll`), one taker a task, under a lease that its heartbeats extend; a task whose
    lease is lost is offered again. It gets `input`, and a `stepKey` that stays the same over all offers and
    attempts, to recognise a repetition by.

    Waits without holding a worker, over restarts too. The output is what the program completed the task with.
    A failure that it reports carries the code that it says; `retry` of the node decides whether the task is
    offered anew. `timeoutMs` of the node bounds each attempt.
    """

    type = "task.external"
    title = "External task"
    config_model = TaskExternalConfig
    example: ClassVar[dict[str, Any]] = {"queue": "invoices", "input": {"invoice": "${ input.invoiceId }"}}
    effect = Effect.EXTERNAL
    error_codes: ClassVar[Mapping[str, str]] = {
        "TASK_FAILED": "The program reported a failure and named no code of its own. It may name any other.",
        "TASK_LOST": "Lease after lease of the task was lost: whoever takes it dies, or does not report.",
    }

    def typical_ms(self, config: Mapping[str, Any]) -> float:
        return TYPICAL_TASK_MS

    async def run(self, context: NodeContext, config: TaskExternalConfig) -> Waiting:
        return Waiting(signal=task_signal(config.queue, context.step_key), input=config.input)

    async def resume(self, context: NodeContext, config: TaskExternalConfig, wake: Wake) -> Outcome:
        match wake:
            case Answered({"output": output}):
                return Completed(output)
            case Answered({"error": dict(error)}):
                return Failed(*task_failure(error))
        raise NodeError("TASK_FAILED", "the task came back without output and without error")
