"""A collector of traces that speaks OTLP over gRPC, and keeps what it gets."""

from __future__ import annotations

from concurrent.futures import ThreadPoolExecutor
from dataclasses import dataclass
from threading import Condition
from typing import Any

import grpc
from opentelemetry.proto.collector.trace.v1 import trace_service_pb2 as pb
from opentelemetry.proto.collector.trace.v1.trace_service_pb2_grpc import (
    TraceServiceServicer,
    add_TraceServiceServicer_to_server,
)


@dataclass(frozen=True, slots=True)
class Span:
    service: str
    name: str
    trace_id: str
    span_id: str
    parent_id: str  # empty: it is a root
    attributes: dict[str, Any]
    failed_with: str
    start_ns: int
    end_ns: int


class Collector(TraceServiceServicer):
    """Listens at `endpoint` from its making until `close`."""

    def __init__(self) -> None:
        self._spans: list[Span] = []
        self._came = Condition()
        self._server = grpc.server(ThreadPoolExecutor(4))
        add: Any = add_TraceServiceServicer_to_server
        add(self, self._server)
        self.endpoint = f"http://127.0.0.1:{self._server.add_insecure_port('127.0.0.1:0')}"
        self._server.start()

    def close(self) -> None:
        self._server.stop(None)

    def Export(self, request: Any, context: Any) -> Any:  # noqa: N802 - the name that OTLP gives it
        with self._came:
            for group in request.resource_spans:
                service = next(
                    one.value.string_value for one in group.resource.attributes if one.key == "service.name"
                )
                for scope in group.scope_spans:
                    self._spans.extend(_span(service, span) for span in scope.spans)
            self._came.notify_all()
        return pb.ExportTraceServiceResponse()

    def trace(self, trace_id: str, names: set[str], seconds: float = 30.0) -> list[Span]:
        """The spans of a trace, once it has spans of all these names."""
        with self._came:
            self._came.wait_for(lambda: names <= {span.name for span in self._of(trace_id)}, seconds)
            spans = self._of(trace_id)
        missing = names - {span.name for span in spans}
        assert not missing, f"no spans of {missing}; there are {[span.name for span in spans]}"
        return spans

    def _of(self, trace_id: str) -> list[Span]:
        return [span for span in self._spans if span.trace_id == trace_id]


def _span(service: str, span: Any) -> Span:
    return Span(
        service,
        span.name,
        span.trace_id.hex(),
        span.span_id.hex(),
        span.parent_span_id.hex(),
        {one.key: one.value.string_value or one.value.int_value for one in span.attributes},
        span.status.message,
        span.start_time_unix_nano,
        span.end_time_unix_nano,
    )
