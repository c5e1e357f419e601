"""Signing in, tokens, and who did what."""

from __future__ import annotations

from datetime import datetime
from typing import Annotated, Literal
from urllib.parse import urlsplit

from google.protobuf.duration_pb2 import Duration
from google.protobuf.timestamp_pb2 import Timestamp
from msgspec import UNSET, Meta, UnsetType
from starlette.responses import Response

from flow_engine.environment import loopback
from flow_engine.errors import Problem
from flow_engine.v1 import access_pb2 as pb
from services.gateway.access import hostname
from services.gateway.bodies import Body
from services.gateway.call import Answer, Call, document
from services.gateway.credentials import COOKIE, Sender, checked, current_sender, set_sender, unauthenticated
from services.gateway.documents import Document, Instant, instant_of
from services.gateway.errors import Refused, invalid
from services.gateway.identity_provider import IdentityProvider

RoleName = Literal["viewer", "operator", "author", "worker", "admin"]
ROLE: dict[str, pb.Role] = {
    "viewer": pb.ROLE_VIEWER,
    "operator": pb.ROLE_OPERATOR,
    "author": pb.ROLE_AUTHOR,
    "worker": pb.ROLE_WORKER,
    "admin": pb.ROLE_ADMIN,
}
ROLE_NAME = {value: name for name, value in ROLE.items()}
MOST_COOKIE_BYTES = 3_900
"""Browsers drop a cookie above 4 KiB without a word."""
MOST_TTL_MS = 3660 * 86_400_000


class SignIn(Body, frozen=True, kw_only=True):
    """What a person has: a token of the engine, or of its identity provider."""

    token: Annotated[str, Meta(min_length=1, max_length=16 << 10)]


class ProviderSignIn(Body, frozen=True, kw_only=True):
    """What the identity provider sent the browser back with, and what the browser had kept meanwhile."""

    code: Annotated[str, Meta(min_length=1, max_length=4096)]
    code_verifier: Annotated[str, Meta(min_length=43, max_length=128, pattern="^[A-Za-z0-9._~-]+$")]
    redirect_uri: Annotated[str, Meta(min_length=1, max_length=2048)]


class NewToken(Body, frozen=True, kw_only=True):
    name: Annotated[str, Meta(min_length=1, max_length=100)]
    role: RoleName
    ttl_ms: Annotated[int, Meta(ge=1, le=MOST_TTL_MS, description="90 days by default.")] | None = None


class SessionDocument(Document, frozen=True, kw_only=True):
    """Whom the engine takes the caller for. `methods`: what it may call, by the names of the RPCs."""

    subject: str
    namespace: str
    role: str
    methods: list[str]
    authentication_required: bool


class ProviderDocument(Document, frozen=True, kw_only=True):
    """Where a browser goes to sign in: an authorization code is wanted, with PKCE by S256."""

    issuer: str
    authorization_endpoint: str
    client_id: str
    scope: str


class TokenDocument(Document, frozen=True, kw_only=True):
    id: str
    name: str
    role: str
    created_at: Instant | UnsetType
    created_by: str
    expires_at: Instant | UnsetType = UNSET
    revoked_at: Instant | UnsetType = UNSET


class NewTokenDocument(Document, frozen=True, kw_only=True):
    """`secret` is what callers send; it is not shown again."""

    token: TokenDocument
    secret: str


class TokenList(Document, frozen=True, kw_only=True):
    tokens: list[TokenDocument]


class AuditEntryDocument(Document, frozen=True, kw_only=True):
    """Who did what to which, when, from where. outcome: OK, or the reason of a refusal."""

    id: str
    time: Instant | UnsetType
    subject: str
    role: str
    action: str
    target: str
    outcome: str
    peer: str
    client_address: str
    request_id: str


class AuditPage(Document, frozen=True, kw_only=True):
    entries: list[AuditEntryDocument]
    next_page_token: str | UnsetType = UNSET


async def get_session(call: Call) -> Answer:
    """Whom the engine takes the caller for."""
    return document(session_document(await call.services.admission.me(current_sender())))


async def create_session(call: Call) -> Answer:
    """Sign in: the token moves into a cookie that pages cannot read."""
    token = checked((await call.decoded(SignIn)).token.strip())
    set_sender(Sender(token, current_sender().client_address))
    me = await call.services.admission.me(current_sender())
    return document(session_document(me), headers={"Set-Cookie": cookie(call, token)})


async def get_provider(call: Call) -> Answer:
    """The identity provider that people may sign in with."""
    provider = provider_of(call)
    endpoints = await provider.endpoints()
    settings = provider.settings
    return document(
        ProviderDocument(
            issuer=settings.issuer,
            authorization_endpoint=endpoints.authorization,
            client_id=settings.client_id,
            scope=settings.scope,
        )
    )


async def create_provider_session(call: Call) -> Answer:
    """Sign in with what the provider sent back: its token goes into the cookie without passing any page."""
    provider, said = provider_of(call), await call.decoded(ProviderSignIn)
    if not own_page(said.redirect_uri, call.headers.get("host", "")):
        message = "only a page of this gateway can be where the provider sends people back to"
        raise invalid([Problem("/redirectUri", "INVALID_VALUE", message)])
    token = checked(await provider.token_for(said.code, said.code_verifier, said.redirect_uri))
    if len(token) > MOST_COOKIE_BYTES:
        raise unauthenticated(f"the provider's token has {len(token):,} bytes, more than a cookie holds")
    set_sender(Sender(token, current_sender().client_address))
    me = await call.services.admission.me(current_sender())
    return document(session_document(me), headers={"Set-Cookie": cookie(call, token)})


def provider_of(call: Call) -> IdentityProvider:
    """Raises Refused where there is none."""
    provider = call.services.provider
    if provider is None:
        raise Refused("NOT_FOUND", "people sign in with tokens here; FLOW_OIDC_CLIENT_ID tells of a provider")
    return provider


def own_page(uri: str, host: str) -> bool:
    try:
        parts = urlsplit(uri)
    except ValueError:
        return False
    return parts.scheme in ("http", "https") and parts.netloc.lower() == host.lower() != ""


async def delete_session(call: Call) -> Answer:
    """Sign out. The token stays valid elsewhere."""
    return Response(status_code=204, headers={"Set-Cookie": f"{cookie(call, '')}; Max-Age=0"})


async def list_tokens(call: Call) -> Answer:
    executor = call.services.executor
    answer = await executor.ask(executor.access.ListTokens, pb.ListTokensRequest(), call.request_id)
    return document(TokenList(tokens=[token_document(token) for token in answer.tokens]))


async def create_token(call: Call) -> Answer:
    wanted = await call.decoded(NewToken)
    request = pb.CreateTokenRequest(name=wanted.name, role=ROLE[wanted.role])
    if wanted.ttl_ms is not None:
        span = Duration()
        span.FromMilliseconds(wanted.ttl_ms)
        request.ttl.CopyFrom(span)
    executor = call.services.executor
    answer = await executor.ask(executor.access.CreateToken, request, call.request_id, repeat=False)
    made = NewTokenDocument(token=token_document(answer.token), secret=answer.secret)
    return document(made, 201, {"Cache-Control": "no-store"})


async def revoke_token(call: Call) -> Answer:
    executor = call.services.executor
    request = pb.RevokeTokenRequest(token_id=call.path["tokenId"])
    answer = await executor.ask(executor.access.RevokeToken, request, call.request_id)
    return document(token_document(answer.token))


async def list_audit_entries(call: Call) -> Answer:
    query = call.query
    request = pb.ListAuditEntriesRequest(
        subject=query.get("subject", ""),
        action=query.get("action", ""),
        target=query.get("target", ""),
        page_size=query.get("limit", 0),
        page_token=query.get("pageToken", ""),
        after_time=timestamp(query.get("after")),
        before_time=timestamp(query.get("before")),
    )
    executor = call.services.executor
    answer = await executor.ask(executor.access.ListAuditEntries, request, call.request_id)
    return document(audit_page(answer))


def audit_page(answer: pb.ListAuditEntriesResponse) -> AuditPage:
    return AuditPage(
        entries=[audit_entry_document(entry) for entry in answer.entries],
        next_page_token=answer.next_page_token or UNSET,
    )


def audit_entry_document(entry: pb.AuditEntry) -> AuditEntryDocument:
    return AuditEntryDocument(
        id=entry.id,
        time=instant_of(entry, "time"),
        subject=entry.subject,
        role=ROLE_NAME.get(entry.role, ""),
        action=entry.action,
        target=entry.target,
        outcome=entry.outcome,
        peer=entry.peer,
        client_address=entry.client_address,
        request_id=entry.request_id,
    )


def session_document(me: pb.WhoAmIResponse) -> SessionDocument:
    return SessionDocument(
        subject=me.subject,
        namespace=me.namespace,
        role=ROLE_NAME.get(me.role, ""),
        methods=[method.rpartition(".")[2] for method in me.methods],
        authentication_required=me.authentication_required,
    )


def token_document(token: pb.Token) -> TokenDocument:
    return TokenDocument(
        id=token.id,
        name=token.name,
        role=ROLE_NAME.get(token.role, ""),
        created_at=instant_of(token, "created_time"),
        created_by=token.created_by,
        expires_at=instant_of(token, "expire_time"),
        revoked_at=instant_of(token, "revoke_time"),
    )


def timestamp(value: datetime | None) -> Timestamp | None:
    if value is None:
        return None
    message = Timestamp()
    message.FromDatetime(value)
    return message


def cookie(call: Call, token: str) -> str:
    """No page can read it, no other site can make a browser send it."""
    plain = call.services.settings.insecure or loopback(hostname(call.headers.get("host", "")))
    return f"{COOKIE}={token}; Path=/; HttpOnly; SameSite=Strict{'' if plain else '; Secure'}"
