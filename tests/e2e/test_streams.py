"""Watching live, by Server-Sent Events as a browser's EventSource reads them."""

from __future__ import annotations

import json
import threading
from collections.abc import Iterator
from typing import Any

import httpx
import pytest

from tests.e2e import workflows
from tests.e2e.conftest import MakeStack
from tests.infra.stack import Stack
from tests.infra.witness import Witness


class EventSource:
    """What the HTML standard says of parsing and reconnecting, as far as we use it."""

    def __init__(self, url: str) -> None:
        self.url = url
        self.last_event_id = ""
        self.messages: list[dict[str, Any]] = []

    def read_once(self, at_most: int | None = None) -> int:
        """One connection; returns its HTTP status. Ends with the stream, or after so many messages."""
        headers = {"Accept": "text/event-stream"}
        if self.last_event_id:
            headers["Last-Event-ID"] = self.last_event_id
        with httpx.stream("GET", self.url, headers=headers, timeout=60) as response:
            if response.status_code != 200:
                return response.status_code
            assert response.headers["content-type"].startswith("text/event-stream")
            for _count, message in zip(range(at_most or 10**9), self._messages(response), strict=False):
                self.messages.append(message)
            return 200

    def read_to_the_end(self) -> None:
        """Reconnects as a browser does, until it is told 204."""
        while self.read_once() == 200:
            pass

    def _messages(self, response: httpx.Response) -> Iterator[dict[str, Any]]:
        data: list[str] = []
        event_id: str | None = None
        for line in response.iter_lines():
            if not line:
                if data:
                    if event_id is not None:
                        self.last_event_id = event_id
                    yield json.loads("\n".join(data))
                data = []
            elif line.startswith(":"):
                continue
            else:
                field, _, value = line.partition(":")
                value = value.removeprefix(" ")
                assert field != "event", "onmessage would not see it"
                if field == "data":
                    data.append(value)
                elif field == "id":
                    event_id = value


def stream_url(stack: Stack, execution_id: str) -> str:
    return f"{stack.base_url}/api/workflow/execution/{execution_id}/stream"


def test_every_event_is_seen_once_across_cut_connections_and_then_it_stops(
    shared_stack: Stack, witness: Witness
) -> None:
    answer = shared_stack.run(workflows.foreach_calls(witness.url), {"items": list(range(10))})
    source = EventSource(stream_url(shared_stack, answer["executionId"]))

    source.read_once(at_most=3)
    source.read_once(at_most=5)
    source.read_to_the_end()

    sequences = [message["sequence"] for message in source.messages]
    assert sequences == list(range(1, len(sequences) + 1))
    assert source.messages[-1]["type"] == "execution.completed"
    assert {message["executionId"] for message in source.messages} == {answer["executionId"]}
    assert source.messages == shared_stack.events(answer["executionId"])


def test_a_run_can_be_watched_from_its_first_moment(shared_stack: Stack) -> None:
    body = {"workflow": workflows.SMALL, "input": {"a": 1, "b": 2}}
    url = f"{shared_stack.base_url}/api/workflow/run"
    with httpx.stream(
        "POST", url, json=body, headers={"Accept": "text/event-stream"}, timeout=30
    ) as response:
        frames = [json.loads(line[5:]) for line in response.iter_lines() if line.startswith("data:")]

    assert frames[0]["executionId"]
    assert frames[-1]["type"] == "execution.completed"


def test_a_snapshot_comes_first_when_asked_for(shared_stack: Stack) -> None:
    answer = shared_stack.run(workflows.APPROVAL, {"amount": 1})
    shared_stack.until(answer["executionId"], "waiting")
    source = EventSource(stream_url(shared_stack, answer["executionId"]) + "?snapshot=true")

    source.read_once(at_most=1)

    assert source.messages[0]["type"] == "snapshot"
    shared_stack.control(answer["executionId"], "cancel")


@pytest.mark.parametrize("database", ["sqlite", "postgresql"])
def test_a_watcher_misses_nothing_while_gateway_and_executor_are_restarted(
    make_stack: MakeStack, witness: Witness, database: str
) -> None:
    stack = make_stack(database).start()
    workflow = workflows.calls(witness.url, *(f"step{number}" for number in range(12)))
    for node in workflow["nodes"]:
        node["config"]["url"] += "?hold=300"
    execution_id = stack.run(workflow, mode="queued")["executionId"]
    source = EventSource(stream_url(stack, execution_id))
    done = threading.Event()

    def watch() -> None:
        while not done.is_set():
            try:
                if source.read_once() == 204:
                    done.set()
            except httpx.HTTPError:
                done.wait(0.05)

    watcher = threading.Thread(target=watch)
    watcher.start()
    witness.wait_for("/step2")
    stack.gateway.kill()
    stack.gateway.start()
    witness.wait_for("/step6")
    stack.executor.kill()
    stack.executor.start()

    assert done.wait(60)
    watcher.join()
    sequences = [message["sequence"] for message in source.messages]
    assert sequences == list(range(1, len(sequences) + 1))
    assert source.messages[-1]["type"] == "execution.completed"
