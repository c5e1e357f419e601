"""What the interpreter orders the runner to do."""

from __future__ import annotations

from dataclasses import dataclass

from flow_engine.ids import Iteration
from flow_engine.interpreter.events import Failure

StepId = tuple[str, Iteration]
"""A step of an execution: node id and iteration path."""


@dataclass(frozen=True, slots=True)
class RunNode:
    """Begin the next attempt of a step; a container opens its scope."""

    step: StepId


@dataclass(frozen=True, slots=True)
class ResumeNode:
    """A waiting step was answered or its time is over."""

    step: StepId


@dataclass(frozen=True, slots=True)
class SkipNode:
    """No way leads to it any more."""

    step: StepId


@dataclass(frozen=True, slots=True)
class CancelStep:
    """Interrupt an open step."""

    step: StepId
    reason: str


@dataclass(frozen=True, slots=True)
class CheckCondition:
    """A container without items is between two iterations: does another follow?"""

    step: StepId


@dataclass(frozen=True, slots=True)
class StartChildren:
    """A distributed loop has items that no child was started for yet."""

    step: StepId


@dataclass(frozen=True, slots=True)
class CompleteContainer:
    """Every iteration is over: put their outputs together."""

    step: StepId


@dataclass(frozen=True, slots=True)
class FailContainer:
    """The scope failed and nothing in it runs any more; the container's onError decides."""

    step: StepId
    failure: Failure


@dataclass(frozen=True, slots=True)
class CompleteExecution:
    """Every node is decided: work out the output."""


@dataclass(frozen=True, slots=True)
class FailExecution:
    failure: Failure


@dataclass(frozen=True, slots=True)
class CancelExecution:
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
