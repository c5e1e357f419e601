"""Judges a round: what was acknowledged, what the database has, what the witness saw, what watchers got.

Pure: plain data in, findings out. It knows the rules of docs/protocol.md and nothing of the engine's code.
"""

from __future__ import annotations

from collections import Counter, defaultdict
from collections.abc import Iterable, Iterator, Mapping, Sequence
from dataclasses import dataclass, field
from itertools import pairwise
from typing import Any

from tests.chaos.cases import Address, Case
from tests.chaos.records import TERMINAL, Frame, Record, seconds

CLOCK_SECONDS = 0.05
"""An event's time is the database's at the claim plus what passed since; the witness has its own clock."""

OUTCOMES = {
    "step.completed": "completed",
    "step.failed": "failed",
    "step.skipped": "skipped",
    "step.cancelled": "cancelled",
}
END_EVENTS = {f"execution.{status}": status for status in TERMINAL}
HANDOVERS = ("execution.claimed", "execution.promoted")
"""Between two attempts of a step without an outcome, one of these says that its runner was another one."""


@dataclass(frozen=True, slots=True)
class Acknowledged:
    """A start that the caller was told of."""

    execution_id: str
    number: int  # of the start, within the round
    case: Case
    mode: str  # that was asked for: auto, immediate, queued
    told_status: str
    told_output: Any = None


@dataclass(frozen=True, slots=True)
class Call:
    """What the witness saw."""

    path: str
    key: str | None
    time: float


@dataclass(frozen=True, slots=True)
class Stream:
    """All frames that one watcher got over all its connections, in order of arrival."""

    execution_id: str
    frames: Sequence[Frame]
    ended: bool  # it was told that there is no more


@dataclass(frozen=True, slots=True)
class Evidence:
    """Everything about one round."""

    acknowledged: Sequence[Acknowledged]
    records: Mapping[str, Record]  # every execution of the round, acknowledged or not
    calls: Sequence[Call]
    streams: Sequence[Stream] = ()
    starts: Mapping[str, int] = field(default_factory=dict)  # tag of a start -> its number
    repeats_allowed: bool = True  # whether the fault can put a step in doubt at all


@dataclass(frozen=True, slots=True)
class Violation:
    """kind: lost, twice, zombie, gap, duplicate, unaccounted, history or answer."""

    kind: str
    execution_id: str
    what: str

    def __str__(self) -> str:
        return f"{self.kind}: {self.execution_id or '-'}: {self.what}"


@dataclass(frozen=True, slots=True)
class Verdict:
    violations: Sequence[Violation]
    in_doubt: int  # calls that were made again, rightly

    def count(self, *kinds: str) -> int:
        return sum(violation.kind in kinds for violation in self.violations)


def judge(evidence: Evidence) -> Verdict:
    """Everything that is wrong with a round."""
    calls = _by_path(evidence.calls)
    violations = [*_accounting(evidence), *_keys(evidence)]
    in_doubt = 0
    for start in evidence.acknowledged:
        record = evidence.records.get(start.execution_id)
        if record is None:
            continue  # `_accounting` says so
        violations += _ending(start, record)
        violations += _steps(start, record)
        for found in _effects(start, record, calls, evidence.repeats_allowed):
            if isinstance(found, Violation):
                violations.append(found)
            else:
                in_doubt += found
    for record in evidence.records.values():
        violations += _history(record)
        violations += _authors(record)
    for stream in evidence.streams:
        violations += _stream(stream, evidence.records.get(stream.execution_id))
    return Verdict(violations, in_doubt)


# Accounts -----------------------------------------------------------------------------------------


def _accounting(evidence: Evidence) -> Iterator[Violation]:
    """Every acknowledgement has its execution, every start at most one, every execution its start."""
    for start in evidence.acknowledged:
        if start.execution_id not in evidence.records:
            yield Violation("lost", start.execution_id, f"start {start.number} was acknowledged and is gone")
    of_start: dict[int, list[str]] = defaultdict(list)
    for record in evidence.records.values():
        numbers = [evidence.starts[tag] for tag in record.tags if tag in evidence.starts]
        if len(numbers) != 1:
            yield Violation("unaccounted", record.id, f"nobody started it (tags {list(record.tags)})")
        for number in numbers:
            of_start[number].append(record.id)
    for number, ids in of_start.items():
        if len(ids) > 1:
            yield Violation("unaccounted", ids[1], f"start {number} became {len(ids)} executions: {ids}")
    acknowledged: dict[int, set[str]] = defaultdict(set)
    for start in evidence.acknowledged:
        acknowledged[start.number].add(start.execution_id)
    for number, told in acknowledged.items():
        if len(told) > 1:
            yield Violation("answer", "", f"start {number} was acknowledged as {sorted(told)}")
    paths = {path for start in evidence.acknowledged for path in start.case.calls}
    if unknown := sorted({call.path for call in evidence.calls if call.path not in paths}):
        yield Violation("unaccounted", "", f"calls that no acknowledged step makes: {unknown[:5]}")


def _keys(evidence: Evidence) -> Iterator[Violation]:
    """An idempotency key belongs to one step."""
    paths: dict[str, set[str]] = defaultdict(set)
    for call in evidence.calls:
        if call.key is None:
            yield Violation("twice", "", f"{call.path} was called without a key")
        else:
            paths[call.key].add(call.path)
    for key, found in paths.items():
        if len(found) > 1:
            yield Violation("twice", "", f"{sorted(found)} have the same key {key}")


# Ends ---------------------------------------------------------------------------------------------


def _ending(start: Acknowledged, record: Record) -> Iterator[Violation]:
    """It ended, as it had to, and not otherwise than its caller was told."""
    if record.status not in TERMINAL:
        yield Violation("lost", record.id, f"{start.case.kind} is still {record.status}")
        return
    if record.status != start.case.status or record.error_code != start.case.error_code:
        got = f"{record.status} {record.error_code}".strip()
        yield Violation("lost", record.id, f"{start.case.kind} ended {got}: {_last_error(record)}")
        return
    if start.told_status in TERMINAL and start.told_status != record.status:
        told = f"its caller was told {start.told_status}, and it is {record.status}"
        yield Violation("answer", record.id, told)
    if record.status == "completed":
        output = record.events[-1].get("output") if record.events else None
        if output != start.case.output:
            yield Violation("history", record.id, f"output {output!r} instead of {start.case.output!r}")
        if start.told_status == "completed" and start.told_output != start.case.output:
            told = f"its caller was told the output {start.told_output!r}"
            yield Violation("answer", record.id, told)


def _last_error(record: Record) -> str:
    errors = [event["error"] for event in record.events if "error" in event]
    return str(errors[-1]) if errors else "no error in its history"


# Histories ----------------------------------------------------------------------------------------


def _history(record: Record) -> Iterator[Violation]:
    """Contiguous, in order of time, with one beginning, at most one end, and nothing after that."""
    events = record.events
    sequences = [event["sequence"] for event in events]
    if sequences != list(range(1, len(events) + 1)):
        yield Violation("history", record.id, f"sequences are {_shortly(sequences)}")
    if record.last_sequence != len(events):
        yield Violation("history", record.id, f"row at {record.last_sequence}, {len(events)} events")
    for batch in record.batches:
        if len(batch.events) != batch.last - batch.first + 1:
            what = f"{len(batch.events)} events in the batch {batch.first} to {batch.last}"
            yield Violation("history", record.id, what)
    if not events or events[0]["type"] != "execution.created":
        yield Violation("history", record.id, "it does not begin with execution.created")
    if any(seconds(after) < seconds(before) for before, after in pairwise(events)):
        yield Violation("history", record.id, "time runs backwards")
    yield from _ends(record, events)
    for word in ("execution.created", "execution.started", "execution.promoted"):
        if sum(event["type"] == word for event in events) > 1:
            yield Violation("history", record.id, f"{word} more than once")
    for kind, name in (("timer.fired", "timerId"), ("signal.received", "nodeId")):
        times = Counter(
            (event[name], tuple(event.get("iteration", ()))) for event in events if event["type"] == kind
        )
        for subject, count in times.items():
            if count > 1:
                yield Violation("history", record.id, f"{kind} {subject} came {count} times")


def _ends(record: Record, events: Sequence[Frame]) -> Iterator[Violation]:
    ends = [event for event in events if event["type"] in END_EVENTS]
    if len(ends) > 1:
        yield Violation("history", record.id, f"it ended {len(ends)} times")
    if ends and ends[0] is not events[-1]:
        yield Violation("history", record.id, f"{len(events) - ends[0]['sequence']} events after its end")
    told = END_EVENTS[ends[-1]["type"]] if ends else "open"
    actual = record.status if record.status in TERMINAL else "open"
    if told != actual:
        yield Violation("history", record.id, f"its row says {record.status}, its history {told}")


def _authors(record: Record) -> Iterator[Violation]:
    """Nobody writes whose lease was taken: after a claim only its epoch reports, numbers without gaps."""
    immediate = bool(record.events) and record.events[0].get("mode") == "immediate"
    running, last_no = (1 if immediate else 0), 0
    for batch in record.batches:
        if batch.epoch == 0:
            for event in batch.events:
                if event["type"] != "execution.claimed":
                    continue
                if event["epoch"] <= running:
                    what = f"epoch {event['epoch']} was claimed after epoch {running}"
                    yield Violation("zombie", record.id, what)
                running, last_no = max(event["epoch"], running), 0
        elif batch.epoch != running:
            what = f"epoch {batch.epoch} wrote events from {batch.first} on while {running} had the lease"
            yield Violation("zombie", record.id, what)
        elif batch.report_no <= last_no:
            what = f"report {batch.report_no} of epoch {batch.epoch} came after report {last_no}"
            yield Violation("zombie", record.id, what)
        else:
            last_no = batch.report_no
    if running > record.epoch:
        yield Violation("zombie", record.id, f"row at epoch {record.epoch}, history at {running}")


# Steps --------------------------------------------------------------------------------------------


def _steps(start: Acknowledged, record: Record) -> Iterator[Violation]:
    """Each step has its one outcome, after an attempt; attempts count up."""
    found: dict[Address, str] = {}
    begun: Counter[Address] = Counter()
    for event in record.events:
        if not event["type"].startswith("step."):
            continue
        step = _address(event)
        name = f"{step[0]}{list(step[1]) if step[1] else ''}"
        if event["type"] == "step.started":
            begun[step] += 1
            if step in found:
                yield Violation("twice", record.id, f"{name} began again after it had {found[step]}")
            if event["attempt"] != begun[step]:
                what = f"attempt {event['attempt']} of {name} is its number {begun[step]}"
                yield Violation("history", record.id, what)
        elif (outcome := OUTCOMES.get(event["type"])) is not None:
            if step in found:
                yield Violation("twice", record.id, f"{name} {found[step]}, and then {outcome}")
            if outcome in ("completed", "failed") and not begun[step]:
                yield Violation("history", record.id, f"{name} {outcome} without having begun")
            found[step] = outcome
    if record.status == start.case.status == "completed" and found != dict(start.case.outcomes):
        missing = {at: end for at, end in start.case.outcomes.items() if found.get(at) != end}
        extra = {at: end for at, end in found.items() if at not in start.case.outcomes}
        yield Violation("history", record.id, f"steps differ: missing {missing}, beside {extra}")


def _effects(
    start: Acknowledged, record: Record, calls: Mapping[str, Sequence[Call]], repeats_allowed: bool
) -> Iterator[Violation | int]:
    """Calls against attempts: none before its attempt's event, none without one, again only in doubt.

    Yields violations, and for each step how many calls beyond the first were in doubt.
    """
    attempts = _attempts(record)
    for path, step in start.case.calls.items():
        made, tried = calls.get(path, ()), attempts.get(step, [])
        yield from _repetitions(record, path, made, tried, repeats_allowed)
        for call, attempt in zip(made, tried, strict=False):
            if call.time < attempt.began - CLOCK_SECONDS:
                late = attempt.began - call.time
                yield Violation("history", record.id, f"{path} was called {late:.3f} s before it began")
        wanted = [attempt for attempt in tried if attempt.end in ("completed", "retrying", "failed")]
        if len(made) < len(wanted):
            yield Violation("lost", record.id, f"{path}: {len(wanted)} outcomes, {len(made)} calls")


def _repetitions(
    record: Record, path: str, made: Sequence[Call], tried: Sequence[Attempt], repeats_allowed: bool
) -> Iterator[Violation | int]:
    if len(made) > len(tried):
        yield Violation("twice", record.id, f"{path}: {len(made)} calls, {len(tried)} attempts")
    if len({call.key for call in made}) > 1:
        yield Violation("twice", record.id, f"{path}: its attempts have different keys")
    doubtful = [attempt for attempt in tried[:-1] if attempt.end == "open"]
    for attempt in doubtful:
        if not attempt.handed_over:
            yield Violation("twice", record.id, f"{path}: tried again though its runner was not lost")
    again = max(0, len(made) - 1 - sum(attempt.end == "retrying" for attempt in tried))
    if doubtful and not repeats_allowed:
        yield Violation("twice", record.id, f"{path}: tried again though no process was lost")
    yield min(again, len(doubtful))


@dataclass(slots=True)
class Attempt:
    """One try of a step. end: completed, failed, cancelled, retrying, or open: nothing is known of it."""

    began: float
    end: str = "open"
    handed_over: bool = False  # somebody else went on while it was open


def _attempts(record: Record) -> dict[Address, list[Attempt]]:
    found: dict[Address, list[Attempt]] = defaultdict(list)
    for event in record.events:
        if event["type"] in HANDOVERS:
            for attempts in found.values():
                attempts[-1].handed_over = True
        elif event["type"] == "step.started":
            found[_address(event)].append(Attempt(seconds(event)))
        elif event["type"] in OUTCOMES and found.get(_address(event)):
            found[_address(event)][-1].end = OUTCOMES[event["type"]]
        elif event["type"] == "step.retrying" and found.get(_address(event)):
            found[_address(event)][-1].end = "retrying"
    return found


# Streams ------------------------------------------------------------------------------------------


def _stream(stream: Stream, record: Record | None) -> Iterator[Violation]:
    """Each event once, in order, to the end, and as the database has it."""
    if record is None:
        if stream.frames:
            yield Violation("lost", stream.execution_id, "a watcher saw it, and it is gone")
        return
    last = 0
    for frame in stream.frames:
        sequence = frame["sequence"]
        if sequence <= last:
            yield Violation("duplicate", record.id, f"a watcher got {sequence} after {last}")
        elif sequence > last + 1:
            yield Violation("gap", record.id, f"a watcher got {sequence} after {last}")
        last = max(last, sequence)
    if record.status in TERMINAL and last < record.last_sequence:
        yield Violation("gap", record.id, f"a watcher was left at {last} of {record.last_sequence}")
    if record.status in TERMINAL and not stream.ended:
        yield Violation("gap", record.id, "a watcher was never told that it is over")
    events = record.events
    for frame in stream.frames:
        at = frame["sequence"] - 1
        if not 0 <= at < len(events) or frame != events[at]:
            yield Violation("duplicate", record.id, f"a watcher got another event {frame['sequence']}")


# Recovery -----------------------------------------------------------------------------------------


def recovery(records: Iterable[Record], struck: Sequence[float]) -> list[float]:
    """After each blow, how long each execution that was running then took to move on, in seconds.

    struck: times since 1970. Being told of a promotion is no progress; somebody going on is.
    """
    spans = []
    for record in records:
        events = [(seconds(event), event["type"]) for event in record.events]
        for moment in struck:
            before = [kind for time, kind in events if time <= moment]
            after = [time for time, kind in events if time > moment and kind != "execution.promoted"]
            if after and _runs_after(before, record):
                spans.append(after[0] - moment)
    return sorted(spans)


def _runs_after(kinds: Sequence[str], record: Record) -> bool:
    """Whether an execution with these events, and no more yet, is in somebody's hands."""
    if not kinds or kinds[-1] in END_EVENTS:
        return False
    at_rest = ("execution.waiting", "execution.paused", "timer.fired", "signal.received")
    if kinds[-1] in at_rest or kinds[-1].endswith("Requested"):
        return False
    if kinds[-1] == "execution.created":
        return record.events[0].get("mode") == "immediate"
    return True


def quantile(sorted_values: Sequence[float], share: float) -> float | None:
    """None for no values."""
    return (
        sorted_values[min(len(sorted_values) - 1, int(share * len(sorted_values)))] if sorted_values else None
    )


def _by_path(calls: Sequence[Call]) -> dict[str, list[Call]]:
    found: dict[str, list[Call]] = defaultdict(list)
    for call in calls:
        found[call.path].append(call)
    return found


def _address(event: Frame) -> Address:
    return event["nodeId"], tuple(event.get("iteration", ()))


def _shortly(values: Sequence[int]) -> str:
    return str(list(values)) if len(values) <= 12 else f"{list(values[:6])} … {list(values[-6:])}"
