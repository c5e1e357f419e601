"""What an attempt uses beside its time: processor, network, calls to the outside, tokens of models.

Processor time is measured around every stretch that the attempt's own task runs, so that attempts side
by side do not count for one another. Nodes that never await have no task of their own and are not
metered: what they use shows as their time.
"""

from __future__ import annotations

import resource
import sys
import time
from collections.abc import Coroutine, Generator
from contextvars import ContextVar
from typing import Any, Generic, TypeVar

import msgspec

T = TypeVar("T")

LEAST_CPU_US = 1000
"""What used less than this, and nothing else, is not worth a word in the history."""
_RSS_UNIT = 1 if sys.platform == "darwin" else 1024


class Usage(msgspec.Struct, frozen=True, rename="camel", omit_defaults=True):
    """Of one attempt, or the sum of several; the memory is a maximum."""

    cpu_us: int = 0
    peak_memory: int = 0  # bytes that the process ever held at once, up to the end of the attempt
    bytes_in: int = 0  # over HTTP
    bytes_out: int = 0
    outside_calls: int = 0
    input_tokens: int = 0
    output_tokens: int = 0

    def plus(self, other: Usage) -> Usage:
        return Usage(
            self.cpu_us + other.cpu_us,
            max(self.peak_memory, other.peak_memory),
            self.bytes_in + other.bytes_in,
            self.bytes_out + other.bytes_out,
            self.outside_calls + other.outside_calls,
            self.input_tokens + other.input_tokens,
            self.output_tokens + other.output_tokens,
        )


class Meter:
    """Counts while an attempt runs."""

    __slots__ = ("bytes_in", "bytes_out", "cpu_ns", "input_tokens", "output_tokens", "outside_calls")

    def __init__(self) -> None:
        self.cpu_ns = self.bytes_in = self.bytes_out = 0
        self.outside_calls = self.input_tokens = self.output_tokens = 0

    def usage(self) -> Usage | None:
        """None where there is nothing worth telling."""
        cpu_us = self.cpu_ns // 1000
        used = self.bytes_in, self.bytes_out, self.outside_calls, self.input_tokens, self.output_tokens
        if cpu_us < LEAST_CPU_US and not any(used):
            return None
        peak = resource.getrusage(resource.RUSAGE_SELF).ru_maxrss * _RSS_UNIT
        return Usage(cpu_us, peak, *used)


_meter: ContextVar[Meter | None] = ContextVar("meter", default=None)


def called(*, bytes_in: int = 0, bytes_out: int = 0, calls: int = 0) -> None:
    """Told by whoever talks to the outside for a node."""
    meter = _meter.get()
    if meter is not None:
        meter.outside_calls += calls
        meter.bytes_in += bytes_in
        meter.bytes_out += bytes_out


def tokens(given: int, made: int) -> None:
    """Told by whoever asks a model for a node."""
    meter = _meter.get()
    if meter is not None:
        meter.input_tokens += given
        meter.output_tokens += made


async def metered(work: Coroutine[Any, Any, T], meter: Meter) -> T:
    """Run `work` in this task, counting on `meter` what it uses."""
    before = _meter.set(meter)
    try:
        return await _Driven(work, meter)
    finally:
        _meter.reset(before)


class _Driven(Generic[T]):
    """Awaits a coroutine, and looks at the clock whenever it begins or stops to run."""

    def __init__(self, work: Coroutine[Any, Any, T], meter: Meter) -> None:
        self._work = work
        self._meter = meter

    def __await__(self) -> Generator[Any, Any, T]:
        work, meter = self._work, self._meter
        given: BaseException | None = None
        while True:
            began = time.thread_time_ns()
            try:
                waits_for = work.send(None) if given is None else work.throw(given)
            except StopIteration as ended:
                result: T = ended.value
                return result
            finally:
                meter.cpu_ns += time.thread_time_ns() - began
            try:
                yield waits_for
                given = None
            except GeneratorExit:
                work.close()
                raise
            except BaseException as error:  # a cancellation, say: it is for the coroutine
                given = error
