"""The worker's settings, read once from the environment."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass
from pathlib import Path

from flow_engine.dialing import PLAIN, Dial, read_dial
from flow_engine.egress.rules import CLOSED, EgressRules, egress_rules
from flow_engine.environment import EnvironmentReader, address, joined, log_level, number, switch, whole
from flow_engine.metrics import NO_METRICS, MetricsSettings, metrics_settings


@dataclass(frozen=True, slots=True)
class Settings:
    """Spans are in seconds."""

    executor_address: str = "127.0.0.1:50051"
    redis_url: str = ""
    concurrency: int = 16  # executions at once
    shutdown_grace_seconds: float = 20.0
    idle_ask_seconds: float = 2.0
    log_level: str = "info"
    egress: EgressRules = CLOSED  # where nodes may connect
    metrics: MetricsSettings = NO_METRICS
    dial: Dial = PLAIN  # its address is `executor_address`
    code_python: bool = False  # whether code that workflows bring may run here

    @property
    def off(self) -> tuple[str, ...]:
        """Settings that turn node types on, and do not here."""
        return () if self.code_python else ("FLOW_CODE_PYTHON",)


def from_environment(environment: Mapping[str, str]) -> Settings:
    """Raises WrongSettings, which names every variable that is wrong or missing."""
    read = EnvironmentReader(environment)
    settings = Settings(
        executor_address=_executor_address(read),
        redis_url=read.redis_url(_data_dir(environment)),
        concurrency=read("FLOW_WORKER_CONCURRENCY", whole(1, 10_000), 16),
        shutdown_grace_seconds=read("FLOW_SHUTDOWN_GRACE_SECONDS", number(0, 3600), 20.0),
        log_level=read("FLOW_LOG_LEVEL", log_level, "info"),
        metrics=metrics_settings(read, environment, "FLOW_WORKER_METRICS_ADDRESS"),
        egress=egress_from(read, environment),
        dial=read_dial(environment, read),
        code_python=code_from(read),
    )
    read.refuse_if_wrong()
    return settings


def code_from(read: EnvironmentReader) -> bool:
    return read("FLOW_CODE_PYTHON", switch, False)


def egress_from(read: EnvironmentReader, environment: Mapping[str, str]) -> EgressRules:
    """Where nodes may connect: not to what the worker itself connects to, as far as it knows of it."""
    gateway_address = joined(*read("FLOW_HTTP_ADDRESS", address, ("127.0.0.1", 8080)))
    redis_url = read.redis_url(_data_dir(environment))
    database_url = environment.get("DATABASE_URL", "")
    return egress_rules(read, _executor_address(read), gateway_address, redis_url, database_url)


def _executor_address(read: EnvironmentReader) -> str:
    return joined(*read("FLOW_GRPC_ADDRESS", address, ("127.0.0.1", 50051)))


def _data_dir(environment: Mapping[str, str]) -> Path:
    return Path(environment.get("FLOW_DATA_DIR") or ".flow")
