"""Repeated, refused and bulk control, values by their hash, over gRPC on both databases."""

from __future__ import annotations

import json
from typing import Any

import pytest

from flow_engine.v1 import execution_pb2 as pb
from tests.integration.executor.conftest import Client, SlowServer
from tests.integration.executor.test_executions import refused
from tests.integration.executor.workflows import ADD_ONE, approval, call, chain, delay, node

IMMEDIATE = pb.EXECUTION_MODE_IMMEDIATE
QUEUED = pb.EXECUTION_MODE_QUEUED


async def test_what_was_asked_for_before_is_done_when_it_is_asked_again(
    client: Client, slow_server: SlowServer
) -> None:
    started = await client.start(chain(call("slow", slow_server.url)), mode=IMMEDIATE, wait=0)
    id_ = started.execution.id
    await slow_server.asked.acquire()

    pause = pb.PauseExecutionRequest(execution_id=id_)
    first = await client.executions.PauseExecution(pause)
    again = await client.executions.PauseExecution(pause)
    assert (first.done, again.done) == (False, True)
    assert again.execution.pending_control == pb.PENDING_CONTROL_PAUSE

    # The step heeds a cancellation at once; before it does, nothing else may be asked.
    cancel = pb.CancelExecutionRequest(execution_id=id_)
    assert not (await client.executions.CancelExecution(cancel)).done
    assert (await client.executions.CancelExecution(cancel)).done
    assert (await refused(client.executions.PauseExecution(pause)))[1] == "ILLEGAL_TRANSITION"
    assert (await client.ended(id_)).status == pb.EXECUTION_STATUS_CANCELLED
    assert (await client.executions.CancelExecution(cancel)).done


async def test_a_large_value_is_given_to_those_who_may_see_an_execution_that_names_it(client: Client) -> None:
    text = "x" * 5000
    started = await client.start(
        chain(node("big", "data.set", values={"text": "${ input.text }"})), {"text": text}
    )
    other = await client.start(ADD_ONE, {"n": 1})
    (step,) = started.execution.steps
    assert step.output_hash
    assert step.output_bytes > 5000

    request = pb.GetValueRequest(execution_id=started.execution.id, hash=step.output_hash)
    assert json.loads((await client.executions.GetValue(request)).value_json) == {"text": text}
    for wrong in (
        pb.GetValueRequest(execution_id=other.execution.id, hash=step.output_hash),
        pb.GetValueRequest(execution_id=started.execution.id, hash="0" * 64),
        pb.GetValueRequest(execution_id=started.execution.id, hash=""),
    ):
        assert (await refused(client.executions.GetValue(wrong)))[:2] == ("NOT_FOUND", "VALUE_NOT_FOUND")


async def test_a_cursor_that_no_history_reaches_is_refused(client: Client) -> None:
    id_ = (await client.start(ADD_ONE, {"n": 1})).execution.id
    for after in (-1, 2**63 - 1):
        request = pb.ListEventsRequest(execution_id=id_, after_sequence=after)
        assert (await refused(client.executions.ListEvents(request)))[0] == "INVALID_ARGUMENT"
    far = pb.ListEventsRequest(execution_id=id_, after_sequence=2**53 - 1)
    assert not (await client.executions.ListEvents(far)).events


async def test_lists_tell_why_each_execution_waits(client: Client) -> None:
    """Without a worker the second one stays in the queue."""
    person = await client.start(chain(approval("ok", assignee="ada")), mode=IMMEDIATE)
    queued = await client.start(ADD_ONE, {"n": 1}, mode=QUEUED)
    timer = await client.start(chain(delay("t", 60_000)), mode=IMMEDIATE, wait=0)
    await client.until(timer.execution.id, "execution.promoted")

    listed = (await client.executions.ListExecutions(pb.ListExecutionsRequest())).executions
    reasons = {execution.id: execution.waiting_reason for execution in listed}

    assert reasons[person.execution.id].kind == "person"
    assert reasons[person.execution.id].explanation == "Step 'ok' waits for an answer from ada."
    assert reasons[queued.execution.id].kind == "noWorker"
    shown = await client.get(queued.execution.id)
    assert (shown.waiting_reason.kind, shown.waiting_reason.queue_position) == ("noWorker", 1)
    assert shown.waiting_reason.HasField("queue_oldest_age")


ACTIONS = {
    "pause": pb.CONTROL_ACTION_PAUSE,
    "resume": pb.CONTROL_ACTION_RESUME,
    "cancel": pb.CONTROL_ACTION_CANCEL,
    "retry": pb.CONTROL_ACTION_RETRY,
}
EVERY_STATUS = [name for name, value in pb.ExecutionStatus.items() if value]


async def control(client: Client, action: str, **request: Any) -> pb.ControlExecutionsResponse:
    request.setdefault("filter", pb.ExecutionFilter(workflow_id="test", statuses=EVERY_STATUS))
    response: pb.ControlExecutionsResponse = await client.executions.ControlExecutions(
        pb.ControlExecutionsRequest(action=ACTIONS[action], **request)
    )
    return response


async def one_of_each(client: Client, slow_server: SlowServer) -> None:
    """An execution in each state, some with something asked of them."""

    async def put(workflow: dict[str, Any], mode: int = IMMEDIATE) -> str:
        execution_id: str = (await client.start(workflow, mode=mode, wait=0)).execution.id
        return execution_id

    for asked in ((), ("pause",), ("cancel",)):
        running = await put(chain(call("slow", slow_server.url, retry={"maxAttempts": 1})))
        await slow_server.asked.acquire()
        if asked:
            await client.control(running, *asked)
    await put(ADD_ONE | {"id": "test"}, QUEUED)
    completed = await put(chain(node("a", "flow.noop")))
    failed = await put(chain(node("a", "flow.fail", code="NO", message="no")))
    waiting = await put(chain(approval("ok")))
    await client.until(waiting, "execution.waiting")
    for what in ("pause", "cancel"):
        other = await put(chain(approval("ok")))
        await client.until(other, "execution.waiting")
        await client.control(other, what)
    for ended in (completed, failed):
        await client.ended(ended)


@pytest.mark.parametrize("action", ACTIONS)
async def test_a_dry_run_foretells_what_the_action_does(
    client: Client, slow_server: SlowServer, action: str
) -> None:
    await one_of_each(client, slow_server)

    def told(page: pb.ControlExecutionsResponse) -> list[tuple[str, int, str]]:
        return [(one.execution_id, one.effect, one.reason) for one in page.executions]

    before = await client.executions.ListExecutions(pb.ListExecutionsRequest())
    foretold = await control(client, action, dry_run=True)
    after = await client.executions.ListExecutions(pb.ListExecutionsRequest())
    assert [e.last_sequence for e in before.executions] == [e.last_sequence for e in after.executions]

    done = await control(client, action)
    assert told(done) == told(foretold)
    assert done.done_count + done.accepted_count + done.refused_count == len(done.executions) == 9
    for one in done.executions:
        assert bool(one.reason) == (one.effect == pb.CONTROL_EFFECT_REFUSED)
        assert bool(one.retry_execution_id) == (action == "retry" and not one.reason)


async def test_control_by_filter_goes_page_by_page_and_may_be_repeated(client: Client) -> None:
    tagged = [(await client.start(chain(approval("ok"), tags=["x"]), wait=0)).execution.id for _ in range(5)]
    other = (await client.start(chain(approval("ok")), wait=0)).execution.id
    where = pb.ExecutionFilter(tags=["x"])

    found: list[str] = []
    token = ""
    while True:
        page = await control(client, "cancel", filter=where, page_size=2, page_token=token, reason="over")
        found += [one.execution_id for one in page.executions]
        assert page.done_count == len(page.executions)
        token = page.next_page_token
        if not token:
            break
    assert found == list(reversed(tagged))
    assert not (await control(client, "cancel", filter=where)).executions
    assert (await client.get(other)).status == pb.EXECUTION_STATUS_PENDING


async def test_control_by_no_filter_at_all_is_refused(client: Client) -> None:
    for wrong in (
        pb.ControlExecutionsRequest(action=pb.CONTROL_ACTION_CANCEL),
        pb.ControlExecutionsRequest(filter=pb.ExecutionFilter(workflow_id="x")),
    ):
        assert (await refused(client.executions.ControlExecutions(wrong)))[0] == "INVALID_ARGUMENT"
