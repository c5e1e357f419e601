"""A worker of our own that reports out of order, again, with another body, and after it was fenced off."""

from __future__ import annotations

import asyncio
import uuid
from dataclasses import dataclass, field
from datetime import UTC, datetime
from itertools import pairwise
from random import Random
from typing import Any, ClassVar

import grpc

from flow_engine.interpreter import events as e
from flow_engine.v1 import worker_pb2 as pb
from flow_engine.v1.worker_pb2_grpc import WorkerServiceStub
from tests.chaos.cases import Case, completed
from tests.chaos.fault import Fault, Round, Void
from tests.chaos.load import Shape
from tests.chaos.stage import LONG_LEASES

STEPS = 4


def steps_only(chance: Random, witness_url: str, path: str) -> Case:
    """Nodes in a row, for a worker that only pretends to run them."""
    names = [f"n{number}" for number in range(STEPS)]
    workflow = {
        "id": "pretended",
        "nodes": [{"id": name, "type": "flow.noop"} for name in names],
        "edges": [{"source": a, "target": b} for a, b in pairwise(names)],
    }
    return Case("pretended", workflow, {}, completed(*names), output="done", mode="queued")


class ReportsReordered(Fault):
    name = "reports-reordered"
    summary = "reports too early, repeated, changed, by a fenced epoch and after the end, over gRPC"
    settings: ClassVar = LONG_LEASES
    workers = 0
    seconds = (3.0, 6.0)
    refusals_allowed = False

    def shape(self, count: int, short: bool) -> Shape:
        return Shape(count, self.seconds[0 if short else 1], case=steps_only, modes=("queued",))

    async def inject(self, round_: Round) -> None:
        worker = PretendedWorker(round_)
        async with grpc.aio.insecure_channel(round_.stage.grpc_address) as channel:
            stub: Any = WorkerServiceStub(channel)
            while not round_.load.all_started or await self._left(round_):
                claimed = await worker.claim(stub)
                await asyncio.gather(*(worker.carry(stub, execution) for execution in claimed))
        told = ", ".join(f"{count} {word}" for word, count in sorted(worker.told.items()))
        round_.remarks.append(f"replies as they had to be: {told}")
        if not {"OK", "REPORT_GAP", "REPORT_CONFLICT", "LEASE_LOST"} <= worker.told.keys():
            raise Void("not every kind of reply was seen")

    async def _left(self, round_: Round) -> int:
        return await asyncio.to_thread(round_.stage.records.open_executions)


@dataclass(slots=True)
class PretendedWorker:
    """Claims and reports; each reply must be what docs/protocol.md says."""

    round_: Round
    id: str = field(default_factory=lambda: f"worker:{uuid.uuid4()}")
    told: dict[str, int] = field(default_factory=dict)
    fenced: dict[str, list[pb.ExecutionReport]] = field(default_factory=dict)
    """By execution: reports of an epoch that is over. They must not get in beside those of the next."""

    async def claim(self, stub: Any) -> list[pb.ClaimedExecution]:
        """Twice by the same claim id: the same answer."""
        request = pb.ClaimNextRequest(worker_id=self.id, claim_id=uuid.uuid4().hex, free_slots=8)
        first = await stub.ClaimNext(request)
        again = await stub.ClaimNext(request)
        if not first.executions:
            first = again  # something came in between
        ids = [(each.execution_id, each.epoch) for each in first.executions]
        if ids != [(each.execution_id, each.epoch) for each in again.executions]:
            self.round_.violated("zombie", f"a repeated claim got others than {ids}")
        return list(again.executions)

    async def carry(self, stub: Any, claimed: pb.ClaimedExecution) -> None:
        """Report an execution to its end, in every way that a broken network could."""
        chance = Random(self.round_.chance.random())
        if claimed.epoch == 1 and chance.random() < 0.5:
            await self._give_back_and_report(stub, claimed, chance)
            return
        reports = self._reports(claimed)
        for report in reports:
            for old in self.fenced.get(claimed.execution_id, ()):
                await self._expect(stub, old, "LEASE_LOST")
            await self._deliver(stub, report, reports, chance)
        await self._expect(stub, reports[-1], "OK")  # the last one again, after the end
        late = pb.ExecutionReport()
        late.CopyFrom(reports[0])
        late.report_no = len(reports) + 1
        await self._expect(stub, late, "LEASE_LOST")

    async def _deliver(
        self, stub: Any, report: pb.ExecutionReport, reports: list[pb.ExecutionReport], chance: Random
    ) -> None:
        if report.report_no < len(reports) and chance.random() < 0.5:
            await self._expect(stub, reports[report.report_no], "REPORT_GAP")  # the next, too early
        if chance.random() < 0.3:  # several at once: one is accepted, and all are told the same
            first, *others = await asyncio.gather(*(self._expect(stub, report, "OK") for _ in range(4)))
            if any(other != first for other in others):
                self.round_.violated("zombie", "one report was accepted more than once", report.execution_id)
        else:
            await self._expect(stub, report, "OK")
        if chance.random() < 0.5:
            await self._expect(stub, chance.choice(reports[: report.report_no]), "OK")  # an old one again
        if report.report_no < len(reports) and chance.random() < 0.5:
            other = pb.ExecutionReport()
            other.CopyFrom(report)
            other.events_json = e.encode_events([e.StepSkipped(time=_now(), node_id="n3")])
            await self._expect(stub, other, "REPORT_CONFLICT")

    async def _give_back_and_report(self, stub: Any, claimed: pb.ClaimedExecution, chance: Random) -> None:
        """Half a run, then the claim given back: nothing of that epoch is accepted any more."""
        reports = self._reports(claimed)
        written = reports[: chance.randrange(0, 2)]
        for report in written:
            await self._expect(stub, report, "OK")
        lease = pb.Lease(execution_id=claimed.execution_id, epoch=claimed.epoch)
        await stub.Release(pb.ReleaseRequest(worker_id=self.id, leases=[lease]))
        for report in (*written, reports[len(written)]):
            await self._expect(stub, report, "LEASE_LOST")
        self.fenced[claimed.execution_id] = reports

    async def _expect(self, stub: Any, report: pb.ExecutionReport, outcome: str) -> tuple[int, int]:
        """First and last sequence of the reply."""
        response = await stub.Report(pb.ReportRequest(worker_id=self.id, reports=[report]))
        (reply,) = response.replies
        self.told[reply.outcome] = self.told.get(reply.outcome, 0) + 1
        if reply.outcome != outcome:
            kind = "zombie" if reply.outcome == "OK" else "history"
            what = f"report {report.report_no} of epoch {report.epoch}: {reply.outcome} instead of {outcome}"
            self.round_.violated(kind, what, report.execution_id)
        return reply.first_sequence, reply.last_sequence

    def _reports(self, claimed: pb.ClaimedExecution) -> list[pb.ExecutionReport]:
        """What a runner would report: what is left of the steps one by one, then the end."""
        known = [event for batch in claimed.batches for event in e.decode_events(batch.events_json, 1)]
        done = {event.node_id for event in known if isinstance(event, e.StepCompleted)}
        begun = {event.node_id for event in known if isinstance(event, e.StepStarted)}
        parts: list[list[e.Event]] = []
        for node_id in (f"n{number}" for number in range(STEPS)):
            if node_id not in done:
                if node_id not in begun:
                    parts.append([e.StepStarted(time=_now(), node_id=node_id, attempt=1)])
                parts.append([e.StepCompleted(time=_now(), node_id=node_id, attempt=1, output=None)])
        parts.append([e.ExecutionCompleted(time=_now(), output="done")])
        reports, seen = [], claimed.last_sequence
        for number, events in enumerate(parts, claimed.report_no + 1):
            give_up = pb.GiveUp(status="completed", result_json=b'{"output":"done","steps":[]}')
            reports.append(
                pb.ExecutionReport(
                    execution_id=claimed.execution_id,
                    epoch=claimed.epoch,
                    report_no=number,
                    seen_sequence=seen,
                    events_json=e.encode_events(events),
                    event_count=len(events),
                    give_up=give_up if number == claimed.report_no + len(parts) else None,
                )
            )
            seen += len(events)
        return reports


def _now() -> datetime:
    return datetime.now(UTC)


FAULTS: tuple[Fault, ...] = (ReportsReordered(),)
