"""Whether a runner's report is accepted, and what it changes. PROTOCOL 6 to 9, 11, 13 and 17."""

from __future__ import annotations

import hashlib
from collections import Counter
from datetime import datetime

import msgspec

from flow_engine import payload
from flow_engine.errors import InvalidRequest, Problem
from flow_engine.interpreter.events import ExecutionCancelled, ExecutionPaused, decode_events, encode_events
from flow_engine.interpreter.journal import Entry, GiveUp
from services.executor.persistence.contract import TERMINAL, Report, ReportOutcome
from services.executor.persistence.moves import FINISHING, MOVES, Draft
from services.executor.persistence.offers import task_changes
from services.executor.persistence.relatives import signals_of


class Header(msgspec.Struct, frozen=True):
    """What the executor reads of a reported event; the rest is the runner's affair."""

    type: str
    time: datetime


_headers = msgspec.json.Decoder(list[Header])
_END_EVENTS = frozenset(f"execution.{status}" for status in TERMINAL)
_OUTCOME_EVENTS = frozenset(("step.completed", "step.failed", "step.skipped"))


def headers(events_json: bytes) -> list[Header]:
    """Raises InvalidRequest when the text is not a list of events."""
    try:
        return _headers.decode(events_json or b"[]")
    except msgspec.MsgspecError as error:
        raise InvalidRequest([Problem("/events", "INVALID_EVENTS", str(error))]) from error


def body_hash(report: Report) -> str:
    """Tells a repetition of a report from another report of the same number."""
    digest = hashlib.sha256(report.events_json)
    entry = report.entry
    digest.update(repr((report.seen_sequence, entry and (entry.require_seen, entry.give_up))).encode())
    return digest.hexdigest()[:32]


def is_repetition(draft: Draft, report: Report) -> bool:
    """A report of the running epoch whose number was used already."""
    return draft.row.epoch == report.epoch and 0 < report.report_no <= draft.row.report_no


def refusal(draft: Draft, report: Report) -> ReportOutcome | None:
    """Why a report is not accepted, repetitions left aside. A refused report does not use up its number."""
    row, entry = draft.row, report.entry or Entry(())
    if row.epoch != report.epoch or row.status != "running" or row.lease_owner != report.owner:
        return ReportOutcome.LEASE_LOST
    if report.report_no != row.report_no + 1:
        return ReportOutcome.REPORT_GAP
    if (entry.require_seen or entry.give_up) and report.seen_sequence != row.last_sequence:
        return ReportOutcome.UNSEEN_EVENTS
    if row.pending_control == "cancel" and ends_otherwise_than_cancelled(entry.give_up):
        return ReportOutcome.UNSEEN_EVENTS
    return None


def ends_otherwise_than_cancelled(give_up: GiveUp | None) -> bool:
    return give_up is not None and give_up.status in TERMINAL and give_up.status != "cancelled"


def accept(draft: Draft, report: Report) -> None:
    """Append the report's events and do what it says becomes of the execution."""
    row, entry = draft.row, report.entry or Entry(())
    events = headers(report.events_json)
    if entry.give_up and entry.give_up.status not in MOVES["give_up"].targets:
        raise InvalidRequest(
            [Problem("/giveUp/status", "INVALID_STATUS", f"no way to give up: {entry.give_up.status!r}")]
        )
    kinds = Counter(event.type for event in events)
    if entry.give_up is None and not _END_EVENTS.isdisjoint(kinds):
        raise InvalidRequest([Problem("/events", "END_WITHOUT_GIVE_UP", "an execution ends by giving it up")])
    knew_all = report.seen_sequence == row.last_sequence
    hash_ = body_hash(report)
    draft.set(report_no=report.report_no, report_hash=hash_, report_first_sequence=row.last_sequence + 1)
    if events:
        text = not_before(row.last_event_at, report.events_json, events)
        last = max(row.last_event_at, events[-1].time)
        finished = sum(kinds[kind] for kind in FINISHING)
        report_no = report.report_no
        draft.append(
            text, len(events), finished, last, epoch=row.epoch, report_no=report_no, report_hash=hash_
        )
    draft.payloads.extend(report.payloads)
    if report.has_outcome or not _OUTCOME_EVENTS.isdisjoint(kinds):
        draft.set(lost_leases=0)
    # The reply tells the runner of everything up to here.
    draft.set(seen_sequence=row.last_sequence)
    if row.has_tasks or "step.waiting" in kinds:
        draft.change_tasks(task_changes(report.events_json or b"[]"))
    if signals := signals_of(row.id, report.events_json):
        draft.signals.extend(signals)
        draft.set(has_children=True)
    if "execution.promoted" in kinds:
        draft.set(execution_mode="queued")
    if entry.snapshot and knew_all:
        draft.snapshot = (row.last_sequence, entry.snapshot)
    if entry.give_up:
        _give_up(draft, entry.give_up)


def _give_up(draft: Draft, give_up: GiveUp) -> None:
    row, status = draft.row, give_up.status
    if status not in TERMINAL:
        if row.pending_control != "cancel":
            draft.promote("waiting" if status == "waiting" else "shutdown")
        if row.pending_control is not None:
            _put_down_under_control(draft, give_up)
            return
    if status in TERMINAL:
        draft.set(result=give_up.result.decode() or None)
    if status == "failed":
        draft.set(error=give_up.error.decode() or None)
    draft.move("give_up", status)
    if status in ("waiting", "paused"):
        _rest(draft, give_up, all_waiting=status == "waiting" or give_up.all_waiting)


def _put_down_under_control(draft: Draft, give_up: GiveUp) -> None:
    """The runner puts it down (to drain, say) before it did what was asked: the executor does it."""
    if draft.row.pending_control == "cancel":
        draft.record(ExecutionCancelled(time=draft.now, reason=draft.row.control_reason))
        draft.move("give_up", "cancelled")
        return
    if give_up.status != "paused":
        draft.record(ExecutionPaused(time=draft.now))
    draft.move("give_up", "paused")
    _rest(draft, give_up, all_waiting=give_up.status == "waiting" or give_up.all_waiting)


def _rest(draft: Draft, give_up: GiveUp, *, all_waiting: bool) -> None:
    waits = payload.encode(give_up.waits).decode() if give_up.waits else None
    draft.set(wake_at=give_up.wake_at, wake_timer=give_up.wake_timer, waits=waits, all_waiting=all_waiting)


def not_before(floor: datetime, events_json: bytes, events: list[Header]) -> bytes:
    """The events with times before `floor` moved up to it.

    Rarely needed: only when others wrote an event that the runner did not know of.
    """
    if events[0].time >= floor:
        return events_json
    decoded = decode_events(events_json, 0)
    return encode_events(
        [msgspec.structs.replace(event, sequence=0, time=max(event.time, floor)) for event in decoded]
    )
