"""Outside systems report back, on both databases and in both modes."""

from __future__ import annotations

import asyncio
import json
from typing import Any

import pytest

from flow_engine.v1 import execution_pb2 as pb
from services.worker.service import Worker
from tests.integration.executor.conftest import Client
from tests.integration.executor.test_executions import refused
from tests.integration.executor.workflows import chain, node

IMMEDIATE = pb.EXECUTION_MODE_IMMEDIATE
QUEUED = pb.EXECUTION_MODE_QUEUED

ORDER = {
    **chain(
        node("order", "data.set", values={"tell": "${ callbacks.shipped.url }"}),
        node("shipped", "wait.callback", schema={"type": "object", "required": ["at"]}),
    ),
    "output": "${ nodes.shipped.output.at }",
}


async def call_back(client: Client, url: str, value: Any) -> None:
    request = pb.SubmitCallbackRequest(token=url.rpartition("/")[2], payload_json=json.dumps(value))
    await client.executions.SubmitCallback(request, timeout=20)


def output_of(execution: pb.Execution, node_id: str) -> Any:
    (step,) = [step for step in execution.steps if step.node_id == node_id]
    return json.loads(step.output_json)


@pytest.mark.parametrize("mode", [IMMEDIATE, QUEUED], ids=["immediate", "queued"])
async def test_a_url_told_beforehand_answers_the_step_once(client: Client, worker: Worker, mode: int) -> None:
    id_ = (await client.start(ORDER, mode=mode)).execution.id
    await client.until(id_, "execution.waiting")
    waiting = await client.get(id_)
    url = output_of(waiting, "order")["tell"]
    assert (waiting.waiting_reason.kind, list(waiting.waiting_reason.node_ids)) == ("callback", ["shipped"])
    assert url.startswith("http://127.0.0.1:8080/api/workflow/callback/")
    assert json.loads(waiting.steps[1].waiting_json)["url"] == url, "its owner sees it too"

    for wrong in (url + "A", url[:-1], "x", ""):
        found = await refused(call_back(client, wrong, {"at": 1}))
        assert found[:2] == ("NOT_FOUND", "CALLBACK_NOT_FOUND")
    invalid = await refused(call_back(client, url, {"on": 1}))
    assert invalid[:2] == ("INVALID_ARGUMENT", "INVALID_INPUT")
    assert [field for field, _ in invalid[2]] == ["/at"]

    await call_back(client, url, {"at": "noon"})
    await call_back(client, url, {"at": "noon"})
    assert (await refused(call_back(client, url, {"at": "one"})))[1] == "ALREADY_ANSWERED"
    ended = await client.ended(id_)
    assert (ended.status, ended.output_json) == (pb.EXECUTION_STATUS_COMPLETED, '"noon"')
    assert (await refused(call_back(client, url, {"at": "one"})))[1] == "ALREADY_ANSWERED"


async def test_each_iteration_has_a_url_of_its_own(client: Client, worker: Worker) -> None:
    loop = {
        "id": "loop",
        "nodes": [
            node("each", "logic.foreach", items=[1, 2], concurrency=2),
            {**node("tell", "data.set", values={"url": "${ callbacks.back.url }"}), "parentId": "each"},
            {**node("back", "wait.callback"), "parentId": "each"},
        ],
        "edges": [{"source": "tell", "target": "back"}],
    }
    id_ = (await client.start(loop, mode=QUEUED)).execution.id
    await client.until(id_, "execution.waiting")
    urls = {
        tuple(step.iteration): json.loads(step.output_json)["url"]
        for step in (await client.get(id_)).steps
        if step.node_id == "tell"
    }
    for (index,), url in sorted(urls.items(), reverse=True):
        await call_back(client, url, {"was": index})
    assert json.loads((await client.ended(id_)).output_json) == [{"was": 0}, {"was": 1}]


async def test_a_call_that_comes_early_is_taken_when_its_step_waits(client: Client, worker: Worker) -> None:
    early = chain(
        node("tell", "data.set", values={"url": "${ callbacks.back.url }"}),
        node("busy", "logic.delay", durationMs=400),
        node("back", "wait.callback"),
    )
    id_ = (await client.start(early, mode=QUEUED)).execution.id
    frame = await client.until(id_, "step.completed")

    await asyncio.wait_for(call_back(client, frame["output"]["url"], {"n": 1}), 10)

    assert json.loads((await client.ended(id_)).output_json) == {"n": 1}


async def test_a_url_dies_with_its_wait(client: Client, worker: Worker) -> None:
    short = chain(
        node("tell", "data.set", values={"url": "${ callbacks.back.url }"}),
        node("back", "wait.callback", timeoutMs=50),
        node("late", "flow.noop"),
    )
    short["edges"][1]["sourceHandle"] = "timeout"
    id_ = (await client.start(short, mode=QUEUED)).execution.id
    ended = await client.ended(id_)
    assert ended.status == pb.EXECUTION_STATUS_COMPLETED
    url = output_of(ended, "tell")["url"]
    assert (await refused(call_back(client, url, {})))[:2] == ("FAILED_PRECONDITION", "CALLBACK_GONE")


async def test_the_history_of_a_request_hides_the_token(client: Client) -> None:
    request = {
        **node("ask", "http.request", url="http://127.0.0.1:1/", body={"url": "${ callbacks.back.url }"}),
        "onError": "continue",
    }
    id_ = (await client.start(chain(request, node("back", "wait.callback")), mode=IMMEDIATE)).execution.id
    started = await client.until(id_, "step.started")
    assert started["input"]["body"]["url"].endswith("/api/workflow/callback/…")
