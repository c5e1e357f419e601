"""What is another namespace's does not exist: asked about it, every call answers as about nothing.

Each RPC is called by one tenant twice, with the ids of the other's things and with ids of nothing, and both
answers must be the same. Requests are filled by the names of their fields, so a new RPC is in the matrix by
itself; a field that nobody has classified fails the test.
"""

from __future__ import annotations

import json
import re
import uuid
from typing import Any

import httpx
import pytest
from google.protobuf.descriptor import FieldDescriptor
from google.protobuf.message import Message
from google.protobuf.message_factory import GetMessageClass

from flow_engine.v1 import execution_pb2 as pb
from services.gateway import routes
from tests.security.conftest import Answer, Installation, Tenant, methods
from tests.security.test_every_route import handshake

OWN = {
    "flow_engine.v1.ExecutionService/SubmitCallback": "its token is the right, whoever brings it",
    "flow_engine.v1.WorkflowService/CreateWorkflow": "makes something of one's own, under any name",
    "flow_engine.v1.SecretService/PutSecret": "the same",
    "flow_engine.v1.AccessService/CreateToken": "the same",
    "flow_engine.v1.TriggerService/PutSchedule": "the same",
    "flow_engine.v1.TriggerService/PutWebhook": "the same; that a path is taken is told",
    "flow_engine.v1.TriggerService/DeliverWebhook": "its signature is the right, whoever brings it",
    "flow_engine.v1.TriggerService/PreviewSchedule": "is about nothing that is kept",
}
"""What is not asked with another's ids, and why."""

IDS = {
    "execution_id", "workflow_id", "token_id", "hash", "definition_hash", "name", "target", "names",
    "parent_id", "schedule_id", "path",
}  # fmt: skip
TEXTS: dict[str, str] = {
    "node_id": "ok", "from_node": "", "input_json": '{"approved": true}', "payload_json": "{}",
    "workflow_json": "", "reason": "", "page_token": "", "request_id": "", "after_cursor": "",
    "token": "", "output_json": "{}", "details_json": "", "code": "X", "message": "x", "queue": "q",
    "worker_id": "worker:x", "claim_id": "c", "hostname": "h", "version": "1", "namespace": "",
    "subject": "", "action": "", "service": "", "host": "", "list_services": "", "metricName": "flow",
    "file_by_filename": "", "file_containing_symbol": "", "status": "pending", "wake_timer": "",
    "value": "v", "error_code": "", "search": "", "error_type": "", "text": "", "metric_name": "",
    "error_text": "", "key": "",
    "containing_type": "",
    "all_extension_numbers_of_type": "",
}  # fmt: skip
"""Fields that name nothing of anybody's."""
NUMBERS = {"action": 3, "free_slots": 1, "epoch": 1, "report_no": 1, "page_size": 5}
NOTHING = {
    "execution_id": str(uuid.uuid4()), "workflow_id": "nobodys", "token_id": "0" * 16, "hash": "0" * 64,
    "definition_hash": "1" * 64, "name": "NOBODYS", "big_id": str(uuid.uuid4()),
    "failed_id": str(uuid.uuid4()), "schedule_id": "nobodys", "path": "nobodys",
}  # fmt: skip


@pytest.fixture(scope="module")
def tenants(installation: Installation) -> tuple[Tenant, Tenant]:
    """(the one who has things, the one who asks about them)"""
    mine, other = installation.tenants["team-a"], installation.tenants["team-b"]
    if "execution_id" not in mine.ids:
        installation.furnish(mine)
    return mine, other


def test_no_rpc_tells_or_changes_what_is_anothers(
    installation: Installation, tenants: tuple[Tenant, Tenant]
) -> None:
    mine, other = tenants
    before = standing(installation, mine)
    doors = [installation.door(other.tokens[role]) for role in ("admin", "worker")]
    compared = 0
    for name in sorted(set(methods()) - set(OWN)):
        for door in doors:
            for execution in ("execution_id", "big_id", "failed_id"):
                theirs = filled_message(name, {**mine.ids, "execution_id": mine.ids[execution]})
                nothing = filled_message(name, {**NOTHING, "execution_id": NOTHING[execution]})
                if theirs == nothing and execution != "execution_id":
                    continue
                told, expected = door.ask(name, theirs), door.ask(name, nothing)
                assert shown(told, mine) == shown(expected, mine), name
                compared += 1
    assert compared > 150
    assert standing(installation, mine) == before


def test_the_owner_gets_what_others_do_not(
    installation: Installation, tenants: tuple[Tenant, Tenant]
) -> None:
    """The ids are real: else the matrix would show nothing."""
    mine, _ = tenants
    door = installation.door(mine.tokens["admin"])
    for name in ("GetExecution", "ListSteps", "ListEvents", "WatchExecution"):
        method = f"flow_engine.v1.ExecutionService/{name}"
        assert door.ask(method, filled_message(method, mine.ids)).code == "OK", name
    value = "flow_engine.v1.ExecutionService/GetValue"
    request = pb.GetValueRequest(execution_id=mine.ids["big_id"], hash=mine.ids["hash"])
    assert door.ask(value, request).code == "OK"


def test_no_route_tells_or_changes_what_is_anothers(
    installation: Installation, tenants: tuple[Tenant, Tenant]
) -> None:
    mine, other = tenants
    before = standing(installation, mine)
    client = installation.client(other.tokens["admin"])
    for route in routes.API:
        if (
            "{" not in route.path
            or route.path.endswith("{token}")
            or "/tasks/" in route.path
            or "/workers/" in route.path
        ):
            continue
        if route.method == "PUT" and route.path.startswith(("/api/secrets/", "/api/triggers/")):
            continue  # makes one of one's own
        if route.path == "/hooks/{hookPath}":
            continue  # its signature is the right
        answers = [
            client.request(route.method, path_of(route.path, ids), json=BODIES.get(str(name_of(route.body))))
            for ids in (mine.ids, NOTHING)
        ]
        assert plain(answers[0], mine) == plain(answers[1], mine), route.path
        assert answers[0].status_code == 404, (route.method, route.path, answers[0].text)
    for path in ("/api/workflow/executions", "/api/workflow/executions/export", "/api/workflows",
                 "/api/secrets", "/api/tokens", "/api/stats", "/api/triggers/schedules",
                 "/api/triggers/webhooks"):  # fmt: skip
        text = client.get(path).text
        assert not [value for name, value in mine.ids.items() if value in text], path
    subjects = {entry["subject"] for entry in client.get("/api/audit?limit=1000").json()["entries"]}
    assert all(subject.split(":")[1] in client.get("/api/tokens").text for subject in subjects)
    assert client.get("/api/workflow/executions/count").json()["count"] == 0
    for verb in ("pause", "cancel", "retry", "resume"):
        body = {"filter": {"workflowId": "asks"}}
        assert client.post(f"/api/workflow/executions/{verb}", json=body).json()["executions"] == []
    token = f"Authorization: Bearer {other.tokens['admin']}\r\n"
    for ids in (mine.ids, NOTHING):
        path = f"/api/workflow/execution/{ids['execution_id']}/ws"
        assert handshake(installation, path, token) == 404
    assert standing(installation, mine) == before


def test_the_same_names_are_different_things(
    installation: Installation, tenants: tuple[Tenant, Tenant]
) -> None:
    mine, other = tenants
    before = standing(installation, mine)
    client = installation.client(other.tokens["admin"])
    key = {"Idempotency-Key": "the-same"}
    run = {"workflow": {"nodes": [{"id": "a", "type": "flow.noop"}]}, "mode": "immediate"}
    first = installation.client(mine.tokens["admin"]).post("/api/workflow/run", json=run, headers=key).json()
    second = client.post("/api/workflow/run", json=run, headers=key).json()
    assert first["executionId"] != second["executionId"]
    ours = {"id": "only-mine", "nodes": [{"id": "z", "type": "flow.noop"}], "edges": []}
    assert client.post("/api/workflows", json=ours).status_code == 201
    assert client.put("/api/secrets/MINE", json={"value": "other", "hosts": ["o.example"]}).is_success
    assert client.delete("/api/workflows/only-mine").status_code == 204
    assert client.delete("/api/secrets/MINE").is_success
    assert standing(installation, mine) == before


def test_a_stream_of_everything_shows_ones_own(
    installation: Installation, tenants: tuple[Tenant, Tenant]
) -> None:
    mine, other = tenants
    noop = {"workflow": {"nodes": [{"id": "a", "type": "flow.noop"}]}, "mode": "immediate"}
    with installation.client(other.tokens["viewer"]).stream("GET", "/api/workflow/stream") as stream:
        lines = stream.iter_lines()
        opened = next(line for line in lines if line.startswith("data:"))
        theirs = installation.client(mine.tokens["admin"]).post("/api/workflow/run", json=noop).json()
        ours = installation.client(other.tokens["admin"]).post("/api/workflow/run", json=noop).json()
        seen = next(line for line in lines if line.startswith("data:"))
    assert theirs["executionId"] not in opened + seen
    assert ours["executionId"] in seen


def test_only_the_installations_operator_makes_tokens_of_another_namespace(
    installation: Installation, tenants: tuple[Tenant, Tenant]
) -> None:
    from flow_engine.v1 import access_pb2 as acc

    request = acc.CreateTokenRequest(name="x", role=acc.ROLE_ADMIN, namespace="team-a")
    door = installation.door(tenants[1].tokens["admin"])
    assert door.ask("flow_engine.v1.AccessService/CreateToken", request).code == "PERMISSION_DENIED"


BODIES: dict[str, Any] = {
    "json": {"approved": True},
    "definition": {"nodes": [{"id": "a", "type": "flow.noop"}], "edges": []},
    "LabelRequest": {"labels": {"a": "b"}},
    "RequeueRequest": {},
    "PauseRequest": {}, "ResumeRequest": {}, "CancelRequest": {}, "RetryRequest": {}, "None": None,
}  # fmt: skip


def name_of(body: Any) -> str | None:
    name = body if isinstance(body, str) or body is None else body.__name__
    assert str(name) in BODIES, f"say what a {name} is"
    return name


def path_of(path: str, ids: dict[str, str]) -> str:
    values = {
        "executionId": ids["execution_id"], "workflowId": ids["workflow_id"], "tokenId": ids["token_id"],
        "hash": ids["hash"], "name": ids["name"], "nodeId": "ok",
        "scheduleId": ids["schedule_id"], "hookPath": ids["path"],
    }  # fmt: skip
    return re.sub(r"{(\w+)}", lambda found: values[found[1]], path)


def plain(answer: httpx.Response, mine: Tenant) -> str:
    return neutral(re.sub(r'"requestId":"[^"]*"', "", answer.text), mine)


def filled_message(name: str, ids: dict[str, str]) -> Message:
    message = GetMessageClass(methods()[name].input_type)()
    fill(message, ids, depth=0)
    return message


def fill(message: Message, ids: dict[str, str], depth: int) -> None:
    for field in message.DESCRIPTOR.fields:
        if field.message_type is not None:
            fill_message(message, field, ids, depth)
        elif field.type == FieldDescriptor.TYPE_STRING:
            fill_text(message, field, ids)
        elif field.name in NUMBERS and not field.is_repeated:
            setattr(message, field.name, NUMBERS[field.name])


def fill_message(message: Message, field: Any, ids: dict[str, str], depth: int) -> None:
    known = (
        field.message_type.full_name.startswith("google.protobuf")
        or field.message_type.GetOptions().map_entry
    )
    if known or depth > 2 or field.name in ("labels", "give_up"):
        return
    held = getattr(message, field.name)
    fill(held.add() if field.is_repeated else held, ids, depth + 1)
    if not field.is_repeated:
        held.SetInParent()


def fill_text(message: Message, field: Any, ids: dict[str, str]) -> None:
    name = {"names": "name", "target": "execution_id", "parent_id": "execution_id"}.get(
        field.name, field.name
    )
    if field.name in IDS:
        text = ids[name]
    else:
        assert field.is_repeated or field.name in TEXTS, f"{field.full_name}: does it name somebody's thing?"
        text = TEXTS.get(field.name, "")
    if field.containing_oneof is not None and not text:
        return
    if field.is_repeated:
        if field.name in IDS:
            getattr(message, field.name).append(text)
    else:
        setattr(message, field.name, text)


def shown(answer: Answer, mine: Tenant) -> str:
    """The answer without ids that were asked for and without times."""
    texts = [answer.code, answer.reason]
    for message in answer.messages:
        texts.append(re.sub(r"(?s)\w*time {.*?}|[\d.]+ ms", "", str(message)))
    return neutral("\n".join(texts), mine)


def neutral(text: str, mine: Tenant) -> str:
    for values in (mine.ids, NOTHING):
        for value in sorted(values.values(), key=len, reverse=True):
            text = text.replace(value, "ID")
    return text


def standing(installation: Installation, mine: Tenant) -> str:
    """All that the first tenant has, as it sees it."""
    client = installation.client(mine.tokens["admin"])
    executions = [
        client.get(f"/api/workflow/execution/{mine.ids[name]}").json()
        for name in ("execution_id", "big_id", "failed_id")
    ]
    rest = [client.get(path).json() for path in ("/api/workflows", "/api/secrets", "/api/tokens")]
    return json.dumps([executions, rest], sort_keys=True)
