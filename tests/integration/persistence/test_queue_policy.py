"""Slots and rates by key, fairness between namespaces, needs: who is claimed, and who must wait."""

from __future__ import annotations

import asyncio
from collections import Counter
from collections.abc import Sequence
from datetime import timedelta

import pytest

from flow_engine.errors import RateExceeded, SlotsTaken
from flow_engine.ids import ExecutionId, new_execution_id
from flow_engine.interpreter.events import ExecutionWaiting
from flow_engine.interpreter.journal import GiveUp
from services.executor.admission import Admission
from services.executor.persistence.contract import Claim, ImmediateRun, RatePolicy, SlotPolicy
from services.executor.persistence.store import SqlExecutionPersistence
from tests.integration.persistence.stage import Stage
from tests.unit.executor.stand_ins import HandClock

TWO = SlotPolicy("orders/acme", 2)
ONE = SlotPolicy("orders/acme", 1)


class Door:
    """Lets executions in as an executor does, whenever the test says so."""

    def __init__(self, stage: Stage, store: SqlExecutionPersistence | None = None) -> None:
        self.stage = stage
        self.clock = HandClock()
        store = store or stage.store
        self.admission = Admission(store.admission, lambda: None, self.clock)
        store.database.opened = self.admission.opened

    async def open(self) -> None:
        await self.admission.turn()

    async def pass_time(self, seconds: float) -> None:
        self.stage.pass_time(seconds)
        self.clock.pass_(seconds)
        await self.open()


@pytest.fixture
def door(stage: Stage) -> Door:
    return Door(stage)


async def claim(
    stage: Stage, slots: int = 100, namespace: str = "", capabilities: Sequence[str] = ()
) -> list[ExecutionId]:
    asked = Claim("worker:1", new_execution_id(), slots, tuple(capabilities), namespace=namespace)
    return [claimed.execution_id for claimed in await stage.store.claim_next(asked)]


# Slots --------------------------------------------------------------------------------------------


async def test_no_more_of_a_key_run_than_it_has_slots(stage: Stage, door: Door) -> None:
    ids = [await stage.queued(slot=TWO) for _ in range(4)]
    assert stage.bells() == set(), "a bell rings for those that may be claimed"
    await door.open()
    assert stage.bells() == set(ids[:2])
    claimed = await stage.claim(slots=9)
    assert [one.execution_id for one in claimed] == ids[:2]
    assert await claim(stage) == []
    await stage.runner(claimed[0]).complete()
    await door.open()
    assert await claim(stage) == [ids[2]]


async def test_a_key_at_its_limit_keeps_nobody_else(stage: Stage, door: Door) -> None:
    for _ in range(5):
        await stage.queued(slot=ONE)
    other = await stage.queued(slot=SlotPolicy("orders/other", 1))
    keyless = await stage.queued()
    elsewhere = await stage.queued(slot=ONE, namespace="b")
    await door.open()
    claimed = await claim(stage)
    assert len(claimed) == 4
    assert {other, keyless, elsewhere} < set(claimed)


async def test_slots_go_by_priority_and_then_by_age(stage: Stage, door: Door) -> None:
    first = await stage.queued(slot=ONE)
    await door.open()
    low = await stage.queued(slot=ONE, priority=9)
    stage.pass_time(1)
    urgent = await stage.queued(slot=ONE, priority=0)
    for expected in (first, urgent, low):
        await door.open()
        (claimed,) = await stage.claim(slots=5)
        assert claimed.execution_id == expected
        await stage.runner(claimed).complete()


@pytest.mark.parametrize("store_number", [0, 1])
async def test_slots_come_back_when_every_worker_is_killed(
    stage: Stage, second_store: SqlExecutionPersistence, door: Door, store_number: int
) -> None:
    """Whoever expires the leases: a slot is a fact of the row that holds it."""
    ids = [await stage.queued(slot=TWO) for _ in range(3)]
    await door.open()
    assert await claim(stage) == ids[:2]
    stage.pass_time(31)
    await (stage.store, second_store)[store_number].expire_leases()
    again = await stage.claim("worker:2", slots=9)
    assert {one.execution_id for one in again} == set(ids[:2])
    for one in again:
        await stage.runner(one, "worker:2").complete()
    await door.open()
    assert await claim(stage) == [ids[2]]


async def test_the_net_finds_a_slot_that_nobody_told_of(
    stage: Stage, second_store: SqlExecutionPersistence
) -> None:
    """The executor that ended the holder died before it could look at the line."""
    ids = [await stage.queued(slot=ONE) for _ in range(2)]
    door = Door(stage, second_store)
    await door.open()
    (claimed,) = await stage.claim(slots=9)
    stage.store.database.opened = lambda lines: None
    await stage.runner(claimed).complete()
    await door.open()
    assert await claim(stage) == []
    await door.pass_time(5)
    assert await claim(stage) == [ids[1]]


async def test_who_waits_gives_its_slot_back_unless_it_keeps_it(stage: Stage, door: Door) -> None:
    for policy, next_gets_in in ((ONE, True), (SlotPolicy("orders/kept", 1, keeps_slot=True), False)):
        waiting = await stage.queued(slot=policy)
        await door.open()
        (claimed,) = await stage.claim(slots=5)
        await stage.runner(claimed).give_up(
            GiveUp("waiting", all_waiting=True, waits=[{"nodeId": "ask"}]), ExecutionWaiting(time=stage.now)
        )
        following = await stage.queued(slot=policy)
        await door.open()
        assert (await claim(stage) == [following]) is next_gets_in
        await stage.store.pause(waiting, "")
        await stage.store.resume(waiting)
        await door.open()
        assert await stage.status(waiting) == "waiting"
        await stage.store.cancel(waiting, "")
        await door.open()
        assert (await claim(stage) == [following]) is not next_gets_in
        await stage.store.cancel(following, "")


async def test_sixteen_at_once_never_pass_a_limit(
    stage: Stage, second_store: SqlExecutionPersistence
) -> None:
    policy = SlotPolicy("orders/acme", 3)
    doors = [Door(stage), Door(stage, second_store)]
    await asyncio.gather(*(stage.queued(slot=policy) for _ in range(40)))
    running, most, done = 0, 0, 0

    async def work(number: int) -> None:
        nonlocal running, most, done
        mine = Stage(stage.url, (stage.store, second_store)[number % 2])
        mine.now = stage.now
        while done < 40:
            await doors[number % 2].open()
            claimed = await mine.claim(f"worker:{number}", slots=2)
            running += len(claimed)
            most = max(most, running)
            for one in claimed:
                runner = mine.runner(one, f"worker:{number}")
                await runner.step()
                # Before it is told: from then on the slot may be another's.
                running -= 1
                await runner.complete()
                done += 1

    await asyncio.gather(*(work(number) for number in range(8)))
    assert done == 40
    assert most <= 3


# Starts at a limit ---------------------------------------------------------------------------------


async def test_a_start_that_may_not_wait_is_refused(stage: Stage, door: Door) -> None:
    policy = SlotPolicy("orders/acme", 1, on_limit="reject")
    await stage.queued(slot=policy)
    with pytest.raises(SlotsTaken, match="'acme'") as refusal:
        await stage.queued(slot=policy)
    assert refusal.value.details["limit"] == 1
    await stage.queued(slot=SlotPolicy("orders/b", 1, on_limit="reject"))
    assert len(await claim(stage)) == 2


async def test_of_starts_that_come_at_once_as_many_as_fit_are_accepted(
    stage: Stage, second_store: SqlExecutionPersistence
) -> None:
    policy = SlotPolicy("orders/acme", 3, on_limit="reject")
    starts = [(stage.store, second_store)[number % 2].create(stage.new(slot=policy)) for number in range(12)]
    answers = await asyncio.gather(*starts, return_exceptions=True)
    assert Counter(type(answer).__name__ for answer in answers) == {"Started": 3, "SlotsTaken": 9}


async def test_the_oldest_makes_room_for_a_start_that_says_so(stage: Stage, door: Door) -> None:
    policy = SlotPolicy("orders/acme", 2, on_limit="cancel_oldest")
    first = await stage.queued(slot=policy)
    assert await claim(stage) == [first]
    stage.pass_time(1)
    second = await stage.queued(slot=policy)
    stage.pass_time(1)
    third = await stage.store.create(stage.new(slot=policy))
    assert third.replaced == (first,)
    assert (await stage.record(first)).pending_control == "cancel"
    await door.open()
    assert await claim(stage) == [second], "the slot is not free before the runner has let go"
    stage.pass_time(1)
    fourth = await stage.store.create(stage.new(slot=policy))
    assert fourth.replaced == (second,), "who is being cancelled already does not count"
    stage.pass_time(31)
    await stage.store.expire_leases()
    await door.open()
    assert await claim(stage) == [third.execution_id, fourth.execution_id]
    assert await stage.status(first) == "cancelled"


async def test_an_immediate_start_takes_a_slot_or_goes_to_the_queue(stage: Stage, door: Door) -> None:
    runner = await stage.immediate(slot=ONE)
    new = stage.new("immediate", slot=ONE)
    started = await stage.store.create(new, ImmediateRun("executor:1"))
    assert (started.created, started.queued) == (True, True)
    record = await stage.record(new.id)
    assert (record.status, record.mode, record.slot_wanted) == ("pending", "queued", "orders/acme")
    assert await stage.types(new.id) == ["execution.created", "execution.promoted"]
    await runner.complete()
    late = stage.new("immediate", slot=ONE)
    assert (await stage.store.create(late, ImmediateRun("executor:1"))).queued, "nobody overtakes who waits"
    await door.open()
    assert await claim(stage) == [new.id]


async def test_a_retry_waits_for_a_slot_like_any_other(stage: Stage, door: Door) -> None:
    retried = await stage.claimed()
    await retried.complete()
    await stage.queued(slot=ONE)
    await door.open()
    runner = stage.runner((await stage.claim())[0])
    again = stage.new(slot=ONE, retry_of=retried.id)
    await stage.store.create(again)
    await door.open()
    assert await claim(stage) == []
    await runner.complete()
    await door.open()
    assert await claim(stage) == [again.id]


# Rates ---------------------------------------------------------------------------------------------

RATE = RatePolicy("orders/acme", 2, 10_000)


async def test_no_more_begin_within_a_period_than_the_rate_allows(stage: Stage, door: Door) -> None:
    ids = [await stage.queued(rate=RATE) for _ in range(5)]
    await door.open()
    assert await claim(stage) == ids[:2]
    await door.pass_time(9.9)
    assert await claim(stage) == []
    await door.pass_time(0.1)
    assert await claim(stage) == ids[2:4]
    standing = await stage.store.admission.rate_standing(ids[4], "default", RATE.key, 2, 10_000)
    assert (standing.taken, standing.ahead) == (2, 1)
    assert standing.due_at == stage.now + timedelta(seconds=10)


async def test_the_period_slides(stage: Stage, door: Door) -> None:
    await stage.queued(rate=RATE)
    await door.open()
    await door.pass_time(6)
    for _ in range(3):
        await stage.queued(rate=RATE)
    await door.open()
    assert len(await claim(stage)) == 2
    await door.pass_time(4)
    assert len(await claim(stage)) == 1, "the first is ten seconds old, the second four"
    await door.pass_time(5.9)
    assert await claim(stage) == []
    await door.pass_time(0.1)
    assert len(await claim(stage)) == 1


async def test_an_execution_counts_once_however_often_it_is_claimed(stage: Stage, door: Door) -> None:
    execution_id = await stage.queued(rate=RATE)
    await door.open()
    for _ in range(3):
        (claimed,) = await stage.claim()
        await stage.runner(claimed).give_up(GiveUp("pending"))
    assert await claim(stage) == [execution_id]
    await stage.queued(rate=RATE)
    await door.open()
    assert len(await claim(stage)) == 1


async def test_a_start_beyond_the_rate_is_refused_where_it_may_not_wait(stage: Stage) -> None:
    rate = RatePolicy("orders/acme", 1, 10_000, on_limit="reject")
    await stage.queued(rate=rate)
    stage.pass_time(3)
    with pytest.raises(RateExceeded) as refusal:
        await stage.immediate(rate=rate)
    assert refusal.value.retry_after_seconds == 7
    stage.pass_time(7)
    await stage.immediate(rate=rate)


async def test_both_limits_hold_together(stage: Stage, door: Door) -> None:
    ids = [await stage.queued(slot=TWO, rate=RatePolicy("orders/all", 3, 60_000)) for _ in range(5)]
    await door.open()
    first = await stage.claim(slots=9)
    assert [one.execution_id for one in first] == ids[:2]
    for one in first:
        await stage.runner(one).complete()
    await door.open()
    assert await claim(stage) == [ids[2]]
    await door.pass_time(60)
    assert await claim(stage) == [ids[3]]


# Fairness and needs --------------------------------------------------------------------------------


async def test_a_flood_from_one_namespace_leaves_every_other_its_share(stage: Stage) -> None:
    for _ in range(60):
        await stage.queued(namespace="flood")
    stage.pass_time(1)
    for name in ("b", "c"):
        for _ in range(4):
            await stage.queued(namespace=name)
    spaces: list[str] = []
    for execution_id in await claim(stage, 12):
        spaces.append(await stage.store.namespace_of(execution_id))
    assert Counter(spaces) == {"flood": 4, "b": 4, "c": 4}
    assert len(await claim(stage, 10)) == 10, "nobody else is there: the flood has it all"


async def test_one_slot_goes_from_namespace_to_namespace(stage: Stage) -> None:
    for _ in range(20):
        await stage.queued(namespace="flood")
    stage.pass_time(1)
    for _ in range(3):
        await stage.queued(namespace="b")
    order = []
    for _ in range(8):
        (claimed,) = await stage.store.claim_next(Claim("worker:1", new_execution_id(), 1, namespace=""))
        order.append(await stage.store.namespace_of(claimed.execution_id))
        await stage.runner(claimed).complete()
    assert order == ["flood", "b", "flood", "b", "flood", "b", "flood", "flood"]


async def test_who_runs_most_waits_for_the_others(stage: Stage) -> None:
    for _ in range(6):
        await stage.queued(namespace="a")
    assert len(await claim(stage, 4)) == 4
    late = [await stage.queued(namespace="b") for _ in range(3)]
    assert set(await claim(stage, 3)) == set(late)


async def test_within_a_namespace_priority_decides(stage: Stage) -> None:
    low = await stage.queued(namespace="a", priority=9)
    other = await stage.queued(namespace="b", priority=9)
    urgent = await stage.queued(namespace="a", priority=0)
    assert set(await claim(stage, 2)) == {urgent, other}
    assert await claim(stage, 2) == [low]


async def test_a_worker_gets_only_what_it_can_run(stage: Stage) -> None:
    crm = await stage.queued(needs=("acme.crm",))
    newer = await stage.queued(needs=("acme.crm", "definition:2"))
    plain = await stage.queued()
    assert await claim(stage, capabilities=[]) == [plain], "who says nothing can do what every worker can"
    assert await claim(stage, capabilities=["flow.noop"]) == []
    assert await claim(stage, capabilities=["flow.noop", "acme.crm"]) == [crm]
    assert await claim(stage, capabilities=["acme.crm", "definition:1", "definition:2"]) == [newer]


async def test_a_claim_of_one_namespace_gets_that_one(stage: Stage) -> None:
    await stage.queued(namespace="a")
    mine = await stage.queued(namespace="b")
    await stage.queued(namespace="c")
    assert await claim(stage, namespace="b") == [mine]


async def test_concurrent_claims_over_many_namespaces_share_all_and_nothing_twice(
    stage: Stage, second_store: SqlExecutionPersistence
) -> None:
    for number in range(60):
        await stage.queued(namespace=f"n{number % 6}")
    won: Counter[str] = Counter()

    async def claimer(number: int) -> None:
        mine = Stage(stage.url, (stage.store, second_store)[number % 2])
        while claimed := await claim(mine, 4):
            won.update(claimed)

    while len(won) < 60:
        await asyncio.gather(*(claimer(number) for number in range(8)))
    assert set(won.values()) == {1}
