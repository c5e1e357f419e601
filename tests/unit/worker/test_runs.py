"""What a worker does with claims and reports that go otherwise than they mostly do."""

from __future__ import annotations

import asyncio
import time
from collections.abc import AsyncIterator, Sequence
from typing import Any

import grpc
import pytest

from flow_engine.v1 import worker_pb2 as pb
from services.worker.executor_client import ExecutorClient, ExecutorUnreachable
from services.worker.runs import Run, Runs


class Carrying(Runs):
    """Runs that go on until they are lost, and say so."""

    def __init__(self, client: Any) -> None:
        unused: Any = None
        super().__init__(client, unused, unused, slots=4, idle_ask_seconds=0.01)
        self.carried: list[tuple[str, int]] = []
        self.lost: list[tuple[str, int]] = []
        self.begun = asyncio.Event()

    async def _carry(self, run: Any, claimed: pb.ClaimedExecution) -> None:
        self.carried.append((claimed.execution_id, claimed.epoch))
        self.begun.set()
        try:
            await asyncio.Event().wait()
        except asyncio.CancelledError:
            self.lost.append((claimed.execution_id, claimed.epoch))


class Claims:
    """Answers claims one after the other, then with nothing."""

    def __init__(self, *answers: Sequence[pb.ClaimedExecution] | Exception) -> None:
        self.answers = list(answers)

    async def claim_next(self, claim_id: str, free_slots: int) -> Sequence[pb.ClaimedExecution]:
        answer = self.answers.pop(0) if self.answers else []
        if isinstance(answer, Exception):
            raise answer
        return answer

    async def renew(self, leases: Sequence[pb.Lease]) -> set[str]:
        return set()

    async def release(self, leases: Sequence[pb.Lease]) -> None:
        pass


def claimed(epoch: int) -> pb.ClaimedExecution:
    execution = pb.ClaimedExecution(execution_id="x", epoch=epoch)
    execution.lease.FromSeconds(30)
    return execution


async def carried_by(client: Claims, count: int) -> Carrying:
    runs = Carrying(client)
    await runs.start()
    async with asyncio.timeout(10):
        while len(runs.carried) < count:
            runs.begun.clear()
            await runs.begun.wait()
    await asyncio.sleep(0)
    return runs


async def test_an_execution_that_comes_back_under_a_new_epoch_is_begun_anew() -> None:
    """The worker was frozen, say, and hears of the loss of its lease later than of the next claim."""
    runs = await carried_by(Claims([claimed(1)], [claimed(3)]), 2)
    assert runs.carried == [("x", 1), ("x", 3)]
    assert runs.lost == [("x", 1)]
    await runs.drain(0)


async def test_a_claim_that_is_answered_again_begins_nothing_new() -> None:
    runs = await carried_by(Claims([claimed(1)], [claimed(1)], [claimed(2)]), 2)
    assert runs.carried == [("x", 1), ("x", 2)]
    await runs.drain(0)


async def test_claiming_goes_on_whatever_a_claim_is_answered_with() -> None:
    runs = await carried_by(Claims(ExecutorUnreachable("away"), [claimed(1)]), 1)
    assert runs.carried == [("x", 1)]
    await runs.drain(0)


class Refusal(grpc.aio.AioRpcError):
    def __init__(self, code: grpc.StatusCode) -> None:
        nothing = grpc.aio.Metadata()
        super().__init__(code, nothing, nothing, details="no")


class Stub:
    """Refuses every request that has a report of the execution `bad` in it."""

    async def Report(self, request: pb.ReportRequest, **_: Any) -> pb.ReportResponse:  # noqa: N802
        if any(report.execution_id == "bad" for report in request.reports):
            raise Refusal(grpc.StatusCode.INVALID_ARGUMENT)
        return pb.ReportResponse(
            replies=[pb.ReportReply(execution_id=each.execution_id) for each in request.reports]
        )

    async def ClaimNext(self, request: pb.ClaimNextRequest, **_: Any) -> pb.ClaimNextResponse:  # noqa: N802
        raise Refusal(grpc.StatusCode.UNIMPLEMENTED)


@pytest.fixture
async def client() -> AsyncIterator[ExecutorClient]:
    client = ExecutorClient("127.0.0.1:1", "worker:w", [])
    client._stub = Stub()
    yield client
    await client.close()


async def test_a_report_that_is_refused_harms_no_other_in_its_batch(client: ExecutorClient) -> None:
    async with asyncio.timeout(10):
        answers = await asyncio.gather(
            *(client.report(pb.ExecutionReport(execution_id=name)) for name in ("a", "bad", "b")),
            return_exceptions=True,
        )
    assert [type(answer).__name__ for answer in answers] == ["ReportReply", "Refusal", "ReportReply"]
    later = await client.report(pb.ExecutionReport(execution_id="c"))
    assert later.execution_id == "c"


async def test_a_claim_that_is_refused_can_be_made_again(client: ExecutorClient) -> None:
    with pytest.raises(ExecutorUnreachable):
        await client.claim_next("claim", 1)


async def test_no_outside_effect_begins_in_the_second_half_of_a_lease_that_is_not_renewed() -> None:
    now = time.monotonic()
    run = Run("x", 1, lease_seconds=30, sure_until=now)
    run.renewed(now - 10)
    await run.sure()

    run.renewed(now - 20)
    beginning = asyncio.create_task(run.sure())
    await asyncio.sleep(0)
    assert not beginning.done()
    run.renewed(now)
    await beginning
