"""One attempt of one step: evaluate its config, run it within its time, judge the outcome."""

from __future__ import annotations

import asyncio
import random
from collections.abc import Sequence
from typing import Any

import structlog
from msgspec import Struct
from pydantic import ValidationError

from flow_engine.errors import Problem
from flow_engine.expressions import EvaluationError, Template
from flow_engine.interpreter.events import ChildFinished, Failure
from flow_engine.nodes.contract import (
    Answered,
    ChildEnded,
    Completed,
    Failed,
    NodeConfig,
    NodeContext,
    NodeError,
    Outcome,
    TimedOut,
    Wake,
)
from flow_engine.payload import JsonValue, Payload
from flow_engine.secrets.use import SecretsInUse
from flow_engine.workflow.graph import GraphNode, RetryPolicy

log = structlog.get_logger()

MAX_VALUE_BYTES = 1 << 20
MAX_PROBLEMS = 20
"""Of an input, that a failure lists."""


class Prepared(Struct, frozen=True):
    """A config ready to run with."""

    config: NodeConfig
    shown: dict[str, JsonValue] | None  # what history records; None when the definition says it all


def prepare(
    node: GraphNode, scope: dict[str, Any], secrets: SecretsInUse | None = None
) -> Prepared | Failure:
    """Evaluate a node's config in a scope. What history records names the secrets and does not have them."""
    if node.constant_config is not None:
        return Prepared(node.constant_config, None)
    try:
        if secrets is None:
            rendered = filled = node.config.render(scope)
        else:
            rendered = node.config.render({**scope, "secrets": secrets.references})
            filled = node.config.render({**scope, "secrets": secrets.values})
        config = node.type.config_model.model_validate(filled)
    except EvaluationError as error:
        return _failure("EXPRESSION_FAILED", str(error), secrets)
    except ValidationError as error:
        return _failure("CONFIG_INVALID", first_problem(error), secrets)
    shown: dict[str, JsonValue] = _shown(rendered, node.raw_config) if node.type.deferred else rendered  # type: ignore[assignment]
    return Prepared(config, shown)


def _failure(code: str, message: str, secrets: SecretsInUse | None) -> Failure:
    failure = Failure(code, message)
    return failure if secrets is None else secrets.failure(failure)


def _shown(rendered: Any, raw: Any) -> Any:
    """The evaluated config with deferred expressions as they were written."""
    if isinstance(rendered, Template):
        return raw
    if isinstance(rendered, dict):
        return {
            key: _shown(value, raw.get(key) if isinstance(raw, dict) else raw)
            for key, value in rendered.items()
        }
    if isinstance(rendered, list):
        return [
            _shown(value, raw[n] if isinstance(raw, list | tuple) and n < len(raw) else raw)
            for n, value in enumerate(rendered)
        ]
    return rendered


def first_problem(error: ValidationError) -> str:
    problem = error.errors(include_url=False, include_context=False)[0]
    where = ".".join(map(str, problem["loc"]))
    return f"config.{where}: {problem['msg']}" if where else str(problem["msg"])


async def run_attempt(
    node: GraphNode, context: NodeContext, config: NodeConfig, wake: Wake | None, timeout_ms: int | None
) -> Outcome:
    """Run or resume the node. Failures of every kind come back as values; CancelledError passes."""
    bound = None if timeout_ms is None else asyncio.timeout(timeout_ms / 1000)
    try:
        run, resume = node.type.run, node.type.resume
        running = run(context, config) if wake is None else resume(context, config, wake)
        if bound is None:
            outcome = await running
        else:
            async with bound:
                outcome = await running
    except NodeError as error:
        return Failed(error.failure, error.retry_after_ms)
    except EvaluationError as error:
        return Failed(Failure("EXPRESSION_FAILED", str(error)))
    except Exception:
        if bound is not None and bound.expired():
            return Failed(timed_out(node))
        log.exception(
            "node.crashed", node_id=node.id, node_type=node.type.type, execution_id=context.execution_id
        )
        return Failed(Failure("INTERNAL", "the node failed unexpectedly; the log of its process says more"))
    if isinstance(wake, TimedOut) and _has_no_timeout_branch(node, outcome):
        return Failed(Failure("TIMEOUT", "nobody answered in time"))
    return outcome


def _has_no_timeout_branch(node: GraphNode, outcome: Outcome) -> bool:
    """SEMANTICS, handles: without a `timeout` edge the step fails."""
    return (
        isinstance(outcome, Completed)
        and outcome.handle == "timeout"
        and all(edge.handle != "timeout" for edge in node.outgoing)
    )


def timed_out(node: GraphNode) -> Failure:
    """An attempt took longer than the node's own `timeoutMs`."""
    if node.at_most_once:
        return in_doubt("it timed out")
    return Failure("TIMEOUT", f"the attempt took longer than {node.timeout_ms} ms", retryable=True)


def in_doubt(why: str) -> Failure:
    """SEMANTICS, failure: an `atMostOnce` attempt whose effect is unknown is never repeated."""
    return Failure("STEP_IN_DOUBT", f"{why} and must not run twice: whether it took effect is unknown")


def judged(outcome: Outcome) -> Outcome | Payload:
    """A completed step's output as a payload, or the failure that it is too large or no JSON."""
    if not isinstance(outcome, Completed):
        return outcome
    try:
        payload = Payload.of(outcome.output)
    except (TypeError, ValueError, RecursionError):
        return Failed(Failure("OUTPUT_INVALID", "the output is not a JSON value"))
    if len(payload.text) > MAX_VALUE_BYTES:
        return Failed(too_large("output", len(payload.text)))
    return payload


def too_large(what: str, size: int) -> Failure:
    return Failure(
        "OUTPUT_TOO_LARGE", f"the {what} has {size:,} bytes; at most {MAX_VALUE_BYTES:,} are allowed"
    )


def input_invalid(problems: Sequence[Problem]) -> Failure | None:
    """A sub-flow's input does not fit its inputSchema."""
    if not problems:
        return None
    more = f" (and {len(problems) - 1} more)" if len(problems) > 1 else ""
    first = problems[0]
    return Failure(
        "INPUT_INVALID",
        f"input{first.path}: {first.message}{more}",
        details={"problems": [problem.as_json() for problem in problems[:MAX_PROBLEMS]]},
    )


def retry_policy(node: GraphNode, workflow: RetryPolicy | None, max_retries: int | None) -> RetryPolicy:
    """The node's own; else the options' number of attempts; else the workflow's default."""
    if node.retry is not None:
        return node.retry
    default = workflow or RetryPolicy()
    if max_retries is None:
        return default
    return RetryPolicy(
        max_retries + 1,
        default.initial_interval_ms,
        default.backoff_coefficient,
        default.max_interval_ms,
        default.jitter,
        default.retry_on,
    )


def may_retry(failure: Failure, policy: RetryPolicy, failures_before: int) -> bool:
    return (
        failure.retryable
        and failures_before + 1 < policy.max_attempts
        and (policy.retry_on is None or failure.code in policy.retry_on)
    )


def backoff_ms(policy: RetryPolicy, failures_before: int, at_least_ms: int | None) -> float:
    """The wait before the next attempt, in milliseconds; jitter is settled here, once."""
    exponent = min(failures_before, 64)
    interval = min(policy.initial_interval_ms * policy.backoff_coefficient**exponent, policy.max_interval_ms)
    interval *= 1 + random.uniform(-policy.jitter, policy.jitter)
    return max(interval, at_least_ms or 0)


def wake_of(answer: JsonValue, timed_out: bool, child: ChildFinished | None) -> Wake:
    """answer: what came; of a child, its output."""
    if timed_out:
        return TimedOut()
    if child is not None:
        return ChildEnded(child.child_id, child.status, answer, child.error)
    return Answered(answer)
