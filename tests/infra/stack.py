"""The real services as processes, for tests that use them from outside: start, kill, freeze, restart."""

from __future__ import annotations

import os
import queue
import signal
import subprocess
import sys
import threading
import time
from collections.abc import Callable, Mapping
from pathlib import Path
from typing import Any, TypeVar

import httpx

from flow_engine.tether import tethered
from tests.infra.ports import free_port

T = TypeVar("T")

STUCK_SECONDS = 30.0
"""A service that is not ready yet and has not computed anything for so long never will be."""
READY_SECONDS = 80.0
"""The most, on a machine that has little time for us; a test has more."""


def eventually(look: Callable[[], T | None], what: str, seconds: float = 30.0) -> T:
    """The first true thing that `look` gives; it looks every 20 ms."""
    deadline = time.monotonic() + seconds
    while True:
        found = look()
        if found:
            return found
        if time.monotonic() > deadline:
            raise AssertionError(f"not within {seconds:g} s: {what}")
        time.sleep(0.02)


def cpu_ticks(pid: int) -> int:
    """What a process has computed so far; -1 where the system does not tell."""
    try:
        fields = Path(f"/proc/{pid}/stat").read_text().rpartition(")")[2].split()
    except OSError:
        return -1
    return int(fields[11]) + int(fields[12])


class ServiceProcess:
    """One service. `address` is what it said when it was ready; its log is a file."""

    def __init__(self, name: str, module: str, environment: Mapping[str, str], log: Path) -> None:
        self.name = name
        self.log = log
        self.address = ""
        self._command = [sys.executable, "-m", module]
        self._environment = dict(environment)
        self._process: subprocess.Popen[str] | None = None

    def start(self, *, wait: bool = True) -> ServiceProcess:
        with self.log.open("a") as log:
            self._process = subprocess.Popen(
                tethered(self._command),
                env={**os.environ, **self._environment, "PYTHONUNBUFFERED": "1"},
                stdin=subprocess.DEVNULL,
                stdout=subprocess.PIPE,
                stderr=log,
                text=True,
            )
        if wait:
            self.wait_until_ready()
        return self

    @property
    def pid(self) -> int:
        assert self._process is not None
        return self._process.pid

    def send(self, number: signal.Signals) -> None:
        assert self._process is not None
        self._process.send_signal(number)

    def kill(self) -> None:
        self.send(signal.SIGKILL)
        self.wait()

    def stop(self, seconds: float = 30.0) -> int:
        """SIGTERM; its exit code."""
        if self._process is None:
            return 0
        if self._process.poll() is None:
            self.send(signal.SIGCONT)
            self.send(signal.SIGTERM)
        try:
            return self._process.wait(seconds)
        except subprocess.TimeoutExpired:
            self.kill()
            raise AssertionError(f"{self.name} did not stop within {seconds:g} s:\n{self.tail()}") from None

    def wait(self, seconds: float = 30.0) -> int:
        assert self._process is not None
        return self._process.wait(seconds)

    def tail(self, lines: int = 30) -> str:
        return "\n".join(self.log.read_text().splitlines()[-lines:]) if self.log.exists() else ""

    def wait_until_ready(self) -> None:
        process = self._process
        assert process is not None
        assert process.stdout is not None
        said: queue.Queue[str] = queue.Queue()
        threading.Thread(target=self._listen, args=(process.stdout, said), daemon=True).start()
        deadline = time.monotonic() + READY_SECONDS
        while True:
            before = cpu_ticks(process.pid)
            try:
                self.address = said.get(timeout=STUCK_SECONDS)
                break
            except queue.Empty:
                self.address = ""
            if time.monotonic() > deadline or cpu_ticks(process.pid) == before:
                break
        if not self.address:
            process.kill()
            raise AssertionError(f"{self.name} was never ready (exit code {process.wait()}):\n{self.tail()}")

    @staticmethod
    def _listen(output: Any, said: queue.Queue[str]) -> None:
        for line in output:
            word, _, rest = line.strip().partition(" ")
            if word == "ready":
                said.put(rest)
        said.put("")


class Stack:
    """Executors, workers and gateways on one database and one Redis."""

    def __init__(self, folder: Path, database_url: str, redis_url: str, **settings: str) -> None:
        self.folder = folder
        self.executor_port = free_port()
        self._environment = {
            "DATABASE_URL": database_url,
            "REDIS_URL": redis_url,
            "FLOW_DATA_DIR": str(folder),
            "FLOW_GRPC_ADDRESS": f"127.0.0.1:{self.executor_port}",
            "FLOW_HTTP_ADDRESS": f"127.0.0.1:{free_port()}",
            "FLOW_MIGRATE": "1",
            "FLOW_WORKER_CONCURRENCY": "16",
            **settings,
        }
        self.services: list[ServiceProcess] = []
        self.executor = self.service("executor")
        self.gateway = self.service("gateway")
        self.worker = self.service("worker")

    def service(self, kind: str, **settings: str) -> ServiceProcess:
        """Another process of this kind, not started yet."""
        name = f"{kind}-{len(self.services)}"
        environment = {**self._environment, **settings}
        process = ServiceProcess(name, f"services.{kind}", environment, self.folder / f"{name}.log")
        self.services.append(process)
        return process

    def start(self) -> Stack:
        self.executor.start()
        for process in (self.worker, self.gateway):
            process.start(wait=False)
        for process in (self.worker, self.gateway):
            process.wait_until_ready()
        return self

    def stop(self) -> None:
        for process in reversed(self.services):
            process.stop()

    @property
    def database_url(self) -> str:
        return self._environment["DATABASE_URL"]

    @property
    def redis_url(self) -> str:
        return self._environment["REDIS_URL"]

    @property
    def grpc_address(self) -> str:
        return f"127.0.0.1:{self.executor_port}"

    @property
    def base_url(self) -> str:
        return f"http://{self._environment['FLOW_HTTP_ADDRESS']}"

    # What clients do --------------------------------------------------------------------------

    def call(self, method: str, path: str, body: Any = None, **options: Any) -> httpx.Response:
        return httpx.request(
            method, self.base_url + path, json=body, timeout=options.pop("timeout", 60.0), **options
        )

    def run(self, workflow: Any, input_value: Any = None, mode: str = "auto", **rest: Any) -> dict[str, Any]:
        """The answer to a start, with its HTTP status as `httpStatus`."""
        headers, timeout = rest.pop("headers", {}), rest.pop("timeout", 60.0)
        body = {
            "workflow": workflow,
            "input": {} if input_value is None else input_value,
            "mode": mode,
            **rest,
        }
        response = self.call("POST", "/api/workflow/run", body, headers=headers, timeout=timeout)
        return {**response.json(), "httpStatus": response.status_code}

    def execution(self, execution_id: str) -> dict[str, Any]:
        response = self.call("GET", f"/api/workflow/execution/{execution_id}")
        assert response.status_code == 200, response.text
        found: dict[str, Any] = response.json()
        return found

    def control(self, execution_id: str, what: str) -> httpx.Response:
        return self.call("POST", f"/api/workflow/execution/{execution_id}/{what}")

    def until(self, execution_id: str, *statuses: str, seconds: float = 30.0) -> dict[str, Any]:
        """The execution once it has one of the statuses."""

        def look() -> dict[str, Any] | None:
            try:
                found = self.execution(execution_id)
            except (httpx.HTTPError, AssertionError):
                return None  # a service is being restarted
            return found if found["status"] in statuses else None

        return eventually(look, f"execution {execution_id} is {' or '.join(statuses)}", seconds)

    def events(self, execution_id: str) -> list[dict[str, Any]]:
        """The whole history, as frames."""
        found: list[dict[str, Any]] = []
        while True:
            after = found[-1]["sequence"] if found else 0
            path = f"/api/workflow/execution/{execution_id}/events?afterSequence={after}&limit=1000"
            page = self.call("GET", path).json()
            found += page["events"]
            if not page["events"] or found[-1]["sequence"] >= page["lastSequence"]:
                return found
