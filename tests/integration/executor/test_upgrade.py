"""What an earlier version left behind is upgraded, readable as it was, and gone on with."""

from __future__ import annotations

import base64
import json
from collections.abc import AsyncIterator
from datetime import UTC, datetime
from pathlib import Path
from typing import Any

import pytest
import sqlalchemy
from alembic import command
from alembic.config import Config

from flow_engine.v1 import execution_pb2 as pb
from flow_engine.v1 import workflow_pb2
from services.executor.bootstrap import Executor
from services.executor.persistence.database import engine_url
from services.executor.persistence.migrating import MIGRATIONS
from services.worker.service import Worker
from services.worker.settings import Settings as WorkerSettings
from tests.infra.egress import LOOPBACK_RULES
from tests.integration.executor.conftest import Client, MakeSettings

RECORDED = sorted((Path(__file__).parents[2] / "data" / "recorded").glob("schema-*.json"))
Left = dict[str, Any]


@pytest.fixture
def migrated_url(database_url: str) -> str:
    """Not by this version, but to the schema of what was left."""
    return database_url


@pytest.fixture(params=RECORDED, ids=lambda path: path.stem)
def left(request: pytest.FixtureRequest, database_url: str) -> Left:
    """What was recorded, in a database of that schema."""
    recorded: Left = json.loads(request.param.read_text())
    engine = sqlalchemy.create_engine(engine_url(database_url), poolclass=sqlalchemy.NullPool)
    with engine.begin() as connection:
        config = Config()
        config.set_main_option("script_location", str(MIGRATIONS))
        config.attributes["connection"] = connection
        command.upgrade(config, recorded["revision"])
    with engine.begin() as connection:
        metadata = sqlalchemy.MetaData()
        metadata.reflect(connection)
        for table in metadata.sorted_tables:
            if stored := recorded["tables"].get(table.name):
                connection.execute(table.insert(), rows_of(table, stored, connection.dialect.name))
        executions = metadata.tables["workflow_executions"]
        long_past = datetime(2026, 1, 1, tzinfo=None if connection.dialect.name == "sqlite" else UTC)
        connection.execute(
            executions.update().where(executions.c.wake_at.is_not(None)).values(wake_at=long_past)
        )
    engine.dispose()
    return recorded


def rows_of(table: sqlalchemy.Table, stored: Any, dialect: str) -> list[dict[str, Any]]:
    return [
        {
            name: as_column(table.c[name], value, dialect)
            for name, value in zip(stored["columns"], row, strict=True)
        }
        for row in stored["rows"]
    ]


def as_column(column: sqlalchemy.Column[Any], value: Any, dialect: str) -> Any:
    """SQLite keeps instants as text, truth as numbers."""
    if isinstance(value, dict):
        return base64.b64decode(value["base64"])
    if value is not None and isinstance(column.type, sqlalchemy.DateTime):
        instant = datetime.fromisoformat(value)
        return instant if dialect == "sqlite" else instant.replace(tzinfo=UTC)
    if value is not None and isinstance(column.type, sqlalchemy.Boolean):
        return bool(value)
    return value


@pytest.fixture
async def client(left: Left, make_settings: MakeSettings, redis_url: str) -> AsyncIterator[Client]:
    """Of an executor with a worker, both of today, on what was left."""
    executor = Executor(make_settings())
    await executor.start()
    worker = Worker(
        WorkerSettings(executor_address=executor.address, redis_url=redis_url, egress=LOOPBACK_RULES)
    )
    await worker.start()
    connected = Client(executor.address)
    yield connected
    await connected.channel.close()
    await worker.stop()
    await executor.stop()


async def test_everything_is_as_it_was_and_goes_on(left: Left, client: Client) -> None:
    ids, shown, events = left["executions"], left["shown"], left["events"]

    for name in ("completed", "completed queued", "failed"):
        now = await client.get(ids[name])
        assert pb.ExecutionStatus.Name(now.status).endswith(shown[name]["status"].upper())
        assert (json.loads(now.output_json) if now.HasField("output_json") else None) == shown[name]["output"]
        assert [(step.node_id, list(step.iteration)) for step in now.steps] == [
            (step["nodeId"], step.get("iteration", [])) for step in shown[name]["steps"]
        ]
        assert await client.frames(ids[name]) == events[name]

    for name, output in (
        ("pending", {"n": 2, "id": 9007199254740993}),
        ("running", {"done": True}),
    ):
        ended = await client.ended(ids[name])
        assert json.loads(ended.output_json) == output
        assert (await client.frames(ids[name]))[: len(events[name])] == events[name]

    await client.control(ids["paused"], "resume")
    for name in ("waiting", "paused"):
        answer = pb.SubmitInputRequest(
            execution_id=ids[name], node_id="ask", input_json='{"approved": true, "comment": "fine"}'
        )
        await client.executions.SubmitInput(answer)
        assert json.loads((await client.ended(ids[name])).output_json) == {"comment": "fine", "a": 1}

    await client.until(ids["timer"], "timer.fired")
    retried = await client.executions.RetryExecution(pb.RetryExecutionRequest(execution_id=ids["failed"]))
    again = await client.ended(retried.execution.id)
    assert again.error.code == "NOPE"
    assert [step.attempts for step in again.steps if step.node_id == "first"] == [1]

    stored = await client.workflows.GetWorkflow(workflow_pb2.GetWorkflowRequest(workflow_id="stored"))
    assert stored.workflow.version == 1
    spec = pb.StartSpec(workflow_id="stored", input_json='{"items": [1], "text": "x"}')
    started = await client.executions.StartExecution(pb.StartExecutionRequest(spec=spec))
    assert json.loads((await client.ended(started.execution.id)).output_json)["n"] == 1
