"""The gateway's side of gRPC: one channel for calls, as many as needed for streams.

Streams have channels of their own, so that thousands of watchers never keep a call waiting for a stream id.
"""

from __future__ import annotations

import asyncio
from collections.abc import AsyncIterator, Callable
from contextlib import asynccontextmanager
from dataclasses import dataclass, replace
from typing import TYPE_CHECKING, Any, Protocol, TypeVar

import grpc
from grpc_health.v1 import health_pb2

from flow_engine import tracing
from flow_engine.clock import Clock
from flow_engine.errors import Problem
from flow_engine.v1 import access_pb2
from flow_engine.v1 import execution_pb2 as pb
from flow_engine.v1.access_pb2_grpc import AccessServiceStub
from flow_engine.v1.execution_pb2_grpc import ExecutionServiceStub
from flow_engine.v1.operations_pb2_grpc import OperationsServiceStub
from flow_engine.v1.secret_pb2_grpc import SecretServiceStub
from flow_engine.v1.task_pb2_grpc import TaskServiceStub
from flow_engine.v1.trigger_pb2_grpc import TriggerServiceStub
from flow_engine.v1.workflow_pb2_grpc import WorkflowServiceStub
from services.gateway.credentials import current_sender
from services.gateway.errors import OWN_WORDS, Refused, refusal_of
from services.gateway.settings import Settings

if TYPE_CHECKING:
    # The stubs as grpc.aio makes them exist for type checkers only.
    from flow_engine.v1.access_pb2_grpc import AccessServiceAsyncStub
    from flow_engine.v1.execution_pb2_grpc import ExecutionServiceAsyncStub
    from flow_engine.v1.operations_pb2_grpc import OperationsServiceAsyncStub
    from flow_engine.v1.secret_pb2_grpc import SecretServiceAsyncStub
    from flow_engine.v1.task_pb2_grpc import TaskServiceAsyncStub
    from flow_engine.v1.trigger_pb2_grpc import TriggerServiceAsyncStub
    from flow_engine.v1.workflow_pb2_grpc import WorkflowServiceAsyncStub

CALL_SECONDS = 30.0
"""How long any call but a start may take."""

CHANNEL_OPTIONS = [
    ("grpc.max_receive_message_length", 16 << 20),
    ("grpc.max_send_message_length", 16 << 20),
    # A frozen executor is noticed; keepalive without the ping time-out does not do that.
    ("grpc.keepalive_time_ms", 20_000),
    ("grpc.keepalive_timeout_ms", 5_000),
    ("grpc.http2.ping_timeout_ms", 5_000),
    # An executor that restarts is back within seconds; the default waits up to two minutes.
    ("grpc.initial_reconnect_backoff_ms", 100),
    ("grpc.min_reconnect_backoff_ms", 100),
    ("grpc.max_reconnect_backoff_ms", 1_000),
    # Without this, channels to one address share a connection and its limit of streams.
    ("grpc.use_local_subchannel_pool", 1),
]

Q = TypeVar("Q")
A = TypeVar("A")


def metadata_of(request_id: str) -> tuple[tuple[str, str], ...]:
    """What goes along with a call: which one it is, whose, and the span that it belongs to."""
    return (*current_sender().metadata(request_id), *tracing.headers().items())


class StreamCall(Protocol):
    """What a call with a stream of events offers."""

    async def read(self) -> Any: ...

    def cancel(self) -> bool: ...


@dataclass(slots=True)
class _StreamChannel:
    channel: grpc.aio.Channel
    stub: ExecutionServiceAsyncStub
    streams: int = 0


class EventSource:
    """Events of one stream from the executor. Raises AioRpcError; whoever holds it must `close` it."""

    def __init__(self, call: StreamCall, channel: _StreamChannel) -> None:
        self._call = call
        self._channel = channel
        self._open = True

    async def execution_id(self) -> str:
        """The first message of a start: it comes once the start is committed."""
        message = await self._call.read()
        if message is grpc.aio.EOF or not message.execution_id:
            raise Refused("INTERNAL", OWN_WORDS["INTERNAL"])
        return str(message.execution_id)

    async def read(self) -> list[pb.Event] | None:
        """The next events, none in a heartbeat; None at the end."""
        message = await self.message()
        if message is None:
            return None
        if isinstance(message, pb.StartAndWatchExecutionResponse):
            return [message.event] if message.HasField("event") else []
        return list(message.events)

    async def message(self) -> Any:
        """The next message as it is; None at the end."""
        message = await self._call.read()
        return None if message is grpc.aio.EOF else message

    def close(self) -> None:
        """End the stream at the other side too, which leaving a loop over it would not."""
        if self._open:
            self._open = False
            self._channel.streams -= 1
            self._call.cancel()


class Executor:
    """Asks the executor, and repeats what may be repeated while it does not answer."""

    def __init__(self, settings: Settings, clock: Clock) -> None:
        self._dial = replace(settings.dial, address=settings.grpc_address)
        self._patience_seconds = settings.patience_seconds
        self._per_connection = settings.streams_per_connection
        self._clock = clock
        self.patient = True  # false once the gateway stops: nothing is repeated any more
        self._channel = self._dial.aio_channel(CHANNEL_OPTIONS)
        self._stream_channels: list[_StreamChannel] = []
        self.executions: ExecutionServiceAsyncStub = ExecutionServiceStub(self._channel)
        self.workflows: WorkflowServiceAsyncStub = WorkflowServiceStub(self._channel)
        self.operations: OperationsServiceAsyncStub = OperationsServiceStub(self._channel)
        # Long polls have a channel of their own: however many there are, calls find a stream id.
        self._poll_channel = self._dial.aio_channel(CHANNEL_OPTIONS)
        self.polls: TaskServiceAsyncStub = TaskServiceStub(self._poll_channel)
        self.tasks: TaskServiceAsyncStub = TaskServiceStub(self._channel)
        self.triggers: TriggerServiceAsyncStub = TriggerServiceStub(self._channel)
        self.access: AccessServiceAsyncStub = AccessServiceStub(self._channel)
        self.secrets: SecretServiceAsyncStub = SecretServiceStub(self._channel)
        self._check_health = self._channel.unary_unary(
            "/grpc.health.v1.Health/Check",
            request_serializer=health_pb2.HealthCheckRequest.SerializeToString,
            response_deserializer=health_pb2.HealthCheckResponse.FromString,
        )

    async def ask(
        self,
        call: grpc.aio.UnaryUnaryMultiCallable[Q, A],
        request: Q,
        request_id: str,
        *,
        seconds: float = CALL_SECONDS,
        repeat: bool = True,
    ) -> A:
        """The answer, or Refused. repeat: whether a second arrival of the call would change nothing more."""
        give_up_at = self._clock.monotonic() + (self._patience_seconds if repeat else 0)
        pause = 0.05
        while True:
            try:
                return await call(request, timeout=seconds, metadata=metadata_of(request_id))
            except grpc.aio.AioRpcError as error:
                refusal = refusal_of(error)
                if refusal.reason != "UNAVAILABLE" or not self._may_repeat(give_up_at - pause):
                    raise refusal from None
            await self._clock.sleep(pause)
            pause = min(2 * pause, 0.5)

    async def start_and_watch(
        self, request: pb.StartAndWatchExecutionRequest, request_id: str
    ) -> tuple[str, EventSource]:
        """The id of the execution, then its events from the first on. Its request id makes it repeatable."""
        give_up_at = self._clock.monotonic() + self._patience_seconds
        while True:
            source = self._open(
                lambda stub: stub.StartAndWatchExecution(request, metadata=metadata_of(request_id))
            )
            try:
                return await source.execution_id(), source
            except grpc.aio.AioRpcError as error:
                source.close()
                refusal = refusal_of(error)
                if refusal.reason != "UNAVAILABLE" or not self._may_repeat(give_up_at):
                    raise refusal from None
            except BaseException:
                source.close()
                raise
            await self._clock.sleep(0.2)

    def watch(self, execution_id: str, after_sequence: int) -> EventSource:
        """Events after a sequence as they happen, until the execution ends."""
        request = pb.WatchExecutionRequest(execution_id=execution_id, after_sequence=after_sequence)
        return self._open(lambda stub: stub.WatchExecution(request, metadata=metadata_of("")))

    def watch_all(self, where: pb.ChangeFilter, cursor: str) -> EventSource:
        """Changes of what a filter finds, after a cursor, as they happen."""
        request = pb.WatchExecutionsRequest(filter=where, after_cursor=cursor)
        return self._open(lambda stub: stub.WatchExecutions(request, metadata=metadata_of("")))

    async def who_am_i(self) -> access_pb2.WhoAmIResponse:
        """Whom the executor takes the present sender for. Raises Refused, and does not wait for a restart."""
        return await self.ask(self.access.WhoAmI, access_pb2.WhoAmIRequest(), "", seconds=5.0, repeat=False)

    async def validate(self, workflow_json: str, request_id: str) -> pb.ValidateWorkflowResponse:
        request = pb.ValidateWorkflowRequest(workflow_json=workflow_json)
        return await self.ask(self.executions.ValidateWorkflow, request, request_id)

    @asynccontextmanager
    async def naming_all_problems(self, workflow_json: str, request_id: str) -> AsyncIterator[None]:
        """A refusal of a definition names as many problems as fit into its trailer: get the others too."""
        try:
            yield
        except Refused as refused:
            if not (workflow_json and refused.names_some_problems):
                raise
            answer = await self.validate(workflow_json, request_id)
            raise refused.with_problems(
                [Problem(found.path, found.code, found.message, found.hint) for found in answer.problems]
            ) from None

    async def serving(self) -> bool:
        """Whether the executor answers its health check within a second."""
        try:
            answer = await self._check_health(
                health_pb2.HealthCheckRequest(), timeout=1.0, wait_for_ready=True
            )
        except grpc.aio.AioRpcError:
            return False
        return bool(answer.status == health_pb2.HealthCheckResponse.SERVING)

    async def close(self) -> None:
        channels = [self._channel, self._poll_channel, *(lent.channel for lent in self._stream_channels)]
        await asyncio.gather(*(channel.close() for channel in channels))

    def _may_repeat(self, until: float) -> bool:
        return self.patient and self._clock.monotonic() <= until

    def _open(self, start: Callable[[ExecutionServiceAsyncStub], StreamCall]) -> EventSource:
        """Start a stream on the first connection that has room for one more."""
        lent = next((c for c in self._stream_channels if c.streams < self._per_connection), None)
        if lent is None:
            channel = self._dial.aio_channel(CHANNEL_OPTIONS)
            lent = _StreamChannel(channel, ExecutionServiceStub(channel))
            self._stream_channels.append(lent)
        lent.streams += 1
        return EventSource(start(lent.stub), lent)
