"""AccessService: who calls, the tokens of a namespace, and the record of what was done."""

from __future__ import annotations

from datetime import datetime
from typing import Any

import grpc
import msgspec

from flow_engine.errors import PermissionDenied
from flow_engine.v1 import access_pb2 as pb
from flow_engine.v1.access_pb2_grpc import AccessServiceServicer
from services.executor.access.authenticator import Authenticator
from services.executor.access.caller import current_caller, current_namespace
from services.executor.access.roles import methods_of
from services.executor.access.tokens import DEFAULT_TTL, Token, check_namespace, check_new
from services.executor.persistence.audit_entries import AuditEntry
from services.executor.persistence.tokens import AuditFilter, SqlAuditLog, SqlTokenStore
from services.executor.servicers import messages
from services.executor.servicers.execution_servicer import page_size, read_token, write_token

Context = grpc.aio.ServicerContext[Any, Any]

ROLE = {
    "viewer": pb.ROLE_VIEWER,
    "operator": pb.ROLE_OPERATOR,
    "author": pb.ROLE_AUTHOR,
    "worker": pb.ROLE_WORKER,
    "admin": pb.ROLE_ADMIN,
}
ROLE_NAME = {value: name for name, value in ROLE.items()}


class AccessServicer(AccessServiceServicer):
    def __init__(self, tokens: SqlTokenStore, audit: SqlAuditLog, authenticator: Authenticator) -> None:
        self._tokens = tokens
        self._audit = audit
        self._authenticator = authenticator

    async def WhoAmI(self, request: pb.WhoAmIRequest, context: Context) -> pb.WhoAmIResponse:  # noqa: N802
        caller = current_caller()
        return pb.WhoAmIResponse(
            subject=caller.subject,
            namespace=caller.namespace,
            role=ROLE[caller.role],
            methods=methods_of(caller.role),
            authentication_required=self._authenticator.required,
        )

    async def CreateToken(  # noqa: N802
        self, request: pb.CreateTokenRequest, context: Context
    ) -> pb.CreateTokenResponse:
        ttl = request.ttl.ToTimedelta() if request.HasField("ttl") else DEFAULT_TTL
        role = ROLE_NAME.get(request.role, "")
        check_new(request.name, role, ttl)
        caller = current_caller()
        namespace = request.namespace or caller.namespace
        check_namespace(namespace)
        if namespace != caller.namespace and not caller.operates_all:
            raise PermissionDenied("only administrators of the namespace default make tokens of another one")
        made, text = await self._tokens.create(request.name, role, ttl, caller.subject, namespace)
        return pb.CreateTokenResponse(token=token(made), secret=text)

    async def ListTokens(  # noqa: N802
        self, request: pb.ListTokensRequest, context: Context
    ) -> pb.ListTokensResponse:
        return pb.ListTokensResponse(tokens=map(token, await self._tokens.list(current_namespace())))

    async def RevokeToken(  # noqa: N802
        self, request: pb.RevokeTokenRequest, context: Context
    ) -> pb.RevokeTokenResponse:
        revoked = await self._tokens.revoke(request.token_id, current_namespace())
        self._authenticator.forget()
        return pb.RevokeTokenResponse(token=token(revoked))

    async def ListAuditEntries(  # noqa: N802
        self, request: pb.ListAuditEntriesRequest, context: Context
    ) -> pb.ListAuditEntriesResponse:
        size = page_size(request.page_size, default=100, most=1000)
        before = read_token(request.page_token, Newest) if request.page_token else None
        found = await self._audit.list(filter_of(request), size + 1, before and (before.time, before.id))
        page = found[:size]
        last = page[-1] if len(found) > size else None
        return pb.ListAuditEntriesResponse(
            entries=map(entry, page), next_page_token=write_token(Newest(last.time, last.id)) if last else ""
        )


class Newest(msgspec.Struct, array_like=True):
    """The last entry seen."""

    time: datetime
    id: str


def filter_of(request: pb.ListAuditEntriesRequest) -> AuditFilter:
    after, before = request.after_time, request.before_time
    return AuditFilter(
        current_namespace(),
        subject=request.subject,
        action=request.action,
        target=request.target,
        after=messages.instant(after) if request.HasField("after_time") else None,
        before=messages.instant(before) if request.HasField("before_time") else None,
    )


def token(value: Token) -> pb.Token:
    return pb.Token(
        id=value.id,
        name=value.name,
        role=ROLE[value.role],
        created_time=messages.timestamp(value.created_at),
        created_by=value.created_by,
        expire_time=messages.timestamp(value.expires_at),
        revoke_time=messages.timestamp(value.revoked_at),
    )


def entry(value: AuditEntry) -> pb.AuditEntry:
    return pb.AuditEntry(
        id=value.id,
        time=messages.timestamp(value.time),
        subject=value.subject,
        role=ROLE.get(value.role, pb.ROLE_UNSPECIFIED),
        action=value.action,
        target=value.target,
        outcome=value.outcome,
        peer=value.peer,
        client_address=value.client_address,
        request_id=value.request_id,
    )
