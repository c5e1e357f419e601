"""The client: a process of its own that runs functions of `benchmarks.loads` when it is told to."""

from __future__ import annotations

import asyncio
import multiprocessing
import signal
import traceback
from collections.abc import Awaitable, Callable
from multiprocessing.connection import Connection
from typing import Any, ParamSpec, TypeVar

import uvloop

P = ParamSpec("P")
T = TypeVar("T")


class Failed(Exception):
    """What went wrong in the client process, with its traceback."""


class Driver:
    """Start it, call what shall run there, stop it. Its loop stays the same all the time."""

    def __init__(self) -> None:
        context = multiprocessing.get_context("spawn")
        self._here, there = context.Pipe()
        self._process = context.Process(target=serve, args=(there,), daemon=True)

    def start(self) -> Driver:
        self._process.start()
        self._here.recv()
        return self

    @property
    def pid(self) -> int:
        assert self._process.pid is not None
        return self._process.pid

    def __call__(self, function: Callable[P, Awaitable[T]], *args: P.args, **kwargs: P.kwargs) -> T:
        """The result of that coroutine function, run over there."""
        self._here.send((function, args, kwargs))
        fine, result = self._here.recv()
        if not fine:
            raise Failed(result)
        return result  # type: ignore[no-any-return]

    def stop(self) -> None:
        if self._process.is_alive():
            self._process.terminate()
            self._process.join(10)


def serve(pipe: Connection) -> None:
    signal.signal(signal.SIGINT, signal.SIG_IGN)  # whoever started us ends us
    uvloop.run(_serve(pipe))


async def _serve(pipe: Connection) -> None:
    pipe.send("ready")
    while True:
        function, args, kwargs = await asyncio.to_thread(pipe.recv)
        pipe.send(await outcome(function, args, kwargs))


async def outcome(
    function: Callable[..., Awaitable[Any]], args: tuple[Any, ...], kwargs: dict[str, Any]
) -> tuple[bool, Any]:
    try:
        return True, await function(*args, **kwargs)
    except Exception:
        return False, traceback.format_exc(limit=-6)
