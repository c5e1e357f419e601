"""Connections to Redis for nodes: where they lead, and what their failures are called."""

from __future__ import annotations

import asyncio
import re
from collections.abc import Awaitable, Callable, Mapping
from typing import TYPE_CHECKING, Annotated, Any, Final, TypeVar
from urllib.parse import unquote, urlsplit

from pydantic import AfterValidator

from flow_engine.egress.guard import EGRESS_ERRORS
from flow_engine.nodes.connections import Secret
from flow_engine.nodes.contract import NodeError, NodeServices
from flow_engine.payload import JsonValue, encode

if TYPE_CHECKING:
    # Imported where they are used: most processes never run such a node.
    from redis.asyncio import Connection, Redis

T = TypeVar("T")

REDIS_ERRORS: Final[Mapping[str, str]] = {
    "REDIS_CONNECT": "No connection to the server. Retryable.",
    "REDIS_AUTH": "The server does not accept user name and password, or the user may not do this.",
    "REDIS_TIMEOUT": "The server did not answer in time. Retryable.",
    "REDIS_DISCONNECTED": "The connection broke off, or what came was no Redis. Retryable.",
    "REDIS_ERROR": "The server refuses.",
    **EGRESS_ERRORS,
}


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


RedisUrl = Annotated[Secret, AfterValidator(_reachable)]


async def ask_redis(
    services: NodeServices, url: str, timeout_ms: int, command: Callable[[Redis], Awaitable[T]]
) -> T:
    """The answer to one command, over a connection of its own. Raises NodeError with one of REDIS_ERRORS."""
    try:
        async with asyncio.timeout(timeout_ms / 1000):
            return await _asked(services, url, command)
    except TimeoutError as error:
        message = f"the server did not answer within {timeout_ms} ms"
        raise NodeError("REDIS_TIMEOUT", message, retryable=True) from error


def message_bytes(message: JsonValue) -> bytes:
    """A string as it is, anything else as JSON."""
    return message.encode() if isinstance(message, str) else encode(message)


async def _asked(services: NodeServices, text: str, command: Callable[[Redis], Awaitable[T]]) -> T:
    from redis.asyncio import ConnectionPool, Redis
    from redis.asyncio.retry import Retry
    from redis.backoff import NoBackoff
    from redis.maint_notifications import MaintNotificationsConfig

    url = urlsplit(text)
    host, port = url.hostname or "", url.port or 6379
    try:
        address = await services.address_of(host, port)
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
        return await _answered(client, host, command)
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


async def _answered(client: Redis, host: str, command: Callable[[Redis], Awaitable[T]]) -> T:
    from redis import exceptions

    try:
        await client.initialize()
    except (exceptions.AuthenticationError, exceptions.NoPermissionError) as error:
        raise NodeError("REDIS_AUTH", "the server does not accept user name and password") from error
    except (exceptions.RedisError, OSError) as error:
        raise NodeError("REDIS_CONNECT", f"cannot connect to {host}", retryable=True) from error
    try:
        return await command(client)
    except (exceptions.AuthenticationError, exceptions.NoPermissionError) as error:
        raise NodeError("REDIS_AUTH", "the server does not let this user do that") from error
    except exceptions.ResponseError as error:
        if str(error).startswith("NOAUTH"):
            raise NodeError("REDIS_AUTH", "the server wants a password") from error
        raise NodeError("REDIS_ERROR", f"the server refuses: {str(error)[:500]}") from error
    except (exceptions.RedisError, OSError) as error:
        raise NodeError("REDIS_DISCONNECTED", "the connection broke off", retryable=True) from error
