"""The node types as a page for people, from the same declarations as everything else."""

from __future__ import annotations

import json
from collections.abc import Iterable, Iterator
from typing import Any

from flow_engine.nodes.contract import NodeType
from flow_engine.nodes.registry import describe
from flow_engine.payload import JsonValue

Schema = dict[str, Any]

INTRODUCTION = """\
# Node types

Config values may hold expressions, `${ … }`; the types below are those of the evaluated values. Times are
in milliseconds. Besides the error codes below, any node may fail with those of the engine, such as
`EXPRESSION_FAILED` and `TIMEOUT`. `GET /api/nodes` and `flow nodes` tell the same with the full JSON Schemas.
Packages add types of their own; see [Writing a node type](#writing-a-node-type).
"""

WRITING = """\
## Writing a node type

A node type is a class with a config model; its docstring is its description on this page.

```python
from typing import Any, ClassVar

from pydantic import Field

from flow_engine.nodes.contract import Completed, NodeConfig, NodeContext, NodeType


class GreetConfig(NodeConfig):
    name: str = Field(description="Whom to greet.")


class Greet(NodeType[GreetConfig]):
    \"\"\"Greets somebody.\"\"\"

    type = "acme.greet"
    title = "Greet"
    config_model = GreetConfig
    example: ClassVar[dict[str, Any]] = {"name": "Ada"}

    async def run(self, context: NodeContext, config: GreetConfig) -> Completed:
        return Completed(f"Hello, {config.name}!")
```

The package names it as an entry point, and every executor and worker in whose environment it is installed
knows the type:

```toml
[project.entry-points."flow_engine.nodes"]
"acme.greet" = "acme_nodes:Greet"
```

- Declare what is true: `effect = Effect.EXTERNAL` if the outside could notice a second run, `human`,
  `typical_ms`. Validation, the mode decision and this page read it.
- A step may run more than once, after a crash or by `retry`. `context.step_key` is the same each time: hand
  it to the other side as idempotency key. If that cannot be, declare `at_most_once = True`.
- Raise `NodeError(code, message, retryable=…)` for failures that you expect and list the codes in
  `error_codes`; anything else raised becomes `INTERNAL`, with no detail.
- Let `asyncio.CancelledError` pass: time-outs, cancelling and failing siblings arrive as it.
- Never block the event loop; reach HTTP through `context.services.http`. Who opens other connections
  asks `await context.services.address_of(host, port)` and connects to the address it gives, which is checked.
- Return `Waiting` to wait for longer than a few seconds: nothing is held meanwhile, and `resume` goes on.
"""


def nodes_markdown(types: Iterable[NodeType[Any]]) -> str:
    """The whole page, ending in a newline."""
    kinds = list(types)
    sections = [INTRODUCTION, _overview(kinds), *map(_section, kinds), WRITING]
    return "\n".join(sections)


def _overview(kinds: list[NodeType[Any]]) -> str:
    rows = [f"| [`{each.type}`](#{_anchor(each.type)}) | {describe(each)['summary']} |" for each in kinds]
    return "\n".join(["| type | |", "|---|---|", *rows, ""])


def _section(kind: NodeType[Any]) -> str:
    described = describe(kind)
    parts = [
        f"## {kind.type}\n",
        f"{described['description']}\n",
        *_traits(described),
        *_config(described["configSchema"]),
        *_error_codes(described["errorCodes"]),
        f"```json\n{json.dumps(_example_node(kind), indent=2, ensure_ascii=False)}\n```\n",
    ]
    return "\n".join(parts)


def _traits(described: dict[str, JsonValue]) -> Iterator[str]:
    traits = []
    if described["handles"]:
        traits.append("Handles: " + ", ".join(f"`{handle}`" for handle in described["handles"]) + ".")
    if described["effect"] == "external":
        traits.append("Acts on the outside.")
    if described["human"]:
        traits.append("Waits for a person.")
    if described["container"]:
        traits.append("A container: nodes with its id in `parentId` are inside it.")
    if described["atMostOnce"]:
        traits.append("Runs at most once: an attempt whose end is unknown is `STEP_IN_DOUBT`.")
    if traits:
        yield " ".join(traits) + "\n"


def _config(schema: Schema) -> Iterator[str]:
    rows = list(_rows(schema, schema, ""))
    if rows:
        yield "| field | type | default | |\n|---|---|---|---|"
        yield "\n".join(rows) + "\n"


def _rows(root: Schema, schema: Schema, prefix: str) -> Iterator[str]:
    """A table row for each field, and for the fields of the objects in it."""
    required = set(schema.get("required", ()))
    for name, field in schema.get("properties", {}).items():
        default = "required" if name in required else _literal(field.get("default"))
        cells = [f"`{prefix}{name}`", _type_text(root, field), default, field.get("description", "")]
        yield "| " + " | ".join(cell.replace("|", "\\|").replace("\n", " ") for cell in cells) + " |"
        for suffix, inner in _inner_objects(root, field):
            yield from _rows(root, inner, f"{prefix}{name}{suffix}.")


def _inner_objects(root: Schema, field: Schema) -> Iterator[tuple[str, Schema]]:
    field = _resolved(root, field)
    if field.get("properties"):
        yield "", field
    for option in (*field.get("oneOf", ()), *field.get("anyOf", ())):
        yield from _inner_objects(root, option)
    if isinstance(field.get("items"), dict):
        for suffix, inner in _inner_objects(root, field["items"]):
            yield f"[]{suffix}", inner


def _type_text(root: Schema, field: Schema) -> str:
    """A schema's type in a few words: `string`, `list of integer`, `"a" or "b"`, `integer, 1 to 1000`."""
    field = _resolved(root, field)
    if "const" in field:
        return _literal(field["const"])
    if "enum" in field:
        return " or ".join(map(_literal, field["enum"]))
    for union in ("anyOf", "oneOf"):
        if union in field:
            return " or ".join(dict.fromkeys(_type_text(root, option) for option in field[union]))
    kind = field.get("type", "any")
    if field.get("x-deferred"):
        return "condition" if kind != "any" else "any"
    if kind == "array":
        items = _type_text(root, field.get("items", {}))
        return "list" if items == "any" else f"list of {items}"
    if kind == "object" and isinstance(field.get("additionalProperties"), dict):
        values = _type_text(root, field["additionalProperties"])
        return "object" if values == "any" else f"object of {values}"
    return str(kind) + _bounds(field)


def _bounds(field: Schema) -> str:
    low, high = field.get("minimum"), field.get("maximum")
    if low is not None and high is not None:
        return f", {low:,} to {high:,}"
    return f", from {low:,}" if low is not None else f", up to {high:,}" if high is not None else ""


def _resolved(root: Schema, field: Schema) -> Schema:
    reference = field.get("$ref", "")
    if not reference:
        return field
    target: Schema = root["$defs"][reference.removeprefix("#/$defs/")]
    return {**target, **{key: value for key, value in field.items() if key != "$ref"}}


def _error_codes(codes: dict[str, str]) -> Iterator[str]:
    if codes:
        yield "| error code | |\n|---|---|"
        yield "\n".join(f"| `{code}` | {meaning} |" for code, meaning in codes.items()) + "\n"


def _example_node(kind: NodeType[Any]) -> dict[str, JsonValue]:
    return {"id": "example", "type": kind.type, "config": kind.example}


def _literal(value: JsonValue) -> str:
    return "" if value is None else f"`{json.dumps(value, ensure_ascii=False)}`"


def _anchor(heading: str) -> str:
    """As GitHub makes it: lower case, dots left out."""
    return heading.lower().replace(".", "")
