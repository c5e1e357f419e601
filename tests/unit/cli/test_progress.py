from __future__ import annotations

from datetime import UTC, datetime, timedelta
from typing import Any

import pytest
from rich.console import Console

from services.cli.live import event_line, picture
from services.cli.progress import RunProgress

START = datetime(2030, 1, 31, 12, tzinfo=UTC)
DEFINITION = {
    "name": "Pages",
    "nodes": [
        {"id": "last", "type": "data.set"},
        {"id": "loop", "type": "logic.foreach"},
        {"id": "call", "type": "http.request", "parentId": "loop"},
        {"id": "ask", "type": "human.approval"},
    ],
}


def frames(*events: dict[str, Any]) -> list[dict[str, Any]]:
    """Numbered from 1, 10 ms apart."""
    return [
        {
            "sequence": n + 1,
            "executionId": "run-1",
            "time": (START + timedelta(milliseconds=10 * n)).isoformat(),
            **event,
        }
        for n, event in enumerate(events)
    ]


def run_of(*events: dict[str, Any]) -> RunProgress:
    run = RunProgress(DEFINITION)
    for frame in frames(*events):
        run.apply(frame)
    return run


CREATED = {"type": "execution.created", "mode": "queued", "requestedMode": "auto"}
LOOP = {"type": "step.started", "nodeId": "loop", "attempt": 1, "loop": {"itemCount": 3}}


def call(kind: str, index: int, **more: Any) -> dict[str, Any]:
    return {"type": f"step.{kind}", "nodeId": "call", "iteration": [index], "attempt": 1, **more}


def test_children_follow_their_container() -> None:
    assert [(node.id, node.depth) for node in RunProgress(DEFINITION).nodes.values()] == [
        ("last", 0),
        ("loop", 0),
        ("call", 1),
        ("ask", 0),
    ]


def test_known_steps_grow_when_a_loop_opens() -> None:
    assert run_of(CREATED).known_steps == 3
    assert run_of(CREATED, LOOP).known_steps == 6


def test_a_node_in_a_loop_shows_its_loudest_iteration() -> None:
    run = run_of(CREATED, LOOP, call("started", 0), call("completed", 0), call("started", 1))

    assert run.nodes["call"].status == "running"
    assert run.done_steps == 1


@pytest.mark.parametrize(
    ("event", "status"),
    [
        ("execution.started", "running"),
        ("execution.waiting", "waiting"),
        ("execution.paused", "paused"),
        ("execution.completed", "completed"),
        ("execution.failed", "failed"),
        ("execution.cancelled", "cancelled"),
    ],
)
def test_the_run_takes_its_status_from_the_newest_event(event: str, status: str) -> None:
    assert run_of(CREATED, {"type": event}).status == status


def test_promotion_moves_the_run_to_the_queue() -> None:
    run = run_of({**CREATED, "mode": "immediate"}, {"type": "execution.promoted", "reason": "budget"})

    assert run.mode == "queued"


def test_a_retry_shows_the_steps_that_it_keeps() -> None:
    run = run_of(CREATED, {"type": "execution.forked", "kept": [{"nodeId": "last", "status": "completed"}]})

    assert run.nodes["last"].status == "completed"
    assert run.nodes["last"].detail == "kept"


def test_durations_reach_from_start_to_end_or_now() -> None:
    run = run_of(CREATED, LOOP, call("started", 0), call("completed", 0))

    assert run.nodes["call"].duration_ms(START) == 10
    assert run.nodes["loop"].duration_ms(START + timedelta(seconds=1)) == 990
    assert run.nodes["last"].duration_ms(START) is None


def test_steps_that_ask_somebody_are_told() -> None:
    waiting = {"type": "step.waiting", "nodeId": "ask", "wait": {"kind": "person", "title": "May I?"}}

    assert list(run_of(CREATED, waiting).waiting_for_people()) == [("ask", ())]


def test_events_of_nodes_that_the_definition_lacks_are_shown_as_well() -> None:
    assert run_of(CREATED, {"type": "step.started", "nodeId": "late"}).nodes["late"].status == "running"


def test_the_picture_names_every_node_with_its_state() -> None:
    failed = {"type": "step.failed", "nodeId": "ask", "attempt": 2, "error": {"code": "X", "message": "no"}}
    run = run_of(CREATED, LOOP, call("started", 0), failed)

    text = drawn(run, rows=10)

    assert "Pages  queued" in text
    assert "✗ ask" in text
    assert "attempt 2 · X: no" in text
    assert "0/1 iterations" in text
    assert "1/6 steps" in text


def test_long_remarks_take_no_room_from_the_rest() -> None:
    error = {"code": "X", "message": "very " * 100 + "long"}
    run = run_of(CREATED, {"type": "step.failed", "nodeId": "ask", "attempt": 1, "error": error})

    [line] = [line for line in drawn(run, rows=10).splitlines() if "ask" in line]

    assert "human.approval" in line
    assert line.rstrip().endswith("…")


def test_the_picture_tells_how_to_answer_what_waits() -> None:
    run = run_of(CREATED, {"type": "step.waiting", "nodeId": "ask", "wait": {"title": "May I?"}})

    assert "answer it: flow approve run-1 ask" in drawn(run, rows=10)


def test_a_picture_without_room_keeps_what_needs_eyes() -> None:
    run = run_of(CREATED, {"type": "step.started", "nodeId": "ask"})

    text = drawn(run, rows=1)

    assert "ask" in text
    assert "loop" not in text
    assert "… 3 more: 3 pending" in text


def test_a_line_tells_an_event() -> None:
    [line] = [event_line(frame) for frame in frames(call("completed", 2, handle="true"))]

    assert line == "12:00:00.000     1  step.completed      call[2]               → true"


def drawn(run: RunProgress, rows: int) -> str:
    console = Console(width=120, record=True, force_terminal=False)
    with console.capture() as capture:
        console.print(picture(run, START + timedelta(seconds=1), rows))
    return capture.get()
