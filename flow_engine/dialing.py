"""How workers, gateway and command line reach the executor: where it is, under TLS or not, as whom."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import TYPE_CHECKING, Any

from flow_engine.environment import EnvironmentReader, address, connectable, joined, switch

if TYPE_CHECKING:
    import grpc

Options = Sequence[tuple[str, Any]]

NO_RETRIES = ("grpc.enable_retries", 0)
"""For every channel. A call that the server's GOAWAY has not taken is repeated by gRPC itself, at once and
without end, at times on the very connection that is going: one thread spins, and each turn keeps four KiB,
until memory is full (docs/decisions/0012). Whoever calls repeats what may be repeated, after a pause."""
OUR_CHANNELS: Options = (
    NO_RETRIES,
    ("grpc.enable_http_proxy", 0),  # http_proxy is for the web, not for services of ours
)


@dataclass(frozen=True, slots=True)
class Dial:
    """token: sent with each call; empty: none. Certificates are PEM; no `authority`: those of the system."""

    address: str = "127.0.0.1:50051"
    token: str = ""
    tls: bool = False
    authority: bytes = b""
    certificate: bytes = b""
    key: bytes = b""

    @property
    def metadata(self) -> tuple[tuple[str, str], ...]:
        return (("authorization", f"Bearer {self.token}"),) if self.token else ()

    def aio_channel(self, options: Options = ()) -> grpc.aio.Channel:
        import grpc  # here: `flow --help` needs none, and it takes its time

        options = [*OUR_CHANNELS, *options]
        if self.tls:
            return grpc.aio.secure_channel(self.address, self._credentials(), options)
        return grpc.aio.insecure_channel(self.address, options)

    def channel(self, options: Options) -> grpc.Channel:
        import grpc

        options = [*OUR_CHANNELS, *options]
        if self.tls:
            return grpc.secure_channel(self.address, self._credentials(), options)
        return grpc.insecure_channel(self.address, options)

    def _credentials(self) -> grpc.ChannelCredentials:
        import grpc

        return grpc.ssl_channel_credentials(
            self.authority or None, self.key or None, self.certificate or None
        )


PLAIN = Dial()


def read_dial(environment: Mapping[str, str], read: EnvironmentReader, *, send_token: bool = True) -> Dial:
    """Wrong variables become problems of `read`. send_token: whether FLOW_TOKEN is this service's to send."""
    host, port = read("FLOW_GRPC_ADDRESS", address, ("127.0.0.1", 50051))
    authority = read("FLOW_GRPC_TLS_CA", pem, b"")
    certificate = read("FLOW_GRPC_TLS_CLIENT_CERT", pem, b"")
    key = read("FLOW_GRPC_TLS_CLIENT_KEY", pem, b"")
    if bool(certificate) != bool(key):
        read.problems.append("FLOW_GRPC_TLS_CLIENT_CERT, FLOW_GRPC_TLS_CLIENT_KEY: set both, or none")
    return Dial(
        address=joined(connectable(host), port),
        token=environment.get("FLOW_TOKEN", "").strip() if send_token else "",
        tls=read("FLOW_GRPC_TLS", switch, bool(authority or certificate)),
        authority=authority,
        certificate=certificate,
        key=key,
    )


def pem(text: str) -> bytes:
    """What a file holds."""
    try:
        content = Path(text).expanduser().read_bytes()
    except OSError as error:
        raise ValueError(f"cannot be read: {error.strerror}") from None
    if b"-----BEGIN " not in content:
        raise ValueError("is no PEM file")
    return content
