"""The provider that people sign in with: where it is, and a code of its own for a token.

Authorization code with PKCE (RFC 6749, RFC 7636), the provider found by its discovery document. The browser
makes the verifier and keeps it; the gateway changes the code for the token, so that no page ever holds one
and the provider need not allow other sites' scripts. Whether the token holds is the executor's to say.
"""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass, field
from typing import TYPE_CHECKING, Any
from urllib.parse import urlsplit

import structlog

from flow_engine.clock import Clock
from flow_engine.environment import loopback
from services.gateway.credentials import unauthenticated
from services.gateway.errors import Refused

if TYPE_CHECKING:
    import httpx

log = structlog.get_logger(__name__)

ASK_SECONDS = 5.0
KNOWN_SECONDS = 600.0
"""After which the discovery document is asked for again."""
MOST_BYTES = 1 << 20
AWAY = "the identity provider does not answer as it should; sign in with a token, or try again"


@dataclass(frozen=True, slots=True)
class SignInSettings:
    """client_secret: empty for a public client. shown: which of its tokens the executor is shown."""

    issuer: str
    client_id: str
    client_secret: str = field(default="", repr=False)
    scope: str = "openid"
    shown: str = "access_token"


@dataclass(frozen=True, slots=True)
class Endpoints:
    authorization: str
    token: str


class IdentityProvider:
    def __init__(self, settings: SignInSettings, clock: Clock) -> None:
        self.settings = settings
        self._clock = clock
        self._endpoints: Endpoints | None = None
        self._found_at = float("-inf")

    async def endpoints(self) -> Endpoints:
        """Raises Refused while the provider is away and was never met."""
        if self._endpoints is None or self._clock.monotonic() - self._found_at >= KNOWN_SECONDS:
            try:
                self._endpoints, self._found_at = await self._discovered(), self._clock.monotonic()
            except Refused:
                if self._endpoints is None:
                    raise
        return self._endpoints

    async def token_for(self, code: str, verifier: str, redirect_uri: str) -> str:
        """Raises Refused."""
        settings = self.settings
        form = {
            "grant_type": "authorization_code",
            "code": code,
            "redirect_uri": redirect_uri,
            "client_id": settings.client_id,
            "code_verifier": verifier,
        }
        if settings.client_secret:
            form["client_secret"] = settings.client_secret
        status, answer = await self._ask("POST", (await self.endpoints()).token, form)
        if 400 <= status < 500:
            log.info("sign_in.refused", status=status, error=str(answer.get("error", ""))[:100])
            raise unauthenticated("the identity provider does not accept this sign-in: begin again")
        token = answer.get(settings.shown)
        if status != 200 or not isinstance(token, str) or not token:
            log.warning("sign_in.failed", status=status, lacks=settings.shown)
            raise Refused("UNAVAILABLE", AWAY)
        return token

    async def _discovered(self) -> Endpoints:
        issuer = self.settings.issuer
        status, about = await self._ask("GET", f"{issuer.rstrip('/')}/.well-known/openid-configuration")
        found = Endpoints(str(about.get("authorization_endpoint")), str(about.get("token_endpoint")))
        if status != 200 or about.get("issuer") != issuer:
            log.warning("sign_in.no_provider", status=status, issuer=str(about.get("issuer"))[:200])
            raise Refused("UNAVAILABLE", AWAY)
        if not (private(found.authorization) and private(found.token)):
            log.warning("sign_in.in_the_clear", authorization=found.authorization, token=found.token)
            raise Refused("UNAVAILABLE", AWAY)
        return found

    async def _ask(
        self, method: str, url: str, form: Mapping[str, str] | None = None
    ) -> tuple[int, Mapping[str, Any]]:
        """(status, JSON object). Raises Refused."""
        import httpx  # an installation without a provider never needs it

        try:
            async with httpx.AsyncClient(timeout=ASK_SECONDS, trust_env=False) as client:
                request = client.build_request(method, url, data=form, headers={"Accept": "application/json"})
                answer = await client.send(request, stream=True)
                body = await bounded(answer)
                found = httpx.Response(answer.status_code, content=body).json()
        except (httpx.HTTPError, ValueError) as error:
            log.warning("sign_in.provider_away", error=str(error)[:200])
            raise Refused("UNAVAILABLE", AWAY) from None
        return answer.status_code, found if isinstance(found, dict) else {}


async def bounded(answer: httpx.Response) -> bytes:
    """The body. Raises ValueError for a large one."""
    body = b""
    async for part in answer.aiter_bytes():
        body += part
        if len(body) > MOST_BYTES:
            raise ValueError("the answer is too large")
    return body


def private(url: str) -> bool:
    """Whether nobody listens on the way there."""
    try:
        parts = urlsplit(url)
        return parts.scheme == "https" or (parts.scheme == "http" and loopback(parts.hostname or ""))
    except ValueError:
        return False
