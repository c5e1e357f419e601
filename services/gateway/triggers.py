"""Schedules and webhooks, and the calls that webhooks are for."""

from __future__ import annotations

import re
from datetime import UTC, datetime
from typing import Annotated, Any, Literal
from urllib.parse import quote

from google.protobuf.duration_pb2 import Duration
from google.protobuf.timestamp_pb2 import Timestamp
from msgspec import UNSET, Meta, Raw, UnsetType
from starlette.responses import Response

from flow_engine.v1 import trigger_pb2 as pb
from services.gateway.bodies import Body, Name, json_text
from services.gateway.call import Answer, Call, document
from services.gateway.documents import (
    AnyJson,
    Document,
    Instant,
    StatusWord,
    instant_of,
    mode_word,
    status_word,
)
from services.gateway.runs import MODES, span, version_number

GRACE_SECONDS = 75.0
"""A webhook's caller waits for a minute at most."""
WITHHELD = re.compile(r"authorization|proxy-.*|cookie|x-api-key|x-flow-.*|webhook-signature", re.IGNORECASE)
"""Headers that workflows do not see: whose they are, they are not the workflow's."""
ANSWER_POLICY = {"Content-Security-Policy": "default-src 'none'; sandbox", "Cache-Control": "no-store"}
"""What a workflow answers is never a page of the gateway's own site."""

Mode = Literal["auto", "immediate", "queued"]
Version = (
    Annotated[int, Meta(ge=0, le=2**31 - 1, description="Latest by default.")] | Literal["latest"] | None
)
Priority = Annotated[int, Meta(ge=0, le=9, description="Lower runs sooner; 5 by default.")] | None
Tags = Annotated[list[Name], Meta(max_length=64)] | None
Overlap = Literal["allow", "reject", "use_existing", "cancel_existing"]


class ScheduleBody(Body, frozen=True, kw_only=True):
    """When to start which stored workflow."""

    workflow_id: Name
    workflow_version: Version = None
    cron: Annotated[Name, Meta(description="minute hour day-of-month month day-of-week")]
    time_zone: Annotated[Name, Meta(description="IANA name; UTC by default.")] | None = None
    input: Annotated[Raw, Meta(description="{scheduleId, slotTime} by default.")] | UnsetType = UNSET
    mode: Mode | None = None
    priority: Priority = None
    tags: Tags = None
    catch_up: (
        Annotated[int, Meta(ge=0, le=1000, description="Missed slots that are started; 1 by default.")] | None
    ) = None
    jitter: Annotated[int, Meta(ge=0, le=86_400_000, description="Milliseconds, whole seconds.")] | None = (
        None
    )
    overlap: Annotated[Overlap, Meta(description="The definition's onConflict by default.")] | None = None


class WebhookBody(Body, frozen=True, kw_only=True):
    """Which stored workflow calls of the path start."""

    workflow_id: Name
    workflow_version: Version = None
    mode: Mode | None = None
    priority: Priority = None
    tags: Tags = None
    wait: (
        Annotated[int, Meta(ge=0, le=60_000, description="Milliseconds a caller waits; 10 s by default.")]
        | None
    ) = None
    unsigned: Annotated[bool, Meta(description="Whoever knows the path may call.")] | None = None
    paused: bool | None = None
    secret: Annotated[str, Meta(max_length=128, description="whsec_…; made by default.")] | None = None
    rotate_secret: bool | None = None


class SlotDocument(Document, frozen=True, kw_only=True):
    """What became of a time at which a schedule was to start something."""

    slot_at: Instant | UnsetType = UNSET
    fire_at: Instant | UnsetType = UNSET
    status: Annotated[str, Meta(extra_json_schema={"enum": ["due", "started", "skipped", "failed"]})]
    execution_id: str | UnsetType = UNSET
    reason: str | UnsetType = UNSET
    manual: bool


class ScheduleDocument(Document, frozen=True, kw_only=True):
    id: str
    workflow_id: str
    workflow_version: int | UnsetType = UNSET
    cron: str
    time_zone: str
    input: AnyJson | UnsetType = UNSET
    mode: str
    priority: int
    tags: list[str]
    catch_up: int
    jitter: int
    overlap: str | UnsetType = UNSET
    paused: bool
    created_at: Instant | UnsetType = UNSET
    updated_at: Instant | UnsetType = UNSET
    next_at: Instant | UnsetType = UNSET
    last_slot: Annotated[SlotDocument, Meta(description="Newest that came or was asked for.")] | UnsetType = (
        UNSET
    )
    next_times: list[Instant] | UnsetType = UNSET


class SchedulePage(Document, frozen=True, kw_only=True):
    schedules: list[ScheduleDocument]
    next_page_token: str | UnsetType = UNSET


class SlotPage(Document, frozen=True, kw_only=True):
    """Newest first."""

    slots: list[SlotDocument]
    next_page_token: str | UnsetType = UNSET


class TimesDocument(Document, frozen=True, kw_only=True):
    times: list[Instant]


class WebhookDocument(Document, frozen=True, kw_only=True):
    path: str
    url: str
    workflow_id: str
    workflow_version: int | UnsetType = UNSET
    mode: str
    priority: int
    tags: list[str]
    wait: int
    unsigned: bool
    paused: bool
    created_at: Instant | UnsetType = UNSET
    updated_at: Instant | UnsetType = UNSET
    secret: Annotated[str, Meta(description="When it was made just now. Not shown again.")] | UnsetType = (
        UNSET
    )


class WebhookPage(Document, frozen=True, kw_only=True):
    webhooks: list[WebhookDocument]
    next_page_token: str | UnsetType = UNSET


class DeliveryDocument(Document, frozen=True, kw_only=True):
    """The answer to a delivery whose workflow said nothing itself."""

    execution_id: str
    status: StatusWord
    output: AnyJson | UnsetType = UNSET


async def list_schedules(call: Call) -> Answer:
    """Page through schedules."""
    executor, query = call.services.executor, call.query
    request = pb.ListSchedulesRequest(
        page_size=query.get("limit", 0),
        page_token=query.get("pageToken", ""),
        workflow_id=query.get("workflowId", ""),
    )
    answer = await executor.ask(executor.triggers.ListSchedules, request, call.request_id)
    return document(
        SchedulePage(
            schedules=[schedule_document(schedule) for schedule in answer.schedules],
            next_page_token=answer.next_page_token or UNSET,
        )
    )


async def put_schedule(call: Call) -> Answer:
    """Keep a schedule, in place of one that has its id."""
    body = await call.decoded(ScheduleBody)
    executor = call.services.executor
    schedule = pb.Schedule(
        id=call.path["scheduleId"],
        workflow_id=body.workflow_id,
        workflow_version=version_number(body.workflow_version),
        cron=body.cron,
        time_zone=body.time_zone or "",
        input_json="" if isinstance(body.input, UnsetType) else json_text(body.input),
        mode=MODES[body.mode],
        priority=body.priority,
        tags=body.tags or (),
        catch_up=body.catch_up,
        jitter=span(body.jitter),
        overlap=f"OVERLAP_POLICY_{(body.overlap or 'unspecified').upper()}",
    )
    request = pb.PutScheduleRequest(schedule=schedule)
    answer = await executor.ask(executor.triggers.PutSchedule, request, call.request_id)
    return document(schedule_document(answer.schedule), 201 if answer.created else 200, location(call))


async def get_schedule(call: Call) -> Answer:
    """A schedule and its next times."""
    executor = call.services.executor
    request = pb.GetScheduleRequest(schedule_id=call.path["scheduleId"])
    answer = await executor.ask(executor.triggers.GetSchedule, request, call.request_id)
    return document(schedule_document(answer.schedule, answer.next_times))


async def delete_schedule(call: Call) -> Answer:
    """Its executions go on and stay readable."""
    executor = call.services.executor
    request = pb.DeleteScheduleRequest(schedule_id=call.path["scheduleId"])
    await executor.ask(executor.triggers.DeleteSchedule, request, call.request_id, repeat=False)
    return Response(status_code=204)


async def pause_schedule(call: Call) -> Answer:
    """Slots that come meanwhile are recorded as skipped."""
    executor = call.services.executor
    request = pb.PauseScheduleRequest(schedule_id=call.path["scheduleId"])
    answer = await executor.ask(executor.triggers.PauseSchedule, request, call.request_id)
    return document(schedule_document(answer.schedule))


async def resume_schedule(call: Call) -> Answer:
    """Let a paused schedule go on."""
    executor = call.services.executor
    request = pb.ResumeScheduleRequest(schedule_id=call.path["scheduleId"])
    answer = await executor.ask(executor.triggers.ResumeSchedule, request, call.request_id)
    return document(schedule_document(answer.schedule))


async def run_schedule(call: Call) -> Answer:
    """Start what it starts, now and beside its slots."""
    executor = call.services.executor
    request = pb.RunScheduleRequest(schedule_id=call.path["scheduleId"])
    answer = await executor.ask(executor.triggers.RunSchedule, request, call.request_id, repeat=False)
    return document(slot_document(answer.slot), 202)


async def list_slots(call: Call) -> Answer:
    """What became of its slots, newest first."""
    executor = call.services.executor
    request = pb.ListSlotsRequest(
        schedule_id=call.path["scheduleId"],
        page_size=call.query.get("limit", 0),
        page_token=call.query.get("pageToken", ""),
    )
    answer = await executor.ask(executor.triggers.ListSlots, request, call.request_id)
    return document(
        SlotPage(
            slots=[slot_document(slot) for slot in answer.slots],
            next_page_token=answer.next_page_token or UNSET,
        )
    )


async def preview_schedule(call: Call) -> Answer:
    """The next times of a cron expression."""
    query, executor = call.query, call.services.executor
    request = pb.PreviewScheduleRequest(
        cron=query.get("cron", ""), time_zone=query.get("timeZone", ""), count=query.get("count", 0)
    )
    if "after" in query:
        request.after_time.FromDatetime(query["after"])
    answer = await executor.ask(executor.triggers.PreviewSchedule, request, call.request_id)
    return document(TimesDocument(times=[instant(time) for time in answer.times]))


async def list_webhooks(call: Call) -> Answer:
    """Page through webhooks."""
    executor = call.services.executor
    request = pb.ListWebhooksRequest(
        page_size=call.query.get("limit", 0), page_token=call.query.get("pageToken", "")
    )
    answer = await executor.ask(executor.triggers.ListWebhooks, request, call.request_id)
    return document(
        WebhookPage(
            webhooks=[webhook_document(webhook) for webhook in answer.webhooks],
            next_page_token=answer.next_page_token or UNSET,
        )
    )


async def put_webhook(call: Call) -> Answer:
    """Keep a webhook, in place of one that is at its path."""
    body = await call.decoded(WebhookBody)
    executor = call.services.executor
    webhook = pb.Webhook(
        path=call.path["hookPath"],
        workflow_id=body.workflow_id,
        workflow_version=version_number(body.workflow_version),
        mode=MODES[body.mode],
        priority=body.priority,
        tags=body.tags or (),
        wait=span(body.wait),
        unsigned=bool(body.unsigned),
        paused=bool(body.paused),
    )
    request = pb.PutWebhookRequest(
        webhook=webhook, secret=body.secret or "", rotate_secret=bool(body.rotate_secret)
    )
    # Not repeated: a secret that it made would be lost with the first answer.
    answer = await executor.ask(executor.triggers.PutWebhook, request, call.request_id, repeat=False)
    found = webhook_document(answer.webhook, answer.secret)
    return document(found, 201 if answer.created else 200, location(call))


async def get_webhook(call: Call) -> Answer:
    """A webhook, without its secret."""
    executor = call.services.executor
    request = pb.GetWebhookRequest(path=call.path["hookPath"])
    answer = await executor.ask(executor.triggers.GetWebhook, request, call.request_id)
    return document(webhook_document(answer.webhook))


async def delete_webhook(call: Call) -> Answer:
    executor = call.services.executor
    request = pb.DeleteWebhookRequest(path=call.path["hookPath"])
    await executor.ask(executor.triggers.DeleteWebhook, request, call.request_id, repeat=False)
    return Response(status_code=204)


async def deliver_webhook(call: Call) -> Answer:
    """A call from outside. Its body is passed on byte by byte: the signature is of these."""
    headers = call.headers
    request = pb.DeliverWebhookRequest(
        path=call.path["hookPath"],
        body=await call.raw_body(),
        content_type=headers.get("content-type", ""),
        delivery_id=headers.get("webhook-id", ""),
        timestamp=headers.get("webhook-timestamp", ""),
        signature=headers.get("webhook-signature", ""),
        headers={name: value for name, value in headers.items() if not WITHHELD.fullmatch(name)},
        query=call.query,
    )
    executor = call.services.executor
    answer = await executor.ask(
        executor.triggers.DeliverWebhook,
        request,
        call.request_id,
        seconds=GRACE_SECONDS,
        repeat=bool(request.delivery_id),
    )
    return _answered(answer)


def _answered(answer: pb.DeliverWebhookResponse) -> Response:
    ours = {**ANSWER_POLICY, "X-Flow-Execution-Id": answer.execution_id}
    if answer.responded:
        return Response(answer.body, answer.http_status, {**answer.headers, **ours})
    told = DeliveryDocument(
        execution_id=answer.execution_id,
        status=status_word(answer.status),
        output=json_of(answer.body.decode()),
    )
    headers = (
        {} if answer.http_status == 200 else {"Location": f"/api/workflow/execution/{answer.execution_id}"}
    )
    return document(told, answer.http_status, {**headers, **ours})


def schedule_document(schedule: pb.Schedule, next_times: Any = None) -> ScheduleDocument:
    return ScheduleDocument(
        id=schedule.id,
        workflow_id=schedule.workflow_id,
        workflow_version=schedule.workflow_version or UNSET,
        cron=schedule.cron,
        time_zone=schedule.time_zone,
        input=json_of(schedule.input_json),
        mode=mode_word(schedule.mode),
        priority=schedule.priority,
        tags=list(schedule.tags),
        catch_up=schedule.catch_up,
        jitter=milliseconds(schedule.jitter),
        overlap=overlap_word(schedule.overlap),
        paused=schedule.paused,
        created_at=instant_of(schedule, "created_time"),
        updated_at=instant_of(schedule, "updated_time"),
        next_at=instant_of(schedule, "next_time"),
        last_slot=slot_document(schedule.last_slot) if schedule.HasField("last_slot") else UNSET,
        next_times=UNSET if next_times is None else [instant(time) for time in next_times],
    )


def slot_document(slot: pb.Slot) -> SlotDocument:
    return SlotDocument(
        slot_at=instant_of(slot, "slot_time"),
        fire_at=instant_of(slot, "fire_time"),
        status=pb.SlotStatus.Name(slot.status).removeprefix("SLOT_STATUS_").lower(),
        execution_id=slot.execution_id or UNSET,
        reason=slot.reason or UNSET,
        manual=slot.manual,
    )


def webhook_document(webhook: pb.Webhook, secret: str = "") -> WebhookDocument:
    return WebhookDocument(
        path=webhook.path,
        url=webhook.url,
        workflow_id=webhook.workflow_id,
        workflow_version=webhook.workflow_version or UNSET,
        mode=mode_word(webhook.mode),
        priority=webhook.priority,
        tags=list(webhook.tags),
        wait=milliseconds(webhook.wait),
        unsigned=webhook.unsigned,
        paused=webhook.paused,
        created_at=instant_of(webhook, "created_time"),
        updated_at=instant_of(webhook, "updated_time"),
        secret=secret or UNSET,
    )


def overlap_word(overlap: pb.OverlapPolicy) -> str | UnsetType:
    if not overlap:
        return UNSET
    return pb.OverlapPolicy.Name(overlap).removeprefix("OVERLAP_POLICY_").lower()


def json_of(text: str) -> Raw | UnsetType:
    return Raw(text) if text else UNSET


def milliseconds(span: Duration) -> int:
    return span.ToMilliseconds()


def instant(time: Timestamp) -> datetime:
    return time.ToDatetime(UTC)


def location(call: Call) -> dict[str, str]:
    path = call.route.path
    for name, value in call.path.items():
        path = path.replace(f"{{{name}}}", quote(str(value), safe=""))
    return {"Location": path}
