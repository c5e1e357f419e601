"""Sends spans to an OTLP collector: sampled and sent by OpenTelemetry's SDK, but written and held here.

The variables of the SDK work as everywhere: `OTEL_TRACES_SAMPLER`, `OTEL_BSP_…`, `OTEL_EXPORTER_OTLP_…`,
`OTEL_RESOURCE_ATTRIBUTES`.
"""

from __future__ import annotations

import atexit
import os
from collections import deque
from collections.abc import Callable, Iterator, Mapping
from threading import Event, Lock, Thread
from typing import Any, NamedTuple

import grpc
import structlog
from opentelemetry.exporter.otlp.proto.grpc.trace_exporter import OTLPSpanExporter
from opentelemetry.sdk.resources import Resource
from opentelemetry.sdk.trace import TracerProvider
from opentelemetry.sdk.trace.export import SpanExportResult
from opentelemetry.sdk.trace.sampling import DEFAULT_ON, Decision, Sampler
from opentelemetry.trace import NonRecordingSpan, SpanContext, TraceFlags, set_span_in_context

from flow_engine.dialing import NO_RETRIES
from flow_engine.otlp_bytes import request_bytes, resource_bytes, spans_bytes
from flow_engine.tracing import Place, Told

log = structlog.get_logger()

EXPORT = "/opentelemetry.proto.collector.trace.v1.TraceService/Export"
END_SECONDS = 30.0
"""How long the end of the process waits for the collector."""


def recorder(service: str) -> SdkRecorder:
    """What is still unsent when the process ends is sent then."""
    # The provider reads sampler and resource from the environment; it is asked for no tracer.
    provider = TracerProvider(resource=Resource.create({"service.name": service}))
    exporter = Exporter(provider.resource.attributes)
    outbox = Outbox(exporter.takes, limits_of(os.environ))
    atexit.register(exporter.shutdown)
    atexit.register(outbox.close)  # what was registered last comes first
    return SdkRecorder(provider.sampler, outbox.on_end)


class SdkRecorder:
    """A trace is sampled where it enters the process, so that there it is whole or not at all."""

    def __init__(self, sampler: Sampler, on_end: Callable[[Told], None]) -> None:
        self._sampler = None if sampler is DEFAULT_ON else sampler
        self.on_end = on_end

    def samples(self, trace_id: bytes, name: str, above: Place | None) -> bool:
        if self._sampler is None:
            return above is None or above.sampled
        context = None
        if above is not None:
            flags = TraceFlags(TraceFlags.SAMPLED if above.sampled else TraceFlags.DEFAULT)
            parent = SpanContext(number(trace_id), number(above.span_id), is_remote=True, trace_flags=flags)
            context = set_span_in_context(NonRecordingSpan(parent))
        decision = self._sampler.should_sample(context, number(trace_id), name).decision
        return decision is Decision.RECORD_AND_SAMPLE


def number(some_id: bytes) -> int:
    return int.from_bytes(some_id, "big")


class Limits(NamedTuple):
    """batch: spans of one request. unsent: spans that are kept. seconds: how long a span waits for others.

    Four times the SDK's numbers: a request costs as much as writing the spans of thirty executions, and spans
    that are written already are small.
    """

    batch: int = 2048
    unsent: int = 8192
    seconds: float = 5.0


def limits_of(environment: Mapping[str, str]) -> Limits:
    """What is no number above zero counts as not given, and is told.

    Source: https://opentelemetry.io/docs/specs/otel/configuration/sdk-environment-variables/
    """

    def given(name: str, default: int) -> int:
        text = environment.get(name, "")
        if text.isdecimal() and int(text):
            return int(text)
        if text:
            log.warning("setting.ignored", variable=name, value=text, used=default)
        return default

    usual = Limits()
    unsent = given("OTEL_BSP_MAX_QUEUE_SIZE", usual.unsent)
    batch = given("OTEL_BSP_MAX_EXPORT_BATCH_SIZE", usual.batch)
    milliseconds = given("OTEL_BSP_SCHEDULE_DELAY", int(1000 * usual.seconds))
    return Limits(min(batch, unsent), unsent, milliseconds / 1000)


TOGETHER = 8
"""This part of a batch is written in one go: one after the other, spans find in the processor's caches what
the one before needed; each on its own among the work of an execution costs several times as much."""


class Batch(NamedTuple):
    spans: bytes  # of `spans_bytes`
    size: int


class Outbox:
    """Spans that have ended, until a thread of its own has sent them.

    They are written by the thread in which they ended, unless no others follow. Reading what another
    processor has just made, and giving its memory back from there, costs both more than the writing.

    takes: whether the collector took these spans; it blocks until that is known.
    """

    def __init__(self, takes: Callable[[Batch], bool], limits: Limits) -> None:
        self._takes = takes
        self._limits = limits
        self._together = max(1, limits.batch // TOGETHER)
        self._lock = Lock()  # held to touch the next five
        self._told: list[Told] = []
        self._unwritten = 0
        self._written: deque[Batch] = deque()
        self._unsent = 0  # spans, written or not
        self._overflowed = 0
        self._due = Event()
        self._closing = False
        self._thread = Thread(target=self._run, name="spans", daemon=True)
        self._thread.start()

    def on_end(self, told: Told) -> None:
        size, most = len(told[3]), self._together
        if size > most:
            for part in portions(told, most):
                self.on_end(part)
            return
        with self._lock:
            if self._unsent + size > self._limits.unsent:
                self._overflowed += size
                return
            self._told.append(told)
            self._unsent += size
            self._unwritten += size
            if self._unwritten < most:
                return
        self._write()

    def close(self, seconds: float = END_SECONDS) -> None:
        """Send what there is, unless the collector does not take it; safe to repeat."""
        self._closing = True
        self._due.set()
        self._thread.join(seconds)

    def _write(self) -> None:
        with self._lock:
            told, self._told = self._told, []
            size, self._unwritten = self._unwritten, 0
        if told:
            written = Batch(spans_bytes(told), size)
            with self._lock:
                self._written.append(written)
                if self._unsent >= self._limits.batch:
                    self._due.set()

    def _run(self) -> None:
        closing = False
        while not closing:
            full = self._due.wait(self._limits.seconds)
            self._due.clear()
            closing = self._closing
            if closing or not full:
                self._write()
            self._tell_what_is_lost(self._send(self._limits.batch if full else 1))

    def _send(self, least: int) -> int:
        """One batch of at least so many spans, and then full ones; how many spans were not taken."""
        refused = 0
        while batch := self._next(1 if self._closing else least):
            least = self._limits.batch
            # Who ends does not ask again: a collector that is away would take its time for each batch.
            if (refused and self._closing) or not self._taken(batch):
                refused += batch.size
        return refused

    def _next(self, least: int) -> Batch | None:
        with self._lock:
            if self._unsent < least or not self._written:
                return None
            found = [self._written.popleft()]
            count = found[0].size
            while self._written and count + self._written[0].size <= self._limits.batch:
                found.append(self._written.popleft())
                count += found[-1].size
            self._unsent -= count
        return Batch(b"".join([batch.spans for batch in found]), count)

    def _taken(self, batch: Batch) -> bool:
        try:
            return self._takes(batch)
        except Exception:
            log.exception("spans.not_sent", count=batch.size)
            return False

    def _tell_what_is_lost(self, refused: int) -> None:
        with self._lock:
            overflowed, self._overflowed = self._overflowed, 0
        if refused or overflowed:
            log.warning("spans.lost", refused=refused, overflowed=overflowed)


def portions(told: Told, most: int) -> Iterator[Told]:
    """So many spans each."""
    trace_id, parent_id, ids, spans = told
    for first in range(0, len(spans), most):
        last = first + most
        yield trace_id, parent_id, ids[8 * first : 8 * last], spans[first:last]


class _Unparsed:
    """The stub of the collector, for requests that are bytes already."""

    def __init__(self, channel: grpc.Channel) -> None:
        self.Export: Any = channel.unary_unary(EXPORT)  # the stub's name


class Exporter(OTLPSpanExporter):
    """The SDK's, for spans that are written already."""

    def __init__(self, resource: Mapping[str, Any]) -> None:
        super().__init__(channel_options=(NO_RETRIES,))  # type: ignore[arg-type] # numbers are taken too
        self._resource = resource_bytes(resource)

    def takes(self, batch: Batch) -> bool:
        export: Callable[[Batch], SpanExportResult] = self._export  # type: ignore[assignment] # not its spans
        return export(batch) is SpanExportResult.SUCCESS

    def _initialize_channel_and_stub(self) -> None:
        super()._initialize_channel_and_stub()  # type: ignore[no-untyped-call]
        channel: Any = self._channel
        self._client: Any = _Unparsed(channel)

    def _translate_data(self, data: Any) -> bytes:  # type: ignore[override] # for that client
        return request_bytes(self._resource, data.spans)

    def _count_data(self, data: Any) -> int:
        size: int = data.size
        return size
