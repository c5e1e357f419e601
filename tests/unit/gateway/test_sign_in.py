"""Signing in with an identity provider: what the gateway believes, and what it tells where it does not."""

from __future__ import annotations

import base64
import hashlib
from collections.abc import Callable, Iterator
from typing import Any

import httpx
import pytest

from services.gateway.identity_provider import SignInSettings
from tests.infra.identity_provider import CLIENT, IdentityProvider, identity_provider
from tests.unit.gateway.conftest import Running
from tests.unit.gateway.engine import Engine

VERIFIER = "v" * 43
PATH = "/api/session/provider"


@pytest.fixture
def provider() -> Iterator[IdentityProvider]:
    with identity_provider() as provider:
        yield provider


@pytest.fixture
async def gateway(start_gateway: Callable[..., Any], provider: IdentityProvider) -> Running:
    running: Running = await start_gateway(sign_in=SignInSettings(provider.issuer, CLIENT))
    return running


def code(provider: IdentityProvider, gateway: Running) -> str:
    """As a browser brings it back."""
    challenge = base64.urlsafe_b64encode(hashlib.sha256(VERIFIER.encode()).digest()).rstrip(b"=").decode()
    asked = {
        "response_type": "code",
        "code_challenge_method": "S256",
        "code_challenge": challenge,
        "client_id": CLIENT,
        "redirect_uri": f"{gateway.url}/",
    }
    return provider.code_for("ann", asked)


async def sign_in(gateway: Running, code: str, **changes: str) -> httpx.Response:
    said = {"code": code, "codeVerifier": VERIFIER, "redirectUri": f"{gateway.url}/", **changes}
    return await gateway.client.post(PATH, json=said)


async def test_a_gateway_tells_where_to_sign_in_and_nothing_secret(
    start_gateway: Callable[..., Any], provider: IdentityProvider
) -> None:
    settings = SignInSettings(provider.issuer, CLIENT, client_secret="not-for-browsers")
    running: Running = await start_gateway(sign_in=settings)
    assert (await running.client.get(PATH)).json() == {
        "issuer": provider.issuer,
        "authorizationEndpoint": f"{provider.issuer}/authorize",
        "clientId": CLIENT,
        "scope": "openid",
    }


async def test_a_code_becomes_a_cookie_once(
    gateway: Running, engine: Engine, provider: IdentityProvider
) -> None:
    brought = code(provider, gateway)
    answer = await sign_in(gateway, brought)
    assert answer.status_code == 200
    cookie = answer.headers["set-cookie"]
    assert cookie.startswith("flow_session=ey")
    assert "HttpOnly" in cookie
    assert "SameSite=Strict" in cookie
    again = await sign_in(gateway, brought)
    assert (again.status_code, again.json()["reason"]) == (401, "UNAUTHENTICATED")
    assert "set-cookie" not in again.headers


@pytest.mark.parametrize(
    ("changes", "status"),
    [
        ({"codeVerifier": "w" * 43}, 401),
        ({"code": "made-up"}, 401),
        ({"redirectUri": "https://evil.example/"}, 400),
        ({"redirectUri": "//["}, 400),
        ({"codeVerifier": "short"}, 400),
    ],
)
async def test_what_was_not_begun_here_gets_nothing(
    gateway: Running, engine: Engine, provider: IdentityProvider, changes: dict[str, str], status: int
) -> None:
    answer = await sign_in(gateway, **{"code": code(provider, gateway), **changes})
    assert answer.status_code == status
    assert "set-cookie" not in answer.headers


async def test_a_token_that_no_cookie_holds_is_refused(
    gateway: Running, engine: Engine, provider: IdentityProvider
) -> None:
    provider.more = "x" * 5000
    answer = await sign_in(gateway, code(provider, gateway))
    assert answer.status_code == 401
    assert "more than a cookie holds" in answer.json()["detail"]


@pytest.mark.parametrize("lie", ["issuer", "endpoint"])
async def test_a_provider_that_is_not_what_was_named_is_not_used(
    gateway: Running, provider: IdentityProvider, monkeypatch: pytest.MonkeyPatch, lie: str
) -> None:
    true = provider.document

    def document(path: str) -> dict[str, Any] | None:
        changed = (
            {"issuer": "https://evil.example"} if lie == "issuer" else {"token_endpoint": "http://10.0.0.1/"}
        )
        return {**(true(path) or {}), **changed}

    monkeypatch.setattr(provider, "document", document)
    answer = await gateway.client.get(PATH)
    assert (answer.status_code, answer.json()["reason"]) == (503, "UNAVAILABLE")


async def test_without_a_provider_there_is_none(start_gateway: Callable[..., Any], engine: Engine) -> None:
    plain: Running = await start_gateway()
    assert (await plain.client.get(PATH)).status_code == 404
    away: Running = await start_gateway(sign_in=SignInSettings("http://127.0.0.1:9", CLIENT))
    assert (await away.client.get(PATH)).status_code == 503
