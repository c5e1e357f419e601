"""Schedules and webhooks through the gateway."""

from __future__ import annotations

import json
import time
from typing import Any

import httpx

from services.executor.triggers.signatures import sign
from tests.infra.stack import Stack

WORKFLOW = {
    "id": "hooked",
    "nodes": [
        {
            "id": "tell",
            "type": "webhook.respond",
            "config": {
                "status": 201,
                "headers": {"Content-Type": "text/html", "X-Order": "${ input.body.id }"},
                "body": "<b>${ input.query.q }</b>",
            },
        }
    ],
}
SECRET = "whsec_MfKQ9r8GKYqrTwjUPD8ILPZIo2LaLaSw"


def deliver(stack: Stack, body: bytes, delivery_id: str, **headers: str) -> httpx.Response:
    at = str(int(time.time()))
    signed = {
        "webhook-id": delivery_id,
        "webhook-timestamp": at,
        "webhook-signature": sign(SECRET, delivery_id, at, body),
        "content-type": "application/json",
        **headers,
    }
    address = f"{stack.base_url}/hooks/hook?q=1&anything=2"
    return httpx.post(address, content=body, headers=signed, timeout=30)


def test_a_webhook_is_called_and_a_schedule_runs(shared_stack: Stack) -> None:
    stack = shared_stack
    stack.call("POST", "/api/workflows", WORKFLOW)
    hook = stack.call("PUT", "/api/triggers/webhooks/hook", {"workflowId": "hooked", "secret": SECRET})
    assert hook.status_code == 201, hook.text
    assert "secret" not in hook.json()

    answer = deliver(stack, b'{ "id": "o7" }', "d1", authorization="Bearer x", cookie="a=b")
    assert (answer.status_code, answer.text, answer.headers["x-order"]) == (201, "<b>1</b>", "o7")
    assert answer.headers["content-security-policy"] == "default-src 'none'; sandbox"
    assert answer.headers["x-content-type-options"] == "nosniff"
    execution = stack.execution(answer.headers["x-flow-execution-id"])
    assert not {"authorization", "cookie", "webhook-signature"} & set(execution["input"]["headers"])
    again = deliver(stack, b'{ "id": "o7" }', "d1", authorization="Bearer x", cookie="a=b")
    assert again.headers["x-flow-execution-id"] == answer.headers["x-flow-execution-id"]
    forged = deliver(stack, b"{}", "d2", **{"webhook-signature": "v1,AAAA"})
    assert (forged.status_code, forged.json()["reason"]) == (401, "SIGNATURE_INVALID")
    assert stack.call("POST", "/hooks/nowhere", {}).status_code == 404

    schedule: dict[str, Any] = {"workflowId": "hooked", "cron": "0 6 * * *", "timeZone": "Asia/Tokyo"}
    schedule["input"] = {"body": {"id": "s"}, "query": {"q": "2"}}
    kept = stack.call("PUT", "/api/triggers/schedules/daily", schedule)
    assert (kept.status_code, kept.json()["nextAt"][11:]) == (201, "21:00:00Z")
    run = stack.call("POST", "/api/triggers/schedules/daily/run")
    assert run.json()["status"] == "started", run.text
    ended = stack.until(run.json()["executionId"], "completed")
    assert ended["steps"][0]["output"]["body"] == "<b>2</b>"
    wrong = stack.call("PUT", "/api/triggers/schedules/daily", {**schedule, "cron": "never", "timeZone": "X"})
    assert [problem["path"] for problem in wrong.json()["problems"]] == ["/timeZone", "/cron"]
    listed = stack.call("GET", "/api/triggers/schedules/daily/slots").json()
    assert json.dumps(listed).count(run.json()["executionId"]) == 1
