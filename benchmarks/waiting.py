"""What executions that wait for a person cost: memory of executor and worker for each, and whether all go on.

A round before it fills caches and pools, which do not grow with the number of executions.

python -m benchmarks.waiting [sqlite|postgresql] [count]
"""

from __future__ import annotations

import asyncio
import sys
import time
from collections.abc import Awaitable, Callable, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import httpx

from benchmarks.stage import running_stack
from tests.infra.stack import ServiceProcess, Stack, eventually
from tests.integration.persistence.stage import execute

COUNT = 10_000
WARM_UP = 1_500
CALLERS = 32
LIMIT_BYTES = 1024

WORKFLOW: dict[str, Any] = {
    "id": "waits",
    "nodes": [
        {"id": "before", "type": "data.set", "config": {"values": {"n": "${ input.n }"}}},
        {"id": "ok", "type": "human.approval", "config": {"title": "Go on with ${ input.n }?"}},
    ],
    "edges": [{"source": "before", "target": "ok"}],
}


@dataclass(frozen=True, slots=True)
class Growth:
    """Bytes for each waiting execution; all seconds are of the whole round."""

    count: int
    executor_bytes: float
    worker_bytes: float
    started_seconds: float
    resumed_seconds: float
    completed: int


def resident_bytes(process: ServiceProcess) -> int:
    """Of this process; anonymous memory only, since files may be cached or not."""
    for line in Path(f"/proc/{process.pid}/status").read_text().splitlines():
        if line.startswith("RssAnon:"):
            return int(line.split()[1]) * 1024
    raise AssertionError("the kernel tells no RssAnon")


def memory(stack: Stack) -> tuple[int, int]:
    return resident_bytes(stack.executor), resident_bytes(stack.worker)


async def each(items: Sequence[Any], call: Callable[[Any], Awaitable[Any]]) -> list[Any]:
    """Calls for all items, some at once; results in their order."""
    results: list[Any] = [None] * len(items)
    left = iter(enumerate(items))

    async def caller() -> None:
        for index, item in left:
            results[index] = await call(item)

    await asyncio.gather(*(caller() for _ in range(CALLERS)))
    return results


async def start_all(stack: Stack, count: int) -> list[str]:
    async with httpx.AsyncClient(base_url=stack.base_url, timeout=60) as client:

        async def start(number: int) -> str:
            body = {"workflow": WORKFLOW, "input": {"n": number}, "mode": "queued"}
            response = await client.post("/api/workflow/run", json=body)
            response.raise_for_status()
            execution_id: str = response.json()["executionId"]
            return execution_id

        return await each(range(count), start)


async def answer_all(stack: Stack, ids: Sequence[str]) -> None:
    async with httpx.AsyncClient(base_url=stack.base_url, timeout=60) as client:

        async def answer(execution_id: str) -> None:
            path = f"/api/workflow/execution/{execution_id}/input/ok"
            (await client.post(path, json={"approved": True})).raise_for_status()

        await each(ids, answer)


def count_of(stack: Stack, status: str) -> int:
    """Straight from the database: asking for all of them would be part of what is measured."""
    rows = execute(stack.database_url, f"SELECT count(*) FROM workflow_executions WHERE status = '{status}'")
    return int(rows[0][0])


def round_of(stack: Stack, count: int) -> Growth:
    """Start so many, wait until all wait, measure, answer all, wait until all have completed."""
    done_before = count_of(stack, "completed")
    executor_before, worker_before = memory(stack)
    began = time.perf_counter()
    ids = asyncio.run(start_all(stack, count))
    eventually(lambda: count_of(stack, "waiting") == count, f"{count} wait", seconds=300)
    started = time.perf_counter()
    executor_after, worker_after = memory(stack)
    resumed = time.perf_counter()
    asyncio.run(answer_all(stack, ids))
    eventually(lambda: count_of(stack, "completed") == done_before + count, "all go on", seconds=300)
    return Growth(
        count=count,
        executor_bytes=(executor_after - executor_before) / count,
        worker_bytes=(worker_after - worker_before) / count,
        started_seconds=started - began,
        resumed_seconds=time.perf_counter() - resumed,
        completed=count_of(stack, "completed") - done_before,
    )


def main(arguments: Sequence[str]) -> int:
    kind = arguments[0] if arguments else "sqlite"
    count = int(arguments[1]) if len(arguments) > 1 else COUNT
    with running_stack(kind) as stack:
        round_of(stack, WARM_UP)
        growth = round_of(stack, count)
    met = max(growth.executor_bytes, growth.worker_bytes) < LIMIT_BYTES and growth.completed == count
    print(f"{count:,} executions wait for a person, on {kind}: {'ok' if met else 'NOT MET'}")
    print(f"  executor  {growth.executor_bytes:8.0f} bytes each (limit {LIMIT_BYTES})")
    print(f"  worker    {growth.worker_bytes:8.0f} bytes each (limit {LIMIT_BYTES})")
    print(f"  all wait after {growth.started_seconds:.1f} s; all {growth.completed:,} completed")
    print(f"  {growth.resumed_seconds:.1f} s after the first answer")
    return 0 if met else 1


if __name__ == "__main__":
    sys.exit(main(sys.argv[1:]))
