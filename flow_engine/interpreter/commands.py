"""What the interpreter orders the runner to do."""

from __future__ import annotations

from msgspec import Struct

from flow_engine.ids import Iteration
from flow_engine.interpreter.events import Failure

StepId = tuple[str, Iteration]
"""A step of an execution: node id and iteration path."""


class RunNode(Struct, frozen=True):
    """Begin the next attempt of a step; a container opens its scope."""

    step: StepId


class ResumeNode(Struct, frozen=True):
    """A waiting step was answered or its time is over."""

    step: StepId


class SkipNode(Struct, frozen=True):
    """No way leads to it any more."""

    step: StepId


class CancelStep(Struct, frozen=True):
    """Interrupt an open step."""

    step: StepId
    reason: str


class CheckCondition(Struct, frozen=True):
    """A container without items is between two iterations: does another follow?"""

    step: StepId


class StartChildren(Struct, frozen=True):
    """A distributed loop has items that no child was started for yet."""

    step: StepId


class CompleteContainer(Struct, frozen=True):
    """Every iteration is over: put their outputs together."""

    step: StepId


class FailContainer(Struct, frozen=True):
    """The scope failed and nothing in it runs any more; the container's onError decides."""

    step: StepId
    failure: Failure


class CompleteExecution(Struct, frozen=True):
    """Every node is decided: work out the output."""


class FailExecution(Struct, frozen=True):
    failure: Failure


class CancelExecution(Struct, frozen=True):
    reason: str


Command = (
    RunNode
    | ResumeNode
    | SkipNode
    | CancelStep
    | CheckCondition
    | StartChildren
    | CompleteContainer
    | FailContainer
    | CompleteExecution
    | FailExecution
    | CancelExecution
)
