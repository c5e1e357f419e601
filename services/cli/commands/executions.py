"""Looking at executions and answering them: ls, export, show, value, input, approve, reject."""

from __future__ import annotations

import json
from enum import Enum
from typing import TYPE_CHECKING, Annotated, Any

import typer

from services.cli.commands.calling import calls, tell
from services.cli.commands.filters import (
    ErrorOption,
    ErrorTextOption,
    LongerOption,
    ModeOption,
    ParentOption,
    ShorterOption,
    SinceOption,
    StatusOption,
    TagOption,
    UntilOption,
    WorkflowOption,
    conditions,
)
from services.cli.commands.options import AsJson, ExecutionIdArgument, parse_iteration, read_value
from services.cli.output import note, print_json

if TYPE_CHECKING:
    from flow_engine.v1 import execution_pb2 as pb

NodeArgument = Annotated[str, typer.Argument(metavar="NODE", help="Id of the waiting node.")]
IterationOption = Annotated[
    str, typer.Option("--iteration", metavar="2,0", help="Which of them, inside loops; outermost first.")
]


def ls(
    status: StatusOption = None,
    workflow: WorkflowOption = "",
    mode: ModeOption = None,
    tag: TagOption = None,
    since: SinceOption = None,
    until: UntilOption = None,
    longer: LongerOption = None,
    shorter: ShorterOption = None,
    error: ErrorOption = "",
    error_text: ErrorTextOption = "",
    parent: ParentOption = "",
    limit: Annotated[int, typer.Option("--limit", "-n", min=1, max=500, help="The most to print.")] = 20,
    page_token: Annotated[str, typer.Option(help="Where the page before this one ended.")] = "",
    count: Annotated[bool, typer.Option("--count", help="Only say how many there are.")] = False,
    as_json: AsJson = False,
) -> None:
    """List executions, newest first."""
    from msgspec import UNSET

    from flow_engine.v1 import execution_pb2 as pb

    wanted = conditions(workflow, status, mode, tag, since, until, longer, shorter, error, error_text, parent)
    if count:
        _count(pb.ExecutionFilter(**wanted), as_json)
        return
    request = pb.ListExecutionsRequest(page_size=limit, page_token=page_token, **wanted)
    with calls() as (executor, seconds):
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


def _count(wanted: pb.ExecutionFilter, as_json: bool) -> None:
    from flow_engine.v1 import execution_pb2 as pb
    from services.gateway.searching import CountDocument

    with calls() as (executor, seconds):
        found = executor.executions.CountExecutions(pb.CountExecutionsRequest(filter=wanted), timeout=seconds)
    if as_json:
        print_json(CountDocument(count=found.count, more=found.more))
    else:
        print(f"more than {found.count}" if found.more else found.count)


class Format(Enum):
    NDJSON = "ndjson"
    CSV = "csv"


def export(
    format_: Annotated[Format, typer.Option("--format", help="One JSON document a line, or CSV.")] = (
        Format.NDJSON
    ),
    status: StatusOption = None,
    workflow: WorkflowOption = "",
    mode: ModeOption = None,
    tag: TagOption = None,
    since: SinceOption = None,
    until: UntilOption = None,
    longer: LongerOption = None,
    shorter: ShorterOption = None,
    error: ErrorOption = "",
    error_text: ErrorTextOption = "",
    parent: ParentOption = "",
) -> None:
    """Print all executions that match, newest first, for other programs. `> FILE` keeps them."""
    import sys

    from flow_engine.v1 import execution_pb2 as pb
    from services.gateway.searching import EXPORT_PAGE, LINES, csv_head

    wanted = conditions(workflow, status, mode, tag, since, until, longer, shorter, error, error_text, parent)
    request = pb.ListExecutionsRequest(page_size=EXPORT_PAGE, **wanted)
    if format_ is Format.CSV:
        sys.stdout.buffer.write(csv_head())
    with calls() as (executor, seconds):
        while True:
            page = executor.executions.ListExecutions(request, timeout=seconds)
            sys.stdout.buffer.write(LINES[format_.value](page.executions))
            sys.stdout.buffer.flush()
            if not page.next_page_token:
                return
            request.page_token = page.next_page_token


def show(execution_id: ExecutionIdArgument, as_json: AsJson = False) -> None:
    """Show one execution: why its mode was chosen, its steps, its output."""
    from flow_engine.v1 import execution_pb2 as pb

    with calls() as (executor, seconds):
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

    with calls() as (executor, seconds):
        request = pb.GetValueRequest(execution_id=execution_id, hash=value_hash)
        print(executor.executions.GetValue(request, timeout=seconds).value_json)


def submit_input(
    execution_id: ExecutionIdArgument,
    node: NodeArgument,
    answer: Annotated[str, typer.Argument(metavar="JSON", help="The answer, as JSON or @file.")],
    iteration: IterationOption = "",
    as_json: AsJson = False,
) -> None:
    """Answer a step that waits for a person or an outside system."""
    _answer(execution_id, node, read_value(answer, "the answer"), iteration, as_json)


def callback(
    url: Annotated[str, typer.Argument(metavar="URL", help="As callbacks.<node>.url gave it, or its token.")],
    answer: Annotated[str, typer.Argument(metavar="JSON", help="What to report, as JSON or @file.")] = "{}",
) -> None:
    """Report back to a wait.callback, as the outside system would."""
    from flow_engine.v1 import execution_pb2 as pb

    token = url.rstrip("/").rpartition("/")[2]
    request = pb.SubmitCallbackRequest(token=token, payload_json=read_value(answer, "the answer"))
    with calls() as (executor, seconds):
        executor.executions.SubmitCallback(request, timeout=seconds)
    note("received")


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
    with calls() as (executor, seconds):
        answer = executor.executions.SubmitInput(request, timeout=seconds)
    tell(answer.execution, as_json, "")
