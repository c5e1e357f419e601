"""The real services as processes, on a database and a Redis of their own, with proxies where asked for."""

from __future__ import annotations

import asyncio
import os
import shutil
import signal
import subprocess
import tempfile
import time
from collections.abc import Callable, Mapping
from dataclasses import dataclass
from pathlib import Path
from urllib.parse import urlsplit, urlunsplit

from tests.chaos.deadly_node import installed_in
from tests.chaos.proxy import Proxy
from tests.chaos.records import Records
from tests.infra.balancer import Balancer
from tests.infra.egress import LOOPBACK
from tests.infra.ports import free_port
from tests.infra.postgres import PostgresCluster
from tests.infra.stack import ServiceProcess
from tests.infra.valkey import PrivateValkey
from tests.infra.witness import Witness

ROOT = Path(__file__).resolve().parents[2]


def leases(seconds: int) -> dict[str, str]:
    """Settings; what must be swept is swept often."""
    return {
        "FLOW_LEASE_SECONDS": f"{seconds}",
        "FLOW_IMMEDIATE_LEASE_SECONDS": f"{seconds}",
        "FLOW_SWEEP_INTERVAL_SECONDS": "0.2",
    }


SHORT_LEASES = leases(3)
"""A lost process is noticed within seconds."""
LONG_LEASES = leases(30)
"""No lease runs out within a fault that takes no process: any step that runs twice is a mistake."""


@dataclass(frozen=True, slots=True)
class Plan:
    """What a stage is made of. Faults with equal plans share one.

    between: where proxies stand: redis, postgresql, executor. small_disk: SQLite's file lies on a file
    system of 16 MiB, or where none can be mounted, under a limit of file size. Where there are several
    executors or gateways, connections to them go round, also those of gateways and workers to executors.
    """

    database: str  # sqlite, postgresql
    settings: tuple[tuple[str, str], ...] = ()
    between: frozenset[str] = frozenset()
    workers: int = 2
    small_disk: bool = False
    executors: int = 1
    gateways: int = 1


class Stage:
    """`start` it in a thread that outlives it: its processes die with the thread that started them."""

    def __init__(self, plan: Plan, cluster: PostgresCluster | None, folder: Path) -> None:
        self.plan = plan
        self.cluster = cluster
        self.folder = folder
        self.witness = Witness(folder / "witness.ndjson")
        self.valkey = PrivateValkey(folder / "valkey")
        self.proxies: dict[str, Proxy] = {}
        self.balancers: list[Balancer] = []
        self.database_url = ""
        http, grpc = self._entrances(plan.gateways), self._entrances(plan.executors)
        self.http_port, self._http_ports = http
        self.grpc_port, self._grpc_ports = grpc
        self.executors: list[ServiceProcess] = []
        self.gateways: list[ServiceProcess] = []
        self.workers: list[ServiceProcess] = []
        self._services: list[ServiceProcess] = []
        self._environment: dict[str, str] = {}
        self._mounted = False

    async def start(self) -> Stage:
        await self.valkey.start()
        self.database_url = await asyncio.to_thread(self._make_database)
        redis_url = self._through("redis", self.valkey.url)
        grpc_address = f"127.0.0.1:{self.grpc_port}"
        if "executor" in self.plan.between:
            self.proxies["executor"] = Proxy(self.grpc_port).start()
        self._environment = {
            "DATABASE_URL": self._through("postgresql", self.database_url),
            "REDIS_URL": redis_url,
            "FLOW_DATA_DIR": str(self.folder),
            "FLOW_GRPC_ADDRESS": grpc_address,
            "FLOW_HTTP_ADDRESS": f"127.0.0.1:{self.http_port}",
            "FLOW_MIGRATE": "1",
            "FLOW_WORKER_CONCURRENCY": "16",
            "FLOW_LOG_LEVEL": "info",
            "PYTHONPATH": os.pathsep.join((str(installed_in(self.folder / "packages")), str(ROOT))),
            **LOOPBACK,
            **dict(self.plan.settings),
        }
        proxied = self._proxied_executor()
        self.executors = [
            self._service("executor", FLOW_GRPC_ADDRESS=f"127.0.0.1:{port}") for port in self._grpc_ports
        ]
        self.gateways = [
            self._service("gateway", FLOW_HTTP_ADDRESS=f"127.0.0.1:{port}", **proxied)
            for port in self._http_ports
        ]
        self.workers = [self._service("worker", **proxied) for _ in range(self.plan.workers)]
        for together in (self.executors, (*self.workers, *self.gateways)):
            await asyncio.gather(*(asyncio.to_thread(each.start) for each in together))
        return self

    async def stop(self) -> list[str]:
        """What was wrong about the way it ended: exit codes other than 0."""
        problems = []
        for process in reversed(self._services):
            try:
                code = await asyncio.to_thread(process.stop)
            except AssertionError as error:
                problems.append(str(error).splitlines()[0])
            else:
                if code:
                    problems.append(f"{process.name} ended with {code} on SIGTERM")
        for proxy in self.proxies.values():
            await asyncio.to_thread(proxy.stop)
        for balancer in self.balancers:
            balancer.close()
        await self.valkey.stop()
        self.witness.close()
        if self._mounted:
            subprocess.run(["umount", self.disk], check=True)
        return problems

    @property
    def executor(self) -> ServiceProcess:
        return self.executors[0]

    @property
    def gateway(self) -> ServiceProcess:
        return self.gateways[0]

    @property
    def base_url(self) -> str:
        return f"http://127.0.0.1:{self.http_port}"

    @property
    def grpc_address(self) -> str:
        return f"127.0.0.1:{self.grpc_port}"

    @property
    def records(self) -> Records:
        return Records(self.database_url)

    @property
    def disk(self) -> Path:
        return self.folder / "disk"

    @property
    def disk_is_mounted(self) -> bool:
        return self._mounted

    def log(self, process: ServiceProcess) -> str:
        return process.log.read_text() if process.log.exists() else ""

    def _entrances(self, count: int) -> tuple[int, list[int]]:
        """The port that clients know, and those of the processes behind it."""
        ports = [free_port() for _ in range(count)]
        if count == 1:
            return ports[0], ports
        self.balancers.append(Balancer(ports))
        return self.balancers[-1].port, ports

    def _through(self, name: str, url: str) -> str:
        """The URL by way of a proxy, where one is planned."""
        if name not in self.plan.between:
            return url
        parts = urlsplit(url)
        assert parts.port is not None
        proxy = self.proxies[name] = Proxy(parts.port).start()
        return urlunsplit(parts._replace(netloc=parts.netloc.replace(f":{parts.port}", f":{proxy.port}")))

    def _proxied_executor(self) -> dict[str, str]:
        if "executor" not in self.proxies:
            return {}
        return {"FLOW_GRPC_ADDRESS": f"127.0.0.1:{self.proxies['executor'].port}"}

    def _make_database(self) -> str:
        if self.plan.database == "postgresql":
            assert self.cluster is not None
            return self.cluster.create_database()
        self.disk.mkdir()
        if self.plan.small_disk:
            command = ["mount", "-t", "tmpfs", "-o", "size=16m", "flow-chaos", str(self.disk)]
            if shutil.which("mount"):
                self._mounted = subprocess.run(command, capture_output=True, check=False).returncode == 0
        return f"sqlite:///{self.disk / 'flow.db'}"

    def _service(self, kind: str, **settings: str) -> ServiceProcess:
        name = f"{kind}-{len(self._services)}"
        environment = {**self._environment, **settings}
        process = ServiceProcess(name, f"services.{kind}", environment, self.folder / f"{name}.log")
        self._services.append(process)
        return process

    # What faults do ---------------------------------------------------------------------------

    async def restart(self, process: ServiceProcess) -> None:
        await asyncio.to_thread(process.start)

    async def kill(self, process: ServiceProcess) -> float:
        """kill -9; when it was, in seconds since 1970."""
        moment = time.time()
        await asyncio.to_thread(process.kill)
        return moment

    async def revive(self, process: ServiceProcess) -> bool:
        """Start it again if it has died; whether it had."""
        if alive(process.pid):
            return False
        process.wait()
        await self.restart(process)
        return True

    def freeze(self, process: ServiceProcess) -> float:
        moment = time.time()
        process.send(signal.SIGSTOP)
        return moment

    def thaw(self, process: ServiceProcess) -> None:
        process.send(signal.SIGCONT)

    async def busiest_worker(self, seconds: float = 20.0) -> ServiceProcess | None:
        """The worker that holds most leases, as soon as one holds any."""
        deadline = time.monotonic() + seconds
        while time.monotonic() < deadline:
            owners = await asyncio.to_thread(self.records.owners)
            busiest = max(self.workers, key=lambda worker: owners.get(worker.address, 0))
            if busiest.address in owners:
                return busiest
            await asyncio.sleep(0.02)
        return None


def alive(pid: int) -> bool:
    """Whether a process runs; one that has ended and was not waited for does not."""
    try:
        state = Path(f"/proc/{pid}/stat").read_text().rpartition(")")[2].split()[0]
    except OSError:
        return False
    return state != "Z"


async def until(look: Callable[[], bool], seconds: float, every: float = 0.02) -> bool:
    """Whether it came true in time."""
    deadline = time.monotonic() + seconds
    while time.monotonic() < deadline:
        if look():
            return True
        await asyncio.sleep(every)
    return False


def temporary_folder() -> Path:
    return Path(tempfile.mkdtemp(prefix="flow-chaos-"))


def settings(values: Mapping[str, str]) -> tuple[tuple[str, str], ...]:
    return tuple(sorted(values.items()))
