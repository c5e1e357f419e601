"""The whole stack under load, over REST, from a process of its own; and the floors of this machine beside it.

Every execution is durable: fsync on, its whole history readable afterwards. Figures are to be read as
ratios to the floors of the same run.

python -m benchmarks.workloads [sqlite|postgresql]
"""

from __future__ import annotations

import asyncio
import json
import statistics
import sys
import tempfile
import time
from collections.abc import Awaitable, Callable, Iterator
from contextlib import contextmanager
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import httpx
import uvloop

from tests.infra.postgres import PostgresCluster
from tests.infra.stack import Stack
from tests.infra.valkey import PrivateValkey

ROOT = Path(__file__).parents[1]
JSON = {"content-type": "application/json"}


@dataclass(frozen=True)
class Figure:
    name: str
    value: str
    target: str
    met: bool


def chain(length: int) -> dict[str, Any]:
    nodes = [{"id": f"n{n}", "type": "flow.noop"} for n in range(length)]
    edges = [{"source": f"n{n}", "target": f"n{n + 1}"} for n in range(length - 1)]
    return {"id": "chain", "nodes": nodes, "edges": edges}


def fan(width: int) -> dict[str, Any]:
    sides = [f"n{n}" for n in range(width)]
    return {
        "id": "fan",
        "nodes": [{"id": node_id, "type": "flow.noop"} for node_id in ("start", *sides, "join")],
        "edges": [{"source": "start", "target": side} for side in sides]
        + [{"source": side, "target": "join"} for side in sides],
        "output": "${ nodes.join.status }",
    }


def start_body(workflow: dict[str, Any], mode: str) -> bytes:
    return json.dumps({"workflow": workflow, "input": {"n": 1}, "mode": mode}).encode()


@contextmanager
def running_stack(kind: str) -> Iterator[Stack]:
    """The real services, durable: the PostgreSQL cluster of the tests with fsync on."""
    with tempfile.TemporaryDirectory() as folder:
        valkey = PrivateValkey(Path(folder) / "valkey")
        asyncio.run(valkey.start())
        cluster = None
        url = f"sqlite:///{folder}/flow.db"
        if kind == "postgresql":
            cluster = PostgresCluster(durable=True)
            cluster.start()
            url = cluster.create_database()
        stack = Stack(Path(folder), url, valkey.url, FLOW_IMMEDIATE_CONCURRENCY="256")
        try:
            yield stack.start()
        finally:
            stack.stop()
            asyncio.run(valkey.stop())
            if cluster is not None:
                cluster.remove()


async def timed(client: httpx.AsyncClient, path: str, body: bytes) -> float:
    started = time.perf_counter()
    response = await client.post(path, content=body, headers=JSON)
    response.raise_for_status()
    assert response.json()["status"] == "completed", response.text
    return (time.perf_counter() - started) * 1000


async def throughput(count: int, callers: int, call: Callable[[], Awaitable[Any]]) -> float:
    """Calls a second."""
    left = iter(range(count))

    async def caller() -> None:
        for _ in left:
            await call()

    started = time.perf_counter()
    await asyncio.gather(*(caller() for _ in range(callers)))
    return count / (time.perf_counter() - started)


async def hop_floor(client: httpx.AsyncClient) -> float:
    """The cheapest call through the gateway to the executor: what a round trip costs by itself."""

    async def call() -> None:
        (await client.get("/readyz")).raise_for_status()

    await throughput(100, 32, call)
    return await throughput(1000, 32, call)


async def one_caller(client: httpx.AsyncClient) -> Figure:
    body = start_body(chain(10), "immediate")
    for _ in range(20):
        await timed(client, "/api/workflow/run", body)
    samples = sorted([await timed(client, "/api/workflow/run", body) for _ in range(300)])
    p50, p99 = statistics.median(samples), samples[int(len(samples) * 0.99)]
    met = p50 <= 6 and p99 <= 20
    return Figure("W1 chain of 10, one caller", f"p50 {p50:.1f} ms, p99 {p99:.1f} ms", "≤ 6, ≤ 20 ms", met)


async def many_callers(client: httpx.AsyncClient, hop: float) -> Figure:
    body = start_body(chain(10), "immediate")
    rate = await throughput(1500, 32, lambda: timed(client, "/api/workflow/run", body))
    ratio = rate / hop
    return Figure(
        "W2 the same, 32 callers", f"{rate:.0f}/s, {ratio:.2f} × hop", "≥ 600/s, ≥ 0.4 × hop", ratio >= 0.4
    )


async def queued(client: httpx.AsyncClient, count: int = 1000) -> list[Figure]:
    body = start_body(chain(10), "queued")

    async def call() -> None:
        response = await client.post("/api/workflow/run", content=body, headers=JSON)
        assert response.status_code == 202, response.text

    started = time.perf_counter()
    submit = await throughput(count, 32, call)
    while True:
        page = (await client.get("/api/workflow/executions?status=pending&status=running&limit=1")).json()
        if not page["executions"]:
            break
        await asyncio.sleep(0.02)
    rate = count / (time.perf_counter() - started)
    return [
        Figure("W3 submit", f"{submit:.0f}/s", "≥ 900/s", submit >= 900),
        Figure("W3 completed and readable", f"{rate:.0f}/s", "≥ 500/s", rate >= 500),
    ]


async def fan_out(client: httpx.AsyncClient) -> Figure:
    body = start_body(fan(100), "immediate")
    for _ in range(5):
        await timed(client, "/api/workflow/run", body)
    p50 = statistics.median([await timed(client, "/api/workflow/run", body) for _ in range(50)])
    return Figure("W5 fan-out of 100 and join", f"p50 {p50:.1f} ms", "≤ 12 ms", p50 <= 12)


async def montage(client: httpx.AsyncClient) -> Figure:
    workflow = json.loads((ROOT / "examples" / "montage-500.json").read_text())
    body = start_body(workflow, "immediate")
    p50 = statistics.median([await timed(client, "/api/workflow/run", body) for _ in range(10)])
    return Figure("W6 montage-500", f"p50 {p50:.0f} ms", "–", True)


async def measure(stack: Stack) -> list[Figure]:
    limits = httpx.Limits(max_connections=64)
    async with httpx.AsyncClient(base_url=stack.base_url, timeout=60, limits=limits) as client:
        hop = await hop_floor(client)
        figures = [Figure("floor: bare HTTP → gRPC hop", f"{hop:.0f}/s", "", True)]
        figures += [await one_caller(client), await many_callers(client, hop)]
        figures += await queued(client)
        figures += [await fan_out(client), await montage(client)]
    return figures


def main(kinds: list[str]) -> int:
    for kind in kinds or ["sqlite", "postgresql"]:
        with running_stack(kind) as stack:
            figures = uvloop.run(measure(stack))
        print(f"\n{kind}")
        for figure in figures:
            verdict = "" if not figure.target else "met" if figure.met else "MISSED"
            print(f"  {figure.name:<32} {figure.value:<32} {figure.target:<24} {verdict}")
    return 0


if __name__ == "__main__":
    sys.exit(main(sys.argv[1:]))
