"""An execution that may kill its process, run in a process with nothing else in it.

After two lost leases without any step outcome an execution is suspected of killing whoever runs
it. The worker that claims it keeps the lease and lets a child do the work: at worst only the
child dies. Parent and child talk over the child's standard input: the claim as one line of
base64, then one order a line.
Source: docs/protocol.md, "Poison".
"""

from __future__ import annotations

import asyncio
import base64
import os
import signal
import sys
from contextlib import suppress

import structlog

from flow_engine.errors import LeaseLost
from flow_engine.interpreter.runner import Runner
from flow_engine.logs import configure_logs
from flow_engine.nodes.registry import load_registry
from flow_engine.nodes.services import SharedServices
from flow_engine.tether import tethered
from flow_engine.v1 import worker_pb2 as pb
from services.worker.definitions import Definitions
from services.worker.executor_client import ExecutorClient
from services.worker.journal import RemoteJournal, RemotePayloads, decoded

log = structlog.get_logger()

NUDGE, QUIESCE = b"nudge\n", b"quiesce\n"


class SolitaryRun:
    """The parent's side. Has the part of a Runner's interface that a worker uses."""

    def __init__(self, process: asyncio.subprocess.Process) -> None:
        self._process = process

    @classmethod
    async def begin(cls, address: str, worker_id: str, claimed: pb.ClaimedExecution) -> SolitaryRun:
        process = await asyncio.create_subprocess_exec(
            *tethered([sys.executable, "-m", "services.worker.solitary", address, worker_id]),
            stdin=asyncio.subprocess.PIPE,
        )
        run = cls(process)
        run._order(base64.b64encode(claimed.SerializeToString()) + b"\n")
        return run

    async def finished(self) -> bool:
        """Whether the child ended by itself; else its lease is left to expire."""
        return await self._process.wait() == 0

    def nudge(self) -> None:
        self._order(NUDGE)

    def quiesce(self, reason: str) -> None:
        self._order(QUIESCE)

    def abandon(self) -> None:
        with suppress(ProcessLookupError):
            self._process.kill()

    def _order(self, line: bytes) -> None:
        assert self._process.stdin is not None
        with suppress(ConnectionError):
            self._process.stdin.write(line)


class _UntilKilled:
    """The parent holds the lease and kills this process when it is lost."""

    def seconds_left(self) -> float:
        return float("inf")


async def carry(address: str, worker_id: str) -> None:
    """The child's side: one execution, from claim to end."""
    orders = asyncio.StreamReader(limit=64 << 20)
    await asyncio.get_running_loop().connect_read_pipe(
        lambda: asyncio.StreamReaderProtocol(orders), sys.stdin
    )
    claimed = pb.ClaimedExecution.FromString(base64.b64decode(await orders.readline()))
    registry = load_registry()
    client = ExecutorClient(address, worker_id, registry.names())
    services = SharedServices()
    try:
        runner = Runner(
            await Definitions(client, registry).graph(claimed.definition_hash),
            decoded(claimed.batches),
            RemoteJournal(client, claimed, _UntilKilled()),
            RemotePayloads(client),
            services,
            claimed.execution_id,
        )
        obeying = asyncio.create_task(_obey(orders, runner))
        try:
            await runner.run()
        except LeaseLost:
            log.info("execution.dropped", execution_id=claimed.execution_id)
        obeying.cancel()
    finally:
        await services.close()
        await client.close()


async def _obey(orders: asyncio.StreamReader, runner: Runner) -> None:
    while line := await orders.readline():
        if line == NUDGE:
            runner.nudge()
        elif line == QUIESCE:
            runner.quiesce("shutdown")


if __name__ == "__main__":
    signal.signal(signal.SIGINT, signal.SIG_IGN)  # Ctrl-C is for the parent to handle
    configure_logs(os.environ.get("FLOW_LOG_LEVEL") or "info")
    asyncio.run(carry(*sys.argv[1:]))
