"""HTTP connections that go through the guard, names and certificates as they were asked for."""

from __future__ import annotations

import asyncio
import ssl
from collections.abc import Iterable
from typing import Any

import httpcore
import httpx

from flow_engine.egress.guard import EgressGuard


class GuardedTransport(httpx.AsyncHTTPTransport):
    """A pool whose connections are checked when they are opened; proxies of the environment are not used.

    Each belongs to one scheme, host and port, so that a request over an open one needs no check of its own.
    """

    def __init__(self, guard: EgressGuard, ssl_context: ssl.SSLContext, limits: httpx.Limits) -> None:
        super().__init__(verify=ssl_context, limits=limits, trust_env=False)
        self._pool = httpcore.AsyncConnectionPool(
            ssl_context=ssl_context,
            max_connections=limits.max_connections,
            max_keepalive_connections=limits.max_keepalive_connections,
            keepalive_expiry=limits.keepalive_expiry,
            network_backend=_GuardedBackend(guard),
        )


class _GuardedBackend(httpcore.AsyncNetworkBackend):
    def __init__(self, guard: EgressGuard) -> None:
        self._guard = guard
        self._backend = httpcore.AnyIOBackend()

    async def connect_tcp(
        self,
        host: str,
        port: int,
        timeout: float | None = None,
        local_address: str | None = None,
        socket_options: Iterable[Any] | None = None,
    ) -> httpcore.AsyncNetworkStream:
        """One address after another, each with its share of the time."""
        try:
            async with asyncio.timeout(timeout):
                addresses = await self._guard.addresses(host, port)
                share = None if timeout is None else timeout / len(addresses)
                for address in addresses[:-1]:
                    try:
                        return await self._backend.connect_tcp(
                            address, port, share, local_address, socket_options
                        )
                    except (httpcore.ConnectError, httpcore.ConnectTimeout):
                        continue
                return await self._backend.connect_tcp(
                    addresses[-1], port, None, local_address, socket_options
                )
        except TimeoutError as error:
            raise httpcore.ConnectTimeout("no connection in time") from error
        except OSError as error:
            raise httpcore.ConnectError("the name is unknown") from error

    async def connect_unix_socket(self, *arguments: Any, **named: Any) -> httpcore.AsyncNetworkStream:
        raise httpcore.UnsupportedProtocol("only TCP")

    async def sleep(self, seconds: float) -> None:
        await asyncio.sleep(seconds)
