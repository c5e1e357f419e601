"""`python -m services.worker`: one worker process, configured by the environment."""

from __future__ import annotations

import asyncio
import os
import signal
import sys

from flow_engine.lean import collect_rarely, lean_imports

with lean_imports():
    from flow_engine.environment import EXIT_CONFIGURATION, WrongSettings
    from flow_engine.logs import configure_logs
    from flow_engine.tracing import configure_tracing
    from services.worker.service import Worker
    from services.worker.settings import Settings, from_environment


def main() -> int:
    try:
        settings = from_environment(os.environ)
    except WrongSettings as problem:
        print(problem, file=sys.stderr)
        return EXIT_CONFIGURATION
    configure_logs(settings.log_level)
    configure_tracing("flow-worker")
    if sys.platform != "win32":
        import uvloop

        uvloop.run(serve(settings))
    else:
        asyncio.run(serve(settings))
    return 0


async def serve(settings: Settings) -> None:
    """Prints one line `ready <worker id>`, then works until SIGTERM or SIGINT."""
    stop = asyncio.Event()
    for number in (signal.SIGTERM, signal.SIGINT):
        asyncio.get_running_loop().add_signal_handler(number, stop.set)
    worker = Worker(settings)
    await worker.start()
    collect_rarely()
    print(f"ready {worker.id}", flush=True)
    await stop.wait()
    await worker.stop()


if __name__ == "__main__":
    sys.exit(main())
