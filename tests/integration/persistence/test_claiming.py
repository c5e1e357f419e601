"""PROTOCOL 2, 5 and 17: who runs an execution."""

from __future__ import annotations

import asyncio
from collections import Counter
from datetime import timedelta

from flow_engine.interpreter.events import ExecutionClaimed
from flow_engine.interpreter.journal import GiveUp
from services.executor.persistence.contract import ReportOutcome
from services.executor.persistence.store import SqlExecutionPersistence
from tests.integration.persistence.stage import START, Stage


async def test_a_claim_leases_and_tells_all(stage: Stage) -> None:
    execution_id = await stage.queued(timeout_ms=60_000)
    stage.pass_time(1)
    (claimed,) = await stage.claim("worker:7", slots=4)
    assert (claimed.execution_id, claimed.epoch, claimed.last_sequence) == (execution_id, 1, 2)
    assert (claimed.snapshot, claimed.lease_seconds, claimed.quarantined) == (b"", 30.0, False)
    assert (claimed.database_time, claimed.deadline_at) == (stage.now, START + timedelta(seconds=60))
    assert [batch.first_sequence for batch in claimed.batches] == [1, 2]
    record = await stage.record(execution_id)
    assert (record.status, record.lease_owner, record.started_at) == ("running", "worker:7", stage.now)
    assert record.lease_expires_at == stage.now + timedelta(seconds=30)
    last = (await stage.history(execution_id))[-1]
    assert isinstance(last, ExecutionClaimed)
    assert (last.worker_id, last.epoch) == ("worker:7", 1)
    assert stage.bells() == set()
    assert await stage.store.nudges(["worker:7"]) == []


async def test_an_empty_queue_gives_nothing(stage: Stage) -> None:
    assert await stage.claim() == []
    await stage.queued()
    assert await stage.claim(slots=0) == []


async def test_a_repeated_claim_gets_the_same_answer(stage: Stage) -> None:
    for _ in range(3):
        await stage.queued()
    first = await stage.claim(slots=2, claim_id="c")
    again = await stage.claim(slots=2, claim_id="c")
    assert len(first) == 2
    assert {c.execution_id: (c.epoch, c.last_sequence) for c in first} == {
        c.execution_id: (c.epoch, c.last_sequence) for c in again
    }
    assert len(await stage.claim(slots=2, claim_id="d")) == 1


async def test_the_queue_goes_by_priority_and_then_by_age(stage: Stage) -> None:
    late_low = await stage.queued(priority=9)
    normal = await stage.queued(priority=5)
    stage.pass_time(1)
    later_normal = await stage.queued(priority=5)
    urgent = await stage.queued(priority=0)
    order = [urgent, normal, later_normal, late_low]
    assert [await stage.store.queue_position(i) for i in order] == [1, 2, 3, 4]
    assert [claimed.execution_id for claimed in await stage.claim(slots=9)] == order
    assert await stage.store.queue_position(urgent) == 0


async def test_waiting_long_outweighs_priority(stage: Stage) -> None:
    old_low = await stage.queued(priority=9)
    stage.pass_time(9 * 60 + 1)
    urgent = await stage.queued(priority=0)
    assert [claimed.execution_id for claimed in await stage.claim(slots=2)] == [old_low, urgent]


async def test_sixteen_claimers_and_two_hundred_executions_one_winner_each(
    stage: Stage, second_store: SqlExecutionPersistence
) -> None:
    ids = set(await asyncio.gather(*(stage.queued() for _ in range(200))))
    stores = (stage.store, second_store)
    winners: Counter[str] = Counter()

    async def claimer(number: int) -> None:
        claimer_stage = Stage(stage.url, stores[number % 2])
        while claimed := await claimer_stage.claim(f"worker:{number}", slots=5):
            winners.update(execution.execution_id for execution in claimed)

    while len(winners) < 200:
        await asyncio.gather(*(claimer(number) for number in range(16)))
    assert set(winners) == ids
    assert set(winners.values()) == {1}


async def test_claims_and_reports_of_many_at_once_keep_every_history_whole(
    stage: Stage, second_store: SqlExecutionPersistence
) -> None:
    await asyncio.gather(*(stage.queued() for _ in range(24)))
    done: list[str] = []

    async def work(number: int) -> None:
        mine = Stage(stage.url, (stage.store, second_store)[number % 2])
        mine.now = stage.now
        while claimed := await mine.claim(f"worker:{number}", slots=3):
            for execution in claimed:
                runner = mine.runner(execution, f"worker:{number}")
                control = asyncio.create_task(second_store.pause(runner.id, ""))
                for node in ("a", "b", "c"):
                    assert (await runner.step(node)).outcome is ReportOutcome.OK
                await control
                while (await runner.complete()).outcome is not ReportOutcome.OK:
                    pass
                done.append(runner.id)

    while len(done) < 24:
        await asyncio.gather(*(work(number) for number in range(6)))
    assert len(set(done)) == 24


async def test_renewing_moves_the_end_of_the_lease(stage: Stage) -> None:
    runner = await stage.claimed()
    stage.pass_time(20)
    assert await stage.store.renew_leases("worker:1", [(runner.id, runner.epoch)]) == set()
    assert (await stage.record(runner.id)).lease_expires_at == stage.now + timedelta(seconds=30)
    assert await stage.store.renew_leases("worker:1", []) == set()


async def test_renewing_tells_what_is_lost(stage: Stage) -> None:
    kept = await stage.claimed()
    lost = await stage.claimed()
    over = await stage.claimed()
    await over.complete()
    await lost.give_up(GiveUp("pending"))
    leases = [(runner.id, runner.epoch) for runner in (kept, lost, over)]
    assert await stage.store.renew_leases("worker:1", leases) == {lost.id, over.id}
    assert await stage.store.renew_leases("worker:2", leases[:1]) == {kept.id}
    assert await stage.store.renew_leases("worker:1", [(kept.id, 9)]) == {kept.id}


async def test_release_gives_back_to_the_old_place_and_counts_no_loss(stage: Stage) -> None:
    runner = await stage.claimed()
    stage.pass_time(5)
    younger = await stage.queued()
    await stage.store.release("worker:1", [(runner.id, runner.epoch)])
    assert await stage.status(runner.id) == "pending"
    assert stage.bells() == {runner.id, younger}
    assert (await runner.step()).outcome is ReportOutcome.LEASE_LOST
    again, _ = await stage.claim(slots=2)
    assert (again.execution_id, again.epoch) == (runner.id, 3)
    assert not again.quarantined


async def test_only_the_owner_releases(stage: Stage) -> None:
    runner = await stage.claimed()
    await stage.store.release("worker:2", [(runner.id, runner.epoch)])
    await stage.store.release("worker:1", [(runner.id, runner.epoch + 1)])
    await stage.store.release("worker:1", [])
    assert (await runner.step()).outcome is ReportOutcome.OK


async def test_release_obeys_what_was_asked_meanwhile(stage: Stage) -> None:
    to_cancel, to_pause = await stage.claimed(), await stage.claimed()
    await stage.store.cancel(to_cancel.id, "enough")
    await stage.store.pause(to_pause.id, "lunch")
    await stage.store.release("worker:1", [(runner.id, runner.epoch) for runner in (to_cancel, to_pause)])
    assert await stage.status(to_cancel.id) == "cancelled"
    assert await stage.status(to_pause.id) == "paused"


async def test_an_immediate_run_that_is_released_goes_on_in_the_queue(stage: Stage) -> None:
    runner = await stage.immediate()
    await stage.store.release("executor:1", [(runner.id, 1)])
    record = await stage.record(runner.id)
    assert (record.status, record.mode) == ("pending", "queued")
    assert (await stage.types(runner.id))[-1] == "execution.promoted"


async def test_poison_is_claimed_alone_and_fails_when_its_process_dies(stage: Stage) -> None:
    poison = await stage.queued()
    for _ in range(2):
        (claimed,) = await stage.claim()
        assert not claimed.quarantined
        stage.pass_time(31)
        assert await stage.store.expire_leases() == [poison]
    others = {await stage.queued(), await stage.queued()}
    (claimed,) = await stage.claim(slots=8)
    assert (claimed.execution_id, claimed.quarantined) == (poison, True)
    together = await stage.claim(slots=8)
    assert {c.execution_id for c in together} == others
    leases = [(c.execution_id, c.epoch) for c in (claimed, together[0])]
    await stage.store.release("worker:1", leases, process_died=True)
    record = await stage.record(poison)
    assert (record.status, record.error["code"]) == ("failed", "WORKER_LOST")
    assert await stage.status(together[0].execution_id) == "pending", "nobody had suspected that one"


async def test_an_execution_that_went_down_with_its_worker_is_claimed_alone_again(stage: Stage) -> None:
    """It may have been the fault of another; only who loses five leases in a row is given up."""
    suspect = await stage.queued()
    for lost in range(5):
        (claimed,) = await stage.claim()
        assert (claimed.execution_id, claimed.quarantined) == (suspect, lost >= 2)
        stage.pass_time(31)
        await stage.store.expire_leases()
    record = await stage.record(suspect)
    assert (record.status, record.error["code"]) == ("failed", "WORKER_LOST")


async def test_poison_in_the_middle_of_the_queue_waits_for_a_claim_of_its_own(stage: Stage) -> None:
    poison = await stage.queued()
    for _ in range(2):
        await stage.claim()
        stage.pass_time(31)
        await stage.store.expire_leases()
    urgent = await stage.queued(priority=0)
    low = await stage.queued(priority=9)
    assert {c.execution_id for c in await stage.claim(slots=8)} == {urgent, low}
    (claimed,) = await stage.claim(slots=8)
    assert claimed.execution_id == poison
    # With an outcome it is innocent again.
    runner = stage.runner(claimed)
    await runner.step()
    await runner.give_up(GiveUp("pending"))
    (again,) = await stage.claim(slots=8)
    assert not again.quarantined
