"""Tasks: offered with the report that says so, one taker each, settled once; on both databases."""

from __future__ import annotations

import asyncio
from datetime import timedelta
from typing import Any

import pytest

from flow_engine.errors import TaskEnded, TaskLeaseLost, TaskNotFound, TaskSettled
from flow_engine.interpreter.events import (
    Event,
    ExecutionWaiting,
    Failure,
    SignalReceived,
    StepCancelled,
    StepCompleted,
    StepRetrying,
    StepStarted,
    StepWaiting,
)
from flow_engine.interpreter.journal import Entry, GiveUp
from flow_engine.payload import Payload
from services.executor.persistence.store import SqlExecutionPersistence
from services.executor.persistence.tasks import HOPELESS_AFTER, LeasedTask, Taker
from tests.integration.persistence.stage import Runner, Stage

LEASE = timedelta(seconds=30)
DONE = Payload.of({"output": 7})


def waits(stage: Stage, node_id: str = "t", queue: str = "q", value: Any = None, **where: Any) -> list[Event]:
    """A step that hands its task to whoever asks."""
    at = {"time": stage.now, "node_id": node_id, "attempt": 1, **where}
    wait = {"kind": "task", "queue": queue, "stepKey": f"key of {node_id}"}
    return [StepStarted(**at), StepWaiting(wait=wait, input=value, **at)]


async def take(
    store: SqlExecutionPersistence, queue: str = "q", worker: str = "w", **more: Any
) -> LeasedTask | None:
    return await store.tasks.take(Taker("default", queue, worker), LEASE, **more)


async def taken(stage: Stage, queue: str = "q", worker: str = "w") -> LeasedTask:
    task = await take(stage.store, queue, worker)
    assert task is not None
    return task


async def at_rest(stage: Stage, runner: Runner, *events: Event) -> None:
    """The runner gives its execution up: it waits for tasks only."""
    give_up = GiveUp("waiting", all_waiting=True, waits=[{"nodeId": "t", "kind": "task"}])
    await runner.give_up(give_up, *events, ExecutionWaiting(time=stage.now))


async def test_a_task_is_offered_while_its_execution_still_runs_and_its_answer_wakes_it(stage: Stage) -> None:
    runner = await stage.claimed(priority=3)
    assert await take(stage.store) is None
    await runner.report(*waits(stage, value={"n": 2**53 + 1}, iteration=(2, 0)))
    task = await taken(stage)
    assert (task.execution_id, task.node_id, task.iteration, task.attempt) == (runner.id, "t", (2, 0), 1)
    assert (task.offer, task.step_key, task.workflow_id) == (1, "key of t", "orders")
    assert task.input == b'{"n":9007199254740993}'
    assert task.lease_expires_at == stage.now + LEASE
    assert await take(stage.store) is None, "somebody has it"
    await at_rest(stage, runner)

    settled = await stage.store.tasks.settle(task.token, DONE, "default")

    assert (settled.execution_id, settled.status, settled.changed) == (runner.id, "pending", True)
    assert stage.bells() == {runner.id}
    (signal,) = [event for event in await stage.history(runner.id) if isinstance(event, SignalReceived)]
    assert (signal.node_id, signal.iteration, signal.payload) == ("t", (2, 0), {"output": 7})


async def test_a_task_of_an_immediate_run_is_offered_with_its_very_first_commit(stage: Stage) -> None:
    runner = await stage.immediate(first=Entry(waits(stage)))
    assert (await taken(stage)).execution_id == runner.id


async def test_a_large_input_comes_by_its_hash(stage: Stage) -> None:
    large = Payload.of("x" * 10_000)
    runner = await stage.claimed()
    started, waiting = waits(stage)
    assert isinstance(waiting, StepWaiting)
    by_hash = StepWaiting(time=stage.now, node_id="t", attempt=1, wait=waiting.wait, input_ref=large.ref)
    await runner.report(started, by_hash)
    task = await taken(stage)
    assert (task.input, task.input_hash) == (None, large.ref.hash)


async def test_the_urgent_and_the_old_come_first_and_queues_are_apart(stage: Stage) -> None:
    late = await stage.claimed(priority=7)
    await late.report(*waits(stage), *waits(stage, "u", "other"))
    stage.pass_time(1)
    soon = await stage.claimed(priority=1)
    await soon.report(*waits(stage, "t"))
    stage.pass_time(1)
    await soon.report(*waits(stage, "t2"))
    assert [(await taken(stage)).node_id for _ in range(3)] == ["t", "t2", "t"]
    assert await take(stage.store) is None
    assert (await taken(stage, "other")).node_id == "u"
    assert await stage.store.tasks.take(Taker("another", "q", "w"), LEASE) is None


async def test_pollers_of_two_executors_never_get_the_same_task(
    stage: Stage, second_store: SqlExecutionPersistence
) -> None:
    runner = await stage.claimed()
    for n in range(12):
        await runner.report(*waits(stage, f"t{n}"))
    asked = await asyncio.gather(
        *(take(store, worker=str(n)) for n in range(10) for store in (stage.store, second_store))
    )
    found = [task.node_id for task in asked if task is not None]
    assert sorted(found) == sorted(f"t{n}" for n in range(12))


async def test_a_lost_lease_offers_the_task_anew_and_locks_the_loser_out(stage: Stage) -> None:
    runner = await stage.claimed()
    await runner.report(*waits(stage))
    first = await taken(stage)
    stage.pass_time(29)
    beat = await stage.store.tasks.heartbeat(first.token, "default")
    assert beat.lease_expires_at == stage.now + LEASE
    assert await stage.store.tasks.lapse() == []
    assert await take(stage.store) is None, "the heartbeat kept it"
    stage.pass_time(30)
    assert await stage.store.tasks.offered([("default", "q")]) == {}
    await stage.store.tasks.lapse()
    assert await stage.store.tasks.offered([("default", "q"), ("default", "z")]) == {("default", "q"): 1}
    with pytest.raises(TaskLeaseLost):
        await stage.store.tasks.heartbeat(first.token, "default")
    second = await taken(stage)
    assert (second.offer, second.attempt, second.step_key) == (2, 1, first.step_key)
    with pytest.raises(TaskLeaseLost):
        await stage.store.tasks.settle(first.token, DONE, "default")
    assert (await stage.store.tasks.settle(second.token, DONE, "default")).changed


async def test_a_result_that_comes_when_the_lease_is_over_but_nobody_elses_counts(stage: Stage) -> None:
    runner = await stage.claimed()
    await runner.report(*waits(stage))
    task = await taken(stage)
    stage.pass_time(31)
    assert (await stage.store.tasks.settle(task.token, DONE, "default")).changed


async def test_a_task_that_everybody_loses_fails_its_attempt(stage: Stage) -> None:
    runner = await stage.claimed()
    await runner.report(*waits(stage))
    for _ in range(HOPELESS_AFTER - 1):
        await taken(stage)
        stage.pass_time(31)
        assert await stage.store.tasks.lapse() == []
    await taken(stage)
    stage.pass_time(31)
    (given_up,) = await stage.store.tasks.lapse()
    assert (given_up.execution_id, given_up.status) == (runner.id, "running")
    signal = (await stage.history(runner.id))[-1]
    assert isinstance(signal, SignalReceived)
    told: Any = signal.payload
    assert (told["error"]["code"], told["error"]["retryable"]) == ("TASK_LOST", True)
    assert await take(stage.store) is None


async def test_the_same_result_again_changes_nothing_and_another_is_refused(stage: Stage) -> None:
    runner = await stage.claimed()
    await runner.report(*waits(stage))
    task = await taken(stage)
    await asyncio.gather(*(stage.store.tasks.settle(task.token, DONE, "default") for _ in range(3)))
    assert (await stage.types(runner.id)).count("signal.received") == 1
    with pytest.raises(TaskSettled):
        await stage.store.tasks.settle(task.token, Payload.of({"output": 8}), "default")
    with pytest.raises(TaskSettled):
        await stage.store.tasks.heartbeat(task.token, "default")
    for wrong in ("", "x", "x.y", task.token + "x", f"{task.token.partition('.')[0]}.y", "ä.y", "a\0.b"):
        with pytest.raises((TaskNotFound, TaskLeaseLost)):
            await stage.store.tasks.settle(wrong, DONE, "default")
    with pytest.raises(TaskNotFound):
        await stage.store.tasks.settle(task.token, DONE, "another")
    stage.pass_time(3601)
    await stage.store.tasks.forget()
    with pytest.raises(TaskNotFound):
        await stage.store.tasks.settle(task.token, DONE, "default")


@pytest.mark.parametrize("taken_before", [True, False], ids=["taken", "open"])
@pytest.mark.parametrize("how", ["step cancelled", "retrying", "execution cancelled", "completed", "timer"])
async def test_a_task_ends_with_its_wait(stage: Stage, how: str, taken_before: bool) -> None:
    runner = await stage.claimed()
    await runner.report(*waits(stage))
    task = await taken(stage) if taken_before else None
    where: dict[str, Any] = {"time": stage.now, "node_id": "t", "attempt": 1}
    match how:
        case "step cancelled":
            await runner.report(StepCancelled(reason="joinSatisfied", **where))
        case "retrying":
            await runner.report(StepRetrying(error=Failure("TIMEOUT", "late"), retry_at=stage.now, **where))
        case "execution cancelled":
            await at_rest(stage, runner)
            await stage.store.cancel(runner.id, "withdrawn")
        case "completed":
            await runner.complete()
        case "timer":
            wake_at = stage.now + timedelta(seconds=5)
            give_up = GiveUp("waiting", wake_at=wake_at, wake_timer="t#1", all_waiting=True)
            await runner.give_up(give_up, ExecutionWaiting(time=stage.now, wake_at=wake_at))
            stage.pass_time(5)
            assert await stage.store.wake_due() == [runner.id]
    assert await take(stage.store) is None
    if task is not None:
        beat = await stage.store.tasks.heartbeat(task.token, "default")
        assert beat.lease_expires_at is None
        assert beat.reason
        with pytest.raises(TaskEnded, match="too late"):
            await stage.store.tasks.settle(task.token, DONE, "default")


async def test_the_next_attempt_is_another_task(stage: Stage) -> None:
    runner = await stage.claimed()
    retrying = StepRetrying(
        time=stage.now, node_id="t", attempt=1, error=Failure("X", "x"), retry_at=stage.now
    )
    await runner.report(*waits(stage), retrying, *waits(stage, attempt=2))
    task = await taken(stage)
    assert (task.attempt, task.offer) == (2, 1)
    assert await take(stage.store) is None


async def test_a_cancellation_that_is_under_way_tells_the_heartbeat_and_offers_nothing(stage: Stage) -> None:
    runner = await stage.claimed()
    await runner.report(*waits(stage), *waits(stage, "u"))
    task = await taken(stage)
    await stage.store.cancel(runner.id, "withdrawn")
    beat = await stage.store.tasks.heartbeat(task.token, "default")
    assert (beat.lease_expires_at, beat.reason) == (None, "withdrawn")
    assert await take(stage.store) is None


async def test_a_paused_execution_hands_out_nothing_and_takes_results(stage: Stage) -> None:
    runner = await stage.claimed()
    await runner.report(*waits(stage))
    task = await taken(stage)
    await runner.report(*waits(stage, "u"))
    await at_rest(stage, runner)
    await stage.store.pause(runner.id, "lunch")
    assert await take(stage.store) is None
    assert (await stage.store.tasks.settle(task.token, DONE, "default")).status == "paused"
    await stage.store.resume(runner.id)
    assert (await taken(stage)).node_id == "u"


async def test_a_taker_gets_no_more_than_it_wants_open(stage: Stage) -> None:
    runner = await stage.claimed()
    for n in range(4):
        await runner.report(*waits(stage, f"t{n}"))
    first = await take(stage.store, most_open=2)
    assert first is not None
    assert await take(stage.store, most_open=2) is not None
    assert await take(stage.store, most_open=2) is None
    assert await take(stage.store, worker="another", most_open=1) is not None
    await stage.store.tasks.settle(first.token, DONE, "default")
    assert await take(stage.store, most_open=2) is not None


async def test_commits_tell_which_queues_have_something_new(stage: Stage) -> None:
    told: list[tuple[str, str]] = []
    stage.store.database.offered = told.extend
    runner = await stage.claimed()
    await runner.report(StepStarted(time=stage.now, node_id="a"), StepCompleted(time=stage.now, node_id="a"))
    assert told == []
    await runner.report(*waits(stage), *waits(stage, "u", "other"))
    assert sorted(told) == [("default", "other"), ("default", "q")]
    await runner.complete()
