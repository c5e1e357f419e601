"""Request bodies. What belongs to the user (definitions, inputs, answers) stays the text that it is.

The fast path is one strict decode. Only when it fails is the body looked at again, to name every wrong
field with its path at once.
"""

from __future__ import annotations

import difflib
import re
from collections.abc import Iterator
from datetime import datetime
from typing import Annotated, Any, Literal, TypeVar, get_args

import msgspec
from msgspec import UNSET, Meta, Raw, UnsetType

from flow_engine.errors import InvalidRequest, Problem
from flow_engine.workflow.parsing import parse_json
from services.gateway.errors import Refused, invalid

LONGEST_SPAN_MS = 10 * 366 * 86_400_000
"""Ten years; longer is a mistake, and far longer does not fit a Duration."""

Span = Annotated[int, Meta(ge=1, le=LONGEST_SPAN_MS, description="Milliseconds.")]
Elapsed = Annotated[int, Meta(ge=0, le=LONGEST_SPAN_MS, description="Milliseconds.")]
Name = Annotated[str, Meta(max_length=512)]


NOT_JSON = Problem("", "INVALID_JSON", "the body is not JSON")


class Body(msgspec.Struct, frozen=True, kw_only=True, forbid_unknown_fields=True, rename="camel"):
    """A request body, or a part of one. null means absent, but for values of the user."""


class Options(Body, frozen=True, kw_only=True):
    timeout: Annotated[Span, Meta(description="The execution fails with TIMEOUT after it.")] | None = None
    priority: Annotated[int, Meta(ge=0, le=9, description="Lower runs sooner; 5 by default.")] | None = None
    tags: Annotated[list[Name], Meta(max_length=64)] | None = None
    max_retries: (
        Annotated[int, Meta(ge=0, le=1000, description="For nodes that declare no retry of their own.")]
        | None
    ) = None
    immediate_budget: (
        Annotated[Span, Meta(description="How long an immediate run may hold the caller; 30 s by default.")]
        | None
    ) = None


class RunRequest(Body, frozen=True, kw_only=True):
    """What to run: a definition, or the id of a stored one."""

    workflow: Annotated[Raw, Meta(description="The definition.")] | UnsetType = UNSET
    workflow_id: Annotated[Name, Meta(description="Of a stored definition.")] | None = None
    workflow_version: (
        Annotated[int, Meta(ge=1, le=2**31 - 1, description="Latest by default.")] | Literal["latest"] | None
    ) = None
    input: Annotated[Raw, Meta(description="Any JSON value; {} by default.")] | UnsetType = UNSET
    mode: Literal["auto", "immediate", "queued"] | None = None
    options: Options | None = None


class PauseRequest(Body, frozen=True, kw_only=True):
    reason: Annotated[str, Meta(max_length=2000, description="For the history.")] | None = None


class CancelRequest(PauseRequest, frozen=True, kw_only=True):
    pass


class DrainRequest(Body, frozen=True, kw_only=True):
    undo: Annotated[bool, Meta(description="Let it take work again.")] | None = None


class RequeueRequest(Body, frozen=True, kw_only=True):
    first: Annotated[bool, Meta(description="To the front of its queue.")] | None = None


class PurgeRequest(Body, frozen=True, kw_only=True):
    """Conditions, all of which must hold; or `all`."""

    workflow_id: Name | None = None
    priority: Annotated[int, Meta(ge=0, le=9)] | None = None
    key: (
        Annotated[str, Meta(min_length=1, max_length=256, description="Of concurrency or rateLimit.")] | None
    ) = None
    created_before: datetime | None = None
    all: Annotated[bool, Meta(description="Everything that is pending.")] | None = None
    reason: Annotated[str, Meta(max_length=1024, description="For the histories.")] | None = None
    dry_run: Annotated[bool, Meta(description="Change nothing, only tell.")] | None = None
    limit: Annotated[int, Meta(ge=1, le=500, description="The most to cancel by this call.")] | None = None


class ResumeRequest(Body, frozen=True, kw_only=True):
    pass


class RetryRequest(Body, frozen=True, kw_only=True):
    from_node: Annotated[Name, Meta(description="Run this node and all downstream of it again.")] | None = (
        None
    )


Status = Literal["pending", "running", "paused", "waiting", "completed", "failed", "cancelled"]


class Filter(Body, frozen=True, kw_only=True):
    """Executions that match all that is given; at least one condition."""

    workflow_id: Name | None = None
    statuses: (
        Annotated[list[Status], Meta(description="Without them: those that allow the action.")] | None
    ) = None
    mode: Literal["immediate", "queued"] | None = None
    tags: Annotated[list[Name], Meta(max_length=64, description="All of these.")] | None = None
    created_after: datetime | None = None
    created_before: datetime | None = None
    min_duration: Annotated[Elapsed, Meta(description="Ended, and ran for at least so long.")] | None = None
    max_duration: Annotated[Elapsed, Meta(description="Ended, and ran for at most so long.")] | None = None
    error_code: Annotated[Name, Meta(description="Failed with this code.")] | None = None
    error_text: Annotated[Name, Meta(description="Failed with a message that holds this text.")] | None = None
    parent_id: Annotated[Name, Meta(description="Children of this execution.")] | None = None


class ControlRequest(Body, frozen=True, kw_only=True):
    """What to do it to, a page at a time."""

    filter: Filter
    dry_run: Annotated[bool, Meta(description="Change nothing; say what would be.")] | None = None
    reason: Annotated[str, Meta(max_length=2000, description="For the histories.")] | None = None
    limit: Annotated[int, Meta(ge=1, le=500, description="100 by default.")] | None = None
    page_token: Annotated[Name, Meta(description="nextPageToken of the page before.")] | None = None


Token = Annotated[str, Meta(min_length=1, max_length=512, description="Of the task, as the poll gave it.")]


class PollRequest(Body, frozen=True, kw_only=True):
    """How to wait for a task, and for how long it is wanted."""

    worker_id: Annotated[str, Meta(max_length=256, description="Who asks; any text.")] | None = None
    wait: Annotated[int, Meta(ge=0, le=60_000, description="Milliseconds; 20 s by default.")] | None = None
    lease: (
        Annotated[int, Meta(ge=1_000, le=3_600_000, description="Milliseconds; 60 s by default.")] | None
    ) = None


class HeartbeatRequest(Body, frozen=True, kw_only=True):
    token: Token


class CompleteRequest(Body, frozen=True, kw_only=True):
    token: Token
    output: Annotated[Raw, Meta(description="Any JSON; null by default.")] | UnsetType = UNSET


class FailRequest(Body, frozen=True, kw_only=True):
    token: Token
    code: Annotated[str, Meta(max_length=64, description="Upper case; TASK_FAILED by default.")] | None = None
    message: Annotated[str, Meta(max_length=10_000)] | None = None
    retryable: Annotated[bool, Meta(description="true by default.")] | None = None
    retry_after: Annotated[Span, Meta(description="Milliseconds; no attempt before that.")] | None = None
    details: Annotated[Raw, Meta(description="Any JSON.")] | UnsetType = UNSET


class LabelRequest(Body, frozen=True, kw_only=True):
    """Labels to set; null removes one. Others stay."""

    labels: dict[str, str | None]


class WorkflowEnvelope(Body, frozen=True, kw_only=True):
    """A definition; it may also be sent as it is, without this envelope."""

    workflow: Annotated[Raw, Meta(description="The definition.")] | UnsetType = UNSET


T = TypeVar("T", bound=Body)


def decode(body: bytes, kind: type[T]) -> T:
    """Raises Refused with every problem at once. An empty body counts as {}."""
    try:
        return msgspec.json.decode(body or b"{}", type=kind)
    except msgspec.ValidationError as error:
        raise invalid(list(_problems(Raw(body or b"{}"), kind, "")) or [_problem(error, "")]) from None
    except (msgspec.DecodeError, RecursionError):
        raise malformed(body) from None


def json_text(raw: bytes | Raw) -> str:
    """JSON text for a `*_json` field, after a check of its syntax only."""
    if isinstance(raw, bytes):
        try:
            msgspec.json.decode(raw, type=Raw)
        except (msgspec.DecodeError, RecursionError):
            raise malformed(raw) from None
    try:
        return str(raw, "utf-8")
    except UnicodeDecodeError:
        raise malformed(raw) from None


def definition_text(body: bytes) -> str:
    """The definition in a body: under `workflow`, or the body as a whole."""
    try:
        fields = msgspec.json.decode(body, type=dict[str, Raw])
    except msgspec.ValidationError:
        raise malformed(body, Problem("", "NOT_AN_OBJECT", "a definition is an object")) from None
    except (msgspec.DecodeError, RecursionError):
        raise malformed(body) from None
    # A definition has no field of that name, so the two forms cannot be confused.
    if "workflow" in fields:
        return json_text(given(decode(body, WorkflowEnvelope).workflow) or Raw(b"null"))
    return json_text(body)


def run_request(body: bytes) -> RunRequest:
    """The request; exactly one of workflow and workflowId is set."""
    request = decode(body, RunRequest)
    has_definition, has_id = given(request.workflow) is not None, bool(request.workflow_id)
    if has_definition and has_id:
        raise invalid([Problem("/workflowId", "CONFLICT", "workflow and workflowId exclude each other")])
    if not has_definition and not has_id:
        hint = "send the definition as workflow, or name a stored one by workflowId"
        raise invalid([Problem("/workflow", "MISSING", "there is no workflow to run", hint)])
    if has_definition and request.workflow_version is not None:
        raise invalid([Problem("/workflowVersion", "CONFLICT", "a version needs workflowId")])
    return request


def given(raw: Raw | UnsetType) -> Raw | None:
    """None where the field is absent or null."""
    return None if raw is UNSET or bytes(raw) == b"null" else raw


def malformed(body: bytes | Raw, otherwise: Problem = NOT_JSON) -> Refused:
    """What exactly is wrong with a body as JSON; `otherwise` if nothing is."""
    try:
        parse_json(bytes(body), max_bytes=len(body))
    except InvalidRequest as error:
        return invalid(list(error.problems))
    return invalid([otherwise])


def _problems(raw: Raw, kind: Any, path: str) -> Iterator[Problem]:
    """What keeps a JSON value from being a `kind`, field by field."""
    try:
        fields = msgspec.json.decode(raw, type=dict[str, Raw])
    except msgspec.ValidationError as error:
        yield _problem(error, path)
        return
    known = {field.encode_name: field.type for field in msgspec.structs.fields(kind)}
    for field in msgspec.structs.fields(kind):
        if field.required and field.encode_name not in fields:
            yield Problem(f"{path}/{_escaped(field.encode_name)}", "MISSING", "this field is required")
    for name, value in fields.items():
        where = f"{path}/{_escaped(name)}"
        if name not in known:
            yield _unknown(where, name, list(known))
            continue
        nested = _struct_in(known[name])
        if nested is not None and bytes(value) != b"null":
            yield from _problems(value, nested, where)
            continue
        try:
            msgspec.json.decode(value, type=known[name])
        except msgspec.ValidationError as error:
            yield _problem(error, where)


def _struct_in(kind: Any) -> type[Body] | None:
    return next(
        (part for part in (kind, *get_args(kind)) if isinstance(part, type) and issubclass(part, Body)), None
    )


def _unknown(path: str, name: str, known: list[str]) -> Problem:
    close = difflib.get_close_matches(name, known, 1)
    hint = f"did you mean {close[0]}?" if close else f"known fields: {', '.join(known) or 'none'}"
    return Problem(path, "UNKNOWN_FIELD", f"there is no field {name!r}", hint)


_WORDS = {"int": "integer", "str": "string", "float": "number", "bool": "boolean"}
_MISMATCH = re.compile(r"Expected `([^`]+)`, got `([^`]+)`")
_PLACE = re.compile(r" - at `\$([^`]*)`$")


def _problem(error: msgspec.ValidationError, path: str) -> Problem:
    """The library's message in the words of JSON, with a JSON Pointer."""
    text = str(error)
    if place := _PLACE.search(text):
        text = text[: place.start()]
        path += re.sub(r"\.([^.\[\]]+)|\[(\d+|\.\.\.)\]", lambda m: f"/{m[1] or m[2]}", place[1])
    if mismatch := _MISMATCH.match(text):
        return Problem(path, "WRONG_TYPE", f"expected {_words(mismatch[1])}, got {_words(mismatch[2])}")
    text = re.sub(r"`([^`]+)`", lambda m: _words(m[1]), text)
    return Problem(path, "OUT_OF_RANGE", text[:1].lower() + text[1:])


def _words(types: str) -> str:
    names = [name for name in types.split(" | ") if name != "null"] or ["null"]
    return " or ".join(_WORDS.get(name, name) for name in names)


def _escaped(name: str) -> str:
    return name.replace("~", "~0").replace("/", "~1")
