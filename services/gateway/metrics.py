"""What operators see at /metrics. Labels are route templates and status codes, never values from calls."""

from __future__ import annotations

from prometheus_client import (
    CollectorRegistry,
    Counter,
    Gauge,
    Histogram,
    PlatformCollector,
    ProcessCollector,
)
from prometheus_client.core import CounterMetricFamily, GaugeMetricFamily, Metric
from prometheus_client.exposition import CONTENT_TYPE_LATEST, generate_latest
from prometheus_client.registry import Collector

from services.gateway.door import Refusals
from services.gateway.feed import Feed
from services.gateway.hub import Hub

CONTENT_TYPE = CONTENT_TYPE_LATEST


class Metrics:
    def __init__(self, hub: Hub, feed: Feed, refusals: Refusals) -> None:
        self._registry = CollectorRegistry()
        ProcessCollector(registry=self._registry)
        PlatformCollector(registry=self._registry)
        self._registry.register(_HubCollector(hub, feed))
        self._registry.register(_RefusalCollector(refusals))
        self._requests = Counter(
            "flow_gateway_requests", "Calls answered.", ("method", "route", "status"), registry=self._registry
        )
        self._seconds = Histogram(
            "flow_gateway_request_seconds",
            "Time to the end of the answer; streams are left out.",
            ("method", "route"),
            buckets=(0.001, 0.0025, 0.005, 0.01, 0.025, 0.05, 0.1, 0.25, 0.5, 1, 2.5, 5, 10, 30, 60),
            registry=self._registry,
        )
        self.in_flight = Gauge(
            "flow_gateway_requests_in_flight",
            "Calls being answered, streams included.",
            registry=self._registry,
        )

    def answered(self, method: str, route: str, status: int, seconds: float | None) -> None:
        """seconds: None for streams, which last as long as the client likes."""
        self._requests.labels(method, route, str(status)).inc()
        if seconds is not None:
            self._seconds.labels(method, route).observe(seconds)

    def text(self) -> bytes:
        return generate_latest(self._registry)


class _RefusalCollector(Collector):
    def __init__(self, refusals: Refusals) -> None:
        self._refusals = refusals

    def collect(self) -> list[Metric]:
        family = CounterMetricFamily(
            "flow_gateway_connections_refused",
            "Connections that ended before there was a call.",
            labels=("reason",),
        )
        for reason, count in self._refusals.total.items():
            family.add_metric((reason,), count)
        return [family]


class _HubCollector(Collector):
    """Reads the counts of hub and feed when they are asked for."""

    def __init__(self, hub: Hub, feed: Feed) -> None:
        self._hub = hub
        self._feed = feed

    def collect(self) -> list[Metric]:
        counters, changes = self._hub.counters, self._feed.counters
        return [
            GaugeMetricFamily(
                "flow_gateway_feed_watchers", "Clients that follow all executions.", self._feed.watcher_count
            ),
            GaugeMetricFamily(
                "flow_gateway_feed_upstreams", "Filters followed upstream.", self._feed.upstream_count
            ),
            CounterMetricFamily("flow_gateway_feed_frames", "Changes handed to watchers.", changes.delivered),
            CounterMetricFamily(
                "flow_gateway_feed_watchers_fallen_behind",
                "Times a watcher's buffer was full and it went on by pages.",
                changes.fallen_behind,
            ),
            GaugeMetricFamily(
                "flow_gateway_watchers", "Clients that follow executions.", self._hub.watcher_count
            ),
            GaugeMetricFamily(
                "flow_gateway_upstreams", "Executions followed upstream.", self._hub.upstream_count
            ),
            CounterMetricFamily("flow_gateway_frames", "Events handed to watchers.", counters.delivered),
            CounterMetricFamily(
                "flow_gateway_upstream_reconnects", "Upstreams opened again.", counters.reconnects
            ),
            CounterMetricFamily(
                "flow_gateway_watchers_fallen_behind",
                "Times a watcher's buffer was full and it went on from history.",
                counters.fallen_behind,
            ),
        ]
