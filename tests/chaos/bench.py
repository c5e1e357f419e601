"""Rounds: a fault, a load, quiet, and a verdict."""

from __future__ import annotations

import asyncio
import shutil
import time
from collections.abc import Callable, Iterable, Sequence
from contextlib import suppress
from dataclasses import dataclass, field
from itertools import groupby
from pathlib import Path
from random import Random

from tests.chaos.fault import Fault, Round, Void
from tests.chaos.load import Load
from tests.chaos.oracle import Acknowledged, Call, Evidence, Verdict, Violation, judge, quantile, recovery
from tests.chaos.records import Damaged, Record
from tests.chaos.stage import Plan, Stage
from tests.infra.postgres import PostgresCluster

LEAST_SHARE = 0.8
"""Of the starts that must be acknowledged, or the round is void."""
INJECTION_SECONDS = 240.0
WATCHERS_SECONDS = 15.0


@dataclass(frozen=True, slots=True)
class Row:
    """A line of the table."""

    fault: str
    database: str
    acknowledged: int = 0
    verdict: Verdict = field(default_factory=lambda: Verdict([], 0))
    streams: int = 0
    recoveries: Sequence[float] = ()
    remarks: Sequence[str] = ()
    void: str = ""  # why it proves nothing
    seconds: float = 0.0

    @property
    def passed(self) -> bool:
        return not self.void and not self.verdict.violations


@dataclass(frozen=True, slots=True)
class Assignment:
    """What is to be run: a fault on a database with so many executions."""

    fault: Fault
    database: str
    count: int

    @property
    def plan(self) -> Plan:
        return self.fault.plan(self.database)


class Bench:
    """say: progress for people. keep: folders of stages on which all passed stay too."""

    def __init__(
        self, folder: Path, seed: int, *, short: bool, keep: bool, say: Callable[[str], None]
    ) -> None:
        self._folder = folder
        self._seed = seed
        self._short = short
        self._keep = keep
        self._say = say
        self._cluster: PostgresCluster | None = None
        self._stages = 0

    async def run(self, assignments: Sequence[Assignment]) -> list[Row]:
        """One row each, in order of the stages that they share."""
        rows: list[Row] = []
        try:
            for plan, group in groupby(sorted(assignments, key=_order), key=lambda each: each.plan):
                rows += await self._on_one_stage(plan, list(group))
        finally:
            if self._cluster is not None:
                self._cluster.remove()
        return rows

    async def _on_one_stage(self, plan: Plan, assignments: Sequence[Assignment]) -> list[Row]:
        self._stages += 1
        folder = self._folder / f"stage-{self._stages}"
        folder.mkdir(parents=True)
        rows: list[Row] = []
        stage = Stage(plan, self._cluster_for(plan), folder)
        try:
            await stage.start()
            for assignment in assignments:
                rows.append(await self.round(stage, assignment))
        except asyncio.CancelledError:
            await stage.stop()
            raise
        except Exception as error:
            why = f"{type(error).__name__}: {error}"
            left = assignments[len(rows) :]
            rows += [Row(each.fault.name, each.database, void=why) for each in left]
        problems: list[str] = []
        try:
            problems = await stage.stop()
        except Exception as error:
            problems.append(f"the stage did not stop: {error}")
        if problems:
            found = [Violation("history", "", problem) for problem in problems]
            last = rows[-1]
            verdict = Verdict([*last.verdict.violations, *found], last.verdict.in_doubt)
            rows[-1] = _with(last, verdict)
        if all(row.passed for row in rows) and not self._keep:
            shutil.rmtree(folder, ignore_errors=True)
        return rows

    def _cluster_for(self, plan: Plan) -> PostgresCluster | None:
        if plan.database != "postgresql":
            return None
        if self._cluster is None:
            self._cluster = PostgresCluster(durable=True)
            self._cluster.start()
        return self._cluster

    async def round(self, stage: Stage, assignment: Assignment) -> Row:
        """On a stage that has started."""
        fault, began = assignment.fault, time.monotonic()
        name = f"{fault.name}/{assignment.database}"
        chance = Random(f"{self._seed} {name}")
        load = Load(
            f"{fault.name}.{assignment.database}",
            stage.base_url,
            stage.grpc_address,
            stage.witness.url,
            fault.shape(assignment.count, self._short),
            chance,
        )

        def say(what: str) -> None:
            self._say(f"{name}: {len(load.acknowledged)}/{load.shape.count} acknowledged: {what}")

        round_ = Round(stage, load, Random(f"{self._seed} {name} fault"), self._short, say)
        say("begins")
        loading = asyncio.create_task(load.run())
        void = await self._injected(fault, round_, loading)
        load.fault_over.set()
        with suppress(TimeoutError):
            async with asyncio.timeout(fault.quiet_seconds + INJECTION_SECONDS):
                await load.started()
        say(f"everything started, {len(load.refusals)} starts had to be repeated")
        await self._quiet(stage, load, fault.quiet_seconds)
        await load.watchers_done(WATCHERS_SECONDS)
        load.end()
        await asyncio.gather(loading, return_exceptions=True)
        if not void:
            try:
                await fault.check(round_)
            except Void as why:
                void = str(why)
        row = await asyncio.to_thread(self._judged, assignment, round_, void, time.monotonic() - began)
        say("passed" if row.passed else f"{'VOID' if row.void else 'VIOLATED'} {row.void}".strip())
        for violation in row.verdict.violations[:5]:
            say(str(violation))
        return row

    async def _injected(self, fault: Fault, round_: Round, loading: asyncio.Task[None]) -> str:
        """Inject the fault; why the round is void, if it is."""
        try:
            async with asyncio.timeout(INJECTION_SECONDS):
                await fault.inject(round_)
        except Void as why:
            return str(why)
        except TimeoutError:
            return f"the fault took longer than {INJECTION_SECONDS:g} s"
        except Exception as error:
            return f"the fault itself failed: {type(error).__name__}: {error}"
        if loading.done() and (failure := loading.exception()) is not None:
            return f"the load failed: {failure!r}"
        return ""

    async def _quiet(self, stage: Stage, load: Load, seconds: float) -> None:
        """Wait until every execution has ended, or for so long."""
        deadline = time.monotonic() + seconds
        while time.monotonic() < deadline:
            with suppress(OSError):
                if not await asyncio.to_thread(stage.records.open_executions):
                    return
            await asyncio.sleep(0.1)

    def _judged(self, assignment: Assignment, round_: Round, void: str, seconds: float) -> Row:
        fault, load = assignment.fault, round_.load
        extra = [*load.violations, *round_.violations]
        try:
            records = round_.stage.records.of_tag(load.tag)
        except (OSError, Damaged) as error:
            records = {}
            extra.append(Violation("lost", "", f"the database cannot be read: {error}"))
        verdict = judge(evidence_of(fault, round_, records))
        extra += _of_refusals(fault, load)
        spans = recovery(records.values(), round_.struck)
        if fault.recovery_seconds is not None and spans and spans[-1] > fault.recovery_seconds:
            what = f"going on took {spans[-1]:.1f} s, more than {fault.recovery_seconds:g} s"
            extra.append(Violation("history", "", what))
        acknowledged = len(load.acknowledged)
        if not void and acknowledged < LEAST_SHARE * load.shape.count:
            void = f"only {acknowledged} of {load.shape.count} starts were acknowledged"
        return Row(
            fault.name,
            assignment.database,
            acknowledged,
            Verdict([*verdict.violations, *extra], verdict.in_doubt),
            len(load.watchers),
            spans,
            round_.remarks,
            void,
            seconds,
        )


def evidence_of(fault: Fault, round_: Round, records: dict[str, Record]) -> Evidence:
    load = round_.load
    calls = [
        Call(call["path"], call["key"], call["time"]) for call in round_.stage.witness.calls(f"/{load.tag}/")
    ]
    acknowledged: list[Acknowledged] = list(load.acknowledged)
    streams = [*(watcher.stream for watcher in load.watchers), *round_.streams]
    return Evidence(acknowledged, records, calls, streams, load.starts, fault.repeats_allowed)


def _of_refusals(fault: Fault, load: Load) -> Iterable[Violation]:
    if load.refusals and not fault.refusals_allowed:
        what = f"{len(load.refusals)} starts were refused, such as by {load.refusals[0]}"
        yield Violation("answer", "", what)


def _order(assignment: Assignment) -> tuple[object, ...]:
    plan = assignment.plan
    processes = plan.executors, plan.workers, plan.gateways
    return plan.database, repr(plan.settings), repr(sorted(plan.between)), processes, plan.small_disk


def _with(row: Row, verdict: Verdict) -> Row:
    return Row(
        row.fault,
        row.database,
        row.acknowledged,
        verdict,
        row.streams,
        row.recoveries,
        row.remarks,
        row.void,
        row.seconds,
    )


def overall(recoveries: Sequence[float]) -> tuple[float | None, float | None, float | None]:
    """p50, p95 and the longest."""
    return quantile(recoveries, 0.5), quantile(recoveries, 0.95), recoveries[-1] if recoveries else None
