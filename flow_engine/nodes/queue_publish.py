from __future__ import annotations

from collections.abc import Mapping
from typing import TYPE_CHECKING, Any, ClassVar

from pydantic import Field

from flow_engine.nodes.contract import Completed, Effect, NodeConfig, NodeContext, NodeType
from flow_engine.nodes.outputs import STRING, record
from flow_engine.nodes.redis_connection import REDIS_ERRORS, RedisUrl, ask_redis, message_bytes

if TYPE_CHECKING:
    from redis.asyncio import Redis


class QueuePublishConfig(NodeConfig):
    url: RedisUrl = Field(
        description="The server: `redis://user:password@host:6379/0`, or `rediss://` with TLS."
    )
    queue: str = Field(min_length=1, max_length=1000, description="The stream to append to; made if need be.")
    message: Any = Field(description="Becomes the field `body`: a string as it is, anything else as JSON.")
    attributes: dict[str, str] = Field(
        default_factory=dict, max_length=64, description="Further fields of the entry."
    )
    max_length: int | None = Field(
        default=None, ge=1, description="Keep about so many entries, the newest; absent: all."
    )
    timeout_ms: int = Field(default=5000, ge=1, le=600_000, description="For all of it.")


class QueuePublish(NodeType[QueuePublishConfig]):
    """Appends a message to a durable queue: a Redis stream (`XADD`).

    Consumer groups read it (`XREADGROUP`), each message by one consumer of a group, whenever they come. The
    entry has the fields `body`, those of `attributes`, and `stepKey`, which stays the same when the step is
    tried again: after a connection that broke off the message may stand in the queue twice, and consumers
    know it by that. The output is `{"id": …}`, the entry's id.

    For other brokers there is `http.request` or a `task.external`, whose program publishes.
    """

    type = "queue.publish"
    title = "Publish in a queue"
    config_model = QueuePublishConfig
    example: ClassVar[dict[str, Any]] = {
        "url": "redis://redis.example:6379/0",
        "queue": "orders",
        "message": {"orderId": 7, "status": "paid"},
        "maxLength": 100_000,
    }
    effect = Effect.EXTERNAL
    error_codes = REDIS_ERRORS

    def output_schema(self, config: Mapping[str, Any]) -> Mapping[str, Any]:
        return record(id=STRING)

    def typical_ms(self, config: Mapping[str, Any]) -> float:
        return 20.0

    async def run(self, context: NodeContext, config: QueuePublishConfig) -> Completed:
        entry: dict[Any, Any] = {
            **config.attributes,
            "body": message_bytes(config.message),
            "stepKey": context.step_key,
        }

        async def append(redis: Redis) -> Any:
            return await redis.xadd(config.queue, entry, maxlen=config.max_length, approximate=True)

        id_ = await ask_redis(context.services, config.url, config.timeout_ms, append)
        return Completed({"id": id_.decode() if isinstance(id_, bytes) else str(id_)})
