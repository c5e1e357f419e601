"""How commands end: exit codes, and one table from refused calls to what the user reads."""

from __future__ import annotations

import json
from collections.abc import Mapping, Sequence
from enum import IntEnum
from typing import TYPE_CHECKING, Any

from flow_engine.errors import Problem

if TYPE_CHECKING:
    import grpc


class ExitCode(IntEnum):
    OK = 0  # completed, detached, done
    FAILED = 1  # the execution failed or was cancelled
    BAD_USE = 2  # a wrong command line, or a call that was refused
    UNREACHABLE = 3
    CONFIGURATION = 78  # EX_CONFIG of sysexits.h
    INTERRUPTED = 130


class CommandError(Exception):
    """Ends the command. `lines` follow the message, indented."""

    exit_code = ExitCode.FAILED

    def __init__(self, message: str, lines: Sequence[str] = ()) -> None:
        super().__init__(message)
        self.message = message
        self.lines = tuple(lines)

    def text(self) -> str:
        return "\n".join([f"flow: {self.message}", *(f"  {line}" for line in self.lines)])


class BadUse(CommandError):
    exit_code = ExitCode.BAD_USE


class BadConfiguration(CommandError):
    exit_code = ExitCode.CONFIGURATION


class Unreachable(CommandError):
    exit_code = ExitCode.UNREACHABLE


class Refused(CommandError):
    """The executor understood the call and said no."""

    exit_code = ExitCode.BAD_USE


class Broken(CommandError):
    """The executor could not do what it should."""

    exit_code = ExitCode.FAILED


def explained(error: grpc.RpcError, address: str) -> CommandError:
    """What a failed call means to the user.

    The reason is in `ErrorInfo`, the problems in `BadRequest`. A transport that found nobody carries neither.
    """
    import grpc

    code = code_of(error)
    if code is None:
        return Broken(f"the call failed: {error}")
    said = str(getattr(error, "details", str)() or "")
    reason, metadata, problems = _details(error)
    lines = [*problem_lines(problems), *_hints(reason, metadata)]
    if code is grpc.StatusCode.UNAVAILABLE and not reason:
        return Unreachable(f"no executor at {address}; start one with `flow up`")
    if code in (grpc.StatusCode.UNAVAILABLE, grpc.StatusCode.DEADLINE_EXCEEDED):
        return Unreachable(f"the executor at {address} cannot answer now: {said}", lines)
    if code is grpc.StatusCode.UNIMPLEMENTED:
        return Unreachable(f"what listens at {address} is no executor of this version: {said}")
    if code is grpc.StatusCode.UNAUTHENTICATED:
        return Refused(f"{said}; set FLOW_TOKEN", lines)
    if code in (grpc.StatusCode.INTERNAL, grpc.StatusCode.UNKNOWN, grpc.StatusCode.DATA_LOSS):
        return Broken(f"the executor at {address} failed: {said}", lines)
    if problems:
        count = max(len(problems), int(metadata.get("problems", "0")))
        if count > len(problems):
            lines.append(f"… and {count - len(problems)} more; `flow validate` lists all")
        return Refused(f"refused: {count} problem{'s' if count > 1 else ''}", lines)
    return Refused(said or code.name, lines)


def code_of(error: grpc.RpcError) -> grpc.StatusCode | None:
    """The status of a call that failed; the stubs raise errors that are calls as well."""
    code = getattr(error, "code", None)
    return code() if callable(code) else None


def problem_lines(problems: Sequence[Problem]) -> list[str]:
    """One line a problem, and one for its hint."""
    lines = []
    for problem in problems:
        lines.append(
            f"{problem.path or '/'}: {problem.message}" + (f" [{problem.code}]" if problem.code else "")
        )
        if problem.hint:
            lines.append(f"  hint: {problem.hint}")
    return lines


def _hints(reason: str, metadata: Mapping[str, str]) -> list[str]:
    match reason:
        case "AMBIGUOUS":
            paths = _iterations(metadata.get("iterations", ""))
            return [f"waiting: --iteration {path}" for path in paths]
        case "BUSY" if "retryAfterSeconds" in metadata:
            return [f"try again in {metadata['retryAfterSeconds']} s"]
        case _:
            return []


def _iterations(text: str) -> list[str]:
    try:
        return [",".join(map(str, path)) for path in json.loads(text)]
    except (ValueError, TypeError):
        return []


def _details(error: grpc.RpcError) -> tuple[str, Mapping[str, str], list[Problem]]:
    """(reason, its metadata, problems) from the `google.rpc.Status` of a failed call."""
    from google.rpc.error_details_pb2 import BadRequest, ErrorInfo
    from grpc_status import rpc_status

    try:
        status: Any = rpc_status.from_call(error)  # type: ignore[arg-type]
    except ValueError:  # code and details that contradict the status: trust neither
        return "", {}, []
    reason, metadata, problems = "", {}, []
    for detail in status.details if status else ():
        info, bad_request = ErrorInfo(), BadRequest()
        if detail.Unpack(info):
            reason, metadata = info.reason, dict(info.metadata)
        elif detail.Unpack(bad_request):
            problems += [
                Problem(v.field, getattr(v, "reason", ""), v.description, v.localized_message.message)
                for v in bad_request.field_violations
            ]
    return reason, metadata, problems
