"""JWTs of an OpenID Connect provider: issuer, audience, time and signature, by the provider's own keys.

Only asymmetric algorithms are known here at all, so that nobody signs with a public key as if it were a
shared secret, or not at all. A key is used for its own algorithm only.
"""

from __future__ import annotations

import asyncio
from collections.abc import Callable, Mapping, Sequence
from typing import Any

import httpx
import jwt
import structlog

from flow_engine.clock import Clock
from flow_engine.errors import Unauthenticated, Unavailable
from services.executor.access.caller import Caller
from services.executor.access.oidc_settings import OidcSettings
from services.executor.access.roles import ROLES
from services.executor.access.tokens import NAMESPACE

log = structlog.get_logger()

LEEWAY_SECONDS = 30
"""How far apart the provider's clock and ours may be."""
KEYS_SECONDS = 600.0
"""After which keys are fetched again: a provider that takes a key back is heard within this time."""
REFETCH_SECONDS = 10.0
"""A key id that is not known is asked for at most this often, whoever invents them."""
FETCH_SECONDS = 5.0
MOST_KEYS_BYTES = 1 << 20
LONGEST_JWT = 16 << 10


Fetch = Callable[[str], Any]


async def fetch(url: str) -> Any:
    """JSON behind a URL of the settings. Raises Unavailable."""
    try:
        async with httpx.AsyncClient(timeout=FETCH_SECONDS, trust_env=False) as client:
            answer = await client.get(url)
        answer.raise_for_status()
        if len(answer.content) > MOST_KEYS_BYTES:
            raise Unavailable(f"{url} answers with more than {MOST_KEYS_BYTES} bytes")
        return answer.json()
    except (httpx.HTTPError, ValueError) as error:
        raise Unavailable(f"the identity provider does not answer: {error}") from error


class Keys:
    """A provider's keys by their id, fetched when they are needed, old ones kept while it is away."""

    def __init__(self, settings: OidcSettings, clock: Clock, fetch: Fetch = fetch) -> None:
        self._settings = settings
        self._clock = clock
        self._fetch = fetch
        self._keys: Mapping[str, jwt.PyJWK] = {}
        self._fetched_at = float("-inf")
        self._tried_at = float("-inf")
        self._one_at_a_time = asyncio.Lock()

    async def key(self, key_id: str) -> jwt.PyJWK:
        """Raises Unauthenticated for a key that the provider does not have, Unavailable."""
        if key_id not in self._keys or self._age >= KEYS_SECONDS:
            await self._refresh(key_id)
        if key_id not in self._keys:
            raise Unauthenticated("the token is signed with a key that its issuer does not have")
        return self._keys[key_id]

    @property
    def _age(self) -> float:
        return self._clock.monotonic() - self._fetched_at

    async def _refresh(self, key_id: str) -> None:
        async with self._one_at_a_time:
            now = self._clock.monotonic()
            fresh = key_id in self._keys and self._age < KEYS_SECONDS
            if fresh or now - self._tried_at < REFETCH_SECONDS:
                return
            self._tried_at = now
            try:
                self._keys = usable(await self._fetch(await self._url()), self._settings.algorithms)
                self._fetched_at = now
            except Unavailable as error:
                if not self._keys:
                    self._tried_at = float("-inf")
                    raise
                log.warning("oidc.keys_unavailable", error=error.message)

    async def _url(self) -> str:
        if self._settings.jwks_url:
            return self._settings.jwks_url
        about = await self._fetch(f"{self._settings.issuer.rstrip('/')}/.well-known/openid-configuration")
        if not isinstance(about, dict) or about.get("issuer") != self._settings.issuer:
            raise Unavailable("the identity provider calls itself otherwise than FLOW_OIDC_ISSUER does")
        return str(about.get("jwks_uri", ""))


def usable(document: Any, algorithms: Sequence[str]) -> dict[str, jwt.PyJWK]:
    """Keys for signatures, by id; those of other kinds are left out."""
    keys: dict[str, jwt.PyJWK] = {}
    items = document.get("keys", ()) if isinstance(document, dict) else ()
    for item in items:
        try:
            if item.get("use", "sig") != "sig" or item.get("kty") == "oct":
                continue
            key = jwt.PyJWK(item)
        except (jwt.PyJWTError, AttributeError, TypeError, ValueError):
            continue
        if key.algorithm_name in algorithms:
            keys[str(key.key_id or "")] = key
    return keys


class JwtVerifier:
    def __init__(self, settings: OidcSettings, keys: Keys) -> None:
        self._settings = settings
        self._keys = keys

    async def caller_of(self, text: str) -> tuple[Caller, int]:
        """Who it is, and until when (Unix time). Raises Unauthenticated, Unavailable."""
        settings = self._settings
        try:
            if len(text) > LONGEST_JWT:
                raise jwt.InvalidTokenError("it is too long")
            header = jwt.get_unverified_header(text)
            if header.get("alg") not in settings.algorithms:
                raise jwt.InvalidAlgorithmError("its algorithm is not accepted")
            key = await self._keys.key(str(header.get("kid", "")))
            claims = jwt.decode(
                text,
                key,
                algorithms=[key.algorithm_name],
                audience=settings.audience,
                issuer=settings.issuer,
                leeway=LEEWAY_SECONDS,
                options={"require": ["exp", "iss", "aud", "sub"]},
            )
        except jwt.PyJWTError as error:
            raise Unauthenticated(f"the token is not accepted: {error}") from None
        return caller_from(claims, settings), int(claims["exp"])


def caller_from(claims: Mapping[str, Any], settings: OidcSettings) -> Caller:
    """Raises Unauthenticated: without a role and a namespace nobody is anybody here."""
    role, namespace = claims.get(settings.role_claim), claims.get(settings.namespace_claim)
    if role not in ROLES:
        raise Unauthenticated(f"the token's claim {settings.role_claim} is none of {', '.join(ROLES)}")
    if not isinstance(namespace, str) or not NAMESPACE.fullmatch(namespace):
        raise Unauthenticated(f"the token's claim {settings.namespace_claim} names no namespace")
    return Caller(f"oidc:{str(claims['sub'])[:200]}", namespace, str(role))
