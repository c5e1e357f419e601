"""What callers see of errors: each one, as the table says."""

from __future__ import annotations

import grpc
import pytest
from google.rpc.error_details_pb2 import BadRequest, ErrorInfo, RetryInfo
from google.rpc.status_pb2 import Status

from flow_engine import errors
from flow_engine.errors import FlowEngineError, Problem
from services.executor.errors import CODES, code_of, status_of


def detail(status: Status, kind: type) -> object:
    for packed in status.details:
        message = kind()
        if packed.Unpack(message):
            return message
    return None


def test_every_error_of_calls_has_a_code() -> None:
    kinds = [kind for kind in vars(errors).values() if isinstance(kind, type)]
    raised = [kind for kind in kinds if issubclass(kind, FlowEngineError) and kind is not FlowEngineError]
    assert all(any(base in CODES for base in kind.__mro__) for kind in raised)


def test_reason_and_details_are_for_programs() -> None:
    status = status_of(errors.IllegalTransition("completed", "paused"))
    info = detail(status, ErrorInfo)
    assert isinstance(info, ErrorInfo)
    assert (info.reason, info.domain) == ("ILLEGAL_TRANSITION", "flow_engine")
    assert dict(info.metadata) == {"status": "completed", "requested": "paused"}
    assert status.code == grpc.StatusCode.FAILED_PRECONDITION.value[0]


def test_values_that_are_no_text_travel_as_json() -> None:
    info = detail(status_of(errors.AmbiguousStep("a", [(0,), (1,)])), ErrorInfo)
    assert isinstance(info, ErrorInfo)
    assert info.metadata["iterations"] == "[[0],[1]]"


def test_every_problem_is_a_field_violation() -> None:
    problem = Problem("/nodes/0/type", "UNKNOWN_TYPE", "unknown type 'x'", "`flow nodes` lists the types")
    fields = detail(status_of(errors.InvalidWorkflow([problem])), BadRequest)
    assert isinstance(fields, BadRequest)
    (violation,) = fields.field_violations
    assert (
        violation.field,
        violation.reason,
        violation.description,
        violation.localized_message.message,
    ) == (
        problem.path,
        problem.code,
        problem.message,
        problem.hint,
    )


@pytest.mark.parametrize("count", [10, 1000])
def test_however_many_problems_there_are_the_answer_fits_its_trailer(count: int) -> None:
    problems = [Problem(f"/nodes/{n}/config/url", "WRONG_TYPE", "x" * 200) for n in range(count)]
    status = status_of(errors.InvalidWorkflow(problems))
    info = detail(status, ErrorInfo)
    assert isinstance(info, ErrorInfo)
    assert info.metadata["problems"] == str(count)
    assert len(status.SerializeToString()) * 4 / 3 < 8_000


def test_who_is_told_to_come_back_is_told_when() -> None:
    status = status_of(errors.Busy("full", retry_after_seconds=7))
    retry = detail(status, RetryInfo)
    assert isinstance(retry, RetryInfo)
    assert retry.retry_delay.seconds == 7
    assert code_of(errors.Busy("full")) is grpc.StatusCode.RESOURCE_EXHAUSTED
