"""JWTs that are not what they say: each is refused, and the keys are asked for no more than needed."""

from __future__ import annotations

import base64
import hashlib
import hmac
import json
from collections.abc import Callable
from typing import Any

import jwt
import pytest
from cryptography.hazmat.primitives import serialization
from cryptography.hazmat.primitives.asymmetric import ec, rsa

from flow_engine.clock import SystemClock
from flow_engine.errors import Unauthenticated, Unavailable
from services.executor.access.caller import Caller
from services.executor.access.oidc import KEYS_SECONDS, REFETCH_SECONDS, JwtVerifier, Keys
from services.executor.access.oidc_settings import OidcSettings

ISSUER, AUDIENCE = "https://id.example", "flow"
SETTINGS = OidcSettings(ISSUER, AUDIENCE)
KEY = rsa.generate_private_key(public_exponent=65537, key_size=2048)
STRANGER = rsa.generate_private_key(public_exponent=65537, key_size=2048)
CURVE = ec.generate_private_key(ec.SECP256R1())


def jwk(key: Any, key_id: str, **more: Any) -> dict[str, Any]:
    kind: Any = (
        jwt.algorithms.RSAAlgorithm if isinstance(key, rsa.RSAPrivateKey) else jwt.algorithms.ECAlgorithm
    )
    algorithm = "RS256" if isinstance(key, rsa.RSAPrivateKey) else "ES256"
    return {**kind.to_jwk(key.public_key(), as_dict=True), "kid": key_id, "alg": algorithm, **more}


class Clock(SystemClock):
    at = 0.0

    def monotonic(self) -> float:
        return self.at


class Provider:
    """An identity provider's two documents."""

    def __init__(self) -> None:
        self.keys = [jwk(KEY, "one"), jwk(CURVE, "two")]
        self.asked: list[str] = []
        self.away = False
        self.issuer = ISSUER

    async def fetch(self, url: str) -> Any:
        self.asked.append(url)
        if self.away:
            raise Unavailable("away")
        if url.endswith("openid-configuration"):
            return {"issuer": self.issuer, "jwks_uri": f"{ISSUER}/keys"}
        return {"keys": self.keys}


@pytest.fixture
def provider() -> Provider:
    return Provider()


@pytest.fixture
def clock() -> Clock:
    return Clock()


@pytest.fixture
def verifier(provider: Provider, clock: Clock) -> JwtVerifier:
    return JwtVerifier(SETTINGS, Keys(SETTINGS, clock, provider.fetch))


def claims(**changes: Any) -> dict[str, Any]:
    now = int(SystemClock().now().timestamp())
    found = {
        "iss": ISSUER, "aud": AUDIENCE, "sub": "ann", "exp": now + 600, "iat": now,
        "flow_role": "author", "flow_namespace": "team-a", **changes,
    }  # fmt: skip
    return {name: value for name, value in found.items() if value is not None}


def signed(key: Any = KEY, key_id: str = "one", algorithm: str = "RS256", **changes: Any) -> str:
    return jwt.encode(claims(**changes), key, algorithm, headers={"kid": key_id})


def assembled(header: dict[str, Any], signature: Callable[[bytes], bytes]) -> str:
    """A token that no library would make."""

    def part(data: bytes) -> bytes:
        return base64.urlsafe_b64encode(data).rstrip(b"=")

    body = part(json.dumps(header).encode()) + b"." + part(json.dumps(claims()).encode())
    return (body + b"." + part(signature(body))).decode()


async def test_what_the_issuer_signed_is_believed(verifier: JwtVerifier) -> None:
    caller, _ = await verifier.caller_of(signed())
    assert caller == Caller("oidc:ann", "team-a", "author")
    by_curve = signed(CURVE, "two", "ES256", aud=["other", AUDIENCE])
    assert (await verifier.caller_of(by_curve))[0] == caller


def public_pem() -> bytes:
    kind = serialization.PublicFormat.SubjectPublicKeyInfo
    return KEY.public_key().public_bytes(serialization.Encoding.PEM, kind)


NOW = int(SystemClock().now().timestamp())
MISUSED: dict[str, Callable[[], str]] = {
    "expired": lambda: signed(exp=NOW - 60),
    "never expires": lambda: signed(exp=None),
    "not valid yet": lambda: signed(nbf=NOW + 600),
    "for another audience": lambda: signed(aud="other"),
    "for nobody": lambda: signed(aud=None),
    "of another issuer": lambda: signed(iss="https://evil.example"),
    "of an issuer that begins the same": lambda: signed(iss=f"{ISSUER}.evil.example"),
    "of nobody": lambda: signed(sub=None),
    "without a role": lambda: signed(flow_role=None),
    "with a role of its own": lambda: signed(flow_role="root"),
    "with a list of roles": lambda: signed(flow_role=["admin"]),
    "without a namespace": lambda: signed(flow_namespace=None),
    "with a namespace that is none": lambda: signed(flow_namespace="../team-b"),
    "with two namespaces": lambda: signed(flow_namespace=["team-a", "team-b"]),
    "signed by somebody else": lambda: signed(STRANGER),
    "signed with a key nobody knows": lambda: signed(STRANGER, "three"),
    "alg none": lambda: assembled({"alg": "none", "kid": "one"}, lambda body: b""),
    "alg None": lambda: assembled({"alg": "None", "kid": "one"}, lambda body: b""),
    "without alg": lambda: assembled({"kid": "one"}, lambda body: b""),
    "HS256 with the public key": lambda: assembled(
        {"alg": "HS256", "kid": "one"}, lambda body: hmac.digest(public_pem(), body, hashlib.sha256)
    ),
    "HS256 with the key's id": lambda: assembled(
        {"alg": "HS256", "kid": "one"}, lambda body: hmac.digest(b"one", body, hashlib.sha256)
    ),
    "RS256 named, the curve's key": lambda: signed(KEY, "two"),
    "RS512 with a key for RS256": lambda: signed(KEY, "one", "RS512"),
    "a key in its own header": lambda: jwt.encode(
        claims(), STRANGER, "RS256", headers={"jwk": jwk(STRANGER, "x"), "kid": "x"}
    ),
    "a key at an address of its own": lambda: jwt.encode(
        claims(), STRANGER, "RS256", headers={"jku": "https://evil.example/keys", "kid": "x"}
    ),
    "cut off": lambda: signed()[:-4],
    "another body": lambda: ".".join(
        [signed().split(".")[0], signed(sub="eve").split(".")[1], signed().split(".")[2]]
    ),
    "too long": lambda: signed(x="x" * 20_000),
    "not one": lambda: "a.b.c",
    "nothing": lambda: "..",
}


@pytest.mark.parametrize("name", MISUSED)
async def test_a_token_that_is_not_what_it_says_is_refused(verifier: JwtVerifier, name: str) -> None:
    with pytest.raises(Unauthenticated):
        await verifier.caller_of(MISUSED[name]())


async def test_shared_secrets_among_the_keys_are_no_keys(verifier: JwtVerifier, provider: Provider) -> None:
    secret = base64.urlsafe_b64encode(b"k" * 32).decode().rstrip("=")
    provider.keys.append({"kty": "oct", "k": secret, "kid": "shared", "alg": "HS256"})
    provider.keys.append(jwk(STRANGER, "sealing", use="enc"))
    shared = assembled({"alg": "HS256", "kid": "shared"}, lambda body: hmac.digest(b"k" * 32, body, "sha256"))
    for text in (shared, signed(STRANGER, "sealing")):
        with pytest.raises(Unauthenticated):
            await verifier.caller_of(text)


async def test_a_new_key_is_fetched_when_it_signs_and_one_that_went_is_forgotten(
    verifier: JwtVerifier, provider: Provider, clock: Clock
) -> None:
    await verifier.caller_of(signed())
    provider.keys = [jwk(STRANGER, "new")]
    clock.at += REFETCH_SECONDS
    await verifier.caller_of(signed(STRANGER, "new"))
    with pytest.raises(Unauthenticated):
        await verifier.caller_of(signed())


async def test_invented_key_ids_do_not_make_us_ask_the_provider_each_time(
    verifier: JwtVerifier, provider: Provider
) -> None:
    await verifier.caller_of(signed())
    asked = len(provider.asked)
    for number in range(50):
        with pytest.raises(Unauthenticated):
            await verifier.caller_of(signed(STRANGER, f"invented-{number}"))
    assert len(provider.asked) == asked


async def test_old_keys_hold_while_the_provider_is_away(
    verifier: JwtVerifier, provider: Provider, clock: Clock
) -> None:
    await verifier.caller_of(signed())
    provider.away = True
    clock.at += KEYS_SECONDS
    await verifier.caller_of(signed())


async def test_a_provider_that_calls_itself_otherwise_is_not_believed(
    verifier: JwtVerifier, provider: Provider
) -> None:
    provider.issuer = "https://evil.example"
    with pytest.raises(Unavailable, match="FLOW_OIDC_ISSUER"):
        await verifier.caller_of(signed())
