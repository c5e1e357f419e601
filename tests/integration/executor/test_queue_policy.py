"""Limits by key, as callers meet them."""

from __future__ import annotations

from typing import Any

import grpc
import pytest

from flow_engine.v1 import execution_pb2 as pb
from services.worker.service import Worker
from tests.integration.executor.conftest import Client, SlowServer
from tests.integration.executor.workflows import ADD_ONE, call, chain

QUEUED, IMMEDIATE = pb.EXECUTION_MODE_QUEUED, pb.EXECUTION_MODE_IMMEDIATE
ACME = {"customer": "acme"}


def limited(url: str, **policy: Any) -> dict[str, Any]:
    return chain(call("a", url), concurrency={"key": "${ input.customer }", "limit": 1, **policy})


async def test_the_second_of_a_key_waits_and_says_so(
    client: Client, worker: Worker, slow_server: SlowServer
) -> None:
    workflow = limited(slow_server.url)
    first = (await client.start(workflow, ACME, mode=IMMEDIATE, wait=0)).execution
    await slow_server.asked.acquire()
    second = (await client.start(workflow, ACME, mode=IMMEDIATE)).execution
    assert (second.status, second.mode) == (pb.EXECUTION_STATUS_PENDING, QUEUED)
    third = (await client.start(workflow, ACME, mode=QUEUED)).execution
    reason = (await client.get(third.id)).waiting_reason
    assert (reason.kind, reason.key, reason.limit, reason.queue_position) == ("concurrency", "acme", 1, 2)
    other = (await client.start(workflow, {"customer": "b"}, mode=QUEUED)).execution
    await slow_server.asked.acquire()
    assert (await client.get(other.id)).status == pb.EXECUTION_STATUS_RUNNING
    slow_server.answer.set()
    ended = [await client.ended(one.id) for one in (first, second, third, other)]
    assert {one.status for one in ended} == {pb.EXECUTION_STATUS_COMPLETED}
    assert ended[1].completed_time.ToDatetime() <= ended[2].started_time.ToDatetime()


async def test_at_the_limit_a_start_is_refused_or_takes_the_place_of_the_oldest(
    client: Client, worker: Worker, slow_server: SlowServer
) -> None:
    first = (await client.start(limited(slow_server.url), ACME, mode=IMMEDIATE, wait=0)).execution
    await slow_server.asked.acquire()
    with pytest.raises(grpc.aio.AioRpcError) as refusal:
        await client.start(limited(slow_server.url, onLimit="reject"), ACME, mode=QUEUED)
    assert refusal.value.code() is grpc.StatusCode.RESOURCE_EXHAUSTED
    assert "'acme'" in (refusal.value.details() or "")
    second = (await client.start(limited(slow_server.url, onLimit="cancel_oldest"), ACME)).execution
    assert (await client.ended(first.id)).status == pb.EXECUTION_STATUS_CANCELLED
    await slow_server.asked.acquire()
    slow_server.answer.set()
    assert (await client.ended(second.id)).status == pb.EXECUTION_STATUS_COMPLETED


async def test_a_rate_lets_the_next_begin_when_its_time_has_come(client: Client, worker: Worker) -> None:
    workflow = {**ADD_ONE, "rateLimit": {"key": "k", "limit": 1, "periodMs": 400}}
    ids = [(await client.start(workflow, {"n": n}, mode=QUEUED)).execution.id for n in range(3)]
    reason = (await client.get(ids[2])).waiting_reason
    assert (reason.kind, reason.key, reason.limit) == ("rateLimit", "k", 1)
    for id_ in ids:
        assert (await client.ended(id_)).status == pb.EXECUTION_STATUS_COMPLETED


async def test_a_key_that_cannot_be_evaluated_is_refused(client: Client) -> None:
    with pytest.raises(grpc.aio.AioRpcError) as refusal:
        await client.start(limited("http://127.0.0.1:1/"), {}, mode=QUEUED)
    assert refusal.value.code() is grpc.StatusCode.INVALID_ARGUMENT
    assert "/concurrency/key" in (refusal.value.details() or "")
