"""TriggerService: schedules and webhooks."""

from __future__ import annotations

import re
from collections.abc import Iterable, Sequence
from datetime import datetime, timedelta
from itertools import islice
from typing import Any

import grpc
import msgspec
from google.protobuf.timestamp_pb2 import Timestamp

from flow_engine.errors import InvalidRequest, Problem
from flow_engine.v1 import trigger_pb2 as pb
from flow_engine.v1.trigger_pb2_grpc import TriggerServiceServicer
from flow_engine.workflow.model import unfit_id
from services.executor.access.caller import current_namespace
from services.executor.inputs import parse_input
from services.executor.persistence.contract import WorkflowStore
from services.executor.persistence.schedules import Schedule, ScheduleSpec, SlotRecord, SqlSchedules
from services.executor.persistence.webhooks import SqlWebhooks, Webhook, WebhookSpec
from services.executor.servicers import messages
from services.executor.servicers.execution_servicer import LastId, page_size, read_token, within, write_token
from services.executor.starts import DEFAULT_PRIORITY, StartRequest, option_problems
from services.executor.triggers.cron import cron_problems, slots_after
from services.executor.triggers.planning import MOST_CATCH_UP
from services.executor.triggers.scheduler import Scheduler
from services.executor.triggers.webhooks import Delivery, Webhooks

Context = grpc.aio.ServicerContext[Any, Any]

MOST_ID_LENGTH = 100
MOST_JITTER_SECONDS = 86_400
MOST_WAIT_MS = 60_000
NEXT_TIMES = 5
PATH = re.compile(r"[A-Za-z0-9._~-]{1,128}")
OVERLAP = {
    "": pb.OVERLAP_POLICY_UNSPECIFIED,
    "allow": pb.OVERLAP_POLICY_ALLOW,
    "reject": pb.OVERLAP_POLICY_REJECT,
    "use_existing": pb.OVERLAP_POLICY_USE_EXISTING,
    "cancel_existing": pb.OVERLAP_POLICY_CANCEL_EXISTING,
}
OVERLAP_NAME = {value: name for name, value in OVERLAP.items()}
SLOT_STATUS = {
    "due": pb.SLOT_STATUS_DUE,
    "started": pb.SLOT_STATUS_STARTED,
    "skipped": pb.SLOT_STATUS_SKIPPED,
    "failed": pb.SLOT_STATUS_FAILED,
}


class LastSlot(msgspec.Struct, array_like=True):
    """The last slot seen, in a page token."""

    at: datetime


class TriggerServicer(TriggerServiceServicer):
    """hook_prefix: what the address of each webhook begins with."""

    def __init__(
        self,
        schedules: SqlSchedules,
        scheduler: Scheduler,
        webhook_store: SqlWebhooks,
        webhooks: Webhooks,
        workflows: WorkflowStore,
        hook_prefix: str,
    ) -> None:
        self._schedules = schedules
        self._scheduler = scheduler
        self._webhook_store = webhook_store
        self._webhooks = webhooks
        self._workflows = workflows
        self._hook_prefix = hook_prefix

    # Schedules --------------------------------------------------------------------------------

    async def PutSchedule(self, request: pb.PutScheduleRequest, context: Context) -> pb.PutScheduleResponse:  # noqa: N802
        schedule, namespace = request.schedule, current_namespace()
        if problems := schedule_problems(schedule):
            raise InvalidRequest(problems)
        spec = schedule_spec(schedule)
        await self._workflows.get_workflow(spec.workflow_id, spec.workflow_version, namespace)
        now = await self._schedules.now()
        next_at = next(slots_after(spec.cron, spec.time_zone, now), None)
        kept, created = await self._schedules.put(namespace, schedule.id, spec, now, next_at)
        return pb.PutScheduleResponse(schedule=schedule_message(kept), created=created)

    async def GetSchedule(self, request: pb.GetScheduleRequest, context: Context) -> pb.GetScheduleResponse:  # noqa: N802
        schedule = await self._schedules.get(current_namespace(), request.schedule_id)
        now = await self._schedules.now()
        following = islice(slots_after(schedule.spec.cron, schedule.spec.time_zone, now), NEXT_TIMES)
        (message,) = await self._with_slots([schedule])
        return pb.GetScheduleResponse(schedule=message, next_times=times_of(following))

    async def ListSchedules(  # noqa: N802
        self, request: pb.ListSchedulesRequest, context: Context
    ) -> pb.ListSchedulesResponse:
        size = page_size(request.page_size, default=50, most=500)
        after = read_token(request.page_token, LastId).id if request.page_token else ""
        found = await self._schedules.page(current_namespace(), size + 1, after, request.workflow_id)
        page = found[:size]
        token = write_token(LastId(page[-1].id)) if len(found) > size else ""
        return pb.ListSchedulesResponse(schedules=await self._with_slots(page), next_page_token=token)

    async def DeleteSchedule(  # noqa: N802
        self, request: pb.DeleteScheduleRequest, context: Context
    ) -> pb.DeleteScheduleResponse:
        await self._schedules.delete(current_namespace(), request.schedule_id)
        return pb.DeleteScheduleResponse()

    async def PauseSchedule(  # noqa: N802
        self, request: pb.PauseScheduleRequest, context: Context
    ) -> pb.PauseScheduleResponse:
        kept = await self._schedules.set_paused(current_namespace(), request.schedule_id, paused=True)
        return pb.PauseScheduleResponse(schedule=schedule_message(kept))

    async def ResumeSchedule(  # noqa: N802
        self, request: pb.ResumeScheduleRequest, context: Context
    ) -> pb.ResumeScheduleResponse:
        # What came while it was paused is recorded as such before it goes on.
        await self._scheduler.decide()
        kept = await self._schedules.set_paused(current_namespace(), request.schedule_id, paused=False)
        return pb.ResumeScheduleResponse(schedule=schedule_message(kept))

    async def RunSchedule(self, request: pb.RunScheduleRequest, context: Context) -> pb.RunScheduleResponse:  # noqa: N802
        namespace = current_namespace()
        schedule = await self._schedules.get(namespace, request.schedule_id)
        slot = await self._schedules.add_manual(schedule, await self._schedules.now())
        await self._scheduler.fire(slot, slot.slot_at)
        (found, *_) = await self._schedules.slots(
            namespace, schedule.id, 1, slot.slot_at + timedelta(microseconds=1)
        )
        return pb.RunScheduleResponse(slot=slot_message(found))

    async def ListSlots(self, request: pb.ListSlotsRequest, context: Context) -> pb.ListSlotsResponse:  # noqa: N802
        size = page_size(request.page_size, default=50, most=500)
        before = read_token(request.page_token, LastSlot).at if request.page_token else None
        found = await self._schedules.slots(current_namespace(), request.schedule_id, size + 1, before)
        page = found[:size]
        token = write_token(LastSlot(page[-1].slot_at)) if len(found) > size else ""
        return pb.ListSlotsResponse(slots=map(slot_message, page), next_page_token=token)

    async def PreviewSchedule(  # noqa: N802
        self, request: pb.PreviewScheduleRequest, context: Context
    ) -> pb.PreviewScheduleResponse:
        zone = request.time_zone or "UTC"
        if problems := cron_problems(request.cron, zone):
            raise InvalidRequest(problems)
        count = page_size(request.count, default=NEXT_TIMES, most=100, name="/count")
        given = request.HasField("after_time")
        after = messages.instant(request.after_time) if given else await self._schedules.now()
        try:
            times = list(islice(slots_after(request.cron, zone, after), count))
        except OverflowError:
            message = "there is no such time"
            raise InvalidRequest([Problem("/afterTime", "OUT_OF_RANGE", message)]) from None
        return pb.PreviewScheduleResponse(times=times_of(times))

    async def _with_slots(self, schedules: Sequence[Schedule]) -> list[pb.Schedule]:
        ids = [schedule.id for schedule in schedules]
        newest = await self._schedules.newest_slots(current_namespace(), ids)
        return [schedule_message(schedule, newest.get(schedule.id)) for schedule in schedules]

    # Webhooks ---------------------------------------------------------------------------------

    async def PutWebhook(self, request: pb.PutWebhookRequest, context: Context) -> pb.PutWebhookResponse:  # noqa: N802
        webhook, namespace = request.webhook, current_namespace()
        if problems := webhook_problems(webhook):
            raise InvalidRequest(problems)
        spec = webhook_spec(webhook)
        await self._workflows.get_workflow(spec.workflow_id, spec.workflow_version, namespace)
        kept, created, secret = await self._webhooks.put(
            namespace, webhook.path, spec, request.secret, rotate=request.rotate_secret
        )
        return pb.PutWebhookResponse(webhook=self._webhook(kept), created=created, secret=secret)

    async def GetWebhook(self, request: pb.GetWebhookRequest, context: Context) -> pb.GetWebhookResponse:  # noqa: N802
        webhook = await self._webhook_store.get(request.path, current_namespace())
        return pb.GetWebhookResponse(webhook=self._webhook(webhook))

    async def ListWebhooks(  # noqa: N802
        self, request: pb.ListWebhooksRequest, context: Context
    ) -> pb.ListWebhooksResponse:
        size = page_size(request.page_size, default=50, most=500)
        after = read_token(request.page_token, LastId).id if request.page_token else ""
        found = await self._webhook_store.page(current_namespace(), size + 1, after)
        page = found[:size]
        token = write_token(LastId(page[-1].path)) if len(found) > size else ""
        return pb.ListWebhooksResponse(webhooks=map(self._webhook, page), next_page_token=token)

    async def DeleteWebhook(  # noqa: N802
        self, request: pb.DeleteWebhookRequest, context: Context
    ) -> pb.DeleteWebhookResponse:
        await self._webhook_store.delete(current_namespace(), request.path)
        return pb.DeleteWebhookResponse()

    async def DeliverWebhook(  # noqa: N802
        self, request: pb.DeliverWebhookRequest, context: Context
    ) -> pb.DeliverWebhookResponse:
        delivery = Delivery(
            path=request.path,
            body=request.body,
            content_type=request.content_type,
            delivery_id=request.delivery_id,
            timestamp=request.timestamp,
            signature=request.signature,
            headers=request.headers,
            query=request.query,
        )
        answer = await self._webhooks.deliver(delivery, within(None, context.time_remaining()))
        return pb.DeliverWebhookResponse(
            execution_id=answer.execution_id,
            status=messages.STATUS[answer.status],
            responded=answer.responded,
            http_status=answer.http_status,
            headers=answer.headers,
            body=answer.body,
            created=answer.created,
        )

    def _webhook(self, webhook: Webhook) -> pb.Webhook:
        spec = webhook.spec
        return pb.Webhook(
            path=webhook.path,
            workflow_id=spec.workflow_id,
            workflow_version=spec.workflow_version,
            mode=messages.MODE[spec.mode],
            priority=spec.priority,
            tags=spec.tags,
            wait=messages.duration(spec.wait_ms),
            unsigned=not spec.signed,
            paused=spec.paused,
            url=self._hook_prefix + webhook.path,
            created_time=messages.timestamp(webhook.created_at),
            updated_time=messages.timestamp(webhook.updated_at),
        )


def schedule_problems(schedule: pb.Schedule) -> list[Problem]:
    problems = _id_problems(schedule.id, schedule.workflow_id)
    problems += cron_problems(schedule.cron, schedule.time_zone or "UTC")
    problems += _start_problems(schedule, reserved=2)
    if schedule.input_json:
        try:
            parse_input(schedule.input_json)
        except InvalidRequest as error:
            problems += [Problem(f"/input{p.path}", p.code, p.message, p.hint) for p in error.problems]
    if not 0 <= schedule.catch_up <= MOST_CATCH_UP:
        problems.append(Problem("/catchUp", "OUT_OF_RANGE", f"must be between 0 and {MOST_CATCH_UP:,}"))
    if not 0 <= schedule.jitter.seconds <= MOST_JITTER_SECONDS:
        problems.append(Problem("/jitter", "OUT_OF_RANGE", "must be between nothing and a day"))
    return problems


def webhook_problems(webhook: pb.Webhook) -> list[Problem]:
    problems = []
    if not PATH.fullmatch(webhook.path):
        message = "a path has 1 to 128 letters, digits and . _ - ~"
        problems.append(Problem("/path", "INVALID_VALUE", message))
    if not webhook.workflow_id:
        problems.append(Problem("/workflowId", "MISSING_FIELD", "say which workflow it starts"))
    problems += _start_problems(webhook, reserved=1)
    if webhook.HasField("wait") and not 0 <= messages.milliseconds(webhook.wait) <= MOST_WAIT_MS:
        problems.append(Problem("/wait", "OUT_OF_RANGE", "must be between nothing and 60 s"))
    return problems


def _id_problems(schedule_id: str, workflow_id: str) -> list[Problem]:
    problems = []
    reason = unfit_id(schedule_id)
    if not reason and len(schedule_id) > MOST_ID_LENGTH:
        reason = f"the id of a schedule has at most {MOST_ID_LENGTH} characters"
    if reason:
        problems.append(Problem("/id", "INVALID_ID", reason))
    if not workflow_id:
        problems.append(Problem("/workflowId", "MISSING_FIELD", "say which workflow it starts"))
    return problems


def _start_problems(message: pb.Schedule | pb.Webhook, *, reserved: int) -> Sequence[Problem]:
    """reserved: tags that are added to those of the message."""
    request = StartRequest(
        workflow_version=message.workflow_version,
        priority=message.priority if message.HasField("priority") else DEFAULT_PRIORITY,
        tags=(*message.tags, *["-"] * reserved),
    )
    return [
        Problem(problem.path.removeprefix("/options"), problem.code, problem.message, problem.hint)
        for problem in option_problems(request)
    ]


def schedule_spec(schedule: pb.Schedule) -> ScheduleSpec:
    return ScheduleSpec(
        workflow_id=schedule.workflow_id,
        workflow_version=schedule.workflow_version,
        cron=" ".join(schedule.cron.split()),
        time_zone=schedule.time_zone or "UTC",
        input=schedule.input_json,
        mode=messages.MODE_NAME.get(schedule.mode, "auto"),
        priority=schedule.priority if schedule.HasField("priority") else DEFAULT_PRIORITY,
        tags=tuple(schedule.tags),
        catch_up=schedule.catch_up if schedule.HasField("catch_up") else 1,
        jitter_seconds=schedule.jitter.seconds,
        overlap=OVERLAP_NAME.get(schedule.overlap, ""),
    )


def webhook_spec(webhook: pb.Webhook) -> WebhookSpec:
    return WebhookSpec(
        workflow_id=webhook.workflow_id,
        workflow_version=webhook.workflow_version,
        mode=messages.MODE_NAME.get(webhook.mode, "auto"),
        priority=webhook.priority if webhook.HasField("priority") else DEFAULT_PRIORITY,
        tags=tuple(webhook.tags),
        wait_ms=messages.milliseconds(webhook.wait) if webhook.HasField("wait") else 10_000,
        signed=not webhook.unsigned,
        paused=webhook.paused,
    )


def times_of(instants: Iterable[datetime]) -> list[Timestamp]:
    return [found for instant in instants if (found := messages.timestamp(instant)) is not None]


def schedule_message(schedule: Schedule, newest: SlotRecord | None = None) -> pb.Schedule:
    spec = schedule.spec
    return pb.Schedule(
        id=schedule.id,
        workflow_id=spec.workflow_id,
        workflow_version=spec.workflow_version,
        cron=spec.cron,
        time_zone=spec.time_zone,
        input_json=spec.input,
        mode=messages.MODE[spec.mode],
        priority=spec.priority,
        tags=spec.tags,
        catch_up=spec.catch_up,
        jitter=messages.duration(1000 * spec.jitter_seconds),
        overlap=OVERLAP[spec.overlap],
        paused=schedule.paused,
        created_time=messages.timestamp(schedule.created_at),
        updated_time=messages.timestamp(schedule.updated_at),
        next_time=messages.timestamp(schedule.next_at),
        last_slot=None if newest is None else slot_message(newest),
    )


def slot_message(slot: SlotRecord) -> pb.Slot:
    return pb.Slot(
        slot_time=messages.timestamp(slot.slot_at),
        fire_time=messages.timestamp(slot.fire_at),
        status=SLOT_STATUS[slot.status],
        execution_id=slot.execution_id,
        reason=slot.reason,
        manual=slot.manual,
    )
