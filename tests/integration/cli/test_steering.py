"""`flow pause|resume|cancel|retry` of what a filter finds."""

from __future__ import annotations

import json

import pytest

from flow_engine.v1 import execution_pb2 as pb
from services.cli.errors import ExitCode
from tests.integration.cli.canned import BIG, CannedExecutor
from tests.integration.cli.conftest import Flow


def test_what_a_filter_finds_is_dealt_with_page_by_page(flow: Flow, canned: CannedExecutor) -> None:
    ended = flow("cancel", "--workflow", "w", "--status", "waiting", "--tag", "x", "--reason", "over")

    assert ended.code == ExitCode.OK
    assert ended.out.splitlines() == [
        "e1  cancelled  done",
        "e2  completed  refused  an execution that is completed cannot be cancelled",
    ]
    assert "1 done, 0 accepted, 1 refused" in ended.err
    first, second = canned.requests
    assert (first.action, first.reason, first.dry_run) == (pb.CONTROL_ACTION_CANCEL, "over", False)
    assert first.filter == pb.ExecutionFilter(
        workflow_id="w", statuses=[pb.EXECUTION_STATUS_WAITING], tags=["x"]
    )
    assert (second.filter, second.page_token) == (first.filter, "more")


@pytest.mark.parametrize("verb", ["pause", "resume", "cancel", "retry"])
def test_a_dry_run_says_so(flow: Flow, canned: CannedExecutor, verb: str) -> None:
    ended = flow(verb, "--status", "failed", "--dry-run", "--json")

    assert all(request.dry_run for request in canned.requests)
    assert canned.requests[0].action == pb.ControlAction.Value(f"CONTROL_ACTION_{verb.upper()}")
    assert "nothing changed; it would be: 1 done" in ended.err
    pages = [json.loads(line) for line in ended.out.splitlines()]
    assert [page["executions"][0]["effect"] for page in pages] == ["done", "refused"]


@pytest.mark.parametrize(
    "arguments",
    [("cancel",), ("cancel", "e1", "--workflow", "w"), ("pause", "e1", "--dry-run"),
     ("retry", "--workflow", "w", "--from-node", "a")],
)  # fmt: skip
def test_either_one_execution_or_a_filter_is_meant(
    flow: Flow, canned: CannedExecutor, arguments: tuple[str, ...]
) -> None:
    assert flow(*arguments).code == ExitCode.BAD_USE
    assert not canned.requests


@pytest.mark.parametrize("url", ["https://flow.example/api/workflow/callback/tok-en", "tok-en"])
def test_a_callback_is_sent_by_its_url_or_its_token(flow: Flow, canned: CannedExecutor, url: str) -> None:
    assert flow("callback", url, '{"at": 1}').code == ExitCode.OK
    assert canned.requests == [pb.SubmitCallbackRequest(token="tok-en", payload_json='{"at": 1}')]


def test_a_large_value_is_printed_as_it_is(flow: Flow, canned: CannedExecutor) -> None:
    assert flow("value", "e1", "abc").out == f'{{"n": {BIG}}}\n'
    assert canned.requests == [pb.GetValueRequest(execution_id="e1", hash="abc")]
