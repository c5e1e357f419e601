"""Figures about executions that ended: stats."""

from __future__ import annotations

from datetime import UTC, datetime
from typing import Annotated

import typer

from services.cli.commands.calling import calls
from services.cli.commands.filters import WorkflowOption
from services.cli.commands.options import AsJson, duration
from services.cli.output import print_json
from services.cli.spans import parse_instant, parse_span_ms


def stats(
    workflow: WorkflowOption = "",
    since: Annotated[
        str, typer.Option(metavar="WHEN", help="Ended after: an instant, or a span ago such as 2h.")
    ] = "1d",
    until: Annotated[str | None, typer.Option(metavar="WHEN", help="Ended before; now by default.")] = None,
    bucket: Annotated[
        str | None, typer.Option(metavar="SPAN", help="Of the series: a multiple of 5m.")
    ] = None,
    limit: Annotated[int, typer.Option("--limit", "-n", min=1, max=100, help="The most of each kind.")] = 10,
    as_json: AsJson = False,
) -> None:
    """Count and measure what ended: by workflow, node type, node and error."""
    from flow_engine.v1 import stats_pb2 as pb

    now = datetime.now(UTC)
    request = pb.GetStatsRequest(workflow_id=workflow, limit=limit)
    request.start_time.FromDatetime(parse_instant(since, "--since", now))
    if until is not None:
        request.end_time.FromDatetime(parse_instant(until, "--until", now))
    if bucket is not None:
        request.bucket.CopyFrom(duration(parse_span_ms(bucket, "--bucket")))
    with calls() as (executor, seconds):
        answer = executor.executions.GetStats(request, timeout=seconds)
    if as_json:
        from services.gateway.stats import stats_document

        print_json(stats_document(answer))
        return
    from services.cli.output import console
    from services.cli.stats_report import stats_report

    for part in stats_report(answer):
        console().print(part)
