"""The worker's side of WorkerService: claims, reports, leases, definitions, values."""

from __future__ import annotations

import asyncio
import time
import uuid
from collections import OrderedDict
from collections.abc import Callable, Collection, Sequence
from dataclasses import replace
from typing import Any

import grpc
import structlog

from flow_engine.dialing import Dial
from flow_engine.errors import SecretUnreadable
from flow_engine.interpreter import snapshots
from flow_engine.secrets import Secret
from flow_engine.v1 import secret_pb2 as secret_pb
from flow_engine.v1 import worker_pb2 as pb
from flow_engine.v1.secret_pb2_grpc import SecretResolutionServiceStub
from flow_engine.v1.worker_pb2_grpc import WorkerServiceStub

log = structlog.get_logger()

CHANNEL_OPTIONS = [
    ("grpc.max_receive_message_length", -1),  # a claim brings whole histories, and is repeated until read
    ("grpc.max_send_message_length", 16 << 20),
    ("grpc.keepalive_time_ms", 20_000),
    ("grpc.keepalive_timeout_ms", 5_000),
    ("grpc.http2.ping_timeout_ms", 5_000),  # keepalive alone does not see a frozen peer
    ("grpc.initial_reconnect_backoff_ms", 100),
    ("grpc.min_reconnect_backoff_ms", 100),
    ("grpc.max_reconnect_backoff_ms", 2_000),
]
CALL_SECONDS = 10.0
BATCH_BYTES = 4 << 20
CACHED_BYTES = 64 << 20
TRANSIENT = {
    grpc.StatusCode.UNAVAILABLE,
    grpc.StatusCode.DEADLINE_EXCEEDED,
    grpc.StatusCode.CANCELLED,
    grpc.StatusCode.UNKNOWN,
    grpc.StatusCode.INTERNAL,
    grpc.StatusCode.RESOURCE_EXHAUSTED,
    grpc.StatusCode.ABORTED,
}


PendingReport = tuple[pb.ExecutionReport, asyncio.Future[pb.ReportReply]]


class ExecutorUnreachable(Exception):
    """The executor did not answer; the same call may succeed later."""


class ExecutorClient:
    """One channel to the executor, shared by all runs of a worker process."""

    def __init__(
        self, address: str, worker_id: str, capabilities: Sequence[str], dial: Dial | None = None
    ) -> None:
        dial = replace(dial or Dial(), address=address)
        self.address = address
        self._metadata = dial.metadata
        self.worker_id = worker_id
        self.capabilities = sorted(capabilities)
        self._channel = dial.aio_channel(CHANNEL_OPTIONS)
        self._stub: Any = WorkerServiceStub(self._channel)
        self._secrets: Any = SecretResolutionServiceStub(self._channel)
        self._reports: list[PendingReport] = []
        self._sender: asyncio.Task[None] | None = None
        self._definitions: OrderedDict[str, bytes] = OrderedDict()
        self._payloads: OrderedDict[str, bytes] = OrderedDict()

    async def close(self) -> None:
        await self._channel.close()

    async def claim_next(self, claim_id: str, free_slots: int) -> Sequence[pb.ClaimedExecution]:
        """Repeating a claim id repeats the answer. Raises ExecutorUnreachable."""
        request = pb.ClaimNextRequest(
            worker_id=self.worker_id,
            claim_id=claim_id,
            free_slots=free_slots,
            capabilities=self.capabilities,
            snapshot_format=snapshots.FORMAT,
        )
        try:
            response = await self._call(self._stub.ClaimNext, request)
        except grpc.aio.AioRpcError as error:  # whatever it is: there is nothing but asking again
            log.error("claim.refused", code=error.code().name, error=error.details())
            raise ExecutorUnreachable(error.details() or error.code().name) from error
        executions: Sequence[pb.ClaimedExecution] = response.executions
        return executions

    async def report(self, report: pb.ExecutionReport) -> pb.ReportReply:
        """Goes out with whatever else is reported at the time. Raises ExecutorUnreachable."""
        answered: asyncio.Future[pb.ReportReply] = asyncio.get_running_loop().create_future()
        self._reports.append((report, answered))
        if self._sender is None:
            self._sender = asyncio.create_task(self._send_reports())
        return await answered

    async def renew(self, leases: Sequence[pb.Lease]) -> set[str]:
        """Ids of the executions that are no longer ours. Raises ExecutorUnreachable."""
        response = await self._call(
            self._stub.RenewLeases, pb.RenewLeasesRequest(worker_id=self.worker_id, leases=leases)
        )
        return set(response.lost_execution_ids)

    async def release(self, leases: Sequence[pb.Lease], *, process_died: bool = False) -> None:
        """process_died: the process that ran them with nothing else. Raises ExecutorUnreachable."""
        request = pb.ReleaseRequest(worker_id=self.worker_id, leases=leases, process_died=process_died)
        await self._call(self._stub.Release, request)

    async def secrets(self, execution_id: str, epoch: int, names: Collection[str]) -> dict[str, Secret]:
        """Those that exist. Raises ExecutorUnreachable, SecretUnreadable."""
        request = secret_pb.ResolveSecretsRequest(
            worker_id=self.worker_id, execution_id=execution_id, epoch=epoch, names=sorted(names)
        )
        try:
            response = await self._call(self._secrets.ResolveSecrets, request)
        except grpc.aio.AioRpcError as error:
            if error.code() == grpc.StatusCode.FAILED_PRECONDITION:
                raise SecretUnreadable(", ".join(sorted(names))) from error
            raise
        return {found.name: Secret(found.value, tuple(found.hosts)) for found in response.secrets}

    async def definition(self, definition_hash: str, execution_id: str) -> bytes:
        if definition_hash not in self._definitions:
            request = pb.GetDefinitionRequest(
                definition_hash=definition_hash, execution_id=execution_id, worker_id=self.worker_id
            )
            response = await self._call(self._stub.GetDefinition, request)
            _remember(self._definitions, definition_hash, response.definition_json)
        return self._definitions[definition_hash]

    async def payload(self, payload_hash: str, execution_id: str) -> bytes:
        """A value's JSON text, fetched in pages of what one message holds."""
        if payload_hash not in self._payloads:
            text = b""
            while True:
                request = pb.GetPayloadRequest(
                    hash=payload_hash,
                    offset=len(text),
                    execution_id=execution_id,
                    worker_id=self.worker_id,
                )
                page = await self._call(self._stub.GetPayload, request)
                text += page.value_json
                if len(text) >= page.total_bytes or not page.value_json:
                    break
            _remember(self._payloads, payload_hash, text)
        return self._payloads[payload_hash]

    async def hold_session(
        self, describe: Callable[[], pb.SessionRequest], nudged: Callable[[pb.Nudge], None]
    ) -> None:
        """Keep a session with the executor open until cancelled, whatever happens to it."""
        pause = 0.1
        while True:
            call = self._stub.Session(metadata=self._metadata)
            saying = asyncio.create_task(self._say(call, describe))
            try:
                async for message in call:
                    pause = 0.1
                    for nudge in message.nudges:
                        nudged(nudge)
            except grpc.aio.AioRpcError as error:
                log.debug("session.lost", code=error.code().name)
            finally:
                saying.cancel()
                call.cancel()
            await asyncio.sleep(pause)
            pause = min(pause * 2, 2.0)

    @staticmethod
    async def _say(call: Any, describe: Callable[[], pb.SessionRequest]) -> None:
        try:
            while True:
                await call.write(describe())
                await asyncio.sleep(2.0)
        except (grpc.aio.AioRpcError, asyncio.InvalidStateError):
            return  # the reading side sees it too

    async def _send_reports(self) -> None:
        """One batch in flight; the next is what arrived meanwhile."""
        try:
            while self._reports:
                batch: list[PendingReport] = []
                size = 0
                while self._reports and (not batch or size + self._reports[0][0].ByteSize() <= BATCH_BYTES):
                    size += self._reports[0][0].ByteSize()
                    batch.append(self._reports.pop(0))
                await self._send(batch)
        finally:
            self._sender = None

    async def _send(self, batch: list[PendingReport]) -> None:
        request = pb.ReportRequest(worker_id=self.worker_id, reports=[report for report, _ in batch])
        try:
            response = await self._call(self._stub.Report, request)
        except grpc.aio.AioRpcError as error:
            if len(batch) > 1:  # one of them is at fault: each learns for itself
                for single in batch:
                    await self._send([single])
            else:
                _tell(batch, error)
            return
        except Exception as error:
            _tell(batch, error)
            return
        for (_, answered), reply in zip(batch, response.replies, strict=True):
            if not answered.done():
                answered.set_result(reply)

    async def _call(self, method: Any, request: Any) -> Any:
        try:
            return await method(request, timeout=CALL_SECONDS, metadata=self._metadata)
        except grpc.aio.AioRpcError as error:
            if error.code() in TRANSIENT:
                raise ExecutorUnreachable(error.details() or error.code().name) from error
            raise


def _tell(batch: Sequence[PendingReport], error: Exception) -> None:
    for _, answered in batch:
        if not answered.done():
            answered.set_exception(error)


def new_claim_id() -> str:
    return uuid.uuid4().hex


def lease_clock() -> float:
    """Leases are measured on the monotonic clock: the wall clock may jump."""
    return time.monotonic()


def _remember(cache: OrderedDict[str, bytes], key: str, text: bytes) -> None:
    cache[key] = text
    while sum(map(len, cache.values())) > CACHED_BYTES and len(cache) > 1:
        cache.popitem(last=False)
