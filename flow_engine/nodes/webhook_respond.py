from __future__ import annotations

import re
from typing import Any, ClassVar

from pydantic import Field, field_validator

from flow_engine.nodes.contract import Completed, NodeConfig, NodeContext, NodeType

HEADER_NAME = re.compile(r"[A-Za-z0-9!#$%&'*+.^_`|~-]{1,128}")
HEADER_VALUE = re.compile(r"[\t\x20-\x7e]{0,4096}")
"""RFC 9110 without what ends a line, and without what servers read in different ways."""
RESERVED = frozenset(
    "connection content-length content-security-policy date keep-alive proxy-authenticate proxy-connection "
    "server set-cookie strict-transport-security te trailer transfer-encoding upgrade "
    "x-content-type-options".split()
)
"""They belong to the connection, or to the site that the gateway is."""


class WebhookRespondConfig(NodeConfig):
    status: int = Field(200, ge=200, le=599, description="HTTP status.")
    headers: dict[str, str] = Field(default_factory=dict, max_length=32, description="HTTP headers.")
    body: Any = Field(None, description="Text is sent as it is, anything else as JSON; null is no body.")

    @field_validator("headers")
    @classmethod
    def _sendable(cls, headers: dict[str, str]) -> dict[str, str]:
        for name, value in headers.items():
            if reason := unfit_header(name, value):
                raise ValueError(reason)
        return headers


def unfit_header(name: str, value: str) -> str:
    """Why it cannot be a header of an answer; empty when it can."""
    if not HEADER_NAME.fullmatch(name):
        return f"{name[:64]!r} is no name of a header"
    if name.lower() in RESERVED:
        return f"the header {name} is not a workflow's to set"
    if not HEADER_VALUE.fullmatch(value):
        return f"the value of the header {name} must be visible ASCII, up to 4,096 characters"
    return ""


class WebhookRespond(NodeType[WebhookRespondConfig]):
    """Answers the caller of the webhook that started the execution, while the execution goes on.

    Of several the first one answers. Where nobody waits any more, or nobody ever did, nothing happens. The
    output is the answer.
    """

    type = "webhook.respond"
    title = "Answer the webhook's caller"
    config_model = WebhookRespondConfig
    example: ClassVar[dict[str, Any]] = {
        "status": 201,
        "headers": {"Content-Type": "application/json"},
        "body": {"accepted": "${ input.body.id }"},
    }
    inline = True

    async def run(self, context: NodeContext, config: WebhookRespondConfig) -> Completed:
        return Completed({"status": config.status, "headers": config.headers, "body": config.body})
