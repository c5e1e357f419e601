"""Executions from start to end, in both modes, over gRPC."""

from __future__ import annotations

import asyncio
import json
from typing import Any

import grpc
import pytest

from flow_engine.v1 import execution_pb2 as pb
from flow_engine.v1 import stats_pb2 as st
from services.executor.bootstrap import Executor
from services.worker.service import Worker
from tests.integration.executor.conftest import Client, SlowServer, start_spec
from tests.integration.executor.workflows import ADD_ONE, LOOP, approval, call, chain, delay, node

QUEUED = pb.EXECUTION_MODE_QUEUED
IMMEDIATE = pb.EXECUTION_MODE_IMMEDIATE
BIG = 2**53


async def refused(awaitable: Any) -> tuple[str, str, list[tuple[str, str]]]:
    """(gRPC code, reason, [(field, code)]) of a call that is refused."""
    from google.rpc.error_details_pb2 import BadRequest, ErrorInfo
    from grpc_status import rpc_status

    with pytest.raises(grpc.aio.AioRpcError) as raised:
        await awaitable
    status = rpc_status.from_call(raised.value)  # type: ignore[arg-type]
    assert status is not None, raised.value
    info, fields = ErrorInfo(), BadRequest()
    for detail in status.details:
        detail.Unpack(info)
        detail.Unpack(fields)
    return raised.value.code().name, info.reason, [(v.field, v.reason) for v in fields.field_violations]


async def test_a_small_workflow_runs_immediately_and_answers_with_its_output(client: Client) -> None:
    response = await client.start(ADD_ONE, {"n": BIG})
    execution = response.execution
    assert (execution.status, execution.mode) == (pb.EXECUTION_STATUS_COMPLETED, IMMEDIATE)
    assert json.loads(execution.output_json) == BIG + 1
    assert [(step.node_id, step.status) for step in execution.steps] == [
        ("a", pb.STEP_STATUS_COMPLETED),
        ("b", pb.STEP_STATUS_COMPLETED),
    ]
    assert execution.complexity.factors
    stored = await client.get(execution.id)
    assert json.loads(stored.input_json) == {"n": BIG}
    assert stored.output_json == execution.output_json
    assert (stored.progress.completed_steps, stored.progress.total_steps) == (2, 2)


async def test_both_modes_give_the_same_output_and_the_same_step_events(
    client: Client, worker: Worker
) -> None:
    def told(frames: list[dict[str, Any]]) -> list[tuple[Any, ...]]:
        return [
            (frame["type"], frame["nodeId"], frame.get("iteration"), frame.get("output"))
            for frame in frames
            if frame["type"].startswith("step.")
        ]

    results = []
    for mode in (IMMEDIATE, QUEUED):
        started = await client.start(LOOP, {"items": [1, 2, 3]}, mode=mode)
        ended = await client.ended(started.execution.id)
        assert (ended.status, ended.mode) == (pb.EXECUTION_STATUS_COMPLETED, mode)
        results.append((ended.output_json, told(await client.frames(ended.id))))
    assert results[0] == results[1]
    assert json.loads(results[0][0]) == [{"n": 2}, {"n": 4}, {"n": 6}]


async def test_a_stream_gives_every_event_once_and_goes_on_after_any_of_them(client: Client) -> None:
    started = await client.start(ADD_ONE, {"n": 1})
    frames = await client.frames(started.execution.id)
    assert [frame["sequence"] for frame in frames] == list(range(1, len(frames) + 1))
    assert [frame["type"] for frame in frames][:2] == ["execution.created", "execution.started"]
    assert frames[-1]["type"] == "execution.completed"
    assert await client.frames(started.execution.id, after=3) == frames[3:]
    assert await client.frames(started.execution.id, after=len(frames)) == []


async def test_start_and_watch_names_the_execution_before_its_events(client: Client) -> None:
    request = pb.StartAndWatchExecutionRequest(spec=start_spec(ADD_ONE, {"n": 1}))
    responses = [response async for response in client.executions.StartAndWatchExecution(request, timeout=10)]
    assert responses[0].execution_id
    assert not responses[0].HasField("event")
    assert [r.event.sequence for r in responses[1:]] == list(range(1, len(responses)))
    assert responses[-1].event.type == "execution.completed"


async def test_a_snapshot_comes_before_the_events_that_follow_it(client: Client, worker: Worker) -> None:
    started = await client.start(chain(approval("ok"), node("b", "flow.noop")))
    await client.until(started.execution.id, "execution.waiting")
    request = pb.WatchExecutionRequest(execution_id=started.execution.id, snapshot=True)
    stream = client.executions.WatchExecution(request, timeout=20)
    responses = aiter(stream)
    first = await anext(responses)
    assert first.snapshot.status == pb.EXECUTION_STATUS_WAITING
    await submit(client, started.execution.id, {"approved": True})
    sequences = [event.sequence async for response in responses for event in response.events]
    assert sequences == list(range(first.sequence + 1, first.sequence + 1 + len(sequences)))


async def submit(client: Client, execution_id: str, answer: Any, node_id: str = "ok") -> pb.Execution:
    response = await client.executions.SubmitInput(
        pb.SubmitInputRequest(execution_id=execution_id, node_id=node_id, input_json=json.dumps(answer))
    )
    execution: pb.Execution = response.execution
    return execution


async def test_a_person_answers_once(client: Client, worker: Worker) -> None:
    started = await client.start(chain(approval("ok"), node("b", "flow.noop")))
    id_ = started.execution.id
    assert started.execution.mode == QUEUED
    await client.until(id_, "execution.waiting")
    waiting = await client.get(id_)
    assert (waiting.waiting_reason.kind, list(waiting.waiting_reason.node_ids)) == ("person", ["ok"])
    assert (await refused(submit(client, id_, {"approved": "perhaps"})))[1] == "INVALID_INPUT"
    assert (await refused(submit(client, id_, {}, "b")))[1] == "NOT_WAITING"
    assert (await refused(submit(client, id_, {}, "nowhere")))[1] == "NODE_NOT_FOUND"
    await submit(client, id_, {"approved": True})
    await submit(client, id_, {"approved": True})
    assert (await refused(submit(client, id_, {"approved": False})))[1] == "ALREADY_ANSWERED"
    ended = await client.ended(id_)
    assert ended.status == pb.EXECUTION_STATUS_COMPLETED
    await submit(client, id_, {"approved": True})


async def test_an_immediate_run_that_must_wait_goes_on_in_the_queue(client: Client, worker: Worker) -> None:
    started = await client.start(
        chain(node("a", "data.set", values={"n": 1}), approval("ok")), mode=IMMEDIATE
    )
    assert started.execution.status == pb.EXECUTION_STATUS_WAITING
    assert started.execution.mode == QUEUED
    await submit(client, started.execution.id, {"approved": True})
    ended = await client.ended(started.execution.id)
    assert ended.status == pb.EXECUTION_STATUS_COMPLETED
    assert [step.attempts for step in ended.steps] == [1, 1]


async def test_an_immediate_run_is_promoted_at_its_budget_and_its_node_ends_where_it_runs(
    client: Client, worker: Worker, slow_server: SlowServer
) -> None:
    options = pb.ExecutionOptions()
    options.immediate_budget.FromMilliseconds(800)
    workflow = chain(call("a", slow_server.url), node("b", "flow.noop"))
    begun = asyncio.get_running_loop().time()
    started = await client.start(workflow, mode=IMMEDIATE, options=options)
    assert 0.8 <= asyncio.get_running_loop().time() - begun < 1.5
    assert (started.execution.status, started.execution.mode) == (pb.EXECUTION_STATUS_RUNNING, QUEUED)
    slow_server.answer.set()
    ended = await client.ended(started.execution.id)
    assert ended.status == pb.EXECUTION_STATUS_COMPLETED
    assert slow_server.calls == 1
    kinds = [frame["type"] for frame in await client.frames(ended.id)]
    assert kinds.index("execution.promoted") < kinds.index("execution.claimed")


async def test_zero_wait_answers_as_soon_as_the_start_is_committed(
    client: Client, slow_server: SlowServer
) -> None:
    started = await client.start(chain(call("a", slow_server.url)), mode=IMMEDIATE, wait=0)
    assert (started.execution.status, started.execution.mode) == (pb.EXECUTION_STATUS_RUNNING, IMMEDIATE)
    slow_server.answer.set()
    assert (await client.ended(started.execution.id)).status == pb.EXECUTION_STATUS_COMPLETED


async def test_a_caller_that_goes_away_does_not_stop_the_run(client: Client, slow_server: SlowServer) -> None:
    request = pb.StartExecutionRequest(spec=start_spec(chain(call("a", slow_server.url)), mode=IMMEDIATE))
    caller = client.executions.StartExecution(request)
    waiter = asyncio.ensure_future(caller)
    await slow_server.asked.acquire()
    caller.cancel()
    with pytest.raises(asyncio.CancelledError):
        await waiter
    listed = await client.executions.ListExecutions(pb.ListExecutionsRequest())
    slow_server.answer.set()
    assert (await client.ended(listed.executions[0].id)).status == pb.EXECUTION_STATUS_COMPLETED


@pytest.mark.parametrize("mode", [IMMEDIATE, QUEUED])
async def test_cancelling_interrupts_a_running_call_in_either_mode(
    client: Client, worker: Worker, slow_server: SlowServer, mode: pb.ExecutionMode
) -> None:
    started = await client.start(chain(call("a", slow_server.url)), mode=mode, wait=0)
    await slow_server.asked.acquire()
    request = pb.CancelExecutionRequest(execution_id=started.execution.id, reason="enough")
    response = await client.executions.CancelExecution(request)
    assert response.execution.pending_control == pb.PENDING_CONTROL_CANCEL
    assert not response.done
    async with asyncio.timeout(1):
        await slow_server.cut.wait()
    ended = await client.ended(started.execution.id)
    assert ended.status == pb.EXECUTION_STATUS_CANCELLED
    again = await client.executions.CancelExecution(request)
    assert again.done


@pytest.mark.parametrize("mode", [IMMEDIATE, QUEUED])
async def test_a_paused_execution_finishes_its_step_and_goes_on_when_resumed(
    client: Client, worker: Worker, slow_server: SlowServer, mode: pb.ExecutionMode
) -> None:
    workflow = chain(call("a", slow_server.url), delay("w", 500), node("b", "flow.noop"))
    started = await client.start(workflow, mode=mode, wait=0)
    id_ = started.execution.id
    await slow_server.asked.acquire()
    response = await client.executions.PauseExecution(pb.PauseExecutionRequest(execution_id=id_))
    assert not response.done
    slow_server.answer.set()
    await client.until(id_, "execution.paused")
    paused = await client.get(id_)
    assert paused.waiting_reason.kind == "paused"
    assert paused.steps[0].status == pb.STEP_STATUS_COMPLETED
    assert "b" not in {step.node_id for step in paused.steps}
    assert (await client.executions.PauseExecution(pb.PauseExecutionRequest(execution_id=id_))).done
    await client.executions.ResumeExecution(pb.ResumeExecutionRequest(execution_id=id_))
    ended = await client.ended(id_)
    assert ended.status == pb.EXECUTION_STATUS_COMPLETED
    assert slow_server.calls == 1
    late = client.executions.PauseExecution(pb.PauseExecutionRequest(execution_id=id_))
    assert (await refused(late))[:2] == ("FAILED_PRECONDITION", "ILLEGAL_TRANSITION")


async def test_a_retry_keeps_what_was_done(client: Client, worker: Worker, slow_server: SlowServer) -> None:
    slow_server.answer.set()
    workflow = chain(
        call("a", slow_server.url),
        node("b", "flow.fail", code="NO", message="not yet"),
        node("c", "flow.noop"),
    )
    started = await client.start(workflow)
    assert started.execution.status == pb.EXECUTION_STATUS_FAILED
    assert started.execution.error.code == "NO"
    request = pb.RetryExecutionRequest(execution_id=started.execution.id)
    retried = (await client.executions.RetryExecution(request)).execution
    assert (retried.retry_of, retried.root_id) == (started.execution.id, started.execution.id)
    ended = await client.ended(retried.id)
    assert (ended.status, ended.mode) == (pb.EXECUTION_STATUS_FAILED, QUEUED)
    assert ended.steps[0].node_id == "a"
    assert slow_server.calls == 1
    from_a = pb.RetryExecutionRequest(execution_id=ended.id, from_node="a")
    third = (await client.executions.RetryExecution(from_a)).execution
    await client.ended(third.id)
    assert third.root_id == started.execution.id
    assert slow_server.calls == 2
    wrong = pb.RetryExecutionRequest(execution_id=ended.id, from_node="x")
    assert (await refused(client.executions.RetryExecution(wrong)))[1] == "NODE_NOT_FOUND"


async def test_a_retry_keeps_the_finished_steps_inside_a_loop_that_failed(
    client: Client, worker: Worker, slow_server: SlowServer
) -> None:
    slow_server.answer.set()
    inside = [
        call("x", slow_server.url),
        node("is2", "logic.if", condition="${ item == 2 }"),
        node("no", "flow.fail", code="NO", message="two"),
    ]
    workflow = {
        "nodes": [
            node("each", "logic.foreach", items=[1, 2, 3]),
            *({**child, "parentId": "each"} for child in inside),
        ],
        "edges": [
            {"source": "x", "target": "is2"},
            {"source": "is2", "sourceHandle": "true", "target": "no"},
        ],
    }
    started = await client.start(workflow, mode=QUEUED)
    await client.ended(started.execution.id)
    assert slow_server.calls == 2
    for from_node, calls in (("", 2), ("x", 4)):
        request = pb.RetryExecutionRequest(execution_id=started.execution.id, from_node=from_node)
        retried = (await client.executions.RetryExecution(request)).execution
        ended = await client.ended(retried.id)
        assert (ended.status, ended.error.code) == (pb.EXECUTION_STATUS_FAILED, "NO")
        assert slow_server.calls == calls


async def test_a_request_id_starts_once(client: Client) -> None:
    first = await client.start(ADD_ONE, {"n": 1}, request_id="r-1")
    second = await client.start(ADD_ONE, {"n": 1}, request_id="r-1")
    assert (first.created, second.created) == (True, False)
    assert second.execution.id == first.execution.id
    assert second.execution.output_json == first.execution.output_json
    other = client.start(ADD_ONE, {"n": 2}, request_id="r-1")
    assert (await refused(other))[:2] == ("ALREADY_EXISTS", "IDEMPOTENCY_CONFLICT")


async def test_starts_at_once_with_one_request_id_make_one_execution(client: Client) -> None:
    starts = [client.start(ADD_ONE, {"n": 1}, request_id="r-2") for _ in range(8)]
    responses = await asyncio.gather(*starts)
    assert len({response.execution.id for response in responses}) == 1
    assert sum(response.created for response in responses) == 1
    assert {response.execution.status for response in responses} == {pb.EXECUTION_STATUS_COMPLETED}


async def test_wrong_definitions_are_refused_with_all_their_problems_and_nothing_is_stored(
    client: Client,
) -> None:
    wrong = chain(node("a", "no.such"), node("a", "data.set"), node("c", "logic.if", condition="${ 1 + }"))
    code, reason, fields = await refused(client.start(wrong))
    assert (code, reason) == ("INVALID_ARGUMENT", "INVALID_WORKFLOW")
    assert ("/nodes/0/type", "UNKNOWN_TYPE") in fields
    assert ("/nodes/1/id", "DUPLICATE_ID") in fields
    assert len(fields) >= 4
    validated = await client.executions.ValidateWorkflow(
        pb.ValidateWorkflowRequest(workflow_json=json.dumps(wrong))
    )
    assert not validated.valid
    assert [(p.path, p.code) for p in validated.problems] == fields
    listed = await client.executions.ListExecutions(pb.ListExecutionsRequest())
    assert not listed.executions


async def test_calls_that_make_no_sense_are_refused_by_name(client: Client) -> None:
    async def reason(awaitable: Any) -> tuple[str, str]:
        return (await refused(awaitable))[:2]

    get = client.executions.GetExecution
    assert await reason(get(pb.GetExecutionRequest(execution_id="x"))) == (
        "NOT_FOUND",
        "EXECUTION_NOT_FOUND",
    )
    assert await reason(get(pb.GetExecutionRequest())) == ("INVALID_ARGUMENT", "INVALID_REQUEST")
    start = client.executions.StartExecution
    assert (await reason(start(pb.StartExecutionRequest())))[1] == "INVALID_REQUEST"
    unknown = pb.StartExecutionRequest(spec=pb.StartSpec(workflow_id="x"))
    assert (await reason(start(unknown)))[1] == "WORKFLOW_NOT_FOUND"
    broken = pb.StartExecutionRequest(spec=pb.StartSpec(workflow_json="{"))
    assert (await reason(start(broken)))[0] == "INVALID_ARGUMENT"
    assert (await reason(client.start({**ADD_ONE, "inputSchema": {"required": ["n"]}})))[1] == "INVALID_INPUT"
    options = pb.ExecutionOptions(priority=10)
    assert (await refused(client.start(ADD_ONE, options=options)))[2] == [
        ("/options/priority", "OUT_OF_RANGE")
    ]
    token = client.executions.ListExecutions(pb.ListExecutionsRequest(page_token="x"))
    assert (await refused(token))[2] == [("/pageToken", "INVALID_VALUE")]
    watched = client.executions.WatchExecution(pb.WatchExecutionRequest(execution_id="x"))
    assert (await reason(watched.read()))[1] == "EXECUTION_NOT_FOUND"


async def test_executions_page_newest_first(client: Client) -> None:
    ids = [(await client.start(ADD_ONE, {"n": n})).execution.id for n in range(5)]
    seen: list[str] = []
    token = ""
    while True:
        request = pb.ListExecutionsRequest(page_size=2, page_token=token)
        response = await client.executions.ListExecutions(request)
        seen += [execution.id for execution in response.executions]
        token = response.next_page_token
        if not token:
            break
    assert seen == ids[::-1]


async def test_steps_and_events_page(client: Client) -> None:
    started = await client.start(LOOP, {"items": list(range(5))})
    seen: list[tuple[str, tuple[int, ...]]] = []
    token = ""
    while True:
        request = pb.ListStepsRequest(execution_id=started.execution.id, page_size=4, page_token=token)
        response = await client.executions.ListSteps(request)
        seen += [(step.node_id, tuple(step.iteration)) for step in response.steps]
        token = response.next_page_token
        if not token:
            break
    assert seen == [("each", ()), *[("double", (n,)) for n in range(5)]]
    events = await client.executions.ListEvents(
        pb.ListEventsRequest(execution_id=started.execution.id, after_sequence=2, limit=3)
    )
    assert [event.sequence for event in events.events] == [3, 4, 5]
    assert events.last_sequence == started.execution.last_sequence


async def test_without_a_worker_a_queued_execution_says_so(client: Client) -> None:
    started = await client.start(ADD_ONE, {"n": 1}, mode=QUEUED)
    assert started.execution.status == pb.EXECUTION_STATUS_PENDING
    shown = await client.get(started.execution.id)
    assert (shown.waiting_reason.kind, shown.waiting_reason.queue_position) == ("noWorker", 1)


async def test_a_stored_workflow_runs_by_its_id_and_version(client: Client) -> None:
    from flow_engine.v1 import workflow_pb2 as wf

    for number in (1, 2):
        text = json.dumps({**ADD_ONE, "id": "adding", "output": number})
        if number == 1:
            await client.workflows.CreateWorkflow(wf.CreateWorkflowRequest(workflow_json=text))
        else:
            await client.workflows.UpdateWorkflow(
                wf.UpdateWorkflowRequest(workflow_id="adding", workflow_json=text)
            )
    outputs = []
    for version in (0, 1):
        spec = pb.StartSpec(workflow_id="adding", workflow_version=version, input_json='{"n": 1}')
        response = await client.executions.StartExecution(pb.StartExecutionRequest(spec=spec))
        outputs.append((response.execution.output_json, response.execution.workflow_version))
    assert outputs == [("2", 2), ("1", 1)]


async def test_a_stopping_executor_hands_its_runs_to_the_queue(
    make_settings: Any, slow_server: SlowServer
) -> None:
    first = Executor(make_settings())
    await first.start()
    client = Client(first.address)
    workflow = chain(delay("a", 200), node("b", "flow.noop"))
    started = await client.start(workflow, mode=IMMEDIATE, wait=0)
    await client.until(started.execution.id, "step.started")
    await first.stop()
    await client.channel.close()
    second = Executor(make_settings())
    await second.start()
    client = Client(second.address)
    left = await client.get(started.execution.id)
    assert (left.status, left.mode) == (pb.EXECUTION_STATUS_PENDING, QUEUED)
    assert [frame.type for frame in await events(client, left.id)][-1] != "execution.failed"
    await client.channel.close()
    await second.stop()


async def events(client: Client, execution_id: str) -> list[pb.Event]:
    response = await client.executions.ListEvents(pb.ListEventsRequest(execution_id=execution_id))
    return list(response.events)


async def test_what_ended_is_in_the_statistics(client: Client, executor: Executor, worker: Worker) -> None:
    workflow = {**ADD_ONE, "id": "counted"}
    await client.start(workflow, {"n": 1})
    queued = await client.start(workflow, {"n": 1}, mode=QUEUED)
    await client.ended(queued.execution.id)
    await executor.counting.turn()
    stats = await client.executions.GetStats(st.GetStatsRequest(workflow_id="counted"))
    assert (stats.total.runs, stats.total.immediate, stats.total.queued) == (2, 1, 1)
    assert stats.total.mode_regret.queued_short == 1
    assert stats.total.HasField("queue_wait")
    assert {one.node_id for one in stats.slowest_nodes} == {"a", "b"}
    assert sum(point.completed for point in stats.throughput) == 2


async def test_estimates_are_learned_from_what_ended(client: Client, executor: Executor) -> None:
    workflow = chain(node("ms", "data.set", values={"n": 30}), delay("a", 0))
    workflow["nodes"][1]["config"]["durationMs"] = "${ nodes.ms.output.n }"
    spec = start_spec(workflow)
    before = await client.executions.AnalyzeWorkflow(pb.AnalyzeWorkflowRequest(spec=spec))
    assert before.complexity.estimated_duration.ToMilliseconds() >= 1000
    for _ in range(3):
        await client.start(workflow)
    await executor.counting.turn()
    executor.durations.forget()
    after = await client.executions.AnalyzeWorkflow(pb.AnalyzeWorkflowRequest(spec=spec))
    assert after.complexity.learned_nodes == 2
    assert after.complexity.estimated_duration.ToMilliseconds() < 1000


async def test_a_running_execution_says_when_it_will_have_ended(client: Client) -> None:
    started = await client.start(chain(delay("a", 4000)), wait=0)
    execution = await client.get(started.execution.id)
    assert execution.progress.eta_time.ToDatetime() > execution.started_time.ToDatetime()
    await client.control(execution.id, "cancel")
    assert not (await client.ended(execution.id)).progress.HasField("eta_time")


async def test_steps_and_executions_tell_what_they_used(
    client: Client, executor: Executor, slow_server: SlowServer
) -> None:
    slow_server.answer.set()
    started = await client.start({**chain(call("a", slow_server.url), node("b", "flow.noop")), "id": "using"})
    execution = await client.ended(started.execution.id)
    fetched, passed_on = execution.steps
    assert fetched.usage.outside_calls == 1
    assert fetched.usage.bytes_in > 0
    assert not passed_on.HasField("usage")
    assert execution.usage == fetched.usage
    await executor.counting.turn()
    stats = await client.executions.GetStats(st.GetStatsRequest(workflow_id="using"))
    assert stats.total.usage.outside_calls == 1
    assert {one.node_type: one.usage.outside_calls for one in stats.node_types} == {
        "http.request": 1,
        "flow.noop": 0,
    }
