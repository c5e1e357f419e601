"""Finds out who calls, and whether they may, before anything of the call is parsed.

A call with a token, or with nothing, is decided before its message is even read. A TLS client's
certificate is known to the handler only: then the message is read, and parsed after the decision.
"""

from __future__ import annotations

import contextlib
import inspect
from collections import Counter
from collections.abc import AsyncIterator, Awaitable, Callable, Iterator
from dataclasses import dataclass
from typing import Any

import grpc

from flow_engine.errors import (
    FlowEngineError,
    InvalidRequest,
    MetadataTooLarge,
    PermissionDenied,
    Problem,
    TooManyCalls,
)
from services.executor.access.audit import Audit, Origin, target_of
from services.executor.access.authenticator import Authenticator, Credential, bearer_of
from services.executor.access.caller import LOCAL, Caller, set_caller
from services.executor.access.live_calls import LiveCalls
from services.executor.access.roles import Rule, may, rule_of
from services.executor.persistence.audit_entries import Deed

Context = Any
Handler = Callable[[Any, Any], Any]
Decode = Callable[[bytes], Any]
Metadata = list[tuple[str, str]]

PEM_CERTIFICATE = "x509_pem_cert"
MOST_METADATA_BYTES = 32 << 10
"""Of names and values together. gRPC limits those of one HTTP/2 frame, and a head may have many frames."""
HEALTH_CHECK = "/grpc.health.v1.Health/Check"


@dataclass(frozen=True, slots=True)
class Admitted:
    caller: Caller
    credential: Credential


class AccessInterceptor(grpc.aio.ServerInterceptor):
    """certificates: whether clients may prove who they are by a TLS certificate.

    Each RPC runs in a task of its own, so the caller that is set is that of this call alone.
    """

    def __init__(
        self,
        authenticator: Authenticator,
        audit: Audit,
        live_calls: LiveCalls,
        *,
        most_calls: int,
        certificates: bool = False,
    ) -> None:
        self._authenticator = authenticator
        self._audit = audit
        self._live_calls = live_calls
        self._certificates = certificates
        self._most_calls = most_calls
        self._open_calls = 0
        self._streams: Counter[str] = Counter()  # by namespace

    async def intercept_service(
        self,
        continuation: Callable[[grpc.HandlerCallDetails], Awaitable[grpc.RpcMethodHandler[Any, Any] | None]],
        handler_call_details: grpc.HandlerCallDetails,
    ) -> grpc.RpcMethodHandler[Any, Any] | None:
        handler = await continuation(handler_call_details)
        if handler is None:
            return None
        method = handler_call_details.method
        guard = Guard(self, method, rule_of(method), metadata_of(handler_call_details))
        try:
            if size_of(handler_call_details) > MOST_METADATA_BYTES:
                raise MetadataTooLarge(MOST_METADATA_BYTES)
            bearer = bearer_of([text for name, text in guard.metadata if name == "authorization"])
            if bearer or not self._certificates:
                guard.admitted = await self.admit(guard, Credential(bearer))
        except FlowEngineError as error:
            return grpc.stream_unary_rpc_method_handler(guard.refusing(error))
        return guard.around(handler)

    async def admit(self, guard: Guard, credential: Credential) -> Admitted:
        """Raises Unauthenticated, PermissionDenied, Unavailable."""
        if guard.rule.least == "anyone":
            return Admitted(NOBODY if self._authenticator.required else LOCAL, Credential())
        caller = await self._authenticator.caller_of(credential)
        guard.admitted = Admitted(caller, credential)  # for the audit log, should it be refused
        if not may(caller.role, guard.rule):
            name = guard.method.rpartition("/")[2]
            raise PermissionDenied(f"{caller.role} may not call {name}", role=caller.role, method=name)
        return guard.admitted

    def begin(self, guard: Guard, target: str, context: Context) -> Deed | None:
        """What the call is about to do; None where it changes nothing."""
        if guard.admitted is None or not guard.rule.audited:
            return None
        origin = Origin.of(context.peer(), guard.metadata)
        return self._audit.begin(guard.admitted.caller, guard.method, target, origin)

    def audit(self, guard: Guard, target: str, outcome: str, context: Context) -> None:
        if guard.admitted is not None and guard.rule.audited:
            origin = Origin.of(context.peer(), guard.metadata)
            self._audit.record(guard.admitted.caller, guard.method, target, outcome, origin)

    @contextlib.contextmanager
    def room(self, guard: Guard) -> Iterator[None]:
        """While a call is open. Raises TooManyCalls; those of workers and health checks are not counted."""
        if guard.rule.least == "worker" or guard.method == HEALTH_CHECK:
            yield
            return
        if self._open_calls >= self._most_calls:
            raise TooManyCalls(self._most_calls)
        self._open_calls += 1
        try:
            yield
        finally:
            self._open_calls -= 1

    @contextlib.contextmanager
    def room_to_stay(self, guard: Guard) -> Iterator[None]:
        """While a stream is open, read or not. Raises TooManyCalls.

        A quarter of the room is kept for calls that are over soon, and half of it for other namespaces.
        """
        if guard.rule.least == "worker":
            yield
            return
        namespace = guard.admitted.caller.namespace if guard.admitted and self._authenticator.required else ""
        most, share = self._most_calls - self._most_calls // 4, self._most_calls // 2
        if self._streams.total() >= most:
            raise TooManyCalls(most, "streams")
        if namespace and self._streams[namespace] >= share:
            raise TooManyCalls(share, f"streams of namespace {namespace}")
        self._streams[namespace] += 1
        try:
            with self.room(guard):
                yield
        finally:
            self._streams[namespace] -= 1
            self._streams += Counter()  # forgets those at zero

    def holding(self, admitted: Admitted) -> contextlib.AbstractContextManager[None]:
        return self._live_calls.holding(admitted.credential, admitted.caller)

    async def message_of(self, context: Context) -> Any:
        return await self._live_calls.message_of(context)


NOBODY = Caller("nobody", "", "")
"""Whoever makes a call that proves its right by what it says."""


class Guard:
    """One call: what it brought along, and once it is known, who makes it."""

    def __init__(self, access: AccessInterceptor, method: str, rule: Rule, metadata: Metadata) -> None:
        self.method = method
        self.rule = rule
        self.metadata = metadata
        self.admitted: Admitted | None = None
        self._access = access

    def around(self, handler: grpc.RpcMethodHandler[Any, Any]) -> grpc.RpcMethodHandler[Any, Any]:
        """The handler behind this guard, which reads messages itself, once it has found room for the call."""
        decode, encode = handler.request_deserializer or bytes, handler.response_serializer
        if handler.unary_unary:
            return grpc.stream_unary_rpc_method_handler(
                self._unary(handler.unary_unary, decode), None, encode
            )
        if handler.unary_stream:
            return grpc.stream_stream_rpc_method_handler(
                self._stream(handler.unary_stream, lambda _, context: self._request(context, decode)),
                None,
                encode,
            )

        async def all_requests(raw: Any, context: Context) -> AsyncIterator[Any]:
            return all_decoded(raw, decode)

        stream: Any = handler.stream_stream
        return grpc.stream_stream_rpc_method_handler(self._stream(stream, all_requests), None, encode)

    def refusing(self, error: FlowEngineError) -> Handler:
        """Ends the call without reading its message."""

        async def call(requests: Any, context: Context) -> None:
            self._access.audit(self, "", error.reason, context)
            raise error

        return call

    def _unary(self, handler: Handler, decode: Decode) -> Handler:
        async def call(requests: Any, context: Context) -> Any:
            await self._enter(context)
            request = deed = None
            try:
                with self._access.room(self):
                    request = await self._request(context, decode)
                    deed = self._access.begin(self, target_of(request, request), context)
                    response = await handler(request, context)
            except FlowEngineError as error:
                if deed is not None:
                    deed.tell()  # by the refusal: what goes on in its tasks is not its doing
                self._access.audit(self, target_of(request, None), error.reason, context)
                raise
            if deed is not None and not deed.told:
                deed.tell()
                self._access.audit(self, target_of(request, response), "OK", context)
            return response

        return call

    def _stream(self, handler: Handler, read: Callable[[Any, Context], Awaitable[Any]]) -> Handler:
        async def call(requests: Any, context: Context) -> AsyncIterator[Any]:
            admitted = await self._enter(context)
            told = False
            with self._access.room_to_stay(self), self._access.holding(admitted):
                request = await read(requests, context)
                deed = self._access.begin(self, "", context)
                try:
                    messages = handler(request, context)
                    if inspect.isawaitable(messages):  # reflection and health write to the context
                        await messages
                        return
                    async with contextlib.aclosing(messages):
                        async for message in messages:
                            if not told:
                                told = True
                                if deed is not None and not deed.told:
                                    deed.tell()
                                    self._access.audit(self, target_of(None, message), "OK", context)
                            yield message
                except FlowEngineError as error:
                    if deed is not None:
                        deed.tell()
                    if not told:
                        self._access.audit(self, "", error.reason, context)
                    raise

        return call

    async def _request(self, context: Context, decode: Decode) -> Any:
        """The one message of a call. Raises MessageTooSlow, InvalidRequest."""
        return decoded(await self._access.message_of(context), decode)

    async def _enter(self, context: Context) -> Admitted:
        if self.admitted is None:
            self.admitted = await self._access.admit(self, Credential(certificate=certificate_of(context)))
        set_caller(self.admitted.caller)
        return self.admitted


def metadata_of(details: grpc.HandlerCallDetails) -> Metadata:
    return [(name, value) for name, value in details.invocation_metadata or () if isinstance(value, str)]


def size_of(details: grpc.HandlerCallDetails) -> int:
    return sum(len(name) + len(value) for name, value in details.invocation_metadata or ())


def certificate_of(context: Context) -> bytes:
    """Of the TLS client, verified; empty where there is none."""
    found = context.auth_context().get(PEM_CERTIFICATE, ())
    return bytes(found[0]) if found else b""


def decoded(raw: bytes, decode: Decode) -> Any:
    """Raises InvalidRequest for bytes that are no such message."""
    try:
        return decode(raw)
    except Exception as error:
        message = "the bytes of the message cannot be parsed"
        raise InvalidRequest([Problem("", "MALFORMED_MESSAGE", message)]) from error


async def all_decoded(raw: AsyncIterator[bytes], decode: Decode) -> AsyncIterator[Any]:
    async for one in raw:
        yield decoded(one, decode)
