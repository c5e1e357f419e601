"""Which OpenID Connect provider is believed, and what of its tokens."""

from __future__ import annotations

from dataclasses import dataclass

ALGORITHMS = ("RS256", "RS384", "RS512", "PS256", "PS384", "PS512", "ES256", "ES384", "ES512", "EdDSA")


@dataclass(frozen=True, slots=True)
class OidcSettings:
    """jwks_url: empty asks the issuer. The claims name what the caller is here."""

    issuer: str
    audience: str
    jwks_url: str = ""
    role_claim: str = "flow_role"
    namespace_claim: str = "flow_namespace"
    algorithms: tuple[str, ...] = ALGORITHMS
