"""Whose call is being answered: what it brought along goes with every question to the executor.

The executor decides what a caller may; the gateway only carries. What is shared among callers is shared
among those with the same credential alone.
"""

from __future__ import annotations

import hashlib
from contextvars import ContextVar
from dataclasses import dataclass
from http.cookies import CookieError, SimpleCookie

from starlette.datastructures import Headers

from services.gateway.errors import Refused

COOKIE = "flow_session"
"""Holds the token of a browser that signed in: the one thing that also EventSource and WebSocket send."""
LONGEST = 16 << 10


@dataclass(frozen=True, slots=True)
class Sender:
    """bearer: empty where there is none. client_address: of the connection."""

    bearer: str = ""
    client_address: str = ""

    @property
    def key(self) -> str:
        """Names the credential without telling it."""
        return hashlib.sha256(self.bearer.encode()).hexdigest()

    def metadata(self, request_id: str) -> tuple[tuple[str, str], ...]:
        """What goes to the executor beside a message."""
        found = [("x-request-id", request_id), ("x-client-address", self.client_address)]
        if self.bearer:
            found.append(("authorization", f"Bearer {self.bearer}"))
        return tuple(pair for pair in found if pair[1])


NOBODY = Sender()
_sender: ContextVar[Sender] = ContextVar("sender")


def current_sender() -> Sender:
    """Of this call, also in the tasks that it started; nobody outside of one."""
    return _sender.get(NOBODY)


def set_sender(sender: Sender) -> None:
    _sender.set(sender)


def bearer_of(headers: Headers) -> str:
    """The token of the Authorization header, or else of the cookie; "" without either.

    Raises Refused for a header that is none of ours: nobody falls back to another identity.
    """
    given = headers.getlist("authorization")
    if not given:
        return checked(_from_cookie(headers.get("cookie", "")))
    kind, _, text = given[0].partition(" ")
    if len(given) > 1 or kind.lower() != "bearer" or not text.strip():
        raise unauthenticated("send one Authorization: Bearer header")
    return checked(text.strip())


def checked(bearer: str) -> str:
    """Fit to be sent on. Raises Refused."""
    if len(bearer) > LONGEST or not all("!" <= character <= "~" for character in bearer):
        raise unauthenticated("these credentials cannot be any of ours")
    return bearer


def unauthenticated(detail: str) -> Refused:
    return Refused("UNAUTHENTICATED", detail)


def _from_cookie(text: str) -> str:
    try:
        found = SimpleCookie(text).get(COOKIE)
    except CookieError:
        return ""
    return found.value if found else ""
