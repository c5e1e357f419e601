"""What a node type promises, and what it is given.

A type declares its config as a pydantic model (its JSON Schema is public),
whether it acts on the outside, waits for people or holds child nodes, and how
long it typically takes; validation, the mode decision, the docs and the
interpreter all read these declarations. Third parties add types through the
entry-point group `flow_engine.nodes`, each entry a `NodeType` subclass.
"""

from __future__ import annotations

import builtins
from abc import ABC
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from enum import Enum
from typing import Any, ClassVar, Generic, TypeVar

import msgspec
from pydantic import BaseModel, ConfigDict
from pydantic.alias_generators import to_camel

from flow_engine.ids import Iteration
from flow_engine.interpreter.events import Failure
from flow_engine.payload import JsonValue


class NodeConfig(BaseModel):
    """Base of every config model: camelCase in JSON, unknown fields refused."""

    model_config = ConfigDict(
        alias_generator=to_camel,
        populate_by_name=True,
        extra="forbid",
        frozen=True,
        defer_build=True,  # until the first config of the type: few processes meet all of them
    )


class Effect(Enum):
    """Whether running the node again could be noticed from outside."""

    PURE = "pure"
    EXTERNAL = "external"


class Completed(msgspec.Struct, frozen=True):
    """The step succeeded. `handle` names the branch taken, of the type's handles; where several are taken
    at once, `handles` names them instead."""

    output: JsonValue = None
    handle: str = ""
    handles: tuple[str, ...] = ()


class Failed(msgspec.Struct, frozen=True):
    """The attempt failed; retried when `failure.retryable` and attempts are left."""

    failure: Failure
    retry_after_ms: int | None = None  # at least this long, when the other side said so


@dataclass(frozen=True, slots=True)
class Waiting:
    """The step goes on when a signal arrives or the time is over, whichever is first.

    Holds no slot and no memory meanwhile; `NodeType.resume` is called then,
    maybe by another process.
    """

    timeout_ms: int | None = None
    signal: Mapping[str, JsonValue] | None = None  # {"kind": "person" | "callback" | "task", …}
    input: JsonValue = None  # of a task: what it is about, too large for `signal`


@dataclass(frozen=True, slots=True)
class Spawning:
    """The step starts a child execution of the workflow that its node names.

    If it waits, `NodeType.resume` is called with what became of the child; otherwise the step is completed.
    """

    input: JsonValue
    waits: bool = True


Outcome = Completed | Failed | Waiting | Spawning


@dataclass(frozen=True, slots=True)
class Answered:
    """The signal that a waiting step asked for."""

    payload: JsonValue


@dataclass(frozen=True, slots=True)
class TimedOut:
    """The time of a waiting step is over."""


@dataclass(frozen=True, slots=True)
class ChildEnded:
    """The child execution that a step waited for is over."""

    child_id: str
    status: str  # completed, failed, cancelled
    output: JsonValue = None
    failure: Failure | None = None


Wake = Answered | TimedOut | ChildEnded


@dataclass(frozen=True, slots=True)
class Opening:
    """How a container runs its scope."""

    items: Sequence[JsonValue] | None = None  # one iteration an item; None: as long as `goes_on` says
    concurrency: int = 1  # scopes at once
    collect_errors: bool = False  # a failed iteration is a result like another instead of failing all
    stop_after: int | None = None  # so many successful iterations are enough; the rest is cancelled


class NodeServices:
    """What the process lends to nodes. `http` is shared, pooled and follows the egress rules."""

    @property
    def http(self) -> Any:  # httpx.AsyncClient
        raise LookupError("this process has no HTTP client")

    def http_with(self, trust: Any) -> Any:  # ssl.SSLContext -> httpx.AsyncClient
        """A client for one use (`async with`), with certificates of its own, under the same rules."""
        raise LookupError("this process has no HTTP client")

    @property
    def runs_code(self) -> bool:
        """Whether the operator lets this process run code that workflows bring."""
        return False

    async def address_of(self, host: str, port: int) -> str:
        """Where to connect for `host`: nodes that open connections of their own ask first, and connect there.

        An IP address that was checked; the name is not to be resolved again. Raises NodeError EGRESS_DENIED
        where workflows may not go, OSError if the name is unknown.
        """
        raise LookupError("this process opens no connections")


class NodeContext(msgspec.Struct, frozen=True):
    """One attempt of one step."""

    execution_id: str
    node_id: str
    iteration: Iteration
    attempt: int  # from 1
    step_key: str  # the same for every attempt: send it to outside systems as idempotency key
    services: NodeServices
    scope: Mapping[str, Any]  # what expressions see; for rendering deferred templates
    predecessors: Mapping[str, JsonValue] = {}
    """Outputs of the predecessors whose edges were taken, by node id; filled when `wants_predecessors`."""
    default_input: JsonValue = None
    """The execution's input, or in a loop the item."""
    remaining_ms: int | None = None
    """Until the earliest time-out; the runner cancels the attempt then."""


ConfigT = TypeVar("ConfigT", bound=NodeConfig)


class NodeType(ABC, Generic[ConfigT]):
    """One kind of node. Instances hold no state: one instance serves every run.

    The class docstring is the public description; its first line the summary.
    """

    type: ClassVar[str]  # http.request
    title: ClassVar[str]  # HTTP request
    config_model: ClassVar[builtins.type[NodeConfig]]
    example: ClassVar[dict[str, Any]]  # a config that validates; shown in docs, run by the conformance suite

    effect: ClassVar[Effect] = Effect.PURE
    human: ClassVar[bool] = False
    called_back: ClassVar[bool] = False  # waits at a URL that others read as `callbacks.<id>.url`
    container: ClassVar[bool] = False
    inline: ClassVar[bool] = False  # `run` never truly awaits: needs no task of its own
    wants_predecessors: ClassVar[bool] = False
    timed_by_config: ClassVar[bool] = False  # `typical_ms` is exact: better than what history teaches
    at_most_once: ClassVar[bool] = False  # default of the node field `atMostOnce`
    setting: ClassVar[str] = ""  # the operator's setting that turns it on; empty: it is always on
    ends_execution: ClassVar[bool] = False
    """Its output is that of the execution, or of the sub-flow around it; everything else is cancelled."""
    subflow: ClassVar[bool] = False
    """Containers: its nodes are those of another workflow, which its config names by `workflowId` and
    `version`, or holds as `workflow`."""
    spawns: ClassVar[bool] = False  # starts child executions; takes no `retry`
    settled: ClassVar[frozenset[str]] = frozenset()
    """Config fields that must be known before anything runs: they hold no expressions."""
    planned: ClassVar[str] = "items"  # containers: the config field that the plan of the loop holds
    loop_variables: ClassVar[frozenset[str]] = frozenset()
    """Containers: the variables that each iteration has, of item, index, iteration, previous."""
    handles: ClassVar[tuple[str, ...]] = ()  # besides "error"; empty: one unnamed way out
    deferred: ClassVar[Mapping[str, frozenset[str]]] = {}
    """Config fields whose expressions the node evaluates itself, by dotted path (`cases.*.when`), each
    with the extra variables that they may use. The config model sees a compiled `Template` there."""
    error_codes: ClassVar[Mapping[str, str]] = {}
    """Every code that its failures may carry, with what it means; shown in docs."""

    def variant(self, config: Mapping[str, Any]) -> NodeType[Any]:
        """The type that a node with this raw config really is. Only `settled` fields may decide it."""
        return self

    def handles_of(self, config: Mapping[str, Any]) -> tuple[str, ...]:
        """The handles of a node with this raw config (expressions not evaluated)."""
        return self.handles

    def output_schema(self, config: Mapping[str, Any]) -> Mapping[str, Any] | None:
        """JSON Schema of the output of a node with this raw config; None: anything.

        Expressions that read what an output cannot have are refused. Only `type`, `properties`,
        `additionalProperties` and `items` are looked at.
        """
        return None

    def typical_ms(self, config: Mapping[str, Any]) -> float:
        """How long one run typically takes, from the raw config."""
        return 1.0

    def typical_iterations(self, config: Mapping[str, Any]) -> float:
        """Containers: how often the scope runs, one after another (concurrency divided out)."""
        return 1.0

    async def run(self, context: NodeContext, config: ConfigT) -> Outcome:
        """One attempt. May raise `NodeError`; anything else becomes failure INTERNAL, not retried.

        Cancellation (time-out, request, sibling failed) arrives as CancelledError and must pass through.
        """
        raise LookupError(f"{self.type} has no run")

    async def resume(self, context: NodeContext, config: ConfigT, wake: Wake) -> Outcome:
        """After `Waiting`: turn the answer or the time-out into an outcome."""
        raise LookupError(f"{self.type} never waits")

    def cancels_rest(self, config: Mapping[str, Any]) -> bool:
        """Whether a node with this raw config, once it starts, cancels what leads to nothing but it."""
        return False

    def open(self, config: ConfigT) -> Opening:
        """Containers: how to run the scope. May raise `NodeError`."""
        raise LookupError(f"{self.type} is no container")

    def goes_on(self, config: ConfigT, scope: Mapping[str, Any], done: int) -> bool:
        """Containers without items: whether another iteration follows the `done` ones. May raise `NodeError`.

        scope: what the container sees, with `iteration` and `index` (both `done`) and `previous`, the
        output of the last iteration.
        """
        raise LookupError(f"{self.type} has a list of items")

    def fold(self, config: ConfigT, results: Sequence[JsonValue | Failure]) -> Outcome:
        """Containers: the outcome, from those of the iterations in order; without items, of the last."""
        return Completed([_collected(result) for result in results])


def _collected(result: JsonValue | Failure) -> JsonValue:
    if isinstance(result, Failure):
        return {"error": {"code": result.code, "message": result.message}}
    return result


class NodeError(Exception):
    """A failure as an exception, for code deep inside a node."""

    def __init__(
        self,
        code: str,
        message: str,
        *,
        retryable: bool = False,
        retry_after_ms: int | None = None,
        **details: Any,
    ) -> None:
        super().__init__(message)
        self.failure = Failure(code=code, message=message, retryable=retryable, details=details)
        self.retry_after_ms = retry_after_ms
