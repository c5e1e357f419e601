"""docker-compose.yml, checked as far as that goes without an engine to run it."""

from __future__ import annotations

import json
import os
import subprocess
import sys
import threading
from collections.abc import Iterator
from concurrent import futures
from http.server import BaseHTTPRequestHandler, HTTPServer
from pathlib import Path
from typing import Any

import grpc
import pytest
import yaml
from grpc_health.v1 import health, health_pb2, health_pb2_grpc
from jsonschema import Draft201909Validator

ROOT = Path(__file__).resolve().parents[2]
SCHEMA = Path(__file__).parent / "schemas" / "compose-spec.json"

OURS = {
    "migrate": ["db", "upgrade"],
    "executor": ["executor"],
    "worker": ["worker"],
    "gateway": ["gateway"],
}
NEEDED = {
    "migrate": {"DATABASE_URL"},
    "executor": {"DATABASE_URL", "REDIS_URL", "FLOW_GRPC_ADDRESS", "FLOW_TOKEN"},
    "worker": {"REDIS_URL", "FLOW_GRPC_ADDRESS", "FLOW_TOKEN"},
    "gateway": {"FLOW_GRPC_ADDRESS", "FLOW_HTTP_ADDRESS", "FLOW_AUTH"},
}


@pytest.fixture(scope="module")
def compose() -> dict[str, Any]:
    loaded: dict[str, Any] = yaml.safe_load((ROOT / "docker-compose.yml").read_text())
    return loaded


@pytest.fixture
def services(compose: dict[str, Any]) -> dict[str, Any]:
    services: dict[str, Any] = compose["services"]
    return services


def test_it_keeps_to_the_compose_specification(compose: dict[str, Any]) -> None:
    problems = Draft201909Validator(json.loads(SCHEMA.read_text())).iter_errors(compose)
    assert [f"{problem.json_path}: {problem.message}" for problem in problems] == []


def test_the_schema_finds_mistakes(compose: dict[str, Any]) -> None:
    wrong = {**compose, "services": {"worker": {"image": "x", "helthcheck": {}}}}
    assert not Draft201909Validator(json.loads(SCHEMA.read_text())).is_valid(wrong)


@pytest.mark.parametrize("name", OURS)
def test_each_service_runs_its_command_with_what_it_needs(services: dict[str, Any], name: str) -> None:
    assert services[name]["command"] == OURS[name]
    assert NEEDED[name] <= services[name]["environment"].keys()


def test_each_service_waits_for_services_that_say_when_they_are_ready(services: dict[str, Any]) -> None:
    for name, service in services.items():
        for awaited, how in service.get("depends_on", {}).items():
            condition = how["condition"]
            if condition == "service_healthy":
                assert "healthcheck" in services[awaited], f"{name} waits for {awaited}"
            else:
                assert (condition, awaited) == ("service_completed_successfully", "migrate")


def test_everything_that_keeps_running_has_a_health_check(services: dict[str, Any]) -> None:
    assert [name for name, service in services.items() if "healthcheck" not in service] == ["migrate"]


def test_ports_are_published_on_loopback_only(services: dict[str, Any]) -> None:
    published = [port for service in services.values() for port in service.get("ports", [])]
    assert sorted(published) == ["127.0.0.1:50051:50051", "127.0.0.1:8080:8080"]


def test_workers_can_be_scaled(services: dict[str, Any]) -> None:
    assert not {"ports", "container_name", "volumes"} & services["worker"].keys()


def test_redis_and_postgres_keep_their_data(compose: dict[str, Any]) -> None:
    services = compose["services"]
    assert "--appendonly yes" in " ".join(services["redis"]["command"])
    kept = {volume.split(":")[0] for name in ("redis", "postgres") for volume in services[name]["volumes"]}
    assert kept == set(compose["volumes"])


@pytest.fixture
def grpc_health() -> Iterator[tuple[str, health.HealthServicer]]:
    servicer = health.HealthServicer()
    server = grpc.server(futures.ThreadPoolExecutor(max_workers=2))
    health_pb2_grpc.add_HealthServicer_to_server(servicer, server)
    port = server.add_insecure_port("127.0.0.1:0")
    server.start()
    yield f"0.0.0.0:{port}", servicer
    server.stop(None).wait()


def exit_code(health_check: dict[str, Any], environment: dict[str, str]) -> int:
    how, python, *arguments = health_check["test"]
    assert (how, python) == ("CMD", "python")
    command = [sys.executable, *arguments]
    result = subprocess.run(command, env={**os.environ, **environment}, capture_output=True, check=False)
    return result.returncode


@pytest.mark.parametrize("name", ["executor", "worker"])
def test_the_executor_is_healthy_while_it_serves(
    services: dict[str, Any], name: str, grpc_health: tuple[str, health.HealthServicer]
) -> None:
    address, servicer = grpc_health
    check, environment = services[name]["healthcheck"], {"FLOW_GRPC_ADDRESS": address}
    assert exit_code(check, environment) == 0
    servicer.set("", health_pb2.HealthCheckResponse.NOT_SERVING)
    assert exit_code(check, environment) != 0


class ReadyOrNot(BaseHTTPRequestHandler):
    status = 200

    def do_GET(self) -> None:
        self.send_response(self.status if self.path == "/readyz" else 404)
        self.end_headers()

    def log_message(self, format: str, *args: object) -> None:  # noqa: A002 - as the base class names it
        pass


def test_the_gateway_is_healthy_while_it_is_ready(
    services: dict[str, Any], monkeypatch: pytest.MonkeyPatch
) -> None:
    with HTTPServer(("127.0.0.1", 0), ReadyOrNot) as server:
        threading.Thread(target=server.serve_forever, daemon=True).start()
        check = services["gateway"]["healthcheck"]
        environment = {"FLOW_HTTP_ADDRESS": f"0.0.0.0:{server.server_port}"}
        assert exit_code(check, environment) == 0
        monkeypatch.setattr(ReadyOrNot, "status", 503)
        assert exit_code(check, environment) != 0
        server.shutdown()


def test_the_image_is_built_from_files_that_exist_and_are_not_ignored() -> None:
    allowed = [line[1:] for line in (ROOT / ".dockerignore").read_text().splitlines() if line.startswith("!")]
    copied = [
        source
        for line in (ROOT / "Dockerfile").read_text().splitlines()
        if line.startswith("COPY ") and "--from" not in line
        for source in line.split()[1:-1]
    ]
    assert copied
    for source in copied:
        assert (ROOT / source).exists()
        assert source in allowed
