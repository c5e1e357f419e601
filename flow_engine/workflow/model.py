"""The fields of a definition, as people write them. docs/semantics.md, "Fields", says what they mean.

The models check single fields; `validation` checks what they mean together.
"""

from __future__ import annotations

import unicodedata
from typing import Annotated, Any, Literal

from pydantic import AfterValidator, BaseModel, ConfigDict, Field
from pydantic.alias_generators import to_camel
from pydantic_core import PydanticCustomError

MAX_ID_LENGTH = 128
MAX_TIMEOUT_MS = 366 * 24 * 3600 * 1000

_INVISIBLE = frozenset(("Cc", "Zl", "Zp", "Cs"))


def _id(value: str) -> str:
    if reason := unfit_id(value):
        raise PydanticCustomError("invalid_id", "{reason}", {"reason": reason})
    return value


def unfit_id(value: str) -> str:
    """Why `value` cannot be an id; empty when it can."""
    if not value.strip():
        return "an id must not be empty"
    if len(value) > MAX_ID_LENGTH:
        return f"an id has at most {MAX_ID_LENGTH} characters, this one has {len(value)}"
    if "/" in value:
        return "an id must not hold '/'"
    if any(unicodedata.category(character) in _INVISIBLE for character in value):
        return "an id must not hold line breaks or control characters"
    return "'__proto__' cannot be an id" if value == "__proto__" else ""


Id = Annotated[str, AfterValidator(_id)]
TimeoutMs = Annotated[int, Field(ge=1, le=MAX_TIMEOUT_MS)]


class Definition(BaseModel):
    """Base: camelCase in JSON, unknown fields refused, nothing converted."""

    model_config = ConfigDict(alias_generator=to_camel, extra="forbid", strict=True, frozen=True)


class RetryDefinition(Definition):
    """How often and when a failed attempt is repeated."""

    max_attempts: int = Field(1, ge=1, le=1000, description="Tries in all, the first one included.")
    initial_interval_ms: int = Field(1000, ge=0, le=86_400_000, description="Before the second attempt.")
    backoff_coefficient: float = Field(
        2.0, ge=1, le=100, allow_inf_nan=False, description="Each interval, times this."
    )
    max_interval_ms: int = Field(60_000, ge=0, le=86_400_000, description="No interval is longer.")
    jitter: float = Field(0.0, ge=0, le=1, description="0.2 varies each interval by up to 20 %.")
    retry_on: list[str] | None = Field(
        None, max_length=100, description="Error codes; absent: every retryable one."
    )


class NodeDefinition(Definition):
    """One step of the workflow."""

    id: Id = Field(description="Unique in the whole definition.")
    type: str = Field(description="One of the node types: `flow nodes` lists them.")
    name: str = Field("", max_length=1024, description="For people.")
    config: dict[str, Any] = Field(
        default_factory=dict, description="What the type asks for; may hold expressions."
    )
    parent_id: str | None = Field(None, description="The container around it.")
    join: Literal["all", "any"] | Annotated[int, Field(ge=1, le=50_000)] = Field(
        "all", description="How many incoming edges must be taken."
    )
    on_error: Literal["fail", "continue", "branch"] | None = Field(
        None, description="After the last attempt: fail, continue, or branch to the edges from `error`."
    )
    retry: RetryDefinition | None = None
    timeout_ms: TimeoutMs | None = Field(None, description="Per attempt; of a container, for the whole.")
    at_most_once: bool | None = Field(None, description="Never repeat an attempt whose outcome is unknown.")


class EdgeDefinition(Definition):
    """A way from one node to another."""

    id: str | None = Field(None, description="For editors.")
    source: str = Field(description="Id of the node it leaves.")
    target: str = Field(description="Id of the node it leads to.")
    source_handle: str | None = Field(
        None, description="The branch it belongs to: `true`, `error`, …; absent: every one."
    )


KeyText = Annotated[
    str, Field(min_length=1, description="May hold expressions over `input`, `vars` and `execution`.")
]


class ConcurrencyDefinition(Definition):
    """At most `limit` executions of this workflow with the same `key` hold a slot at once."""

    key: KeyText
    limit: int = Field(1, ge=1, le=100_000)
    on_limit: Literal["queue", "reject", "cancel_oldest"] = Field(
        "queue", description="What a start does while no slot is free."
    )
    hold: Literal["running", "live"] = Field(
        "running",
        description="How long a slot is held: while a runner has the execution, or over waits to its end.",
    )


class RateLimitDefinition(Definition):
    """At most `limit` executions of this workflow with the same `key` begin within any `periodMs`."""

    key: KeyText
    limit: int = Field(ge=1, le=100_000)
    period_ms: int = Field(ge=1, le=31 * 86_400_000)
    on_limit: Literal["queue", "reject"] = Field(
        "queue", description="What a start does when so many have begun."
    )


class WorkflowSettings(Definition):
    """What a definition says besides its nodes and edges."""

    id: Id | None = Field(None, description="Names the workflow over its versions.")
    name: str = Field("", max_length=1024)
    description: str = Field("", max_length=65_536)
    input_schema: dict[str, Any] | None = Field(
        None, description="JSON Schema that the input is checked against."
    )
    vars: dict[str, Any] = Field(
        default_factory=dict, description="Constants that expressions see as `vars`."
    )
    output: Any = Field(None, description="Result of the workflow; absent: that of its only last node.")
    max_parallel: int = Field(64, ge=1, le=10_000, description="Steps at once.")
    timeout_ms: TimeoutMs | None = Field(None, description="For the whole execution.")
    retry: RetryDefinition | None = Field(None, description="For nodes without a retry of their own.")
    on_conflict: Literal["allow", "reject", "use_existing", "cancel_existing"] | None = Field(
        None, description="What a start does while another execution of this id is live."
    )
    concurrency: ConcurrencyDefinition | None = None
    rate_limit: RateLimitDefinition | None = None
    tags: list[Annotated[str, Field(min_length=1, max_length=128)]] = Field(
        default_factory=list, max_length=64
    )


class WorkflowDefinition(WorkflowSettings):
    """A graph of nodes, and how to run it."""

    nodes: list[NodeDefinition] = Field(min_length=1)
    edges: list[EdgeDefinition] = Field(default_factory=list)
