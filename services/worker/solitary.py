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
import subprocess
import sys
import threading
from collections.abc import Sequence
from contextlib import suppress

import structlog

from flow_engine.callbacks import Callbacks
from flow_engine.dialing import Dial, read_dial
from flow_engine.egress.guard import EgressGuard
from flow_engine.egress.rules import EgressRules
from flow_engine.environment import EnvironmentReader
from flow_engine.errors import FlowEngineError, LeaseLost
from flow_engine.interpreter.runner import Runner
from flow_engine.logs import configure_logs
from flow_engine.nodes.registry import load_registry
from flow_engine.nodes.services import SharedServices
from flow_engine.tether import tethered
from flow_engine.v1 import worker_pb2 as pb
from services.worker.definitions import Definitions
from services.worker.executor_client import ExecutorClient, ExecutorUnreachable
from services.worker.journal import RemoteJournal, RemotePayloads, RemoteSecrets, decoded
from services.worker.settings import code_from, egress_from

log = structlog.get_logger()

NUDGE, QUIESCE = b"nudge\n", b"quiesce\n"


class SolitaryRun:
    """The parent's side. Has the part of a Runner's interface that a worker uses."""

    def __init__(self, process: subprocess.Popen[bytes], orders: asyncio.WriteTransport) -> None:
        self._process = process
        self._orders = orders
        self._abandoned = False
        self._ended: asyncio.Future[int] = asyncio.get_running_loop().create_future()
        threading.Thread(target=self._wait, args=(asyncio.get_running_loop(),), daemon=True).start()

    @classmethod
    async def begin(cls, address: str, worker_id: str, claimed: pb.ClaimedExecution) -> SolitaryRun:
        run = await cls.launch([sys.executable, "-m", "services.worker.solitary", address, worker_id])
        run._orders.write(base64.b64encode(claimed.SerializeToString()) + b"\n")
        return run

    @classmethod
    async def launch(cls, command: Sequence[str]) -> SolitaryRun:
        # Not by the event loop: uvloop forks with the handlers that gRPC has for that, and one child in
        # thirty crashes in them. From this thread, since the child is tied to the one that starts it.
        process = subprocess.Popen(tethered(command), stdin=subprocess.PIPE)  # noqa: ASYNC220
        orders, _ = await asyncio.get_running_loop().connect_write_pipe(asyncio.BaseProtocol, process.stdin)
        return cls(process, orders)

    async def died(self) -> bool:
        """Whether the child, once it has ended, did so neither by itself nor by our hand."""
        return await asyncio.shield(self._ended) != 0 and not self._abandoned

    def nudge(self) -> None:
        self._orders.write(NUDGE)

    def quiesce(self, reason: str) -> None:
        self._orders.write(QUIESCE)

    def abandon(self) -> None:
        if not self._ended.done():
            self._abandoned = True
            self._process.kill()
        self._orders.close()

    def _wait(self, loop: asyncio.AbstractEventLoop) -> None:
        code = self._process.wait()
        with suppress(RuntimeError):  # the loop may be closed by now
            loop.call_soon_threadsafe(self._ended.set_result, code)


class _UntilKilled:
    """The parent holds the lease and kills this process when it is lost."""

    def seconds_left(self) -> float:
        return float("inf")

    async def sure(self) -> None:
        pass


async def carry(
    address: str, worker_id: str, egress: EgressRules, dial: Dial, *, runs_code: bool = False
) -> None:
    """The child's side: one execution, from claim to end."""
    orders = asyncio.StreamReader(limit=64 << 20)
    await asyncio.get_running_loop().connect_read_pipe(
        lambda: asyncio.StreamReaderProtocol(orders), sys.stdin
    )
    claimed = pb.ClaimedExecution.FromString(base64.b64decode(await orders.readline()))
    registry = load_registry()
    client = ExecutorClient(address, worker_id, registry.names(), dial)
    services = SharedServices(EgressGuard(egress), runs_code=runs_code)
    try:
        runner = Runner(
            await Definitions(client, registry).graph(claimed.definition_hash, claimed.execution_id),
            decoded(claimed.batches),
            RemoteJournal(client, claimed, _UntilKilled()),
            RemotePayloads(client, claimed.execution_id),
            services,
            claimed.execution_id,
            snapshot=claimed.snapshot,
            callbacks=Callbacks(claimed.callback_url, claimed.execution_id, claimed.callback_key),
            secrets=RemoteSecrets(client, claimed),
        )
        obeying = asyncio.create_task(_obey(orders, runner))
        try:
            await runner.run()
        finally:
            obeying.cancel()
    except LeaseLost:
        log.info("execution.dropped", execution_id=claimed.execution_id)
    except (FlowEngineError, ExecutorUnreachable) as error:
        log.warning("execution.dropped", execution_id=claimed.execution_id, reason=str(error))
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
    _, executor, worker = sys.argv
    read = EnvironmentReader(os.environ)
    egress, dial = egress_from(read, os.environ), read_dial(os.environ, read)
    asyncio.run(carry(executor, worker, egress, dial, runs_code=code_from(read)))
