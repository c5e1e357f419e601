"""Following one execution over cut connections: every event once, in order."""

from __future__ import annotations

import time
from collections.abc import Callable, Iterator

import grpc

from flow_engine.v1 import execution_pb2 as pb
from services.cli.client import Executor
from services.cli.errors import code_of

TERMINAL_EVENTS = ("execution.completed", "execution.failed", "execution.cancelled")
GIVE_UP_SECONDS = 60.0  # without one answer
RETRY_SECONDS = (0.2, 0.5, 1.0, 2.0)  # the last repeats
CUT_CODES = (grpc.StatusCode.UNAVAILABLE, grpc.StatusCode.CANCELLED, grpc.StatusCode.DEADLINE_EXCEEDED)


class Following:
    """The events of an execution up to its end.

    `execution_id` is empty until the first answer of a start. A call that is refused, or that nobody has
    ever answered, raises grpc.RpcError; a connection that worked is taken up again for GIVE_UP_SECONDS.
    """

    def __init__(
        self,
        executor: Executor,
        execution_id: str = "",
        *,
        spec: pb.StartSpec | None = None,
        after: int = 0,
        sleep: Callable[[float], None] = time.sleep,
        clock: Callable[[], float] = time.monotonic,
        on_cut: Callable[[], None] = lambda: None,
    ) -> None:
        self.execution_id = execution_id
        self.last_sequence = after
        self._executor = executor
        self._spec = spec
        self._sleep = sleep
        self._clock = clock
        self._on_cut = on_cut
        self._answered_at: float | None = None

    def __iter__(self) -> Iterator[pb.Event]:
        failures = 0
        while True:
            before = self._answered_at
            try:
                for event in self._stream():
                    failures = 0
                    if event.sequence <= self.last_sequence:
                        continue
                    self.last_sequence = event.sequence
                    yield event
                    if event.type in TERMINAL_EVENTS:
                        return
                if self._at_end():
                    return
            except grpc.RpcError as error:
                if not self._worth_another(error):
                    raise
            if self._answered_at == before and failures == 1:  # one cut is mended in silence
                self._on_cut()
            self._sleep(RETRY_SECONDS[min(failures, len(RETRY_SECONDS) - 1)])
            failures += 1

    def _stream(self) -> Iterator[pb.Event]:
        if self.execution_id:
            return self._watched()
        return self._started()

    def _started(self) -> Iterator[pb.Event]:
        assert self._spec, "without a spec there must be an id"
        call = self._executor.executions.StartAndWatchExecution(
            pb.StartAndWatchExecutionRequest(spec=self._spec)
        )
        try:
            for answer in call:
                self._answered_at = self._clock()
                self.execution_id = answer.execution_id or self.execution_id
                if answer.HasField("event"):
                    yield answer.event
        finally:
            call.cancel()

    def _watched(self) -> Iterator[pb.Event]:
        request = pb.WatchExecutionRequest(execution_id=self.execution_id, after_sequence=self.last_sequence)
        call = self._executor.executions.WatchExecution(request)
        try:
            for answer in call:
                self._answered_at = self._clock()
                yield from answer.events
        finally:
            call.cancel()

    def _at_end(self) -> bool:
        """A stream ended quietly: was that all?"""
        if not self.execution_id:
            return False
        request = pb.GetExecutionRequest(execution_id=self.execution_id, omit_steps=True)
        execution = self._executor.executions.GetExecution(request, timeout=10).execution
        self._answered_at = self._clock()
        ended = execution.status in (
            pb.EXECUTION_STATUS_COMPLETED,
            pb.EXECUTION_STATUS_FAILED,
            pb.EXECUTION_STATUS_CANCELLED,
        )
        return ended and execution.last_sequence <= self.last_sequence

    def _worth_another(self, error: grpc.RpcError) -> bool:
        if code_of(error) not in CUT_CODES:
            return False
        return self._answered_at is not None and self._clock() - self._answered_at < GIVE_UP_SECONDS
