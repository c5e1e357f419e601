"""One trace tells the whole way of an execution: gateway, executor, queue, worker, and each node."""

from __future__ import annotations

from collections.abc import Iterator

import pytest

from tests.e2e.conftest import MakeStack
from tests.infra.collector import Collector, Span
from tests.infra.witness import Witness

CALLER = "00-0af7651916cd43dd8448eb211c80319c-b7ad6b7169203331-01"


@pytest.fixture
def collector() -> Iterator[Collector]:
    collector = Collector()
    yield collector
    collector.close()


def test_a_trace_shows_an_execution_from_its_caller_to_its_last_node(
    make_stack: MakeStack, collector: Collector, witness: Witness
) -> None:
    settings = {"OTEL_EXPORTER_OTLP_ENDPOINT": collector.endpoint, "OTEL_BSP_SCHEDULE_DELAY": "50"}
    stack = make_stack(**settings).start()
    workflow = {
        "nodes": [
            {"id": "set", "type": "data.set", "config": {"values": {"a": 1}}},
            {
                "id": "call",
                "type": "http.request",
                "config": {"method": "POST", "url": f"{witness.url}/call"},
            },
            {"id": "bad", "type": "flow.fail", "config": {"code": "NOPE"}, "onError": "continue"},
        ],
        "edges": [{"source": "set", "target": "call"}, {"source": "call", "target": "bad"}],
    }
    for mode, service in (("queued", "flow-worker"), ("immediate", "flow-executor")):
        caller = CALLER.replace("0af7", "0af8") if mode == "immediate" else CALLER
        answer = stack.run(workflow, mode=mode, headers={"traceparent": caller})
        stack.until(answer["executionId"], "completed", "failed")

        nodes = {"node set", "node call", "node bad"}
        spans = {
            span.name: span
            for span in collector.trace(caller.split("-")[1], {"POST /api/workflow/run", "run", *nodes})
        }

        way = [
            ("POST /api/workflow/run", "flow-gateway"),
            ("flow_engine.v1.ExecutionService/StartExecution", "flow-executor"),
            *([("queue", "flow-worker")] if mode == "queued" else []),
            ("run", service),
            ("node call", service),
        ]
        assert parents(spans, "node call") == [name for name, _ in reversed(way)]
        assert [spans[name].service for name, _ in way] == [where for _, where in way]
        root = spans["POST /api/workflow/run"]
        assert (root.trace_id, root.parent_id) == tuple(caller.split("-")[1:3])
        assert {spans[name].parent_id for name in nodes} == {spans["run"].span_id}
        assert spans["run"].attributes["flow.execution_id"] == answer["executionId"]
        assert spans["node bad"].failed_with == "NOPE"
        sent = witness.calls("/call")[-1]["traceparent"]
        assert sent.split("-")[1:3] == [root.trace_id, spans["node call"].span_id]

    refused = CALLER.replace("0af7", "0af9")
    stack.call("GET", "/api/workflow/execution/nobody", headers={"traceparent": refused})
    rpc = "flow_engine.v1.ExecutionService/GetExecution"
    (span,) = [one for one in collector.trace(refused.split("-")[1], {rpc}) if one.name == rpc]
    assert span.failed_with == "EXECUTION_NOT_FOUND"


def parents(spans: dict[str, Span], name: str) -> list[str]:
    """The names on the way from a span to its root."""
    by_id = {span.span_id: span for span in spans.values()}
    found, span = [], spans.get(name)
    while span is not None:
        found.append(span.name)
        span = by_id.get(span.parent_id)
    return found
