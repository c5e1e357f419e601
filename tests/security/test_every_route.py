"""Every route of every transport asks who calls, from the running services' own lists of them."""

from __future__ import annotations

import re
import socket
from typing import Any

import pytest
from google.protobuf.descriptor_pb2 import FileDescriptorProto
from grpc_reflection.v1alpha import reflection_pb2

from services.executor.access.roles import INCLUDES, ROLES, RPCS, rule_of
from services.gateway import routes
from services.gateway.bootstrap import api
from services.gateway.call import PUBLIC
from tests.security.conftest import ROOT, Installation, methods

WRONG = (
    "nonsense", ROOT[:-1], f"{ROOT}x", "flow_0123456789abcdef_" + "A" * 43, "a.b.c",
    "eyJhbGciOiJub25lIn0.eyJzdWIiOiJ4In0.",
)  # fmt: skip

OPEN_ROUTES = {
    "GET /healthz", "GET /readyz", "POST /api/session", "DELETE /api/session",
    "GET /api/session/provider", "POST /api/session/provider",
    "POST /api/workflow/callback/{token}", "POST /hooks/{hookPath}",
}  # fmt: skip
"""Of the API. Each tells and changes nothing, or asks for a proof of its own."""
OPEN_PAGES = {"/", "/assets/{file}"}
OPEN_RPCS = {
    "flow_engine.v1.ExecutionService/SubmitCallback", "flow_engine.v1.TriggerService/DeliverWebhook",
    "grpc.health.v1.Health/Check", "grpc.health.v1.Health/Watch", "grpc.health.v1.Health/List",
}  # fmt: skip
PAGES = ("/metrics", "/docs", "/openapi.json")


def documented(installation: Installation) -> dict[str, str]:
    """Path and RPC of each route that the running gateway documents."""
    served = installation.root.get("/openapi.json").json()["paths"]
    return {
        f"{method.upper()} {path}": path
        for path, operations in served.items()
        for method in operations
        if method in ("get", "post", "put", "patch", "delete")
    }


def test_the_document_lists_every_route_of_the_table(installation: Installation) -> None:
    table = {f"{route.method} {route.path}" for route in (*routes.API, *routes.SOCKETS)}
    assert set(documented(installation)) == table
    assert {f"{r.method} {r.path}" for r in routes.API if r.rpc == PUBLIC} == OPEN_ROUTES
    assert not [route.path for route in routes.SOCKETS if route.rpc == PUBLIC]
    assert set(api()["paths"]) == set(installation.root.get("/openapi.json").json()["paths"])


def test_no_route_of_rest_or_sse_answers_without_credentials_that_hold(installation: Installation) -> None:
    clients = [(None, installation.client(""))] + [(text, installation.client(text)) for text in WRONG[:2]]
    asked = 0
    for route, path in documented(installation).items():
        method, url = route.split()[0], filled(path)
        if route in OPEN_ROUTES or path.endswith("/ws"):
            continue
        for text, client in clients:
            for headers in ({}, {"Accept": "text/event-stream"}):
                answer = client.request(method, url, headers=headers, content=b"not json")
                assert answer.status_code == 401, (route, text, answer.status_code)
                assert answer.json()["reason"] == "UNAUTHENTICATED"
                asked += 1
    assert asked > 200
    for path in PAGES:
        assert [client.get(path).status_code for _, client in clients] == [401, 401, 401], path
    for text in WRONG:
        assert installation.client(text).get("/api/nodes").status_code == 401, text


def test_open_routes_are_open_and_tell_nothing(installation: Installation) -> None:
    nobody = installation.client("")
    assert nobody.get("/healthz").json() == {"status": "ok"}
    assert nobody.get("/readyz").json() == {"status": "ready"}
    assert nobody.post("/api/session", json={"token": "x"}).status_code == 401
    assert nobody.post("/api/workflow/callback/none", json={}).status_code == 404
    assert nobody.get("/").status_code == 200
    assert nobody.get("/api/nothing").status_code == 404


def test_no_socket_opens_without_credentials_that_hold(installation: Installation) -> None:
    for path in (route.path for route in routes.SOCKETS):
        for authorization in ("", f"Authorization: Bearer {WRONG[0]}\r\n", "Cookie: flow_session=x\r\n"):
            assert handshake(installation, filled(path), authorization) == 401, path
        weak = installation.tenants["team-a"].tokens["worker"]
        assert handshake(installation, filled(path), f"Authorization: Bearer {weak}\r\n") == 403, path


def test_no_route_answers_to_a_role_that_is_too_weak(installation: Installation) -> None:
    tokens = installation.tenants["team-b"].tokens
    clients = {role: installation.client(token) for role, token in tokens.items()}
    asked = 0
    for route in routes.API:
        for role in too_weak(f"flow_engine.v1.{route.rpc}") if route.rpc != PUBLIC else []:
            answer = clients[role].request(route.method, filled(route.path), content=b"not json")
            assert answer.status_code == 403, (route.path, role, answer.status_code)
            assert answer.json()["reason"] == "PERMISSION_DENIED"
            asked += 1
    assert asked > 80


def test_no_rpc_answers_without_credentials_that_hold(installation: Installation) -> None:
    names = reflected(installation)
    assert names == set(methods()), "what reflection lists is what the tests know"
    assert names == {f"{service}/{name}" for service, rules in RPCS.items() for name in rules}
    doors = [installation.door(text) for text in ("", *WRONG[:3])]
    for name in sorted(names - OPEN_RPCS):
        for door in doors:
            assert door.raw(name, b"\xff\xff").code == "UNAUTHENTICATED", name


def test_no_rpc_answers_to_a_role_that_is_too_weak(installation: Installation) -> None:
    tokens = installation.tenants["team-b"].tokens
    doors = {role: installation.door(token) for role, token in tokens.items()}
    asked = 0
    for name in methods():
        for role in too_weak(name):
            assert doors[role].raw(name, b"\xff\xff").code == "PERMISSION_DENIED", (name, role)
            asked += 1
    assert asked > 100


@pytest.mark.parametrize("service", ["executor", "gateway"])
def test_a_service_refuses_to_be_reached_from_outside_unprepared(
    installation: Installation, service: str
) -> None:
    setting = {"executor": "FLOW_GRPC_ADDRESS", "gateway": "FLOW_HTTP_ADDRESS"}[service]
    for more, lacks in (({"FLOW_AUTH": "off"}, "authentication"), ({}, "TLS")):
        if service == "gateway" and lacks == "TLS":
            continue  # that is its proxy's
        process = installation.stack.service(service, **{setting: "0.0.0.0:0", **more})
        process.start(wait=False)
        assert process.wait() == 78
        (line,) = [text for text in process.tail().splitlines() if text.startswith((setting, f"{service}: "))]
        assert setting in line
        assert lacks in line
        assert "FLOW_INSECURE=1" in line


def too_weak(method: str) -> list[str]:
    least = rule_of(method).least
    return [] if least == "anyone" else [role for role in ROLES if least not in INCLUDES[role]]


def filled(path: str) -> str:
    return re.sub(r"{\w+}", "0", path)


def reflected(installation: Installation) -> set[str]:
    """Full names of all RPCs, as the running executor tells them."""
    door = installation.door(ROOT)
    reflection = "grpc.reflection.v1alpha.ServerReflection/ServerReflectionInfo"

    def ask(**request: Any) -> reflection_pb2.ServerReflectionResponse:
        (answer,) = door.ask(reflection, reflection_pb2.ServerReflectionRequest(**request)).messages
        assert isinstance(answer, reflection_pb2.ServerReflectionResponse)
        return answer

    found = set()
    for service in ask(list_services="").list_services_response.service:
        answer = ask(file_containing_symbol=service.name)
        for data in answer.file_descriptor_response.file_descriptor_proto:
            file = FileDescriptorProto.FromString(data)
            for one in file.service:
                if f"{file.package}.{one.name}" == service.name:
                    found |= {f"{service.name}/{method.name}" for method in one.method}
    return found


def handshake(installation: Installation, path: str, headers: str) -> int:
    """HTTP status of the answer to a WebSocket handshake."""
    host, port = installation.stack.base_url.removeprefix("http://").split(":")
    with socket.create_connection((host, int(port)), timeout=10) as connection:
        connection.sendall(
            f"GET {path} HTTP/1.1\r\nHost: {host}:{port}\r\nUpgrade: websocket\r\nConnection: Upgrade\r\n"
            "Sec-WebSocket-Key: AAAAAAAAAAAAAAAAAAAAAA==\r\nSec-WebSocket-Version: 13\r\n"
            f"{headers}\r\n".encode()
        )
        return int(connection.recv(4096).split()[1])
