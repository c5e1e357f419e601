"""An executor with a worker, in this process, on real servers."""

from __future__ import annotations

import asyncio
import json
from collections.abc import AsyncIterator, Callable
from pathlib import Path
from typing import Any

import grpc
import pytest

from flow_engine.v1 import execution_pb2 as pb
from flow_engine.v1.execution_pb2_grpc import ExecutionServiceStub
from flow_engine.v1.worker_pb2_grpc import WorkerServiceStub
from flow_engine.v1.workflow_pb2_grpc import WorkflowServiceStub
from services.executor.bootstrap import Executor
from services.executor.settings import Settings
from services.worker.service import Worker
from services.worker.settings import Settings as WorkerSettings
from tests.infra.egress import LOOPBACK_RULES

MakeSettings = Callable[..., Settings]


@pytest.fixture
def make_settings(migrated_url: str, redis_url: str, tmp_path: Path) -> MakeSettings:
    def make(**changes: Any) -> Settings:
        defaults: dict[str, Any] = {
            "data_dir": tmp_path,
            "database_url": migrated_url,
            "redis_url": redis_url,
            "grpc_port": 0,
            "migrate": True,
            "sweep_interval_seconds": 0.2,
            "nudge_interval_seconds": 0.05,
            "lease_seconds": 3.0,
            "immediate_lease_seconds": 3.0,
            "shutdown_grace_seconds": 2.0,
            "egress": LOOPBACK_RULES,
        }
        return Settings(**{**defaults, **changes})

    return make


@pytest.fixture
async def executor(make_settings: MakeSettings) -> AsyncIterator[Executor]:
    running = Executor(make_settings())
    await running.start()
    yield running
    await running.stop()


@pytest.fixture
async def worker(executor: Executor, redis_url: str) -> AsyncIterator[Worker]:
    running = Worker(
        WorkerSettings(executor_address=executor.address, redis_url=redis_url, egress=LOOPBACK_RULES)
    )
    await running.start()
    yield running
    await running.stop()


class Client:
    """The public API as a program sees it."""

    def __init__(self, address: str) -> None:
        self.channel = grpc.aio.insecure_channel(address)
        self.executions: Any = ExecutionServiceStub(self.channel)
        self.workflows: Any = WorkflowServiceStub(self.channel)
        self.workers: Any = WorkerServiceStub(self.channel)

    async def start(
        self, workflow: dict[str, Any], value: Any = None, *, wait: float | None = None, **spec: Any
    ) -> pb.StartExecutionResponse:
        request = pb.StartExecutionRequest(spec=start_spec(workflow, value, **spec))
        if wait is not None:
            request.wait.FromMilliseconds(int(wait * 1000))
        response: pb.StartExecutionResponse = await self.executions.StartExecution(request, timeout=20)
        return response

    async def control(self, execution_id: str, what: str) -> None:
        """pause, resume or cancel."""
        name = f"{what.title()}Execution"
        request = getattr(pb, f"{name}Request")(execution_id=execution_id)
        await getattr(self.executions, name)(request)

    async def get(self, execution_id: str) -> pb.Execution:
        response = await self.executions.GetExecution(pb.GetExecutionRequest(execution_id=execution_id))
        execution: pb.Execution = response.execution
        return execution

    async def frames(self, execution_id: str, after: int = 0) -> list[dict[str, Any]]:
        """Every event until the end, as the stream gives it."""
        request = pb.WatchExecutionRequest(execution_id=execution_id, after_sequence=after)
        found = []
        async for response in self.executions.WatchExecution(request, timeout=20):
            found += [json.loads(event.frame_json) for event in response.events]
        return found

    async def ended(self, execution_id: str) -> pb.Execution:
        """The execution, once it has ended."""
        await self.frames(execution_id)
        return await self.get(execution_id)

    async def found(self, execution_id: str) -> pb.Execution:
        """A child, once it is there: its parent's event is committed a moment before it is."""
        async with asyncio.timeout(20):
            while True:
                try:
                    return await self.get(execution_id)
                except grpc.aio.AioRpcError as error:
                    if error.code() is not grpc.StatusCode.NOT_FOUND:
                        raise
                await asyncio.sleep(0.01)

    async def until(self, execution_id: str, kind: str, after: int = 0) -> dict[str, Any]:
        """The first event of a type, as soon as it is there."""
        call = self.executions.WatchExecution(
            pb.WatchExecutionRequest(execution_id=execution_id, after_sequence=after), timeout=20
        )
        try:
            async for response in call:
                for event in response.events:
                    if event.type == kind:
                        frame: dict[str, Any] = json.loads(event.frame_json)
                        return frame
        finally:
            call.cancel()
        raise AssertionError(f"{execution_id} ended without {kind}")


def start_spec(workflow: dict[str, Any], value: Any = None, **spec: Any) -> pb.StartSpec:
    return pb.StartSpec(workflow_json=json.dumps(workflow), input_json=json.dumps(value or {}), **spec)


@pytest.fixture
async def client(executor: Executor) -> AsyncIterator[Client]:
    connected = Client(executor.address)
    yield connected
    await connected.channel.close()


@pytest.fixture
async def slow_server() -> AsyncIterator[SlowServer]:
    server = SlowServer()
    await server.start()
    yield server
    await server.stop()


class SlowServer:
    """Answers HTTP requests when told to; knows who asked."""

    def __init__(self) -> None:
        self.asked = asyncio.Semaphore(0)
        self.answer = asyncio.Event()
        self.cut = asyncio.Event()  # a client went away unanswered
        self.calls = 0
        self.status = 200
        self.url = ""
        self._server: asyncio.Server | None = None

    async def start(self) -> None:
        self._server = await asyncio.start_server(self._serve, "127.0.0.1", 0)
        self.url = f"http://127.0.0.1:{self._server.sockets[0].getsockname()[1]}/"

    async def stop(self) -> None:
        self.answer.set()
        if self._server:
            self._server.close()
            await self._server.wait_closed()

    async def _serve(self, reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        await reader.readuntil(b"\r\n\r\n")
        self.calls += 1
        self.asked.release()
        gone = asyncio.create_task(reader.read(1))
        answer = asyncio.create_task(self.answer.wait())
        done, _ = await asyncio.wait([gone, answer], return_when=asyncio.FIRST_COMPLETED)
        if gone in done:
            self.cut.set()
        else:
            body = b'{"ok": true}'
            head = (
                f"HTTP/1.1 {self.status} X\r\nContent-Type: application/json\r\nContent-Length: {len(body)}"
            )
            writer.write(head.encode() + b"\r\nConnection: close\r\n\r\n" + body)
        gone.cancel()
        answer.cancel()
        writer.close()
