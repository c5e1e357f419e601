from __future__ import annotations

import re
from collections.abc import Iterator
from typing import Any

import httpx

from services.gateway import routes
from services.gateway.bootstrap import api
from tests.unit.gateway.engine import Engine


def references(value: Any) -> Iterator[str]:
    if isinstance(value, dict):
        yield from ([value["$ref"]] if "$ref" in value else [])
        for part in value.values():
            yield from references(part)
    elif isinstance(value, list):
        for part in value:
            yield from references(part)


def test_the_api_document_describes_every_route_of_the_table() -> None:
    document = api()
    described = {
        (method.upper(), path) for path, operations in document["paths"].items() for method in operations
    }
    assert described == {(route.method, route.path) for route in (*routes.API, *routes.SOCKETS)}
    ids = [operation["operationId"] for path in document["paths"].values() for operation in path.values()]
    assert len(ids) == len(set(ids))


def test_every_reference_of_the_api_document_leads_somewhere() -> None:
    document = api()
    assert document["openapi"] == "3.1.0"
    for reference in references(document):
        name = reference.removeprefix("#/components/schemas/")
        assert name in document["components"]["schemas"]


def test_every_parameter_of_a_path_is_described() -> None:
    for path, operations in api()["paths"].items():
        for operation in operations.values():
            described = {p["name"] for p in operation.get("parameters", ()) if p["in"] == "path"}
            assert described == set(re.findall(r"{(\w+)}", path))


async def test_the_api_page_works_offline(client: httpx.AsyncClient) -> None:
    document = (await client.get("/openapi.json")).json()
    page = await client.get("/docs")
    assert page.headers["content-type"].startswith("text/html")
    assert "default-src 'none'" in page.headers["content-security-policy"]
    assert not re.search(r"<script|<link|<img|src=|@import|url\(|href=\"https?:", page.text)
    assert all(re.sub("[{}]", lambda m: m[0], path) in page.text for path in document["paths"])
    anchors = set(re.findall(r'id="([^"]+)"', page.text))
    assert set(re.findall(r'href="#([^"]+)"', page.text)) <= anchors


async def test_problems_link_to_their_place_in_the_docs(client: httpx.AsyncClient) -> None:
    page, _, anchor = (await client.get("/nope")).json()["type"].partition("#")
    assert f'id="{anchor}"' in (await client.get(page)).text


async def test_metrics_count_by_route_and_never_by_value(client: httpx.AsyncClient, engine: Engine) -> None:
    engine.run()
    for path in ("/api/workflow/execution/e1", "/api/workflow/execution/nope", "/some/where", "/some/else"):
        await client.get(path)
    await client.request("BREWING", "/healthz")
    text = (await client.get("/metrics")).text
    route = 'method="GET",route="/api/workflow/execution/{executionId}"'
    assert f'flow_gateway_requests_total{{{route},status="200"}} 1.0' in text
    assert f'flow_gateway_requests_total{{{route},status="404"}} 1.0' in text
    assert 'flow_gateway_requests_total{method="GET",route="unmatched",status="404"} 2.0' in text
    assert f"flow_gateway_request_seconds_count{{{route}}} 2.0" in text
    assert "e1" not in re.findall(r'route="([^"]*)"', text)
    assert "BREWING" not in text
