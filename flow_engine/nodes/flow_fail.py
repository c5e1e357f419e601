from __future__ import annotations

from typing import Any, ClassVar

from pydantic import Field

from flow_engine.interpreter.events import Failure
from flow_engine.nodes.contract import Failed, NodeConfig, NodeContext, NodeType


class FlowFailConfig(NodeConfig):
    code: str = Field(
        default="FAILED",
        pattern=r"^[A-Z][A-Z0-9_]{0,63}$",
        description="What went wrong, for programs: stable, in upper case.",
    )
    message: str = Field(
        default="the workflow failed on purpose", max_length=4096, description="What went wrong, for people."
    )
    details: dict[str, Any] = Field(default_factory=dict, description="More about it, for programs.")


class FlowFail(NodeType[FlowFailConfig]):
    """Fails, with an error of your own.

    As any failed step it fails the execution, or the container around it, unless `onError` says otherwise.
    It is never retried.
    """

    type = "flow.fail"
    title = "Fail"
    config_model = FlowFailConfig
    example: ClassVar[dict[str, Any]] = {"code": "OUT_OF_STOCK", "message": "Nothing is left of article 7"}
    inline = True

    async def run(self, context: NodeContext, config: FlowFailConfig) -> Failed:
        return Failed(Failure(code=config.code, message=config.message, details=config.details))
