"""What clients that watch and see nothing cost the gateway in memory, and that all are told at the end.

A round of a few before it fills pools, which do not grow with the number of watchers.

python -m benchmarks.watchers [sqlite|postgresql] [count]
"""

from __future__ import annotations

import asyncio
import contextlib
import sys
import time
from collections.abc import Sequence
from dataclasses import dataclass

from benchmarks.stage import running_stack
from benchmarks.waiting import WORKFLOW, resident_bytes
from tests.infra.stack import Stack

COUNT = 1_000
WARM_UP = 100
LIMIT_BYTES = 50 << 20
TOLD_SECONDS = 60


@dataclass(frozen=True, slots=True)
class Cost:
    grown_bytes: int
    opened_seconds: float
    told: int  # watchers that saw the end
    told_seconds: float


class Watcher:
    """A connection of bytes: a client of its own would need more memory than what is measured."""

    def __init__(self, stack: Stack, path: str) -> None:
        host, _, port = stack.base_url.removeprefix("http://").partition(":")
        self._host, self._port, self._path = host, int(port), path
        self._seen = b""

    async def open(self, until: bytes) -> Watcher:
        """Returns when `until` was read."""
        self._reader, self._writer = await asyncio.open_connection(self._host, self._port)
        head = f"GET {self._path} HTTP/1.1\r\nHost: {self._host}:{self._port}\r\n"
        request = f"{head}Accept: text/event-stream\r\n\r\n"
        self._writer.write(request.encode())
        await self.read(until)
        return self

    async def read(self, until: bytes) -> None:
        while until not in self._seen:
            part = await self._reader.read(1 << 16)
            if not part:
                raise ConnectionError("the stream has ended")
            self._seen = self._seen[-256:] + part

    def close(self) -> None:
        self._writer.close()


async def round_of(stack: Stack, count: int, *, everything: bool) -> Cost:
    """So many watchers of one execution that waits, or of all executions."""
    execution_id = stack.run(WORKFLOW, {"n": 1}, mode="queued")["executionId"]
    stack.until(execution_id, "waiting")
    single = f"/api/workflow/execution/{execution_id}"
    path = "/api/workflow/stream" if everything else f"{single}/stream"
    first = b"stream.opened" if everything else b"execution.waiting"
    before = resident_bytes(stack.gateway)
    began = time.perf_counter()
    watchers: list[Watcher] = []
    for start in range(0, count, 50):
        some = range(start, min(start + 50, count))
        watchers += await asyncio.gather(*(Watcher(stack, path).open(first) for _ in some))
    opened = time.perf_counter()
    grown = resident_bytes(stack.gateway) - before
    await asyncio.to_thread(stack.call, "POST", f"{single}/input/ok", {"approved": True})
    told = 0
    with contextlib.suppress(TimeoutError):
        async with asyncio.timeout(TOLD_SECONDS):
            for watcher in watchers:
                await watcher.read(b"execution.completed")
                told += 1
    ended = time.perf_counter()
    for watcher in watchers:
        watcher.close()
    return Cost(grown, opened - began, told, ended - opened)


def main(arguments: Sequence[str]) -> int:
    kind = arguments[0] if arguments else "sqlite"
    count = int(arguments[1]) if len(arguments) > 1 else COUNT
    met = True
    with running_stack(kind) as stack:
        asyncio.run(round_of(stack, WARM_UP, everything=False))
        asyncio.run(round_of(stack, WARM_UP, everything=True))
        for everything in (False, True):
            cost = asyncio.run(round_of(stack, count, everything=everything))
            fine = cost.grown_bytes < LIMIT_BYTES * count / COUNT and cost.told == count
            met = met and fine
            print(f"{count:,} idle watchers of {'all executions' if everything else 'one execution'}: "
                  f"{'ok' if fine else 'NOT MET'}")  # fmt: skip
            print(f"  gateway  {cost.grown_bytes / (1 << 20):8.1f} MiB more (limit {LIMIT_BYTES >> 20})")
            print(
                f"  opened in {cost.opened_seconds:.1f} s; {cost.told:,} saw the end, "
                f"{cost.told_seconds:.1f} s later"
            )
    return 0 if met else 1


if __name__ == "__main__":
    sys.exit(main(sys.argv[1:]))
