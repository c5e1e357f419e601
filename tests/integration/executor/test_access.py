"""Tokens, roles and namespaces at the executor's own door."""

from __future__ import annotations

import asyncio
import json
from collections.abc import AsyncIterator
from datetime import timedelta
from typing import Any

import grpc
import pytest
from grpc_health.v1 import health_pb2

from flow_engine.v1 import access_pb2, workflow_pb2
from flow_engine.v1 import execution_pb2 as pb
from flow_engine.v1.access_pb2_grpc import AccessServiceStub
from flow_engine.v1.execution_pb2_grpc import ExecutionServiceStub
from flow_engine.v1.workflow_pb2_grpc import WorkflowServiceStub
from services.executor.bootstrap import Executor
from tests.integration.executor.conftest import MakeSettings

ROOT = "flow-test-root-token-0123456789abcdef"
NOOP = json.dumps({"id": "noop", "nodes": [{"id": "a", "type": "flow.noop"}], "edges": []})
WAITS = json.dumps(
    {"id": "w", "nodes": [{"id": "ok", "type": "human.approval", "config": {"title": "?"}}], "edges": []}
)


class As:
    """The API as one caller sees it. Empty: without credentials."""

    def __init__(self, address: str, token: str) -> None:
        self.channel = grpc.aio.insecure_channel(address, options=[("grpc.use_local_subchannel_pool", 1)])
        self.metadata = [("authorization", f"Bearer {token}")] if token else []
        self.stubs = (
            AccessServiceStub(self.channel),
            ExecutionServiceStub(self.channel),
            WorkflowServiceStub(self.channel),
        )

    def method(self, name: str) -> Any:
        return next(getattr(stub, name) for stub in self.stubs if hasattr(stub, name))

    async def call(self, name: str, request: Any) -> Any:
        return await self.method(name)(request, metadata=self.metadata, timeout=20)

    async def refused(self, name: str, request: Any) -> str:
        """The code's name, or OK."""
        try:
            await self.call(name, request)
        except grpc.aio.AioRpcError as error:
            return error.code().name
        return "OK"

    async def start(self, definition: str = NOOP) -> str:
        request = pb.StartExecutionRequest(spec=pb.StartSpec(workflow_json=definition))
        return str((await self.call("StartExecution", request)).execution.id)

    async def token(self, role: access_pb2.Role, **more: Any) -> access_pb2.CreateTokenResponse:
        request = access_pb2.CreateTokenRequest(name="test", role=role, **more)
        answer: access_pb2.CreateTokenResponse = await self.call("CreateToken", request)
        return answer


@pytest.fixture
async def guarded(make_settings: MakeSettings) -> AsyncIterator[Executor]:
    running = Executor(make_settings(authentication_required=True, token=ROOT))
    await running.start()
    yield running
    await running.stop()


@pytest.fixture
async def root(guarded: Executor) -> AsyncIterator[As]:
    caller = As(guarded.address, ROOT)
    yield caller
    await caller.channel.close()


async def test_nothing_is_answered_without_credentials_that_hold(guarded: Executor, root: As) -> None:
    made = await root.token(access_pb2.ROLE_VIEWER)
    other = f"flow_{made.token.id}_{'A' * 43}"
    for token in ("", "nonsense", ROOT + "x", ROOT[:-1], other, made.secret[:-1], "a.b.c", "é"):
        caller = As(guarded.address, token if token.isascii() else "")
        assert await caller.refused("ListExecutions", pb.ListExecutionsRequest()) == "UNAUTHENTICATED"
        assert await caller.refused("WhoAmI", access_pb2.WhoAmIRequest()) == "UNAUTHENTICATED"
        check: Any = caller.channel.unary_unary(
            "/grpc.health.v1.Health/Check", health_pb2.HealthCheckRequest.SerializeToString
        )
        assert await check(health_pb2.HealthCheckRequest())
        await caller.channel.close()
    twice = [*root.metadata, *root.metadata]
    with pytest.raises(grpc.aio.AioRpcError) as refused:
        await root.method("ListExecutions")(pb.ListExecutionsRequest(), metadata=twice)
    assert refused.value.code() is grpc.StatusCode.UNAUTHENTICATED


async def test_a_role_may_what_it_may_and_no_more(guarded: Executor, root: As) -> None:
    start = pb.StartExecutionRequest(spec=pb.StartSpec(workflow_json=NOOP))
    store = workflow_pb2.CreateWorkflowRequest(workflow_json=NOOP)
    stored = pb.StartExecutionRequest(spec=pb.StartSpec(workflow_id="noop"))
    look = pb.ListExecutionsRequest()
    tokens = access_pb2.ListTokensRequest()
    tried = [
        ("CreateWorkflow", store), ("StartExecution", start), ("StartExecution", stored),
        ("ListExecutions", look), ("ListTokens", tokens),
    ]  # fmt: skip
    allowed: dict[access_pb2.Role, list[str]] = {}
    for role in (
        access_pb2.ROLE_AUTHOR,
        access_pb2.ROLE_OPERATOR,
        access_pb2.ROLE_VIEWER,
        access_pb2.ROLE_WORKER,
    ):
        caller = As(guarded.address, (await root.token(role)).secret)
        allowed[role] = [await caller.refused(name, request) for name, request in tried]
        await caller.channel.close()
    denied = "PERMISSION_DENIED"
    assert allowed[access_pb2.ROLE_AUTHOR] == ["OK", "OK", "OK", "OK", denied]
    assert allowed[access_pb2.ROLE_OPERATOR] == [denied, denied, "OK", "OK", denied]
    assert allowed[access_pb2.ROLE_VIEWER] == [denied, denied, denied, "OK", denied]
    assert allowed[access_pb2.ROLE_WORKER] == [denied] * 5


async def test_a_stream_ends_when_its_token_is_revoked(guarded: Executor, root: As) -> None:
    made = await root.token(access_pb2.ROLE_VIEWER)
    execution_id = await root.start(WAITS)
    caller = As(guarded.address, made.secret)
    stream = caller.method("WatchExecution")(
        pb.WatchExecutionRequest(execution_id=execution_id), metadata=caller.metadata
    )
    assert await stream.read()
    revoke = access_pb2.RevokeTokenRequest(token_id=made.token.id)
    first = await root.call("RevokeToken", revoke)
    with pytest.raises(grpc.aio.AioRpcError) as ended:
        await read_to_the_end(stream)
    assert ended.value.code() is grpc.StatusCode.UNAUTHENTICATED
    assert await caller.refused("ListExecutions", pb.ListExecutionsRequest()) == "UNAUTHENTICATED"
    assert (await root.call("RevokeToken", revoke)).token == first.token, "the first time stays"
    await caller.channel.close()


async def read_to_the_end(stream: Any) -> None:
    async with asyncio.timeout(20):
        while await stream.read() is not grpc.aio.EOF:
            pass


async def test_an_expired_token_is_refused(guarded: Executor, root: As) -> None:
    tokens = guarded._store.tokens
    _, text = await tokens.create("old", "viewer", timedelta(days=-1), "test", "default")
    caller = As(guarded.address, text)
    assert await caller.refused("ListExecutions", pb.ListExecutionsRequest()) == "UNAUTHENTICATED"
    await caller.channel.close()


async def test_what_is_done_is_told_by_the_audit_log(guarded: Executor, root: As) -> None:
    made = await root.token(access_pb2.ROLE_OPERATOR)
    operator = As(guarded.address, made.secret)
    execution_id = await root.start(WAITS)
    await operator.refused("CancelExecution", pb.CancelExecutionRequest(execution_id=execution_id))
    everything = access_pb2.ListAuditEntriesRequest()
    committed = (await root.call("ListAuditEntries", everything)).entries
    assert [entry.action for entry in committed] == ["CancelExecution", "StartExecution", "CreateToken"], (
        "with the changes, before anything was flushed"
    )
    await operator.refused("CreateToken", access_pb2.CreateTokenRequest(name="x"))
    await operator.refused("CancelExecution", pb.CancelExecutionRequest(execution_id="none"))
    await guarded.audit.flush()
    entries = (await root.call("ListAuditEntries", access_pb2.ListAuditEntriesRequest())).entries
    seen = [(entry.action, entry.target, entry.outcome, entry.subject) for entry in reversed(entries)]
    who = f"token:{made.token.id}:test"
    assert seen == [
        ("CreateToken", made.token.id, "OK", "token:FLOW_TOKEN"),
        ("StartExecution", execution_id, "OK", "token:FLOW_TOKEN"),
        ("CancelExecution", execution_id, "OK", who),
        ("CreateToken", "", "PERMISSION_DENIED", who),
        ("CancelExecution", "none", "EXECUTION_NOT_FOUND", who),
    ]
    assert all(entry.peer for entry in entries)
    page = await root.call("ListAuditEntries", access_pb2.ListAuditEntriesRequest(page_size=2))
    rest = access_pb2.ListAuditEntriesRequest(page_token=page.next_page_token)
    assert [*page.entries, *(await root.call("ListAuditEntries", rest)).entries] == list(entries)
    mine = access_pb2.ListAuditEntriesRequest(subject=who, action="CancelExecution")
    assert len((await root.call("ListAuditEntries", mine)).entries) == 2
    await operator.channel.close()


async def test_bytes_that_are_no_message_are_the_callers_mistake(guarded: Executor, root: As) -> None:
    for method in ("GetExecution", "WatchExecution", "StartExecution"):
        name = f"/flow_engine.v1.ExecutionService/{method}"
        raw: Any = root.channel.unary_unary(name)
        with pytest.raises(grpc.aio.AioRpcError) as refused:
            await raw(b"\xff" * 40, metadata=root.metadata)
        assert refused.value.code() is grpc.StatusCode.INVALID_ARGUMENT, method


async def test_changes_are_told_with_them_once_and_refusals_change_nothing(
    guarded: Executor, root: As
) -> None:
    """Whoever dies between a change and a later entry about it would have left no trace of who made it."""
    starts = [root.start(WAITS) for _ in range(5)]
    started = await asyncio.gather(*starts)
    gone = access_pb2.RevokeTokenRequest(token_id="none")
    assert await root.refused("RevokeToken", gone) == "NOT_FOUND"
    everything = access_pb2.ListAuditEntriesRequest()
    told = (await root.call("ListAuditEntries", everything)).entries
    assert sorted(entry.target for entry in told if entry.outcome == "OK") == sorted(started)
    await guarded.audit.flush()
    told = (await root.call("ListAuditEntries", everything)).entries
    outcomes = sorted((entry.action, entry.outcome) for entry in told)
    assert outcomes == [("RevokeToken", "TOKEN_NOT_FOUND"), *[("StartExecution", "OK")] * 5]
