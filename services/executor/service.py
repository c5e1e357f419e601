"""An executor from its start to the signal that ends it."""

from __future__ import annotations

import asyncio
import os
import signal
import sys

import structlog

from flow_engine.environment import EXIT_CONFIGURATION
from flow_engine.errors import Unavailable
from flow_engine.lean import collect_rarely
from flow_engine.nodes.registry import NodeTypeError
from services.executor.bootstrap import Executor
from services.executor.persistence.database import InvalidDatabaseUrl
from services.executor.persistence.filelock import DatabaseInUse
from services.executor.persistence.migrating import SchemaMismatch
from services.executor.server import AddressInUse
from services.executor.settings import Settings

log = structlog.get_logger()

CLOSE_SECONDS = 10.0

REFUSALS = (InvalidDatabaseUrl, DatabaseInUse, SchemaMismatch, AddressInUse, NodeTypeError, Unavailable)
"""What keeps an executor from starting and is for its operator to change."""


def run(settings: Settings) -> int:
    """The exit code of the process."""
    try:
        if sys.platform == "win32":
            asyncio.run(serve(settings))
        else:
            import uvloop

            uvloop.run(serve(settings))
    except REFUSALS as error:
        print(f"executor: {error}", file=sys.stderr)
        return EXIT_CONFIGURATION
    return 0


async def serve(settings: Settings) -> None:
    """Until SIGTERM or SIGINT. Prints one line once it serves: `ready host:port`."""
    stop = asyncio.Event()
    for number in (signal.SIGTERM, signal.SIGINT):
        asyncio.get_running_loop().add_signal_handler(number, stop.set)
    executor = Executor(settings)
    try:
        if address := await started(executor, stop):
            collect_rarely()
            print(f"ready {address}", flush=True)
            await stop.wait()
    finally:
        await stopped(executor, settings.shutdown_grace_seconds + CLOSE_SECONDS)


async def stopped(executor: Executor, seconds: float) -> None:
    """Stop it in good order; in any order if that takes too long."""
    try:
        async with asyncio.timeout(seconds):
            await executor.stop()
    except TimeoutError:
        # What was accepted is committed, and leases run out: what some library does not let go of
        # must not keep us.
        log.error("executor.stuck", tasks=[str(task) for task in asyncio.all_tasks()])
        os._exit(0)


async def started(executor: Executor, stop: asyncio.Event) -> str:
    """The address, or nothing when a signal came first."""
    starting = asyncio.create_task(executor.start())
    stopping = asyncio.create_task(stop.wait())
    await asyncio.wait([starting, stopping], return_when=asyncio.FIRST_COMPLETED)
    stopping.cancel()
    if not starting.done():
        starting.cancel()
        await asyncio.wait([starting])
        return ""
    return await starting
