"""Schedules and webhooks at a running executor."""

from __future__ import annotations

import json
import time
from collections.abc import AsyncIterator
from typing import Any

import grpc
import pytest

from flow_engine.v1 import execution_pb2 as pb
from flow_engine.v1 import trigger_pb2 as tr
from flow_engine.v1 import workflow_pb2 as wf
from flow_engine.v1.trigger_pb2_grpc import TriggerServiceStub
from services.executor.bootstrap import Executor
from services.executor.secrets.keyring import new_key
from services.executor.triggers.signatures import sign
from tests.integration.executor.conftest import Client, MakeSettings

BIG = 2**53 + 1
ECHO = {
    "id": "echo",
    "nodes": [{"id": "a", "type": "flow.noop"}],
    "output": "${ input }",
}
ANSWERING = {
    "id": "answering",
    "nodes": [
        {
            "id": "tell",
            "type": "webhook.respond",
            "config": {
                "status": 201,
                "headers": {"X-Order": "${ input.body.id }"},
                "body": "${ input.body }",
            },
        },
        {"id": "ok", "type": "human.approval", "config": {"title": "Go on?"}},
    ],
    "edges": [{"source": "tell", "target": "ok"}],
}


class Triggers:
    def __init__(self, client: Client) -> None:
        self.client = client
        self.stub: Any = TriggerServiceStub(client.channel)
        self.secret = ""

    async def store(self, *workflows: dict[str, Any]) -> None:
        for workflow in workflows:
            request = wf.CreateWorkflowRequest(workflow_json=json.dumps(workflow))
            await self.client.workflows.CreateWorkflow(request)

    async def hook(self, path: str, workflow_id: str, **more: Any) -> None:
        webhook = tr.Webhook(path=path, workflow_id=workflow_id, **more)
        answer = await self.stub.PutWebhook(tr.PutWebhookRequest(webhook=webhook))
        self.secret = answer.secret

    async def deliver(
        self, path: str, body: bytes, delivery_id: str = "d1", *, secret: str = "", **more: Any
    ) -> tr.DeliverWebhookResponse:
        at = str(int(time.time()))
        request = tr.DeliverWebhookRequest(
            path=path,
            body=body,
            content_type="application/json",
            delivery_id=delivery_id,
            timestamp=at,
            signature=sign(secret or self.secret, delivery_id, at, body),
            **more,
        )
        answer: tr.DeliverWebhookResponse = await self.stub.DeliverWebhook(request, timeout=20)
        return answer


@pytest.fixture
async def triggers(make_settings: MakeSettings) -> AsyncIterator[Triggers]:
    executor = Executor(make_settings(schedule_interval_seconds=0.05, secrets_keys=(new_key(),)))
    await executor.start()
    client = Client(executor.address)
    made = Triggers(client)
    await made.store(ECHO, ANSWERING)
    yield made
    await client.channel.close()
    await executor.stop()


async def refusal(call: Any) -> grpc.StatusCode:
    with pytest.raises(grpc.aio.AioRpcError) as refused:
        await call
    code: grpc.StatusCode = refused.value.code()
    return code


async def test_a_schedule_is_kept_previewed_run_paused_and_deleted(triggers: Triggers) -> None:
    schedule = tr.Schedule(id="nightly", workflow_id="echo", cron="30 2 * * *", time_zone="Europe/Berlin")
    answer = await triggers.stub.PutSchedule(tr.PutScheduleRequest(schedule=schedule))
    assert (answer.created, answer.schedule.catch_up, answer.schedule.paused) == (True, 1, False)
    found = await triggers.stub.GetSchedule(tr.GetScheduleRequest(schedule_id="nightly"))
    assert len(found.next_times) == 5
    assert found.next_times[0] == found.schedule.next_time
    assert not found.schedule.HasField("last_slot")
    preview = tr.PreviewScheduleRequest(cron="30 2 * * *", time_zone="Europe/Berlin", count=5)
    assert list((await triggers.stub.PreviewSchedule(preview)).times) == list(found.next_times)

    slot = (await triggers.stub.RunSchedule(tr.RunScheduleRequest(schedule_id="nightly"))).slot
    assert (slot.status, slot.manual) == (tr.SLOT_STATUS_STARTED, True)
    ended = await triggers.client.ended(slot.execution_id)
    assert json.loads(ended.output_json)["scheduleId"] == "nightly"
    assert "schedule:nightly" in ended.tags
    slots = await triggers.stub.ListSlots(tr.ListSlotsRequest(schedule_id="nightly"))
    assert [found.execution_id for found in slots.slots] == [slot.execution_id]

    paused = await triggers.stub.PauseSchedule(tr.PauseScheduleRequest(schedule_id="nightly"))
    assert paused.schedule.paused
    resumed = await triggers.stub.ResumeSchedule(tr.ResumeScheduleRequest(schedule_id="nightly"))
    assert not resumed.schedule.paused
    listed = await triggers.stub.ListSchedules(tr.ListSchedulesRequest(workflow_id="echo"))
    assert [(schedule.id, schedule.last_slot) for schedule in listed.schedules] == [("nightly", slot)]
    await triggers.stub.DeleteSchedule(tr.DeleteScheduleRequest(schedule_id="nightly"))
    gone = triggers.stub.GetSchedule(tr.GetScheduleRequest(schedule_id="nightly"))
    assert await refusal(gone) is grpc.StatusCode.NOT_FOUND


@pytest.mark.parametrize(
    "wrong",
    [
        {"id": "a/b"},
        {"workflow_id": ""},
        {"cron": "every day"},
        {"time_zone": "Mars/Olympus"},
        {"catch_up": 9999},
        {"priority": 10},
        {"input_json": "{"},
    ],
)
async def test_a_wrong_schedule_is_refused(triggers: Triggers, wrong: dict[str, Any]) -> None:
    right: dict[str, Any] = {"id": "s", "workflow_id": "echo", "cron": "* * * * *"}
    call = triggers.stub.PutSchedule(tr.PutScheduleRequest(schedule=tr.Schedule(**{**right, **wrong})))
    assert await refusal(call) is grpc.StatusCode.INVALID_ARGUMENT


async def test_a_signed_delivery_starts_once_and_is_answered_with_the_output(triggers: Triggers) -> None:
    await triggers.hook("orders", "echo")
    assert triggers.secret.startswith("whsec_")
    body = b'{"n": %d}' % BIG
    first = await triggers.deliver("orders", body, query={"a": "1"}, headers={"x-shop": "s"})
    again = await triggers.deliver("orders", body, query={"a": "1"}, headers={"x-shop": "s"})
    assert (first.http_status, first.created, first.responded) == (200, True, False)
    assert (again.execution_id, again.created, again.body) == (first.execution_id, False, first.body)
    assert json.loads(first.body) == {
        "body": {"n": BIG},
        "headers": {"x-shop": "s"},
        "query": {"a": "1"},
        "deliveryId": "d1",
    }
    other_body = triggers.deliver("orders", b"{}")
    assert await refusal(other_body) is grpc.StatusCode.ALREADY_EXISTS
    forged = triggers.deliver("orders", b"{}", "d2", secret="whsec_" + "A" * 32)
    assert await refusal(forged) is grpc.StatusCode.UNAUTHENTICATED
    assert await refusal(triggers.deliver("nothing", b"{}")) is grpc.StatusCode.NOT_FOUND
    assert await refusal(triggers.deliver("orders", b"{", "d3")) is grpc.StatusCode.INVALID_ARGUMENT


async def test_a_workflow_answers_its_caller_and_goes_on(triggers: Triggers) -> None:
    await triggers.hook("tell", "answering", mode=pb.EXECUTION_MODE_IMMEDIATE)
    answer = await triggers.deliver("tell", b'{"id": "o7", "n": %d}' % BIG)
    assert (answer.http_status, answer.responded, dict(answer.headers)) == (
        201,
        True,
        {"X-Order": "o7", "Content-Type": "application/json"},
    )
    assert json.loads(answer.body) == {"id": "o7", "n": BIG}
    await triggers.client.until(answer.execution_id, "execution.waiting")
    again = await triggers.deliver("tell", b'{"id": "o7", "n": %d}' % BIG)
    assert (again.execution_id, again.body) == (answer.execution_id, answer.body)


async def test_a_header_with_a_line_break_fails_the_step_and_not_the_answer(triggers: Triggers) -> None:
    await triggers.hook("tell", "answering", mode=pb.EXECUTION_MODE_IMMEDIATE)
    answer = await triggers.deliver("tell", b'{"id": "a\\r\\nSet-Cookie: x=y"}')
    assert (answer.responded, dict(answer.headers)) == (False, {})
    assert answer.status == pb.EXECUTION_STATUS_FAILED


async def test_nobody_waits_for_a_queued_one_but_for_its_answer(triggers: Triggers, redis_url: str) -> None:
    await triggers.hook("later", "echo", mode=pb.EXECUTION_MODE_QUEUED)
    answer = await triggers.deliver("later", b"{}")
    assert (answer.http_status, answer.status) == (202, pb.EXECUTION_STATUS_PENDING)


async def test_a_secret_is_kept_until_it_is_changed_and_never_shown_again(triggers: Triggers) -> None:
    await triggers.hook("orders", "echo")
    first = triggers.secret
    await triggers.hook("orders", "echo", paused=True)
    assert triggers.secret == ""
    assert await refusal(triggers.deliver("orders", b"{}", secret=first)) is grpc.StatusCode.NOT_FOUND
    request = tr.PutWebhookRequest(webhook=tr.Webhook(path="orders", workflow_id="echo"), rotate_secret=True)
    second = (await triggers.stub.PutWebhook(request)).secret
    assert second not in ("", first)
    old = triggers.deliver("orders", b"{}", secret=first)
    assert await refusal(old) is grpc.StatusCode.UNAUTHENTICATED
    assert (await triggers.deliver("orders", b"{}", secret=second)).http_status == 200
    listed = await triggers.stub.ListWebhooks(tr.ListWebhooksRequest())
    assert second not in str(listed)
    await triggers.stub.DeleteWebhook(tr.DeleteWebhookRequest(path="orders"))
    assert await refusal(triggers.deliver("orders", b"{}", secret=second)) is grpc.StatusCode.NOT_FOUND


async def test_a_new_key_takes_the_place_of_the_old_one_in_webhooks_too(make_settings: MakeSettings) -> None:
    old, new, secret = new_key(), new_key(), ""
    for keys in ((old,), (new, old), (new,)):
        executor = Executor(make_settings(secrets_keys=keys))
        await executor.start()
        client = Client(executor.address)
        triggers = Triggers(client)
        if not secret:
            await triggers.store(ECHO)
            await triggers.hook("open", "echo", unsigned=True)
            await triggers.hook("orders", "echo")
            secret = triggers.secret
        assert (await triggers.deliver("orders", b"{}", keys[0], secret=secret)).http_status == 200
        await client.channel.close()
        await executor.stop()
