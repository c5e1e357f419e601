"""Looking at executions and steering them: ls, show, pause, resume, cancel, retry, input, approve, reject."""

from __future__ import annotations

import json
from collections.abc import Iterator
from contextlib import contextmanager
from datetime import UTC, datetime
from enum import Enum
from typing import TYPE_CHECKING, Annotated, Any

import typer

from services.cli.commands.options import AsJson, ExecutionIdArgument, parse_iteration, read_value
from services.cli.commands.running import Mode
from services.cli.output import note, print_json
from services.cli.settings import ClientSettings
from services.cli.spans import parse_instant

if TYPE_CHECKING:
    from flow_engine.v1 import execution_pb2 as pb
    from services.cli.client import Executor

NodeArgument = Annotated[str, typer.Argument(metavar="NODE", help="Id of the waiting node.")]
IterationOption = Annotated[
    str, typer.Option("--iteration", metavar="2,0", help="Which of them, inside loops; outermost first.")
]
ReasonOption = Annotated[str, typer.Option(help="For the history.")]


class Status(Enum):
    PENDING = "pending"
    RUNNING = "running"
    PAUSED = "paused"
    WAITING = "waiting"
    COMPLETED = "completed"
    FAILED = "failed"
    CANCELLED = "cancelled"


def ls(
    status: Annotated[list[Status] | None, typer.Option("--status", "-s", help="May be repeated.")] = None,
    workflow: Annotated[str, typer.Option("--workflow", "-w", metavar="ID", help="Of this workflow.")] = "",
    mode: Annotated[Mode | None, typer.Option("--mode", "-m", help="immediate or queued.")] = None,
    tag: Annotated[list[str] | None, typer.Option(help="Having all of these; may be repeated.")] = None,
    since: Annotated[
        str | None, typer.Option(metavar="WHEN", help="Created after: an instant, or a span ago such as 2h.")
    ] = None,
    until: Annotated[str | None, typer.Option(metavar="WHEN", help="Created before.")] = None,
    limit: Annotated[int, typer.Option("--limit", "-n", min=1, max=500, help="The most to print.")] = 20,
    page_token: Annotated[str, typer.Option(help="Where the page before this one ended.")] = "",
    as_json: AsJson = False,
) -> None:
    """List executions, newest first."""
    from msgspec import UNSET

    from flow_engine.v1 import execution_pb2 as pb

    request = pb.ListExecutionsRequest(
        page_size=limit,
        page_token=page_token,
        workflow_id=workflow,
        statuses=[f"EXECUTION_STATUS_{one.name}" for one in status or ()],
        mode=f"EXECUTION_MODE_{mode.name}" if mode is not None else None,
        tags=tag or (),
    )
    now = datetime.now(UTC)
    if since is not None:
        request.created_after_time.FromDatetime(parse_instant(since, "--since", now))
    if until is not None:
        request.created_before_time.FromDatetime(parse_instant(until, "--until", now))
    with _calls() as (executor, seconds):
        answer = executor.executions.ListExecutions(request, timeout=seconds)
    if as_json:
        from services.gateway.documents import ExecutionPage, execution_document

        found = [execution_document(execution, with_steps=False) for execution in answer.executions]
        print_json(ExecutionPage(executions=found, next_page_token=answer.next_page_token or UNSET))
        return
    from services.cli.output import console
    from services.cli.reports import execution_table

    if not answer.executions:
        note("no executions")
        return
    console().print(execution_table(answer.executions))
    if answer.next_page_token:
        note(f"there are more: --page-token {answer.next_page_token}")


def show(execution_id: ExecutionIdArgument, as_json: AsJson = False) -> None:
    """Show one execution: why its mode was chosen, its steps, its output."""
    from flow_engine.v1 import execution_pb2 as pb

    with _calls() as (executor, seconds):
        request = pb.GetExecutionRequest(execution_id=execution_id)
        execution = executor.executions.GetExecution(request, timeout=seconds).execution
        while execution.steps_next_page_token:
            rest = executor.executions.ListSteps(
                pb.ListStepsRequest(
                    execution_id=execution_id, page_size=1000, page_token=execution.steps_next_page_token
                ),
                timeout=seconds,
            )
            execution.steps.extend(rest.steps)
            execution.steps_next_page_token = rest.next_page_token
    if as_json:
        from services.gateway.documents import execution_document

        print_json(execution_document(execution, with_steps=True))
        return
    from services.cli.output import console
    from services.cli.reports import execution_report

    for part in execution_report(execution):
        console().print(part)


def value(
    execution_id: ExecutionIdArgument,
    value_hash: Annotated[str, typer.Argument(metavar="HASH", help="As `flow show --json` tells it.")],
) -> None:
    """Print a value above 4 KiB of a step or an event, as JSON."""
    from flow_engine.v1 import execution_pb2 as pb

    with _calls() as (executor, seconds):
        request = pb.GetValueRequest(execution_id=execution_id, hash=value_hash)
        print(executor.executions.GetValue(request, timeout=seconds).value_json)


def pause(execution_id: ExecutionIdArgument, reason: ReasonOption = "", as_json: AsJson = False) -> None:
    """Let running steps finish and start nothing new."""
    from flow_engine.v1 import execution_pb2 as pb

    with _calls() as (executor, seconds):
        request = pb.PauseExecutionRequest(execution_id=execution_id, reason=reason)
        answer = executor.executions.PauseExecution(request, timeout=seconds)
    _tell(answer.execution, as_json, "" if answer.done else "pause accepted; running steps finish first")


def resume(execution_id: ExecutionIdArgument, as_json: AsJson = False) -> None:
    """Let a paused execution go on."""
    from flow_engine.v1 import execution_pb2 as pb

    with _calls() as (executor, seconds):
        request = pb.ResumeExecutionRequest(execution_id=execution_id)
        answer = executor.executions.ResumeExecution(request, timeout=seconds)
    _tell(answer.execution, as_json, "" if answer.done else "resume accepted")


def cancel(execution_id: ExecutionIdArgument, reason: ReasonOption = "", as_json: AsJson = False) -> None:
    """Interrupt running steps and end the execution."""
    from flow_engine.v1 import execution_pb2 as pb

    with _calls() as (executor, seconds):
        request = pb.CancelExecutionRequest(execution_id=execution_id, reason=reason)
        answer = executor.executions.CancelExecution(request, timeout=seconds)
    _tell(answer.execution, as_json, "" if answer.done else "cancel accepted; running steps are interrupted")


def retry(
    execution_id: ExecutionIdArgument,
    from_node: Annotated[
        str, typer.Option(metavar="NODE", help="Run this node and all downstream of it again.")
    ] = "",
    as_json: AsJson = False,
) -> None:
    """Start a failed or cancelled execution again, keeping its finished steps."""
    from flow_engine.v1 import execution_pb2 as pb

    with _calls() as (executor, seconds):
        request = pb.RetryExecutionRequest(execution_id=execution_id, from_node=from_node)
        execution = executor.executions.RetryExecution(request, timeout=seconds).execution
    _tell(execution, as_json, f"follow it: flow watch {execution.id}")


def submit_input(
    execution_id: ExecutionIdArgument,
    node: NodeArgument,
    answer: Annotated[str, typer.Argument(metavar="JSON", help="The answer, as JSON or @file.")],
    iteration: IterationOption = "",
    as_json: AsJson = False,
) -> None:
    """Answer a step that waits for a person or an outside system."""
    _answer(execution_id, node, read_value(answer, "the answer"), iteration, as_json)


def approve(
    execution_id: ExecutionIdArgument,
    node: NodeArgument,
    comment: Annotated[str | None, typer.Option(help="What to say beside it.")] = None,
    iteration: IterationOption = "",
    as_json: AsJson = False,
) -> None:
    """Say yes to a human.approval that waits."""
    _answer(execution_id, node, _decision(True, comment), iteration, as_json)


def reject(
    execution_id: ExecutionIdArgument,
    node: NodeArgument,
    comment: Annotated[str | None, typer.Option(help="What to say beside it.")] = None,
    iteration: IterationOption = "",
    as_json: AsJson = False,
) -> None:
    """Say no to a human.approval that waits."""
    _answer(execution_id, node, _decision(False, comment), iteration, as_json)


def _decision(approved: bool, comment: str | None) -> str:
    decision: dict[str, Any] = {"approved": approved}
    if comment is not None:
        decision["comment"] = comment
    return json.dumps(decision, ensure_ascii=False)


def _answer(execution_id: str, node: str, input_json: str, iteration: str, as_json: bool) -> None:
    from flow_engine.v1 import execution_pb2 as pb

    request = pb.SubmitInputRequest(
        execution_id=execution_id, node_id=node, iteration=parse_iteration(iteration), input_json=input_json
    )
    with _calls() as (executor, seconds):
        answer = executor.executions.SubmitInput(request, timeout=seconds)
    _tell(answer.execution, as_json, "")


@contextmanager
def _calls() -> Iterator[tuple[Executor, float]]:
    """An executor and the deadline of a call that answers at once."""
    from services.cli.client import CALL_SECONDS, connected

    with connected(ClientSettings.read()) as executor:
        yield executor, CALL_SECONDS


def _tell(execution: pb.Execution, as_json: bool, remark: str) -> None:
    from services.cli.reports import status_line
    from services.gateway.documents import execution_document

    if as_json:
        print_json(execution_document(execution, with_steps=bool(execution.steps)))
        return
    print(status_line(execution))
    if remark:
        note(remark)
