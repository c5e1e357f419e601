"""What the environment tells the gateway, read once."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass
from urllib.parse import urlsplit

from flow_engine.dialing import PLAIN, Dial, read_dial
from flow_engine.environment import (
    EnvironmentReader,
    address,
    joined,
    log_level,
    number,
    switch,
    whole,
)
from flow_engine.exposure import read_required, refuse_exposure
from services.gateway.identity_provider import SignInSettings, private


@dataclass(frozen=True, slots=True)
class Settings:
    """Spans are in seconds unless their name says otherwise."""

    http_host: str = "127.0.0.1"
    http_port: int = 8080  # 0 picks a free one
    grpc_host: str = "127.0.0.1"
    grpc_port: int = 50051
    allowed_hosts: tuple[str, ...] = ()  # beside the names of the loopback; "*" is any
    insecure: bool = False
    authentication_required: bool = False
    sign_in: SignInSettings | None = None  # the provider that people sign in with
    dial: Dial = PLAIN  # its address is `grpc_address`
    log_level: str = "info"
    head_seconds: float = 10.0  # in which a request's line and headers must arrive
    body_limit_bytes: int = 8 << 20
    body_seconds: float = 60.0  # in which a body must arrive
    http_connections: int = 10_000  # at once; beyond it 503
    http_connections_per_address: int = 0  # 0: as many as altogether, as behind a proxy
    cors_origins: tuple[str, ...] = ()  # of other sites whose pages may call
    public_url: str = ""
    immediate_budget_ms: int = 30_000  # as the executor has it; bounds how long a start is waited for
    patience_seconds: float = 5.0  # how long a call is repeated while the executor does not answer
    heartbeat_seconds: float = 15.0  # between comments on a silent stream
    stream_buffer_events: int = 256  # per client
    stall_seconds: float = 10.0  # a client that takes nothing for so long is cut off
    streams_per_connection: int = 90  # to the executor; servers commonly allow 100
    shutdown_grace_seconds: float = 10.0

    @property
    def http_address(self) -> str:
        return joined(self.http_host, self.http_port)

    @property
    def grpc_address(self) -> str:
        return joined(self.grpc_host, self.grpc_port)


def from_environment(environment: Mapping[str, str]) -> Settings:
    """Raises WrongSettings, which names every variable that is wrong."""
    read = EnvironmentReader(environment)
    http_host, http_port = read("FLOW_HTTP_ADDRESS", address, ("127.0.0.1", 8080))
    grpc_host, grpc_port = read("FLOW_GRPC_ADDRESS", address, ("127.0.0.1", 50051))
    settings = Settings(
        http_host=http_host,
        http_port=http_port,
        grpc_host=grpc_host,
        grpc_port=grpc_port,
        allowed_hosts=read("FLOW_ALLOWED_HOSTS", names, ()),
        insecure=read("FLOW_INSECURE", switch, False),
        authentication_required=read_required(environment, read),
        sign_in=read_sign_in(environment, read),
        dial=read_dial(environment, read, send_token=False),
        log_level=read("FLOW_LOG_LEVEL", log_level, "info"),
        head_seconds=read("FLOW_HTTP_HEAD_SECONDS", number(0.1, 3600), 10.0),
        body_limit_bytes=read("FLOW_HTTP_BODY_BYTES", whole(1, 1 << 30), 8 << 20),
        body_seconds=read("FLOW_HTTP_BODY_SECONDS", number(0.1, 3600), 60.0),
        http_connections=read("FLOW_HTTP_CONNECTIONS", whole(10, 1_000_000), 10_000),
        http_connections_per_address=read("FLOW_HTTP_CONNECTIONS_PER_ADDRESS", whole(0, 1_000_000), 0),
        cors_origins=read("FLOW_CORS_ORIGINS", origins, ()),
        public_url=environment.get("FLOW_PUBLIC_URL", "").strip(),
        immediate_budget_ms=read("FLOW_IMMEDIATE_BUDGET_MS", whole(1, 86_400_000), 30_000),
        patience_seconds=read("FLOW_EXECUTOR_PATIENCE_SECONDS", number(0, 3600), 5.0),
        heartbeat_seconds=read("FLOW_STREAM_HEARTBEAT_SECONDS", number(0.05, 3600), 15.0),
        stream_buffer_events=read("FLOW_STREAM_BUFFER_EVENTS", whole(1, 1000), 256),
        stall_seconds=read("FLOW_STREAM_STALL_SECONDS", number(0.05, 3600), 10.0),
        shutdown_grace_seconds=read("FLOW_SHUTDOWN_GRACE_SECONDS", number(0, 3600), 10.0),
    )
    refuse_exposure(
        read,
        "FLOW_HTTP_ADDRESS",
        settings.http_host,
        authenticated=settings.authentication_required,
        tls=None,
        insecure=settings.insecure,
    )
    read.refuse_if_wrong()
    return settings


def read_sign_in(environment: Mapping[str, str], read: EnvironmentReader) -> SignInSettings | None:
    """None unless the issuer and a client of it are named."""
    issuer = read("FLOW_OIDC_ISSUER", provider_url, "")
    client_id = environment.get("FLOW_OIDC_CLIENT_ID", "").strip()
    if not client_id:
        return None
    if not issuer:
        read.problems.append("FLOW_OIDC_ISSUER: not set; FLOW_OIDC_CLIENT_ID is a client of what it names")
    return SignInSettings(
        issuer,
        client_id,
        client_secret=environment.get("FLOW_OIDC_CLIENT_SECRET", "").strip(),
        scope=read("FLOW_OIDC_SCOPE", str, "openid"),
        shown=read("FLOW_OIDC_TOKEN", token_kind, "access_token"),
    )


def provider_url(text: str) -> str:
    if not private(text):
        raise ValueError("is not of the form https://…")
    return text


def token_kind(text: str) -> str:
    if text not in ("access_token", "id_token"):
        raise ValueError("is neither access_token nor id_token")
    return text


def origins(text: str) -> tuple[str, ...]:
    found = names(text)
    for origin in found:
        parts = urlsplit(origin)
        if parts.scheme not in ("http", "https") or f"{parts.scheme}://{parts.netloc}" != origin:
            raise ValueError("is not a list of origins such as https://app.example")
    return found


def names(text: str) -> tuple[str, ...]:
    return tuple(part.strip().lower() for part in text.split(",") if part.strip())
