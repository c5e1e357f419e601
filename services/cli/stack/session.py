"""One `flow up` from start to stop, and what it tells meanwhile."""

from __future__ import annotations

import asyncio
import sys
from contextlib import suppress
from typing import Any

from services.cli.errors import ExitCode
from services.cli.output import note, print_json_line
from services.cli.settings import StackSettings
from services.cli.stack.crew import stop_signal
from services.cli.stack.folder import held
from services.cli.stack.showcase import check_at_hand, show_examples
from services.cli.stack.up import Stack


async def session(settings: StackSettings, *, examples: bool, verbose: bool, as_json: bool) -> int:
    """Run the stack until it is told to stop, and return the exit code. Raises CommandError."""
    if examples:
        check_at_hand()
    with held(settings.data_dir) as lock:
        stack = Stack(settings, lock, note)
        killed = asyncio.Event()

        def kill() -> None:
            killed.set()
            stack.kill()

        stop = stop_signal(kill)
        stopped = asyncio.create_task(stop.wait())
        serving = asyncio.create_task(_serve(stack, settings, examples=examples, as_json=as_json))
        following = asyncio.create_task(stack.follow_logs(_show_log_line) if verbose else _nothing())
        try:
            done, _ = await asyncio.wait([stopped, serving], return_when=asyncio.FIRST_COMPLETED)
            if serving in done:
                serving.result()
            note("stopping …")
        finally:
            serving.cancel()
            await asyncio.gather(serving, return_exceptions=True)
            await stack.stop()
            for task in (stopped, following):
                task.cancel()
        return ExitCode.INTERRUPTED if killed.is_set() else ExitCode.OK


async def _serve(stack: Stack, settings: StackSettings, *, examples: bool, as_json: bool) -> None:
    """Start, tell the addresses, run the examples; ends only by the failure of a part."""
    await stack.start()
    tell_ready(stack, settings, as_json)
    shown = asyncio.create_task(show_examples(stack.addresses.http, as_json) if examples else _nothing())
    try:
        await stack.failure()
    finally:
        shown.cancel()
        with suppress(asyncio.CancelledError):
            await shown


async def _nothing() -> None:
    return


def tell_ready(stack: Stack, settings: StackSettings, as_json: bool) -> None:
    """One line."""
    at = stack.addresses
    if as_json:
        line: dict[str, Any] = {"type": "ready", "http": at.http, "grpc": at.grpc}
        line |= {"workers": settings.workers, "dataDir": str(settings.data_dir), "pids": stack.pids}
        print_json_line(line)
        return
    workers = f"{settings.workers} worker{'' if settings.workers == 1 else 's'}"
    print(f"ready  {at.http}  grpc {at.grpc}  {workers}  data {settings.data_dir}", flush=True)
    if sys.stdout.isatty():
        note("Ctrl-C stops everything")


def _show_log_line(service: str, line: str) -> None:
    note(f"{service:<10} | {line}")
