"""Node types for tests: they succeed, fail, wait and hold on exactly as told."""

from __future__ import annotations

import asyncio
from typing import Any, ClassVar

from pydantic import Field

from flow_engine.interpreter.events import Failure
from flow_engine.nodes.contract import (
    Completed,
    Effect,
    Failed,
    NodeConfig,
    NodeContext,
    NodeServices,
    NodeType,
    Outcome,
)
from flow_engine.nodes.registry import NodeRegistry, built_in_registry


class World(NodeServices):
    """What test nodes touch outside of the engine. Lives as long as the test, over all runners."""

    def __init__(self) -> None:
        self.calls: list[tuple[str, tuple[int, ...], int, str]] = []  # node, iteration, attempt, step key
        self.running: set[tuple[str, tuple[int, ...]]] = set()
        self.most_running = 0
        self.interrupted: list[str] = []

    def ran(self, node_id: str) -> int:
        return sum(called == node_id for called, *_ in self.calls)


class WorkConfig(NodeConfig):
    ms: int = Field(default=10, description="How long it takes.")
    fail_first: int = Field(default=0, description="So many attempts fail.")
    code: str = Field(default="BROKEN", description="With this code.")
    retryable: bool = Field(default=True, description="Whether that may pass.")
    retry_after_ms: int | None = Field(default=None, description="When it may pass, at the earliest.")
    output: Any = Field(default=None, description="What it puts out.")


class Work(NodeType[WorkConfig]):
    """Does something outside that takes a while."""

    type = "test.work"
    title = "Work"
    config_model = WorkConfig
    example: ClassVar[dict[str, Any]] = {"ms": 1}
    effect = Effect.EXTERNAL

    async def run(self, context: NodeContext, config: WorkConfig) -> Outcome:
        world = context.services
        assert isinstance(world, World)
        key = (context.node_id, context.iteration)
        world.calls.append((*key, context.attempt, context.step_key))
        world.running.add(key)
        world.most_running = max(world.most_running, len(world.running))
        try:
            await asyncio.sleep(config.ms / 1000)
        except asyncio.CancelledError:
            world.interrupted.append(context.node_id)
            raise
        finally:
            world.running.discard(key)
        if context.attempt <= config.fail_first:
            failure = Failure(config.code, "it did not work", config.retryable)
            return Failed(failure, config.retry_after_ms)
        return Completed(config.output)


class Crash(NodeType[NodeConfig]):
    """Has a bug."""

    type = "test.crash"
    title = "Crash"
    config_model = NodeConfig
    example: ClassVar[dict[str, Any]] = {}

    async def run(self, context: NodeContext, config: NodeConfig) -> Outcome:
        raise RuntimeError("a secret that is nobody's business")


class Unjson(NodeType[NodeConfig]):
    """Puts out what is no JSON."""

    type = "test.unjson"
    title = "Not JSON"
    config_model = NodeConfig
    example: ClassVar[dict[str, Any]] = {}
    inline = True

    async def run(self, context: NodeContext, config: NodeConfig) -> Outcome:
        return Completed(object())


class Impatient(NodeType[NodeConfig]):
    """Gives up by an exception that looks like a time-out of the engine's."""

    type = "test.impatient"
    title = "Impatient"
    config_model = NodeConfig
    example: ClassVar[dict[str, Any]] = {}

    async def run(self, context: NodeContext, config: NodeConfig) -> Outcome:
        raise TimeoutError("some socket")


def test_registry() -> NodeRegistry:
    registry = built_in_registry()
    for node_type in (Work, Crash, Unjson, Impatient):
        registry.register(node_type)
    return registry


test_registry.__test__ = False  # type: ignore[attr-defined]
TYPES = test_registry()
