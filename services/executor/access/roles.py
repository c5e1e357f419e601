"""Who may call what: one table. An RPC that is not in it may be called by nobody.

Roles are a ladder, `viewer` below `operator` below `author` below `admin`; `worker` stands beside it.
"""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass
from functools import cache

ROLES = ("viewer", "operator", "author", "worker", "admin")
INCLUDES: Mapping[str, frozenset[str]] = {
    "viewer": frozenset({"signed in", "viewer"}),
    "operator": frozenset({"signed in", "viewer", "operator"}),
    "author": frozenset({"signed in", "viewer", "operator", "author"}),
    "worker": frozenset({"signed in", "worker"}),
    "admin": frozenset({"signed in", "viewer", "operator", "author", "worker", "admin"}),
}


@dataclass(frozen=True, slots=True)
class Rule:
    """least: the lowest role that may; `signed in`: every role; `anyone`: nobody is asked who it is.

    audited: it changes something, so it goes into the audit log.
    """

    least: str
    audited: bool = False


def reads(least: str) -> Rule:
    return Rule(least)


def changes(least: str) -> Rule:
    return Rule(least, audited=True)


RPCS: Mapping[str, Mapping[str, Rule]] = {
    "flow_engine.v1.ExecutionService": {
        "StartExecution": changes("operator"),  # with a definition of its own: author
        "StartAndWatchExecution": changes("operator"),  # the same
        "GetExecution": reads("viewer"),
        "ListExecutions": reads("viewer"),
        "CountExecutions": reads("viewer"),
        "ListSteps": reads("viewer"),
        "ListEvents": reads("viewer"),
        "GetValue": reads("viewer"),
        "WatchExecution": reads("viewer"),
        "WatchExecutions": reads("viewer"),
        "ListChanges": reads("viewer"),
        "GetStats": reads("viewer"),
        "PauseExecution": changes("operator"),
        "ResumeExecution": changes("operator"),
        "CancelExecution": changes("operator"),
        "RetryExecution": changes("operator"),
        "ControlExecutions": changes("operator"),
        "SubmitInput": changes("operator"),
        "SubmitCallback": Rule("anyone"),  # its token is the right
        "AnalyzeWorkflow": reads("viewer"),
        "ValidateWorkflow": reads("viewer"),
        "ListNodeTypes": reads("viewer"),
    },
    "flow_engine.v1.WorkflowService": {
        "CreateWorkflow": changes("author"),
        "UpdateWorkflow": changes("author"),
        "DeleteWorkflow": changes("author"),
        "GetWorkflow": reads("viewer"),
        "ListWorkflows": reads("viewer"),
        "ListWorkflowVersions": reads("viewer"),
        "LabelWorkflow": changes("author"),
        "DiffWorkflow": reads("viewer"),
    },
    "flow_engine.v1.WorkerService": {  # what they do is in the histories
        "Session": reads("worker"),
        "ClaimNext": reads("worker"),
        "Report": reads("worker"),
        "RenewLeases": reads("worker"),
        "Release": reads("worker"),
        "GetDefinition": reads("worker"),
        "GetPayload": reads("worker"),
    },
    "flow_engine.v1.TaskService": {
        "PollTask": reads("operator"),
        "StreamTasks": reads("operator"),
        "HeartbeatTask": reads("operator"),
        "CompleteTask": changes("operator"),
        "FailTask": changes("operator"),
    },
    "flow_engine.v1.SecretService": {
        "PutSecret": changes("author"),
        "ListSecrets": reads("author"),
        "DeleteSecret": changes("author"),
    },
    "flow_engine.v1.SecretResolutionService": {
        "ResolveSecrets": reads("worker"),
    },
    "flow_engine.v1.TriggerService": {
        "PutSchedule": changes("author"),
        "DeleteSchedule": changes("author"),
        "PauseSchedule": changes("operator"),
        "ResumeSchedule": changes("operator"),
        "RunSchedule": changes("operator"),
        "GetSchedule": reads("viewer"),
        "ListSchedules": reads("viewer"),
        "ListSlots": reads("viewer"),
        "PreviewSchedule": reads("viewer"),
        "PutWebhook": changes("author"),
        "DeleteWebhook": changes("author"),
        "GetWebhook": reads("author"),  # of an unsigned one, the path is the right to call it
        "ListWebhooks": reads("author"),
        "DeliverWebhook": Rule("anyone"),  # its signature is the right
    },
    "flow_engine.v1.OperationsService": {
        "ListWorkers": reads("viewer"),
        "GetQueue": reads("viewer"),
        "DrainWorker": changes("operator"),  # and only who operates the whole installation
        "RequeueExecution": changes("operator"),
        "PurgeQueue": changes("operator"),
        "Diagnose": reads("operator"),
    },
    "flow_engine.v1.AccessService": {
        "WhoAmI": reads("signed in"),
        "CreateToken": changes("admin"),
        "ListTokens": reads("admin"),
        "RevokeToken": changes("admin"),
        "ListAuditEntries": reads("admin"),
    },
    "externalscaler.ExternalScaler": {  # KEDA
        "IsActive": reads("viewer"),
        "StreamIsActive": reads("viewer"),
        "GetMetricSpec": reads("viewer"),
        "GetMetrics": reads("viewer"),
    },
    "grpc.health.v1.Health": {"Check": Rule("anyone"), "Watch": Rule("anyone"), "List": Rule("anyone")},
    "grpc.reflection.v1alpha.ServerReflection": {"ServerReflectionInfo": reads("signed in")},
}

NOBODY = Rule("nobody")


def rule_of(method: str) -> Rule:
    """method: full name with or without the leading slash, as gRPC gives it."""
    service, _, name = method.removeprefix("/").partition("/")
    return RPCS.get(service, {}).get(name, NOBODY)


def may(role: str, rule: Rule) -> bool:
    return rule.least == "anyone" or rule.least in INCLUDES.get(role, ())


@cache
def methods_of(role: str) -> tuple[str, ...]:
    """Full names of all that the role may call."""
    return tuple(
        f"{service}/{name}" for service, rules in RPCS.items() for name, rule in rules.items()
        if may(role, rule)
    )  # fmt: skip


def may_define(role: str) -> bool:
    """Whether the role may run definitions that nobody stored: they reach whatever nodes can reach."""
    return "author" in INCLUDES.get(role, ())
