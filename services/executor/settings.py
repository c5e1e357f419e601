"""The executor's settings, read once from the environment."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass, field
from pathlib import Path
from urllib.parse import urlsplit

from flow_engine.dialing import pem
from flow_engine.egress.rules import CLOSED, EgressRules, egress_rules
from flow_engine.environment import (
    EnvironmentReader,
    address,
    connectable,
    database_url,
    joined,
    log_level,
    loopback,
    number,
    switch,
    whole,
)
from flow_engine.exposure import read_required, read_token, refuse_exposure
from flow_engine.metrics import NO_METRICS, MetricsSettings, metrics_settings
from services.executor.access.oidc_settings import ALGORITHMS, OidcSettings
from services.executor.quotas import Quotas
from services.executor.retention import KEEP_ALL, Retention, parse_retention
from services.executor.secrets.keyring import keys_of
from services.executor.secrets.providers import PREFIX, hosts_of

LEAST_SECRET_LENGTH = 32
NO_QUOTAS = Quotas()


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

    authentication_required: bool = False
    token: str = ""  # one more token, an administrator's of the default namespace
    oidc: OidcSettings | None = None
    tls: ServerTls | None = None
    quotas: Quotas = NO_QUOTAS  # of each namespace

    lease_seconds: float = 30.0
    immediate_lease_seconds: float = 10.0
    immediate_budget_ms: int = 30_000
    immediate_concurrency: int = 64
    queue_max_nodes: int = 10
    queue_min_estimate_ms: int = 30_000
    queue_max_pending: int = 100_000

    sweep_interval_seconds: float = 2.0
    dispatch_interval_seconds: float = 1.0
    schedule_interval_seconds: float = 1.0
    nudge_interval_seconds: float = 0.25
    count_interval_seconds: float = 2.0
    retention: Retention = KEEP_ALL
    retention_interval_seconds: float = 600.0
    watch_poll_seconds: float = 1.0
    watch_heartbeat_seconds: float = 15.0
    shutdown_grace_seconds: float = 20.0

    public_url: str = "http://127.0.0.1:8080"  # where outside systems reach the gateway
    callback_secret: str = ""  # empty: one is made and kept in the database

    egress: EgressRules = CLOSED  # where nodes may connect
    metrics: MetricsSettings = NO_METRICS
    secrets_keys: tuple[str, ...] = field(default=(), repr=False)  # the first encrypts, all decrypt
    secrets_dir: Path | None = None  # a file for each secret
    secrets_hosts: Mapping[str, tuple[str, ...]] = field(default_factory=dict)
    secrets_environment: Mapping[str, str] = field(default_factory=dict, repr=False)
    code_python: bool = False  # whether definitions may bring code, and immediate runs run it

    max_message_bytes: int = 8 << 20
    max_concurrent_rpcs: int = 2_000  # of callers; workers have room beside them
    message_seconds: float = 30.0  # in which the message of a call must arrive
    definition_cache_size: int = 256

    @property
    def grpc_address(self) -> str:
        return joined(self.grpc_host, self.grpc_port)

    @property
    def sqlite(self) -> bool:
        return self.database_url.startswith("sqlite")


def from_environment(environment: Mapping[str, str]) -> Settings:
    """Raises WrongSettings, which names every variable that is wrong or missing."""
    read = EnvironmentReader(environment)
    data_dir = Path(environment.get("FLOW_DATA_DIR") or ".flow")
    host, port = read("FLOW_GRPC_ADDRESS", address, ("127.0.0.1", 50051))
    database = read("DATABASE_URL", database_url, f"sqlite:///{data_dir / 'flow.db'}")
    redis = read.redis_url(data_dir)
    settings = Settings(
        data_dir=data_dir,
        database_url=database,
        redis_url=redis,
        grpc_host=host,
        grpc_port=port,
        migrate=read("FLOW_MIGRATE", switch, False),
        insecure=read("FLOW_INSECURE", switch, False),
        log_level=read("FLOW_LOG_LEVEL", log_level, "info"),
        authentication_required=read_required(environment, read),
        token=read_token(environment, read),
        oidc=read_oidc(environment, read),
        tls=read_tls(read),
        quotas=Quotas(
            running=read("FLOW_NAMESPACE_RUNNING", whole(0, 1_000_000), 0),
            queued=read("FLOW_NAMESPACE_QUEUED", whole(0, 1_000_000_000), 0),
            starts_per_second=read("FLOW_NAMESPACE_STARTS_PER_SECOND", number(0, 1_000_000), 0.0),
            storage_bytes=read("FLOW_NAMESPACE_STORAGE_BYTES", whole(0, 1 << 60), 0),
        ),
        max_message_bytes=read("FLOW_GRPC_MESSAGE_BYTES", whole(1 << 10, 1 << 30), 8 << 20),
        max_concurrent_rpcs=read("FLOW_GRPC_CALLS", whole(10, 1_000_000), 2_000),
        message_seconds=read("FLOW_GRPC_MESSAGE_SECONDS", number(0.1, 3600), 30.0),
        lease_seconds=read("FLOW_LEASE_SECONDS", number(1, 3600), 30.0),
        immediate_lease_seconds=read("FLOW_IMMEDIATE_LEASE_SECONDS", number(1, 3600), 10.0),
        immediate_budget_ms=read("FLOW_IMMEDIATE_BUDGET_MS", whole(1, 86_400_000), 30_000),
        immediate_concurrency=read("FLOW_IMMEDIATE_CONCURRENCY", whole(0, 100_000), 64),
        queue_max_nodes=read("FLOW_QUEUE_MAX_NODES", whole(0, 1_000_000), 10),
        queue_min_estimate_ms=read("FLOW_QUEUE_MIN_ESTIMATE_MS", whole(0, 86_400_000), 30_000),
        queue_max_pending=read("FLOW_QUEUE_MAX_PENDING", whole(1, 1_000_000_000), 100_000),
        sweep_interval_seconds=read("FLOW_SWEEP_INTERVAL_SECONDS", number(0.05, 60), 2.0),
        public_url=read("FLOW_PUBLIC_URL", web_address, gateway_url(read)),
        callback_secret=environment.get("FLOW_CALLBACK_SECRET", "").strip(),
        retention=read("FLOW_RETENTION", parse_retention, KEEP_ALL),
        shutdown_grace_seconds=read("FLOW_SHUTDOWN_GRACE_SECONDS", number(0, 3600), 20.0),
        metrics=metrics_settings(read, environment, "FLOW_EXECUTOR_METRICS_ADDRESS"),
        secrets_keys=read_keys(read, environment),
        secrets_dir=read("FLOW_SECRETS_DIR", Path, None),
        secrets_hosts=read("FLOW_SECRETS_HOSTS", hosts_of, {}),
        secrets_environment={name: text for name, text in environment.items() if name.startswith(PREFIX)},
        code_python=read("FLOW_CODE_PYTHON", switch, False),
        egress=egress_rules(read, joined(host, port), gateway_url(read), redis, database),
    )
    refuse_exposure(
        read,
        "FLOW_GRPC_ADDRESS",
        settings.grpc_host,
        authenticated=settings.authentication_required,
        tls=settings.tls is not None,
        insecure=settings.insecure,
    )
    if 0 < len(settings.callback_secret) < LEAST_SECRET_LENGTH:  # not told: it would be logged
        read.problems.append(f"FLOW_CALLBACK_SECRET: has fewer than {LEAST_SECRET_LENGTH} characters")
    read.refuse_if_wrong()
    return settings


@dataclass(frozen=True, slots=True)
class ServerTls:
    """PEM. client_authority: who signs the certificates that clients must have; empty: they need none."""

    certificate: bytes
    key: bytes
    client_authority: bytes = b""


def read_tls(read: EnvironmentReader) -> ServerTls | None:
    certificate = read("FLOW_GRPC_TLS_CERT", pem, b"")
    key = read("FLOW_GRPC_TLS_KEY", pem, b"")
    authority = read("FLOW_GRPC_TLS_CLIENT_CA", pem, b"")
    if bool(certificate) != bool(key) or (authority and not certificate):
        read.problems.append("FLOW_GRPC_TLS_CERT, FLOW_GRPC_TLS_KEY: set both, or no setting of TLS")
    return ServerTls(certificate, key, authority) if certificate and key else None


def read_oidc(environment: Mapping[str, str], read: EnvironmentReader) -> OidcSettings | None:
    issuer = read("FLOW_OIDC_ISSUER", provider_url, "")
    audience = environment.get("FLOW_OIDC_AUDIENCE", "").strip()
    if not issuer:
        return None
    if not audience:
        read.problems.append("FLOW_OIDC_AUDIENCE: not set; without it tokens for others would be taken")
    return OidcSettings(
        issuer,
        audience,
        jwks_url=read("FLOW_OIDC_JWKS_URL", provider_url, ""),
        role_claim=read("FLOW_OIDC_ROLE_CLAIM", str, "flow_role"),
        namespace_claim=read("FLOW_OIDC_NAMESPACE_CLAIM", str, "flow_namespace"),
        algorithms=read("FLOW_OIDC_ALGORITHMS", algorithms, ALGORITHMS),
    )


def provider_url(text: str) -> str:
    """Keys that come in the clear could be anybody's."""
    parts = urlsplit(text)
    if parts.scheme != "https" and not (parts.scheme == "http" and loopback(parts.hostname or "")):
        raise ValueError("is not of the form https://…")
    return text


def algorithms(text: str) -> tuple[str, ...]:
    names = tuple(part.strip() for part in text.split(",") if part.strip())
    if not names or not set(names) <= set(ALGORITHMS):
        raise ValueError(f"is not a list of {', '.join(ALGORITHMS)}")
    return names


def read_keys(read: EnvironmentReader, environment: Mapping[str, str]) -> tuple[str, ...]:
    """What is wrong with a key is told without it: it would be logged."""
    try:
        return keys_of(environment.get("FLOW_SECRETS_KEY", ""))
    except ValueError as error:
        read.problems.append(f"FLOW_SECRETS_KEY: {error}; `flow secret key` makes one")
        return ()


def gateway_url(read: EnvironmentReader) -> str:
    """Where a gateway on this machine is, by its own setting."""
    host, port = read("FLOW_HTTP_ADDRESS", address, ("127.0.0.1", 8080))
    return f"http://{joined(connectable(host), port)}"


def web_address(text: str) -> str:
    if urlsplit(text).scheme not in ("http", "https") or not urlsplit(text).netloc:
        raise ValueError("is not of the form https://host")
    return text.rstrip("/")
