"""What an execution must be after each move, told as simply as can be: no locks, no batches, no faults."""

from __future__ import annotations

from dataclasses import dataclass, field
from datetime import datetime, timedelta

AGEING = timedelta(seconds=60)
WORKER_LEASE = timedelta(seconds=30)
EXECUTOR_LEASE = timedelta(seconds=10)
OVER = ("completed", "failed", "cancelled")


@dataclass
class Expected:
    """One execution, as the model knows it."""

    id: str
    now: datetime
    priority: int
    deadline: datetime | None
    place: datetime  # in the queue
    mode: str = "queued"
    status: str = ""
    epoch: int = 0
    control: str | None = None
    owner: str = ""
    lease_until: datetime | None = None
    lost: int = 0
    quarantined: bool = False
    wake_at: datetime | None = None
    all_waiting: bool = False
    answers: int = 0
    types: list[str] = field(default_factory=lambda: ["execution.created"])

    def queue(self, now: datetime) -> None:
        self.place = now + self.priority * AGEING
        self._rest("pending")

    def lease(self, owner: str, now: datetime) -> None:
        self.status, self.owner, self.epoch = "running", owner, self.epoch + 1
        self.lease_until = now + (EXECUTOR_LEASE if owner.startswith("executor") else WORKER_LEASE)
        self.wake_at, self.all_waiting = None, False

    def _rest(self, status: str) -> None:
        """Nobody runs it from here on."""
        self.status, self.owner, self.lease_until = status, "", None
        self.control, self.quarantined = None, False
        if status not in ("waiting", "paused"):
            self.wake_at, self.all_waiting = None, False

    def promote(self) -> None:
        if self.mode == "immediate":
            self.mode = "queued"
            self.types.append("execution.promoted")

    def claim(self, owner: str, now: datetime) -> None:
        poison = self.lost >= 2
        self.lease(owner, now)
        self.quarantined = poison
        self.types.append("execution.claimed")

    def end(self, status: str) -> None:
        self.types.append(f"execution.{status}")
        self._rest(status)

    def give_up(self, status: str, now: datetime, wake_at: datetime | None) -> None:
        """By the runner, whose own event, if any, is written already."""
        if status in OVER:
            self.end(status)
            return
        control = self.control
        if control == "cancel":
            self.end("cancelled")
            return
        self.promote()
        if control == "pause" and status != "paused":
            self.types.append("execution.paused")
        target = "paused" if control == "pause" else status
        if target == "pending":
            self.queue(now)
            return
        self._rest(target)
        self.wake_at, self.all_waiting = wake_at, status == "waiting"

    def pause(self) -> None:
        if self.status in ("pending", "waiting"):
            self.types += ["execution.pauseRequested", "execution.paused"]
            self.status = "paused"
        elif self.status == "running" and self.control is None:
            self.types.append("execution.pauseRequested")
            self.control = "pause"

    def resume(self, now: datetime) -> None:
        if self.status == "running" and self.control == "pause":
            self.types.append("execution.resumed")
            self.control = None
        elif self.status == "paused":
            due = self.wake_at is not None and self.wake_at <= now
            self.types += ["execution.resumed"] + ["timer.fired"] * due
            if self.all_waiting and not due:
                self.status = "waiting"
            else:
                self.queue(now)

    def cancel(self) -> None:
        if self.status == "running" and self.control != "cancel":
            self.types.append("execution.cancelRequested")
            self.control = "cancel"
        elif self.status in ("pending", "waiting", "paused"):
            self.types.append("execution.cancelRequested")
            self.end("cancelled")

    def answer(self, now: datetime) -> None:
        self.answers += 1
        self.types.append("signal.received")
        if self.status == "waiting":
            self.queue(now)
        elif self.status == "paused":
            self.all_waiting = False

    def release(self, now: datetime) -> None:
        self.epoch += 1
        place, control = self.place, self.control
        if control == "cancel":
            self.end("cancelled")
            return
        self.promote()
        if control == "pause":
            self.types.append("execution.paused")
            self._rest("paused")
        else:
            self.queue(now)
            self.place = place

    def expire(self, now: datetime) -> None:
        if self.status != "running" or self.lease_until is None or self.lease_until > now:
            return
        self.epoch += 1
        self.lost += 1
        if self.control == "cancel":
            self.end("cancelled")
        elif self.lost >= 5:
            self.end("failed")
        else:
            control = self.control
            self.promote()
            if control == "pause":
                self.types.append("execution.paused")
                self._rest("paused")
            else:
                self.queue(now)

    def wake(self, now: datetime) -> None:
        if self.wake_at is None or self.wake_at > now:
            return
        self.types.append("timer.fired")
        if self.status == "waiting":
            self.queue(now)
        else:
            self.wake_at, self.all_waiting = None, False

    def overdue(self, now: datetime) -> None:
        if self.status in OVER or self.deadline is None:
            return
        grace = timedelta(seconds=5 if self.status == "running" else 0)
        if self.deadline + grace <= now:
            self.epoch += 1
            self.end("cancelled" if self.control == "cancel" else "failed")


def next_claims(executions: list[Expected], slots: int) -> list[Expected]:
    """The head of the queue: poison goes alone."""
    queue = [expected for expected in executions if expected.status == "pending"]
    head = sorted(queue, key=lambda expected: (expected.place, expected.id))[:slots]
    if head and head[0].lost >= 2:
        return head[:1]
    return [expected for expected in head if expected.lost < 2]
