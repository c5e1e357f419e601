"""What a process lends to its nodes: one pooled HTTP client, and the way to where they may connect."""

from __future__ import annotations

import ssl
from http.cookiejar import CookieJar, DefaultCookiePolicy

import httpx

from flow_engine.egress.guard import EgressGuard
from flow_engine.egress.http import GuardedTransport
from flow_engine.egress.metered import MeteredTransport
from flow_engine.metering import called
from flow_engine.nodes.contract import NodeServices

MAX_CONNECTIONS = 200
MAX_IDLE_CONNECTIONS = 50
IDLE_SECONDS = 4.0
"""Below the 5 s after which common servers close an idle connection: theirs is never caught closing."""

USER_AGENT = "flow-execution-engine"


def _trust() -> ssl.SSLContext:
    """The usual authorities, and those of this machine or of SSL_CERT_FILE."""
    context = httpx.create_ssl_context(trust_env=False)
    context.load_default_certs()
    return context


class SharedServices(NodeServices):
    """For all executions of one process, within one event loop. Close it when the process stops.

    guard: where nodes may connect; without one, to the public internet only. runs_code: whether code that
    workflows bring may run here.
    """

    def __init__(self, guard: EgressGuard | None = None, *, runs_code: bool = False) -> None:
        self._guard = guard or EgressGuard()
        self._runs_code = runs_code
        self._http: httpx.AsyncClient | None = None

    @property
    def http(self) -> httpx.AsyncClient:
        if self._http is None:
            limits = httpx.Limits(
                max_connections=MAX_CONNECTIONS,
                max_keepalive_connections=MAX_IDLE_CONNECTIONS,
                keepalive_expiry=IDLE_SECONDS,
            )
            self._http = self._client(_trust(), limits)
        return self._http

    def http_with(self, trust: ssl.SSLContext) -> httpx.AsyncClient:
        return self._client(trust, httpx.Limits(max_keepalive_connections=1))

    def _client(self, trust: ssl.SSLContext, limits: httpx.Limits) -> httpx.AsyncClient:
        return httpx.AsyncClient(
            transport=MeteredTransport(GuardedTransport(self._guard, trust, limits)),
            headers={"User-Agent": USER_AGENT},
            cookies=_no_cookies(),
            follow_redirects=False,
            trust_env=False,
        )

    @property
    def runs_code(self) -> bool:
        return self._runs_code

    async def address_of(self, host: str, port: int) -> str:
        address = (await self._guard.addresses(host, port))[0]
        called(calls=1)  # whoever asks connects
        return address

    async def close(self) -> None:
        """Close every connection. May be called again; a later use opens anew."""
        client, self._http = self._http, None
        if client is not None:
            await client.aclose()


def _no_cookies() -> CookieJar:
    """A jar that keeps nothing: one execution's session must not leak into another's requests."""
    return CookieJar(DefaultCookiePolicy(allowed_domains=[]))
