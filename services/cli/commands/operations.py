"""Looking after a running system: workers, queue."""

from __future__ import annotations

from services.cli.commands.calling import calls
from services.cli.commands.options import AsJson
from services.cli.output import note, print_json


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
