"""Starting and following executions: run, watch, events."""

from __future__ import annotations

import json
import uuid
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from enum import Enum
from typing import TYPE_CHECKING, Annotated, Any, NoReturn

import typer

from services.cli.commands.options import (
    AsJson,
    ExecutionIdArgument,
    duration,
    read_definition,
    read_value,
)
from services.cli.errors import BadUse, ExitCode
from services.cli.output import note, print_json
from services.cli.settings import ClientSettings
from services.cli.spans import parse_span_ms

if TYPE_CHECKING:
    from flow_engine.v1 import execution_pb2 as pb
    from services.cli.client import Executor
    from services.cli.following import Following
    from services.cli.progress import Frame, RunProgress


class Mode(Enum):
    AUTO = "auto"
    IMMEDIATE = "immediate"
    QUEUED = "queued"


def run(
    file: Annotated[str | None, typer.Argument(help="A definition, or - for standard input.")] = None,
    workflow: Annotated[
        str | None, typer.Option("--workflow", "-w", metavar="ID", help="Run a stored workflow instead.")
    ] = None,
    version: Annotated[int, typer.Option(help="Of the stored workflow; 0 is the latest.")] = 0,
    input_json: Annotated[
        str, typer.Option("--input", "-i", metavar="JSON", help="Input, as JSON or @file.")
    ] = "{}",
    mode: Annotated[Mode, typer.Option("--mode", "-m", help="Where to run it.")] = Mode.AUTO,
    watch: Annotated[bool, typer.Option("--watch", help="Show every step as it happens.")] = False,
    detach: Annotated[bool, typer.Option("--detach", "-d", help="Print the id and do not wait.")] = False,
    timeout: Annotated[
        str | None, typer.Option(metavar="SPAN", help="Fail it with TIMEOUT after this: 500ms, 30s, 5m, 2h.")
    ] = None,
    priority: Annotated[
        int | None, typer.Option(min=0, max=9, help="Lower runs sooner; 5 by default.")
    ] = None,
    tag: Annotated[list[str] | None, typer.Option(help="A tag; may be repeated.")] = None,
    max_retries: Annotated[
        int | None, typer.Option(min=0, help="For nodes that declare no retry of their own.")
    ] = None,
    budget: Annotated[
        str | None, typer.Option(metavar="SPAN", help="Move an immediate run to the queue after this.")
    ] = None,
    request_id: Annotated[
        str | None, typer.Option(help="Makes the start repeatable: same id, same execution.")
    ] = None,
    as_json: AsJson = False,
) -> None:
    """Run a workflow and wait for its end.

    Ctrl-C stops the waiting, not the run. Exit code 0: completed (or detached), 1: failed or cancelled.
    """
    from flow_engine.v1 import execution_pb2 as pb

    if (file is None) == (workflow is None):
        raise BadUse("give a definition FILE or --workflow ID, one of them")
    if watch and detach:
        raise BadUse("--watch and --detach exclude each other")
    text, definition = read_definition(file) if file is not None else ("", {})
    options = pb.ExecutionOptions(tags=tag or ())
    if timeout is not None:
        options.timeout.CopyFrom(duration(parse_span_ms(timeout, "--timeout")))
    if budget is not None:
        options.immediate_budget.CopyFrom(duration(parse_span_ms(budget, "--budget")))
    if priority is not None:
        options.priority = priority
    if max_retries is not None:
        options.max_retries = max_retries
    spec = pb.StartSpec(
        workflow_json=text,
        workflow_id=workflow or "",
        workflow_version=version,
        input_json=read_value(input_json, "--input"),
        mode=f"EXECUTION_MODE_{mode.name}",
        options=options,
        request_id=request_id or str(uuid.uuid4()),  # a start whose answer is lost may be repeated
    )
    with _executor() as executor:
        if detach:
            _start_detached(executor, spec, as_json)
        else:
            if workflow and watch and not as_json:
                definition = _stored_definition(executor, workflow, version)
            _run_to_end(executor, spec, definition, watch, as_json)


def _start_detached(executor: Executor, spec: pb.StartSpec, as_json: bool) -> None:
    from flow_engine.v1 import execution_pb2 as pb
    from services.cli.client import CALL_SECONDS
    from services.gateway.documents import execution_document

    request = pb.StartExecutionRequest(spec=spec, wait=duration(0))
    execution = executor.executions.StartExecution(request, timeout=CALL_SECONDS).execution
    if as_json:
        print_json(execution_document(execution, with_steps=True))
    else:
        print(execution.id)
        note(f"{execution.complexity.explanation}\nfollow it: flow watch {execution.id}".lstrip())


def _run_to_end(
    executor: Executor, spec: pb.StartSpec, definition: dict[str, Any], watch: bool, as_json: bool
) -> NoReturn:
    from services.cli.following import Following
    from services.cli.progress import RunProgress

    following = Following(executor, spec=spec, on_cut=_reconnecting)
    progress = RunProgress(definition)
    with _interruptible(following):
        _show(following, progress, _watching(progress, as_json) if watch else _waiting(progress))
    _finish(executor, following.execution_id, watched=watch, as_json=as_json)


def watch(
    execution_id: ExecutionIdArgument,
    after: Annotated[int, typer.Option(help="Begin after the event of this number.")] = 0,
    as_json: AsJson = False,
) -> None:
    """Show an execution live until it ends.

    With --json every event is a line of JSON. Ctrl-C stops the watching, not the run.
    """
    from flow_engine.v1 import execution_pb2 as pb
    from services.cli.client import CALL_SECONDS
    from services.cli.following import Following
    from services.cli.progress import RunProgress

    with _executor() as executor:
        request = pb.GetExecutionRequest(execution_id=execution_id, omit_steps=True, include_definition=True)
        execution = executor.executions.GetExecution(request, timeout=CALL_SECONDS).execution
        progress = RunProgress(json.loads(execution.definition_json or "{}"))
        following = Following(executor, execution.id, after=after, on_cut=_reconnecting)
        with _interruptible(following):
            _show(following, progress, _watching(progress, as_json))
        _finish(executor, execution.id, watched=True, as_json=as_json)


def events(
    execution_id: ExecutionIdArgument,
    after: Annotated[int, typer.Option(help="Begin after the event of this number.")] = 0,
    limit: Annotated[int | None, typer.Option(min=1, help="The most to print; all by default.")] = None,
    as_json: AsJson = False,
) -> None:
    """Print the history of an execution so far.

    With --json every event is a line of JSON.
    """
    with _executor() as executor:
        for event in _history(executor, execution_id, after, limit):
            if as_json:
                print(event.frame_json)
            else:
                from services.cli.live import event_line

                print(event_line(json.loads(event.frame_json)))


def _history(executor: Executor, execution_id: str, after: int, limit: int | None) -> Iterator[pb.Event]:
    from flow_engine.v1 import execution_pb2 as pb
    from services.cli.client import CALL_SECONDS

    page = 1000
    while limit is None or limit > 0:
        size = page if limit is None else min(page, limit)
        request = pb.ListEventsRequest(execution_id=execution_id, after_sequence=after, limit=size)
        answer = executor.executions.ListEvents(request, timeout=CALL_SECONDS)
        yield from answer.events
        if not answer.events or answer.events[-1].sequence >= answer.last_sequence:
            return
        after = answer.events[-1].sequence
        limit = None if limit is None else limit - len(answer.events)


@contextmanager
def _executor() -> Iterator[Executor]:
    from services.cli.client import connected

    with connected(ClientSettings.read()) as executor:
        yield executor


def _stored_definition(executor: Executor, workflow_id: str, version: int) -> dict[str, Any]:
    from flow_engine.v1 import workflow_pb2 as wf
    from services.cli.client import CALL_SECONDS

    request = wf.GetWorkflowRequest(workflow_id=workflow_id, version=version)
    workflow = executor.workflows.GetWorkflow(request, timeout=CALL_SECONDS).workflow
    parsed = json.loads(workflow.definition_json)
    return parsed if isinstance(parsed, dict) else {}


@contextmanager
def _interruptible(following: Following) -> Iterator[None]:
    """Ctrl-C leaves the run alone and says how to find it again."""
    try:
        yield
    except KeyboardInterrupt:
        if following.execution_id:
            note(f"\n{following.execution_id} goes on; follow it: flow watch {following.execution_id}")
        raise typer.Exit(ExitCode.INTERRUPTED) from None
    except Exception:
        if following.execution_id:
            note(f"lost sight of {following.execution_id}; look again: flow show {following.execution_id}")
        raise


def _reconnecting() -> None:
    note("the connection to the executor was cut; trying again …")


@contextmanager
def _watching(progress: RunProgress, as_json: bool) -> Iterator[Callable[[pb.Event], None]]:
    """A tree on a terminal, else a line for each event."""
    from services.cli.live import LiveView, event_line
    from services.cli.output import console

    screen = console()
    if as_json:

        def show_json(event: pb.Event) -> None:
            progress.apply(json.loads(event.frame_json))
            print(event.frame_json, flush=True)

        yield show_json
    elif screen.is_terminal:
        with LiveView(progress, screen) as view:
            yield lambda event: view.apply(json.loads(event.frame_json))
    else:

        def show_line(event: pb.Event) -> None:
            read: Frame = json.loads(event.frame_json)
            progress.apply(read)
            print(event_line(read), flush=True)

        yield show_line


@contextmanager
def _waiting(progress: RunProgress) -> Iterator[Callable[[pb.Event], None]]:
    """Silence, but for what needs somebody."""

    def show(event: pb.Event) -> None:
        read: Frame = json.loads(event.frame_json)
        progress.apply(read)
        if event.type == "step.waiting" and read.get("wait"):
            from services.cli.live import answer_command
            from services.cli.progress import step_detail

            command = answer_command(progress, read["nodeId"], read.get("iteration", ()))
            note(f"node {read['nodeId']} {step_detail(read)}")
            note(f"answer it: {command}")

    yield show


def _show(following: Following, progress: RunProgress, view: Any) -> None:
    with view as show:
        for event in following:
            progress.execution_id = following.execution_id
            show(event)


def _finish(executor: Executor, execution_id: str, *, watched: bool, as_json: bool) -> NoReturn:
    """Print the outcome as far as it was not seen, and end with the exit code that it stands for."""
    from flow_engine.v1 import execution_pb2 as pb
    from services.cli.client import CALL_SECONDS
    from services.cli.reports import outcome
    from services.gateway.documents import execution_document

    request = pb.GetExecutionRequest(execution_id=execution_id)
    execution = executor.executions.GetExecution(request, timeout=CALL_SECONDS).execution
    if not as_json:
        print(outcome(execution, headline=not watched))
    elif not watched:
        print_json(execution_document(execution, with_steps=True))
    completed = execution.status == pb.EXECUTION_STATUS_COMPLETED
    raise typer.Exit(ExitCode.OK if completed else ExitCode.FAILED)
