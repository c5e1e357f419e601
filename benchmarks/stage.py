"""The real services, durable, beside the bare processes of the floors."""

from __future__ import annotations

import asyncio
import tempfile
from collections.abc import Iterator
from contextlib import ExitStack, contextmanager
from dataclasses import dataclass
from pathlib import Path

from benchmarks.driver import Driver
from benchmarks.fib_nodes import installed_in
from benchmarks.machine import cpu_seconds, resident_bytes
from tests.infra.ports import free_port
from tests.infra.postgres import PostgresCluster
from tests.infra.stack import ServiceProcess, Stack
from tests.infra.valkey import PrivateValkey

MIB = 1 << 20


@dataclass(frozen=True, slots=True)
class Stage:
    """hop_url, hop_address: the bare hop's gateway and gRPC server. bare_url: a database for bare commits."""

    database: str
    folder: Path
    driver: Driver
    stack: Stack
    valkey: PrivateValkey
    cluster: PostgresCluster | None
    hop_url: str
    hop_address: str
    bare_url: str
    hop: tuple[ServiceProcess, ...]  # its two processes

    def cpu(self) -> dict[str, float]:
        """Seconds of each process so far."""
        found = {name: cpu_seconds(process.pid) for name, process in self.services.items()}
        if self.cluster is not None:
            found["database"] = cpu_seconds(self.cluster.pid, whole_tree=True)
        found["redis"] = cpu_seconds(self.valkey.pid or 0)
        found["client"] = cpu_seconds(self.driver.pid)
        return found

    def hop_cpu(self) -> float:
        """Seconds of both processes of the bare hop so far."""
        return sum(cpu_seconds(process.pid) for process in self.hop)

    def memory(self) -> dict[str, float]:
        """MiB of each service."""
        return {name: resident_bytes(process.pid) / MIB for name, process in self.services.items()}

    @property
    def services(self) -> dict[str, ServiceProcess]:
        stack = self.stack
        return {"gateway": stack.gateway, "executor": stack.executor, "worker": stack.worker}


SLOTS = "64"
"""Of the one worker: it claims as many as are free, and what goes together costs less (docs/scaling.md)."""


@contextmanager
def stage(database: str, driver: Driver) -> Iterator[Stage]:
    """database: postgresql or sqlite; fsync is on in both."""
    with ExitStack() as stack:
        place = stack.enter_context(surroundings(database))
        bare_url = place.cluster.create_database() if place.cluster else f"sqlite:///{place.folder}/bare.db"
        hop_url, hop_address, hop = floors(stack, place)
        services = Stack(
            place.folder,
            place.database_url,
            place.valkey.url,
            PYTHONPATH=str(installed_in(place.folder / "nodes")),
            FLOW_WORKER_CONCURRENCY=SLOTS,
        )
        stack.callback(services.stop)
        services.start()
        yield Stage(
            database,
            place.folder,
            driver,
            services,
            place.valkey,
            place.cluster,
            hop_url,
            hop_address,
            bare_url,
            hop,
        )


@contextmanager
def running_stack(database: str) -> Iterator[Stack]:
    """The services alone, with room for many immediate runs at once."""
    with surroundings(database) as place:
        services = Stack(place.folder, place.database_url, place.valkey.url, FLOW_IMMEDIATE_CONCURRENCY="256")
        try:
            yield services.start()
        finally:
            services.stop()


@dataclass(frozen=True, slots=True)
class Surroundings:
    folder: Path
    database_url: str
    valkey: PrivateValkey
    cluster: PostgresCluster | None


@contextmanager
def surroundings(database: str) -> Iterator[Surroundings]:
    """A private Redis, and a private durable PostgreSQL cluster or a file."""
    with ExitStack() as stack:
        folder = Path(stack.enter_context(tempfile.TemporaryDirectory(prefix="flow-bench-")))
        valkey = PrivateValkey(folder / "valkey")
        stack.callback(lambda: asyncio.run(valkey.stop()))
        asyncio.run(valkey.start())
        cluster = None
        if database == "postgresql":
            cluster = PostgresCluster(durable=True)
            stack.callback(cluster.remove)
            cluster.start()
        url = cluster.create_database() if cluster else f"sqlite:///{folder}/flow.db"
        yield Surroundings(folder, url, valkey, cluster)


def floors(stack: ExitStack, place: Surroundings) -> tuple[str, str, tuple[ServiceProcess, ...]]:
    """Starts the bare processes; the addresses of the hop, and the two that it consists of."""
    http, grpc = f"127.0.0.1:{free_port()}", f"127.0.0.1:{free_port()}"
    environment = {"FLOOR_HTTP_ADDRESS": http, "FLOOR_GRPC_ADDRESS": grpc, "REDIS_URL": place.valkey.url}
    found = []
    for name in ("hop_executor", "hop_gateway", "bells"):
        process = ServiceProcess(name, f"benchmarks.floors.{name}", environment, place.folder / f"{name}.log")
        stack.callback(process.kill)
        found.append(process.start())
    return f"http://{http}", grpc, tuple(found[:2])
