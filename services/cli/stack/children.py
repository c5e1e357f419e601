"""A service as a child process that is kept running.

A service says `ready <address>` on its standard output once it serves, writes its log to standard error,
ends gracefully on SIGTERM, and exits with 78 when its configuration is wrong. It dies with us.
"""

from __future__ import annotations

import asyncio
import contextlib
import os
import signal
import sys
import time
from collections.abc import Callable, Mapping, Sequence
from pathlib import Path

from flow_engine.tether import tethered
from services.cli.errors import CommandError, ExitCode
from services.cli.stack import logs

QUICK_SECONDS = 10.0
"""Who dies sooner than this after its start died quickly."""
MOST_QUICK_DEATHS = 5
BACKOFF_SECONDS = (0.2, 0.5, 1.0, 2.0)  # the last repeats


class ServiceFailed(CommandError):
    """A service cannot be kept running; its last words follow."""


class Service:
    """One child process, started again with back-off whenever it ends.

    `address` is what it said when it was ready last; `environment` is asked before each start.
    log: the file of its standard error; None leaves that where ours goes.
    """

    def __init__(
        self,
        name: str,
        command: Sequence[str],
        environment: Callable[[], Mapping[str, str]],
        log: Path | None,
        say: Callable[[str], None],
        inherited: Sequence[int] = (),
    ) -> None:
        self.name = name
        self.log = log
        self.address = ""
        self.ready = asyncio.Event()
        self._command = tuple(command)
        self._environment = environment
        self._say = say
        self._inherited = tuple(inherited)
        self._stopping = asyncio.Event()
        self._restarting = False
        self._process: asyncio.subprocess.Process | None = None

    @property
    def pid(self) -> int | None:
        return self._process.pid if self._process and self._process.returncode is None else None

    async def keep_running(self) -> None:
        """Until `stop`. Raises ServiceFailed after a wrong configuration or repeated quick deaths."""
        quick_deaths = 0
        while not self._stopping.is_set():
            log_start, started_at = logs.opened_at(self.log) if self.log else 0, time.monotonic()
            code = await self._run_once()
            self.ready.clear()
            if self._stopping.is_set():
                return
            if self._restarting:
                self._restarting = False
                continue
            if code == ExitCode.CONFIGURATION:
                raise self._failure("cannot run as configured", log_start, ExitCode.CONFIGURATION)
            quick = time.monotonic() - started_at < QUICK_SECONDS
            quick_deaths = quick_deaths + 1 if quick else 1
            if quick_deaths >= MOST_QUICK_DEATHS:
                said = f"ended {quick_deaths} times soon after its start, last with {how_it_ended(code)}"
                raise self._failure(said, log_start, ExitCode.FAILED)
            delay = BACKOFF_SECONDS[min(quick_deaths, len(BACKOFF_SECONDS)) - 1]
            self._say(f"{self.name} ended with {how_it_ended(code)}; it is started again")
            with contextlib.suppress(TimeoutError):
                async with asyncio.timeout(delay):
                    await self._stopping.wait()

    async def stop(self, grace_seconds: float) -> None:
        """SIGTERM, and SIGKILL to whoever needs longer than the grace period. Safe to repeat."""
        self._stopping.set()
        process = self._process
        if process is None or process.returncode is not None:
            return
        self._signal(signal.SIGTERM)
        try:
            async with asyncio.timeout(grace_seconds):
                await process.wait()
        except TimeoutError:
            self._say(f"{self.name} did not end within {grace_seconds:g} s; it is killed")
            self.kill()
            await process.wait()

    def restart(self) -> None:
        """End it gracefully; it comes back with its present environment."""
        self._restarting = True
        self._signal(signal.SIGTERM)

    def kill(self) -> None:
        self._stopping.set()
        self._signal(signal.SIGKILL)

    def _signal(self, number: signal.Signals) -> None:
        if self.pid:
            with contextlib.suppress(ProcessLookupError):
                # The group: it has a session of its own, and where the kernel cannot tie it to us there is
                # a process in between.
                os.killpg(self.pid, number)

    async def _run_once(self) -> int:
        with self.log.open("ab") if self.log else contextlib.nullcontext() as log:
            # From the main thread: the kernel ties a child to the thread that started it.
            self._process = await asyncio.create_subprocess_exec(
                *tethered(self._command),
                env={**self._environment(), "PYTHONUNBUFFERED": "1"},
                stdin=asyncio.subprocess.DEVNULL,
                stdout=asyncio.subprocess.PIPE,
                stderr=log,
                pass_fds=self._inherited,
                start_new_session=True,  # Ctrl-C is for us: we stop the services in order
            )
        if self._stopping.is_set():
            self._signal(signal.SIGTERM)
        await self._listen(self._process)
        return await self._process.wait()

    async def _listen(self, process: asyncio.subprocess.Process) -> None:
        assert process.stdout
        async for line in process.stdout:
            word, _, rest = line.decode(errors="replace").strip().partition(" ")
            if word == "ready":
                self.address = rest
                self.ready.set()

    def _failure(self, what: str, log_start: int, code: ExitCode) -> ServiceFailed:
        said = logs.tail(self.log, log_start) if self.log else []
        where = f"; the end of {self.log}:" if said else ""
        failure = ServiceFailed(f"{self.name} {what}{where}", said)
        failure.exit_code = code
        return failure


def how_it_ended(code: int) -> str:
    """`exit code 1`, `signal SIGKILL`."""
    if code >= 0:
        return f"exit code {code}"
    with contextlib.suppress(ValueError):
        return f"signal {signal.Signals(-code).name}"
    return f"signal {-code}"


def service_command(module: str) -> list[str]:
    """Runs a service with our interpreter; -P: what lies in the working directory is not imported."""
    return [sys.executable, "-P", "-m", module]
