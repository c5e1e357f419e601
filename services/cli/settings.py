"""What the command line reads from the environment, once, and the two ways a value can be wrong."""

from __future__ import annotations

import os
from collections.abc import Mapping
from dataclasses import dataclass
from pathlib import Path

from flow_engine.dialing import Dial, read_dial
from flow_engine.environment import (
    EnvironmentReader,
    WrongSettings,
    address,
    connectable,
    joined,
    number,
    whole,
)
from services.cli.errors import BadConfiguration

DEFAULT_GRPC_ADDRESS = "127.0.0.1:50051"
DEFAULT_HTTP_ADDRESS = "127.0.0.1:8080"
DEFAULT_DATA_DIR = ".flow"
MOST_WORKERS = 256


@dataclass(frozen=True, slots=True)
class Address:
    """Where a service listens; port 0 picks a free one."""

    host: str
    port: int

    @classmethod
    def parse(cls, text: str, variable: str) -> Address:
        """`host:port` or `[::1]:port`. Raises BadConfiguration naming `variable`."""
        try:
            return cls(*address(text.strip()))
        except ValueError as error:
            raise BadConfiguration(f"{variable}: {text!r} {error}, such as 127.0.0.1:8080") from error

    @property
    def connectable(self) -> Address:
        """Where a client on this machine finds it: a wildcard host stands for loopback."""
        return Address(connectable(self.host), self.port)

    def __str__(self) -> str:
        return joined(self.host, self.port)


@dataclass(frozen=True, slots=True)
class ClientSettings:
    """What every client command needs."""

    dial: Dial

    @property
    def grpc_address(self) -> str:
        return self.dial.address

    @classmethod
    def read(cls, environment: Mapping[str, str] = os.environ) -> ClientSettings:
        """Raises BadConfiguration naming the variables that are wrong."""
        text = environment.get("FLOW_GRPC_ADDRESS") or DEFAULT_GRPC_ADDRESS
        Address.parse(text, "FLOW_GRPC_ADDRESS")
        read = EnvironmentReader(environment)
        dial = read_dial(environment, read)
        try:
            read.refuse_if_wrong()
        except WrongSettings as wrong:
            raise BadConfiguration(str(wrong)) from wrong
        return cls(dial)


@dataclass(frozen=True, slots=True)
class StackSettings:
    """What `flow up` needs to know itself; the services read the rest of the environment."""

    http_address: Address
    grpc_address: Address
    data_dir: Path  # absolute
    redis_url: str  # empty: the embedded server
    workers: int
    grace_seconds: float  # that each service gives itself to end in good order
    insecure: bool  # services may be reached from other machines without access control

    @classmethod
    def read(
        cls,
        environment: Mapping[str, str] = os.environ,
        *,
        http: str | None = None,
        grpc: str | None = None,
        data: Path | None = None,
        workers: int | None = None,
        insecure: bool = False,
    ) -> StackSettings:
        """Options win over the environment. Raises BadConfiguration naming the variables or the option."""
        read = EnvironmentReader(environment)
        number_of_workers = read("FLOW_WORKERS", whole(1, MOST_WORKERS), 1)
        grace_seconds = read("FLOW_SHUTDOWN_GRACE_SECONDS", number(0, 3600), 20.0)
        try:
            read.refuse_if_wrong()
        except WrongSettings as wrong:
            raise BadConfiguration(str(wrong)) from wrong
        return cls(
            _address(environment, "FLOW_HTTP_ADDRESS", DEFAULT_HTTP_ADDRESS, http, "--http"),
            _address(environment, "FLOW_GRPC_ADDRESS", DEFAULT_GRPC_ADDRESS, grpc, "--grpc"),
            data_dir(environment, data),
            environment.get("REDIS_URL", ""),
            number_of_workers if workers is None else workers,
            grace_seconds,
            insecure,
        )


def data_dir(environment: Mapping[str, str] = os.environ, chosen: Path | None = None) -> Path:
    return (chosen or Path(environment.get("FLOW_DATA_DIR") or DEFAULT_DATA_DIR)).expanduser().resolve()


def _address(
    environment: Mapping[str, str], variable: str, default: str, chosen: str | None, option: str
) -> Address:
    if chosen is not None:
        return Address.parse(chosen, option)
    return Address.parse(environment.get(variable) or default, variable)
