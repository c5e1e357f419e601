"""Secrets from the call that keeps one to the request that carries it, and nowhere else."""

from __future__ import annotations

import base64
import json
from collections.abc import Iterator
from pathlib import Path
from typing import Any
from urllib.parse import quote

import grpc
import pytest
from opentelemetry.sdk.trace.sampling import DEFAULT_ON
from sqlalchemy import text
from starlette.applications import Starlette
from starlette.requests import Request
from starlette.responses import JSONResponse, RedirectResponse, Response
from starlette.routing import Route

from flow_engine import tracing
from flow_engine.errors import SecretUnreadable
from flow_engine.otlp import SdkRecorder
from flow_engine.otlp_bytes import spans_bytes
from flow_engine.v1 import execution_pb2 as pb
from flow_engine.v1 import secret_pb2 as spb
from flow_engine.v1 import worker_pb2 as wpb
from flow_engine.v1.secret_pb2_grpc import SecretResolutionServiceStub, SecretServiceStub
from services.executor.bootstrap import Executor
from services.executor.persistence.tables import metadata
from services.executor.secrets.keyring import new_key
from services.worker.service import Worker
from tests.integration.executor.conftest import Client, MakeSettings
from tests.integration.executor.test_executions import refused
from tests.integration.executor.workflows import approval, chain, node
from tests.integration.nodes.servers import serve_http

VALUE = "canary/+7$ä-k3pt"
MODES = [pb.EXECUTION_MODE_IMMEDIATE, pb.EXECUTION_MODE_QUEUED]


async def echo(request: Request) -> Response:
    """Gives back whatever it was sent, in all the ways there are."""
    said = (await request.body()).decode() + request.headers.get("authorization", "")
    told = {
        "plain": said,
        "base64": [base64.b64encode(f"{'x' * n}{said}".encode()).decode() for n in range(3)],
        "url": quote(said, safe=""),
        said: "as a key",
    }
    return JSONResponse(told, 500 if "fail" in request.url.path else 200, {"X-Echo": quote(said)})


async def elsewhere(request: Request) -> Response:
    return RedirectResponse(request.query_params["to"], 307)


@pytest.fixture(scope="module")
def site() -> Iterator[str]:
    routes = [
        Route("/echo", echo, methods=["GET", "POST"]),
        Route("/fail", echo, methods=["POST"]),
        Route("/elsewhere", elsewhere, methods=["POST"]),
    ]
    with serve_http(Starlette(routes=routes)) as address:
        yield address


@pytest.fixture
def secrets(client: Client) -> Any:
    return SecretServiceStub(client.channel)


@pytest.fixture
def make_settings(make_settings: MakeSettings) -> MakeSettings:
    key = new_key()
    return lambda **changes: make_settings(**{"secrets_keys": (key,), **changes})


@pytest.fixture
def spans() -> Iterator[list[tracing.Told]]:
    found: list[tracing.Told] = []
    tracing.use(SdkRecorder(DEFAULT_ON, found.append))
    yield found
    tracing.use(None)


def login(url: str, **config: Any) -> dict[str, Any]:
    """A call with the secret in a header, in the body, and beside other text."""
    sent = {
        "method": "POST",
        "url": url,
        "auth": {"type": "bearer", "token": "${ secrets.CANARY }"},
        "body": {"password": "${ secrets.CANARY }", "note": "for ${ input.name }: ${secrets.CANARY}!"},
        **config,
    }
    return node("login", "http.request", **sent)


async def put(secrets: Any, *hosts: str, name: str = "CANARY", value: str = VALUE) -> spb.PutSecretResponse:
    request = spb.PutSecretRequest(name=name, value=value, hosts=hosts or ["127.0.0.1"])
    response: spb.PutSecretResponse = await secrets.PutSecret(request)
    return response


async def everything_in(executor: Executor) -> str:
    """Every column of every row, as text."""
    told = []
    for table in metadata.sorted_tables:
        for row in await executor._store.database.read(text(f"SELECT * FROM {table.name}")):
            told += [
                value.decode(errors="replace") if isinstance(value, bytes) else str(value) for value in row
            ]
    return "\n".join(told)


def assert_hidden(told: str) -> None:
    for spelling in (VALUE, json.dumps(VALUE)[1:-1], quote(VALUE, safe=""), quote(VALUE)):
        assert spelling not in told
    for before in range(3):
        encoded = base64.b64encode(b"x" * before + VALUE.encode()).decode()
        assert encoded[4:-4] not in told


@pytest.mark.parametrize("mode", MODES)
@pytest.mark.parametrize("path", ["echo", "fail"])
async def test_a_secret_is_sent_and_seen_nowhere(
    executor: Executor,
    worker: Worker,
    client: Client,
    secrets: Any,
    site: str,
    mode: int,
    path: str,
    spans: list[tracing.Told],
) -> None:
    await put(secrets)
    workflow = chain(login(f"{site}/{path}"), node("keep", "data.set", values={"all": "${ nodes }"}))
    started = await client.start(workflow, {"name": "ada"}, mode=mode)
    execution = await client.ended(started.execution.id)
    (step, *_) = execution.steps
    if path == "echo":
        assert execution.status == pb.EXECUTION_STATUS_COMPLETED
        said = json.loads(step.output_json)["body"]["plain"]
        assert said == '{"password":"***","note":"for ada: ***!"}Bearer ***'
    else:
        assert step.error.code == "HTTP_STATUS"
        assert "***" in json.loads(step.error.details_json)["body"]
    frames = await client.frames(execution.id)
    (start,) = [frame for frame in frames if frame["type"] == "step.started" and frame["nodeId"] == "login"]
    assert start["input"]["auth"]["token"] == "${ secrets.CANARY }"
    assert start["input"]["body"]["note"] == "for ada: ${ secrets.CANARY }!"
    assert_hidden(json.dumps(frames) + json.dumps(frames, ensure_ascii=False) + str(execution))
    assert_hidden(await everything_in(executor))
    assert "node login" in {described.name for *_, ended in spans for described, *_ in ended}
    assert_hidden(str(spans_bytes(spans)))


async def test_a_secret_goes_to_its_hosts_only(client: Client, secrets: Any, site: str) -> None:
    await put(secrets, "api.example", "*.other.example")
    started = await client.start(chain(login(f"{site}/echo")), {"name": "ada"})
    (step,) = (await client.ended(started.execution.id)).steps
    assert step.error.code == "SECRET_NOT_FOR_HOST"
    assert "CANARY" in step.error.message
    assert "127.0.0.1" in step.error.message


async def test_a_redirect_takes_no_secret_along(client: Client, secrets: Any, site: str) -> None:
    """A body with a secret in it stops at the border; a header with one was left out before."""
    await put(secrets)
    away = f"{site}/elsewhere?to={quote(site.replace('127.0.0.1', 'localhost') + '/echo')}"
    started = await client.start(chain(login(away)), {"name": "ada"})
    (step,) = (await client.ended(started.execution.id)).steps
    assert step.error.code == "SECRET_NOT_FOR_HOST"
    without = login(away, body="nothing secret")
    started = await client.start(chain(without), {"name": "ada"})
    (step,) = (await client.ended(started.execution.id)).steps
    assert json.loads(step.output_json)["body"]["plain"] == "nothing secret"


async def test_a_secret_that_is_not_there_fails_the_step(client: Client, site: str) -> None:
    started = await client.start(chain(login(f"{site}/echo")), {"name": "ada"})
    (step,) = (await client.ended(started.execution.id)).steps
    assert step.error.code == "SECRET_NOT_FOUND"


async def test_secrets_are_kept_named_and_deleted(client: Client, secrets: Any) -> None:
    assert (await put(secrets, "B.example", "b.example")).created
    kept = await put(secrets, "b.example", "c.example", value="another value")
    assert not kept.created
    (listed,) = (await secrets.ListSecrets(spb.ListSecretsRequest())).secrets
    assert (listed.name, list(listed.hosts), listed.source) == (
        "CANARY",
        ["b.example", "c.example"],
        "database",
    )
    assert not listed.HasField("updated_time") or listed.updated_time == kept.secret.updated_time
    assert "value" not in {field.name for field in spb.SecretInfo.DESCRIPTOR.fields}
    await secrets.DeleteSecret(spb.DeleteSecretRequest(name="CANARY"))
    told = await refused(secrets.DeleteSecret(spb.DeleteSecretRequest(name="CANARY")))
    assert told[:2] == ("NOT_FOUND", "SECRET_NOT_FOUND")
    wrong = spb.PutSecretRequest(name="no-name", value="abc", hosts=["http://x"])
    told = await refused(secrets.PutSecret(wrong))
    assert told[:2] == ("INVALID_ARGUMENT", "INVALID_REQUEST")


async def test_only_whoever_holds_the_lease_is_given_what_the_definition_names(
    executor: Executor, client: Client, secrets: Any, site: str
) -> None:
    await put(secrets)
    resolution: Any = SecretResolutionServiceStub(client.channel)
    workflow = chain(approval("ok"), login(f"{site}/echo"))
    id_ = (await client.start(workflow, {"name": "ada"}, mode=MODES[0])).execution.id
    worker_id, epoch = "worker:test", 0

    def ask(**changes: Any) -> Any:
        given = {"worker_id": worker_id, "execution_id": id_, "epoch": epoch, "names": ["CANARY"]}
        return resolution.ResolveSecrets(spb.ResolveSecretsRequest(**{**given, **changes}))

    await client.until(id_, "execution.waiting")
    assert (await refused(ask()))[:2] == ("ABORTED", "LEASE_LOST")  # it waits: nobody holds it
    await client.executions.SubmitInput(
        pb.SubmitInputRequest(execution_id=id_, node_id="ok", input_json='{"approved": true}')
    )
    known = (await client.executions.ListNodeTypes(pb.ListNodeTypesRequest())).node_types
    capabilities = [kind.type for kind in known]
    claim = wpb.ClaimNextRequest(worker_id=worker_id, claim_id="c1", free_slots=1, capabilities=capabilities)
    (claimed,) = (await client.workers.ClaimNext(claim)).executions
    epoch = claimed.epoch
    (found,) = (await ask()).secrets
    assert (found.name, found.value, list(found.hosts)) == ("CANARY", VALUE, ["127.0.0.1"])
    assert (await refused(ask(epoch=epoch - 1)))[1] == "LEASE_LOST"
    assert (await refused(ask(worker_id="worker:other")))[1] == "LEASE_LOST"
    assert (await refused(ask(worker_id=executor.owner)))[1] == "INVALID_REQUEST"
    assert (await refused(ask(names=["OTHER"])))[1] == "INVALID_REQUEST"
    assert (await refused(ask(execution_id="0198c0de-0000-7000-8000-000000000001")))[0] == "NOT_FOUND"


async def test_keys_are_changed_by_a_start_with_a_new_one_in_front(make_settings: MakeSettings) -> None:
    old, new = new_key(), new_key()
    for keys in ((old,), (new, old), (new,)):
        executor = Executor(make_settings(secrets_keys=keys))
        await executor.start()
        try:
            if keys == (old,):
                await executor._vault.put("default", "KEPT", VALUE, ["a.example"])
            assert (await executor._vault.get("default", ["KEPT"]))["KEPT"].value == VALUE
        finally:
            await executor.stop()
    executor = Executor(make_settings(secrets_keys=(old,)))
    await executor.start()
    try:
        with pytest.raises(SecretUnreadable):
            await executor._vault.get("default", ["KEPT"])
    finally:
        await executor.stop()


async def test_without_a_key_postgresql_keeps_no_secrets(
    make_settings: MakeSettings, migrated_url: str, tmp_path: Path
) -> None:
    executor = Executor(make_settings(secrets_keys=()))
    await executor.start()
    channel = grpc.aio.insecure_channel(executor.address)
    try:
        stub = SecretServiceStub(channel)
        if migrated_url.startswith("sqlite"):
            assert (await put(stub)).created
            assert (tmp_path / "secrets.key").stat().st_mode & 0o777 == 0o600
        else:
            told = await refused(stub.PutSecret(spb.PutSecretRequest(name="A", value=VALUE, hosts=["*"])))
            assert told[:2] == ("FAILED_PRECONDITION", "SECRETS_KEY_MISSING")
    finally:
        await channel.close()
        await executor.stop()
