"""How refused calls look to HTTP clients: RFC 9457 problems, their status chosen by reason.

`HTTP_STATUS` is the one table from a reason to a status. Reasons come from the executor's
`google.rpc.ErrorInfo`, or are the gateway's own.
"""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from http import HTTPStatus
from typing import Any

import grpc
import msgspec
from google.rpc import error_details_pb2, status_pb2

from flow_engine.errors import Problem

HTTP_STATUS: Mapping[str, int] = {
    "INVALID_REQUEST": 400,
    "INVALID_WORKFLOW": 400,
    "INVALID_INPUT": 400,
    "UNAUTHENTICATED": 401,
    "PERMISSION_DENIED": 403,
    "HOST_NOT_ALLOWED": 403,
    "ORIGIN_NOT_ALLOWED": 403,
    "EXECUTION_NOT_FOUND": 404,
    "WORKFLOW_NOT_FOUND": 404,
    "NODE_NOT_FOUND": 404,
    "WORKER_NOT_FOUND": 404,
    "VALUE_NOT_FOUND": 404,
    "CALLBACK_NOT_FOUND": 404,
    "SCHEDULE_NOT_FOUND": 404,
    "WEBHOOK_NOT_FOUND": 404,
    "WEBHOOK_PATH_TAKEN": 409,
    "SIGNATURE_INVALID": 401,
    "TOKEN_NOT_FOUND": 404,
    "TASK_NOT_FOUND": 404,
    "SECRET_NOT_FOUND": 404,
    "ROUTE_NOT_FOUND": 404,
    "NOT_FOUND": 404,
    "METHOD_NOT_ALLOWED": 405,
    "ILLEGAL_TRANSITION": 409,
    "NOT_WAITING": 409,
    "AMBIGUOUS": 409,
    "ALREADY_ANSWERED": 409,
    "TASK_LEASE_LOST": 409,
    "TASK_SETTLED": 409,
    "TASK_ENDED": 409,
    "IDEMPOTENCY_CONFLICT": 409,
    "WORKFLOW_EXISTS": 409,
    "WORKFLOW_RUNNING": 409,
    "VERSION_CONFLICT": 409,
    "SECRETS_KEY_MISSING": 409,
    "SECRET_UNREADABLE": 409,
    "CONFLICT": 409,
    "CALLBACK_GONE": 410,
    "REQUEST_TIMEOUT": 408,
    "TOO_LARGE": 413,
    "UNSUPPORTED_MEDIA_TYPE": 415,
    "BUSY": 429,
    "QUEUE_FULL": 429,
    "QUOTA_EXCEEDED": 429,
    "TOO_MANY_CALLS": 429,
    "METADATA_TOO_LARGE": 431,
    "CONCURRENCY_LIMIT": 429,
    "RATE_LIMIT": 429,
    "INTERNAL": 500,
    "NOT_IMPLEMENTED": 501,
    "UNAVAILABLE": 503,
    "TOO_MANY_CONNECTIONS": 503,
    "TIMEOUT": 504,
}

# For errors that say no reason: the transport's own, or of a call that failed inside.
REASON_OF_CODE: Mapping[grpc.StatusCode, str] = {
    grpc.StatusCode.INVALID_ARGUMENT: "INVALID_REQUEST",
    grpc.StatusCode.OUT_OF_RANGE: "INVALID_REQUEST",
    grpc.StatusCode.UNAUTHENTICATED: "UNAUTHENTICATED",
    grpc.StatusCode.PERMISSION_DENIED: "PERMISSION_DENIED",
    grpc.StatusCode.NOT_FOUND: "NOT_FOUND",
    grpc.StatusCode.ALREADY_EXISTS: "CONFLICT",
    grpc.StatusCode.FAILED_PRECONDITION: "CONFLICT",
    grpc.StatusCode.ABORTED: "CONFLICT",
    grpc.StatusCode.RESOURCE_EXHAUSTED: "BUSY",
    grpc.StatusCode.UNIMPLEMENTED: "NOT_IMPLEMENTED",
    grpc.StatusCode.UNAVAILABLE: "UNAVAILABLE",
    grpc.StatusCode.CANCELLED: "UNAVAILABLE",
    grpc.StatusCode.DEADLINE_EXCEEDED: "TIMEOUT",
}

# Said instead of what the transport or a failed call says, which is not meant for clients.
OWN_WORDS: Mapping[str, str] = {
    "UNAVAILABLE": "the executor does not answer; the same call may succeed later",
    "TIMEOUT": "the executor did not answer in time",
    "INTERNAL": "the engine failed; its log has more under this request id",
    "NOT_IMPLEMENTED": "the executor does not know this call",
    "TOO_LARGE": "the call is larger than the executor accepts",
}

CODE_OF_STATUS: Mapping[int, str] = {
    400: "INVALID_ARGUMENT",
    401: "UNAUTHENTICATED",
    403: "PERMISSION_DENIED",
    404: "NOT_FOUND",
    405: "UNIMPLEMENTED",
    408: "DEADLINE_EXCEEDED",
    409: "FAILED_PRECONDITION",
    410: "FAILED_PRECONDITION",
    413: "RESOURCE_EXHAUSTED",
    415: "INVALID_ARGUMENT",
    429: "RESOURCE_EXHAUSTED",
    500: "INTERNAL",
    501: "UNIMPLEMENTED",
    503: "UNAVAILABLE",
    504: "DEADLINE_EXCEEDED",
}

INTEGER_DETAILS = frozenset(
    {"expectedVersion", "actualVersion", "retryAfterSeconds", "problems", "limit", "periodMs"}
)


class Refused(Exception):
    """A call that is answered with a problem document.

    reason: stable, upper case; decides the HTTP status. code: the gRPC code's name.
    problems: everything wrong with the call, in document order.
    details: JSON values for programs.
    """

    def __init__(
        self,
        reason: str,
        detail: str,
        *,
        code: str = "",
        problems: Sequence[Problem] = (),
        details: Mapping[str, Any] | None = None,
        headers: Mapping[str, str] | None = None,
    ) -> None:
        super().__init__(detail)
        self.reason = reason
        self.status = HTTP_STATUS.get(reason, 500)
        self.code = code or CODE_OF_STATUS[self.status]
        self.detail = detail
        self.problems = tuple(problems)
        self.details = dict(details or {})
        self.headers = dict(headers or {})
        if self.status == 401:
            self.headers.setdefault("WWW-Authenticate", "Bearer")
        if self.status in (429, 503):
            self.headers.setdefault("Retry-After", str(self.details.get("retryAfterSeconds", 1)))

    @property
    def passing(self) -> bool:
        """Whether the same call may succeed later."""
        return self.status >= 500 or self.status == 429

    @property
    def names_some_problems(self) -> bool:
        """Whether a definition has more problems than are listed here."""
        return self.reason == "INVALID_WORKFLOW" and self.details.get("problems", 0) > len(self.problems)

    def with_problems(self, problems: Sequence[Problem]) -> Refused:
        return Refused(
            self.reason,
            self.detail,
            code=self.code,
            problems=problems or self.problems,
            details=self.details,
            headers=self.headers,
        )


def invalid(problems: Sequence[Problem]) -> Refused:
    """The call itself is wrong, in all these ways."""
    first = problems[0]
    more = f" (and {len(problems) - 1} more)" if len(problems) > 1 else ""
    return Refused("INVALID_REQUEST", f"{first.path or 'body'}: {first.message}{more}", problems=problems)


class ProblemItem(msgspec.Struct, frozen=True, kw_only=True, omit_defaults=True):
    """One thing wrong. `path` is a JSON Pointer into the body, definition or input, or names a parameter."""

    path: str
    code: str
    message: str
    hint: str = ""


class ProblemDocument(msgspec.Struct, frozen=True, kw_only=True, rename="camel", omit_defaults=True):
    """Why a call was refused (RFC 9457)."""

    type: str
    title: str
    status: int
    code: str
    reason: str
    detail: str
    request_id: str
    path: str | None = None
    problems: list[ProblemItem] = []
    execution_status: str | None = None
    details: dict[str, Any] = {}


def problem_document(refused: Refused, request_id: str) -> ProblemDocument:
    return ProblemDocument(
        # Relative, as RFC 9457 allows; the page explains each reason.
        type=f"/docs#{refused.reason}",
        title=HTTPStatus(refused.status).phrase,
        status=refused.status,
        code=refused.code,
        reason=refused.reason,
        detail=refused.detail,
        request_id=request_id,
        path=refused.problems[0].path if refused.problems else None,
        problems=[
            ProblemItem(path=p.path, code=p.code, message=p.message, hint=p.hint) for p in refused.problems
        ],
        execution_status=refused.details.get("status") if refused.reason == "ILLEGAL_TRANSITION" else None,
        details={name: value for name, value in refused.details.items() if name != "problems"},
    )


def refusal_of(error: grpc.aio.AioRpcError) -> Refused:
    """The refusal that a failed gRPC call becomes. Texts not meant for clients are replaced."""
    code = error.code()
    info, problems = _details_of(error)
    reason = info.reason if info is not None else ""
    detail = error.details() or ""
    if reason not in HTTP_STATUS:
        reason = _reason_without_info(code, detail)
        detail = OWN_WORDS.get(reason, detail)
    elif reason == "INTERNAL":
        detail = OWN_WORDS[reason]
    details = (
        {name: _detail_value(name, text) for name, text in info.metadata.items()} if info is not None else {}
    )
    return Refused(reason, detail or reason, code=code.name, problems=problems, details=details)


def _reason_without_info(code: grpc.StatusCode, detail: str) -> str:
    if code is grpc.StatusCode.RESOURCE_EXHAUSTED and "larger than max" in detail:
        return "TOO_LARGE"
    return REASON_OF_CODE.get(code, "INTERNAL")


def _details_of(error: grpc.aio.AioRpcError) -> tuple[error_details_pb2.ErrorInfo | None, list[Problem]]:
    """ErrorInfo and field violations of a rich status; nothing where there is none or it is broken."""
    info: error_details_pb2.ErrorInfo | None = None
    problems: list[Problem] = []
    for key, value in error.trailing_metadata() or ():
        if key != "grpc-status-details-bin":
            continue
        for packed in status_pb2.Status.FromString(value).details:
            if packed.Is(error_details_pb2.ErrorInfo.DESCRIPTOR):
                info = error_details_pb2.ErrorInfo()
                packed.Unpack(info)
            elif packed.Is(error_details_pb2.BadRequest.DESCRIPTOR):
                bad = error_details_pb2.BadRequest()
                packed.Unpack(bad)
                problems += [
                    Problem(v.field, v.reason, v.description, v.localized_message.message)
                    for v in bad.field_violations
                ]
    return info, problems


def _detail_value(name: str, text: str) -> Any:
    """Metadata are strings; lists and objects travel in them as JSON, some numbers as digits."""
    if text[:1] in ("[", "{") or (name in INTEGER_DETAILS and text.isdecimal()):
        try:
            return msgspec.json.decode(text)
        except (msgspec.DecodeError, RecursionError):
            return text
    return text
