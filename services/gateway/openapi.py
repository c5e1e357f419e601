"""OpenAPI 3.1 from the table of routes and the schemas of the documents."""

from __future__ import annotations

from collections.abc import Iterable, Mapping
from http import HTTPStatus
from importlib.metadata import PackageNotFoundError, version
from typing import Any

import msgspec

from services.gateway.call import PUBLIC, Param, Route
from services.gateway.credentials import COOKIE
from services.gateway.errors import ProblemDocument

ALWAYS_REFUSED = (400, 401, 403, 500, 503)
"""Any route may answer with these: a wrong parameter, missing credentials, a foreign Host header, a role that
may not, a broken or absent executor."""
BODY_REFUSED = (408, 413, 415)

DEFINITION_SCHEMA = {
    "type": "object",
    "required": ["nodes"],
    "properties": {
        "id": {"type": "string"},
        "name": {"type": "string"},
        "nodes": {"type": "array", "items": {"type": "object"}},
        "edges": {"type": "array", "items": {"type": "object"}},
        "output": {},
    },
    "description": "A workflow definition. `flow schema` prints its full JSON Schema.",
}


def api_document(routes: Iterable[Route], path_params: Mapping[str, str]) -> dict[str, Any]:
    """routes: those of HTTP and WebSocket; the latter are described as the GET of their handshake."""
    routes = list(routes)
    schemas, components = msgspec.json.schema_components(
        _structs(routes), ref_template="#/components/schemas/{name}"
    )
    refs = dict(zip(_structs(routes), schemas, strict=True))
    paths: dict[str, dict[str, Any]] = {}
    for route in routes:
        paths.setdefault(route.path, {})[route.method.lower()] = _operation(route, path_params, refs)
    return {
        "openapi": "3.1.0",
        "info": {
            "title": "Flow Execution Engine",
            "version": _version(),
            "description": "Runs workflows of typed nodes durably, at once or queued, and shows them live.",
        },
        "tags": [{"name": tag} for tag in dict.fromkeys(route.tag for route in routes)],
        "paths": paths,
        "components": {
            "schemas": {**components, "Definition": DEFINITION_SCHEMA},
            "securitySchemes": {
                "token": {"type": "http", "scheme": "bearer", "description": "An API token or a JWT."},
                "session": {"type": "apiKey", "in": "cookie", "name": COOKIE},
            },
        },
        "security": [{}, {"token": []}, {"session": []}],  # none where the engine asks nobody
    }


def _structs(routes: Iterable[Route]) -> list[Any]:
    kinds: list[Any] = [ProblemDocument]
    for route in routes:
        kinds += [kind for kind in (route.body, *route.answers.values()) if isinstance(kind, type)]
    return list(dict.fromkeys(kinds))


def _operation(route: Route, path_params: Mapping[str, str], refs: Mapping[Any, Any]) -> dict[str, Any]:
    operation: dict[str, Any] = {
        "operationId": route.operation_id,
        "tags": [route.tag],
        "summary": route.summary,
    }
    if route.rpc == PUBLIC:
        operation["security"] = []
    if route.description:
        operation["description"] = route.description
    params = [_path_param(name, text) for name, text in path_params.items() if f"{{{name}}}" in route.path]
    params += [_param(param) for param in route.params]
    if params:
        operation["parameters"] = params
    if route.body is not None:
        operation["requestBody"] = {
            "required": route.body_required,
            "content": {"application/json": {"schema": _body_schema(route.body, refs)}},
        }
    refusals = {*ALWAYS_REFUSED, *route.refusals, *(BODY_REFUSED if route.body is not None else ())}
    operation["responses"] = {
        **{
            str(status): _answer(status, kind, refs)
            for status, kind in (route.answers or {200: "json"}).items()
        },
        **{str(status): _refusal(status, refs) for status in sorted(refusals)},
    }
    return operation


def _body_schema(body: Any, refs: Mapping[Any, Any]) -> Any:
    if body == "json":
        return {"description": "Any JSON value."}
    if body == "definition":
        definition = {"$ref": "#/components/schemas/Definition"}
        wrapped = {"type": "object", "required": ["workflow"], "properties": {"workflow": definition}}
        return {"anyOf": [definition, wrapped]}
    return refs[body]


def _answer(status: int, kind: Any, refs: Mapping[Any, Any]) -> dict[str, Any]:
    answer: dict[str, Any] = {"description": HTTPStatus(status).phrase}
    if isinstance(kind, type):
        answer["content"] = {"application/json": {"schema": refs[kind]}}
    elif kind == "json":
        answer["content"] = {"application/json": {"schema": {"type": "object"}}}
    elif kind == "value":
        answer["content"] = {"application/json": {"schema": {"description": "Any JSON value."}}}
    elif kind is not None:
        answer["content"] = {kind: {"schema": {"type": "string"}}}
    if status in (201, 202):
        answer["headers"] = {
            "Location": {"description": "Where it is to be found.", "schema": {"type": "string"}},
        }
    return answer


def _refusal(status: int, refs: Mapping[Any, Any]) -> dict[str, Any]:
    return {
        "description": HTTPStatus(status).phrase,
        "content": {"application/problem+json": {"schema": refs[ProblemDocument]}},
    }


def _param(param: Param) -> dict[str, Any]:
    described: dict[str, Any] = {"name": param.name, "in": param.where, "description": param.description}
    if param.repeated:
        return {**described, "schema": {"type": "array", "items": dict(param.schema)}}
    return {**described, "schema": dict(param.schema)}


def _path_param(name: str, description: str) -> dict[str, Any]:
    return {
        "name": name,
        "in": "path",
        "required": True,
        "description": description,
        "schema": {"type": "string", "minLength": 1},
    }


def _version() -> str:
    try:
        return version("flow-execution-engine")
    except PackageNotFoundError:
        return "0"
