"""The secrets of one attempt: put into its config, kept to their hosts, taken out of what it says."""

from __future__ import annotations

import ssl
from collections.abc import Collection, Mapping
from dataclasses import replace

import httpx
from msgspec import structs

from flow_engine.egress.rules import canonical
from flow_engine.errors import SecretUnreadable
from flow_engine.interpreter.events import Failure
from flow_engine.nodes.contract import Completed, Failed, NodeError, NodeServices, Outcome, Spawning, Waiting
from flow_engine.secrets.redaction import KNOWN, Redactor
from flow_engine.secrets.secret import Secret, SecretSource


def reference(name: str) -> str:
    """As a definition says it, and as history shows it."""
    return f"${{ secrets.{name} }}"


class SecretsInUse:
    """Those that one attempt was given, by name."""

    def __init__(self, secrets: Mapping[str, Secret]) -> None:
        self._secrets = secrets
        self._redactor = Redactor([secret.value for secret in secrets.values()])
        KNOWN.remember(secret.value for secret in secrets.values())

    @property
    def values(self) -> dict[str, str]:
        return {name: secret.value for name, secret in self._secrets.items()}

    @property
    def references(self) -> dict[str, str]:
        return {name: reference(name) for name in self._secrets}

    def services(self, inner: NodeServices) -> NodeServices:
        return BoundServices(inner, self._secrets)

    def failure(self, failure: Failure) -> Failure:
        return replace_texts(failure, self._redactor)

    def outcome(self, outcome: Outcome) -> Outcome:
        match outcome:
            case Completed():
                return structs.replace(outcome, output=self._redactor.value(outcome.output))
            case Failed():
                return structs.replace(outcome, failure=self.failure(outcome.failure))
            case Waiting():
                return replace(outcome, signal=self._redactor.value(outcome.signal))
            case Spawning():
                return replace(outcome, input=self._redactor.value(outcome.input))


def replace_texts(failure: Failure, redactor: Redactor) -> Failure:
    return Failure(
        failure.code,
        redactor.text(failure.message),
        failure.retryable,
        failure.node_id,
        failure.iteration,
        redactor.value(failure.details),
    )


async def secrets_for(source: SecretSource, names: Collection[str]) -> SecretsInUse | Failure:
    """All of them, or the failure that one is not there."""
    try:
        found = await source.secrets(names)
    except SecretUnreadable as error:
        return Failure(error.reason, error.message)
    if missing := sorted(set(names) - found.keys()):
        return Failure("SECRET_NOT_FOUND", f"there is no secret {missing[0]}; set it, and retry")
    return SecretsInUse({name: found[name] for name in names})


class BoundServices(NodeServices):
    """What the process lends, with a look at what goes where. All else is as it was lent."""

    def __init__(self, inner: NodeServices, secrets: Mapping[str, Secret]) -> None:
        self._inner = inner
        self._secrets = secrets
        self._client: httpx.AsyncClient | None = None

    @property
    def http(self) -> httpx.AsyncClient:
        if self._client is None:
            self._client = _BoundClient(self._inner.http, self._secrets, own=False)
        return self._client

    def http_with(self, trust: ssl.SSLContext) -> httpx.AsyncClient:
        return _BoundClient(self._inner.http_with(trust), self._secrets, own=True)

    @property
    def runs_code(self) -> bool:
        return self._inner.runs_code

    async def address_of(self, host: str, port: int) -> str:
        """Whatever a node says over a connection of its own may hold any of its secrets."""
        for name, secret in self._secrets.items():
            if not secret.may_go_to(host):
                raise _not_for(name, host)
        return await self._inner.address_of(host, port)


class _BoundClient(httpx.AsyncClient):
    """A client over the connections of another; each request passes here, every redirect's too.

    own: the other one is closed with it.
    """

    def __init__(self, other: httpx.AsyncClient, secrets: Mapping[str, Secret], *, own: bool) -> None:
        super().__init__(
            transport=_BoundTransport(other._transport, secrets, own=own),
            headers=other.headers,
            cookies=other.cookies.jar,
            follow_redirects=False,
            trust_env=False,
        )


class _BoundTransport(httpx.AsyncBaseTransport):
    def __init__(self, inner: httpx.AsyncBaseTransport, secrets: Mapping[str, Secret], *, own: bool) -> None:
        self._inner = inner
        self._own = own
        self._secrets = [(name, secret, Redactor([secret.value])) for name, secret in secrets.items()]

    async def aclose(self) -> None:
        if self._own:
            await self._inner.aclose()

    async def handle_async_request(self, request: httpx.Request) -> httpx.Response:
        said = ""
        for name, secret, redactor in self._secrets:
            if not secret.may_go_to(request.url.host):
                said = said or await _all_of(request)
                if redactor.finds(said):
                    raise _not_for(name, request.url.host)
        return await self._inner.handle_async_request(request)


async def _all_of(request: httpx.Request) -> str:
    body = await request.aread()
    headers = "\n".join(f"{name}: {value}" for name, value in request.headers.multi_items())
    return f"{request.url}\n{headers}\n{body.decode(errors='replace')}"


def _not_for(name: str, host: str) -> NodeError:
    return NodeError(
        "SECRET_NOT_FOR_HOST",
        f"secret {name} is not bound to {canonical(host)}; whoever keeps it says where it may go",
        secret=name,
        host=canonical(host),
    )
