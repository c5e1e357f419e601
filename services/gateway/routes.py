"""The table of routes. Routing, checks of parameters and the OpenAPI document all come from it."""

from __future__ import annotations

from collections.abc import Mapping, Sequence

from services.gateway import (
    accounts,
    executions,
    operations,
    queue,
    runs,
    searching,
    secrets,
    stats,
    tasks,
    triggers,
    workflows,
)
from services.gateway.accounts import (
    AuditPage,
    NewToken,
    NewTokenDocument,
    ProviderDocument,
    ProviderSignIn,
    SessionDocument,
    SignIn,
    TokenDocument,
    TokenList,
)
from services.gateway.bodies import (
    LONGEST_SPAN_MS,
    CancelRequest,
    CompleteRequest,
    ControlRequest,
    DrainRequest,
    FailRequest,
    HeartbeatRequest,
    LabelRequest,
    PauseRequest,
    PollRequest,
    PurgeRequest,
    RequeueRequest,
    ResumeRequest,
    RetryRequest,
    RunRequest,
)
from services.gateway.call import (
    PUBLIC,
    SIGNED_IN,
    Param,
    Route,
    boolean,
    instant,
    one_of,
    pair,
    text,
    whole,
)
from services.gateway.console import ASSETS, Console
from services.gateway.documents import (
    AnalysisDocument,
    CallbackDocument,
    ControlPage,
    EventPage,
    ExecutionDocument,
    ExecutionPage,
    HealthDocument,
    HeartbeatDocument,
    NodeTypeList,
    StepPage,
    TaskDocument,
    ValidationDocument,
    WorkflowDiffDocument,
    WorkflowDocument,
    WorkflowPage,
    WorkflowVersionPage,
)
from services.gateway.queue_documents import (
    DiagnosisDocument,
    PurgeDocument,
    QueueDocument,
    WorkerDocument,
    WorkerList,
)

EXECUTION = "/api/workflow/execution/{executionId}"
EVENT_STREAM = "text/event-stream"


def _text(name: str, description: str, *, repeated: bool = False) -> Param:
    return Param(name, description, text(), {"type": "string", "minLength": 1, "maxLength": 512}, repeated)


def _whole(name: str, description: str, least: int, most: int) -> Param:
    return Param(
        name, description, whole(least, most), {"type": "integer", "minimum": least, "maximum": most}
    )


def _flag(name: str, description: str) -> Param:
    return Param(name, description, boolean, {"type": "boolean"})


def _word(name: str, description: str, words: Sequence[str], *, repeated: bool = False) -> Param:
    return Param(name, description, one_of(words), {"type": "string", "enum": list(words)}, repeated)


def _instant(name: str, description: str) -> Param:
    return Param(name, description, instant, {"type": "string", "format": "date-time"})


def _header(name: str, description: str) -> Param:
    return Param(name, description, str, {"type": "string"}, where="header")


PAGE_TOKEN = _text("pageToken", "nextPageToken of the page before.")
AFTER_SEQUENCE = _whole("afterSequence", "Begin after this event; 0 by default.", 0, executions.MOST_SEQUENCE)
LAST_EVENT_ID = _header(
    "Last-Event-ID", "The same as afterSequence; goes before it. Browsers send it by themselves."
)
LABEL = Param(
    "label", "With this label: team=payments; repeated for several.", pair, {"type": "string"}, repeated=True
)
SNAPSHOT = _flag(
    "snapshot", "Put the present state first, as a frame of type snapshot, and go on from there."
)
ITERATION = Param(
    "iteration",
    "Indexes of the loops around the step, outermost first: 2,0. Needed where several instances wait.",
    whole(0, 2**31 - 1),
    {"type": "integer", "minimum": 0},
    repeated=True,
)

STREAM_TEXT = (
    "Each frame has the event's sequence as `id`, its JSON as `data`, and no `event` field. "
    "Lines that begin with a colon are heartbeats. 204 says that nothing comes after the cursor any more."
)

SEARCH = (
    _text("workflowId", "Executions of this workflow."),
    _word("status", "One of these; by commas or repeated.", list(searching.STATUSES), repeated=True),
    _word("mode", "In this mode.", ["immediate", "queued"]),
    _text("tag", "With all of these; separated by commas or repeated.", repeated=True),
    _instant("createdAfter", "ISO 8601."),
    _instant("createdBefore", "ISO 8601."),
    _whole("minDurationMs", "Ended, and ran for at least so long.", 0, LONGEST_SPAN_MS),
    _whole("maxDurationMs", "Ended, and ran for at most so long.", 0, LONGEST_SPAN_MS),
    _text("errorCode", "Failed with this code."),
    _text("errorText", "Failed with a message that holds this text, in any case."),
    _text("parentId", "Children of this execution."),
)
CHANGE_FILTER = (
    _text("workflowId", "Executions of this workflow."),
    _word(
        "status", "Changes after which it is one of these; by commas or repeated.",
        list(searching.STATUSES), repeated=True,
    ),
    _word("mode", "Changes after which it is in this mode.", ["immediate", "queued"]),
    _text("tag", "Executions with all of these; separated by commas or repeated.", repeated=True),
)  # fmt: skip
AFTER_CURSOR = _text(
    "afterCursor", "Begin after this frame, by its cursor; by default with what happens now."
)
CHANGES_TEXT = (
    "A frame of type execution.changed for each change: the execution's id and workflow, how it stands after "
    "the change, its progress, and which events it was. `id` is the frame's cursor. A stream from now on "
    "opens with a frame of type stream.opened, which has the cursor of now: what is listed after it and "
    "changed by later frames is complete. Never ends by itself."
)

API: tuple[Route, ...] = (
    Route(
        "POST", "/api/workflow/run", runs.run_workflow, "Run",
        "Run a workflow",
        "Answers 200 with the execution once it has ended, 202 when it was queued, waits, was promoted or "
        "takes longer than the client wants to wait. A failed execution is 200 with status failed. "
        "With Accept: text/event-stream the answer is the stream of its events. Times are in milliseconds.",
        params=(
            _header("Idempotency-Key", "Makes the start repeatable for 24 hours."),
            _header(
                "Prefer",
                "respond-async answers as soon as the start is committed; wait=N waits at most N seconds, "
                "up to 60. Neither changes the mode.",
            ),
        ),
        body=RunRequest, answers={200: ExecutionDocument, 202: ExecutionDocument},
        refusals=(404, 409, 429, 504),
        rpc="ExecutionService/StartExecution",
    ),
    Route(
        "GET", EXECUTION, executions.get_execution, "Executions", "Get an execution with its steps",
        "Steps are complete up to 10,000 and 4 MiB; then stepsNextPageToken is set.",
        params=(
            _flag("steps", "false leaves the steps out."),
            _flag("definition", "true adds the definition."),
        ),
        answers={200: ExecutionDocument}, refusals=(404,),
        rpc="ExecutionService/GetExecution",
    ),
    Route(
        "GET", f"{EXECUTION}/stream", executions.stream_execution, "Executions", "Follow an execution",
        STREAM_TEXT,
        params=(AFTER_SEQUENCE, SNAPSHOT, LAST_EVENT_ID),
        answers={200: EVENT_STREAM, 204: None}, refusals=(404,),
        rpc="ExecutionService/WatchExecution",
    ),
    Route(
        "GET", f"{EXECUTION}/steps", executions.list_steps, "Executions", "Page through steps",
        params=(_whole("limit", "200 by default.", 1, 1000), PAGE_TOKEN),
        answers={200: StepPage}, refusals=(404,),
        rpc="ExecutionService/ListSteps",
    ),
    Route(
        "GET", f"{EXECUTION}/events", executions.list_events, "Executions", "Page through events",
        params=(AFTER_SEQUENCE, _whole("limit", "200 by default.", 1, 1000)),
        answers={200: EventPage}, refusals=(404,),
        rpc="ExecutionService/ListEvents",
    ),
    Route(
        "GET", f"{EXECUTION}/payloads/{{hash}}", executions.get_value, "Executions",
        "Get a value above 4 KiB",
        "Steps and events show such values as outputRef, inputRef and the like, with their hash.",
        answers={200: "value"}, refusals=(404,),
        rpc="ExecutionService/GetValue",
    ),
    Route(
        "POST", f"{EXECUTION}/pause", executions.pause_execution, "Control", "Pause an execution",
        "Running steps finish, nothing new starts. 202 while steps still finish.",
        body=PauseRequest, body_required=False,
        answers={200: ExecutionDocument, 202: ExecutionDocument}, refusals=(404, 409),
        rpc="ExecutionService/PauseExecution",
    ),
    Route(
        "POST", f"{EXECUTION}/resume", executions.resume_execution, "Control", "Resume a paused execution",
        body=ResumeRequest, body_required=False,
        answers={200: ExecutionDocument, 202: ExecutionDocument}, refusals=(404, 409),
        rpc="ExecutionService/ResumeExecution",
    ),
    Route(
        "POST", f"{EXECUTION}/cancel", executions.cancel_execution, "Control", "Cancel an execution",
        "Running steps are interrupted. 202 while they still are.",
        body=CancelRequest, body_required=False,
        answers={200: ExecutionDocument, 202: ExecutionDocument}, refusals=(404, 409),
        rpc="ExecutionService/CancelExecution",
    ),
    Route(
        "DELETE", EXECUTION, executions.delete_execution, "Control", "Cancel an execution",
        "The same as POST to cancel.",
        body=CancelRequest, body_required=False,
        answers={200: ExecutionDocument, 202: ExecutionDocument}, refusals=(404, 409),
        rpc="ExecutionService/CancelExecution",
    ),
    Route(
        "POST", f"{EXECUTION}/retry", executions.retry_execution, "Control", "Retry a failed execution",
        "Starts a new execution that keeps the finished steps. While one is live, answers with that.",
        body=RetryRequest, body_required=False,
        answers={202: ExecutionDocument}, refusals=(404, 409),
        rpc="ExecutionService/RetryExecution",
    ),
    Route(
        "POST", f"{EXECUTION}/input/{{nodeId}}", executions.submit_input, "Control", "Answer a waiting step",
        'The body is the answer: any JSON value; for an approval {"approved": true, "comment": …}. '
        "The same answer may be sent again.",
        params=(ITERATION,), body="json",
        answers={200: ExecutionDocument}, refusals=(404, 409),
        rpc="ExecutionService/SubmitInput",
    ),
    Route(
        "POST", "/api/workflow/callback/{token}", executions.submit_callback, "Control",
        "Report back to a wait.callback",
        "For outside systems, at the URL that callbacks.<nodeId>.url gave them. The body is the answer: any "
        "JSON value, {} by default. Works once, while the step waits; the same body may be sent again.",
        body="json", body_required=False,
        answers={200: CallbackDocument}, refusals=(404, 409, 410),
        rpc=PUBLIC,
    ),
    Route(
        "GET", "/api/workflow/executions", executions.list_executions, "Executions",
        "List executions, newest first",
        "Without steps, input and output.",
        params=(
            _whole("limit", "50 by default.", 1, 500),
            PAGE_TOKEN,
            *SEARCH,
        ),
        answers={200: ExecutionPage},
        rpc="ExecutionService/ListExecutions",
    ),
    Route(
        "GET", "/api/workflow/executions/count", searching.count_executions, "Executions", "Count executions",
        "At most 100,000 are counted; more tells whether there are more.",
        params=SEARCH, answers={200: searching.CountDocument},
        rpc="ExecutionService/CountExecutions",
    ),
    Route(
        "GET", "/api/workflow/executions/export", searching.export_executions, "Executions",
        "Export executions, newest first",
        "All that match, as NDJSON (one document of the list a line) or CSV. In CSV, text that a spreadsheet "
        "would take for a formula begins with an apostrophe.",
        params=(_word("format", "ndjson by default.", list(searching.FORMATS)), *SEARCH),
        answers={200: "application/x-ndjson"},
        rpc="ExecutionService/ListExecutions",
    ),
    Route(
        "GET", "/api/workflow/stream", executions.stream_executions, "Executions", "Follow all executions",
        CHANGES_TEXT,
        params=(*CHANGE_FILTER, AFTER_CURSOR, _header("Last-Event-ID", "The same; goes before it.")),
        answers={200: EVENT_STREAM},
        rpc="ExecutionService/WatchExecutions",
    ),
    *(
        Route(
            "POST", f"/api/workflow/executions/{verb}", handler, "Control",
            f"{verb.title()} the executions that a filter finds",
            "A page a call, newest first; repeat it with nextPageToken until there is none. Safe to repeat. "
            "With dryRun nothing changes.",
            body=ControlRequest, answers={200: ControlPage},
            rpc="ExecutionService/ControlExecutions",
        )
        for verb, handler in (
            ("pause", executions.pause_executions),
            ("resume", executions.resume_executions),
            ("cancel", executions.cancel_executions),
            ("retry", executions.retry_executions),
        )
    ),
    Route(
        "POST", "/api/workflow/analyze", runs.analyze_workflow, "Definitions",
        "Explain the mode a workflow would get",
        body=RunRequest, answers={200: AnalysisDocument}, refusals=(404,),
        rpc="ExecutionService/AnalyzeWorkflow",
    ),
    Route(
        "POST", "/api/workflow/validate", workflows.validate_workflow, "Definitions", "Check a definition",
        "Every problem at once, each with its path. The definition may be sent as it is or under workflow.",
        body="definition", answers={200: ValidationDocument},
        rpc="ExecutionService/ValidateWorkflow",
    ),
    Route(
        "GET", "/api/workflows", workflows.list_workflows, "Definitions", "List stored workflows",
        params=(_whole("limit", "50 by default.", 1, 500), PAGE_TOKEN, LABEL),
        answers={200: WorkflowPage},
        rpc="WorkflowService/ListWorkflows",
    ),
    Route(
        "POST", "/api/workflows", workflows.create_workflow, "Definitions", "Store a workflow under its id",
        "The definition may be sent as it is or under workflow.",
        body="definition", answers={201: WorkflowDocument}, refusals=(409,),
        rpc="WorkflowService/CreateWorkflow",
    ),
    Route(
        "GET", "/api/workflows/{workflowId}", workflows.get_workflow, "Definitions", "Get a stored workflow",
        params=(_whole("version", "The latest by default.", 1, 2**31 - 1),),
        answers={200: WorkflowDocument}, refusals=(404,),
        rpc="WorkflowService/GetWorkflow",
    ),
    Route(
        "PUT", "/api/workflows/{workflowId}", workflows.update_workflow, "Definitions", "Store a new version",
        "The same definition again changes nothing.",
        params=(
            _whole("expectedVersion", "Refuse unless this is the latest version.", 1, 2**31 - 1),
            _header("If-Match", "The same, as ETag gave it."),
        ),
        body="definition", answers={200: WorkflowDocument}, refusals=(404, 409),
        rpc="WorkflowService/UpdateWorkflow",
    ),
    Route(
        "PATCH", "/api/workflows/{workflowId}", workflows.label_workflow, "Definitions",
        "Set and remove labels of a stored workflow",
        "Labels belong to the workflow, whatever its version. null removes one; others stay.",
        body=LabelRequest, answers={200: WorkflowDocument}, refusals=(404,),
        rpc="WorkflowService/LabelWorkflow",
    ),
    Route(
        "GET", "/api/workflows/{workflowId}/versions", workflows.list_workflow_versions, "Definitions",
        "List the versions of a stored workflow, newest first",
        params=(_whole("limit", "50 by default.", 1, 500), PAGE_TOKEN),
        answers={200: WorkflowVersionPage}, refusals=(404,),
        rpc="WorkflowService/ListWorkflowVersions",
    ),
    Route(
        "GET", "/api/workflows/{workflowId}/diff", workflows.diff_workflow, "Definitions",
        "What two versions differ in",
        "Nodes by id, edges by their ends, everything else by its path. What an editor keeps for itself, "
        "such as positions, does not count.",
        params=(
            _whole("from", "The version before `to` by default.", 1, 2**31 - 1),
            _whole("to", "The latest by default.", 1, 2**31 - 1),
        ),
        answers={200: WorkflowDiffDocument}, refusals=(404,),
        rpc="WorkflowService/DiffWorkflow",
    ),
    Route(
        "POST", "/api/workflows/{workflowId}/diff", workflows.diff_definition, "Definitions",
        "What a version and a definition that is not stored differ in",
        params=(_whole("from", "The latest by default.", 1, 2**31 - 1),),
        body="definition", answers={200: WorkflowDiffDocument}, refusals=(404,),
        rpc="WorkflowService/DiffWorkflow",
    ),
    Route(
        "DELETE", "/api/workflows/{workflowId}", workflows.delete_workflow, "Definitions",
        "Delete a stored workflow",
        "Executions of it go on and stay readable.",
        answers={204: None}, refusals=(404,),
        rpc="WorkflowService/DeleteWorkflow",
    ),
    Route(
        "GET", "/api/secrets", secrets.list_secrets, "Secrets", "List secrets",
        "Their names, and where each may be sent. No call gives a value back.",
        answers={200: secrets.SecretList},
        rpc="SecretService/ListSecrets",
    ),
    Route(
        "POST", "/api/secrets", secrets.create_secret, "Secrets", "Keep a secret",
        "In place of one that has its name. Workflows name it as ${ secrets.NAME }.",
        body=secrets.NewSecretBody,
        answers={200: secrets.SecretDocument, 201: secrets.SecretDocument}, refusals=(409,),
        rpc="SecretService/PutSecret",
    ),
    Route(
        "PUT", "/api/secrets/{name}", secrets.put_secret, "Secrets", "Keep a secret under this name",
        "In place of one that has it.",
        body=secrets.SecretBody,
        answers={200: secrets.SecretDocument, 201: secrets.SecretDocument}, refusals=(409,),
        rpc="SecretService/PutSecret",
    ),
    Route(
        "DELETE", "/api/secrets/{name}", secrets.delete_secret, "Secrets", "Forget a secret",
        "Steps that name it fail from now on.",
        answers={204: None}, refusals=(404,),
        rpc="SecretService/DeleteSecret",
    ),
    Route(
        "GET", "/api/stats", stats.get_stats, "Statistics", "Count and measure what ended",
        "Executions that ended within a range: by workflow, node type, node and error, and as a series. "
        "Counted within seconds of their end; counts stay when executions are deleted.",
        params=(
            _text("workflowId", "Executions of this workflow; all by default."),
            _instant("from", "ISO 8601; 24 hours before the end by default."),
            _instant("to", "ISO 8601; now by default."),
            _whole("bucketMs", "Of the series: a multiple of 300000.", 300_000, 366 * 86_400_000),
            _whole("limit", "The most workflows, types, nodes and errors to tell; 20 by default.", 1, 100),
        ),
        answers={200: stats.StatsDocument},
        rpc="ExecutionService/GetStats",
    ),
    Route(
        "POST", "/api/tasks/{queue}/poll", tasks.poll_task, "Tasks", "Take a task of a task.external step",
        "Waits for one; 204 when the time is over. Who takes it has it alone until the lease is over.",
        body=PollRequest, body_required=False,
        answers={200: TaskDocument, 204: None},
        rpc="TaskService/PollTask",
    ),
    Route(
        "POST", "/api/tasks/heartbeat", tasks.heartbeat_task, "Tasks", "Keep a task",
        body=HeartbeatRequest, answers={200: HeartbeatDocument}, refusals=(404, 409),
        rpc="TaskService/HeartbeatTask",
    ),
    Route(
        "POST", "/api/tasks/complete", tasks.complete_task, "Tasks", "Complete a task",
        "The same output may be sent again; another one, or one that comes too late, is refused.",
        body=CompleteRequest, answers={204: None}, refusals=(404, 409),
        rpc="TaskService/CompleteTask",
    ),
    Route(
        "POST", "/api/tasks/fail", tasks.fail_task, "Tasks", "Report that a task failed",
        "The node's retry decides whether it is offered anew.",
        body=FailRequest, answers={204: None}, refusals=(404, 409),
        rpc="TaskService/FailTask",
    ),
    Route(
        "GET", "/api/triggers/schedules", triggers.list_schedules, "Triggers", "List schedules",
        params=(
            _whole("limit", "50 by default.", 1, 500),
            PAGE_TOKEN,
            _text("workflowId", "That start this workflow."),
        ),
        answers={200: triggers.SchedulePage},
        rpc="TriggerService/ListSchedules",
    ),
    Route(
        "GET", "/api/triggers/preview", triggers.preview_schedule, "Triggers",
        "The next times of a cron expression",
        params=(
            _text("cron", "minute hour day-of-month month day-of-week"),
            _text("timeZone", "IANA name; UTC by default."),
            _whole("count", "5 by default.", 1, 100),
            _instant("after", "ISO 8601; now by default."),
        ),
        answers={200: triggers.TimesDocument},
        rpc="TriggerService/PreviewSchedule",
    ),
    Route(
        "PUT", "/api/triggers/schedules/{scheduleId}", triggers.put_schedule, "Triggers",
        "Start a stored workflow at the times of a cron expression",
        "In place of a schedule that has this id.",
        body=triggers.ScheduleBody,
        answers={200: triggers.ScheduleDocument, 201: triggers.ScheduleDocument}, refusals=(404,),
        rpc="TriggerService/PutSchedule",
    ),
    Route(
        "GET", "/api/triggers/schedules/{scheduleId}", triggers.get_schedule, "Triggers",
        "Get a schedule with its next times",
        answers={200: triggers.ScheduleDocument}, refusals=(404,),
        rpc="TriggerService/GetSchedule",
    ),
    Route(
        "DELETE", "/api/triggers/schedules/{scheduleId}", triggers.delete_schedule, "Triggers",
        "Delete a schedule",
        answers={204: None}, refusals=(404,),
        rpc="TriggerService/DeleteSchedule",
    ),
    Route(
        "POST", "/api/triggers/schedules/{scheduleId}/pause", triggers.pause_schedule, "Triggers",
        "Pause a schedule",
        "Slots that come meanwhile are recorded as skipped.",
        answers={200: triggers.ScheduleDocument}, refusals=(404,),
        rpc="TriggerService/PauseSchedule",
    ),
    Route(
        "POST", "/api/triggers/schedules/{scheduleId}/resume", triggers.resume_schedule, "Triggers",
        "Let a paused schedule go on",
        answers={200: triggers.ScheduleDocument}, refusals=(404,),
        rpc="TriggerService/ResumeSchedule",
    ),
    Route(
        "POST", "/api/triggers/schedules/{scheduleId}/run", triggers.run_schedule, "Triggers",
        "Start what a schedule starts, now",
        answers={202: triggers.SlotDocument}, refusals=(404,),
        rpc="TriggerService/RunSchedule",
    ),
    Route(
        "GET", "/api/triggers/schedules/{scheduleId}/slots", triggers.list_slots, "Triggers",
        "What became of its slots, newest first",
        params=(_whole("limit", "50 by default.", 1, 500), PAGE_TOKEN),
        answers={200: triggers.SlotPage}, refusals=(404,),
        rpc="TriggerService/ListSlots",
    ),
    Route(
        "GET", "/api/triggers/webhooks", triggers.list_webhooks, "Triggers", "List webhooks",
        params=(_whole("limit", "50 by default.", 1, 500), PAGE_TOKEN),
        answers={200: triggers.WebhookPage},
        rpc="TriggerService/ListWebhooks",
    ),
    Route(
        "PUT", "/api/triggers/webhooks/{hookPath}", triggers.put_webhook, "Triggers",
        "Start a stored workflow by calls of /hooks/{hookPath}",
        "The secret that deliveries are signed with is made, unless one is given, and told this once.",
        body=triggers.WebhookBody,
        answers={200: triggers.WebhookDocument, 201: triggers.WebhookDocument}, refusals=(404, 409),
        rpc="TriggerService/PutWebhook",
    ),
    Route(
        "GET", "/api/triggers/webhooks/{hookPath}", triggers.get_webhook, "Triggers",
        "Get a webhook, without its secret",
        answers={200: triggers.WebhookDocument}, refusals=(404,),
        rpc="TriggerService/GetWebhook",
    ),
    Route(
        "DELETE", "/api/triggers/webhooks/{hookPath}", triggers.delete_webhook, "Triggers",
        "Delete a webhook",
        answers={204: None}, refusals=(404,),
        rpc="TriggerService/DeleteWebhook",
    ),
    Route(
        "POST", "/hooks/{hookPath}", triggers.deliver_webhook, "Triggers", "Call a webhook",
        "Signed by the Standard Webhooks specification: webhook-id, webhook-timestamp, webhook-signature. "
        "The same webhook-id again gives the same execution. A webhook.respond node chooses status, headers "
        "and body of the answer.",
        body="json", body_required=False, any_query=True,
        answers={200: triggers.DeliveryDocument, 202: triggers.DeliveryDocument},
        refusals=(401, 404, 409, 429, 504),
        rpc=PUBLIC,
    ),
    Route(
        "GET", "/api/nodes", workflows.list_nodes, "Definitions", "List node types",
        answers={200: NodeTypeList},
        rpc="ExecutionService/ListNodeTypes",
    ),
    Route(
        "GET", "/api/workers", queue.list_workers, "Operations", "List the workers that are alive",
        "Whichever executor they hold their session with, those that have been there longest first.",
        answers={200: WorkerList},
        rpc="OperationsService/ListWorkers",
    ),
    Route(
        "GET", "/api/queue", queue.get_queue, "Operations", "How deep the queue is, how old, of what",
        answers={200: QueueDocument},
        rpc="OperationsService/GetQueue",
    ),
    Route(
        "POST", "/api/queue/purge", queue.purge_queue, "Operations", "Cancel pending executions",
        "Those that the conditions find, oldest first, at most 500 a call; repeat it while `more`. "
        "With dryRun nothing changes.",
        body=PurgeRequest, answers={200: PurgeDocument},
        rpc="OperationsService/PurgeQueue",
    ),
    Route(
        "POST", "/api/workers/{workerId}/drain", queue.drain_worker, "Operations",
        "Let a worker finish what it has and claim nothing",
        body=DrainRequest, body_required=False,
        answers={200: WorkerDocument}, refusals=(404,),
        rpc="OperationsService/DrainWorker",
    ),
    Route(
        "POST", f"{EXECUTION}/requeue", queue.requeue_execution, "Operations",
        "Take a running execution from its runner, back to the queue",
        "The runner is locked out; finished nodes stay finished. With first a pending one goes to the front.",
        body=RequeueRequest, body_required=False,
        answers={200: ExecutionDocument}, refusals=(404, 409),
        rpc="OperationsService/RequeueExecution",
    ),
    Route(
        "GET", "/api/diagnosis", queue.diagnose, "Operations", "Look at everything that the executor needs",
        "Database, schema, clocks, Redis, workers, queue, leases and disk: what is wrong and how to mend it.",
        answers={200: DiagnosisDocument},
        rpc="OperationsService/Diagnose",
    ),
    Route(
        "GET", "/api/session", accounts.get_session, "Access", "Whom the engine takes the caller for",
        answers={200: SessionDocument},
        rpc=SIGNED_IN,
    ),
    Route(
        "POST", "/api/session", accounts.create_session, "Access", "Sign in",
        "For browsers: keeps the token in a cookie that pages cannot read. Programs send it themselves.",
        body=SignIn, answers={200: SessionDocument}, refusals=(401,),
        rpc=PUBLIC,
    ),
    Route(
        "GET", "/api/session/provider", accounts.get_provider, "Access", "Where people sign in",
        "Of an OpenID Connect provider, if the gateway knows one.",
        answers={200: ProviderDocument}, refusals=(404,),
        rpc=PUBLIC,
    ),
    Route(
        "POST", "/api/session/provider", accounts.create_provider_session, "Access",
        "Sign in with what the provider sent back",
        "For browsers: the code becomes a token, and that goes into the same cookie.",
        body=ProviderSignIn, answers={200: SessionDocument}, refusals=(401, 404),
        rpc=PUBLIC,
    ),
    Route(
        "DELETE", "/api/session", accounts.delete_session, "Access", "Sign out",
        answers={204: None},
        rpc=PUBLIC,
    ),
    Route(
        "GET", "/api/tokens", accounts.list_tokens, "Access", "List the tokens of the namespace",
        "Newest first, revoked ones included; without what is sent.",
        answers={200: TokenList},
        rpc="AccessService/ListTokens",
    ),
    Route(
        "POST", "/api/tokens", accounts.create_token, "Access", "Make a token",
        "Its secret is in the answer, once.",
        body=NewToken, answers={201: NewTokenDocument},
        rpc="AccessService/CreateToken",
    ),
    Route(
        "DELETE", "/api/tokens/{tokenId}", accounts.revoke_token, "Access", "Revoke a token",
        "Calls with it are refused from now on, its streams end within seconds.",
        answers={200: TokenDocument}, refusals=(404,),
        rpc="AccessService/RevokeToken",
    ),
    Route(
        "GET", "/api/audit", accounts.list_audit_entries, "Access", "Who did what, newest first",
        params=(
            _whole("limit", "100 by default.", 1, 1000),
            PAGE_TOKEN,
            _text("subject", "Only of this one."),
            _text("action", "Only this, such as CancelExecution."),
            _text("target", "Only about this id."),
            _instant("after", "ISO 8601."),
            _instant("before", "ISO 8601."),
        ),
        answers={200: AuditPage},
        rpc="AccessService/ListAuditEntries",
    ),
    Route(
        "GET", "/healthz", operations.check_health, "Operations", "Is this process alive?",
        answers={200: HealthDocument},
        rpc=PUBLIC,
    ),
    Route(
        "GET", "/readyz", operations.check_readiness, "Operations", "Can calls be answered?",
        answers={200: HealthDocument},
        rpc=PUBLIC,
    ),
)  # fmt: skip

SOCKETS: tuple[Route, ...] = (
    Route(
        "GET", f"{EXECUTION}/ws", executions.watch_execution, "Executions",
        "Follow an execution by WebSocket",
        "The frames of the stream, one text message each. Closes with 1000 at the end of the execution.",
        params=(AFTER_SEQUENCE, SNAPSHOT),
        answers={101: None}, refusals=(404,),
        rpc="ExecutionService/WatchExecution",
    ),
    Route(
        "GET", "/api/workflow/ws", executions.watch_executions, "Executions",
        "Follow all executions by WebSocket",
        "The frames of the stream, one text message each.",
        params=(*CHANGE_FILTER, AFTER_CURSOR),
        answers={101: None},
        rpc="ExecutionService/WatchExecutions",
    ),
)  # fmt: skip

PATH_PARAMS: Mapping[str, str] = {
    "executionId": "Id of the execution.",
    "tokenId": "Id of the token.",
    "nodeId": "Id of the node in the definition.",
    "token": "Of the callback.",
    "name": "Of the secret.",
    "hash": "SHA-256 of the value's JSON text, hex.",
    "workflowId": "Id of the stored workflow.",
    "workerId": "As the list of workers has it.",
    "scheduleId": "Id of the schedule.",
    "hookPath": "Path of the webhook.",
    "queue": "That the task.external node names.",
}


def pages(own: operations.Operations, console: Console) -> tuple[Route, ...]:
    """Routes about the API itself, which need the rest of the table first."""
    return (
        Route(
            "GET",
            "/metrics",
            own.metrics,
            "Operations",
            "Figures for Prometheus",
            answers={200: "text/plain"},
            rpc=SIGNED_IN,
        ),
        Route("GET", "/openapi.json", own.api_document, "Operations", "This document", rpc=SIGNED_IN),
        Route(
            "GET",
            "/docs",
            own.docs,
            "Operations",
            "This API as a page",
            answers={200: "text/html"},
            rpc=SIGNED_IN,
        ),
        Route(
            "GET",
            "/",
            console.page,
            "Operations",
            "The console",
            "An identity provider sends people back here, with words of its own in the query.",
            answers={200: "text/html"},
            rpc=PUBLIC,
            any_query=True,
        ),
        Route(
            "GET",
            ASSETS,
            console.asset,
            "Operations",
            "A file of the console",
            refusals=(404,),
            rpc=PUBLIC,
        ),
    )
