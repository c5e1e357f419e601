"""`python -m services.executor`: one executor process, until SIGTERM or Ctrl-C."""

from __future__ import annotations

import asyncio
import os
import signal
import sys

from flow_engine.environment import EXIT_CONFIGURATION, WrongSettings
from flow_engine.errors import Unavailable
from flow_engine.logs import configure_logs
from flow_engine.nodes.registry import NodeTypeError
from services.executor.bootstrap import Executor
from services.executor.persistence.database import InvalidDatabaseUrl
from services.executor.persistence.filelock import DatabaseInUse
from services.executor.persistence.migrating import SchemaMismatch
from services.executor.server import AddressInUse
from services.executor.settings import Settings, from_environment

REFUSALS = (
    WrongSettings,
    InvalidDatabaseUrl,
    DatabaseInUse,
    SchemaMismatch,
    AddressInUse,
    NodeTypeError,
    Unavailable,
)
"""What keeps an executor from starting and is for its operator to change."""


def main() -> int:
    try:
        settings = from_environment(os.environ)
        configure_logs(settings.log_level)
        run(settings)
    except REFUSALS as error:
        print(f"executor: {error}", file=sys.stderr)
        return EXIT_CONFIGURATION
    return 0


def run(settings: Settings) -> None:
    if sys.platform == "win32":
        asyncio.run(serve(settings))
    else:
        import uvloop

        uvloop.run(serve(settings))


async def serve(settings: Settings) -> None:
    """Until a signal asks to stop. Prints one line once it serves: `ready host:port`."""
    stop = asyncio.Event()
    loop = asyncio.get_running_loop()
    for number in (signal.SIGTERM, signal.SIGINT):
        loop.add_signal_handler(number, stop.set)
    executor = Executor(settings)
    try:
        address = await started(executor, stop)
        if address:
            print(f"ready {address}", flush=True)
            await stop.wait()
    finally:
        await executor.stop()


async def started(executor: Executor, stop: asyncio.Event) -> str:
    """The address, or nothing when a signal came first."""
    starting = asyncio.create_task(executor.start())
    stopping = asyncio.create_task(stop.wait())
    await asyncio.wait([starting, stopping], return_when=asyncio.FIRST_COMPLETED)
    stopping.cancel()
    if not starting.done():
        starting.cancel()
        return ""
    return await starting


if __name__ == "__main__":
    sys.exit(main())
