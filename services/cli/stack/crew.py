"""Several worker processes under one command, started anew when the code changes."""

from __future__ import annotations

import asyncio
import os
import signal
from collections.abc import Callable, Mapping
from pathlib import Path

import flow_engine
import services
from services.cli.errors import ExitCode
from services.cli.output import note
from services.cli.stack.children import Service, service_command

GRACE_SECONDS = 30.0
LOOK_SECONDS = 0.5


async def work(processes: int, environment: Mapping[str, str], *, reload: bool) -> int:
    """Keep workers running until SIGTERM or Ctrl-C; a second one kills them. Returns the exit code.

    Raises ServiceFailed when one of them cannot be kept running.
    """
    merged = {**os.environ, **environment}
    crew = [
        Service(f"worker-{n + 1}", service_command("services.worker"), lambda: merged, None, note)
        for n in range(processes)
    ]

    def kill() -> None:
        for worker in crew:
            worker.kill()

    stop = stop_signal(kill)
    running = [asyncio.create_task(worker.keep_running()) for worker in crew]
    beside = [asyncio.create_task(announce(worker)) for worker in crew]
    if reload:
        beside.append(asyncio.create_task(reload_on_change(crew)))
    stopped = asyncio.create_task(stop.wait())
    try:
        done, _ = await asyncio.wait([stopped, *running], return_when=asyncio.FIRST_COMPLETED)
        for task in done - {stopped}:
            task.result()
        return ExitCode.OK
    finally:
        await asyncio.gather(*(worker.stop(GRACE_SECONDS) for worker in crew))
        await asyncio.gather(*running, return_exceptions=True)
        for task in (stopped, *beside):
            task.cancel()


def stop_signal(kill: Callable[[], None]) -> asyncio.Event:
    """Set by the first SIGTERM, SIGINT or SIGHUP; the second one calls `kill`."""
    stop = asyncio.Event()

    def received() -> None:
        if stop.is_set():
            kill()
        stop.set()

    loop = asyncio.get_running_loop()
    for number in (signal.SIGTERM, signal.SIGINT, signal.SIGHUP):
        loop.add_signal_handler(number, received)
    return stop


async def announce(worker: Service) -> None:
    """One line `ready <worker id>` on standard output for each start."""
    while True:
        await worker.ready.wait()
        print(f"ready {worker.address}", flush=True)
        while worker.ready.is_set():  # noqa: ASYNC110 - the event is cleared, which nobody can wait for
            await asyncio.sleep(LOOK_SECONDS)


async def reload_on_change(crew: list[Service]) -> None:
    """Restart all, gracefully, whenever a source file of ours appears, changes or goes."""
    seen = await asyncio.to_thread(source_times)
    while True:
        await asyncio.sleep(LOOK_SECONDS)
        now = await asyncio.to_thread(source_times)
        if now != seen:
            seen = now
            note("the code has changed; workers start anew")
            for worker in crew:
                worker.restart()


def source_times() -> dict[Path, float]:
    """When each Python file of the packages was changed last."""
    times: dict[Path, float] = {}
    for package in (flow_engine, services):
        for root in package.__path__:
            for path in Path(root).rglob("*.py"):
                try:
                    times[path] = path.stat().st_mtime
                except FileNotFoundError:  # just renamed by an editor
                    continue
    return times
