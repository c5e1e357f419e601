from __future__ import annotations

import asyncio
import re
from collections.abc import AsyncIterator, Mapping
from contextlib import asynccontextmanager
from typing import TYPE_CHECKING, Annotated, Any, ClassVar
from urllib.parse import unquote, urlsplit

from pydantic import AfterValidator, Field

from flow_engine.egress.guard import EGRESS_ERRORS
from flow_engine.nodes.connections import Secret
from flow_engine.nodes.contract import Completed, Effect, NodeConfig, NodeContext, NodeError, NodeType
from flow_engine.nodes.outputs import INTEGER, record
from flow_engine.payload import JsonValue, encode

if TYPE_CHECKING:
    # Imported where they are used: most processes never run this node.
    from redis.asyncio import Connection, Redis


def _reachable(text: str) -> str:
    try:
        url = urlsplit(text)
        _ = url.port
    except ValueError as error:
        raise ValueError("this is no Redis URL; write redis://user:password@host:6379/0") from error
    if url.scheme not in ("redis", "rediss"):
        raise ValueError("the URL must begin with redis:// or rediss://")
    if not re.fullmatch(r"[A-Za-z0-9._:-]+", url.hostname or "") or url.query:
        raise ValueError("the URL must name a host, and no options")
    if not re.fullmatch(r"/?\d{0,5}", url.path):
        raise ValueError("what stands behind the host must be the number of a database")
    return text


class RedisPublishConfig(NodeConfig):
    url: Annotated[Secret, AfterValidator(_reachable)] = Field(
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
    error_codes: ClassVar[Mapping[str, str]] = {
        "REDIS_CONNECT": "No connection to the server. Retryable.",
        "REDIS_AUTH": "The server does not accept user name and password, or the user may not publish.",
        "REDIS_TIMEOUT": "The server did not answer in time. Retryable.",
        "REDIS_DISCONNECTED": "The connection broke off, or what came was no Redis. Retryable.",
        "REDIS_ERROR": "The server refuses.",
        **EGRESS_ERRORS,
    }

    def output_schema(self, config: Mapping[str, Any]) -> Mapping[str, Any]:
        return record(receivers=INTEGER)

    def typical_ms(self, config: Mapping[str, Any]) -> float:
        return 20.0

    async def run(self, context: NodeContext, config: RedisPublishConfig) -> Completed:
        try:
            async with asyncio.timeout(config.timeout_ms / 1000), _client(context, config) as client:
                return Completed({"receivers": await _published(client, config)})
        except TimeoutError as error:
            message = f"the server did not answer within {config.timeout_ms} ms"
            raise NodeError("REDIS_TIMEOUT", message, retryable=True) from error


@asynccontextmanager
async def _client(context: NodeContext, config: RedisPublishConfig) -> AsyncIterator[Redis]:
    from redis.asyncio import ConnectionPool, Redis
    from redis.asyncio.retry import Retry
    from redis.backoff import NoBackoff
    from redis.maint_notifications import MaintNotificationsConfig

    url = urlsplit(config.url)
    host, port = url.hostname or "", url.port or 6379
    try:
        address = await context.services.address_of(host, port)
    except OSError as error:
        raise NodeError("REDIS_CONNECT", f"cannot connect to {host}", retryable=True) from error
    pool = ConnectionPool(
        connection_class=_connection_to(address, tls=url.scheme == "rediss"),
        host=host,
        port=port,
        db=int(url.path.strip("/") or 0),
        username=unquote(url.username) if url.username else None,
        password=unquote(url.password) if url.password else None,
        retry=Retry(NoBackoff(), 0),
        socket_timeout=None,
        maint_notifications_config=MaintNotificationsConfig(enabled=False),  # a server does not send us on
    )
    client = Redis(connection_pool=pool, single_connection_client=True)
    try:
        yield client
    finally:
        await client.aclose()
        await pool.aclose()


def _connection_to(address: str, *, tls: bool) -> type[Connection]:
    """Connects to the checked address; with TLS the certificate vouches for the name."""
    from redis.asyncio import Connection, SSLConnection

    class Plain(Connection):
        def _connection_arguments(self) -> Mapping[str, Any]:
            return {**super()._connection_arguments(), "host": address}

    class Encrypted(SSLConnection):
        def _connection_arguments(self) -> Mapping[str, Any]:
            return {**super()._connection_arguments(), "host": address, "server_hostname": self.host}

    return Encrypted if tls else Plain


async def _published(client: Redis, config: RedisPublishConfig) -> int:
    from redis import exceptions

    try:
        await client.initialize()
    except (exceptions.AuthenticationError, exceptions.NoPermissionError) as error:
        raise NodeError("REDIS_AUTH", "the server does not accept user name and password") from error
    except (exceptions.RedisError, OSError) as error:
        host = urlsplit(config.url).hostname
        raise NodeError("REDIS_CONNECT", f"cannot connect to {host}", retryable=True) from error
    try:
        return int(await client.publish(config.channel, _text(config.message)))
    except (exceptions.AuthenticationError, exceptions.NoPermissionError) as error:
        raise NodeError("REDIS_AUTH", "the server does not let this user publish here") from error
    except exceptions.ResponseError as error:
        if str(error).startswith("NOAUTH"):
            raise NodeError("REDIS_AUTH", "the server wants a password") from error
        raise NodeError("REDIS_ERROR", f"the server refuses: {str(error)[:500]}") from error
    except (exceptions.RedisError, OSError) as error:
        raise NodeError("REDIS_DISCONNECTED", "the connection broke off", retryable=True) from error


def _text(message: JsonValue) -> bytes:
    return message.encode() if isinstance(message, str) else encode(message)
