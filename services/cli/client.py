"""The executor as the command line sees it: its public services on one channel."""

from __future__ import annotations

from collections.abc import Iterator, Sequence
from contextlib import contextmanager
from typing import Any

import grpc

from flow_engine.v1.access_pb2_grpc import AccessServiceStub
from flow_engine.v1.execution_pb2_grpc import ExecutionServiceStub
from flow_engine.v1.operations_pb2_grpc import OperationsServiceStub
from flow_engine.v1.secret_pb2_grpc import SecretServiceStub
from flow_engine.v1.trigger_pb2_grpc import TriggerServiceStub
from flow_engine.v1.workflow_pb2_grpc import WorkflowServiceStub
from services.cli.settings import ClientSettings

CALL_SECONDS = 30.0  # for calls that answer at once
MESSAGE_BYTES = 8 << 20

CHANNEL_OPTIONS: Sequence[tuple[str, Any]] = (
    ("grpc.max_receive_message_length", MESSAGE_BYTES),
    ("grpc.max_send_message_length", MESSAGE_BYTES),
    ("grpc.keepalive_time_ms", 20_000),
    ("grpc.keepalive_timeout_ms", 5_000),
    ("grpc.http2.ping_timeout_ms", 5_000),  # without it a frozen executor is never noticed
    ("grpc.initial_reconnect_backoff_ms", 200),
    ("grpc.max_reconnect_backoff_ms", 2_000),
)


class Executor:
    """Stubs of the public services. Calls raise grpc.RpcError."""

    def __init__(self, channel: grpc.Channel, settings: ClientSettings) -> None:
        self.address = settings.grpc_address
        self.executions = ExecutionServiceStub(channel)
        self.workflows = WorkflowServiceStub(channel)
        self.access = AccessServiceStub(channel)
        self.operations = OperationsServiceStub(channel)
        self.secrets = SecretServiceStub(channel)
        self.triggers = TriggerServiceStub(channel)


@contextmanager
def connected(settings: ClientSettings) -> Iterator[Executor]:
    """An executor to call; nothing is sent before the first call."""
    with settings.dial.channel(CHANNEL_OPTIONS) as channel:
        if settings.dial.token:
            channel = grpc.intercept_channel(channel, TokenInterceptor(settings.dial.token))
        yield Executor(channel, settings)


class TokenInterceptor(grpc.UnaryUnaryClientInterceptor, grpc.UnaryStreamClientInterceptor):
    """Adds FLOW_TOKEN to every call."""

    def __init__(self, token: str) -> None:
        self._metadata = ("authorization", f"Bearer {token}")

    def intercept_unary_unary(self, continuation: Any, details: Any, request: Any) -> Any:
        return continuation(self._with_token(details), request)

    def intercept_unary_stream(self, continuation: Any, details: Any, request: Any) -> Any:
        return continuation(self._with_token(details), request)

    def _with_token(self, details: Any) -> grpc.ClientCallDetails:
        changed = grpc.ClientCallDetails()
        for name in ("method", "timeout", "credentials", "wait_for_ready", "compression"):
            setattr(changed, name, getattr(details, name, None))
        changed.metadata = (*(details.metadata or ()), self._metadata)
        return changed
