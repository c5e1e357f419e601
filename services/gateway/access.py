"""Whom the gateway talks to: names it answers to, and web pages that may use it.

A page on another site can make a browser call 127.0.0.1, under a name of its own that resolves there (DNS
rebinding) or with a plain form. The Host and Origin headers give it away, wherever the gateway listens: a
name that nobody told it is no name of its own. An address is fine, since nobody rebinds one.
"""

from __future__ import annotations

from dataclasses import dataclass
from ipaddress import ip_address
from urllib.parse import urlsplit

from starlette.datastructures import Headers

from services.gateway.errors import Refused
from services.gateway.settings import Settings

EXPOSED = {"Access-Control-Expose-Headers": "ETag, Location, Retry-After, X-Request-Id"}
ALLOWED = {
    "Access-Control-Allow-Methods": "GET, POST, PUT, DELETE",
    "Access-Control-Allow-Headers": "Authorization, Content-Type, Idempotency-Key, If-Match, Last-Event-ID, "
    "Prefer, X-Request-Id",
    "Access-Control-Max-Age": "600",
}
LOOPBACK_NAMES = frozenset({"localhost", "127.0.0.1", "::1"})


@dataclass(frozen=True, slots=True)
class Access:
    """names: with or without a port. any_host: every name is fine. origins: of other sites' pages."""

    names: frozenset[str]
    any_host: bool
    origins: frozenset[str] = frozenset()

    def check(self, headers: Headers) -> None:
        """Raises Refused, naming the setting that would allow it."""
        host = headers.get("host", "").lower()
        if not self._known(host):
            raise Refused(
                "HOST_NOT_ALLOWED",
                f"this gateway does not answer to {host!r}; FLOW_ALLOWED_HOSTS can allow it",
            )
        origin = headers.get("origin")
        if origin is not None and not self._own(origin.lower(), host) and origin not in self.origins:
            raise Refused(
                "ORIGIN_NOT_ALLOWED",
                f"pages of {origin!r} may not call this gateway; FLOW_CORS_ORIGINS can allow it",
            )

    def for_pages(self, headers: Headers) -> dict[str, str]:
        """What an answer tells a browser about pages of other sites; nothing where they are not allowed."""
        origin = headers.get("origin", "")
        if origin not in self.origins:
            return {}
        return {"Access-Control-Allow-Origin": origin, "Vary": "Origin", **EXPOSED}

    def preflight(self, headers: Headers) -> dict[str, str]:
        """What it is told beside that before a call: what that may be made with."""
        return ALLOWED if self.for_pages(headers) else {}

    def _known(self, host: str) -> bool:
        name = hostname(host)
        return self.any_host or host in self.names or name in self.names | LOOPBACK_NAMES or is_address(name)

    def _own(self, origin: str, host: str) -> bool:
        place = urlsplit(origin).netloc
        return place != "" and (place == host or place in self.names or hostname(place) in self.names)


def access_from(settings: Settings) -> Access:
    own = hostname(urlsplit(settings.public_url).netloc.lower())
    names = {*settings.allowed_hosts, own} - {"*", ""}
    return Access(frozenset(names), "*" in settings.allowed_hosts, frozenset(settings.cors_origins))


def is_address(name: str) -> bool:
    try:
        ip_address(name)
    except ValueError:
        return False
    return True


def hostname(host: str) -> str:
    """Without port and brackets; "" if it is malformed."""
    try:
        return urlsplit(f"//{host}").hostname or ""
    except ValueError:
        return ""
