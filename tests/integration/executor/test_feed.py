"""Following all executions at a running executor."""

from __future__ import annotations

import grpc
import pytest

from flow_engine.v1 import execution_pb2 as pb
from services.executor.bootstrap import Executor
from services.executor.feed import cursor_of, place_of
from services.executor.persistence.contract import Place
from services.worker.service import Worker
from tests.integration.executor.conftest import Client, MakeSettings
from tests.integration.executor.workflows import ADD_ONE

PENDING, RUNNING = pb.EXECUTION_STATUS_PENDING, pb.EXECUTION_STATUS_RUNNING
COMPLETED = pb.EXECUTION_STATUS_COMPLETED


async def test_the_stream_begins_with_its_cursor_and_goes_on_from_any(client: Client, worker: Worker) -> None:
    call = client.executions.WatchExecutions(pb.WatchExecutionsRequest(), timeout=20)
    opened = await call.read()
    assert (list(opened.changes), bool(opened.cursor)) == ([], True)
    queued = (await client.start(ADD_ONE, {"n": 1}, mode=pb.EXECUTION_MODE_QUEUED)).execution.id
    immediate = (await client.start(ADD_ONE, {"n": 1})).execution.id
    live: list[pb.ExecutionChange] = []
    while sum(change.status == COMPLETED for change in live) < 2:
        live += (await call.read()).changes
    call.cancel()

    assert {change.execution_id for change in live} == {queued, immediate}
    of_queued = [change for change in live if change.execution_id == queued]
    assert (of_queued[0].status, of_queued[0].sequence) == (PENDING, 1)
    assert of_queued[-1].facts[-1].type == "execution.completed"
    assert of_queued[-1].progress.percent == 100
    for change in of_queued:
        running = change.status == RUNNING
        assert change.progress.HasField("eta_time") == running
        if running:
            assert change.progress.eta_time.ToDatetime() >= change.event_time.ToDatetime()
    sequences = [fact.sequence for change in of_queued for fact in change.facts]
    assert sequences == list(range(1, of_queued[-1].sequence + 1))

    for index, change in enumerate(live):
        request = pb.ListChangesRequest(after_cursor=change.cursor, limit=500)
        page = await client.executions.ListChanges(request)
        assert list(page.changes) == live[index + 1 :]


async def test_the_stream_goes_on_at_another_executor(client: Client, make_settings: MakeSettings) -> None:
    before = (await client.executions.ListChanges(pb.ListChangesRequest())).cursor
    await client.start(ADD_ONE, {"n": 1})
    filter_ = pb.ChangeFilter(statuses=[COMPLETED])
    call = client.executions.WatchExecutions(
        pb.WatchExecutionsRequest(filter=filter_, after_cursor=before), timeout=20
    )
    (change,) = (await call.read()).changes
    call.cancel()
    assert change.status == COMPLETED


@pytest.mark.parametrize("cursor", ["x", "1.2.3", "0" * 16 + ".\x00." + "0" * 16, "f" * 16 + ".." + "0" * 16])
async def test_a_cursor_that_is_not_ours_is_refused(executor: Executor, client: Client, cursor: str) -> None:
    with pytest.raises(grpc.aio.AioRpcError) as refused:
        await client.executions.ListChanges(pb.ListChangesRequest(after_cursor=cursor))
    assert refused.value.code() is grpc.StatusCode.INVALID_ARGUMENT


def test_cursors_compare_like_their_places() -> None:
    places = [Place(9, "b", 2), Place(10, "a", 1), Place(10, "a", 16), Place(10, "b", 3), Place(2**62, "", 0)]
    assert sorted(map(cursor_of, places)) == [cursor_of(place) for place in places]
    assert [place_of(cursor_of(place)) for place in places] == places
