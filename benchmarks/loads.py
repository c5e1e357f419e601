"""What the client process does: calls, and how long each took. Every function gives plain data.

Connections are opened before the first call is timed. An answer that is not what a call must give ends
the measurement: a figure of calls that failed would be none.
"""

from __future__ import annotations

import asyncio
import json
import sqlite3
import time
from collections.abc import AsyncIterator, Awaitable, Callable, Sequence
from contextlib import AsyncExitStack, asynccontextmanager
from dataclasses import dataclass

import grpc
import psycopg
from redis.asyncio import Redis

from benchmarks.fib_nodes import fib
from benchmarks.floors import bells
from benchmarks.wire import Connection, UnexpectedAnswer, Watcher, connect, host_and_port, request_bytes
from flow_engine.v1 import execution_pb2 as pb
from flow_engine.v1.execution_pb2_grpc import ExecutionServiceStub

RUN = "/api/workflow/run"
LIST = "/api/workflow/executions"
ROW = b"x" * 200
POLL_SECONDS = 0.03


@dataclass(frozen=True, slots=True)
class Calls:
    """seconds: of all of them together. ms: of each."""

    seconds: float
    ms: Sequence[float]

    @property
    def rate(self) -> float:
        return len(self.ms) / self.seconds


@dataclass(frozen=True, slots=True)
class Queued:
    submit: Calls
    completed_seconds: float  # since the first submission, until the last had ended
    count: int

    @property
    def rate(self) -> float:
        return self.count / self.completed_seconds


Call = Callable[[], Awaitable[None]]


async def calls(callers: Sequence[Call], count: int) -> Calls:
    """So many calls, shared among the callers as they come free."""
    left = iter(range(count))
    took: list[float] = []

    async def caller(call: Call) -> None:
        for _ in left:
            began = time.perf_counter()
            await call()
            took.append((time.perf_counter() - began) * 1000)

    began = time.perf_counter()
    await asyncio.gather(*map(caller, callers))
    return Calls(time.perf_counter() - began, took)


# HTTP


async def http(base_url: str, path: str, body: bytes, expected: bytes, callers: int, count: int) -> Calls:
    """POSTs. expected: what every answer must hold."""
    request = request_bytes(base_url, "POST", path, body)
    async with connections(base_url, callers) as opened:
        return await calls([asking(one, request, expected) for one in opened], count)


async def http_get(base_url: str, paths: Sequence[str], callers: int) -> Calls:
    """Each path once."""
    left = iter([request_bytes(base_url, "GET", path) for path in paths])
    async with connections(base_url, callers) as opened:

        def getting(connection: Connection) -> Call:
            async def get() -> None:
                await checked(connection, next(left), b"{")

            return get

        return await calls([getting(one) for one in opened], len(paths))


@asynccontextmanager
async def connections(base_url: str, count: int) -> AsyncIterator[list[Connection]]:
    opened = list(await asyncio.gather(*(connect(base_url) for _ in range(count))))
    try:
        yield opened
    finally:
        for connection in opened:
            connection.close()


def asking(connection: Connection, request: bytes, expected: bytes) -> Call:
    async def ask() -> None:
        await checked(connection, request, expected)

    return ask


async def checked(connection: Connection, request: bytes, expected: bytes) -> bytes:
    answer = await connection.ask(request)
    if answer.status >= 300 or expected not in answer.body:
        first = request.split(b"\r\n", 1)[0].decode()
        raise UnexpectedAnswer(f"{first}: {answer.status} {answer.body[:500].decode(errors='replace')}")
    return answer.body


# gRPC


def start_request(
    workflow: bytes, mode: pb.ExecutionMode, input_json: str = '{"n":1}'
) -> pb.StartExecutionRequest:
    spec = pb.StartSpec(workflow_json=workflow.decode(), input_json=input_json, mode=mode)
    return pb.StartExecutionRequest(spec=spec)


async def grpc_starts(address: str, workflow: bytes, callers: int, count: int) -> Calls:
    """Immediate starts through the stubs, all on one channel as a service has it."""
    request = start_request(workflow, pb.EXECUTION_MODE_IMMEDIATE)
    async with grpc.aio.insecure_channel(address) as channel:
        stub = ExecutionServiceStub(channel)

        async def start() -> None:
            answer = await stub.StartExecution(request)
            if answer.execution.status != pb.EXECUTION_STATUS_COMPLETED:
                raise UnexpectedAnswer(f"StartExecution: {answer.execution}")

        await start()
        return await calls([start] * callers, count)


async def grpc_submit(address: str, workflow: bytes, callers: int, count: int) -> list[str]:
    """Starts executions on the queue, each with its number as input; their ids."""
    ids: list[str] = []
    async with grpc.aio.insecure_channel(address) as channel:
        stub = ExecutionServiceStub(channel)

        async def start() -> None:
            request = start_request(workflow, pb.EXECUTION_MODE_QUEUED, f'{{"n":{len(ids)}}}')
            ids.append((await stub.StartExecution(request)).execution.id)

        await calls([start] * callers, count)
    return ids


# The queue


async def queued(base_url: str, workflow: dict[str, object], callers: int, count: int) -> Queued:
    """Submits as fast as possible and waits until all have completed and can be read."""
    body = json.dumps({"workflow": workflow, "input": {"n": 1}, "mode": "queued"}).encode()
    request = request_bytes(base_url, "POST", RUN, body)
    async with connections(base_url, callers) as opened:
        began = time.perf_counter()
        submit = await calls([asking(one, request, b'"executionId"') for one in opened], count)
        await until_all(opened[0], base_url, str(workflow["id"]), "completed", count)
        seconds = time.perf_counter() - began
        await read_some(opened[0], base_url, str(workflow["id"]))
    return Queued(submit, seconds, count)


async def until_all(connection: Connection, base_url: str, workflow_id: str, status: str, count: int) -> None:
    """Until so many executions of a workflow have a status, or a minute has passed without another one.

    Counting takes the database longer the more there are, so it is done at last: the oldest tells.
    """
    others = [s for s in ("pending", "running", "waiting") if s != status]
    query = "&".join(f"status={other}" for other in others)
    listing = request_bytes(base_url, "GET", f"{LIST}?workflowId={workflow_id}&limit=1&{query}")
    counting = request_bytes(base_url, "GET", f"{LIST}/count?workflowId={workflow_id}&status={status}")
    while b'"executions":[]' not in await checked(connection, listing, b"executions"):  # noqa: ASYNC110
        await asyncio.sleep(POLL_SECONDS)  # what an outside client can do
    found = json.loads(await checked(connection, counting, b"count"))["count"]
    if found != count:
        raise UnexpectedAnswer(f"{found} of {count} executions of {workflow_id} are {status}")


async def read_some(connection: Connection, base_url: str, workflow_id: str, count: int = 20) -> None:
    """That what has ended is there: steps and history of a few."""
    listing = request_bytes(base_url, "GET", f"{LIST}?workflowId={workflow_id}&limit={count}")
    for row in json.loads(await checked(connection, listing, b"executions"))["executions"]:
        execution = f"/api/workflow/execution/{row['executionId']}"
        await checked(connection, request_bytes(base_url, "GET", execution), b'"steps":[{')
        events = await checked(connection, request_bytes(base_url, "GET", f"{execution}/events"), b'"events"')
        if b'"execution.completed"' not in events:
            raise UnexpectedAnswer(f"the history of {row['executionId']} has no end")


async def one_queued(base_url: str, body: bytes, look_every: float = 0.2) -> float:
    """Seconds from a start on the queue until its end is read, late by `look_every` at most."""
    async with connections(base_url, 1) as (connection,):
        began = time.perf_counter()
        started = await checked(connection, request_bytes(base_url, "POST", RUN, body), b"executionId")
        path = f"/api/workflow/execution/{json.loads(started)['executionId']}"
        look = request_bytes(base_url, "GET", path)
        while b'"status":"completed"' not in (found := await checked(connection, look, b'"status"'))[:400]:
            if b'"status":"failed"' in found[:400]:
                raise UnexpectedAnswer(found[:500].decode())
            await asyncio.sleep(look_every)
        return time.perf_counter() - began


# People and watchers


async def answers(base_url: str, ids: Sequence[str], step: str, callers: int) -> Calls:
    """Approves that step of each execution."""
    body = b'{"approved":true}'
    left = iter(
        [
            request_bytes(base_url, "POST", f"/api/workflow/execution/{execution_id}/input/{step}", body)
            for execution_id in ids
        ]
    )
    async with connections(base_url, callers) as opened:

        def answering(connection: Connection) -> Call:
            async def answer() -> None:
                await checked(connection, next(left), b"{")

            return answer

        return await calls([answering(one) for one in opened], len(ids))


async def all_are(base_url: str, workflow_id: str, status: str, count: int) -> float:
    """Seconds until so many executions of a workflow have a status."""
    began = time.perf_counter()
    async with connections(base_url, 1) as (connection,):
        await until_all(connection, base_url, workflow_id, status, count)
    return time.perf_counter() - began


@dataclass(frozen=True, slots=True)
class Watched:
    ages_ms: Sequence[float]  # of every event at every watcher: from its time to its arrival
    ended: int  # watchers that saw the end
    opened_seconds: float
    answered_seconds: float


class Watching:
    """So many watchers on each execution; opened first, so that what they cost can be measured."""

    def __init__(self) -> None:
        self._watchers: list[Watcher] = []
        self._after = 0.0
        self._opened_seconds = 0.0

    async def open(self, base_url: str, ids: Sequence[str], each: int) -> int:
        began = time.perf_counter()
        self._after = 0.0  # what has been before is not what is measured
        loop = asyncio.get_running_loop()
        for execution_id in ids:
            request = request_bytes(
                base_url, "GET", f"/api/workflow/execution/{execution_id}/stream"
            ).replace(b"\r\n\r\n", b"\r\nAccept: text/event-stream\r\n\r\n")
            some = [
                await loop.create_connection(
                    lambda request=request: Watcher(request, lambda: self._after),  # type: ignore[misc]
                    *host_and_port(base_url),
                )
                for _ in range(each)
            ]
            await asyncio.gather(*(watcher.opened for _, watcher in some))
            self._watchers += [watcher for _, watcher in some]
        self._opened_seconds = time.perf_counter() - began
        return len(self._watchers)

    async def run(self, base_url: str, ids: Sequence[str], rounds: int, a_second: float) -> Watched:
        """Answers each execution so often, at this pace, and reads all streams to their end."""
        self._after = time.time()
        began = time.perf_counter()
        async with AsyncExitStack() as stack:
            opened = await stack.enter_async_context(connections(base_url, 4))
            free = asyncio.Queue[Connection]()
            for connection in opened:
                free.put_nowait(connection)

            async def answer(number: int) -> None:
                await asyncio.sleep(max(0.0, began + number / a_second - time.perf_counter()))
                step, which = divmod(number, len(ids))
                path = f"/api/workflow/execution/{ids[which]}/input/ok{step}"
                request = request_bytes(base_url, "POST", path, b'{"approved":true}')
                connection = await free.get()
                # On a machine that does not keep the pace the step does not wait yet.
                while b'"NOT_WAITING"' in (said := await connection.ask(request)).body:  # noqa: ASYNC110
                    await asyncio.sleep(POLL_SECONDS)
                if said.status >= 300:
                    raise UnexpectedAnswer(f"{path}: {said.status} {said.body[:500].decode()}")
                free.put_nowait(connection)

            await asyncio.gather(*(answer(number) for number in range(rounds * len(ids))))
        answered = time.perf_counter() - began
        await asyncio.wait([watcher.ended for watcher in self._watchers], timeout=60)
        ended = sum(watcher.ended.done() and not watcher.ended.exception() for watcher in self._watchers)
        for watcher in self._watchers:
            watcher.close()
        ages = [age for watcher in self._watchers for age in watcher.ages_ms]
        self._watchers = []
        return Watched(ages, ended, self._opened_seconds, answered)


_watching = Watching()


async def open_watchers(base_url: str, ids: Sequence[str], each: int) -> int:
    return await _watching.open(base_url, ids, each)


async def watch(base_url: str, ids: Sequence[str], rounds: int, a_second: float) -> Watched:
    return await _watching.run(base_url, ids, rounds, a_second)


# Floors


async def commits(url: str, callers: int, count: int) -> Calls:
    """Rows of 200 bytes, each inserted and committed by itself, as fast as the driver can."""
    if url.startswith("sqlite"):
        return await asyncio.to_thread(sqlite_commits, url, count)
    async with AsyncExitStack() as stack:
        opened = [
            await stack.enter_async_context(await psycopg.AsyncConnection.connect(url, autocommit=True))
            for _ in range(callers)
        ]
        await opened[0].execute("CREATE TABLE IF NOT EXISTS bare (row bytea)")

        def inserting(connection: psycopg.AsyncConnection) -> Call:
            async def insert() -> None:
                await connection.execute("INSERT INTO bare VALUES (%b)", (ROW,))

            return insert

        return await calls([inserting(connection) for connection in opened], count)


def sqlite_commits(url: str, count: int) -> Calls:
    """As durable as the engine has it: WAL, synchronous=FULL. One writer, there can be no more."""
    connection = sqlite3.connect(url.removeprefix("sqlite:///"), isolation_level=None, timeout=10)
    for statement in (
        "PRAGMA journal_mode=WAL",
        "PRAGMA synchronous=FULL",
        "CREATE TABLE IF NOT EXISTS bare (row BLOB)",
    ):
        connection.execute(statement)
    took: list[float] = []
    began = time.perf_counter()
    for _ in range(count):
        start = time.perf_counter()
        connection.execute("INSERT INTO bare VALUES (?)", (ROW,))
        took.append((time.perf_counter() - start) * 1000)
    seconds = time.perf_counter() - began
    connection.close()
    return Calls(seconds, took)


async def messages(redis_url: str, callers: int, count: int) -> Calls:
    """Kicked by many, until the worker has run them all."""
    broker = bells.broker(redis_url)
    await broker.startup()
    task = broker.register_task(_counted, task_name=bells.TASK)

    async def kick() -> None:
        await task.kiq(count)

    began = time.perf_counter()
    kicked = await calls([kick] * callers, count)
    async with Redis.from_url(redis_url) as redis:
        if await redis.blpop([bells.DONE], timeout=120) is None:
            raise UnexpectedAnswer("the bare worker did not run all tasks")
    seconds = time.perf_counter() - began
    await broker.shutdown()
    return Calls(seconds, kicked.ms)


async def _counted(of: int) -> None:
    """Runs in the other process."""


async def pure_python(n: int, times: int) -> float:
    """Seconds that the sums alone take."""
    began = time.perf_counter()
    for _ in range(times):
        fib(n)
    return time.perf_counter() - began
