"""`flow up` as a user meets it: one process that brings everything along and takes it away again."""

from __future__ import annotations

import contextlib
import json
import os
import signal
import socket
import subprocess
import sys
from collections.abc import Callable, Iterator
from pathlib import Path
from typing import Any

import httpx
import pytest

from services.cli.errors import ExitCode
from services.cli.stack.showcase import NAMES
from tests.infra.processes import ended
from tests.infra.stack import eventually

pytestmark = pytest.mark.timeout(180)

ENVIRONMENT = {
    name: value
    for name, value in os.environ.items()
    if not name.startswith("FLOW_") and name not in ("DATABASE_URL", "REDIS_URL")
}
STOP_SECONDS = 60
EXAMPLES = Path(__file__).parents[3] / "examples"


class Up:
    """A running `flow up --json`."""

    def __init__(self, data: Path, *arguments: str, **environment: str) -> None:
        self.data = data
        options = ["--json", "--data", str(data), "--http", "127.0.0.1:0", "--grpc", "127.0.0.1:0"]
        self.process = subprocess.Popen(
            [sys.executable, "-m", "services.cli", "up", *options, *arguments],
            env={**ENVIRONMENT, **environment},
            stdout=subprocess.PIPE,
            stderr=subprocess.PIPE,
            text=True,
        )
        self.ready = self.line()
        self.http: str = self.ready["http"]
        self.examples: list[dict[str, Any]] = []

    @property
    def pids(self) -> dict[str, int]:
        found: dict[str, int] = self.ready["pids"]
        return found

    def line(self) -> dict[str, Any]:
        assert self.process.stdout
        text = self.process.stdout.readline()
        if not text:
            assert self.process.stderr
            raise AssertionError(self.process.stderr.read())
        parsed: dict[str, Any] = json.loads(text)
        return parsed

    def flow(self, *arguments: str, stdin: str | None = None) -> subprocess.CompletedProcess[str]:
        return subprocess.run(
            [sys.executable, "-m", "services.cli", *arguments],
            env={**ENVIRONMENT, "FLOW_GRPC_ADDRESS": self.ready["grpc"]},
            input=stdin,
            capture_output=True,
            text=True,
        )

    def stop(self, number: signal.Signals = signal.SIGTERM) -> int:
        if self.process.poll() is None:
            self.process.send_signal(number)
        self.process.communicate(timeout=STOP_SECONDS)
        return self.process.returncode


Start = Callable[..., Up]


@pytest.fixture
def start(tmp_path: Path) -> Iterator[Start]:
    """Starts stacks on one data folder; they are gone after the test."""
    with contextlib.ExitStack() as stacks:
        yield lambda *arguments, **environment: stacks.enter_context(
            running(tmp_path / "data", *arguments, **environment)
        )


@pytest.fixture(scope="module")
def shared(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Up]:
    """A stack for tests that leave it as it was; it runs the examples, and heeds no proxy."""
    proxies = dict.fromkeys(("http_proxy", "https_proxy", "all_proxy"), "http://127.0.0.1:9")
    folder = tmp_path_factory.mktemp("up") / "data"
    with running(folder, "--examples", "--workers", "2", **proxies) as stack:
        stack.examples = [stack.line() for _ in NAMES]
        yield stack


@contextlib.contextmanager
def running(data: Path, *arguments: str, **environment: str) -> Iterator[Up]:
    stack = Up(data, *arguments, **environment)
    try:
        yield stack
    finally:
        try:
            stack.stop()
        finally:
            stack.process.kill()


def refused(*arguments: str, **environment: str) -> subprocess.CompletedProcess[str]:
    """A `flow up` that does not come up."""
    return subprocess.run(
        [sys.executable, "-m", "services.cli", "up", *arguments],
        env={**ENVIRONMENT, **environment},
        capture_output=True,
        text=True,
        timeout=60,
    )


def test_the_examples_run_as_expected_on_a_new_stack(shared: Up) -> None:
    assert [example["name"] for example in shared.examples] == list(NAMES)
    assert [example["deviations"] for example in shared.examples] == [[]] * len(NAMES)
    assert {example["name"]: example["execution"]["mode"] for example in shared.examples} == {
        "data-flow": "immediate",
        "foreach-http": "queued",
        "sub-flows": "immediate",
        "order-approval": "queued",
        "montage-500": "queued",
    }
    assert sorted(shared.pids) == ["executor", "gateway", "valkey", "worker-1", "worker-2"]


def test_the_command_line_meets_the_stack(shared: Up, tmp_path: Path) -> None:
    stack = shared
    run = stack.flow(
        "run", str(EXAMPLES / "data-flow.json"), "--input", f"@{EXAMPLES / 'data-flow.input.json'}", "--json"
    )
    expected = json.loads((EXAMPLES / "data-flow.expected.json").read_text())

    assert run.returncode == ExitCode.OK, run.stderr
    done = json.loads(run.stdout)
    assert {field: done[field] for field in expected} == expected
    execution_id = done["executionId"]
    assert json.loads(stack.flow("show", execution_id, "--json").stdout)["output"] == expected["output"]
    assert execution_id in stack.flow("ls").stdout
    assert "execution.completed" in stack.flow("watch", execution_id).stdout
    assert len(stack.flow("events", execution_id).stdout.splitlines()) == done["lastSequence"]
    assert stack.flow("nodes", "http.request").returncode == ExitCode.OK
    assert "nodeCount" in stack.flow("analyze", str(EXAMPLES / "montage-500.json")).stdout
    wrong = tmp_path / "wrong.json"
    wrong.write_text('{"nodes": [{"id": "a", "type": "nope"}, {"id": "a", "type": "flow.noop"}]}')
    for command in ("validate", "run"):
        answer = stack.flow(command, str(wrong))
        assert answer.returncode == ExitCode.BAD_USE
        assert "2 problems" in answer.stderr


def test_workflows_reach_the_gateway_of_the_stack_and_nothing_else_of_this_machine(
    shared: Up, tmp_path: Path
) -> None:
    call = {"id": "a", "type": "http.request", "config": {"url": "${ input.url }"}, "onError": "continue"}
    file = tmp_path / "call.json"
    file.write_text(json.dumps({"nodes": [call], "output": "${ get(nodes.a.error, {'code': 'none'}) }"}))

    def error_of(url: str, mode: str) -> Any:
        answer = shared.flow("run", str(file), "--input", json.dumps({"url": url}), "--mode", mode, "--json")
        return json.loads(answer.stdout)["output"]

    grpc = shared.ready["grpc"].rpartition(":")[2]
    for mode in ("immediate", "queued"):
        assert error_of(f"{shared.http}/healthz", mode) == {"code": "none"}
        for closed in (f"http://127.0.0.1:{grpc}/", "http://127.0.0.1:1/", "http://[::1]:1/"):
            denied = error_of(closed, mode)
            assert denied["code"] == "EGRESS_DENIED"
            assert "FLOW_EGRESS_ALLOW=" in denied["message"]


def test_secrets_are_set_from_a_pipe_listed_by_name_and_deleted(shared: Up) -> None:
    refused = shared.flow("secret", "set", "TOKEN", stdin="hunter22")
    assert refused.returncode == ExitCode.BAD_USE
    assert "--host" in refused.stderr
    kept = shared.flow("secret", "set", "TOKEN", "--host", "api.example.com", stdin="hunter22\n")
    assert kept.returncode == ExitCode.OK, kept.stderr
    listed = shared.flow("secret", "list", "--json")
    assert [(each["name"], each["hosts"]) for each in json.loads(listed.stdout)["secrets"]] == [
        ("TOKEN", ["api.example.com"])
    ]
    answer = httpx.put(
        f"{shared.http}/api/secrets/OTHER", json={"value": "abc", "hosts": []}, timeout=10, trust_env=False
    )
    assert answer.status_code == 400
    assert {problem["path"] for problem in answer.json()["problems"]} == {"/value", "/hosts"}
    assert httpx.get(f"{shared.http}/api/secrets", timeout=10, trust_env=False).json() == json.loads(
        listed.stdout
    )
    assert shared.flow("secret", "delete", "TOKEN").returncode == ExitCode.OK
    assert shared.flow("secret", "delete", "TOKEN").returncode == ExitCode.BAD_USE
    assert "hunter22" not in kept.stdout + kept.stderr + listed.stdout
    for log in (shared.data / "logs").iterdir():
        assert "hunter22" not in log.read_text()


def test_a_killed_stack_leaves_nothing_running_and_nothing_is_lost(start: Start) -> None:
    first = start()
    value = json.loads((EXAMPLES / "order-approval.input.json").read_text()) | {"baseUrl": first.http}
    detached = ["run", str(EXAMPLES / "order-approval.json"), "--input", json.dumps(value), "--detach"]
    execution_id = first.flow(*detached).stdout.strip()
    eventually(lambda: status(first, execution_id) == "waiting", "it is waiting")

    first.process.kill()
    assert all(ended(pid, timeout_seconds=40) for pid in first.pids.values())

    second = start()
    approved = second.flow("approve", execution_id, "approval", "--comment", "fine")
    assert approved.returncode == ExitCode.OK, approved.stderr
    eventually(lambda: status(second, execution_id) == "completed", "it is completed")
    document = json.loads(second.flow("show", execution_id, "--json").stdout)
    assert document["output"] == {"decision": "ship"}

    assert second.stop(signal.SIGINT) == ExitCode.OK
    assert all(ended(pid) for pid in second.pids.values())
    assert not (second.data / "run" / "redis.url").exists()


@pytest.mark.parametrize("service", ["executor", "worker-1", "gateway", "valkey"])
def test_a_part_that_is_killed_comes_back_at_its_address(shared: Up, service: str) -> None:
    os.kill(shared.pids[service], signal.SIGKILL)
    assert ended(shared.pids[service])

    workflow = {"nodes": [{"id": "a", "type": "data.set", "config": {"values": {"n": 2**53 + 1}}}]}
    body = {"workflow": workflow, "mode": "queued"}
    execution_id = eventually(lambda: accepted(shared, body), "a start is accepted")
    eventually(lambda: status(shared, execution_id) == "completed", "it is completed")
    eventually(lambda: answers(shared), "the gateway is ready")


def test_a_second_ctrl_c_stops_at_once(start: Start) -> None:
    stack = start()
    os.kill(stack.pids["executor"], signal.SIGSTOP)  # it will not end gracefully
    stack.process.send_signal(signal.SIGINT)
    assert stack.process.stderr
    while "stopping" not in stack.process.stderr.readline():
        pass
    assert stack.stop(signal.SIGINT) == ExitCode.INTERRUPTED

    assert all(ended(pid) for pid in stack.pids.values())


def test_a_second_stack_on_the_same_data_is_refused(shared: Up) -> None:
    answer = refused("--data", str(shared.data), "--http", "127.0.0.1:0", "--grpc", "127.0.0.1:0")

    assert answer.returncode == ExitCode.CONFIGURATION
    assert f"process {shared.process.pid}" in answer.stderr
    assert len(answer.stderr.splitlines()) == 1


def test_workers_started_singly_find_the_stack(shared: Up) -> None:
    crew = subprocess.Popen(
        [
            *(sys.executable, "-m", "services.cli", "worker", "--processes", "2", "--concurrency", "3"),
            *("--grpc", shared.ready["grpc"], "--data", str(shared.data)),
        ],
        env=ENVIRONMENT,
        stdout=subprocess.PIPE,
        stderr=subprocess.PIPE,
        text=True,
    )
    try:
        assert crew.stdout
        ids = [crew.stdout.readline().split() for _ in range(2)]
        crew.send_signal(signal.SIGTERM)
        _, log = crew.communicate(timeout=STOP_SECONDS)
    finally:
        crew.kill()

    assert crew.returncode == ExitCode.OK
    assert [word for word, _ in ids] == ["ready", "ready"]
    assert len({worker_id for _, worker_id in ids}) == 2
    assert '"slots": 3' in log


@pytest.mark.parametrize("service", ["executor", "worker"])
def test_a_service_without_redis_says_what_to_do(tmp_path: Path, service: str) -> None:
    answer = subprocess.run(
        [sys.executable, "-m", "services.cli", service, "--data", str(tmp_path)],
        env=ENVIRONMENT,
        capture_output=True,
        text=True,
    )

    assert answer.returncode == ExitCode.CONFIGURATION
    assert "REDIS_URL" in answer.stderr
    assert "`flow up`" in answer.stderr


def test_a_busy_port_is_told_in_one_line(tmp_path: Path) -> None:
    with contextlib.closing(socket.create_server(("127.0.0.1", 0))) as taken:
        address = f"127.0.0.1:{taken.getsockname()[1]}"
        answer = refused("--data", str(tmp_path), "--http", address, "--grpc", "127.0.0.1:0")

    assert answer.returncode == ExitCode.CONFIGURATION
    assert answer.stderr.startswith(f"flow: {address} is in use; choose another port with --http")
    assert len(answer.stderr.splitlines()) == 1


def test_a_wrong_setting_of_a_service_is_told_with_its_name(tmp_path: Path) -> None:
    addresses = ["--http", "127.0.0.1:0", "--grpc", "127.0.0.1:0"]

    answer = refused("--data", str(tmp_path), *addresses, FLOW_LEASE_SECONDS="long")

    assert answer.returncode == ExitCode.CONFIGURATION
    assert "FLOW_LEASE_SECONDS" in answer.stderr
    assert "Traceback" not in answer.stderr


def test_given_servers_are_used_as_they_are(start: Start, redis_url: str, postgres_url: str) -> None:
    stack = start(REDIS_URL=redis_url, DATABASE_URL=postgres_url)
    assert "valkey" not in stack.pids

    body = {"workflow": {"nodes": [{"id": "a", "type": "flow.noop"}]}, "mode": "queued"}
    execution_id = eventually(lambda: accepted(stack, body), "a start is accepted")
    eventually(lambda: status(stack, execution_id) == "completed", "it is completed")

    assert not (stack.data / "flow.db").exists()


def accepted(stack: Up, body: Any) -> str | None:
    try:
        answer = httpx.post(f"{stack.http}/api/workflow/run", json=body, timeout=30)
    except httpx.HTTPError:
        return None
    return str(answer.json()["executionId"]) if answer.is_success else None


def status(stack: Up, execution_id: str) -> str | None:
    try:
        answer = httpx.get(f"{stack.http}/api/workflow/execution/{execution_id}")
    except httpx.HTTPError:
        return None
    return str(answer.json()["status"]) if answer.is_success else None


def answers(stack: Up) -> bool:
    try:
        return httpx.get(f"{stack.http}/readyz").is_success
    except httpx.HTTPError:
        return False
