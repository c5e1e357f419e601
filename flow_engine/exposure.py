"""Who can reach a service, and what that asks of its settings. The same rule for every service.

On loopback nothing is asked. Anywhere else a service refuses to start without authentication, and for gRPC
without TLS, unless FLOW_INSECURE accepts that.
"""

from __future__ import annotations

from collections.abc import Mapping

from flow_engine.environment import EnvironmentReader, loopback

LEAST_TOKEN_LENGTH = 32


def read_token(environment: Mapping[str, str], read: EnvironmentReader) -> str:
    """FLOW_TOKEN, as an executor takes it for one of its own. Its value is never told."""
    token = environment.get("FLOW_TOKEN", "").strip()
    if 0 < len(token) < LEAST_TOKEN_LENGTH:
        read.problems.append(f"FLOW_TOKEN: has fewer than {LEAST_TOKEN_LENGTH} characters")
    return token


def authentication(text: str) -> bool:
    if text not in ("required", "off"):
        raise ValueError("is neither required nor off")
    return text == "required"


def read_required(environment: Mapping[str, str], read: EnvironmentReader) -> bool:
    """Whether calls need credentials: FLOW_AUTH, or else where anything is set that makes some."""
    implied = any(environment.get(name, "").strip() for name in IMPLYING)
    return read("FLOW_AUTH", authentication, implied)


IMPLYING = ("FLOW_TOKEN", "FLOW_OIDC_ISSUER", "FLOW_GRPC_TLS_CLIENT_CA", "FLOW_GRPC_TLS_CLIENT_CERT")
"""The last one: a gateway must not lend its own certificate to callers without credentials."""


def refuse_exposure(
    read: EnvironmentReader,
    variable: str,
    host: str,
    *,
    authenticated: bool,
    tls: bool | None,
    insecure: bool,
) -> None:
    """Adds a problem where the address is open to others and the service is not ready for that.

    tls: None where it is not asked for.
    """
    if loopback(host) or insecure:
        return
    lacks = []
    if not authenticated:
        lacks.append("authentication (FLOW_AUTH=required and `flow token create`, or FLOW_TOKEN, or OIDC)")
    if tls is False:
        lacks.append("TLS (FLOW_GRPC_TLS_CERT and FLOW_GRPC_TLS_KEY)")
    if lacks:
        read.problems.append(
            f"{variable}: {host} can be reached from outside and there is no {' and no '.join(lacks)}; "
            "FLOW_INSECURE=1 (--insecure) accepts that"
        )
