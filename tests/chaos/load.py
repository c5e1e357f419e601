"""The load: seeded starts by REST and gRPC, repeated until acknowledged, with their answers and watchers."""

from __future__ import annotations

import asyncio
import json
import time
from collections.abc import Callable, Sequence
from contextlib import suppress
from dataclasses import dataclass, field
from random import Random
from typing import Any

import grpc
import httpx
from google.protobuf.duration_pb2 import Duration

from flow_engine.dialing import NO_RETRIES
from flow_engine.v1 import execution_pb2 as pb
from flow_engine.v1.execution_pb2_grpc import ExecutionServiceStub
from tests.chaos.cases import Case, CaseMaker, some_case
from tests.chaos.oracle import Acknowledged, Violation
from tests.chaos.stage import until
from tests.chaos.watching import Watcher

PATIENCE_SECONDS = 90.0
"""How long a start is repeated before its client gives up; then it was never acknowledged."""
PAUSE_SECONDS = 0.2
CALL_SECONDS = 30.0
AT_ONCE = 24
BEFORE_THE_LAST = 0.7
SLOWER = 4

GRPC_OPTIONS = [
    NO_RETRIES,
    ("grpc.initial_reconnect_backoff_ms", 100),
    ("grpc.min_reconnect_backoff_ms", 100),
    ("grpc.max_reconnect_backoff_ms", 500),
]
PASSING_STATUS = {408, 429, 502, 503, 504}
PASSING_CODES = {
    grpc.StatusCode.UNAVAILABLE,
    grpc.StatusCode.DEADLINE_EXCEEDED,
    grpc.StatusCode.RESOURCE_EXHAUSTED,
    grpc.StatusCode.CANCELLED,
}
MODES = {
    "auto": pb.EXECUTION_MODE_AUTO,
    "immediate": pb.EXECUTION_MODE_IMMEDIATE,
    "queued": pb.EXECUTION_MODE_QUEUED,
}
STATUSES = {
    pb.EXECUTION_STATUS_COMPLETED: "completed",
    pb.EXECUTION_STATUS_FAILED: "failed",
    pb.EXECUTION_STATUS_CANCELLED: "cancelled",
}


@dataclass(frozen=True, slots=True)
class Shape:
    """How a fault wants its load. seconds: over which the starts are spread."""

    count: int
    seconds: float
    watched: float = 0.25  # share
    modes: Sequence[str] = ("auto", "immediate", "queued")
    case: CaseMaker = some_case
    budget_ms: int | None = None  # of immediate runs; None: 300 ms for one in eight, else the default


@dataclass(slots=True)
class Load:
    """tag: names the round; the witness's paths and the executions' tags begin with it."""

    tag: str
    base_url: str
    grpc_address: str
    witness_url: str
    shape: Shape
    chance: Random
    acknowledged: list[Acknowledged] = field(default_factory=list)
    starts: dict[str, int] = field(default_factory=dict)
    watchers: list[Watcher] = field(default_factory=list)
    refusals: list[str] = field(default_factory=list)  # starts that had to be repeated, and why
    violations: list[Violation] = field(default_factory=list)
    given_up: int = 0
    fault_over: asyncio.Event = field(default_factory=asyncio.Event)
    _tasks: set[asyncio.Task[None]] = field(default_factory=set)
    _everything_started: asyncio.Event = field(default_factory=asyncio.Event)
    _over: asyncio.Event = field(default_factory=asyncio.Event)

    async def run(self) -> None:
        """Start everything, at random moments; returns when each start is acknowledged or given up."""
        limits = httpx.Limits(max_connections=400, max_keepalive_connections=50)
        async with (
            httpx.AsyncClient(base_url=self.base_url, timeout=CALL_SECONDS, limits=limits) as client,
            grpc.aio.insecure_channel(self.grpc_address, options=GRPC_OPTIONS) as channel,
        ):
            stub = ExecutionServiceStub(channel)
            gate = asyncio.Semaphore(AT_ONCE)
            starting = []
            for number in range(self.shape.count):
                await self._let_time_pass(number)
                starting.append(asyncio.create_task(self._one(client, stub, gate, self.shape.case)))
            await asyncio.gather(*starting)
            self._everything_started.set()
            await self._tend()

    async def _let_time_pass(self, number: int) -> None:
        """Until the next start. The last ones come slowly while the fault is under way: it needs company."""
        pause = self.chance.expovariate(self.shape.count / self.shape.seconds)
        if number < BEFORE_THE_LAST * self.shape.count:
            await asyncio.sleep(pause)
            return
        with suppress(TimeoutError):
            await asyncio.wait_for(self.fault_over.wait(), SLOWER * pause)

    async def started(self) -> None:
        """Returns when all starts are acknowledged or given up."""
        await self._everything_started.wait()

    @property
    def all_started(self) -> bool:
        return self._everything_started.is_set()

    async def _tend(self) -> None:
        """Let answers and watchers go on until told that the round is over."""
        await self._over.wait()
        for task in list(self._tasks):
            task.cancel()
        await asyncio.gather(*self._tasks, return_exceptions=True)

    def end(self) -> None:
        self._over.set()

    async def watchers_done(self, seconds: float) -> None:
        """Give the watchers time to hear of the end."""
        await until(lambda: all(watcher.ended for watcher in self.watchers), seconds)

    # One start --------------------------------------------------------------------------------

    async def _one(
        self, client: httpx.AsyncClient, stub: Any, gate: asyncio.Semaphore, make: CaseMaker
    ) -> None:
        number = len(self.starts)
        tag = f"{self.tag}-{number}"
        self.starts[tag] = number
        chance = Random(self.chance.random())
        case = make(chance, self.witness_url, f"/{self.tag}/{number}")
        mode = case.mode or chance.choice(self.shape.modes)
        start = Start(number, tag, case, mode, self._budget(chance), chance)
        send = self._by_grpc if chance.random() < 0.3 else self._by_rest
        async with gate:
            acknowledged = await self._until_acknowledged(start, lambda: send(start, client, stub))
        if acknowledged is None:
            self.given_up += 1
            return
        self.acknowledged.append(acknowledged)
        if case.approval is not None:
            self._spawn(self._answer(client, acknowledged))
        if chance.random() < self.shape.watched:
            url = f"/api/workflow/execution/{acknowledged.execution_id}/stream"
            watcher = Watcher(url, acknowledged.execution_id, chance)
            self.watchers.append(watcher)
            self._spawn(watcher.watch(client))

    def _budget(self, chance: Random) -> int | None:
        if self.shape.budget_ms is not None:
            return self.shape.budget_ms
        return 300 if chance.random() < 0.125 else None

    async def _until_acknowledged(self, start: Start, send: Callable[[], Any]) -> Acknowledged | None:
        """Repeats with the same key while the failure may pass."""
        deadline = time.monotonic() + PATIENCE_SECONDS
        while time.monotonic() < deadline:
            answer: Acknowledged | str = await send()
            if isinstance(answer, Acknowledged):
                return answer
            self.refusals.append(answer)
            if answer.startswith("refused"):
                self.violations.append(Violation("answer", "", f"start {start.number} was {answer}"))
                return None
            await asyncio.sleep(PAUSE_SECONDS * start.chance.uniform(0.5, 1.5))
        return None

    async def _by_rest(self, start: Start, client: httpx.AsyncClient, stub: Any) -> Acknowledged | str:
        headers = {"Idempotency-Key": start.tag}
        if start.chance.random() < 0.25:
            headers["Prefer"] = "respond-async"
        options: dict[str, Any] = {"tags": [self.tag, start.tag]}
        if start.budget_ms is not None:
            options["immediateBudget"] = start.budget_ms
        body = {
            "workflow": start.case.workflow,
            "input": start.case.input,
            "mode": start.mode,
            "options": options,
        }
        try:
            response = await client.post("/api/workflow/run", json=body, headers=headers)
        except httpx.HTTPError as error:
            return f"no answer: {type(error).__name__}"
        if response.status_code in PASSING_STATUS:
            return f"HTTP {response.status_code}"
        if response.status_code not in (200, 202):
            return f"refused by HTTP {response.status_code}: {response.text[:500]}"
        told = response.json()
        return start.acknowledged(told["executionId"], told["status"], told.get("output"))

    async def _by_grpc(self, start: Start, client: httpx.AsyncClient, stub: Any) -> Acknowledged | str:
        options = pb.ExecutionOptions(tags=[self.tag, start.tag])
        if start.budget_ms is not None:
            options.immediate_budget.FromMilliseconds(start.budget_ms)
        spec = pb.StartSpec(
            workflow_json=json.dumps(start.case.workflow),
            input_json=json.dumps(start.case.input),
            mode=MODES[start.mode],
            options=options,
            request_id=start.tag,
        )
        wait = Duration() if start.chance.random() < 0.25 else None
        request = pb.StartExecutionRequest(spec=spec, wait=wait)
        try:
            response = await stub.StartExecution(request, timeout=CALL_SECONDS)
        except grpc.aio.AioRpcError as error:
            if error.code() in PASSING_CODES:
                return f"gRPC {error.code().name}"
            return f"refused by gRPC {error.code().name}: {error.details()}"
        execution = response.execution
        output = json.loads(execution.output_json) if execution.HasField("output_json") else None
        return start.acknowledged(execution.id, STATUSES.get(execution.status, "open"), output)

    # Afterwards -------------------------------------------------------------------------------

    async def _answer(self, client: httpx.AsyncClient, asked: Acknowledged) -> None:
        """Answer as soon as it is asked; repeat until that is acknowledged."""
        approval = asked.case.approval
        assert approval is not None
        url = f"/api/workflow/execution/{asked.execution_id}/input/{approval.node_id}"
        while True:
            try:
                response = await client.post(url, json={"approved": approval.approved})
            except httpx.HTTPError:
                await asyncio.sleep(PAUSE_SECONDS)
                continue
            if response.is_success:
                return
            if response.status_code == 409 and response.json().get("reason") == "ALREADY_ANSWERED":
                what = "the same answer, repeated, was refused as another"
                self.violations.append(Violation("answer", asked.execution_id, what))
                return
            await asyncio.sleep(PAUSE_SECONDS)

    def _spawn(self, work: Any) -> None:
        task = asyncio.create_task(work)
        self._tasks.add(task)
        task.add_done_callback(self._tasks.discard)


@dataclass(frozen=True, slots=True)
class Start:
    number: int
    tag: str  # also its idempotency key
    case: Case
    mode: str
    budget_ms: int | None
    chance: Random

    def acknowledged(self, execution_id: str, status: str, output: Any) -> Acknowledged:
        return Acknowledged(execution_id, self.number, self.case, self.mode, status, output)
