"""Whom the gateway talks to: names it answers to, and web pages that may use it.

A page on another site can make a browser call 127.0.0.1, under a name of its own that resolves there (DNS
rebinding) or with a plain form. The Host and Origin headers give it away.
"""

from __future__ import annotations

from dataclasses import dataclass
from urllib.parse import urlsplit

from starlette.datastructures import Headers

from flow_engine.environment import loopback
from services.gateway.errors import Refused
from services.gateway.settings import Settings

LOOPBACK_NAMES = frozenset({"localhost", "127.0.0.1", "::1"})


@dataclass(frozen=True, slots=True)
class Access:
    """names: with or without a port; empty and `any_host` when every name is fine."""

    names: frozenset[str]
    any_host: bool

    def check(self, headers: Headers) -> None:
        """Raises Refused, naming the setting that would allow it."""
        host = headers.get("host", "").lower()
        if not self._known(host):
            raise Refused(
                "HOST_NOT_ALLOWED",
                f"this gateway does not answer to {host!r}; FLOW_ALLOWED_HOSTS can allow it",
            )
        origin = headers.get("origin")
        if origin is not None and not self._own(origin.lower(), host):
            raise Refused(
                "ORIGIN_NOT_ALLOWED",
                f"pages of {origin!r} may not call this gateway; FLOW_ALLOWED_HOSTS can allow it",
            )

    def _known(self, host: str) -> bool:
        return self.any_host or host in self.names or hostname(host) in self.names | LOOPBACK_NAMES

    def _own(self, origin: str, host: str) -> bool:
        place = urlsplit(origin).netloc
        return place != "" and (place == host or place in self.names or hostname(place) in self.names)


def access_from(settings: Settings) -> Access:
    """An open bind without a list of names answers to any: whoever accepted that has no list to check."""
    any_host = "*" in settings.allowed_hosts or (
        not loopback(settings.http_host) and not settings.allowed_hosts
    )
    names = {*settings.allowed_hosts} - {"*"}
    return Access(frozenset(names), any_host)


def hostname(host: str) -> str:
    """Without port and brackets; "" if it is malformed."""
    try:
        return urlsplit(f"//{host}").hostname or ""
    except ValueError:
        return ""
