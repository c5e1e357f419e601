"""Steering executions, one by its id or all that a filter finds: pause, resume, cancel, retry."""

from __future__ import annotations

from collections import Counter
from typing import TYPE_CHECKING, Annotated, Any

import typer

from services.cli.commands.calling import calls, tell
from services.cli.commands.filters import (
    ErrorOption,
    ErrorTextOption,
    ModeOption,
    SinceOption,
    StatusOption,
    TagOption,
    UntilOption,
    WorkflowOption,
    conditions,
)
from services.cli.commands.options import AsJson
from services.cli.errors import BadUse
from services.cli.output import note, print_json_line

if TYPE_CHECKING:
    pass

OptionalId = Annotated[str, typer.Argument(metavar="ID", help="Id of the execution; or use filter options.")]
ReasonOption = Annotated[str, typer.Option(help="For the history.")]
DryRun = Annotated[bool, typer.Option("--dry-run", help="With a filter: change nothing, only tell.")]

PAGE = 100


def pause(
    execution_id: OptionalId = "",
    workflow: WorkflowOption = "",
    status: StatusOption = None,
    mode: ModeOption = None,
    tag: TagOption = None,
    since: SinceOption = None,
    until: UntilOption = None,
    dry_run: DryRun = False,
    reason: ReasonOption = "",
    as_json: AsJson = False,
) -> None:
    """Let running steps finish and start nothing new."""
    from flow_engine.v1 import execution_pb2 as pb

    if not _one(execution_id, found := conditions(workflow, status, mode, tag, since, until), dry_run):
        _all(pb.CONTROL_ACTION_PAUSE, found, dry_run, reason, as_json)
        return
    with calls() as (executor, seconds):
        request = pb.PauseExecutionRequest(execution_id=execution_id, reason=reason)
        answer = executor.executions.PauseExecution(request, timeout=seconds)
    tell(answer.execution, as_json, "" if answer.done else "pause accepted; running steps finish first")


def resume(
    execution_id: OptionalId = "",
    workflow: WorkflowOption = "",
    status: StatusOption = None,
    mode: ModeOption = None,
    tag: TagOption = None,
    since: SinceOption = None,
    until: UntilOption = None,
    dry_run: DryRun = False,
    as_json: AsJson = False,
) -> None:
    """Let paused executions go on."""
    from flow_engine.v1 import execution_pb2 as pb

    if not _one(execution_id, found := conditions(workflow, status, mode, tag, since, until), dry_run):
        _all(pb.CONTROL_ACTION_RESUME, found, dry_run, "", as_json)
        return
    with calls() as (executor, seconds):
        request = pb.ResumeExecutionRequest(execution_id=execution_id)
        answer = executor.executions.ResumeExecution(request, timeout=seconds)
    tell(answer.execution, as_json, "" if answer.done else "resume accepted")


def cancel(
    execution_id: OptionalId = "",
    workflow: WorkflowOption = "",
    status: StatusOption = None,
    mode: ModeOption = None,
    tag: TagOption = None,
    since: SinceOption = None,
    until: UntilOption = None,
    dry_run: DryRun = False,
    reason: ReasonOption = "",
    as_json: AsJson = False,
) -> None:
    """Interrupt running steps and end the execution."""
    from flow_engine.v1 import execution_pb2 as pb

    if not _one(execution_id, found := conditions(workflow, status, mode, tag, since, until), dry_run):
        _all(pb.CONTROL_ACTION_CANCEL, found, dry_run, reason, as_json)
        return
    with calls() as (executor, seconds):
        request = pb.CancelExecutionRequest(execution_id=execution_id, reason=reason)
        answer = executor.executions.CancelExecution(request, timeout=seconds)
    tell(answer.execution, as_json, "" if answer.done else "cancel accepted; running steps are interrupted")


def retry(
    execution_id: OptionalId = "",
    workflow: WorkflowOption = "",
    status: StatusOption = None,
    mode: ModeOption = None,
    tag: TagOption = None,
    since: SinceOption = None,
    until: UntilOption = None,
    error: ErrorOption = "",
    error_text: ErrorTextOption = "",
    dry_run: DryRun = False,
    from_node: Annotated[
        str, typer.Option(metavar="NODE", help="Run this node and all downstream of it again.")
    ] = "",
    as_json: AsJson = False,
) -> None:
    """Start failed or cancelled executions again, keeping their finished steps."""
    from flow_engine.v1 import execution_pb2 as pb

    found = conditions(workflow, status, mode, tag, since, until, error=error, error_text=error_text)
    if not _one(execution_id, found, dry_run):
        if from_node:
            raise BadUse("--from-node needs the id of one execution")
        _all(pb.CONTROL_ACTION_RETRY, found, dry_run, "", as_json)
        return
    with calls() as (executor, seconds):
        request = pb.RetryExecutionRequest(execution_id=execution_id, from_node=from_node)
        execution = executor.executions.RetryExecution(request, timeout=seconds).execution
    tell(execution, as_json, f"follow it: flow watch {execution.id}")


def _one(execution_id: str, found: dict[str, Any], dry_run: bool) -> bool:
    """Whether one execution is meant. Raises BadUse unless it is that or a filter."""
    if bool(execution_id) == bool(found):
        raise BadUse("name one execution by its id, or several by filter options such as --workflow")
    if execution_id and dry_run:
        raise BadUse("--dry-run needs filter options; `flow show ID` tells about one execution")
    return bool(execution_id)


def _all(action: int, found: dict[str, Any], dry_run: bool, reason: str, as_json: bool) -> None:
    """Page by page, so that Ctrl-C stops in between; asking again goes on where it stopped."""
    from flow_engine.v1 import execution_pb2 as pb
    from services.cli.reports import controlled_line
    from services.gateway.documents import control_page

    request = pb.ControlExecutionsRequest(
        action=action,  # type: ignore[arg-type]
        filter=pb.ExecutionFilter(**found),
        dry_run=dry_run,
        reason=reason,
        page_size=PAGE,
    )
    counts: Counter[str] = Counter()
    with calls() as (executor, seconds):
        while True:
            page = executor.executions.ControlExecutions(request, timeout=seconds)
            counts += Counter(done=page.done_count, accepted=page.accepted_count, refused=page.refused_count)
            if as_json:
                print_json_line(control_page(page))
            else:
                for one in page.executions:
                    print(controlled_line(one), flush=True)
            if not page.next_page_token:
                break
            request.page_token = page.next_page_token
    said = ", ".join(f"{counts[word]} {word}" for word in ("done", "accepted", "refused"))
    note(f"{'nothing changed; it would be: ' if dry_run else ''}{said}")
