"""What an execution means for its children and its parent: rows of the outbox, written with what causes them.

A transaction changes one execution; what follows for another is a signal, applied once. PROTOCOL 20.
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass

import msgspec

from flow_engine import payload
from flow_engine.ids import Iteration
from flow_engine.interpreter.events import ChildStarted, decode_events

START, FINISHED, CONTROL = "start", "finished", "control"
CHILD_STARTED = b'"child.started"'
STOPS = b'"stopsChildren":true'


@dataclass(frozen=True, slots=True)
class NewSignal:
    """source, target: executions; of `control` over children the target is a step, or empty for all steps.

    body: of `start` its event, of `control` what is to be done: pause, resume, cancel, end (cancel those
    that somebody waits for), or release (let as many held starts go as there is room for).
    """

    source: str
    target: str
    kind: str
    step: str = ""  # of the parent, of `start` and `finished`
    body: str = ""
    place: int = 0  # of `start`: in the order of the items
    at_once: int = 0  # of `start`: so many children of the step live at a time; 0: any number
    held: bool = False  # of `start`: until there is room


class _Stop(msgspec.Struct, frozen=True, rename="camel"):
    node_id: str = ""
    iteration: Iteration = ()
    stops_children: bool = False


_stops = msgspec.json.Decoder(list[_Stop])


def signals_of(execution_id: str, events_json: bytes) -> list[NewSignal]:
    """What a runner's events mean for the children of its execution, in their order."""
    found: list[NewSignal] = []
    if CHILD_STARTED in events_json:
        started = [event for event in decode_events(events_json, 0) if isinstance(event, ChildStarted)]
        found += [
            NewSignal(
                execution_id,
                event.child_id,
                START,
                step_text(event.node_id, event.iteration),
                payload.encode(event).decode(),
                event.index or 0,
                event.at_once,
                event.index is not None,
            )
            for event in started
        ]
        steps = {step_text(event.node_id, event.iteration) for event in started if event.index is not None}
        found += [NewSignal(execution_id, step, CONTROL, body="release") for step in sorted(steps)]
    if STOPS in events_json:
        found += [
            NewSignal(execution_id, step_text(event.node_id, event.iteration), CONTROL, body="end")
            for event in _stops.decode(events_json)
            if event.stops_children
        ]
    return found


def step_text(node_id: str, iteration: Sequence[int]) -> str:
    """Names a step within its execution: a JSON list of node id and iteration."""
    return payload.encode([node_id, *iteration]).decode()
