"""What people read about executions, decisions, problems and node types."""

from __future__ import annotations

import json
from collections.abc import Iterable, Iterator
from datetime import UTC, datetime
from typing import Any

from google.protobuf.timestamp_pb2 import Timestamp
from rich.console import RenderableType
from rich.table import Table
from rich.text import Text

from flow_engine.v1 import execution_pb2 as pb
from flow_engine.v1 import workflow_pb2 as wf
from services.cli.live import SYMBOLS
from services.cli.output import pretty
from services.cli.spans import format_ms, milliseconds_between
from services.cli.tables import table as _table
from services.gateway.documents import mode_word, status_word

ASKED = {pb.PENDING_CONTROL_PAUSE: ", pause requested", pb.PENDING_CONTROL_CANCEL: ", cancel requested"}


def status_line(execution: pb.Execution) -> str:
    """`019…  running, cancel requested  queued`."""
    asked = ASKED.get(execution.pending_control, "")
    return f"{execution.id}  {status_word(execution.status)}{asked}  {mode_word(execution.mode)}"


def controlled_line(one: pb.ControlledExecution) -> str:
    """`019…  cancelled  done`, and why where it was refused."""
    effect = pb.ControlEffect.Name(one.effect).removeprefix("CONTROL_EFFECT_").lower()
    more = one.message or (f"→ {one.retry_execution_id}" if one.retry_execution_id else "")
    return f"{one.execution_id}  {status_word(one.status)}  {effect}  {more}".rstrip()


def outcome(execution: pb.Execution, *, headline: bool = True) -> str:
    """How it ended, and its output or error."""
    lines = [f"{status_line(execution)}  {_took(execution)}".rstrip()] if headline else []
    if execution.HasField("output_json"):
        lines.append(pretty(execution.output_json))
    if execution.HasField("error"):
        lines.append(error_line(execution.error))
    return "\n".join(lines)


def error_line(error: pb.ExecutionError) -> str:
    path = ",".join(map(str, error.iteration))
    where = f" (node {error.node_id}{f'[{path}]' if path else ''})" if error.node_id else ""
    return f"{error.code}: {error.message}{where}"


def execution_table(executions: Iterable[pb.Execution]) -> Table:
    table = _table("ID", "WORKFLOW", "STATUS", "MODE", "CREATED", "TOOK", "TAGS")
    for execution in executions:
        status = status_word(execution.status)
        table.add_row(
            execution.id,
            execution.workflow_id or execution.workflow_name,
            _colored(status),
            mode_word(execution.mode),
            local(moment(execution.created_time)),
            _took(execution),
            " ".join(execution.tags),
        )
    return table


def execution_report(execution: pb.Execution) -> Iterator[RenderableType]:
    """Head, reasons, steps, output or error, in this order."""
    name = execution.workflow_name or execution.workflow_id
    yield Text.assemble((name, "bold"), "  " if name else "", status_line(execution))
    created = f"created {local(moment(execution.created_time))}"
    yield Text("  ".join(part for part in (created, f"took {_took(execution)}") if not part.endswith(" ")))
    if execution.retry_of:
        yield Text(f"retry of {execution.retry_of}")
    if execution.parent_id:
        yield Text(f"child of {execution.parent_id}")
    if execution.HasField("complexity"):
        yield Text(f"why: {execution.complexity.explanation}")
    if execution.HasField("waiting_reason"):
        reason = execution.waiting_reason
        until = f"  until {local(moment(reason.until_time))}" if reason.HasField("until_time") else ""
        yield Text(f"waits: {reason.explanation or reason.kind}{until}", style="yellow")
    yield ""
    yield step_table(execution.steps)
    if execution.HasField("output_json"):
        yield ""
        yield Text(f"output:\n{pretty(execution.output_json)}")
    if execution.HasField("error"):
        yield ""
        yield Text(error_line(execution.error), style="red")


def step_table(steps: Iterable[pb.Step]) -> Table:
    table = _table("STEP", "TYPE", "STATUS", "TRIES", "TOOK", "")
    for step in steps:
        path = ",".join(map(str, step.iteration))
        took = _between(step)
        table.add_row(
            f"{step.node_id}{f'[{path}]' if path else ''}",
            step.node_type,
            _colored(_step_word(step)),
            str(step.attempts) if step.attempts else "",
            "" if took is None else format_ms(took),
            Text(_step_remark(step)),
        )
    return table


def _step_remark(step: pb.Step) -> str:
    if step.HasField("error"):
        return f"{step.error.code}: {step.error.message}"
    if step.waiting_json:
        return _waits_for(json.loads(step.waiting_json))
    ways = step.handles or [step.handle]
    return f"→ {' '.join(ways)}" if any(ways) else ""


def _waits_for(waiting: Any) -> str:
    if not isinstance(waiting, dict):
        return "waits"
    return f"asks: {waiting.get('title') or waiting.get('kind', '')}"


def analysis_report(complexity: pb.ComplexityAnalysis) -> Iterator[RenderableType]:
    """The decision, its numbers, then every factor with its threshold."""
    requested = mode_word(complexity.requested_mode)
    yield Text(complexity.explanation, style="bold")
    if complexity.counterfactual:
        yield Text(f"otherwise: {complexity.counterfactual}")
    milliseconds = complexity.estimated_duration.ToMilliseconds()
    yield Text(
        f"asked: {requested}  nodes: {complexity.node_count}  estimate: {format_ms(milliseconds)}"
        f"  external calls: {complexity.external_call_count}  loops: {complexity.loop_count}"
        f"  parallel paths: {complexity.max_parallel_paths}"
    )
    yield ""
    table = _table("FACTOR", "VALUE", "THRESHOLD", "FIRED", "")
    for factor in complexity.factors:
        fired = Text("yes", style="bold yellow") if factor.fired else Text("no", style="dim")
        table.add_row(factor.name, factor.value_json, factor.threshold_json, fired, Text(factor.explanation))
    yield table


def node_type_table(node_types: Iterable[pb.NodeType]) -> Table:
    table = _table("TYPE", "TITLE", "HANDLES", "")
    for node_type in node_types:
        traits = [name for name in ("external", "human", "container") if getattr(node_type, name)]
        table.add_row(
            node_type.type, Text(node_type.title), " ".join(node_type.handles), Text(", ".join(traits))
        )
    return table


def node_type_report(node_type: pb.NodeType) -> Iterator[RenderableType]:
    yield Text.assemble((node_type.type, "bold"), f"  {node_type.title}")
    yield Text(node_type.description)
    if node_type.handles:
        yield Text(f"handles: {' '.join(node_type.handles)}")
    yield Text(f"\nconfig:\n{pretty(node_type.config_schema_json or '{}')}")
    if node_type.example_json:
        yield Text(f"\nexample:\n{pretty(node_type.example_json)}")


def workflow_table(workflows: Iterable[wf.Workflow]) -> Table:
    table = _table("ID", "NAME", "VERSION", "UPDATED", "LABELS")
    for workflow in workflows:
        updated = local(moment(workflow.updated_time))
        labels = " ".join(f"{name}={value}" for name, value in sorted(workflow.labels.items()))
        table.add_row(workflow.id, Text(workflow.name), str(workflow.version), updated, Text(labels))
    return table


def version_table(versions: Iterable[wf.Workflow]) -> Table:
    table = _table("VERSION", "NAME", "STORED", "HASH")
    for version in versions:
        stored = local(moment(version.updated_time))
        table.add_row(str(version.version), Text(version.name), stored, version.definition_hash[:12])
    return table


SIGNS = {wf.DIFF_KIND_ADDED: "+", wf.DIFF_KIND_REMOVED: "-", wf.DIFF_KIND_CHANGED: "~"}


def diff_lines(answer: wf.DiffWorkflowResponse) -> Iterator[str]:
    """One line a difference; values of changed fields are indented below their node or edge."""
    for node in answer.nodes:
        yield f"{SIGNS[node.kind]} node {node.node_id}  {node.node_type}".rstrip()
        yield from (f"    {line}" for line in field_lines(node.changes))
    for edge in answer.edges:
        handle = f"[{edge.source_handle}] " if edge.source_handle else ""
        yield f"{SIGNS[edge.kind]} edge {edge.source} {handle}→ {edge.target}"
        yield from (f"    {line}" for line in field_lines(edge.changes))
    yield from field_lines(answer.settings)


def field_lines(fields: Iterable[wf.FieldDiff]) -> Iterator[str]:
    for field in fields:
        values = [_short(text) for text in (field.before_json, field.after_json) if text]
        yield f"{SIGNS[field.kind]} {field.path}  {' → '.join(values)}"


def _short(text: str) -> str:
    return text if len(text) <= 120 else f"{text[:117]}…"


def _colored(status: str) -> Text:
    symbol, style = SYMBOLS.get(status, ("?", ""))
    return Text(f"{symbol} {status}", style=style)


def _step_word(step: pb.Step) -> str:
    return pb.StepStatus.Name(step.status).removeprefix("STEP_STATUS_").lower()


def _between(step: pb.Step) -> float | None:
    """Milliseconds from start to end."""
    if not (step.HasField("started_time") and step.HasField("completed_time")):
        return None
    return milliseconds_between(moment(step.started_time), moment(step.completed_time))


def _took(execution: pb.Execution) -> str:
    """From creation to end: waiting in the queue is part of it."""
    if not execution.HasField("completed_time"):
        return ""
    return format_ms(milliseconds_between(moment(execution.created_time), moment(execution.completed_time)))


def moment(value: Timestamp) -> datetime:
    return value.ToDatetime(UTC)


def local(at: datetime) -> str:
    return at.astimezone().strftime("%Y-%m-%d %H:%M:%S")
