"""What tracing and figures cost: CPU time of an execution with and without them, at most 5 % more each.

Four installations stand side by side on PostgreSQL and run the same bursts in turn: one with neither, one
more with neither (what it differs by is noise), one that sends every span to a collector that only counts,
and one whose services are scraped once a second while it is busy. Counted is the CPU time of executor,
gateway and worker over all rounds, what sends spans and answers scrapes included, without what they use
when idle. Rounds are short, so that what else the machine has to do falls on all four alike; how far they
agree is told as the standard error. Before that, one span alone.

python -m benchmarks.overhead [executions of a burst] [bursts]
"""

from __future__ import annotations

import asyncio
import sys
import tempfile
import time
import timeit
from collections.abc import Callable, Iterator, Sequence
from concurrent.futures import ThreadPoolExecutor
from contextlib import AsyncExitStack, ExitStack, contextmanager
from dataclasses import dataclass, field
from math import sqrt
from pathlib import Path
from random import Random
from statistics import mean, stdev
from typing import Any

import grpc
import httpx
import uvloop
from opentelemetry.sdk.trace.sampling import DEFAULT_ON

from benchmarks.loads import calls
from benchmarks.shapes import chain, start_body
from flow_engine import tracing
from flow_engine.otlp import SdkRecorder
from flow_engine.otlp_bytes import spans_bytes
from tests.infra.ports import free_port
from tests.infra.postgres import PostgresCluster
from tests.infra.stack import ServiceProcess, Stack
from tests.infra.valkey import PrivateValkey

BURST, BURSTS = 40, 75
CALLERS = 8
LIMIT = 0.05
IDLE_SECONDS = 20.0
FLUSH_SECONDS = 7.0
"""More than a batch of spans waits for others."""
CPUCLOCK_SCHED = 2
"""With the complement of a process's id: its clock, as Linux numbers them (clock_getcpuclockid(3))."""
KINDS = ("executor", "gateway", "worker")
MODES = ("immediate", "queued")
Used = dict[str, float]


class Sink:
    """A collector that counts what it gets, and looks at nothing."""

    def __init__(self) -> None:
        self.batches = self.bytes = 0
        handler: Any = grpc.unary_unary_rpc_method_handler(self._export)
        service = grpc.method_handlers_generic_handler(
            "opentelemetry.proto.collector.trace.v1.TraceService", {"Export": handler}
        )
        self._server = grpc.server(ThreadPoolExecutor(2))
        self._server.add_generic_rpc_handlers((service,))
        self.endpoint = f"http://127.0.0.1:{self._server.add_insecure_port('127.0.0.1:0')}"
        self._server.start()

    def _export(self, request: bytes, context: Any) -> bytes:
        self.batches += 1
        self.bytes += len(request)
        return b""

    def close(self) -> None:
        self._server.stop(None)


@dataclass
class Installation:
    """pages: what is scraped of it. unscraped: seconds under load since the last time. idle: seconds of CPU a
    second without load, by service."""

    name: str
    stack: Stack
    pages: Sequence[str] = ()
    unscraped: float = 0.0
    idle: dict[str, float] = field(default_factory=dict)

    def cpu(self) -> dict[str, float]:
        """Seconds since it started, by service."""
        stack = self.stack
        return dict(zip(KINDS, map(cpu_seconds, (stack.executor, stack.gateway, stack.worker)), strict=True))


def main(arguments: Sequence[str]) -> int:
    burst = int(arguments[0]) if arguments else BURST
    bursts = int(arguments[1]) if len(arguments) > 1 else BURSTS
    print_one_span_alone()
    with ExitStack() as stack:
        sink = Sink()
        stack.callback(sink.close)
        installations = stack.enter_context(running(sink.endpoint))
        met = uvloop.run(measure(installations, burst, bursts))
        print(f"  the collector got {sink.batches} batches, {sink.bytes / 1e6:.1f} MB")
    return 0 if met else 1


def print_one_span_alone() -> None:
    """With everything at hand; among the work of an execution it takes a few times as long."""
    nodes = 10
    node = tracing.Described("node n0", "internal", {"node_type": "flow.noop", "attempt": 1})

    def each_microseconds(work: Callable[[], object]) -> float:
        return min(timeit.repeat(work, number=2000, repeat=20)) / 2000 * 1e6

    def block() -> None:
        with tracing.span_of(node):
            pass

    tracing.use(SdkRecorder(DEFAULT_ON, lambda told: None))
    told = [(node, 1, 2, "")] * nodes
    with tracing.span("run"):
        made = each_microseconds(block)
        noted = each_microseconds(lambda: tracing.tell(told)) / nodes
    tracing.use(None)
    ids = bytes(range(8 * nodes))
    written = each_microseconds(lambda: spans_bytes([(ids[:16], ids[:8], ids, told)])) / nodes
    print(f"a span alone: {made:.2f} µs around a block, {noted:.2f} told with others, {written:.2f} written")


async def measure(installations: Sequence[Installation], burst: int, bursts: int) -> bool:
    """Prints a table for each mode; whether no bound was broken."""
    met = True
    async with AsyncExitStack() as stack:
        clients = [
            await stack.enter_async_context(httpx.AsyncClient(base_url=one.stack.base_url, timeout=60))
            for one in installations
        ]
        for client in clients:
            for mode in MODES:
                await run_burst(client, mode, burst)  # everything is imported, connected, compiled
        await note_idle(installations)
        for mode in MODES:
            used = await bursts_in_turn(installations, clients, mode, burst, bursts)
            met &= show(mode, installations, used)
    return met


async def note_idle(installations: Sequence[Installation]) -> None:
    await asyncio.sleep(FLUSH_SECONDS)
    began, before = time.perf_counter(), [one.cpu() for one in installations]
    await asyncio.sleep(IDLE_SECONDS)
    took = time.perf_counter() - began
    for one, earlier in zip(installations, before, strict=True):
        one.idle = {kind: (now - earlier[kind]) / took for kind, now in one.cpu().items()}


async def bursts_in_turn(
    installations: Sequence[Installation],
    clients: Sequence[httpx.AsyncClient],
    mode: str,
    burst: int,
    bursts: int,
) -> list[list[Used]]:
    """What each installation used in each round: milliseconds of CPU for an execution, by service."""
    read, began = [one.cpu() for one in installations], time.perf_counter()
    order, chance = list(zip(installations, clients, strict=True)), Random(0)
    rounds: list[list[Used]] = []
    for number in range(bursts):
        chance.shuffle(order)  # in a fixed order some would always find the processor's cache warm
        for one, client in order:
            burst_began = time.perf_counter()
            await run_burst(client, mode, burst)
            await scrape(one, time.perf_counter() - burst_began)
        if number == bursts - 1:
            await asyncio.sleep(FLUSH_SECONDS)
        before, read = read, [one.cpu() for one in installations]
        began, took = time.perf_counter(), time.perf_counter() - began
        rounds.append(
            [
                {kind: 1000 * (now[kind] - old[kind] - one.idle[kind] * took) / burst for kind in KINDS}
                for one, old, now in zip(installations, before, read, strict=True)
            ]
        )
    return [list(of_one) for of_one in zip(*rounds, strict=True)]


async def run_burst(client: httpx.AsyncClient, mode: str, count: int) -> None:
    body = start_body(chain(10), mode)

    async def call() -> None:
        response = await client.post(
            "/api/workflow/run", content=body, headers={"content-type": "application/json"}
        )
        response.raise_for_status()

    await calls([call] * CALLERS, count)
    while mode == "queued":
        page = await client.get("/api/workflow/executions?status=pending&status=running&limit=1")
        if not page.json()["executions"]:
            return
        await asyncio.sleep(0.05)


def show(mode: str, installations: Sequence[Installation], used: Sequence[Sequence[Used]]) -> bool:
    print(f"{mode}, a chain of 10: ms of CPU for an execution; a bound of {LIMIT:.0%} more than without")
    print(f"  {'':24}{''.join(f'{kind:>10}' for kind in KINDS)}{'all':>10}")
    whole = [[sum(parts.values()) for parts in rounds] for rounds in used]
    base = [mean(both) for both in zip(whole[0], whole[1], strict=True)]
    met = True
    for number, (one, rounds) in enumerate(zip(installations, used, strict=True)):
        more = [(mine - without) / mean(base) for mine, without in zip(whole[number], base, strict=True)]
        error = stdev(more) / sqrt(len(more)) if len(more) > 1 else 1.0
        kept = number < 2 or mean(more) < LIMIT
        verdict = "" if number < 2 else " ok" if kept else " BROKEN"
        met &= kept
        parts = "".join(f"{mean(parts[kind] for parts in rounds):10.2f}" for kind in KINDS)
        print(
            f"  {one.name:24}{parts}{mean(whole[number]):10.2f}{mean(more):+8.1%} ± {error:.1%}{verdict}",
            flush=True,
        )
    return met


async def scrape(one: Installation, lasted: float) -> None:
    """As often as would have been done during a burst of so many seconds."""
    one.unscraped += lasted
    async with httpx.AsyncClient(timeout=10) as client:
        while one.unscraped >= 1.0:
            one.unscraped -= 1.0
            for page in one.pages:
                (await client.get(page)).raise_for_status()


def cpu_seconds(process: ServiceProcess) -> float:
    """Of all its threads, those that have ended too; to the nanosecond, where /proc counts in hundredths."""
    return time.clock_gettime(~process.pid << 3 | CPUCLOCK_SCHED)


@contextmanager
def running(endpoint: str) -> Iterator[list[Installation]]:
    ports = [free_port(), free_port()]
    metered = {
        "FLOW_EXECUTOR_METRICS_ADDRESS": f"127.0.0.1:{ports[0]}",
        "FLOW_WORKER_METRICS_ADDRESS": f"127.0.0.1:{ports[1]}",
    }
    with ExitStack() as stack:
        cluster = PostgresCluster(durable=True)
        stack.callback(cluster.remove)
        cluster.start()

        def installation(name: str, **settings: str) -> Installation:
            folder = Path(stack.enter_context(tempfile.TemporaryDirectory()))
            valkey = PrivateValkey(folder / "valkey")
            asyncio.run(valkey.start())
            stack.callback(lambda: asyncio.run(valkey.stop()))
            made = Stack(folder, cluster.create_database(), valkey.url, **settings)
            stack.callback(made.stop)
            return Installation(name, made.start())

        found = [
            installation("neither"),
            installation("neither, once more"),
            installation("every span sent", OTEL_EXPORTER_OTLP_ENDPOINT=endpoint),
            installation("scraped once a second", **metered),
        ]
        found[-1].pages = [
            f"{found[-1].stack.base_url}/metrics",
            *(f"http://127.0.0.1:{port}/metrics" for port in ports),
        ]
        yield found


if __name__ == "__main__":
    sys.exit(main(sys.argv[1:]))
