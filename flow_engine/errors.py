"""What a bad call raises. A run that goes wrong is a value instead: `Failure`."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import asdict, dataclass
from typing import Any


class FlowEngineError(Exception):
    """Base of every error that a caller may see.

    `reason` is stable and upper case; `details` are JSON values for programs.
    """

    reason = "INTERNAL"

    def __init__(self, message: str, **details: Any) -> None:
        super().__init__(message)
        self.message = message
        self.details = details


@dataclass(frozen=True, slots=True)
class Problem:
    """One thing wrong with a definition, an input or a call."""

    path: str  # JSON Pointer: /nodes/3/config/url; "" is the whole
    code: str  # stable, upper case
    message: str
    hint: str = ""

    def as_json(self) -> dict[str, str]:
        return asdict(self)


class InvalidRequest(FlowEngineError):
    """The call itself is wrong; `problems` lists everything that is, in document order."""

    reason = "INVALID_REQUEST"

    def __init__(self, problems: Sequence[Problem], message: str | None = None) -> None:
        self.problems = tuple(problems)
        first = self.problems[0]
        more = f" (and {len(self.problems) - 1} more)" if len(self.problems) > 1 else ""
        super().__init__(message or f"{first.path or '/'}: {first.message}{more}")


class InvalidWorkflow(InvalidRequest):
    """The definition was refused; nothing was stored."""

    reason = "INVALID_WORKFLOW"


class InvalidInput(InvalidRequest):
    """The input does not fit the workflow's inputSchema, or an answer its step's."""

    reason = "INVALID_INPUT"


class ExecutionNotFound(FlowEngineError):
    reason = "EXECUTION_NOT_FOUND"

    def __init__(self, execution_id: str) -> None:
        super().__init__(f"there is no execution {execution_id!r}", executionId=execution_id)


class WorkflowNotFound(FlowEngineError):
    reason = "WORKFLOW_NOT_FOUND"

    def __init__(self, workflow_id: str, version: int = 0) -> None:
        which = f" version {version}" if version else ""
        super().__init__(f"there is no stored workflow {workflow_id!r}{which}", workflowId=workflow_id)


class WorkflowExists(FlowEngineError):
    reason = "WORKFLOW_EXISTS"

    def __init__(self, workflow_id: str) -> None:
        super().__init__(
            f"a workflow {workflow_id!r} is stored already; update it instead", workflowId=workflow_id
        )


class WorkflowRunning(FlowEngineError):
    """The definition lets nothing start while another execution of its workflow is live."""

    reason = "WORKFLOW_RUNNING"

    def __init__(self, workflow_id: str, execution_id: str) -> None:
        super().__init__(
            f"workflow {workflow_id!r} is running already, as execution {execution_id}",
            workflowId=workflow_id,
            executionId=execution_id,
        )


class VersionConflict(FlowEngineError):
    reason = "VERSION_CONFLICT"

    def __init__(self, workflow_id: str, expected: int, actual: int) -> None:
        super().__init__(
            f"workflow {workflow_id!r} is at version {actual}, not {expected}",
            workflowId=workflow_id,
            expectedVersion=expected,
            actualVersion=actual,
        )


class WorkerNotFound(FlowEngineError):
    reason = "WORKER_NOT_FOUND"

    def __init__(self, worker_id: str) -> None:
        super().__init__(f"no worker {worker_id!r} is alive", workerId=worker_id)


class NodeNotFound(FlowEngineError):
    reason = "NODE_NOT_FOUND"

    def __init__(self, node_id: str) -> None:
        super().__init__(f"the workflow has no node {node_id!r}", nodeId=node_id)


class ValueNotFound(FlowEngineError):
    """No definition or value of this hash is stored, or none that may be read this way."""

    reason = "VALUE_NOT_FOUND"

    def __init__(self, value_hash: str) -> None:
        super().__init__(f"there is no value with the hash {value_hash!r}", hash=value_hash)


class CallbackNotFound(FlowEngineError):
    """Nobody was given this callback token."""

    reason = "CALLBACK_NOT_FOUND"

    def __init__(self) -> None:
        super().__init__("there is no such callback")


class CallbackGone(FlowEngineError):
    """The token was good once: its step does not wait any more and never will again."""

    reason = "CALLBACK_GONE"

    def __init__(self) -> None:
        super().__init__("nobody waits for this callback any more")


class IllegalTransition(FlowEngineError):
    """The execution's status, or what was asked of it before, does not allow what is asked now."""

    reason = "ILLEGAL_TRANSITION"

    def __init__(self, current: str, requested: str, *, cancelling: bool = False) -> None:
        what = f"is {current} and being cancelled" if cancelling else f"is {current}"
        super().__init__(
            f"an execution that {what} cannot be {requested}", status=current, requested=requested
        )


class NotWaiting(FlowEngineError):
    reason = "NOT_WAITING"

    def __init__(self, node_id: str) -> None:
        super().__init__(f"node {node_id!r} does not wait for an answer", nodeId=node_id)


class AmbiguousStep(FlowEngineError):
    reason = "AMBIGUOUS"

    def __init__(self, node_id: str, iterations: Sequence[Sequence[int]]) -> None:
        super().__init__(
            f"several instances of node {node_id!r} wait; name one by its iteration",
            nodeId=node_id,
            iterations=[list(path) for path in iterations],
        )


class AlreadyAnswered(FlowEngineError):
    reason = "ALREADY_ANSWERED"

    def __init__(self, node_id: str) -> None:
        super().__init__(f"node {node_id!r} was answered already, with another answer", nodeId=node_id)


class TaskNotFound(FlowEngineError):
    """No task of ours has this token, or it ended long ago."""

    reason = "TASK_NOT_FOUND"

    def __init__(self) -> None:
        super().__init__("there is no task with this token; take one with PollTask")


class TaskLeaseLost(FlowEngineError):
    """The lease was over, and the task was offered to others."""

    reason = "TASK_LEASE_LOST"

    def __init__(self, node_id: str) -> None:
        message = f"the lease of this task of node {node_id!r} was lost; somebody else may work on it"
        super().__init__(message, nodeId=node_id)


class TaskSettled(FlowEngineError):
    """It has another result already."""

    reason = "TASK_SETTLED"

    def __init__(self, node_id: str) -> None:
        super().__init__(f"this task of node {node_id!r} has a result already", nodeId=node_id)


class TaskEnded(FlowEngineError):
    """Nobody waits for a result any more."""

    reason = "TASK_ENDED"

    def __init__(self, node_id: str, why: str) -> None:
        super().__init__(f"the result of this task of node {node_id!r} comes too late: {why}", nodeId=node_id)


class IdempotencyConflict(FlowEngineError):
    reason = "IDEMPOTENCY_CONFLICT"

    def __init__(self, request_id: str) -> None:
        super().__init__("this request id was used before with another body", requestId=request_id)


class Busy(FlowEngineError):
    """A limit on concurrent work is reached; the same call may succeed later."""

    reason = "BUSY"

    def __init__(self, message: str, retry_after_seconds: int = 1) -> None:
        super().__init__(message, retryAfterSeconds=retry_after_seconds)
        self.retry_after_seconds = retry_after_seconds


class QueueFull(Busy):
    """As many executions are queued as may be."""

    reason = "QUEUE_FULL"

    def __init__(self, most: int) -> None:
        super().__init__(
            f"{most:,} executions are queued, which is the most; FLOW_QUEUE_MAX_PENDING sets it",
            retry_after_seconds=5,
        )


class QuotaExceeded(Busy):
    """A namespace uses as much as it may."""

    reason = "QUOTA_EXCEEDED"

    def __init__(self, quota: str, most: float, setting: str, retry_after_seconds: int) -> None:
        super().__init__(
            f"this namespace is at its quota of {most:,} ({quota}); {setting} sets it",
            retry_after_seconds=retry_after_seconds,
        )
        self.details |= {"quota": quota}


class TooManyCalls(Busy):
    """As many calls are open as may be; workers have room beside them."""

    reason = "TOO_MANY_CALLS"

    def __init__(self, most: int, what: str = "calls") -> None:
        super().__init__(f"{most:,} {what} are open, which is the most; FLOW_GRPC_CALLS sets it")


class MetadataTooLarge(FlowEngineError):
    """A call brings more headers along than anybody needs."""

    reason = "METADATA_TOO_LARGE"

    def __init__(self, most_bytes: int) -> None:
        super().__init__(f"a call's metadata has {most_bytes:,} bytes at most", mostBytes=most_bytes)


class MessageTooSlow(FlowEngineError):
    """A call was begun, and what it asks for did not come."""

    reason = "REQUEST_TIMEOUT"

    def __init__(self, seconds: float) -> None:
        super().__init__(
            f"send the whole message within {seconds:g} s; FLOW_GRPC_MESSAGE_SECONDS sets it", seconds=seconds
        )


class Unauthenticated(FlowEngineError):
    """Nobody knows who calls: no credentials, or none that hold."""

    reason = "UNAUTHENTICATED"


class PermissionDenied(FlowEngineError):
    """It is known who calls, and that one may not."""

    reason = "PERMISSION_DENIED"


class TokenNotFound(FlowEngineError):
    reason = "TOKEN_NOT_FOUND"

    def __init__(self, token_id: str) -> None:
        super().__init__(f"there is no token {token_id!r}", tokenId=token_id)


class SlotsTaken(Busy):
    """The definition lets nothing start while all slots of its concurrency key are taken."""

    reason = "CONCURRENCY_LIMIT"

    def __init__(self, key: str, limit: int) -> None:
        taken = "the only slot is" if limit == 1 else f"all {limit:,} slots are"
        super().__init__(f"{taken} taken for concurrency key {key!r}")
        self.details |= {"key": key, "limit": limit}


class RateExceeded(Busy):
    """The definition lets no more start in this period."""

    reason = "RATE_LIMIT"

    def __init__(self, key: str, limit: int, period_ms: int, retry_after_seconds: int) -> None:
        super().__init__(
            f"{limit:,} executions of rate limit key {key!r} have begun within {period_ms:,} ms",
            retry_after_seconds,
        )
        self.details |= {"key": key, "limit": limit, "periodMs": period_ms}


class Unavailable(FlowEngineError):
    """Something the engine needs does not answer; the same call may succeed later."""

    reason = "UNAVAILABLE"


class LeaseLost(FlowEngineError):
    """Another runner owns the execution, or nobody: drop the run."""

    reason = "LEASE_LOST"

    def __init__(self, execution_id: str) -> None:
        super().__init__("the lease of this execution is lost", executionId=execution_id)


class ReportGap(FlowEngineError):
    """A report before this one never arrived."""

    reason = "REPORT_GAP"


class ReportConflict(FlowEngineError):
    """A report of this number was accepted with another body."""

    reason = "REPORT_CONFLICT"


class SecretMissing(FlowEngineError):
    """The database keeps no secret of this name."""

    reason = "SECRET_NOT_FOUND"

    def __init__(self, name: str) -> None:
        super().__init__(f"no secret {name!r} is kept here", secret=name)


class SecretUnreadable(FlowEngineError):
    """What is stored was encrypted with none of our keys, or is not what it claims to be."""

    reason = "SECRET_UNREADABLE"

    def __init__(self, name: str) -> None:
        super().__init__(
            f"secret {name} cannot be decrypted: its key is none of those in FLOW_SECRETS_KEY", secret=name
        )


class NoSecretsKey(FlowEngineError):
    """Secrets cannot be kept."""

    reason = "SECRETS_KEY_MISSING"

    def __init__(self) -> None:
        super().__init__(
            "secrets are kept encrypted, and there is no key: set FLOW_SECRETS_KEY on every executor to what "
            "`flow secret key` prints"
        )


class ScheduleNotFound(FlowEngineError):
    reason = "SCHEDULE_NOT_FOUND"

    def __init__(self, schedule_id: str) -> None:
        super().__init__(f"there is no schedule {schedule_id!r}", scheduleId=schedule_id)


class WebhookNotFound(FlowEngineError):
    reason = "WEBHOOK_NOT_FOUND"

    def __init__(self, path: str) -> None:
        super().__init__(f"there is no webhook at {path!r}", path=path)


class WebhookPathTaken(FlowEngineError):
    """Paths are addresses: all namespaces share them."""

    reason = "WEBHOOK_PATH_TAKEN"

    def __init__(self, path: str) -> None:
        super().__init__(f"the path {path!r} is taken; choose another", path=path)


class SignatureRefused(FlowEngineError):
    """A delivery is not signed with the webhook's secret, or too long ago."""

    reason = "SIGNATURE_INVALID"
