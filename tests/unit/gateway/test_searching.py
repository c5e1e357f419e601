"""Counting and exporting what a search finds."""

from __future__ import annotations

import csv
import json
from datetime import UTC, datetime

import httpx
import pytest

from flow_engine.v1 import execution_pb2 as pb
from tests.unit.gateway.engine import Engine, Refusal

SEARCH = "workflowId=w&status=failed&minDurationMs=0&maxDurationMs=1500&errorCode=BROKEN&errorText=it%20broke"


def failed() -> pb.Execution:
    execution = pb.Execution(
        id="e1",
        workflow_id="w",
        workflow_name="=cmd()",
        status=pb.EXECUTION_STATUS_FAILED,
        mode=pb.EXECUTION_MODE_QUEUED,
        tags=["a", "b"],
        root_id="e1",
        error=pb.ExecutionError(code="BROKEN", message='it "broke", twice\nor so'),
    )
    execution.started_time.FromDatetime(datetime(2030, 1, 31, 12, tzinfo=UTC))
    execution.completed_time.FromDatetime(datetime(2030, 1, 31, 12, 0, 1, 500_000, tzinfo=UTC))
    return execution


async def test_what_is_searched_for_reaches_the_executor(client: httpx.AsyncClient, engine: Engine) -> None:
    assert (await client.get(f"/api/workflow/executions?{SEARCH}")).status_code == 200
    listed = engine.asked[-1]
    engine.answers[pb.CountExecutionsRequest] = pb.CountExecutionsResponse(count=7, more=True)
    counted = await client.get(f"/api/workflow/executions/count?{SEARCH}")
    assert counted.json() == {"count": 7, "more": True}
    for asked in (listed, engine.asked[-1].filter):
        assert (asked.error_code, asked.error_text) == ("BROKEN", "it broke")
        assert asked.HasField("min_duration")
        assert asked.max_duration.ToMilliseconds() == 1500
        assert list(asked.statuses) == [pb.EXECUTION_STATUS_FAILED]


@pytest.mark.parametrize("kind", ["ndjson", "csv"])
async def test_an_export_goes_through_all_pages(client: httpx.AsyncClient, engine: Engine, kind: str) -> None:
    engine.pages = [
        pb.ListExecutionsResponse(executions=[failed()] * 2, next_page_token="next"),
        pb.ListExecutionsResponse(executions=[failed()]),
    ]
    response = await client.get(f"/api/workflow/executions/export?format={kind}&{SEARCH}")
    assert response.status_code == 200
    assert [asked.page_token for asked in engine.asked] == ["", "next"]
    if kind == "ndjson":
        lines = [json.loads(line) for line in response.text.splitlines()]
        assert [line["error"]["message"] for line in lines] == ['it "broke", twice\nor so'] * 3
        return
    assert response.headers["content-type"] == "text/csv; charset=utf-8"
    rows = list(csv.DictReader(response.text.splitlines(keepends=True)))
    assert len(rows) == 3
    assert rows[0]["workflowName"] == "'=cmd()"
    assert (rows[0]["durationMs"], rows[0]["tags"], rows[0]["startedAt"]) == (
        "1500",
        "a b",
        "2030-01-31T12:00:00Z",
    )
    assert rows[0]["errorMessage"] == 'it "broke", twice\nor so'
    assert rows[0]["retryOf"] == ""


async def test_an_export_that_is_refused_has_its_status(client: httpx.AsyncClient, engine: Engine) -> None:
    import grpc

    engine.refusals = [Refusal(grpc.StatusCode.INVALID_ARGUMENT, "INVALID_REQUEST")]
    assert (await client.get("/api/workflow/executions/export")).status_code == 400
    assert (await client.get("/api/workflow/executions/export?format=xml")).status_code == 400
