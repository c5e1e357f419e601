"""Traces, as OpenTelemetry has them: gateway, executor, queue, worker and each node in one tree.

Off unless `OTEL_EXPORTER_OTLP_ENDPOINT` (or `OTEL_EXPORTER_OTLP_TRACES_ENDPOINT`) is set; then nothing of
OpenTelemetry is even imported. Contexts travel as W3C `traceparent`: in HTTP headers, in gRPC metadata, and
in an execution's first event.

Spans are made here and not by OpenTelemetry's SDK, which takes over where they are sampled and sent
(`flow_engine.otlp`): making and writing one of its own costs ten times as much, an execution has a dozen,
and all of them together shall cost less than a twentieth of it.
"""

from __future__ import annotations

import os
import re
from collections.abc import Mapping, Sequence
from contextlib import AbstractContextManager, nullcontext
from contextvars import ContextVar
from datetime import datetime
from random import getrandbits
from time import time_ns
from types import TracebackType
from typing import Protocol

HEADER = "traceparent"
ENDPOINTS = ("OTEL_EXPORTER_OTLP_ENDPOINT", "OTEL_EXPORTER_OTLP_TRACES_ENDPOINT")
KINDS = {"internal": 1, "server": 2, "client": 3, "producer": 4, "consumer": 5}

_IDS = r"[0-9a-f]{32}-[0-9a-f]{16}-[0-9a-f]{2}"
_TRACEPARENT = re.compile(rf"00-{_IDS}\Z|(?!00|ff)[0-9a-f]{{2}}-{_IDS}(?:-|\Z)")
"""Of the first version, or of one that is not known yet, where more may follow."""
_NO_TRACE, _NO_SPAN = bytes(16), bytes(8)


class Place:
    """Where a span stands: what others need to stand below it."""

    __slots__ = ("sampled", "span_id", "trace_id")

    def __init__(self, trace_id: bytes, span_id: bytes, sampled: bool) -> None:
        self.trace_id = trace_id
        self.span_id = span_id
        self.sampled = sampled


class Described:
    """What spans tell beside where and when. kind: one of KINDS.

    written: as the recorder sends it, once it has; those who make one span after the other like it keep this.
    """

    __slots__ = ("attributes", "kind", "name", "written")

    def __init__(self, name: str, kind: str, attributes: Mapping[str, str | int]) -> None:
        self.name = name
        self.kind = kind
        self.attributes = attributes
        self.written = b""


Ended = tuple[Described, int, int, str]
"""What is over: what its span tells; when it began and ended, in nanoseconds since 1970; and why it failed,
empty if it did not."""

Told = tuple[bytes, bytes, bytes, Sequence[Ended]]
"""Spans below one parent: ids of their trace, of the parent, empty at a root, and their own, one after the
other; and the spans."""


class Recorder(Protocol):
    def samples(self, trace_id: bytes, name: str, above: Place | None) -> bool:
        """Whether spans of this trace are recorded here. above: in another process; None: it begins here."""
        ...

    def on_end(self, told: Told, /) -> None: ...


_recorder: Recorder | None = None
_current: ContextVar[Place | None] = ContextVar("span", default=None)


class Span(Place):
    """The current span inside the block. It is sent when it ends, if its trace is sampled.

    failure: why what it stands for failed.
    """

    __slots__ = ("_before", "_described", "_parent_id", "_recorder", "failure", "start_time")

    def __init__(self, recorder: Recorder, described: Described, parent: str) -> None:
        self._before = before = _current.get()
        above = place_of(parent) if parent else before
        if above is None:
            self.trace_id = getrandbits(128).to_bytes(16, "big")
            self._parent_id = b""
        else:
            self.trace_id = above.trace_id
            self._parent_id = above.span_id
        self.span_id = getrandbits(64).to_bytes(8, "big")
        if above is not None and above is before:
            self.sampled = above.sampled
        else:  # here its trace enters this process
            self.sampled = recorder.samples(self.trace_id, described.name, above)
        self.failure = ""
        self._described = described
        self._recorder = recorder
        self.start_time = time_ns()

    def __enter__(self) -> Span:
        _current.set(self)
        return self

    def __exit__(
        self, kind: type[BaseException] | None, error: BaseException | None, traceback: TracebackType | None
    ) -> None:
        """An exception marks it as failed, with its reason and nothing of its text, which may hold what
        users sent; it goes on."""
        _current.set(self._before)
        if isinstance(error, Exception):
            self.failure = getattr(error, "reason", "INTERNAL")
        self.end(time_ns())

    def end(self, time: int) -> None:
        if self.sampled:
            ended = (self._described, self.start_time, time, self.failure)
            self._recorder.on_end((self.trace_id, self._parent_id, self.span_id, (ended,)))


NO_SPAN: AbstractContextManager[None] = nullcontext()


def configure_tracing(service: str, environment: Mapping[str, str] = os.environ) -> None:
    """Send spans to the collector that the environment names, if it names one.

    service: `service.name` of this process, unless `OTEL_SERVICE_NAME` says otherwise. What is still
    unsent when the process ends is sent then.
    """
    if any(environment.get(name) for name in ENDPOINTS):
        from flow_engine.otlp import recorder

        use(recorder(environment.get("OTEL_SERVICE_NAME") or service))


def use(recorder: Recorder | None) -> None:
    """Give spans to this recorder from now on; None: make no more."""
    global _recorder  # noqa: PLW0603 - a process has one, as it has one log
    _recorder = recorder


def enabled() -> bool:
    return _recorder is not None


def span(
    name: str, parent: str = "", *, kind: str = "internal", **attributes: str | int
) -> AbstractContextManager[Span | None]:
    """`parent`: a traceparent; without one, the span around the block. kind: one of KINDS."""
    return NO_SPAN if _recorder is None else Span(_recorder, Described(name, kind, attributes), parent)


def span_of(described: Described, parent: str = "") -> AbstractContextManager[Span | None]:
    """As `span` does, for what comes again and again."""
    return NO_SPAN if _recorder is None else Span(_recorder, described, parent)


def tell(spans: Sequence[Ended]) -> None:
    """Spans of what is over, below the one around the caller.

    Much cheaper than blocks, for many that neither ask where they stand nor are left by an exception.
    """
    around = _current.get()
    if _recorder is None or not spans:
        return
    if around is None:
        for described, start_time, end_time, failure in spans:
            root = Span(_recorder, described, "")
            root.start_time, root.failure = start_time, failure
            root.end(end_time)
    elif around.sampled:
        ids = getrandbits(64 * len(spans)).to_bytes(8 * len(spans), "big")
        _recorder.on_end((around.trace_id, around.span_id, ids, spans))


def past_span(name: str, parent: str, start: datetime, end: datetime, **attributes: str | int) -> str:
    """A span that is over already, and its traceparent; without tracing, the parent's."""
    if _recorder is None:
        return parent
    past = Span(_recorder, Described(name, "internal", attributes), parent)
    past.start_time = _nanoseconds(start)
    past.end(_nanoseconds(max(start, end)))
    return traceparent_of(past)


def mark_failed(current: Span | None, code: str) -> None:
    """Say of the span that what it stands for failed."""
    if current is not None:
        current.failure = code


def current_traceparent() -> str:
    """Of the span around the caller; empty where there is none."""
    place = None if _recorder is None else _current.get()
    return "" if place is None else traceparent_of(place)


def headers() -> dict[str, str]:
    """What tells another service which span a call belongs to."""
    traceparent = current_traceparent()
    return {HEADER: traceparent} if traceparent else {}


def traceparent_of(place: Place) -> str:
    return f"00-{place.trace_id.hex()}-{place.span_id.hex()}-0{int(place.sampled)}"


def place_of(traceparent: str) -> Place | None:
    """None where it is not one, by https://www.w3.org/TR/trace-context/: then a trace begins."""
    if not _TRACEPARENT.match(traceparent):
        return None
    trace_id, span_id = bytes.fromhex(traceparent[3:35]), bytes.fromhex(traceparent[36:52])
    if trace_id == _NO_TRACE or span_id == _NO_SPAN:
        return None
    return Place(trace_id, span_id, traceparent[54] in "13579bdf")


def _nanoseconds(time: datetime) -> int:
    return int(time.timestamp() * 1_000_000) * 1000
