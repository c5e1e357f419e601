"""Looking after a running system: workers, queue, drain, requeue, purge, doctor."""

from __future__ import annotations

from typing import Annotated

import typer

from services.cli.commands.calling import calls, tell
from services.cli.commands.options import AsJson, ExecutionIdArgument
from services.cli.errors import BadUse, ExitCode
from services.cli.output import note, print_json

WorkerArgument = Annotated[
    str, typer.Argument(metavar="WORKER", help="Id as `flow workers` shows it, or a part that only it has.")
]


def workers(as_json: AsJson = False) -> None:
    """List the workers that are alive: where, since when, and what each runs."""
    from flow_engine.v1 import operations_pb2 as pb

    with calls() as (executor, seconds):
        answer = executor.operations.ListWorkers(pb.ListWorkersRequest(), timeout=seconds)
    if as_json:
        from services.gateway.queue_documents import worker_list

        print_json(worker_list(answer))
        return
    from services.cli.output import console
    from services.cli.queue_reports import worker_table

    if not answer.workers:
        note("no worker is alive; start one with `flow worker`")
        return
    console().print(worker_table(answer))


def queue(as_json: AsJson = False) -> None:
    """Show how deep the queue is, how old, and what it is made of."""
    from flow_engine.v1 import operations_pb2 as pb

    with calls() as (executor, seconds):
        answer = executor.operations.GetQueue(pb.GetQueueRequest(), timeout=seconds)
    if as_json:
        from services.gateway.queue_documents import queue_document

        print_json(queue_document(answer))
        return
    from services.cli.output import console
    from services.cli.queue_reports import queue_report

    for part in queue_report(answer):
        console().print(part)


def drain(
    worker: WorkerArgument,
    undo: Annotated[bool, typer.Option("--undo", help="Let it take work again.")] = False,
    wait: Annotated[bool, typer.Option("--wait", help="Return once it runs nothing.")] = False,
    as_json: AsJson = False,
) -> None:
    """Let a worker finish what it has and claim nothing more."""
    import time

    from flow_engine.v1 import operations_pb2 as pb

    with calls() as (executor, seconds):
        listed = executor.operations.ListWorkers(pb.ListWorkersRequest(), timeout=seconds).workers
        worker_id = the_one([one.id for one in listed], worker)
        request = pb.DrainWorkerRequest(worker_id=worker_id, undo=undo)
        found = executor.operations.DrainWorker(request, timeout=seconds).worker
        while wait and not undo and found.running_count:
            time.sleep(0.5)
            listed = executor.operations.ListWorkers(pb.ListWorkersRequest(), timeout=seconds).workers
            found = next((one for one in listed if one.id == worker_id), pb.WorkerInfo(id=worker_id))
    if as_json:
        from services.gateway.queue_documents import worker_document

        print_json(worker_document(found))
        return
    if undo:
        print(f"{found.id} takes work again")
    else:
        print(f"{found.id} claims nothing more; it runs {found.running_count}")


def the_one(ids: list[str], part: str) -> str:
    """The id that `part` is, or is a part of. Raises BadUse unless there is exactly one."""
    if part in ids:
        return part
    found = [one for one in ids if part in one]
    if len(found) != 1:
        raise BadUse(f"{len(found) or 'no'} workers have {part!r} in their id", found or ids)
    return found[0]


def requeue(
    execution_id: ExecutionIdArgument,
    first: Annotated[bool, typer.Option("--first", help="To the front of the queue.")] = False,
    as_json: AsJson = False,
) -> None:
    """Take a running execution from its worker, back to the queue; finished nodes stay finished."""
    from flow_engine.v1 import operations_pb2 as pb

    with calls() as (executor, seconds):
        request = pb.RequeueExecutionRequest(execution_id=execution_id, first=first)
        answer = executor.operations.RequeueExecution(request, timeout=seconds)
    tell(answer.execution, as_json, "")


def purge(
    workflow: Annotated[str, typer.Option("--workflow", "-w", metavar="ID", help="Of this workflow.")] = "",
    priority: Annotated[int | None, typer.Option(min=0, max=9, help="Of this priority.")] = None,
    key: Annotated[str, typer.Option(help="With this key of concurrency or rateLimit.")] = "",
    until: Annotated[
        str | None, typer.Option(metavar="WHEN", help="Created before: an instant, or a span ago such as 2h.")
    ] = None,
    everything: Annotated[bool, typer.Option("--all", help="Everything that is pending.")] = False,
    dry_run: Annotated[bool, typer.Option("--dry-run", help="Change nothing, only tell.")] = False,
    reason: Annotated[str, typer.Option(help="For the histories.")] = "",
    as_json: AsJson = False,
) -> None:
    """Cancel pending executions that the options find."""
    from datetime import UTC, datetime

    from flow_engine.v1 import operations_pb2 as pb
    from services.cli.spans import parse_instant

    request = pb.PurgeQueueRequest(
        workflow_id=workflow, priority=priority, key=key, all=everything, dry_run=dry_run, reason=reason
    )
    if until is not None:
        # Asked for portion by portion: what is old must not change meanwhile.
        request.created_before_time.FromDatetime(parse_instant(until, "--until", datetime.now(UTC)))
    count, ids, more = 0, list[str](), True
    with calls() as (executor, seconds):
        while more:
            answer = executor.operations.PurgeQueue(request, timeout=seconds)
            count, more = count + answer.count, answer.more
            ids += answer.execution_ids
    if as_json:
        from services.gateway.queue_documents import PurgeDocument

        print_json(PurgeDocument(count=count, execution_ids=ids[:100], more=False))
        return
    print(f"{count:,} pending executions {'would be' if dry_run else 'were'} cancelled")


def doctor(
    http: Annotated[
        str | None, typer.Option("--http", metavar="HOST:PORT", help="Where the gateway is.")
    ] = None,
    as_json: AsJson = False,
) -> None:
    """Look at everything: what is wrong, and how to mend it. Ends with 1 when something is."""
    from services.cli.doctor import examine, exit_code

    checks = examine(http)
    if as_json:
        from services.cli.doctor import document

        print_json(document(checks))
    else:
        from services.cli.output import console
        from services.cli.queue_reports import check_lines

        for line in check_lines(checks):
            console().print(line)
    if (code := exit_code(checks)) is not ExitCode.OK:
        raise typer.Exit(code)
