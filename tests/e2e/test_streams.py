"""Watching live, by Server-Sent Events as a browser's EventSource reads them."""

from __future__ import annotations

import json
import threading
from collections.abc import Iterator
from typing import Any

import grpc
import httpx
import pytest
from websockets.exceptions import WebSocketException
from websockets.sync.client import connect

from flow_engine.v1 import execution_pb2 as pb
from flow_engine.v1.execution_pb2_grpc import ExecutionServiceStub
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


class Watcher(threading.Thread):
    """Watches an execution to its end, however often it is cut off. `frames`: as this way gives them."""

    def __init__(self, stack: Stack, execution_id: str) -> None:
        super().__init__(daemon=True)
        self.stack = stack
        self.execution_id = execution_id
        self.frames: list[dict[str, Any]] = []
        self.connections = 0
        self.cut = threading.Event()  # never set: to wait without sleeping
        self.start()

    @property
    def cursor(self) -> int:
        return int(self.frames[-1]["sequence"]) if self.frames else 0

    def run(self) -> None:
        while True:
            self.connections += 1
            try:
                if self.read():
                    return
            except (httpx.HTTPError, WebSocketException, OSError, grpc.RpcError):
                pass
            self.cut.wait(0.05)

    def read(self) -> bool:
        """One connection, to its end; whether it was the end of the execution too."""
        raise NotImplementedError


class ByEvents(Watcher):
    def run(self) -> None:
        self.source = EventSource(stream_url(self.stack, self.execution_id))
        self.frames = self.source.messages
        super().run()

    def read(self) -> bool:
        return self.source.read_once() == 204


class BySocket(Watcher):
    def read(self) -> bool:
        address = stream_url(self.stack, self.execution_id).replace("http", "ws", 1)
        address = f"{address.removesuffix('/stream')}/ws?afterSequence={self.cursor}"
        with connect(address, proxy=None) as socket:
            for message in socket:
                self.frames.append(json.loads(message))
            return socket.close_code == 1000


class ByCall(Watcher):
    def read(self) -> bool:
        with grpc.insecure_channel(self.stack.grpc_address) as channel:
            request = pb.WatchExecutionRequest(execution_id=self.execution_id, after_sequence=self.cursor)
            for response in ExecutionServiceStub(channel).WatchExecution(request, timeout=60):
                self.frames += [json.loads(event.frame_json) for event in response.events]
        return bool(self.frames) and self.frames[-1]["type"] == "execution.completed"


@pytest.mark.parametrize("database", ["sqlite", "postgresql"])
def test_all_watchers_of_a_promoted_run_see_the_same_while_gateway_and_executor_are_killed(
    make_stack: MakeStack, witness: Witness, database: str
) -> None:
    stack = make_stack(database).start()
    workflow = workflows.calls(witness.url, *(f"step{number}" for number in range(12)))
    for node in workflow["nodes"]:
        node["config"]["url"] += "?hold=300"
    answer = stack.run(
        workflow,
        mode="immediate",
        options={"immediateBudget": 700},
        headers={"Prefer": "respond-async"},
    )
    execution_id = answer["executionId"]
    watchers: list[Watcher] = [kind(stack, execution_id) for kind in (ByEvents, BySocket, ByCall)]
    witness.wait_for("/step4")
    stack.gateway.kill()
    stack.gateway.start()
    witness.wait_for("/step7")
    stack.executor.kill()
    stack.executor.start()

    for watcher in watchers:
        watcher.join(60)
        assert not watcher.is_alive()
        assert watcher.connections > 1, "it was cut off"
    history = stack.events(execution_id)
    assert [frame["sequence"] for frame in history] == list(range(1, len(history) + 1))
    assert "execution.promoted" in [frame["type"] for frame in history]
    assert [watcher.frames for watcher in watchers] == [history] * 3
    for cursor in range(len(history)):
        late = EventSource(stream_url(stack, execution_id))
        late.last_event_id = str(cursor)
        late.read_to_the_end()
        assert late.messages == history[cursor:]
