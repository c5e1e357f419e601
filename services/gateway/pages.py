"""Pages rendered from the OpenAPI document: one file each, no scripts, nothing fetched from elsewhere."""

from __future__ import annotations

import json
from collections.abc import Iterator, Mapping
from html import escape
from typing import Any

from services.gateway.errors import HTTP_STATUS

STYLE = """
:root { color-scheme: light dark; --line: #8884; --soft: #8882; --accent: #2563eb; }
@media (prefers-color-scheme: dark) { :root { --accent: #7aa2ff; } }
* { box-sizing: border-box; }
body { font: 16px/1.5 system-ui, sans-serif; margin: 0 auto; max-width: 62rem; padding: 1.5rem; }
h1 { font-size: 1.6rem; margin: 0 0 .25rem; } h2 { margin: 2.5rem 0 .75rem; font-size: 1.25rem; }
a { color: var(--accent); } nav a { margin-right: 1rem; white-space: nowrap; }
code, pre, .path { font: .9em/1.5 ui-monospace, SFMono-Regular, Menlo, monospace; }
pre { background: var(--soft); border-radius: .4rem; padding: .75rem; overflow-x: auto; }
details { border: 1px solid var(--line); border-radius: .5rem; margin: .5rem 0; }
summary { cursor: pointer; padding: .6rem .8rem; display: flex; gap: .75rem; align-items: baseline;
  flex-wrap: wrap; }
details > div { padding: 0 .8rem .8rem; border-top: 1px solid var(--line); }
.method { font: 600 .75rem ui-monospace, monospace; min-width: 4.2rem; text-align: center;
  padding: .15rem .4rem;
  border-radius: .3rem; background: var(--soft); }
.get { color: #15803d; } .post { color: #2563eb; } .put { color: #b45309; } .delete { color: #dc2626; }
@media (prefers-color-scheme: dark) {
  .get { color: #4ade80; } .post { color: #7aa2ff; } .put { color: #fbbf24; } .delete { color: #f87171; } }
.summary { opacity: .75; }
table { border-collapse: collapse; width: 100%; margin: .5rem 0; display: block; overflow-x: auto; }
th, td { text-align: left; padding: .3rem .6rem; border-bottom: 1px solid var(--line); vertical-align: top; }
"""


def docs_page(api: Mapping[str, Any]) -> str:
    """Every operation, every schema and every reason for a refusal."""
    return page(f"{api['info']['title']}: API", "".join(_docs_parts(api)))


def page(title: str, body: str) -> str:
    return (
        '<!doctype html><html lang="en"><head><meta charset="utf-8">'
        '<meta name="viewport" content="width=device-width, initial-scale=1">'
        f"<title>{escape(title)}</title><style>{STYLE}</style></head><body><main>{body}</main></body></html>"
    )


def _docs_parts(api: Mapping[str, Any]) -> Iterator[str]:
    tags = [tag["name"] for tag in api["tags"]]
    yield f"<h1>{escape(api['info']['title'])}</h1><p>{escape(api['info']['description'])}</p><nav>"
    yield from (f'<a href="#{tag}">{tag}</a>' for tag in [*tags, "Schemas", "Refusals"])
    yield '<a href="/openapi.json">openapi.json</a></nav>'
    for tag in tags:
        yield f'<h2 id="{tag}">{tag}</h2>'
        for path, operations in api["paths"].items():
            yield from (
                _operation(method, path, operation)
                for method, operation in operations.items()
                if operation["tags"] == [tag]
            )
    yield '<h2 id="Schemas">Schemas</h2>'
    for name, schema in api["components"]["schemas"].items():
        yield (
            f'<details id="schema-{name}"><summary><span class="path">{name}</span>'
            f'<span class="summary">{escape(schema.get("description", ""))}</span></summary>'
            f"<div>{_schema_table(schema)}</div></details>"
        )
    yield '<h2 id="Refusals">Refusals</h2><p>Calls are refused with <code>application/problem+json</code>. '
    yield "<code>reason</code> is stable and decides the status.</p><table><tr><th>reason<th>status</tr>"
    yield from (
        f'<tr id="{reason}"><td><code>{reason}</code><td>{status}</tr>'
        for reason, status in HTTP_STATUS.items()
    )
    yield "</table>"


def _operation(method: str, path: str, operation: Mapping[str, Any]) -> str:
    body = operation.get("requestBody", {}).get("content", {}).get("application/json", {}).get("schema")
    return (
        f'<details id="{operation["operationId"]}"><summary>'
        f'<span class="method {method}">{method.upper()}</span><span class="path">{escape(path)}</span>'
        f'<span class="summary">{escape(operation["summary"])}</span></summary>'
        f"<div><p>{escape(operation.get('description', ''))}</p>"
        + (_params_table(operation["parameters"]) if "parameters" in operation else "")
        + (f"<p>Body: {_type(body)}</p>" if body else "")
        + _responses_table(operation["responses"])
        + "</div></details>"
    )


def _params_table(params: list[Mapping[str, Any]]) -> str:
    rows = "".join(
        f"<tr><td><code>{escape(param['name'])}</code><td>{param['in']}<td>{_type(param['schema'])}"
        f"<td>{escape(param['description'])}</tr>"
        for param in params
    )
    return f"<table><tr><th>parameter<th>in<th>type<th>meaning</tr>{rows}</table>"


def _responses_table(responses: Mapping[str, Mapping[str, Any]]) -> str:
    rows = "".join(
        f"<tr><td>{status}<td>{escape(answer['description'])}<td>{_content(answer.get('content', {}))}</tr>"
        for status, answer in responses.items()
    )
    return f"<table><tr><th>status<th><th>content</tr>{rows}</table>"


def _content(content: Mapping[str, Any]) -> str:
    return ", ".join(
        f"{_type(body['schema'])} <small>{escape(kind)}</small>" for kind, body in content.items()
    )


def _schema_table(schema: Mapping[str, Any]) -> str:
    required = schema.get("required", ())
    rows = "".join(
        f"<tr><td><code>{escape(name)}</code>{'' if name in required else '?'}<td>{_type(part)}"
        f"<td>{escape(_description(part))}</tr>"
        for name, part in schema.get("properties", {}).items()
    )
    return f"<table><tr><th>field<th>type<th>meaning</tr>{rows}</table>"


def _description(schema: Mapping[str, Any]) -> str:
    inner = next((part["description"] for part in schema.get("anyOf", ()) if "description" in part), "")
    return str(schema.get("description", inner))


def _type(schema: Mapping[str, Any]) -> str:
    """A schema in a few words of HTML, with links to named ones."""
    if "$ref" in schema:
        name = schema["$ref"].rpartition("/")[2]
        return f'<a href="#schema-{name}">{name}</a>'
    if "anyOf" in schema:
        return " or ".join(_type(part) for part in schema["anyOf"] if part.get("type") != "null")
    if "enum" in schema:
        return " | ".join(
            f"<code>{escape(json.dumps(value))}</code>" for value in schema["enum"] if value is not None
        )
    if schema.get("type") == "array":
        return f"list of {_type(schema.get('items', {}))}"
    kind = str(schema.get("type", "any JSON"))
    limits = [f"{sign} {schema[key]}" for key, sign in (("minimum", "≥"), ("maximum", "≤")) if key in schema]
    return escape(" ".join([kind, *limits, *([schema["format"]] if "format" in schema else [])]))
