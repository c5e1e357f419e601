"""The executor's settings, read once from the environment."""

from __future__ import annotations

from collections.abc import Callable, Mapping
from dataclasses import dataclass
from ipaddress import ip_address
from pathlib import Path
from typing import TypeVar
from urllib.parse import urlsplit

T = TypeVar("T")

EXIT_CONFIGURATION = 78
"""Exit code of a process that its settings or surroundings keep from starting (EX_CONFIG)."""

REDIS_URL_FILE = "run/redis.url"


class WrongSettings(Exception):
    """What keeps the executor from starting, one line a problem."""


@dataclass(frozen=True, slots=True)
class Settings:
    """Spans are in seconds unless their name says otherwise."""

    data_dir: Path = Path(".flow")
    database_url: str = "sqlite:///.flow/flow.db"
    redis_url: str = ""
    grpc_host: str = "127.0.0.1"
    grpc_port: int = 50051
    migrate: bool = False  # PostgreSQL too; SQLite always migrates
    insecure: bool = False
    log_level: str = "info"

    lease_seconds: float = 30.0
    immediate_lease_seconds: float = 10.0
    immediate_budget_ms: int = 30_000
    immediate_concurrency: int = 64
    queue_max_nodes: int = 10
    queue_min_estimate_ms: int = 30_000

    sweep_interval_seconds: float = 2.0
    dispatch_interval_seconds: float = 1.0
    nudge_interval_seconds: float = 0.25
    watch_poll_seconds: float = 1.0
    watch_heartbeat_seconds: float = 15.0
    shutdown_grace_seconds: float = 20.0

    max_message_bytes: int = 8 << 20
    max_concurrent_rpcs: int = 2_000
    definition_cache_size: int = 256

    @property
    def grpc_address(self) -> str:
        return joined(self.grpc_host, self.grpc_port)

    @property
    def sqlite(self) -> bool:
        return self.database_url.startswith("sqlite")


def from_environment(environment: Mapping[str, str]) -> Settings:
    """Raises WrongSettings, which names every variable that is wrong or missing."""
    read = _Reader(environment)
    data_dir = Path(environment.get("FLOW_DATA_DIR") or ".flow")
    host, port = read("FLOW_GRPC_ADDRESS", address, ("127.0.0.1", 50051))
    settings = Settings(
        data_dir=data_dir,
        database_url=read("DATABASE_URL", database_url, f"sqlite:///{data_dir / 'flow.db'}"),
        redis_url=read("REDIS_URL", redis_url, "") or read.embedded_redis(data_dir / REDIS_URL_FILE),
        grpc_host=host,
        grpc_port=port,
        migrate=read("FLOW_MIGRATE", switch, False),
        insecure=read("FLOW_INSECURE", switch, False),
        log_level=read("FLOW_LOG_LEVEL", log_level, "info"),
        lease_seconds=read("FLOW_LEASE_SECONDS", number(1, 3600), 30.0),
        immediate_lease_seconds=read("FLOW_IMMEDIATE_LEASE_SECONDS", number(1, 3600), 10.0),
        immediate_budget_ms=read("FLOW_IMMEDIATE_BUDGET_MS", whole(1, 86_400_000), 30_000),
        immediate_concurrency=read("FLOW_IMMEDIATE_CONCURRENCY", whole(0, 100_000), 64),
        queue_max_nodes=read("FLOW_QUEUE_MAX_NODES", whole(0, 1_000_000), 10),
        queue_min_estimate_ms=read("FLOW_QUEUE_MIN_ESTIMATE_MS", whole(0, 86_400_000), 30_000),
        sweep_interval_seconds=read("FLOW_SWEEP_INTERVAL_SECONDS", number(0.05, 60), 2.0),
        shutdown_grace_seconds=read("FLOW_SHUTDOWN_GRACE_SECONDS", number(0, 3600), 20.0),
    )
    if not loopback(settings.grpc_host) and not settings.insecure:
        read.problems.append(
            f"FLOW_GRPC_ADDRESS: {settings.grpc_address} can be reached from outside and there is no "
            "authentication; set FLOW_INSECURE=1 to accept that"
        )
    if read.problems:
        raise WrongSettings("\n".join(read.problems))
    return settings


class _Reader:
    """Reads variables one by one and remembers what is wrong with them."""

    def __init__(self, environment: Mapping[str, str]) -> None:
        self._environment = environment
        self.problems: list[str] = []

    def __call__(self, name: str, parse: Callable[[str], T], default: T) -> T:
        text = self._environment.get(name, "").strip()
        if not text:
            return default
        try:
            return parse(text)
        except ValueError as error:
            self.problems.append(f"{name}: {text!r} {error}")
            return default

    def embedded_redis(self, url_file: Path) -> str:
        """The address that the embedded server of `flow up` leaves while it runs."""
        try:
            return url_file.read_text().strip()
        except OSError:
            self.problems.append(
                f"REDIS_URL: not set, and no embedded server runs here ({url_file} is absent); "
                "set REDIS_URL, or start everything with `flow up`"
            )
            return ""


def address(text: str) -> tuple[str, int]:
    """host:port; an IPv6 host in brackets."""
    host, colon, port = text.rpartition(":")
    if not colon or not host or not port.isascii() or not port.isdigit() or int(port) > 65535:
        raise ValueError("is not of the form host:port")
    return host.removeprefix("[").removesuffix("]"), int(port)


def joined(host: str, port: int) -> str:
    return f"[{host}]:{port}" if ":" in host else f"{host}:{port}"


def loopback(host: str) -> bool:
    if host == "localhost":
        return True
    try:
        return ip_address(host).is_loopback
    except ValueError:
        return False


def database_url(text: str) -> str:
    if urlsplit(text).scheme not in ("postgresql", "postgres", "sqlite"):
        raise ValueError("is not of the form postgresql://… or sqlite:///…")
    return text


def redis_url(text: str) -> str:
    if urlsplit(text).scheme not in ("redis", "rediss", "unix"):
        raise ValueError("is not of the form redis://…")
    return text


def switch(text: str) -> bool:
    lowered = text.lower()
    if lowered not in ("0", "1", "false", "true", "no", "yes", "off", "on"):
        raise ValueError("is neither 1 nor 0")
    return lowered in ("1", "true", "yes", "on")


def log_level(text: str) -> str:
    if text.lower() not in ("debug", "info", "warning", "error"):
        raise ValueError("is none of debug, info, warning, error")
    return text.lower()


def whole(least: int, most: int) -> Callable[[str], int]:
    def parse(text: str) -> int:
        try:
            value = int(text)
        except ValueError:
            raise ValueError("is not a whole number") from None
        return within(value, least, most)

    return parse


def number(least: float, most: float) -> Callable[[str], float]:
    def parse(text: str) -> float:
        try:
            value = float(text)
        except ValueError:
            raise ValueError("is not a number") from None
        return within(value, least, most)

    return parse


Number = TypeVar("Number", int, float)


def within(value: Number, least: Number, most: Number) -> Number:
    if not least <= value <= most:
        raise ValueError(f"is not between {least:g} and {most:g}")
    return value
