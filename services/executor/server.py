"""The gRPC server: its limits, reflection and health."""

from __future__ import annotations

import contextlib
import logging
import socket
from pathlib import Path
from typing import Any

import grpc
from grpc_health.v1 import health_pb2_grpc
from grpc_health.v1.health import aio as health
from grpc_health.v1.health_pb2 import DESCRIPTOR as HEALTH
from grpc_health.v1.health_pb2 import HealthCheckResponse
from grpc_reflection.v1alpha import reflection

from flow_engine.keda import externalscaler_pb2
from flow_engine.keda.externalscaler_pb2_grpc import (
    ExternalScalerServicer,
    add_ExternalScalerServicer_to_server,
)
from flow_engine.looping import Looping
from flow_engine.v1 import (
    access_pb2,
    execution_pb2,
    operations_pb2,
    secret_pb2,
    task_pb2,
    trigger_pb2,
    worker_pb2,
    workflow_pb2,
)
from flow_engine.v1.access_pb2_grpc import AccessServiceServicer, add_AccessServiceServicer_to_server
from flow_engine.v1.execution_pb2_grpc import ExecutionServiceServicer, add_ExecutionServiceServicer_to_server
from flow_engine.v1.operations_pb2_grpc import (
    OperationsServiceServicer,
    add_OperationsServiceServicer_to_server,
)
from flow_engine.v1.secret_pb2_grpc import (
    SecretResolutionServiceServicer,
    SecretServiceServicer,
    add_SecretResolutionServiceServicer_to_server,
    add_SecretServiceServicer_to_server,
)
from flow_engine.v1.task_pb2_grpc import TaskServiceServicer, add_TaskServiceServicer_to_server
from flow_engine.v1.trigger_pb2_grpc import TriggerServiceServicer, add_TriggerServiceServicer_to_server
from flow_engine.v1.worker_pb2_grpc import WorkerServiceServicer, add_WorkerServiceServicer_to_server
from flow_engine.v1.workflow_pb2_grpc import WorkflowServiceServicer, add_WorkflowServiceServicer_to_server
from services.executor.access.interceptor import AccessInterceptor
from services.executor.errors import ErrorInterceptor
from services.executor.persistence.contract import ExecutionPersistence
from services.executor.settings import ServerTls

NAMES = tuple(
    service.full_name
    for file in (
        execution_pb2,
        workflow_pb2,
        worker_pb2,
        operations_pb2,
        secret_pb2,
        access_pb2,
        task_pb2,
        trigger_pb2,
        externalscaler_pb2,
    )
    for service in file.DESCRIPTOR.services_by_name.values()
)

READINESS_SECONDS = 2.0
DEFERRED_SECONDS = 1
NOBODY_LISTENS = "ExecuteBatchError"
"""How gRPC logs, with a trace, that a caller went away before it was answered."""
ROOM_FOR_WORKERS = 1_000
"""Calls that are open beside as many of other callers as may be: claims, reports, leases, health."""


class AddressInUse(Exception):
    """The server cannot listen where it is told to."""


def make_server(
    executions: ExecutionServiceServicer,
    workflows: WorkflowServiceServicer,
    workers: WorkerServiceServicer,
    operations: OperationsServiceServicer,
    secrets: SecretServiceServicer,
    secret_resolution: SecretResolutionServiceServicer,
    access: AccessServiceServicer,
    access_interceptor: AccessInterceptor,
    tasks: TaskServiceServicer,
    triggers: TriggerServiceServicer,
    scaler: ExternalScalerServicer,
    health_servicer: health.HealthServicer,
    *,
    max_message_bytes: int,
    max_concurrent_rpcs: int,
) -> grpc.aio.Server:
    logging.getLogger("grpc._cython.cygrpc").addFilter(not_gone)
    server = grpc.aio.server(
        interceptors=[ErrorInterceptor(), access_interceptor],
        maximum_concurrent_rpcs=max_concurrent_rpcs + ROOM_FOR_WORKERS,
        options=[
            ("grpc.max_receive_message_length", max_message_bytes),
            ("grpc.max_send_message_length", -1),  # pages are bounded; a claim brings whole histories
            ("grpc.so_reuseport", 0),  # two servers must not share a port silently
            ("grpc.keepalive_time_ms", 20_000),
            ("grpc.keepalive_timeout_ms", 5_000),
            ("grpc.http2.ping_timeout_ms", 5_000),  # keepalive alone does not see a frozen peer
            ("grpc.http2.min_ping_interval_without_data_ms", 10_000),
            ("grpc.max_concurrent_streams", 1_000),  # of one connection
            # Below this our interceptor has its bound; between two differing ones gRPC draws lots.
            ("grpc.max_metadata_size", 48 << 10),
            ("grpc.absolute_max_metadata_size", 48 << 10),
            ("grpc.server_handshake_timeout_ms", 10_000),
        ],
    )
    add_ExecutionServiceServicer_to_server(executions, server)
    add_WorkflowServiceServicer_to_server(workflows, server)
    add_WorkerServiceServicer_to_server(workers, server)
    add_OperationsServiceServicer_to_server(operations, server)
    add_SecretServiceServicer_to_server(secrets, server)
    add_SecretResolutionServiceServicer_to_server(secret_resolution, server)
    add_AccessServiceServicer_to_server(access, server)
    add_TaskServiceServicer_to_server(tasks, server)
    add_TriggerServiceServicer_to_server(triggers, server)
    add_ExternalScalerServicer_to_server(scaler, server)
    add_health: Any = health_pb2_grpc.add_HealthServicer_to_server
    add_health(health_servicer, server)
    names = (*NAMES, HEALTH.services_by_name["Health"].full_name, reflection.SERVICE_NAME)
    reflection.enable_server_reflection(names, server)
    return server


def not_gone(record: logging.LogRecord) -> bool:
    """Callers that go away are no errors, and whoever wants to fill a log could go away all the time."""
    return not record.getMessage().startswith(NOBODY_LISTENS)


def listen(server: grpc.aio.Server, address: str, tls: ServerTls | None = None) -> int:
    """The port, chosen by the system where the address names 0. Raises AddressInUse."""
    try:
        port = (
            server.add_secure_port(address, credentials_of(tls)) if tls else server.add_insecure_port(address)
        )
    except RuntimeError as error:
        raise AddressInUse(f"cannot listen on {address}: {error}") from None
    if not port:
        raise AddressInUse(f"cannot listen on {address}")
    defer_silent_connections(port)
    return port


def defer_silent_connections(port: int) -> None:
    """Leave connections to the system until their first byte: clients of HTTP/2 and of TLS speak first.

    So those that are reset at once cost nothing here. gRPC has no option for that, but its socket is ours.
    """
    if not hasattr(socket, "TCP_DEFER_ACCEPT"):
        return
    for entry in Path("/proc/self/fd").iterdir():
        with contextlib.suppress(OSError):
            found = socket.socket(fileno=int(entry.name))
            try:
                listens = found.getsockopt(socket.SOL_SOCKET, socket.SO_ACCEPTCONN)
                if listens and found.family != socket.AF_UNIX and found.getsockname()[1] == port:
                    found.setsockopt(socket.IPPROTO_TCP, socket.TCP_DEFER_ACCEPT, DEFERRED_SECONDS)
            finally:
                found.detach()  # it is not ours to close


def credentials_of(tls: ServerTls) -> grpc.ServerCredentials:
    return grpc.ssl_server_credentials(
        [(tls.key, tls.certificate)],
        root_certificates=tls.client_authority or None,
        require_client_auth=bool(tls.client_authority),
    )


class Readiness(Looping):
    """Health as the database allows: an executor that cannot reach it cannot serve."""

    def __init__(self, persistence: ExecutionPersistence, health_servicer: health.HealthServicer) -> None:
        super().__init__(READINESS_SECONDS)
        self._persistence = persistence
        self._health = health_servicer
        self._serving: bool | None = None

    async def turn(self) -> None:
        try:
            await self._persistence.ping()
        except Exception:
            await self._set(serving=False)
            raise
        await self._set(serving=True)

    async def close(self) -> None:
        """Not serving from now on."""
        await self.stop()
        await self._set(serving=False)

    async def _set(self, *, serving: bool) -> None:
        if serving is not self._serving:
            self._serving = serving
            status = HealthCheckResponse.SERVING if serving else HealthCheckResponse.NOT_SERVING
            for name in ("", *NAMES):
                await self._health.set(name, status)
