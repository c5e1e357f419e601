"""Spans on their way to the collector: how many together, how many are kept, and who tells of lost ones."""

from __future__ import annotations

import subprocess
import sys
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from threading import Event
from typing import Any

import pytest
from opentelemetry.proto.collector.trace.v1.trace_service_pb2 import ExportTraceServiceRequest
from opentelemetry.sdk.trace.sampling import DEFAULT_ON
from structlog.testing import capture_logs

from flow_engine import tracing
from flow_engine.otlp import Batch, Limits, Outbox, SdkRecorder, limits_of
from flow_engine.otlp_bytes import request_bytes
from tests.infra.collector import Collector

NEVER = 3600.0
PATIENCE = 30.0


class Sent:
    """What the collector was asked to take. answer: whether it does; it may block or raise."""

    def __init__(self, answer: Callable[[], bool] = lambda: True) -> None:
        self.counts: list[int] = []
        self.names: list[str] = []
        self.came = Event()
        self._answer = answer

    def __call__(self, batch: Batch) -> bool:
        request = ExportTraceServiceRequest.FromString(request_bytes(b"", batch.spans))
        names = [span.name for span in request.resource_spans[0].scope_spans[0].spans]
        assert len(names) == batch.size
        self.counts.append(batch.size)
        self.names += names
        self.came.set()
        return self._answer()


@contextmanager
def outbox(sent: Sent, limits: Limits) -> Iterator[Outbox]:
    found = Outbox(sent, limits)
    tracing.use(SdkRecorder(DEFAULT_ON, found.on_end))
    yield found
    tracing.use(None)
    found.close()


def end_spans(count: int) -> list[str]:
    names = [f"span {number}" for number in range(count)]
    for name in names:
        with tracing.span(name):
            pass
    return names


def lost(logs: list[Any]) -> list[tuple[int, int]]:
    return [(one["refused"], one["overflowed"]) for one in logs if one["event"] == "spans.lost"]


def test_a_full_batch_is_sent_at_once_and_the_rest_at_the_end() -> None:
    sent = Sent()
    with outbox(sent, Limits(batch=100, unsent=1000, seconds=NEVER)):
        names = end_spans(250)
        assert sent.came.wait(PATIENCE)
    assert max(sent.counts) <= 100
    assert sent.names == names


def test_spans_that_end_together_go_in_several_requests_if_they_must() -> None:
    sent = Sent()
    nodes = [tracing.Described(f"node {number}", "internal", {}) for number in range(250)]
    with outbox(sent, Limits(batch=100, unsent=1000, seconds=NEVER)), tracing.span("run"):
        tracing.tell([(node, 1, 2, "") for node in nodes])
    assert sent.counts == [96, 96, 59]
    assert sent.names == [*(node.name for node in nodes), "run"]


def test_spans_wait_for_others_only_so_long() -> None:
    sent = Sent()
    with outbox(sent, Limits(seconds=0.001)):
        end_spans(1)
        assert sent.came.wait(PATIENCE)


def test_spans_that_are_too_many_are_not_kept_and_counted() -> None:
    go_on = Event()
    sent = Sent(lambda: go_on.wait(PATIENCE))
    with capture_logs() as logs, outbox(sent, Limits(batch=2, unsent=4, seconds=NEVER)):
        end_spans(2)
        assert sent.came.wait(PATIENCE)  # and now the collector takes its time
        end_spans(7)
        go_on.set()
    assert sum(sent.counts) == 2 + 4
    assert lost(logs) == [(0, 3)]


def refuses() -> bool:
    return False


def breaks() -> bool:
    raise ValueError("the channel is closed")


@pytest.mark.parametrize("answer", [refuses, breaks])
def test_spans_that_the_collector_does_not_take_are_counted_and_the_next_are_sent(
    answer: Callable[[], bool],
) -> None:
    sent = Sent(answer)
    with capture_logs() as logs, outbox(sent, Limits(batch=2, unsent=9, seconds=NEVER)):
        for _ in range(2):
            sent.came.clear()
            end_spans(2)
            assert sent.came.wait(PATIENCE)
    assert sent.counts == [2, 2]
    assert sum(refused for refused, _ in lost(logs)) == 4


def test_a_collector_that_is_away_is_asked_once_when_the_process_ends() -> None:
    go_on = Event()
    sent = Sent(lambda: not go_on.wait(PATIENCE))
    with capture_logs() as logs, outbox(sent, Limits(batch=2, unsent=9, seconds=NEVER)) as box:
        end_spans(2)
        assert sent.came.wait(PATIENCE)
        end_spans(7)
        box.close(seconds=0)  # while it is asked about the first
        go_on.set()
    assert sent.counts == [2]
    assert lost(logs) == [(9, 0)]


@pytest.mark.parametrize(
    ("given", "understood"),
    [
        ({}, Limits(2048, 8192, 5.0)),
        ({"OTEL_BSP_SCHEDULE_DELAY": "50", "OTEL_BSP_MAX_EXPORT_BATCH_SIZE": "8"}, Limits(8, 8192, 0.05)),
        ({"OTEL_BSP_MAX_QUEUE_SIZE": "100"}, Limits(100, 100, 5.0)),
        ({"OTEL_BSP_MAX_QUEUE_SIZE": "0", "OTEL_BSP_SCHEDULE_DELAY": "-1"}, Limits(2048, 8192, 5.0)),
        ({"OTEL_BSP_MAX_EXPORT_BATCH_SIZE": "many"}, Limits(2048, 8192, 5.0)),
    ],
)
def test_the_variables_of_the_sdk_are_the_limits(given: dict[str, str], understood: Limits) -> None:
    with capture_logs() as logs:
        assert limits_of(given) == understood
    wrong = {name for name, text in given.items() if not text.isdecimal() or text == "0"}
    assert {one["variable"] for one in logs} == wrong


ENDS_AT_ONCE = """
from flow_engine import tracing
tracing.configure_tracing("flow-test")
for number in range(1300):
    with tracing.span(f"span {number}", "00-0af7651916cd43dd8448eb211c80319c-b7ad6b7169203331-01"):
        pass
"""


def test_a_process_that_ends_has_sent_every_span() -> None:
    collector = Collector()
    try:
        environment = {"OTEL_EXPORTER_OTLP_ENDPOINT": collector.endpoint}
        subprocess.run([sys.executable, "-c", ENDS_AT_ONCE], env=environment, check=True, timeout=60)
        names = {f"span {number}" for number in range(1300)}
        spans = collector.trace("0af7651916cd43dd8448eb211c80319c", names)
        assert len(spans) == len(names)
        assert {span.service for span in spans} == {"flow-test"}
    finally:
        collector.close()
