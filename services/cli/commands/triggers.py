"""What starts workflows by itself: schedules and webhooks."""

from __future__ import annotations

from enum import Enum
from typing import TYPE_CHECKING, Annotated

import typer

from services.cli.commands.calling import calls
from services.cli.commands.options import AsJson, duration, read_value
from services.cli.commands.running import Mode
from services.cli.output import note, print_json
from services.cli.spans import parse_span_ms

if TYPE_CHECKING:
    from flow_engine.v1 import trigger_pb2 as pb

triggers = typer.Typer(no_args_is_help=True, help="Start stored workflows by the clock and by calls.")
schedules = typer.Typer(no_args_is_help=True, help="Start workflows at the times of a cron expression.")
webhooks = typer.Typer(no_args_is_help=True, help="Start workflows by calls from outside.")
triggers.add_typer(schedules, name="schedule")
triggers.add_typer(webhooks, name="webhook")

ScheduleIdArgument = Annotated[str, typer.Argument(metavar="ID", help="Id of the schedule.")]
PathArgument = Annotated[str, typer.Argument(metavar="PATH", help="It is called at /hooks/PATH.")]
WorkflowOption = Annotated[str, typer.Option("--workflow", "-w", metavar="ID", help="Stored workflow.")]
VersionOption = Annotated[int, typer.Option("--version", min=0, help="Of the workflow; 0 is the latest.")]
ModeOption = Annotated[Mode, typer.Option("--mode", "-m", help="Where to run it.")]
PriorityOption = Annotated[int | None, typer.Option(min=0, max=9, help="Lower runs sooner.")]
TagOption = Annotated[list[str] | None, typer.Option(help="A tag; may be repeated.")]
LimitOption = Annotated[int, typer.Option("--limit", "-n", min=1, max=500, help="The most to print.")]
PageTokenOption = Annotated[str, typer.Option(help="Where the page before this one ended.")]


class Overlap(Enum):
    ALLOW = "allow"
    REJECT = "reject"
    USE_EXISTING = "use_existing"
    CANCEL_EXISTING = "cancel_existing"


@schedules.command("set")
def set_schedule(
    schedule_id: ScheduleIdArgument,
    cron: Annotated[str, typer.Argument(help="'minute hour day-of-month month day-of-week'")],
    workflow: WorkflowOption,
    version: VersionOption = 0,
    time_zone: Annotated[str, typer.Option("--zone", help="Such as Europe/Berlin.")] = "UTC",
    input_json: Annotated[
        str | None, typer.Option("--input", "-i", metavar="JSON", help="Input, as JSON or @file.")
    ] = None,
    mode: ModeOption = Mode.AUTO,
    priority: PriorityOption = None,
    tag: TagOption = None,
    catch_up: Annotated[
        int, typer.Option(min=0, max=1000, help="Of missed slots, how many of the newest are started.")
    ] = 1,
    jitter: Annotated[str | None, typer.Option(metavar="SPAN", help="Start up to this later.")] = None,
    overlap: Annotated[
        Overlap | None, typer.Option(help="While another execution of the workflow is live.")
    ] = None,
    as_json: AsJson = False,
) -> None:
    """Keep a schedule, in place of one that has its id."""
    from flow_engine.v1 import trigger_pb2 as pb

    schedule = pb.Schedule(
        id=schedule_id,
        workflow_id=workflow,
        workflow_version=version,
        cron=cron,
        time_zone=time_zone,
        input_json="" if input_json is None else read_value(input_json, "--input"),
        mode=f"EXECUTION_MODE_{mode.name}",
        priority=priority,
        tags=tag or (),
        catch_up=catch_up,
        jitter=None if jitter is None else duration(parse_span_ms(jitter, "--jitter")),
        overlap=f"OVERLAP_POLICY_{overlap.name if overlap else 'UNSPECIFIED'}",
    )
    with calls() as (executor, seconds):
        answer = executor.triggers.PutSchedule(pb.PutScheduleRequest(schedule=schedule), timeout=seconds)
    _tell_schedule(answer.schedule, as_json)


@schedules.command("ls")
def list_schedules(
    workflow: Annotated[str, typer.Option("--workflow", "-w", metavar="ID", help="Of this workflow.")] = "",
    limit: LimitOption = 50,
    page_token: PageTokenOption = "",
    as_json: AsJson = False,
) -> None:
    """List schedules."""
    from flow_engine.v1 import trigger_pb2 as pb

    request = pb.ListSchedulesRequest(page_size=limit, page_token=page_token, workflow_id=workflow)
    with calls() as (executor, seconds):
        answer = executor.triggers.ListSchedules(request, timeout=seconds)
    if as_json:
        from services.gateway.triggers import schedule_document

        print_json([schedule_document(schedule) for schedule in answer.schedules])
        return
    if not answer.schedules:
        note("no schedules")
    for schedule in answer.schedules:
        print(schedule_line(schedule))
    _tell_more(answer.next_page_token)


@schedules.command("show")
def show_schedule(schedule_id: ScheduleIdArgument, as_json: AsJson = False) -> None:
    """Show a schedule and its next times."""
    from flow_engine.v1 import trigger_pb2 as pb

    with calls() as (executor, seconds):
        request = pb.GetScheduleRequest(schedule_id=schedule_id)
        answer = executor.triggers.GetSchedule(request, timeout=seconds)
    if as_json:
        from services.gateway.triggers import schedule_document

        print_json(schedule_document(answer.schedule, answer.next_times))
        return
    print(schedule_line(answer.schedule))
    for time in answer.next_times:
        print(f"  {time.ToJsonString()}")


@schedules.command("slots")
def list_slots(
    schedule_id: ScheduleIdArgument,
    limit: LimitOption = 20,
    page_token: PageTokenOption = "",
    as_json: AsJson = False,
) -> None:
    """What became of the times of a schedule, newest first."""
    from flow_engine.v1 import trigger_pb2 as pb

    request = pb.ListSlotsRequest(schedule_id=schedule_id, page_size=limit, page_token=page_token)
    with calls() as (executor, seconds):
        answer = executor.triggers.ListSlots(request, timeout=seconds)
    if as_json:
        from services.gateway.triggers import slot_document

        print_json([slot_document(slot) for slot in answer.slots])
        return
    for slot in answer.slots:
        print(slot_line(slot))
    _tell_more(answer.next_page_token)


@schedules.command("preview")
def preview(
    cron: Annotated[str, typer.Argument(help="'minute hour day-of-month month day-of-week'")],
    time_zone: Annotated[str, typer.Option("--zone", help="Such as Europe/Berlin.")] = "UTC",
    count: Annotated[int, typer.Option("--count", "-n", min=1, max=100, help="How many.")] = 5,
    as_json: AsJson = False,
) -> None:
    """Print the next times of a cron expression."""
    from flow_engine.v1 import trigger_pb2 as pb

    request = pb.PreviewScheduleRequest(cron=cron, time_zone=time_zone, count=count)
    with calls() as (executor, seconds):
        times = executor.triggers.PreviewSchedule(request, timeout=seconds).times
    if as_json:
        print_json([time.ToJsonString() for time in times])
        return
    for time in times:
        print(time.ToJsonString())


@schedules.command("pause")
def pause_schedule(schedule_id: ScheduleIdArgument, as_json: AsJson = False) -> None:
    """Start nothing; what comes meanwhile is recorded as skipped."""
    from flow_engine.v1 import trigger_pb2 as pb

    with calls() as (executor, seconds):
        request = pb.PauseScheduleRequest(schedule_id=schedule_id)
        _tell_schedule(executor.triggers.PauseSchedule(request, timeout=seconds).schedule, as_json)


@schedules.command("resume")
def resume_schedule(schedule_id: ScheduleIdArgument, as_json: AsJson = False) -> None:
    """Let a paused schedule go on."""
    from flow_engine.v1 import trigger_pb2 as pb

    with calls() as (executor, seconds):
        request = pb.ResumeScheduleRequest(schedule_id=schedule_id)
        _tell_schedule(executor.triggers.ResumeSchedule(request, timeout=seconds).schedule, as_json)


@schedules.command("run")
def run_schedule(schedule_id: ScheduleIdArgument, as_json: AsJson = False) -> None:
    """Start what it starts, now."""
    from flow_engine.v1 import trigger_pb2 as pb

    with calls() as (executor, seconds):
        request = pb.RunScheduleRequest(schedule_id=schedule_id)
        slot = executor.triggers.RunSchedule(request, timeout=seconds).slot
    if as_json:
        from services.gateway.triggers import slot_document

        print_json(slot_document(slot))
    else:
        print(slot_line(slot))


@schedules.command("delete")
def delete_schedule(schedule_id: ScheduleIdArgument) -> None:
    """Forget a schedule. Its executions go on and stay readable."""
    from flow_engine.v1 import trigger_pb2 as pb

    with calls() as (executor, seconds):
        executor.triggers.DeleteSchedule(pb.DeleteScheduleRequest(schedule_id=schedule_id), timeout=seconds)
    print(f"{schedule_id} deleted")


@webhooks.command("set")
def set_webhook(
    path: PathArgument,
    workflow: WorkflowOption,
    version: VersionOption = 0,
    mode: ModeOption = Mode.AUTO,
    priority: PriorityOption = None,
    tag: TagOption = None,
    wait: Annotated[str, typer.Option(metavar="SPAN", help="How long a caller waits at most.")] = "10s",
    unsigned: Annotated[bool, typer.Option("--unsigned", help="Whoever knows the path may call.")] = False,
    paused: Annotated[bool, typer.Option("--paused", help="Refuse deliveries for now.")] = False,
    rotate: Annotated[bool, typer.Option("--rotate-secret", help="Make a new secret.")] = False,
    as_json: AsJson = False,
) -> None:
    """Keep a webhook, in place of the one at its path. A secret that is made is printed this once."""
    from flow_engine.v1 import trigger_pb2 as pb

    webhook = pb.Webhook(
        path=path,
        workflow_id=workflow,
        workflow_version=version,
        mode=f"EXECUTION_MODE_{mode.name}",
        priority=priority,
        tags=tag or (),
        wait=duration(parse_span_ms(wait, "--wait")),
        unsigned=unsigned,
        paused=paused,
    )
    with calls() as (executor, seconds):
        request = pb.PutWebhookRequest(webhook=webhook, rotate_secret=rotate)
        answer = executor.triggers.PutWebhook(request, timeout=seconds)
    if as_json:
        from services.gateway.triggers import webhook_document

        print_json(webhook_document(answer.webhook, answer.secret))
        return
    print(webhook_line(answer.webhook))
    if answer.secret:
        note("sign deliveries with this secret; it is not shown again:")
        print(answer.secret)


@webhooks.command("ls")
def list_webhooks(limit: LimitOption = 50, page_token: PageTokenOption = "", as_json: AsJson = False) -> None:
    """List webhooks."""
    from flow_engine.v1 import trigger_pb2 as pb

    with calls() as (executor, seconds):
        request = pb.ListWebhooksRequest(page_size=limit, page_token=page_token)
        answer = executor.triggers.ListWebhooks(request, timeout=seconds)
    if as_json:
        from services.gateway.triggers import webhook_document

        print_json([webhook_document(webhook) for webhook in answer.webhooks])
        return
    if not answer.webhooks:
        note("no webhooks")
    for webhook in answer.webhooks:
        print(webhook_line(webhook))
    _tell_more(answer.next_page_token)


@webhooks.command("delete")
def delete_webhook(path: PathArgument) -> None:
    """Forget a webhook."""
    from flow_engine.v1 import trigger_pb2 as pb

    with calls() as (executor, seconds):
        executor.triggers.DeleteWebhook(pb.DeleteWebhookRequest(path=path), timeout=seconds)
    print(f"{path} deleted")


def schedule_line(schedule: pb.Schedule) -> str:
    when = "paused" if schedule.paused else f"next {schedule.next_time.ToJsonString()}"
    return f"{schedule.id}  {schedule.workflow_id}  {schedule.cron}  {schedule.time_zone}  {when}"


def slot_line(slot: pb.Slot) -> str:
    from flow_engine.v1 import trigger_pb2 as pb

    status = pb.SlotStatus.Name(slot.status).removeprefix("SLOT_STATUS_").lower()
    return f"{slot.slot_time.ToJsonString()}  {status}  {slot.execution_id or slot.reason}".rstrip()


def webhook_line(webhook: pb.Webhook) -> str:
    how = "unsigned" if webhook.unsigned else "signed"
    paused = ", paused" if webhook.paused else ""
    return f"{webhook.url}  {webhook.workflow_id}  {how}{paused}"


def _tell_schedule(schedule: pb.Schedule, as_json: bool) -> None:
    if as_json:
        from services.gateway.triggers import schedule_document

        print_json(schedule_document(schedule))
    else:
        print(schedule_line(schedule))


def _tell_more(next_page_token: str) -> None:
    if next_page_token:
        note(f"there are more: --page-token {next_page_token}")
