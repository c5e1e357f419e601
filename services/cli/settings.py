"""What the command line reads from the environment, once, and the two ways a value can be wrong."""

from __future__ import annotations

import os
from collections.abc import Mapping
from dataclasses import dataclass
from pathlib import Path

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
        host, _, port = text.strip().rpartition(":")
        host = host.removeprefix("[").removesuffix("]")
        if not host or not port.isdecimal() or int(port) > 65535:
            raise BadConfiguration(f"{variable} must be host:port, such as 127.0.0.1:8080, not {text!r}")
        return cls(host, int(port))

    @property
    def connectable(self) -> Address:
        """Where a client on this machine finds it: a wildcard host stands for loopback."""
        loopback = {"0.0.0.0": "127.0.0.1", "::": "::1"}  # noqa: S104 - compared with, not bound
        return Address(loopback.get(self.host, self.host), self.port)

    def __str__(self) -> str:
        return f"[{self.host}]:{self.port}" if ":" in self.host else f"{self.host}:{self.port}"


@dataclass(frozen=True, slots=True)
class ClientSettings:
    """What every client command needs."""

    grpc_address: str
    token: str  # empty: none is sent

    @classmethod
    def read(cls, environment: Mapping[str, str] = os.environ) -> ClientSettings:
        text = environment.get("FLOW_GRPC_ADDRESS") or DEFAULT_GRPC_ADDRESS
        address = Address.parse(text, "FLOW_GRPC_ADDRESS").connectable
        return cls(str(address), environment.get("FLOW_TOKEN", ""))


@dataclass(frozen=True, slots=True)
class StackSettings:
    """What `flow up` needs. Empty URLs stand for the embedded parts."""

    http_address: Address
    grpc_address: Address
    data_dir: Path  # absolute
    database_url: str
    redis_url: str
    workers: int

    @classmethod
    def read(
        cls,
        environment: Mapping[str, str] = os.environ,
        *,
        http: str | None = None,
        grpc: str | None = None,
        data: Path | None = None,
        workers: int | None = None,
    ) -> StackSettings:
        """Options win over the environment. Raises BadConfiguration naming the variable or option."""
        return cls(
            _address(environment, "FLOW_HTTP_ADDRESS", DEFAULT_HTTP_ADDRESS, http, "--http"),
            _address(environment, "FLOW_GRPC_ADDRESS", DEFAULT_GRPC_ADDRESS, grpc, "--grpc"),
            data_dir(environment, data),
            environment.get("DATABASE_URL", ""),
            environment.get("REDIS_URL", ""),
            whole_number(environment, "FLOW_WORKERS", 1, most=MOST_WORKERS) if workers is None else workers,
        )


def data_dir(environment: Mapping[str, str] = os.environ, chosen: Path | None = None) -> Path:
    return (chosen or Path(environment.get("FLOW_DATA_DIR") or DEFAULT_DATA_DIR)).expanduser().resolve()


def whole_number(
    environment: Mapping[str, str], variable: str, default: int, *, least: int = 1, most: int
) -> int:
    text = environment.get(variable) or str(default)
    if not text.isdecimal() or not least <= int(text) <= most:
        raise BadConfiguration(f"{variable} must be a whole number from {least} to {most}, not {text!r}")
    return int(text)


def _address(
    environment: Mapping[str, str], variable: str, default: str, chosen: str | None, option: str
) -> Address:
    if chosen is not None:
        return Address.parse(chosen, option)
    return Address.parse(environment.get(variable) or default, variable)
