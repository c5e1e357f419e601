"""An installation that asks for credentials, with two tenants that have everything a tenant can have."""

from __future__ import annotations

import asyncio
import itertools
from collections.abc import Iterator
from dataclasses import dataclass, field
from typing import Any

import grpc
import httpx
import pytest
from google.protobuf.descriptor import MethodDescriptor
from google.protobuf.descriptor_pool import Default
from google.protobuf.message import Message
from google.protobuf.message_factory import GetMessageClass
from grpc_health.v1.health_pb2 import DESCRIPTOR as HEALTH
from grpc_reflection.v1alpha.reflection_pb2 import DESCRIPTOR as REFLECTION

from services.executor.server import NAMES
from tests.infra.stack import Stack
from tests.infra.valkey import PrivateValkey

ROOT = "flow-test-root-token-0123456789abcdef"
ROLES = ("viewer", "operator", "author", "worker", "admin")
BIG = "x" * 6000

WAITS: dict[str, Any] = {
    "id": "asks",
    "nodes": [{"id": "ok", "type": "human.approval", "config": {"title": "?"}}],
    "edges": [],
}
BIG_VALUE: dict[str, Any] = {
    "id": "big",
    "nodes": [{"id": "a", "type": "data.set", "config": {"values": {"x": BIG}}}],
    "edges": [],
}
FAILS: dict[str, Any] = {
    "id": "fails",
    "nodes": [{"id": "a", "type": "flow.fail", "config": {"code": "X", "message": "x"}}],
    "edges": [],
}


def methods() -> dict[str, MethodDescriptor]:
    """All RPCs that the server answers, by full name."""
    pool = Default()
    services: list[Any] = [pool.FindServiceByName(name) for name in NAMES]
    services += [*HEALTH.services_by_name.values(), *REFLECTION.services_by_name.values()]
    return {f"{one.full_name}/{method.name}": method for one in services for method in one.methods}


@dataclass
class Answer:
    """code: of gRPC. messages: up to the first few of a stream."""

    code: str
    reason: str = ""
    messages: list[Message] = field(default_factory=list)


class Door:
    """gRPC as one credential sees it; any method of any shape."""

    def __init__(self, address: str, token: str) -> None:
        self.channel = grpc.insecure_channel(address, options=[("grpc.use_local_subchannel_pool", 1)])
        self._metadata = [("authorization", f"Bearer {token}")] if token else []

    def raw(self, name: str, data: bytes, seconds: float = 3.0) -> Answer:
        """The first message, or the code that it is refused with."""
        method: Any = self.channel.stream_stream(f"/{name}")
        call = method(iter([data]), metadata=self._metadata, timeout=seconds)
        found: list[Message] = []
        try:
            output = GetMessageClass(methods()[name].output_type)
            for message in itertools.islice(call, 1):
                found.append(output.FromString(message))
            call.cancel()
            return Answer("OK", "", found)
        except grpc.RpcError as error:
            code = error.code().name
            return Answer(code, str(error.details()))

    def ask(self, name: str, request: Message, seconds: float = 3.0) -> Answer:
        return self.raw(name, request.SerializeToString(), seconds)


@dataclass
class Tenant:
    """A namespace: tokens by role, and the ids of what it has."""

    namespace: str
    tokens: dict[str, str] = field(default_factory=dict)
    ids: dict[str, str] = field(default_factory=dict)


class Installation:
    def __init__(self, stack: Stack) -> None:
        self.stack = stack
        self.root = self.client(ROOT)
        self.tenants = {name: self.tenant(name) for name in ("team-a", "team-b")}

    def client(self, token: str) -> httpx.Client:
        headers = {"Authorization": f"Bearer {token}"} if token else {}
        return httpx.Client(base_url=self.stack.base_url, headers=headers, timeout=20)

    def door(self, token: str) -> Door:
        return Door(self.stack.grpc_address, token)

    def tenant(self, namespace: str) -> Tenant:
        from flow_engine.v1 import access_pb2 as acc

        tenant = Tenant(namespace)
        door = self.door(ROOT)
        for role in ROLES:
            request = acc.CreateTokenRequest(name=role, role=f"ROLE_{role.upper()}", namespace=namespace)
            made: Any = door.ask("flow_engine.v1.AccessService/CreateToken", request).messages[0]
            tenant.tokens[role] = made.secret
            tenant.ids["token_id"] = made.token.id
        return tenant

    def furnish(self, tenant: Tenant) -> None:
        """One of everything that has an id."""
        client = self.client(tenant.tokens["admin"])

        def run(workflow: dict[str, Any]) -> dict[str, Any]:
            answer = client.post("/api/workflow/run", json={"workflow": workflow, "mode": "immediate"})
            assert answer.status_code in (200, 202), answer.text
            found: dict[str, Any] = answer.json()
            return found

        tenant.ids["execution_id"] = run(WAITS)["executionId"]
        big = client.get(f"/api/workflow/execution/{run(BIG_VALUE)['executionId']}").json()
        tenant.ids["big_id"] = big["executionId"]
        tenant.ids["hash"] = big["steps"][0]["outputRef"]["hash"]
        tenant.ids["definition_hash"] = big["definitionHash"]
        tenant.ids["failed_id"] = run(FAILS)["executionId"]
        stored = client.post("/api/workflows", json={**WAITS, "id": "only-mine"})
        assert stored.status_code == 201, stored.text
        tenant.ids["workflow_id"] = "only-mine"
        secret = client.put("/api/secrets/MINE", json={"value": "s3cr3t", "hosts": ["h.example"]})
        assert secret.status_code in (200, 201), secret.text
        tenant.ids["name"] = "MINE"
        for kind, name in (("schedules", "schedule_id"), ("webhooks", "path")):
            body = {"workflowId": "only-mine"} | (
                {"cron": "0 0 1 1 *"} if kind == "schedules" else {"unsigned": True}
            )
            kept = client.put(f"/api/triggers/{kind}/mine-too", json=body)
            assert kept.status_code == 201, kept.text
            tenant.ids[name] = "mine-too"


@pytest.fixture(scope="session")
def installation(tmp_path_factory: pytest.TempPathFactory, _valkey: PrivateValkey) -> Iterator[Installation]:
    """Executor and gateway as processes; no worker: what is queued stays so."""
    folder = tmp_path_factory.mktemp("installation")
    asyncio.run(_valkey.start())
    stack = Stack(
        folder, f"sqlite:///{folder / 'flow.db'}", _valkey.url, FLOW_AUTH="required", FLOW_TOKEN=ROOT
    )
    try:
        stack.executor.start()
        stack.gateway.start()
        yield Installation(stack)
    finally:
        stack.stop()
