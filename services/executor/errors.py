"""The one table from exception to gRPC code, and the interceptor that applies it.

Every refusal is a `google.rpc.Status`: `ErrorInfo.reason` for programs, and for wrong
definitions and inputs one `BadRequest.FieldViolation` a problem. What is not in the
table is our mistake: logged once, here, and told to nobody.
"""

from __future__ import annotations

import asyncio
import contextlib
from collections.abc import AsyncIterator, Awaitable, Callable
from contextlib import AbstractContextManager
from typing import Any

import grpc
import structlog
from google.protobuf.any_pb2 import Any as AnyMessage
from google.protobuf.duration_pb2 import Duration
from google.protobuf.message import Message
from google.rpc.error_details_pb2 import BadRequest, ErrorInfo, LocalizedMessage, RetryInfo
from google.rpc.status_pb2 import Status
from grpc_status import rpc_status

from flow_engine import errors
from flow_engine.payload import encode
from services.executor.persistence.database import NotStorable
from services.executor.tracing import span_of_call

log = structlog.get_logger()

DOMAIN = "flow_engine"
MAX_VIOLATIONS = 100
"""The trailer that carries them has a limit; the message tells how many there are."""
MAX_DETAIL_BYTES = 4_500
"""Of all violations: in base64 they must stay below gRPC's limit of 8 KiB for metadata. What does not fit
is left out; `ErrorInfo.metadata["problems"]` counts all, and ValidateWorkflow lists them."""

CODES: dict[type[errors.FlowEngineError], grpc.StatusCode] = {
    errors.InvalidRequest: grpc.StatusCode.INVALID_ARGUMENT,
    errors.ExecutionNotFound: grpc.StatusCode.NOT_FOUND,
    errors.WorkflowNotFound: grpc.StatusCode.NOT_FOUND,
    errors.WorkerNotFound: grpc.StatusCode.NOT_FOUND,
    errors.NodeNotFound: grpc.StatusCode.NOT_FOUND,
    errors.WorkflowExists: grpc.StatusCode.ALREADY_EXISTS,
    errors.IdempotencyConflict: grpc.StatusCode.ALREADY_EXISTS,
    errors.WorkflowRunning: grpc.StatusCode.ALREADY_EXISTS,
    errors.VersionConflict: grpc.StatusCode.ABORTED,
    errors.IllegalTransition: grpc.StatusCode.FAILED_PRECONDITION,
    errors.NotWaiting: grpc.StatusCode.FAILED_PRECONDITION,
    errors.AmbiguousStep: grpc.StatusCode.FAILED_PRECONDITION,
    errors.AlreadyAnswered: grpc.StatusCode.FAILED_PRECONDITION,
    errors.Busy: grpc.StatusCode.RESOURCE_EXHAUSTED,
    errors.Unavailable: grpc.StatusCode.UNAVAILABLE,
    errors.LeaseLost: grpc.StatusCode.ABORTED,
    errors.ReportGap: grpc.StatusCode.FAILED_PRECONDITION,
    errors.ReportConflict: grpc.StatusCode.ALREADY_EXISTS,
    NotStorable: grpc.StatusCode.INVALID_ARGUMENT,
    errors.CallbackNotFound: grpc.StatusCode.NOT_FOUND,
    errors.CallbackGone: grpc.StatusCode.FAILED_PRECONDITION,
    errors.ValueNotFound: grpc.StatusCode.NOT_FOUND,
    errors.TokenNotFound: grpc.StatusCode.NOT_FOUND,
    errors.Unauthenticated: grpc.StatusCode.UNAUTHENTICATED,
    errors.PermissionDenied: grpc.StatusCode.PERMISSION_DENIED,
    errors.TaskNotFound: grpc.StatusCode.NOT_FOUND,
    errors.TaskLeaseLost: grpc.StatusCode.FAILED_PRECONDITION,
    errors.TaskSettled: grpc.StatusCode.FAILED_PRECONDITION,
    errors.TaskEnded: grpc.StatusCode.FAILED_PRECONDITION,
    errors.SecretMissing: grpc.StatusCode.NOT_FOUND,
    errors.SecretUnreadable: grpc.StatusCode.FAILED_PRECONDITION,
    errors.NoSecretsKey: grpc.StatusCode.FAILED_PRECONDITION,
    errors.ScheduleNotFound: grpc.StatusCode.NOT_FOUND,
    errors.WebhookNotFound: grpc.StatusCode.NOT_FOUND,
    errors.WebhookPathTaken: grpc.StatusCode.ALREADY_EXISTS,
    errors.MetadataTooLarge: grpc.StatusCode.RESOURCE_EXHAUSTED,
    errors.MessageTooSlow: grpc.StatusCode.DEADLINE_EXCEEDED,
    errors.SignatureRefused: grpc.StatusCode.UNAUTHENTICATED,
}


def code_of(error: errors.FlowEngineError) -> grpc.StatusCode:
    for kind in type(error).__mro__:
        if kind in CODES:
            return CODES[kind]
    return grpc.StatusCode.INTERNAL


def status_of(error: errors.FlowEngineError) -> Status:
    """What the caller sees."""
    metadata = {name: text_of(value) for name, value in error.details.items()}
    details: list[Message] = []
    if isinstance(error, errors.InvalidRequest):
        metadata["problems"] = str(len(error.problems))
        details.append(bad_request(error.problems))
    if isinstance(error, errors.Busy):
        details.append(RetryInfo(retry_delay=Duration(seconds=error.retry_after_seconds)))
    info = ErrorInfo(reason=error.reason, domain=DOMAIN, metadata=metadata)
    return packed(code_of(error), error.message, [info, *details])


def bad_request(problems: tuple[errors.Problem, ...]) -> BadRequest:
    """As many of the problems as fit, in document order."""
    message = BadRequest()
    size = 0
    for problem in problems[:MAX_VIOLATIONS]:
        violation = BadRequest.FieldViolation(
            field=problem.path, reason=problem.code, description=problem.message
        )
        if problem.hint:
            violation.localized_message.CopyFrom(LocalizedMessage(locale="en", message=problem.hint))
        size += violation.ByteSize()
        if size > MAX_DETAIL_BYTES and message.field_violations:
            break
        message.field_violations.append(violation)
    return message


def text_of(value: Any) -> str:
    return value if isinstance(value, str) else encode(value).decode()


def packed(code: grpc.StatusCode, message: str, details: list[Message]) -> Status:
    status = Status(code=code.value[0], message=message)
    for detail in details:
        any_message = AnyMessage()
        any_message.Pack(detail)
        status.details.append(any_message)
    return status


INTERNAL = packed(
    grpc.StatusCode.INTERNAL, "internal error; the executor's log tells more",
    [ErrorInfo(reason="INTERNAL", domain=DOMAIN)],
)  # fmt: skip

Handler = Callable[[Any, Any], Any]


class ErrorInterceptor(grpc.aio.ServerInterceptor):
    """Turns whatever a handler raises into a status, below the span of the call, which is told of it.

    One interceptor for both: each costs a call of some hundred microseconds twenty more.
    """

    async def intercept_service(
        self,
        continuation: Callable[[grpc.HandlerCallDetails], Awaitable[grpc.RpcMethodHandler[Any, Any] | None]],
        handler_call_details: grpc.HandlerCallDetails,
    ) -> grpc.RpcMethodHandler[Any, Any] | None:
        handler = await continuation(handler_call_details)
        if handler is None:
            return handler
        about = handler_call_details.method, span_of_call(handler_call_details)
        codecs = (handler.request_deserializer, handler.response_serializer)
        if handler.unary_unary:
            return grpc.unary_unary_rpc_method_handler(guarded(handler.unary_unary, *about), *codecs)
        if handler.stream_unary:
            return grpc.stream_unary_rpc_method_handler(guarded(handler.stream_unary, *about), *codecs)
        if handler.unary_stream:
            stream = guarded_stream(handler.unary_stream, *about)
            return grpc.unary_stream_rpc_method_handler(stream, *codecs)
        if handler.stream_stream:
            return grpc.stream_stream_rpc_method_handler(
                guarded_stream(handler.stream_stream, *about), *codecs
            )
        return handler


def guarded(handler: Handler, method: str, span: AbstractContextManager[Any]) -> Handler:
    async def call(request: Any, context: grpc.aio.ServicerContext[Any, Any]) -> Any:
        try:
            with span:
                return await handler(request, context)
        except Exception as error:
            await refuse(error, method, context)

    return call


def guarded_stream(handler: Handler, method: str, span: AbstractContextManager[Any]) -> Handler:
    async def call(request: Any, context: grpc.aio.ServicerContext[Any, Any]) -> AsyncIterator[Any]:
        messages = handler(request, context)
        try:
            with span:
                # Reflection and health write to the context themselves.
                if not hasattr(messages, "__aiter__"):
                    await messages
                    return
                async with contextlib.aclosing(messages):
                    async for message in messages:
                        yield message
        except Exception as error:
            await refuse(error, method, context)

    return call


async def refuse(error: Exception, method: str, context: grpc.aio.ServicerContext[Any, Any]) -> None:
    """End the call with what the caller may know of the error."""
    if isinstance(error, grpc.aio.AbortError | asyncio.CancelledError):
        raise error
    if isinstance(error, errors.FlowEngineError):
        status = status_of(error)
    else:
        log.error("rpc.failed", method=method, exc_info=error)
        status = INTERNAL
    await context.abort_with_status(rpc_status.to_status(status))
