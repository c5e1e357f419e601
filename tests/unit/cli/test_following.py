from __future__ import annotations

from collections.abc import Iterator
from types import SimpleNamespace
from typing import Any

import grpc
import pytest

from flow_engine.v1 import execution_pb2 as pb
from services.cli.client import Executor
from services.cli.following import GIVE_UP_SECONDS, Following


class Cut(grpc.RpcError):
    def __init__(self, code: grpc.StatusCode = grpc.StatusCode.UNAVAILABLE) -> None:
        self._code = code

    def code(self) -> grpc.StatusCode:
        return self._code


class Stream:
    """Gives its events, then breaks or ends."""

    def __init__(self, sequences: list[int], end: Exception | None = None) -> None:
        self._sequences, self._end = sequences, end

    def __iter__(self) -> Iterator[pb.WatchExecutionResponse]:
        for sequence in self._sequences:
            kind = "execution.completed" if sequence == 5 else "step.started"
            yield pb.WatchExecutionResponse(events=[pb.Event(sequence=sequence, type=kind)])
        if self._end:
            raise self._end

    def cancel(self) -> None:
        pass


class World:
    """An executor whose streams are given, and a clock that moves while one sleeps."""

    def __init__(self, *streams: Stream, ended: bool = False) -> None:
        self.streams = list(streams)
        self.asked_after: list[int] = []
        self.now = 0.0
        self.told = 0
        self._ended = ended
        stub = SimpleNamespace(WatchExecution=self._watch, GetExecution=self._get)
        self.executor: Any = SimpleNamespace(executions=stub)

    def following(self, after: int = 0) -> Following:
        executor: Executor = self.executor
        return Following(
            executor, "run", after=after, sleep=self._sleep, clock=lambda: self.now, on_cut=self._tell
        )

    def _watch(self, request: pb.WatchExecutionRequest) -> Stream:
        self.asked_after.append(request.after_sequence)
        return self.streams.pop(0) if self.streams else Stream([], Cut())

    def _get(self, request: pb.GetExecutionRequest, timeout: float) -> pb.GetExecutionResponse:
        status = pb.EXECUTION_STATUS_COMPLETED if self._ended else pb.EXECUTION_STATUS_RUNNING
        return pb.GetExecutionResponse(execution=pb.Execution(status=status, last_sequence=5))

    def _sleep(self, seconds: float) -> None:
        self.now += seconds

    def _tell(self) -> None:
        self.told += 1


def test_the_stream_is_taken_up_after_the_last_seen_event() -> None:
    world = World(Stream([1, 2], Cut()), Stream([], Cut()), Stream([2, 3, 4, 5]))

    assert [event.sequence for event in world.following()] == [1, 2, 3, 4, 5]
    assert world.asked_after == [0, 2, 2]


def test_a_cut_is_told_once_when_the_next_try_fails_as_well() -> None:
    world = World(Stream([1], Cut()), *(Stream([], Cut()) for _ in range(4)), Stream([2, 3, 4, 5]))

    list(world.following())

    assert world.told == 1


def test_it_gives_up_when_nobody_answers_for_long() -> None:
    world = World(Stream([1], Cut()))

    with pytest.raises(Cut):
        list(world.following())
    assert GIVE_UP_SECONDS <= world.now < GIVE_UP_SECONDS + 5


def test_nobody_there_at_all_is_told_at_once() -> None:
    world = World(Stream([], Cut()))

    with pytest.raises(Cut):
        list(world.following())
    assert world.now == 0


def test_a_refusal_is_no_cut() -> None:
    world = World(Stream([1], Cut(grpc.StatusCode.NOT_FOUND)))

    with pytest.raises(Cut):
        list(world.following())
    assert world.asked_after == [0]


def test_a_quiet_end_before_the_last_event_is_followed_up() -> None:
    world = World(Stream([1, 2]), Stream([3, 4, 5]))

    assert [event.sequence for event in world.following()] == [1, 2, 3, 4, 5]


def test_an_execution_that_has_ended_needs_no_terminal_event_again() -> None:
    world = World(Stream([]), ended=True)

    assert list(world.following(after=5)) == []
