"""Puts the gateway together and runs it. The one place that names concrete adapters."""

from __future__ import annotations

import asyncio
import contextlib
import logging
import signal
import socket
from collections.abc import Callable, Iterator
from functools import partial
from typing import Any, cast

import structlog
import uvicorn

from flow_engine.clock import Clock, SystemClock
from flow_engine.environment import WrongSettings, joined
from flow_engine.v1 import execution_pb2 as pb
from services.gateway import routes
from services.gateway.access import access_from
from services.gateway.admission import Admission
from services.gateway.call import Services
from services.gateway.console import Console
from services.gateway.door import Door, Refusals
from services.gateway.executor import Executor
from services.gateway.feed import ChangeStream, Feed
from services.gateway.gateway import Gateway
from services.gateway.hub import Hub, Source, key_of
from services.gateway.identity_provider import IdentityProvider
from services.gateway.metrics import Metrics
from services.gateway.openapi import api_document
from services.gateway.operations import Operations
from services.gateway.protection import GuardedHttpProtocol, SocketProtocol
from services.gateway.settings import Settings
from services.gateway.sharing import Shared

log = structlog.get_logger(__name__)

UNACKNOWLEDGED_MS = 60_000
"""After which the system gives up a connection whose peer takes nothing."""


async def serve(
    settings: Settings,
    ready: Callable[[str], None],
    stop: asyncio.Event | None = None,
    clock: Clock | None = None,
) -> None:
    """Run until SIGTERM or SIGINT, or until `stop` is set where the caller handles signals itself.

    ready: called once with the address, http://host:port, when connections are accepted.
    Raises WrongSettings when the address cannot be bound.
    """
    listener = listen(settings.http_host, settings.http_port)
    stop = stop or stop_on_signals()
    executor = Executor(settings, clock or SystemClock())
    hub = Hub(ExecutorHistory(executor), clock or SystemClock(), settings.stream_buffer_events)
    feed = Feed(ExecutorHistory(executor), clock or SystemClock(), settings.stream_buffer_events)
    refusals = Refusals()
    gateway = application(settings, executor, hub, feed, clock or SystemClock(), refusals)
    door = Door(
        listener,
        refusals,
        most=settings.http_connections,
        most_of_address=settings.http_connections_per_address,
    )
    protocol = partial(GuardedHttpProtocol, head_seconds=settings.head_seconds, refusals=refusals)
    server = _Server(config_for(gateway, settings), door, protocol)
    serving = asyncio.create_task(server.serve([listener]))
    stopping = asyncio.create_task(stop.wait())
    try:
        await until_started(server, serving)
        ready(f"http://{joined(settings.http_host, listener.getsockname()[1])}")
        await asyncio.wait({serving, stopping}, return_when=asyncio.FIRST_COMPLETED)
    finally:
        stopping.cancel()
        executor.patient = False
        await asyncio.gather(hub.close(), feed.close())
        server.should_exit = True
        await serving
        await executor.close()
    log.info("gateway.stopped")


def application(
    settings: Settings, executor: Executor, hub: Hub, feed: Feed, clock: Clock, refusals: Refusals
) -> Gateway:
    metrics = Metrics(hub, feed, refusals)
    admission = Admission(executor.who_am_i, clock, required=settings.authentication_required)
    operations = Operations(metrics, api())
    provider = IdentityProvider(settings.sign_in, clock) if settings.sign_in else None
    return Gateway(
        Services(settings, executor, hub, feed, admission, provider),
        access_from(settings),
        metrics,
        (*routes.API, *routes.pages(operations, Console())),
        routes.SOCKETS,
    )


def api() -> dict[str, Any]:
    """The OpenAPI document, its own pages left out."""
    return api_document((*routes.API, *routes.SOCKETS), routes.PATH_PARAMS)


class ExecutorHistory:
    """The executor as the hub sees it. Many who begin to follow one execution ask for the same."""

    def __init__(self, executor: Executor) -> None:
        self._executor = executor
        self._pages: Shared[pb.ListEventsResponse] = Shared()
        self._heads: Shared[pb.GetExecutionResponse] = Shared()

    async def list_events(self, execution_id: str, after_sequence: int, limit: int) -> pb.ListEventsResponse:
        request = pb.ListEventsRequest(execution_id=execution_id, after_sequence=after_sequence, limit=limit)
        return await self._pages.ask(
            (key_of(execution_id), after_sequence, limit),
            lambda: self._executor.ask(self._executor.executions.ListEvents, request, ""),
        )

    async def head(self, execution_id: str) -> pb.Execution:
        request = pb.GetExecutionRequest(execution_id=execution_id, glance=True)
        answer = await self._heads.ask(
            key_of(execution_id),
            lambda: self._executor.ask(self._executor.executions.GetExecution, request, ""),
        )
        return answer.execution

    def watch(self, execution_id: str, after_sequence: int) -> Source:
        return self._executor.watch(execution_id, after_sequence)

    async def list_changes(self, where: pb.ChangeFilter, cursor: str, limit: int) -> pb.ListChangesResponse:
        request = pb.ListChangesRequest(filter=where, after_cursor=cursor, limit=limit)
        return await self._executor.ask(self._executor.executions.ListChanges, request, "")

    def watch_all(self, where: pb.ChangeFilter, cursor: str) -> ChangeStream:
        return self._executor.watch_all(where, cursor)


def listen(host: str, port: int) -> socket.socket:
    """A bound socket. Raises WrongSettings when the address is taken or not of this machine."""
    try:
        info = socket.getaddrinfo(host, port, type=socket.SOCK_STREAM)[0]
        listener = socket.socket(info[0], socket.SOCK_STREAM)
        listener.setsockopt(socket.SOL_SOCKET, socket.SO_REUSEADDR, 1)
        if hasattr(socket, "TCP_USER_TIMEOUT"):
            # Accepted connections inherit it.
            listener.setsockopt(socket.IPPROTO_TCP, socket.TCP_USER_TIMEOUT, UNACKNOWLEDGED_MS)
        listener.bind(info[4])
    except OSError as error:
        raise WrongSettings(
            f"FLOW_HTTP_ADDRESS: cannot listen at {joined(host, port)}: {error.strerror or error}"
        ) from None
    listener.setblocking(False)
    return listener


def stop_on_signals() -> asyncio.Event:
    stop = asyncio.Event()
    loop = asyncio.get_running_loop()
    for number in (signal.SIGTERM, signal.SIGINT):
        loop.add_signal_handler(number, stop.set)
    return stop


def config_for(gateway: Gateway, settings: Settings) -> uvicorn.Config:
    return uvicorn.Config(
        gateway,
        ws=SocketProtocol,
        lifespan="off",
        log_config=None,
        log_level=logging.WARNING,
        access_log=False,
        server_header=False,
        # Proxies' headers decide nothing here.
        proxy_headers=False,
        timeout_keep_alive=75,
        timeout_graceful_shutdown=max(1, round(settings.shutdown_grace_seconds)),
        ws_max_size=64 << 10,  # clients have nothing to say
        ws_ping_interval=settings.heartbeat_seconds or None,
        ws_per_message_deflate=False,
    )


async def until_started(server: uvicorn.Server, serving: asyncio.Task[None]) -> None:
    while not server.started:
        if serving.done():
            await serving
            raise RuntimeError("the HTTP server ended before it began")
        await asyncio.sleep(0.005)


class _Server(uvicorn.Server):
    """Leaves signals to whoever runs it, and connections to its door."""

    def __init__(self, config: uvicorn.Config, door: Door, protocol: Callable[..., asyncio.Protocol]) -> None:
        super().__init__(config)
        self._door = door
        self._protocol = protocol

    async def startup(self, sockets: list[socket.socket] | None = None) -> None:
        given = (self.config, self.server_state, self.lifespan.state)
        self._door.open(partial(self._protocol, *given))
        self.servers = [cast(Any, self._door)]
        self.started = True

    @contextlib.contextmanager
    def capture_signals(self) -> Iterator[None]:
        yield
