"""What the environment tells the gateway, read once."""

from __future__ import annotations

import ipaddress
from collections.abc import Mapping
from dataclasses import dataclass
from typing import TypeVar

T = TypeVar("T")


class SettingsRefused(Exception):
    """One line per variable that is wrong, naming it. The process exits with 78."""


@dataclass(frozen=True, slots=True)
class Address:
    """host:port as in FLOW_HTTP_ADDRESS; port 0 picks a free one."""

    host: str
    port: int

    @property
    def loopback(self) -> bool:
        if self.host == "localhost":
            return True
        try:
            return ipaddress.ip_address(self.host).is_loopback
        except ValueError:
            return False

    def __str__(self) -> str:
        return f"[{self.host}]:{self.port}" if ":" in self.host else f"{self.host}:{self.port}"


@dataclass(frozen=True, slots=True)
class Settings:
    http_address: Address = Address("127.0.0.1", 8080)
    grpc_address: Address = Address("127.0.0.1", 50051)
    allowed_hosts: tuple[str, ...] = ()  # beside loopback names and the bind address; "*" is any
    insecure: bool = False
    body_limit_bytes: int = 8 << 20
    immediate_budget_ms: int = 30_000  # as the executor has it; bounds how long a start is waited for
    patience_seconds: float = 5.0  # how long a call is repeated while the executor does not answer
    heartbeat_seconds: float = 15.0  # between comments on a silent stream
    stream_buffer_events: int = 256  # per client
    stall_seconds: float = 10.0  # a client that takes nothing for so long is cut off
    streams_per_connection: int = 90  # to the executor; servers commonly allow 100
    shutdown_grace_seconds: float = 10.0

    def __post_init__(self) -> None:
        if not self.http_address.loopback and not self.insecure:
            raise SettingsRefused(
                f"FLOW_HTTP_ADDRESS: {self.http_address} can be reached from other machines and the gateway "
                "asks nobody for a token; bind to 127.0.0.1, or accept that with FLOW_INSECURE=1 (--insecure)"
            )


def settings_from(environment: Mapping[str, str]) -> Settings:
    """Raises SettingsRefused with all wrong variables at once."""
    reader = _Reader(environment)
    values = {
        "http_address": reader.address("FLOW_HTTP_ADDRESS", Address("127.0.0.1", 8080)),
        "grpc_address": reader.address("FLOW_GRPC_ADDRESS", Address("127.0.0.1", 50051)),
        "allowed_hosts": reader.names("FLOW_ALLOWED_HOSTS"),
        "insecure": reader.flag("FLOW_INSECURE"),
        "body_limit_bytes": reader.whole("FLOW_HTTP_BODY_BYTES", 8 << 20),
        "immediate_budget_ms": reader.whole("FLOW_IMMEDIATE_BUDGET_MS", 30_000),
        "patience_seconds": reader.seconds("FLOW_EXECUTOR_PATIENCE_SECONDS", 5.0),
        "heartbeat_seconds": reader.seconds("FLOW_STREAM_HEARTBEAT_SECONDS", 15.0),
        "stream_buffer_events": reader.whole("FLOW_STREAM_BUFFER_EVENTS", 256),
        "stall_seconds": reader.seconds("FLOW_STREAM_STALL_SECONDS", 10.0),
        "shutdown_grace_seconds": reader.seconds("FLOW_SHUTDOWN_GRACE_SECONDS", 10.0),
    }
    if reader.refusals:
        raise SettingsRefused("\n".join(reader.refusals))
    return Settings(**values)  # type: ignore[arg-type]


class _Reader:
    """Reads variables and gathers what is wrong with them."""

    def __init__(self, environment: Mapping[str, str]) -> None:
        self._environment = environment
        self.refusals: list[str] = []

    def address(self, name: str, default: Address) -> Address:
        text = self._environment.get(name, "")
        if not text:
            return default
        host, _, port = text.rpartition(":")
        if not host or not port.isdecimal() or int(port) > 65535:
            return self._refuse(name, text, "host:port with a port from 0 to 65535", default)
        return Address(host.removeprefix("[").removesuffix("]"), int(port))

    def names(self, name: str) -> tuple[str, ...]:
        return tuple(
            part.strip().lower() for part in self._environment.get(name, "").split(",") if part.strip()
        )

    def flag(self, name: str) -> bool:
        text = self._environment.get(name, "").lower()
        if text not in ("", "0", "1", "false", "true", "no", "yes"):
            return self._refuse(name, text, "1 or 0", False)
        return text in ("1", "true", "yes")

    def whole(self, name: str, default: int) -> int:
        text = self._environment.get(name, "")
        if not text:
            return default
        if not text.isdecimal() or int(text) == 0:
            return self._refuse(name, text, "a whole number above 0", default)
        return int(text)

    def seconds(self, name: str, default: float) -> float:
        text = self._environment.get(name, "")
        if not text:
            return default
        try:
            value = float(text)
        except ValueError:
            value = -1.0
        if not 0 <= value < 1e9:
            return self._refuse(name, text, "a number of seconds", default)
        return value

    def _refuse(self, name: str, text: str, expected: str, default: T) -> T:
        self.refusals.append(f"{name}: expected {expected}, got {text!r}")
        return default
