"""Node types of a third party."""

from __future__ import annotations

from typing import Any, ClassVar

from pydantic import Field

from flow_engine.nodes.contract import Completed, NodeConfig, NodeContext, NodeType


class GreetConfig(NodeConfig):
    name: str = Field(description="Whom to greet.")
    first_word: str = Field(default="Hello", description="How to greet.")


class Greet(NodeType[GreetConfig]):
    """Greets somebody.

    The output is the greeting.
    """

    type = "acme.greet"
    title = "Greet"
    config_model = GreetConfig
    example: ClassVar[dict[str, Any]] = {"name": "Ada", "firstWord": "Good morning"}
    inline = True

    async def run(self, context: NodeContext, config: GreetConfig) -> Completed:
        return Completed(f"{config.first_word}, {config.name}!")


class Wrong(NodeType[GreetConfig]):
    """Declares an example that its own config refuses."""

    type = "acme.wrong"
    title = "Wrong"
    config_model = GreetConfig
    example: ClassVar[dict[str, Any]] = {"nmae": "Ada"}

    async def run(self, context: NodeContext, config: GreetConfig) -> Completed:
        return Completed()
