"""The whole stack: embedded Redis where none is given, executor, workers, gateway."""

from __future__ import annotations

import asyncio
import contextlib
import errno
import os
import socket
import time
from collections.abc import Callable, Coroutine, Mapping, Sequence
from dataclasses import dataclass
from functools import partial
from pathlib import Path
from typing import Any

from flow_engine.environment import loopback
from services.cli.embedded import EmbeddedServerError, EmbeddedValkey
from services.cli.errors import BadConfiguration
from services.cli.settings import Address, StackSettings
from services.cli.stack import health, logs
from services.cli.stack.children import (
    BACKOFF_SECONDS,
    MOST_QUICK_DEATHS,
    QUICK_SECONDS,
    Service,
    ServiceFailed,
    how_it_ended,
    service_command,
)

READY_SECONDS = 60.0
MORE_GRACE_SECONDS = 10.0  # beyond what services give themselves


@dataclass(frozen=True, slots=True)
class Addresses:
    """Where the stack answers."""

    http: str  # http://host:port
    grpc: str  # host:port


class Stack:
    """Starts in order of need, stops in reverse.

    say: gets one line for whatever people should know.
    lock: descriptor of the held data folder; children keep it, so that none outlives it unnoticed.
    """

    def __init__(self, settings: StackSettings, lock: int, say: Callable[[str], None]) -> None:
        self._settings = settings
        self._say = say
        self._lock = lock
        self._grpc = settings.grpc_address
        self._http = settings.http_address
        self._redis_url = settings.redis_url
        self._valkey = None if settings.redis_url else EmbeddedValkey(settings.data_dir)
        self._executor = self._service("executor", "services.executor")
        self._workers = [self._service(f"worker-{n + 1}", "services.worker") for n in range(settings.workers)]
        self._gateway = self._service("gateway", "services.gateway")
        self._tasks: list[asyncio.Task[None]] = []

    @property
    def services(self) -> Sequence[Service]:
        return (self._executor, *self._workers, self._gateway)

    @property
    def addresses(self) -> Addresses:
        return Addresses(f"http://{self._http.connectable}", str(self._grpc.connectable))

    @property
    def pids(self) -> dict[str, int]:
        """Process ids by name, of what runs right now."""
        pids = {service.name: service.pid for service in self.services}
        if self._valkey:
            pids = {"valkey": self._valkey.pid, **pids}
        return {name: pid for name, pid in pids.items() if pid}

    async def start(self) -> None:
        """Until every part answers its health check. Raises CommandError."""
        for setting, address in (
            ("--grpc (FLOW_GRPC_ADDRESS)", self._grpc),
            ("--http (FLOW_HTTP_ADDRESS)", self._http),
        ):
            refuse_taken(address, setting)
        # The executor tells callback URLs, so it must know the gateway's port before the gateway runs.
        self._http = with_port(self._http)
        if self._valkey:
            await self._start_valkey(self._valkey)
        self._keep(self._executor)
        await self._reach(self._executor.ready.wait(), self._executor)
        self._grpc = Address.parse(self._executor.address or str(self._grpc), "the executor's address")
        await self._reach(health.until(lambda: health.executor_serves(self.addresses.grpc)), self._executor)
        for service in (*self._workers, self._gateway):
            self._keep(service)
        for service in (*self._workers, self._gateway):
            await self._reach(service.ready.wait(), service)
        said = self._gateway.address.removeprefix("http://").rstrip("/")
        self._http = Address.parse(said or str(self._http), "the gateway's address")
        await self._reach(health.until(lambda: health.gateway_serves(self.addresses.http)), self._gateway)

    async def failure(self) -> None:
        """Wait for a part that cannot be kept running, and raise its ServiceFailed."""
        done, _ = await asyncio.wait(self._tasks, return_when=asyncio.FIRST_EXCEPTION)
        for task in done:
            task.result()

    async def stop(self) -> None:
        """Gateway, workers, executor, Redis; each gets the grace period."""
        grace_seconds = self._settings.grace_seconds + MORE_GRACE_SECONDS
        await self._gateway.stop(grace_seconds)
        await asyncio.gather(*(worker.stop(grace_seconds) for worker in self._workers))
        await self._executor.stop(grace_seconds)
        for task in self._tasks:
            task.cancel()
        await asyncio.gather(*self._tasks, return_exceptions=True)
        if self._valkey:
            await self._valkey.stop()

    def kill(self) -> None:
        for service in self.services:
            service.kill()

    async def follow_logs(self, show: Callable[[str, str], None]) -> None:
        """Give every line that a service logs from now on, with the service's name; until cancelled."""
        async with asyncio.TaskGroup() as group:
            for service in self.services:
                group.create_task(logs.follow(self._log_of(service.name), partial(show, service.name)))

    def _service(self, name: str, module: str) -> Service:
        return Service(
            name,
            service_command(module),
            lambda: self._environment(name),
            self._log_of(name),
            self._say,
            [self._lock],
        )

    def _log_of(self, name: str) -> Path:
        return self._settings.data_dir / "logs" / f"{name}.log"

    def _environment(self, name: str) -> Mapping[str, str]:
        """What the service is told: ports that were free once stay the same after a restart."""
        grpc = self._grpc if name == "executor" else self._grpc.connectable
        return {
            **os.environ,
            **({"FLOW_INSECURE": "1"} if self._settings.insecure else {}),
            "FLOW_DATA_DIR": str(self._settings.data_dir),
            "FLOW_GRPC_ADDRESS": str(grpc),
            "FLOW_HTTP_ADDRESS": str(self._http),
            "REDIS_URL": self._redis_url,
            "FLOW_MIGRATE": "1",
            "FLOW_EGRESS_ALLOW": f"{os.environ.get('FLOW_EGRESS_ALLOW', '')} {self._own_door}",
        }

    @property
    def _own_door(self) -> str:
        """The one address of this machine that workflows may call unasked: the gateway's, which the
        examples call, and which whoever started the workflow can reach as well."""
        http = self._http.connectable
        return f"{http} localhost:{http.port}" if loopback(http.host) else str(http)

    def _keep(self, service: Service) -> None:
        self._tasks.append(asyncio.create_task(service.keep_running(), name=service.name))

    async def _reach(self, goal: Coroutine[Any, Any, object], service: Service) -> None:
        """Raises ServiceFailed when a part fails meanwhile, or `service` takes too long."""
        reached, failed = asyncio.create_task(goal), asyncio.create_task(self.failure())
        try:
            await asyncio.wait({reached, failed}, timeout=READY_SECONDS, return_when=asyncio.FIRST_COMPLETED)
            if failed.done():
                failed.result()
            if not reached.done():
                log = self._log_of(service.name)
                what = f"{service.name} did not answer within {READY_SECONDS:g} s; the end of {log}:"
                raise ServiceFailed(what, logs.tail(log))
        finally:
            for task in (reached, failed):
                task.cancel()
            await asyncio.gather(reached, failed, return_exceptions=True)

    async def _start_valkey(self, valkey: EmbeddedValkey) -> None:
        try:
            self._redis_url = await valkey.start()
        except EmbeddedServerError as error:
            raise BadConfiguration(str(error)) from error
        self._tasks.append(asyncio.create_task(self._keep_valkey(valkey), name="valkey"))

    async def _keep_valkey(self, valkey: EmbeddedValkey) -> None:
        """Start it again when it dies. It keeps its address unless somebody took that meanwhile."""
        quick_deaths = 0
        while quick_deaths < MOST_QUICK_DEATHS:
            started_at = time.monotonic()
            code = await valkey.wait()
            quick_deaths = quick_deaths + 1 if time.monotonic() - started_at < QUICK_SECONDS else 1
            self._say(f"valkey ended with {how_it_ended(code)}; it is started again")
            await asyncio.sleep(BACKOFF_SECONDS[min(quick_deaths, len(BACKOFF_SECONDS)) - 1])
            try:
                url = await valkey.start()
            except EmbeddedServerError as error:
                raise ServiceFailed(str(error)) from error
            if url != self._redis_url:
                self._redis_url = url
                for service in (self._executor, *self._workers):
                    service.restart()
        raise ServiceFailed(f"valkey keeps dying; the end of {valkey.log}:", logs.tail(valkey.log))


def with_port(address: Address) -> Address:
    """A free port instead of 0."""
    if address.port:
        return address
    with socket.socket(socket.AF_INET6 if ":" in address.host else socket.AF_INET) as probe:
        probe.bind((address.host, 0))
        return Address(address.host, probe.getsockname()[1])


def refuse_taken(address: Address, setting: str) -> None:
    """Raises BadConfiguration when somebody listens there, or nobody may."""
    family = socket.AF_INET6 if ":" in address.host else socket.AF_INET
    with contextlib.suppress(socket.gaierror), socket.socket(family) as probe:
        probe.setsockopt(socket.SOL_SOCKET, socket.SO_REUSEADDR, 1)
        try:
            probe.bind((address.host, address.port))
        except OSError as error:
            if isinstance(error, socket.gaierror):
                raise
            if error.errno == errno.EADDRINUSE:
                what = f"{address} is in use; choose another port with {setting}, 0 picks a free one"
            else:
                what = f"cannot listen on {address}: {error.strerror}; choose another address with {setting}"
            raise BadConfiguration(what) from error
