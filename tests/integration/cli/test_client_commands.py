from __future__ import annotations

import io
import json
import os
import signal
import subprocess
import sys
from pathlib import Path
from typing import Any

import grpc
import pytest

from flow_engine.v1 import execution_pb2 as pb
from services.cli.errors import ExitCode
from tests.integration.cli.canned import BIG, INVALID, RUN_ID, CannedExecutor, events, execution, refusal
from tests.integration.cli.conftest import Flow

WAITING = events(
    {"type": "execution.created", "mode": "queued", "requestedMode": "auto"},
    {
        "type": "step.waiting",
        "nodeId": "ask",
        "iteration": [2, 0],
        "wait": {"kind": "person", "title": "May I?"},
    },
    {"type": "execution.waiting"},
)


def test_run_waits_for_the_end_and_prints_the_output(
    flow: Flow, canned: CannedExecutor, definition: str
) -> None:
    ended = flow("run", definition)

    assert ended.code == ExitCode.OK
    assert f"{RUN_ID}  completed  immediate" in ended.out
    assert str(BIG) in ended.out


def test_run_sends_what_was_asked_for(flow: Flow, canned: CannedExecutor, definition: str) -> None:
    options = "--mode queued --timeout 2m --priority 3 --tag x --tag y --max-retries 4 --budget 500ms".split()
    flow("run", definition, *options, "--request-id", "r1", "--input", f'{{"n": {BIG}}}')

    spec = canned.requests[0].spec
    assert spec.workflow_json == Path(definition).read_text()
    assert spec.input_json == f'{{"n": {BIG}}}'
    assert spec.mode == pb.EXECUTION_MODE_QUEUED
    assert spec.request_id == "r1"
    assert spec.options.timeout.seconds == 120
    assert spec.options.immediate_budget.ToMilliseconds() == 500
    assert (spec.options.priority, spec.options.max_retries, list(spec.options.tags)) == (3, 4, ["x", "y"])


def test_run_leaves_what_was_not_asked_for_to_the_executor(
    flow: Flow, canned: CannedExecutor, definition: str
) -> None:
    flow("run", definition)

    spec = canned.requests[0].spec
    assert spec.mode == pb.EXECUTION_MODE_AUTO
    assert spec.request_id  # so that a start may be repeated
    assert not spec.options.HasField("priority")
    assert not spec.options.HasField("timeout")


def test_run_reads_definition_and_input_from_standard_input_and_file(
    flow: Flow, canned: CannedExecutor, definition: str, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    (tmp_path / "in.json").write_text("[1, 2]")
    text = Path(definition).read_bytes()
    monkeypatch.setattr(sys, "stdin", io.TextIOWrapper(io.BytesIO(text)))

    assert flow("run", "-", "--input", f"@{tmp_path / 'in.json'}").code == ExitCode.OK
    assert canned.requests[0].spec.workflow_json.encode() == text
    assert canned.requests[0].spec.input_json == "[1, 2]"


def test_run_of_a_stored_workflow_sends_its_id(flow: Flow, canned: CannedExecutor) -> None:
    assert flow("run", "--workflow", "w", "--version", "2").code == ExitCode.OK
    assert (canned.requests[0].spec.workflow_id, canned.requests[0].spec.workflow_version) == ("w", 2)


def test_run_as_json_is_the_document_of_the_rest_api(
    flow: Flow, canned: CannedExecutor, definition: str
) -> None:
    document = flow("run", definition, "--json").json

    assert document["executionId"] == RUN_ID
    assert document["output"] == BIG
    assert document["complexity"]["factors"][0] == {
        "name": "nodeCount",
        "value": 1,
        "threshold": 10,
        "fired": False,
        "explanation": "1 of 10 nodes",
    }


def test_watching_a_run_on_a_pipe_prints_a_line_an_event(
    flow: Flow, canned: CannedExecutor, definition: str
) -> None:
    lines = flow("run", definition, "--watch").out.splitlines()

    assert [line.split()[2] for line in lines[:4]] == [
        "execution.created",
        "step.started",
        "step.completed",
        "execution.completed",
    ]


def test_watching_as_json_prints_the_frames_as_they_are(
    flow: Flow, canned: CannedExecutor, definition: str
) -> None:
    lines = flow("run", definition, "--watch", "--json").out.splitlines()

    assert [json.loads(line)["sequence"] for line in lines] == [1, 2, 3, 4]
    assert json.loads(lines[-1])["output"] == BIG


@pytest.mark.parametrize("cut_after", [0, 2, 3])
def test_a_cut_connection_loses_and_repeats_no_event(
    flow: Flow, canned: CannedExecutor, definition: str, cut_after: int
) -> None:
    canned.cut_after = cut_after

    ended = flow("run", definition, "--watch", "--json")

    assert [json.loads(line)["sequence"] for line in ended.out.splitlines()] == [1, 2, 3, 4]
    assert ended.err == ""


@pytest.mark.parametrize("status", [pb.EXECUTION_STATUS_FAILED, pb.EXECUTION_STATUS_CANCELLED])
def test_a_run_that_failed_or_was_cancelled_exits_with_1(
    flow: Flow, canned: CannedExecutor, definition: str, status: pb.ExecutionStatus
) -> None:
    error = pb.ExecutionError(code="TIMEOUT", message="took too long", node_id="a")
    canned.execution = execution(status, error=error)

    ended = flow("run", definition)

    assert ended.code == ExitCode.FAILED
    assert "TIMEOUT: took too long (node a)" in ended.out


def test_a_detached_run_prints_its_id_and_asks_for_no_wait(
    flow: Flow, canned: CannedExecutor, definition: str
) -> None:
    ended = flow("run", definition, "--detach")

    assert (ended.code, ended.out) == (ExitCode.OK, f"{RUN_ID}\n")
    assert canned.requests[0].HasField("wait")
    assert canned.requests[0].wait.ToMilliseconds() == 0


def test_refused_definitions_name_every_problem_with_path_and_hint(
    flow: Flow, canned: CannedExecutor, definition: str
) -> None:
    canned.refuse = INVALID

    ended = flow("run", definition)

    assert ended.code == ExitCode.BAD_USE
    assert ended.out == ""
    assert ended.err.splitlines() == [
        "flow: refused: 2 problems",
        "  /nodes/0/type: there is no node type 'data.sett' [UNKNOWN_TYPE]",
        "    hint: did you mean data.set?",
        "  /edges/0: nobody is 'x' [NO_SUCH_NODE]",
    ]


def test_without_an_executor_the_way_to_one_is_told(
    flow: Flow, definition: str, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setenv("FLOW_GRPC_ADDRESS", "127.0.0.1:1")

    for command in (["ls"], ["run", definition], ["validate", definition], ["workflows", "ls"]):
        ended = flow(*command)
        assert ended.code == ExitCode.UNREACHABLE
        assert ended.err == "flow: no executor at 127.0.0.1:1; start one with `flow up`\n"


@pytest.mark.parametrize(
    ("code", "reason", "exit_code"),
    [
        (grpc.StatusCode.NOT_FOUND, "EXECUTION_NOT_FOUND", ExitCode.BAD_USE),
        (grpc.StatusCode.FAILED_PRECONDITION, "ILLEGAL_TRANSITION", ExitCode.BAD_USE),
        (grpc.StatusCode.RESOURCE_EXHAUSTED, "BUSY", ExitCode.BAD_USE),
        (grpc.StatusCode.UNAVAILABLE, "UNAVAILABLE", ExitCode.UNREACHABLE),
        (grpc.StatusCode.INTERNAL, "INTERNAL", ExitCode.FAILED),
    ],
)
def test_a_refused_call_is_one_line_and_an_exit_code(
    flow: Flow, canned: CannedExecutor, code: grpc.StatusCode, reason: str, exit_code: ExitCode
) -> None:
    canned.refuse = refusal(code, reason, "because")

    ended = flow("show", RUN_ID)

    assert ended.code == exit_code
    assert "because" in ended.err
    assert len(ended.err.splitlines()) == 1


def test_an_ambiguous_answer_lists_the_iterations_to_choose_from(flow: Flow, canned: CannedExecutor) -> None:
    canned.refuse = refusal(
        grpc.StatusCode.FAILED_PRECONDITION, "AMBIGUOUS", "several wait", iterations="[[0, 1], [2, 0]]"
    )

    assert flow("approve", RUN_ID, "ask").err.splitlines() == [
        "flow: several wait",
        "  waiting: --iteration 0,1",
        "  waiting: --iteration 2,0",
    ]


@pytest.mark.parametrize(
    ("arguments", "complaint"),
    [
        (["run"], "give a definition FILE or --workflow ID"),
        (["run", "missing.json"], "cannot read definition missing.json: No such file"),
        (["run", "{file}", "--input", "{broken"], "--input is no JSON: line 1, column 2"),
        (["run", "{file}", "--timeout", "soon"], "--timeout must be a span"),
        (["run", "{file}", "--mode", "fast"], "fast"),
        (["run", "{file}", "--watch", "--detach"], "exclude each other"),
        (["input", RUN_ID, "ask", "{}", "--iteration", "a"], "--iteration must be indexes"),
        (["nodes", "logic.iff"], "there is no node type 'logic.iff'"),
        (["nonsense"], "nonsense"),
    ],
)
def test_bad_use_exits_with_2_and_says_what_is_wrong(
    flow: Flow, canned: CannedExecutor, definition: str, arguments: list[str], complaint: str
) -> None:
    ended = flow(*(argument.replace("{file}", definition) for argument in arguments))

    assert ended.code == ExitCode.BAD_USE
    assert complaint in ended.err
    assert "Traceback" not in ended.err


def test_a_wrong_address_is_a_matter_of_configuration(flow: Flow, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("FLOW_GRPC_ADDRESS", "nonsense")

    ended = flow("ls")

    assert ended.code == ExitCode.CONFIGURATION
    assert "FLOW_GRPC_ADDRESS: 'nonsense' is not of the form host:port" in ended.err


def test_the_token_travels_with_every_call(
    flow: Flow, canned: CannedExecutor, monkeypatch: pytest.MonkeyPatch, definition: str
) -> None:
    monkeypatch.setenv("FLOW_TOKEN", "s3cret")

    for command in (["ls"], ["run", definition]):
        assert flow(*command).code == ExitCode.OK
        assert canned.metadata["authorization"] == "Bearer s3cret"


def test_ls_filters_and_tells_that_there_is_more(flow: Flow, canned: CannedExecutor) -> None:
    arguments = "--status failed --status running --mode queued --tag t --workflow w --since 2h -n 5".split()
    ended = flow("ls", *arguments)

    assert RUN_ID in ended.out
    assert "--page-token more" in ended.err
    request = canned.requests[0]
    assert list(request.statuses) == [pb.EXECUTION_STATUS_FAILED, pb.EXECUTION_STATUS_RUNNING]
    assert (request.mode, list(request.tags), request.page_size) == (pb.EXECUTION_MODE_QUEUED, ["t"], 5)
    assert request.HasField("created_after_time")
    assert not request.HasField("created_before_time")
    assert flow("ls", "--json").json["executions"][0]["executionId"] == RUN_ID


def test_show_tells_why_and_what(flow: Flow, canned: CannedExecutor) -> None:
    out = flow("show", RUN_ID).out

    assert "why: Immediate, because it has 1 node (limit 10)." in out
    assert "✓ completed" in out
    assert str(BIG) in out
    assert flow("show", RUN_ID, "--json").json["steps"][0]["nodeId"] == "a"


def test_show_fetches_the_steps_that_did_not_fit(flow: Flow, canned: CannedExecutor) -> None:
    canned.execution.steps_next_page_token = "more"

    assert [step["nodeId"] for step in flow("show", RUN_ID, "--json").json["steps"]] == ["a", "late"]


def test_events_pages_through_the_history(flow: Flow, canned: CannedExecutor) -> None:
    assert len(flow("events", RUN_ID).out.splitlines()) == 4
    assert len(flow("events", RUN_ID, "--after", "1", "--limit", "2").out.splitlines()) == 2
    lines = flow("events", RUN_ID, "--json").out.splitlines()
    assert [json.loads(line)["sequence"] for line in lines] == [1, 2, 3, 4]


def test_watch_follows_from_where_it_is_told(flow: Flow, canned: CannedExecutor) -> None:
    ended = flow("watch", RUN_ID, "--after", "2", "--json")

    assert ended.code == ExitCode.OK
    assert [json.loads(line)["sequence"] for line in ended.out.splitlines()] == [3, 4]


def test_watching_an_ended_run_from_its_end_stops_at_once(flow: Flow, canned: CannedExecutor) -> None:
    assert flow("watch", RUN_ID, "--after", "4", "--json").code == ExitCode.OK


@pytest.mark.parametrize(
    ("arguments", "request_type", "fields"),
    [
        (["pause", RUN_ID, "--reason", "lunch"], pb.PauseExecutionRequest, {"reason": "lunch"}),
        (["resume", RUN_ID], pb.ResumeExecutionRequest, {}),
        (["cancel", RUN_ID, "--reason", "wrong"], pb.CancelExecutionRequest, {"reason": "wrong"}),
        (["retry", RUN_ID, "--from-node", "a"], pb.RetryExecutionRequest, {"from_node": "a"}),
        (
            ["input", RUN_ID, "ask", '{"n": 1}', "--iteration", "2,0"],
            pb.SubmitInputRequest,
            {"node_id": "ask", "input_json": '{"n": 1}', "iteration": [2, 0]},
        ),
        (
            ["approve", RUN_ID, "ask", "--comment", "fine"],
            pb.SubmitInputRequest,
            {"input_json": '{"approved": true, "comment": "fine"}'},
        ),
        (["reject", RUN_ID, "ask"], pb.SubmitInputRequest, {"input_json": '{"approved": false}'}),
    ],
)
def test_steering_sends_its_order_and_prints_the_status(
    flow: Flow, canned: CannedExecutor, arguments: list[str], request_type: Any, fields: dict[str, Any]
) -> None:
    ended = flow(*arguments)

    assert (ended.code, ended.out) == (ExitCode.OK, f"{RUN_ID}  completed  immediate\n")
    [request] = canned.requests
    assert isinstance(request, request_type)
    assert request.execution_id == RUN_ID
    assert all(getattr(request, name) == value for name, value in fields.items())
    assert flow(*arguments, "--json").json["executionId"] == RUN_ID


def test_validate_reports_problems_and_exits_with_2(
    flow: Flow, canned: CannedExecutor, definition: str, tmp_path: Path
) -> None:
    assert flow("validate", definition).out == "valid\n"
    bad = tmp_path / "bad.json"
    bad.write_text('"bad"')
    ended = flow("validate", str(bad))
    assert ended.code == ExitCode.BAD_USE
    assert "/nodes: is bad [WRONG]" in ended.err
    assert "hint: make it good" in ended.err
    assert flow("validate", str(bad), "--json").json["problems"][0]["path"] == "/nodes"


def test_analyze_shows_every_factor_with_its_threshold(
    flow: Flow, canned: CannedExecutor, definition: str
) -> None:
    out = flow("analyze", definition).out

    assert "Immediate, because it has 1 node (limit 10)." in out
    assert "nodeCount" in out
    assert "10" in out
    assert flow("analyze", definition, "--json").json["mode"] == "immediate"


def test_nodes_lists_types_or_describes_one(flow: Flow, canned: CannedExecutor) -> None:
    assert "true false" in flow("nodes").out
    assert '"type": "object"' in flow("nodes", "logic.if").out
    assert flow("nodes", "--json").json["nodes"][0]["type"] == "logic.if"
    assert flow("nodes", "logic.if", "--json").json["configSchema"] == {"type": "object"}


def test_stored_workflows_are_created_read_changed_and_deleted(
    flow: Flow, canned: CannedExecutor, definition: str
) -> None:
    assert flow("workflows", "create", definition).out == "w  version 1\n"
    assert flow("workflows", "update", "w", definition, "--expected-version", "1").out == "w  version 2\n"
    assert canned.requests[-1].expected_version == 1
    assert json.loads(flow("workflows", "get", "w").out)["vars"]["n"] == BIG
    assert flow("workflows", "get", "w", "--json").json["definition"]["vars"]["n"] == BIG
    assert "w" in flow("workflows", "ls").out
    assert flow("workflows", "ls", "--json").json["workflows"][0]["version"] == 1
    assert flow("workflows", "delete", "w").out == "w deleted\n"


def test_import_prints_a_definition(flow: Flow, tmp_path: Path) -> None:
    file = tmp_path / "dag.json"
    file.write_text('{"name": "D", "workflow": {"tasks": [{"id": "a", "runtime": 2}]}}')

    assert flow("import", "wfcommons", str(file), "--scale", "0.5").json["nodes"][0]["config"] == {
        "durationMs": 1000
    }
    file.write_text("{}")
    ended = flow("import", "wfcommons", str(file))
    assert ended.code == ExitCode.BAD_USE
    assert "no WfFormat file" in ended.err


def test_schema_needs_no_executor(flow: Flow) -> None:
    assert "nodes" in flow("schema").json["properties"]


def test_ctrl_c_leaves_the_run_alone_and_tells_its_id(canned: CannedExecutor, definition: str) -> None:
    canned.history = WAITING
    process = subprocess.Popen(
        [sys.executable, "-m", "services.cli", "run", definition],
        stdout=subprocess.PIPE,
        stderr=subprocess.PIPE,
        text=True,
        env=os.environ,
    )
    assert process.stderr
    try:
        told = [process.stderr.readline(), process.stderr.readline()]
        process.send_signal(signal.SIGINT)
        _, err = process.communicate(timeout=10)
    finally:
        process.kill()

    assert "asks: May I?" in told[0]
    assert f"flow input {RUN_ID} ask JSON --iteration 2,0" in told[1]
    assert process.returncode == ExitCode.INTERRUPTED
    assert f"{RUN_ID} goes on; follow it: flow watch {RUN_ID}" in err
    assert "Traceback" not in err


def test_stats_are_a_report_for_people_and_json_for_programs(flow: Flow, canned: CannedExecutor) -> None:
    assert "0 executions ended" in flow("stats").out

    total = canned.stats.total
    total.runs, total.completed, total.failed, total.success_rate = 1200, 1100, 100, 11 / 12
    total.estimates.runs, total.estimates.close_rate = 10, 0.9
    canned.stats.workflows.add(workflow_id="w").stats.CopyFrom(total)
    canned.stats.slowest_nodes.add(workflow_id="w", node_id="slow", node_type="http.request", runs=1)
    canned.stats.errors.add(code="BROKEN", count=100, message="it broke [red]")
    canned.stats.throughput.add(completed=1)
    report = flow("stats", "--since", "2h", "--bucket", "10m", "-w", "w").out
    for told in ("1,200 executions", "91.7%", "90% within", "slow", "BROKEN", "it broke [red]", "█"):
        assert told in report
    asked = canned.requests[-1]
    assert (asked.workflow_id, asked.bucket.seconds) == ("w", 600)

    assert json.loads(flow("stats", "--json").out)["total"]["runs"] == 1200
    assert flow("stats", "--bucket", "soon").code == ExitCode.BAD_USE


def test_a_search_is_counted_and_exported(flow: Flow, canned: CannedExecutor) -> None:
    wanted = "--error BROKEN --error-text broke --longer 0ms --shorter 2s -w w".split()
    assert flow("ls", "--count", *wanted).out.strip() == "3"
    asked = canned.requests[-1].filter
    assert (asked.error_code, asked.error_text, asked.workflow_id) == ("BROKEN", "broke", "w")
    assert asked.HasField("min_duration")
    assert asked.max_duration.seconds == 2

    lines = flow("export", *wanted).out.splitlines()
    assert json.loads(lines[0])["executionId"] == RUN_ID
    assert canned.requests[-1].error_code == "BROKEN"
    table = flow("export", "--format", "csv").out.splitlines()
    assert table[0].startswith("executionId,workflowId")
    assert RUN_ID in table[1]


def test_versions_labels_and_differences_of_stored_workflows(flow: Flow, canned: CannedExecutor) -> None:
    assert [line.split()[0] for line in flow("workflows", "versions", "w").out.splitlines()[1:]] == ["2", "1"]

    labelled = flow("workflows", "label", "w", "team=payments", "draft-")
    assert labelled.out.strip() == "w  team=payments"
    assert list(canned.requests[-1].remove) == ["draft"]
    assert flow("workflows", "label", "w", "team").code == ExitCode.BAD_USE

    differences = flow("diff", "w", "--from", "1").out.splitlines()
    assert differences == ["~ node call", '    ~ /config/url  "a" → "b"', "+ edge call [error] → tell"]
    as_json = json.loads(flow("diff", "w", "--json").out)
    assert as_json["nodes"][0]["changes"] == [
        {"kind": "changed", "path": "/config/url", "before": "a", "after": "b"}
    ]
