"""Counting what ended, once, and reading the counts."""

from __future__ import annotations

import asyncio
import json
import random
from collections import Counter
from collections.abc import Sequence
from dataclasses import replace
from datetime import datetime, timedelta

import msgspec
import pytest

from flow_engine.clock import SystemClock
from flow_engine.interpreter.events import (
    ExecutionCompleted,
    ExecutionFailed,
    Failure,
    StepCompleted,
    StepStarted,
)
from flow_engine.interpreter.journal import Entry, GiveUp
from flow_engine.interpreter.steps import Result, Step
from flow_engine.nodes.registry import built_in_registry
from flow_engine.payload import encode
from flow_engine.v1 import stats_pb2 as st
from services.executor.definitions import Definitions
from services.executor.durations.learned import decode_learned
from services.executor.persistence.contract import ImmediateRun
from services.executor.persistence.database import OutcomeUnknown
from services.executor.persistence.statistics import PORTION
from services.executor.persistence.store import SqlExecutionPersistence
from services.executor.servicers.stats_messages import stats_query
from services.executor.stats import counting as module
from services.executor.stats.counting import Counting
from services.executor.stats.figures import Figures, Group, StatsQuery
from services.executor.stats.histogram import bucket_of, quantile
from services.executor.stats.periods import DAY, GRAINS, rounded_out
from services.executor.stats.tally import Ended, microseconds
from tests.integration.persistence.stage import START, Stage


def counting(stage: Stage, store: SqlExecutionPersistence | None = None) -> Counting:
    definitions = Definitions(built_in_registry(), stage.store, stage.store.workflows, 16)
    return Counting((store or stage.store).statistics, stage.store, definitions, 1.0, SystemClock())


async def figures(stage: Stage, **changes: object) -> Figures:
    now = int(stage.now.timestamp())
    start, end = rounded_out(now - DAY, now + 1, now)
    usual = {
        "namespace": "default",
        "workflow_id": None,
        "start": start,
        "end": end,
        "bucket": 3600,
        "limit": 20,
    }
    return await stage.store.statistics.read(StatsQuery(**{**usual, **changes}))  # type: ignore[arg-type]


async def ends(
    stage: Stage,
    milliseconds: int = 100,
    *,
    failure: Failure | None = None,
    nodes: Sequence[str] = ("a",),
    **more: object,
) -> None:
    """An immediate run of steps that took so long, all at once."""
    began, ended = stage.now - timedelta(milliseconds=milliseconds), stage.now
    status = "failed" if failure else "completed"
    result = encode(Result(steps=[Step(node, status, 2, began, ended, milliseconds) for node in nodes]))
    if failure is None:
        events = [ExecutionCompleted(time=ended, output=1)]
        give_up = GiveUp("completed", result=result)
        entry = Entry(events, give_up=give_up)
    else:
        give_up = GiveUp("failed", result=result, error=encode(failure))
        entry = Entry([ExecutionFailed(time=ended, error=failure)], give_up=give_up)
    new = stage.new("immediate", **more)  # type: ignore[arg-type]
    created = msgspec.structs.replace(new.created, time=began)
    decided = b'{"mode":"immediate","estimatedDurationMs":%d}' % milliseconds
    await stage.store.create(
        msgspec.structs.replace(new, created=created, complexity=decided), ImmediateRun("executor:1", entry)
    )


async def test_what_ended_is_counted_by_workflow_type_node_and_error(stage: Stage) -> None:
    for milliseconds in (10, 20, 30):
        await ends(stage, milliseconds, workflow_id="a")
    await ends(stage, 1000, workflow_id="b", failure=Failure("BROKEN", "it broke"))
    await ends(stage, namespace="other")
    await counting(stage).turn()

    told = await figures(stage)
    assert {name: told.total.sums[name] for name in ("runs", "completed", "failed", "immediate")} == {
        "runs": 4,
        "completed": 3,
        "failed": 1,
        "immediate": 4,
    }
    assert [(group.names["workflow_id"], group.sums["runs"]) for group in told.workflows] == [
        ("a", 3),
        ("b", 1),
    ]
    median = quantile(told.workflows[0].histograms["duration"], 0.5)
    assert median == pytest.approx(20_000, rel=0.05)
    assert [(g.names, g.sums["runs"], g.sums["retries"]) for g in told.node_types] == [
        ({"node_type": "flow.noop"}, 4, 4)
    ]
    assert [group.names["workflow_id"] for group in told.slowest_nodes] == ["b", "a"]
    assert [(e.code, e.workflow_id, e.count, e.message) for e in told.errors] == [
        ("BROKEN", "b", 1, "it broke")
    ]
    assert told.total.sums["estimates_close"] == 3
    assert sum(point[1] for point in told.series) == 3
    assert (await figures(stage, namespace="other")).total.sums["runs"] == 1

    of_b = await figures(stage, workflow_id="b")
    assert of_b.total.sums["runs"] == 1
    assert [group.names["node_type"] for group in of_b.node_types] == ["flow.noop"]
    assert not (await figures(stage, workflow_id="none")).total.sums
    assert not (await figures(stage, waiting_types=("flow.noop",))).slowest_nodes


async def test_every_node_of_a_large_graph_is_counted(stage: Stage) -> None:
    """Its result is so large that it is read on its own."""
    nodes = [f"n{number}" for number in range(3 * PORTION)]
    for milliseconds in (10, 20):
        await ends(stage, milliseconds, nodes=nodes)
        await counting(stage).turn()
    rows = stage.execute("SELECT duration_us, histograms FROM stats_counts WHERE runs = 2 AND immediate = 0")
    assert len(rows) == len(GRAINS) * len(nodes)
    ((duration_us, histograms),) = set(rows)
    assert duration_us == 30_000
    assert sum(json.loads(histograms)["duration"].values()) == 2


async def test_what_has_too_many_steps_for_one_go_is_counted_in_several(
    stage: Stage, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(module, "MOST_STEPS", 2)
    for _ in range(5):
        await ends(stage)
    await counting(stage).turn()
    told = await figures(stage)
    assert (told.total.sums["runs"], told.uncounted) == (5, 0)


async def test_durations_are_learned_by_node_and_by_type_as_executions_are_counted(stage: Stage) -> None:
    for milliseconds in (90, 100, 110):
        await ends(stage, milliseconds)
    await counting(stage).turn()
    await ends(stage, 100)
    await counting(stage).turn()
    texts = await stage.store.statistics.learned("default", "definition")
    own, types = decode_learned(texts["definition"]), decode_learned(texts[""])
    assert own.nodes["a"].runs == types.nodes["flow.noop"].runs == 4
    assert own.nodes["a"].milliseconds() == pytest.approx(100, rel=0.05)
    assert await stage.store.statistics.learned("other", "definition") == {}


async def test_two_executors_and_a_crash_count_nothing_twice(
    stage: Stage, second_store: SqlExecutionPersistence, monkeypatch: pytest.MonkeyPatch
) -> None:
    for _ in range(20):
        await ends(stage)
    rows = await stage.store.statistics.uncounted(10)
    await asyncio.gather(counting(stage).turn(), counting(stage, second_store).turn())
    # Whoever read them before the others counted them adds nothing.
    assert await stage.store.statistics.count([row.ended for row in rows]) == 0
    assert (await figures(stage)).total.sums["runs"] == 20

    await ends(stage)
    database = stage.store.database
    commit = database._commit
    lost = iter([True])

    async def committed_but_not_heard(transaction: object) -> None:
        await commit(transaction)  # type: ignore[arg-type]
        if next(lost, False):
            raise OutcomeUnknown("lost")

    monkeypatch.setattr(database, "_commit", committed_but_not_heard)
    await counting(stage).turn()
    assert (await figures(stage)).total.sums["runs"] == 21
    assert (await figures(stage)).uncounted == 0


async def test_every_way_to_end_is_counted(stage: Stage) -> None:
    runner = await stage.claimed()
    stage.pass_time(3)
    await runner.report(StepStarted(time=stage.now, node_id="a", attempt=1))
    await runner.report(StepCompleted(time=stage.now, node_id="a", attempt=1))
    await runner.give_up(
        GiveUp("completed", result=encode(Result(steps_in_history=True))),
        ExecutionCompleted(time=stage.now, output=1),
    )
    pending = await stage.queued()
    await stage.store.cancel(pending, "no need")
    overdue = await stage.queued(timeout_ms=1000)
    stage.pass_time(10)
    assert await stage.store.fail_overdue() == [overdue]
    assert (await figures(stage)).uncounted == 3
    await counting(stage).turn()

    told = await figures(stage)
    sums = told.total.sums
    assert (sums["runs"], sums["completed"], sums["cancelled"], sums["failed"]) == (3, 1, 1, 1)
    assert sums["timed"] == 1
    assert [error.code for error in told.errors] == ["TIMEOUT"]
    assert [group.sums["runs"] for group in told.node_types] == [1]


async def test_old_periods_give_way_to_larger_ones(stage: Stage) -> None:
    await ends(stage)
    await counting(stage).turn()
    stage.pass_time(4 * DAY)
    await counting(stage).turn()
    assert stage.execute("SELECT DISTINCT grain FROM stats_counts ORDER BY 1") == [(3600,), (86400,)]
    start = int(START.timestamp())
    old = await figures(stage, start=start - start % 3600, end=start - start % 3600 + 3600)
    assert old.total.sums["runs"] == 1
    assert sum(point[1] for point in old.series) == 1
    assert datetime.fromtimestamp(old.series[0][0], START.tzinfo) == START


NODES = {"fetch": "http.request", "keep": "database.query"}


def some_executions(count: int, until: datetime) -> list[Ended]:
    """Spread over a month and four workflows; none ends at the edge of a period."""
    chance = random.Random(7)
    found = []
    for n in range(count):
        created = until - timedelta(days=30) * (count - n) / count - timedelta(seconds=7)
        queued = chance.random() < 0.3
        started = created + timedelta(milliseconds=chance.randrange(3000) if queued else 0)
        took = timedelta(milliseconds=chance.randrange(1, 5000))
        steps = [
            Step(node, "completed", chance.choice((1, 1, 2)), started, started + took / 2, 0)
            for node in NODES
        ]
        found.append(
            Ended(
                id=f"e{n:05}",
                namespace="default",
                workflow_id=f"w{chance.randrange(4)}",
                status=chance.choice(("completed", "completed", "failed", "cancelled")),
                mode="queued" if queued else chance.choice(("immediate", "queued")),
                decided_mode="queued" if queued else "immediate",
                estimate_ms=chance.choice((None, 2000.0)),
                retry_of=chance.choice(("", "", "e0")),
                created_at=created,
                started_at=started,
                completed_at=started + took,
                error_code=chance.choice(("A", "B")),
                error_message="it broke",
                steps=steps,
                node_types=NODES,
            )
        )
    return found


def plainly(executions: list[Ended]) -> dict[str, object]:
    """The same without sums of sums: what a query over all executions would find."""
    waits = [ended for ended in executions if ended.decided_mode == "queued"]
    return {
        "runs": len(executions),
        **{status: sum(e.status == status for e in executions) for status in ("completed", "failed")},
        "immediate": sum(e.mode == "immediate" for e in executions),
        "retries": sum(e.retry_of != "" for e in executions),
        "step_retries": sum(step.attempts - 1 for e in executions for step in e.steps),
        "promotions": sum(e.decided_mode != e.mode for e in executions),
        "duration_us": sum(e.duration_us or 0 for e in executions),
        "duration": Counter(bucket_of(e.duration_us or 0) for e in executions),
        "wait": Counter(bucket_of(microseconds(e.created_at, e.started_at or e.created_at)) for e in waits),
    }


def as_counted(group: Group) -> dict[str, object]:
    names = (
        "runs",
        "completed",
        "failed",
        "immediate",
        "retries",
        "step_retries",
        "promotions",
        "duration_us",
    )
    measured = {name: group.histograms.get(name, {}) for name in ("duration", "wait")}
    return {**{name: group.sums[name] for name in (*names, "duration_us")}, **measured}


async def test_counts_of_any_range_are_those_of_a_plain_recount(
    stage: Stage, second_store: SqlExecutionPersistence
) -> None:
    now = int(stage.now.timestamp())
    executions = some_executions(600, stage.now)
    for ended in executions:
        stage.execute(f"INSERT INTO ended_executions VALUES ('{ended.id}', 'default')")
    stores = (stage.store, second_store)
    portions = [executions[n::7] for n in range(7)]
    await asyncio.gather(*(stores[n % 2].statistics.count(some) for n, some in enumerate(portions)))

    for first, last in ((1, 0), (3, 1), (9, 0), (30, 0), (25, 9)):
        request = st.GetStatsRequest()
        request.start_time.FromSeconds(now - first * DAY - 1234)
        request.end_time.FromSeconds(now - last * DAY + 1)
        query = stats_query(request, stage.now, "default", ())
        within = [e for e in executions if query.start <= e.completed_at.timestamp() < query.end]
        told = await stage.store.statistics.read(query)
        assert as_counted(told.total) == plainly(within)
        by_workflow = {group.names["workflow_id"]: as_counted(group) for group in told.workflows}
        assert by_workflow == {
            name: plainly(some)
            for name in {e.workflow_id for e in within}
            if (some := [e for e in within if e.workflow_id == name])
        }
        assert {group.names["node_type"]: group.sums["runs"] for group in told.node_types} == (
            dict.fromkeys(NODES.values(), len(within))
        )
        failures = Counter((e.workflow_id, e.error_code) for e in within if e.status == "failed")
        assert {(error.workflow_id, error.code): error.count for error in told.errors} == failures
        assert sum(point[1] for point in told.series) == plainly(within)["completed"]

        mine = [e for e in within if e.workflow_id == "w1"]
        told = await stage.store.statistics.read(replace(query, workflow_id="w1"))
        assert as_counted(told.total) == plainly(mine)
        durations = Counter(
            bucket_of(microseconds(step.started_at, step.completed_at))
            for e in mine
            for step in e.steps
            if step.node_id == "keep" and step.started_at and step.completed_at
        )
        of_type = {group.names["node_type"]: group for group in told.node_types}
        assert of_type["database.query"].histograms == {"duration": durations}
        assert {group.names["node_id"] for group in told.slowest_nodes} == set(NODES)
