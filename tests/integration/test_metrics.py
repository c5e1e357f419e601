"""Executor and worker at the addresses where Prometheus scrapes them."""

from __future__ import annotations

from typing import Any

import httpx
import pytest
from prometheus_client.parser import text_string_to_metric_families

from flow_engine.environment import EnvironmentReader
from flow_engine.metrics import Figure, MetricsServer, MetricsSettings, metrics_settings


def scraped(address: str, **headers: str) -> dict[str, float]:
    response = httpx.get(address, headers=headers, trust_env=False)
    assert response.status_code == 200, response.text
    families = text_string_to_metric_families(response.text)
    return {sample.name: sample.value for family in families for sample in family.samples}


def test_figures_are_read_when_they_are_asked_for() -> None:
    counted = [1.0]
    figures = [
        Figure("flow_pending", "In the queue.", lambda: counted[0]),
        Figure("flow_done_total", "Done.", lambda: 7),
    ]
    server = MetricsServer(MetricsSettings("127.0.0.1"), figures)
    server.start()
    try:
        assert scraped(server.address)["flow_pending"] == 1
        counted[0] = 2
        found = scraped(server.address)
        assert (found["flow_pending"], found["flow_done_total"]) == (2, 7)
        assert found["process_resident_memory_bytes"] > 0
    finally:
        server.stop()


def test_with_a_token_only_who_brings_it_is_answered() -> None:
    server = MetricsServer(MetricsSettings("127.0.0.1", token="scrape"), [])
    server.start()
    try:
        assert httpx.get(server.address, trust_env=False).status_code == 401
        assert scraped(server.address, Authorization="Bearer scrape")
    finally:
        server.stop()


def test_a_taken_address_harms_nothing() -> None:
    first = MetricsServer(MetricsSettings("127.0.0.1"), [])
    first.start()
    port = int(first.address.rpartition(":")[2].partition("/")[0])
    second = MetricsServer(MetricsSettings("127.0.0.1", port), [])
    second.start()
    assert second.address == ""
    second.stop()
    first.stop()


@pytest.mark.parametrize(
    ("environment", "problems"),
    [
        ({}, 0),
        ({"A": "127.0.0.1:9464"}, 0),
        ({"A": "0.0.0.0:9464"}, 1),
        ({"A": "0.0.0.0:9464", "FLOW_METRICS_TOKEN": "t"}, 0),
        ({"A": "0.0.0.0:9464", "FLOW_INSECURE": "1"}, 0),
        ({"A": "9464"}, 1),
    ],
)
def test_an_address_that_others_reach_needs_a_token(environment: dict[str, Any], problems: int) -> None:
    read = EnvironmentReader(environment)
    metrics_settings(read, environment, "A")
    assert len(read.problems) == problems
