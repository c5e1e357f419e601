"""While a release is rolled out: workers of the one before it stand beside those of today."""

from __future__ import annotations

import json
import uuid
from datetime import UTC, datetime
from typing import Any

from flow_engine.v1 import worker_pb2 as pb
from flow_engine.v1.execution_pb2 import EXECUTION_MODE_QUEUED, EXECUTION_STATUS_COMPLETED
from flow_engine.workflow.requirements import capabilities
from tests.integration.executor.conftest import Client
from tests.integration.executor.workflows import chain, node

OLD = "worker:old"
OLD_CAPABILITIES = ["definition:1", "flow.noop", "logic.if"]
"""Of the first release: no node type that came later, no field of definitions that came later."""

PLAIN = chain(node("a", "flow.noop"))
NEWER = chain(node("a", "flow.noop"), concurrency={"key": "x", "limit": 9, "hold": "live"})


async def claimed_by_old(client: Client) -> list[pb.ClaimedExecution]:
    request = pb.ClaimNextRequest(
        worker_id=OLD, claim_id=uuid.uuid4().hex, free_slots=9, capabilities=OLD_CAPABILITIES
    )
    response: pb.ClaimNextResponse = await client.workers.ClaimNext(request)
    return list(response.executions)


def old_report(claimed: pb.ClaimedExecution) -> pb.ExecutionReport:
    """Everything in one, in the words of the first release: nothing of usage, children or handles in it."""
    now = datetime.now(UTC).isoformat()
    events: list[dict[str, Any]] = [
        {"type": "step.started", "time": now, "nodeId": "a", "attempt": 1},
        {"type": "step.completed", "time": now, "nodeId": "a", "attempt": 1, "output": {"n": 2**53 + 1}},
        {"type": "execution.completed", "time": now, "output": {"n": 2**53 + 1}},
    ]
    return pb.ExecutionReport(
        execution_id=claimed.execution_id,
        epoch=claimed.epoch,
        report_no=1,
        seen_sequence=claimed.last_sequence,
        events_json=json.dumps(events).encode(),
        event_count=len(events),
        give_up=pb.GiveUp(status="completed", result_json=b'{"output":{"n":9007199254740993},"steps":[]}'),
        has_outcome=True,
    )


async def test_an_older_worker_is_understood_and_gets_nothing_that_it_could_not_read(
    client: Client,
) -> None:
    newer = await client.start(NEWER, mode=EXECUTION_MODE_QUEUED)
    plain = await client.start(PLAIN, mode=EXECUTION_MODE_QUEUED)

    (claimed,) = await claimed_by_old(client)
    assert claimed.execution_id == plain.execution.id
    (reply,) = (
        await client.workers.Report(pb.ReportRequest(worker_id=OLD, reports=[old_report(claimed)]))
    ).replies
    assert reply.outcome == "OK"
    done = await client.ended(plain.execution.id)
    assert done.status == EXECUTION_STATUS_COMPLETED
    assert json.loads(done.output_json) == {"n": 2**53 + 1}
    types = [frame["type"] for frame in await client.frames(plain.execution.id)]
    assert types[-3:] == ["step.started", "step.completed", "execution.completed"]

    assert await claimed_by_old(client) == []
    today = pb.ClaimNextRequest(
        worker_id="worker:today",
        claim_id=uuid.uuid4().hex,
        free_slots=9,
        capabilities=capabilities(["flow.noop"]),
    )
    found = await client.workers.ClaimNext(today)
    assert [each.execution_id for each in found.executions] == [newer.execution.id]
