from __future__ import annotations

from collections.abc import Mapping
from typing import TYPE_CHECKING, Any, ClassVar

from pydantic import Field

from flow_engine.nodes.contract import Completed, Effect, NodeConfig, NodeContext, NodeType
from flow_engine.nodes.outputs import INTEGER, record
from flow_engine.nodes.redis_connection import REDIS_ERRORS, RedisUrl, ask_redis, message_bytes

if TYPE_CHECKING:
    from redis.asyncio import Redis


class RedisPublishConfig(NodeConfig):
    url: RedisUrl = Field(
        description="The server: `redis://user:password@host:6379/0`, or `rediss://` with TLS."
    )
    channel: str = Field(min_length=1, max_length=1000, description="The channel to publish in.")
    message: Any = Field(description="A string as it is, anything else as JSON.")
    timeout_ms: int = Field(default=5000, ge=1, le=600_000, description="For all of it.")


class RedisPublish(NodeType[RedisPublishConfig]):
    """Publishes a message in a Redis channel.

    The output is `{"receivers": …}`: how many clients of that server got it. Nobody keeps it for those who
    come later.
    """

    type = "redis.publish"
    title = "Publish in Redis"
    config_model = RedisPublishConfig
    example: ClassVar[dict[str, Any]] = {
        "url": "redis://redis.example:6379/0",
        "channel": "orders",
        "message": {"orderId": 7, "status": "paid"},
    }
    effect = Effect.EXTERNAL
    error_codes = REDIS_ERRORS

    def output_schema(self, config: Mapping[str, Any]) -> Mapping[str, Any]:
        return record(receivers=INTEGER)

    def typical_ms(self, config: Mapping[str, Any]) -> float:
        return 20.0

    async def run(self, context: NodeContext, config: RedisPublishConfig) -> Completed:
        async def publish(redis: Redis) -> int:
            return int(await redis.publish(config.channel, message_bytes(config.message)))

        receivers = await ask_redis(context.services, config.url, config.timeout_ms, publish)
        return Completed({"receivers": receivers})
