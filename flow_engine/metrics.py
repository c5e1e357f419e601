"""Figures of a process for Prometheus, at an address of their own: nothing else of it speaks HTTP."""

from __future__ import annotations

import hmac
import threading
from collections.abc import Callable, Iterable, Mapping
from dataclasses import dataclass
from socketserver import ThreadingMixIn
from typing import Any
from wsgiref.simple_server import WSGIRequestHandler, WSGIServer, make_server

import structlog
from prometheus_client import CollectorRegistry, PlatformCollector, ProcessCollector, make_wsgi_app
from prometheus_client.core import CounterMetricFamily, GaugeMetricFamily, Metric
from prometheus_client.registry import Collector

from flow_engine.environment import EnvironmentReader, address, loopback, switch

log = structlog.get_logger()


@dataclass(frozen=True, slots=True)
class MetricsSettings:
    """host: empty, and there is no server. token: what scrapers must bring as a bearer; empty: nothing."""

    host: str = ""
    port: int = 0
    token: str = ""


NO_METRICS = MetricsSettings()


def metrics_settings(read: EnvironmentReader, environment: Mapping[str, str], name: str) -> MetricsSettings:
    """Of the variable `name`, and FLOW_METRICS_TOKEN."""
    host, port = read(name, address, ("", 0))
    token = environment.get("FLOW_METRICS_TOKEN", "").strip()
    if host and not loopback(host) and not token and not read("FLOW_INSECURE", switch, False):
        read.problems.append(
            f"{name}: {host} can be reached from outside and FLOW_METRICS_TOKEN is not set; "
            "FLOW_INSECURE=1 (--insecure) accepts that"
        )
    return MetricsSettings(host, port, token)


@dataclass(frozen=True, slots=True)
class Figure:
    """One number, read when it is asked for. A name that ends in `_total` is a counter."""

    name: str
    help: str
    value: Callable[[], float]


class MetricsServer:
    """Serves figures from a thread of its own, from `start` to `stop`."""

    def __init__(self, settings: MetricsSettings, figures: Iterable[Figure]) -> None:
        self.address = ""  # once it listens
        self._settings = settings
        registry = CollectorRegistry()
        ProcessCollector(registry=registry)
        PlatformCollector(registry=registry)
        registry.register(_Figures(tuple(figures)))
        self._exposition = make_wsgi_app(registry)
        self._server: WSGIServer | None = None

    def start(self) -> None:
        """An address that is taken is told in the log and changes nothing else."""
        if not self._settings.host:
            return
        host, port = self._settings.host, self._settings.port
        try:
            self._server = make_server(host, port, self._answer, _Server, handler_class=_Silent)
        except OSError as error:
            log.warning("metrics.unavailable", address=f"{host}:{port}", error=str(error))
            return
        self.address = f"http://{host}:{self._server.server_port}/metrics"
        threading.Thread(target=self._server.serve_forever, daemon=True, name="metrics").start()
        log.info("metrics.started", address=self.address)

    def stop(self) -> None:
        if self._server is not None:
            self._server.shutdown()
            self._server.server_close()
            self._server = None

    def _answer(self, environment: dict[str, Any], start_response: Any) -> Iterable[bytes]:
        token = self._settings.token
        given = environment.get("HTTP_AUTHORIZATION", "")
        if token and not hmac.compare_digest(given.encode(), f"Bearer {token}".encode()):
            start_response("401 Unauthorized", [("WWW-Authenticate", "Bearer")])
            return [b""]
        answer: Iterable[bytes] = self._exposition(environment, start_response)
        return answer


class _Figures(Collector):
    def __init__(self, figures: tuple[Figure, ...]) -> None:
        self._figures = figures

    def collect(self) -> Iterable[Metric]:
        for figure in self._figures:
            family = CounterMetricFamily if figure.name.endswith("_total") else GaugeMetricFamily
            yield family(figure.name, figure.help, figure.value())


class _Server(ThreadingMixIn, WSGIServer):
    daemon_threads = True


class _Silent(WSGIRequestHandler):
    timeout = 10  # seconds that a slow client has

    def log_message(self, format: str, *args: Any) -> None:  # noqa: A002 - the name of the base class
        pass
