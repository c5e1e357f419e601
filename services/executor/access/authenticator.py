"""From what a call brings along to who calls."""

from __future__ import annotations

import hashlib
import hmac
from collections import OrderedDict
from dataclasses import dataclass
from datetime import datetime
from typing import Protocol

from flow_engine.clock import Clock
from flow_engine.errors import Unauthenticated
from flow_engine.ids import DEFAULT_NAMESPACE
from services.executor.access.caller import LOCAL, Caller
from services.executor.access.certificates import caller_of_certificate
from services.executor.access.tokens import Token, id_of

REMEMBER_SECONDS = 5.0
"""How long a credential is taken for what it was, so that not each call asks the database: a token that is
revoked on another executor holds at most this much longer."""
MOST_REMEMBERED = 10_000

NO_CREDENTIALS = "this needs credentials: send a token as `authorization: Bearer …` (the clients: FLOW_TOKEN)"
NOT_ACCEPTED = "these credentials are not accepted: unknown, expired or revoked"


@dataclass(frozen=True, slots=True)
class Credential:
    """What a call brought along. certificate: of a verified TLS client, in PEM."""

    bearer: str = ""
    certificate: bytes = b""

    def __bool__(self) -> bool:
        return bool(self.bearer or self.certificate)

    @property
    def key(self) -> str:
        return hashlib.sha256(self.bearer.encode() + b"\0" + self.certificate).hexdigest()


class TokenSource(Protocol):
    async def find(self, token_id: str) -> Token | None: ...


class Verifier(Protocol):
    async def caller_of(self, text: str) -> tuple[Caller, int]:
        """Whose token it is, and until when (Unix time). Raises Unauthenticated, Unavailable."""


class DatabaseTime(Protocol):
    def now(self) -> datetime: ...


@dataclass(frozen=True, slots=True)
class Known:
    caller: Caller
    until: float  # by the monotonic clock


class Authenticator:
    """required: whether calls without credentials are refused.

    static_token: one more token that is an administrator's, from the settings; empty: none.
    """

    def __init__(
        self,
        tokens: TokenSource,
        database_time: DatabaseTime,
        clock: Clock,
        *,
        required: bool,
        static_token: str = "",
        verifier: Verifier | None = None,
    ) -> None:
        self.required = required
        self._tokens = tokens
        self._database_time = database_time
        self._clock = clock
        self._static_token = static_token
        self._verifier = verifier
        self._known: OrderedDict[str, Known] = OrderedDict()

    async def caller_of(self, credential: Credential) -> Caller:
        """Raises Unauthenticated, Unavailable. Credentials that are sent must hold, needed or not."""
        if not self.required:
            return LOCAL
        if not credential:
            raise Unauthenticated(NO_CREDENTIALS)
        key, now = credential.key, self._clock.monotonic()
        known = self._known.get(key)
        if known is None or now >= known.until:
            self._known.pop(key, None)
            known = self._known[key] = await self._find_out(credential, now)
            while len(self._known) > MOST_REMEMBERED:
                self._known.popitem(last=False)
        return known.caller

    def forget(self) -> None:
        """Look at every credential anew: one was revoked here."""
        self._known.clear()

    async def _find_out(self, credential: Credential, now: float) -> Known:
        until = now + REMEMBER_SECONDS
        bearer = credential.bearer
        if not bearer:
            return Known(caller_of_certificate(credential.certificate), until)
        if self._static_token and hmac.compare_digest(bearer.encode(), self._static_token.encode()):
            return Known(Caller("token:FLOW_TOKEN", DEFAULT_NAMESPACE, "admin"), until)
        if (token_id := id_of(bearer)) is not None:
            return Known(await self._by_token(token_id, bearer), until)
        if self._verifier is not None and bearer.count(".") == 2:
            caller, expires = await self._verifier.caller_of(bearer)
            left = expires - self._clock.now().timestamp()
            return Known(caller, min(until, now + max(left, 0.0)))
        raise Unauthenticated(NOT_ACCEPTED)

    async def _by_token(self, token_id: str, text: str) -> Caller:
        token = await self._tokens.find(token_id)
        if token is None or not token.matches(text) or not token.valid(self._database_time.now()):
            raise Unauthenticated(NOT_ACCEPTED)
        return Caller(token.subject, token.namespace, token.role)


def bearer_of(values: list[str]) -> str:
    """The credential of all `authorization` values of a call. Raises Unauthenticated when it is not one."""
    if not values:
        return ""
    kind, _, text = values[0].partition(" ")
    if len(values) > 1 or kind.lower() != "bearer" or not text.strip():
        raise Unauthenticated("send one `authorization: Bearer …`")
    return text.strip()
