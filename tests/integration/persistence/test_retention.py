"""Deleting what ended long ago, and nothing else."""

from __future__ import annotations

from datetime import timedelta
from typing import Any

import msgspec
import pytest

from flow_engine.errors import ExecutionNotFound, ValueNotFound
from flow_engine.ids import ExecutionId
from flow_engine.interpreter.events import ExecutionCompleted, ExecutionFailed, Failure
from flow_engine.interpreter.journal import GiveUp
from flow_engine.payload import Payload, encode
from services.executor.persistence.retention import OF_EXECUTION
from services.executor.persistence.tables import payload_uses
from services.executor.retention import RetentionSweeper, parse_retention
from tests.integration.persistence.stage import Stage
from tests.integration.persistence.test_statistics import counting

BIG = "x" * 5000
OTHER = "y" * 5000
DAY = timedelta(days=1).total_seconds()


async def swept(stage: Stage, rules: str, *, counted: bool = True) -> set[str]:
    """The executions that are left."""
    if counted:
        await counting(stage).turn()
    await RetentionSweeper(parse_retention(rules), stage.store.retention, stage.store, 600.0).turn()
    return {row[0] for row in stage.execute("SELECT id FROM workflow_executions")}


async def failed(stage: Stage, **more: Any) -> ExecutionId:
    runner = await stage.claimed(**more)
    failure = Failure("BROKEN", "it broke")
    give_up = GiveUp("failed", error=encode(failure))
    await runner.give_up(give_up, ExecutionFailed(time=stage.now, error=failure))
    return runner.id


async def test_what_is_older_than_its_rule_goes_with_all_that_it_had(stage: Stage) -> None:
    old = await failed(stage, tags=("x",), value=BIG)
    await stage.store.cancel(await stage.queued(workflow_id="audit"), "kept")
    stage.pass_time(30 * DAY)
    live = await stage.queued()
    stage.pass_time(2 * DAY)
    assert old in await swept(stage, "60d")
    left = await swept(stage, "7d, audit=forever")
    assert old not in left
    assert live in left
    assert len(left) == 2
    with pytest.raises(ExecutionNotFound):
        await stage.store.get(old)
    for table in (*OF_EXECUTION, payload_uses):
        assert stage.execute(f"SELECT * FROM {table.name} WHERE execution_id = '{old}'") == []
    with pytest.raises(ValueNotFound):
        await stage.store.payload(Payload.of(BIG).ref.hash)


async def test_the_newest_of_each_workflow_are_kept(stage: Stage) -> None:
    ids = []
    for _ in range(5):
        ids.append(await failed(stage, workflow_id="a"))
        stage.pass_time(60)
    other = await failed(stage, workflow_id="b")
    assert await swept(stage, "/2") == {*ids, other}  # less than a day ago: they may still be asked for
    stage.pass_time(2 * DAY)
    assert await swept(stage, "/2") == {*ids[-2:], other}


async def test_what_is_live_waits_or_is_not_counted_yet_stays(stage: Stage) -> None:
    waiting, pending = await stage.waiting(), await stage.queued()
    uncounted = await failed(stage, priority=0)
    stage.pass_time(100 * DAY)
    assert await swept(stage, "7d", counted=False) == {waiting, pending, uncounted}
    assert await swept(stage, "7d") == {waiting, pending}


async def test_an_execution_stays_while_a_retry_of_it_lives(stage: Stage) -> None:
    first = await failed(stage)
    stage.pass_time(100 * DAY)
    retry = stage.new(retry_of=first)
    created = retry.created

    retry = msgspec.structs.replace(retry, created=msgspec.structs.replace(created, root_id=first))
    await stage.store.create(retry)
    assert await swept(stage, "7d") == {first, retry.id}
    (claimed,) = await stage.claim()
    await stage.runner(claimed).complete()
    assert await swept(stage, "7d") == {retry.id}
    with pytest.raises(ExecutionNotFound):
        await stage.store.create(stage.new(retry_of=first))


async def test_a_value_stays_while_somebody_names_it(stage: Stage) -> None:
    old = await failed(stage, value=BIG)
    await failed(stage, value=OTHER)
    stage.pass_time(50 * DAY)
    newer = await stage.claimed(value=BIG)
    await newer.give_up(
        GiveUp("completed", result=b'{"output":1,"steps":[]}'), ExecutionCompleted(time=stage.now, output=1)
    )
    stage.pass_time(2 * DAY)
    assert await swept(stage, "7d") == {newer.id}
    assert old != newer.id
    assert await stage.store.payload(Payload.of(BIG).ref.hash)
    with pytest.raises(ValueNotFound):
        await stage.store.payload(Payload.of(OTHER).ref.hash)


async def test_a_definition_goes_with_its_last_execution_unless_it_is_stored(stage: Stage) -> None:
    async def start(definition: str) -> ExecutionId:
        new = stage.new()
        created = msgspec.structs.replace(new.created, definition_hash=definition)
        await stage.store.create(msgspec.structs.replace(new, created=created, definition_hash=definition))
        return new.id

    def kept() -> set[str]:
        return {row[0] for row in stage.execute("SELECT hash FROM definitions")}

    for definition in ("gone", "live", "again", "stored"):
        await stage.store.cancel(await start(definition), "over")
    await stage.store.workflows.create_workflow("w", "W", "stored", b"{}")
    live = await start("live")
    await counting(stage).turn()
    everything = {"gone", "live", "again", "stored"}
    stage.pass_time(100 * DAY)
    again = await start("again")
    await swept(stage, "200d")
    assert kept() == everything
    learned = "SELECT definition_hash FROM learned_durations WHERE definition_hash = 'gone'"
    assert stage.execute(learned) == [("gone",)]
    assert await swept(stage, "7d") == {live, again}
    assert kept() == everything - {"gone"}
    assert stage.execute(learned) == []
    # Who remembers that it was stored stores it again.
    await start("gone")
    assert kept() == everything
