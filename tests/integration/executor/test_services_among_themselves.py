"""TLS, client certificates, and workers that get at what they have claimed and nothing else."""

from __future__ import annotations

import json
from collections.abc import AsyncIterator
from dataclasses import replace
from datetime import timedelta
from typing import Any

import grpc
import pytest

from flow_engine.dialing import Dial
from flow_engine.v1 import access_pb2
from flow_engine.v1 import execution_pb2 as pb
from flow_engine.v1 import worker_pb2 as wk
from flow_engine.v1.access_pb2_grpc import AccessServiceStub
from flow_engine.v1.execution_pb2_grpc import ExecutionServiceStub
from flow_engine.v1.worker_pb2_grpc import WorkerServiceStub
from services.executor.access.issuing import issue, new_authority
from services.executor.bootstrap import Executor
from services.executor.settings import ServerTls
from services.worker.service import Worker
from services.worker.settings import Settings as WorkerSettings
from tests.integration.executor.conftest import MakeSettings

DAY = timedelta(days=1)
ROOT = "flow-test-root-token-0123456789abcdef"
NOOP = json.dumps({"id": "noop", "nodes": [{"id": "a", "type": "flow.noop"}], "edges": []})
BIG = json.dumps(
    {
        "id": "big",
        "nodes": [{"id": "a", "type": "data.set", "config": {"values": {"x": "x" * 6000}}}],
        "edges": [],
    }
)
AUTHORITY = new_authority(DAY)
SERVER = issue(AUTHORITY, "executor", DAY, hosts=["127.0.0.1"])


def client(identity: str = "", authority: Any = AUTHORITY) -> Dial:
    certificate = issue(authority, "client", DAY, identity=identity)
    return Dial(
        tls=True, authority=AUTHORITY.certificate, certificate=certificate.certificate, key=certificate.key
    )


class Calls:
    """The services as one credential sees them."""

    def __init__(self, executor: Executor, dial: Dial) -> None:
        dial = replace(dial, address=executor.address)
        self.channel = dial.aio_channel([("grpc.use_local_subchannel_pool", 1)])
        self._metadata = dial.metadata
        self._stubs = (
            ExecutionServiceStub(self.channel),
            WorkerServiceStub(self.channel),
            AccessServiceStub(self.channel),
        )

    async def __call__(self, name: str, request: Any) -> Any:
        method: Any = next(getattr(stub, name) for stub in self._stubs if hasattr(stub, name))
        return await method(request, metadata=self._metadata, timeout=10)

    async def code(self, name: str, request: Any) -> str:
        try:
            await self(name, request)
        except grpc.aio.AioRpcError as error:
            return error.code().name
        return "OK"

    async def queue(self, definition: str = NOOP) -> str:
        spec = pb.StartSpec(workflow_json=definition, mode=pb.EXECUTION_MODE_QUEUED)
        return str((await self("StartExecution", pb.StartExecutionRequest(spec=spec))).execution.id)

    async def claim(self, worker_id: str, claim_id: str) -> list[wk.ClaimedExecution]:
        request = wk.ClaimNextRequest(worker_id=worker_id, claim_id=claim_id, free_slots=9)
        return list((await self("ClaimNext", request)).executions)


@pytest.fixture
async def mutual(make_settings: MakeSettings) -> AsyncIterator[Executor]:
    tls = ServerTls(SERVER.certificate, SERVER.key, AUTHORITY.certificate)
    running = Executor(make_settings(authentication_required=True, token=ROOT, tls=tls))
    await running.start()
    yield running
    await running.stop()


async def test_a_client_certificate_says_who_calls(mutual: Executor) -> None:
    who = access_pb2.WhoAmIRequest()
    me = await Calls(mutual, client("flow://team-a/operator/ci"))("WhoAmI", who)
    assert (me.subject, me.namespace, me.role) == ("cert:ci", "team-a", access_pb2.ROLE_OPERATOR)
    listing = pb.ListExecutionsRequest()
    for identity in ("", "flow://team-a/king/x", "flow://Team A/admin/x", "flow://team-a/admin/"):
        assert await Calls(mutual, client(identity)).code("ListExecutions", listing) == "UNAUTHENTICATED"
    worker = Calls(mutual, client("flow://default/worker/w1"))
    assert await worker.code("ListExecutions", listing) == "PERMISSION_DENIED"
    gateway = Calls(mutual, replace(client(), token=ROOT))
    assert (await gateway("WhoAmI", who)).subject == "token:FLOW_TOKEN", "a token goes before"


async def test_without_a_certificate_of_the_authority_nobody_connects(mutual: Executor) -> None:
    listing = pb.ListExecutionsRequest()
    stranger = client("flow://default/admin/x", authority=new_authority(DAY))
    bare = Dial(tls=True, authority=AUTHORITY.certificate, token=ROOT)
    for dial in (stranger, bare, Dial(token=ROOT)):
        assert await Calls(mutual, dial).code("ListExecutions", listing) == "UNAVAILABLE"


async def test_a_worker_with_a_certificate_works(mutual: Executor, redis_url: str) -> None:
    settings = WorkerSettings(
        executor_address=mutual.address, redis_url=redis_url, dial=client("flow://default/worker/w1")
    )
    worker = Worker(settings)
    await worker.start()
    try:
        caller = Calls(mutual, replace(client(), token=ROOT))
        execution_id = await caller.queue(BIG)
        watch: Any = ExecutionServiceStub(caller.channel).WatchExecution
        async for _ in watch(
            pb.WatchExecutionRequest(execution_id=execution_id),
            metadata=[("authorization", f"Bearer {ROOT}")],
            timeout=30,
        ):
            pass
        found = await caller("GetExecution", pb.GetExecutionRequest(execution_id=execution_id))
        assert found.execution.status == pb.EXECUTION_STATUS_COMPLETED
    finally:
        await worker.stop()


@pytest.fixture
async def guarded(make_settings: MakeSettings) -> AsyncIterator[Executor]:
    running = Executor(make_settings(authentication_required=True, token=ROOT))
    await running.start()
    yield running
    await running.stop()


async def test_a_worker_gets_at_what_it_has_claimed_and_at_nothing_else(guarded: Executor) -> None:
    root = Calls(guarded, Dial(token=ROOT))

    async def worker(namespace: str) -> Calls:
        request = access_pb2.CreateTokenRequest(name="w", role=access_pb2.ROLE_WORKER, namespace=namespace)
        return Calls(guarded, Dial(token=(await root("CreateToken", request)).secret))

    mine, thief, foreign = await worker("default"), await worker("default"), await worker("team-b")
    execution_id = await root.queue()
    assert await foreign.claim("worker:f", "c0") == [], "another namespace's"
    (claimed,) = await mine.claim("worker:a", "c1")
    assert claimed.execution_id == execution_id
    (again,) = await mine.claim("worker:a", "c1")
    assert (again.execution_id, again.epoch) == (execution_id, claimed.epoch), "a claim is repeatable"

    def definition(worker_id: str, execution: str = execution_id) -> wk.GetDefinitionRequest:
        return wk.GetDefinitionRequest(
            definition_hash=claimed.definition_hash, execution_id=execution, worker_id=worker_id
        )

    lease = wk.Lease(execution_id=execution_id, epoch=claimed.epoch)
    renew = wk.RenewLeasesRequest(worker_id="worker:a", leases=[lease])
    release = wk.ReleaseRequest(worker_id="worker:a", leases=[lease])
    report = wk.ReportRequest(
        worker_id="worker:a",
        reports=[
            wk.ExecutionReport(
                execution_id=execution_id,
                epoch=claimed.epoch,
                report_no=1,
                seen_sequence=claimed.last_sequence,
                give_up=wk.GiveUp(status="pending"),
            )
        ],
    )
    payload = wk.GetPayloadRequest(hash="0" * 64, execution_id=execution_id, worker_id="worker:a")
    for other, code in ((thief, "ABORTED"), (foreign, "NOT_FOUND")):
        assert await other.claim("worker:a", "c1") == [], "the same words, another credential"
        assert await other.code("GetDefinition", definition("worker:a")) == code
        assert await other.code("GetPayload", payload) == code
        assert list((await other("RenewLeases", renew)).lost_execution_ids) == [execution_id]
        await other("Release", release)
        assert (await other("Report", report)).replies[0].outcome == "LEASE_LOST"
    assert await mine.code("GetDefinition", definition("worker:a", "unknown")) == "NOT_FOUND"
    assert await mine.code("GetPayload", payload) == "NOT_FOUND"
    assert (await mine("GetDefinition", definition("worker:a"))).definition_json
    assert list((await mine("RenewLeases", renew)).lost_execution_ids) == []
    assert (await mine("Report", report)).replies[0].outcome == "OK"
    assert await mine.code("GetDefinition", definition("worker:a")) == "ABORTED", "it gave it up"
    for name in ("worker:a@b", "a", "worker:", "worker:" + "x" * 101):
        request = wk.ClaimNextRequest(worker_id=name, claim_id="c", free_slots=1)
        assert await mine.code("ClaimNext", request) == "INVALID_ARGUMENT"
