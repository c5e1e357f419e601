"""The executor as other services and `buf curl` see it: by reflection, without our stubs."""

from __future__ import annotations

import json
import subprocess
import sys
from pathlib import Path
from typing import Any

from tests.e2e import workflows
from tests.infra.stack import Stack

BUF = str(Path(sys.executable).with_name("buf"))
BUF_CURL = [BUF, "curl", "--http2-prior-knowledge", "--protocol", "grpc"]


def buf_curl(stack: Stack, method: str, body: Any) -> list[Any]:
    """The messages that the call answers with."""
    command = [*BUF_CURL, "-d", json.dumps(body)]
    url = f"http://{stack.grpc_address}/flow_engine.v1.ExecutionService/{method}"
    done = subprocess.run([*command, url], capture_output=True, text=True, timeout=60, check=False)
    assert done.returncode == 0, done.stderr
    decoder, messages, text = json.JSONDecoder(), [], done.stdout.strip()
    while text:
        message, end = decoder.raw_decode(text)
        messages.append(message)
        text = text[end:].lstrip()
    return messages


def test_services_are_listed_by_reflection(shared_stack: Stack) -> None:
    command = [*BUF_CURL, "--list-services"]
    done = subprocess.run(
        [*command, f"http://{shared_stack.grpc_address}"],
        capture_output=True,
        text=True,
        timeout=60,
        check=True,
    )
    assert {"flow_engine.v1.ExecutionService", "grpc.health.v1.Health"} <= set(done.stdout.split())


def test_an_execution_is_started_and_watched_without_stubs(shared_stack: Stack) -> None:
    spec = {"workflowJson": json.dumps(workflows.SMALL), "inputJson": '{"a": 9007199254740993, "b": 0}'}

    (started,) = buf_curl(shared_stack, "StartExecution", {"spec": spec})
    execution = started["execution"]
    assert execution["status"] == "EXECUTION_STATUS_COMPLETED"
    assert json.loads(execution["outputJson"])["of"] == 9007199254740993

    frames = buf_curl(shared_stack, "WatchExecution", {"executionId": execution["id"]})
    events = [event for frame in frames for event in frame.get("events", [])]
    assert [int(event["sequence"]) for event in events] == list(range(1, len(events) + 1))
    assert events[-1]["type"] == "execution.completed"
