"""Definitions that must be refused, each with every problem that the answer names.

The same table is held against the validator, REST and gRPC. `text` is the definition as sent,
maybe not even JSON; `problems` are (path, code) in the order of the answer.
"""

from __future__ import annotations

import json
from dataclasses import dataclass
from typing import Any

Found = tuple[str, str]


@dataclass(frozen=True)
class InvalidCase:
    name: str
    text: bytes
    problems: tuple[Found, ...]
    hint: str = ""  # stands in a hint of the answer

    @property
    def is_json(self) -> bool:
        """Whether the text could be embedded in a larger JSON document at all."""
        try:
            json.loads(self.text)
        except (ValueError, RecursionError):
            return False
        return True


def text(name: str, source: bytes | str, *problems: Found, hint: str = "") -> InvalidCase:
    return InvalidCase(name, source if isinstance(source, bytes) else source.encode(), problems, hint)


def workflow(name: str, document: Any, *problems: Found, hint: str = "") -> InvalidCase:
    return InvalidCase(name, json.dumps(document).encode(), problems, hint)


def noop(node_id: Any = "a", **fields: Any) -> dict[str, Any]:
    return {"id": node_id, "type": "flow.noop", **fields}


def data(node_id: str, value: Any, **fields: Any) -> dict[str, Any]:
    return {"id": node_id, "type": "data.set", "config": {"values": {"v": value}}, **fields}


def loop(node_id: str = "loop", **fields: Any) -> dict[str, Any]:
    return {"id": node_id, "type": "logic.foreach", "config": {"items": [1, 2]}, **fields}


def subflow(**config: Any) -> dict[str, Any]:
    return {"id": "sub", "type": "flow.subflow", "config": config}


def edge(source: str, target: str, handle: str | None = None) -> dict[str, Any]:
    return {"source": source, "target": target} | ({"sourceHandle": handle} if handle else {})


def nodes(*items: Any, edges: Any = (), **fields: Any) -> dict[str, Any]:
    return {"nodes": list(items), "edges": list(edges), **fields}


V = "/nodes/0/config/values/v"
"""Where the expression of a lone data.set stands."""

NOT_JSON = [
    text("empty body", b"", ("", "EMPTY_BODY")),
    text("only white space", b" \n\t ", ("", "EMPTY_BODY")),
    text("truncated object", b'{"nodes": [', ("", "TRUNCATED_JSON")),
    text("truncated string", b'{"nodes": [{"id": "a', ("", "TRUNCATED_JSON")),
    text("not JSON", b"nodes: []", ("", "INVALID_JSON")),
    text("single quotes", b"{'nodes': []}", ("", "INVALID_JSON")),
    text("trailing comma", b'{"nodes": [],}', ("", "INVALID_JSON")),
    text("trailing text", b'{"nodes": []} x', ("", "INVALID_JSON")),
    text("control character in a string", b'{"name": "a\x01b"}', ("", "INVALID_JSON")),
    text("invalid UTF-8", b'{"name": "\xff"}', ("", "INVALID_UTF8")),
    text("UTF-16", '{"nodes": []}'.encode("utf-16"), ("", "INVALID_UTF8")),
    text("surrogate written in UTF-8", b'{"name": "\xed\xa0\x80"}', ("", "INVALID_UTF8")),
    text("lone high surrogate", rb'{"name": "\ud800 x"}', ("", "LONE_SURROGATE")),
    text("lone low surrogate", rb'{"name": "\udc00"}', ("", "LONE_SURROGATE")),
    text("surrogates in the wrong order", rb'{"name": "\udc00\ud800"}', ("", "LONE_SURROGATE")),
    text("NUL in a string", rb'{"name": "a\u0000b"}', ("/name", "NUL_CHARACTER")),
    text("NUL in a key", rb'{"nodes": [], "a\u0000": 1}', ("/a\0", "NUL_CHARACTER")),
    text("NaN", b'{"maxParallel": NaN}', ("", "INVALID_NUMBER")),
    text("minus Infinity", b'{"maxParallel": -Infinity}', ("", "INVALID_NUMBER")),
    text("1e400", b'{"vars": {"a": [1, 1e400]}}', ("/vars/a/1", "INVALID_NUMBER")),
    text("depth 65", b'{"vars":' * 65 + b"1" + b"}" * 65, ("", "TOO_DEEP")),
    text("100,000 opening brackets", b"[" * 100_000, ("", "TOO_DEEP")),
    text("100,000 opening braces", b'{"a":' * 100_000, ("", "TOO_DEEP")),
    text(
        "duplicate keys",
        b'{"name": "a", "nodes": [{"id": "a", "id": "b", "type": "flow.noop"}], "name": "b"}',
        ("/name", "DUPLICATE_KEY"),
        ("/nodes/0/id", "DUPLICATE_KEY"),
    ),
]

SHAPE = [
    workflow("top-level list", [noop()], ("", "NOT_AN_OBJECT")),
    workflow("top-level string", "workflow", ("", "NOT_AN_OBJECT")),
    workflow("top-level null", None, ("", "NOT_AN_OBJECT")),
    workflow("empty object", {}, ("/nodes", "NO_NODES")),
    workflow("no nodes", nodes(), ("/nodes", "NO_NODES")),
    workflow("nodes of the wrong type", {"nodes": {"a": {}}}, ("/nodes", "WRONG_TYPE")),
    workflow("edges of the wrong type", {"nodes": [noop()], "edges": "a"}, ("/edges", "WRONG_TYPE")),
    workflow("too many nodes", nodes(*[{}] * 10_001), ("/nodes", "TOO_MANY_NODES")),
    workflow("too many edges", nodes(noop(), edges=[{}] * 50_001), ("/edges", "TOO_MANY_EDGES")),
    workflow("node that is no object", nodes(noop(), 7), ("/nodes/1", "WRONG_TYPE")),
    workflow("edge that is no object", nodes(noop(), edges=["a"]), ("/edges/0", "WRONG_TYPE")),
    workflow("unknown top-level field", nodes(noop(), nmae="x"), ("/nmae", "UNKNOWN_FIELD"), hint="'name'"),
    workflow("top-level field of the wrong type", nodes(noop(), name=["x"]), ("/name", "WRONG_TYPE")),
    workflow("time-out of zero", nodes(noop(), timeoutMs=0), ("/timeoutMs", "OUT_OF_RANGE")),
    workflow("time-out as text", nodes(noop(), timeoutMs="5s"), ("/timeoutMs", "WRONG_TYPE")),
    workflow("time-out of a century", nodes(noop(), timeoutMs=10**13), ("/timeoutMs", "OUT_OF_RANGE")),
    workflow("no parallel steps", nodes(noop(), maxParallel=0), ("/maxParallel", "OUT_OF_RANGE")),
    workflow("huge maxParallel", nodes(noop(), maxParallel=2**70), ("/maxParallel", "OUT_OF_RANGE")),
    workflow(
        "unknown conflict policy",
        nodes(noop(), onConflict="alow"),
        ("/onConflict", "INVALID_VALUE"),
        hint="'allow'",
    ),
    workflow("tags of the wrong type", nodes(noop(), tags=["a", 5]), ("/tags/1", "WRONG_TYPE")),
    workflow("concurrency without key", nodes(noop(), concurrency={}), ("/concurrency/key", "MISSING_FIELD")),
    workflow("workflow id with a slash", nodes(noop(), id="a/b"), ("/id", "INVALID_ID")),
]

IDS = [
    workflow("missing id", nodes({"type": "flow.noop"}), ("/nodes/0/id", "MISSING_FIELD")),
    workflow("numeric id", nodes(noop(5)), ("/nodes/0/id", "WRONG_TYPE")),
    workflow("empty id", nodes(noop("")), ("/nodes/0/id", "INVALID_ID")),
    workflow("blank id", nodes(noop("  ")), ("/nodes/0/id", "INVALID_ID")),
    workflow("id with a slash", nodes(noop("a/b")), ("/nodes/0/id", "INVALID_ID")),
    workflow("id with a newline", nodes(noop("a\nb")), ("/nodes/0/id", "INVALID_ID")),
    workflow("id with a control character", nodes(noop("a\x7fb")), ("/nodes/0/id", "INVALID_ID")),
    workflow("id with a line separator", nodes(noop("a\u2028b")), ("/nodes/0/id", "INVALID_ID")),
    workflow("id of 129 characters", nodes(noop("x" * 129)), ("/nodes/0/id", "INVALID_ID")),
    workflow("id __proto__", nodes(noop("__proto__")), ("/nodes/0/id", "INVALID_ID")),
    workflow("duplicate id", nodes(noop(), noop("b"), noop()), ("/nodes/2/id", "DUPLICATE_ID")),
    workflow(
        "duplicate id across containers",
        nodes(noop(), loop(), noop("a", parentId="loop")),
        ("/nodes/2/id", "DUPLICATE_ID"),
    ),
]

NODES = [
    workflow("missing type", nodes({"id": "a"}), ("/nodes/0/type", "MISSING_FIELD")),
    workflow("type of the wrong type", nodes({"id": "a", "type": 5}), ("/nodes/0/type", "WRONG_TYPE")),
    workflow(
        "unknown type",
        nodes({"id": "a", "type": "http.reqest"}),
        ("/nodes/0/type", "UNKNOWN_TYPE"),
        hint="did you mean 'http.request'?",
    ),
    workflow("unknown field", nodes(noop(confg={})), ("/nodes/0/confg", "UNKNOWN_FIELD"), hint="'config'"),
    workflow("config that is a list", nodes(noop(config=[])), ("/nodes/0/config", "WRONG_TYPE")),
    workflow(
        "missing config", nodes({"id": "a", "type": "http.request"}), ("/nodes/0/config/url", "MISSING_FIELD")
    ),
    workflow(
        "missing config in data",
        nodes({"id": "a", "type": "http.request", "data": {"label": "x"}}),
        ("/nodes/0/data/url", "MISSING_FIELD"),
    ),
    workflow(
        "ill-typed config in data.config",
        nodes({"id": "a", "type": "http.request", "data": {"config": {"url": 5}}}),
        ("/nodes/0/data/config/url", "WRONG_TYPE"),
    ),
    workflow(
        "unknown config field",
        nodes({"id": "a", "type": "http.request", "config": {"url": "https://a.example", "methd": "GET"}}),
        ("/nodes/0/config/methd", "UNKNOWN_FIELD"),
        hint="'method'",
    ),
    workflow(
        "unknown config field beside an expression",
        nodes(
            {"id": "a", "type": "http.request", "config": {"url": "${ input.url }", "urll": "${ input.url }"}}
        ),
        ("/nodes/0/config/urll", "UNKNOWN_FIELD"),
    ),
    workflow(
        "config field of the wrong type",
        nodes({"id": "a", "type": "logic.delay", "config": {"durationMs": "soon"}}),
        ("/nodes/0/config/durationMs", "WRONG_TYPE"),
    ),
    workflow(
        "config field out of range",
        nodes({"id": "a", "type": "logic.delay", "config": {"durationMs": -1}}),
        ("/nodes/0/config/durationMs", "OUT_OF_RANGE"),
    ),
    workflow(
        "constant condition that is no condition",
        nodes({"id": "a", "type": "logic.if", "config": {"condition": "yes"}}),
        ("/nodes/0/config/condition", "WRONG_TYPE"),
    ),
    workflow(
        "case without handle",
        nodes({"id": "a", "type": "logic.switch", "config": {"cases": [{"when": "${ true }"}]}}),
        ("/nodes/0/config/cases/0/handle", "MISSING_FIELD"),
    ),
    workflow(
        "too many loop iterations allowed",
        nodes({"id": "a", "type": "logic.foreach", "config": {"items": [], "maxIterations": 10**9}}),
        ("/nodes/0/config/maxIterations", "OUT_OF_RANGE"),
    ),
    workflow("node time-out of zero", nodes(noop(timeoutMs=0)), ("/nodes/0/timeoutMs", "OUT_OF_RANGE")),
    workflow(
        "node time-out with a fraction", nodes(noop(timeoutMs=1.5)), ("/nodes/0/timeoutMs", "WRONG_TYPE")
    ),
    workflow(
        "no attempts", nodes(noop(retry={"maxAttempts": 0})), ("/nodes/0/retry/maxAttempts", "OUT_OF_RANGE")
    ),
    workflow(
        "too many attempts",
        nodes(noop(retry={"maxAttempts": 10**6})),
        ("/nodes/0/retry/maxAttempts", "OUT_OF_RANGE"),
    ),
    workflow(
        "jitter above one", nodes(noop(retry={"jitter": 1.5})), ("/nodes/0/retry/jitter", "OUT_OF_RANGE")
    ),
    workflow(
        "shrinking back-off",
        nodes(noop(retry={"backoffCoefficient": 0.5})),
        ("/nodes/0/retry/backoffCoefficient", "OUT_OF_RANGE"),
    ),
    workflow(
        "unknown retry field",
        nodes(noop(retry={"maxAttempt": 3})),
        ("/nodes/0/retry/maxAttempt", "UNKNOWN_FIELD"),
        hint="'maxAttempts'",
    ),
    workflow("retry as a number", nodes(noop(retry=3)), ("/nodes/0/retry", "WRONG_TYPE")),
    workflow("unknown onError", nodes(noop(onError="ignore")), ("/nodes/0/onError", "INVALID_VALUE")),
    workflow("unknown join", nodes(noop(join="most")), ("/nodes/0/join", "INVALID_VALUE")),
    workflow("join of zero", nodes(noop(join=0)), ("/nodes/0/join", "OUT_OF_RANGE")),
    workflow("atMostOnce as text", nodes(noop(atMostOnce="yes")), ("/nodes/0/atMostOnce", "WRONG_TYPE")),
    workflow(
        "onError here and in data",
        nodes(noop(onError="fail", data={"config": {}, "onError": "continue"})),
        ("/nodes/0/data/onError", "CONFLICTING_FIELDS"),
    ),
]

GRAPH = [
    workflow("edge to nowhere", nodes(noop(), edges=[edge("a", "b")]), ("/edges/0/target", "UNKNOWN_NODE")),
    workflow("edge from nowhere", nodes(noop(), edges=[edge("b", "a")]), ("/edges/0/source", "UNKNOWN_NODE")),
    workflow(
        "edge to a misspelt node",
        nodes(noop(), noop("order-1"), edges=[edge("a", "ordre-1")]),
        ("/edges/0/target", "UNKNOWN_NODE"),
        hint="'order-1'",
    ),
    workflow(
        "edge without target", nodes(noop(), edges=[{"source": "a"}]), ("/edges/0/target", "MISSING_FIELD")
    ),
    workflow(
        "unknown edge field",
        nodes(noop(), noop("b"), edges=[{**edge("a", "b"), "lable": "x"}]),
        ("/edges/0/lable", "UNKNOWN_FIELD"),
    ),
    workflow("self-edge", nodes(noop(), edges=[edge("a", "a")]), ("/edges/0", "SELF_EDGE")),
    workflow(
        "cycle",
        nodes(noop(), noop("b"), noop("c"), edges=[edge("a", "b"), edge("b", "c"), edge("c", "a")]),
        ("/edges/2", "CYCLE"),
        hint="loop",
    ),
    workflow(
        "two cycles",
        nodes(
            *map(noop, "abcde"),
            edges=[
                edge("b", "a"),
                edge("a", "b"),
                edge("b", "c"),
                edge("c", "d"),
                edge("d", "e"),
                edge("e", "d"),
            ],
        ),
        ("/edges/0", "CYCLE"),
        ("/edges/5", "CYCLE"),
    ),
    workflow(
        "cycle inside a container",
        nodes(
            loop(),
            noop("a", parentId="loop"),
            noop("b", parentId="loop"),
            edges=[edge("a", "b"), edge("b", "a")],
        ),
        ("/edges/1", "CYCLE"),
    ),
    workflow(
        "edge from a branch that a node does not have",
        nodes(noop(), noop("b"), edges=[edge("a", "b", "true")]),
        ("/edges/0/sourceHandle", "UNKNOWN_HANDLE"),
    ),
    workflow(
        "misspelt branch",
        nodes(
            {"id": "a", "type": "logic.if", "config": {"condition": True}},
            noop("b"),
            edges=[edge("a", "b", "ture")],
        ),
        ("/edges/0/sourceHandle", "UNKNOWN_HANDLE"),
        hint="'true'",
    ),
    workflow(
        "branch that no case names",
        nodes(
            {"id": "a", "type": "logic.switch", "config": {"cases": [{"when": True, "handle": "big"}]}},
            noop("b"),
            edges=[edge("a", "b", "small")],
        ),
        ("/edges/0/sourceHandle", "UNKNOWN_HANDLE"),
        hint="'big'",
    ),
    workflow("unknown parent", nodes(noop(parentId="loop")), ("/nodes/0/parentId", "UNKNOWN_PARENT")),
    workflow(
        "misspelt parent",
        nodes(loop(), noop("a", parentId="lop"), noop("b", parentId="loop"), edges=[edge("b", "a")]),
        ("/nodes/1/parentId", "UNKNOWN_PARENT"),
        hint="'loop'",
    ),
    workflow(
        "parent that holds no nodes",
        nodes(noop(), noop("b", parentId="a")),
        ("/nodes/1/parentId", "PARENT_NOT_CONTAINER"),
    ),
    workflow("node inside itself", nodes(loop("a", parentId="a")), ("/nodes/0/parentId", "PARENT_CYCLE")),
    workflow(
        "containers inside each other",
        nodes(loop("a", parentId="b"), loop("b", parentId="a")),
        ("/nodes/0/parentId", "PARENT_CYCLE"),
    ),
    workflow(
        "containers thirty-four deep",
        nodes(*[loop(f"l{i}", **({"parentId": f"l{i - 1}"} if i else {})) for i in range(36)]),
        ("/nodes/33/parentId", "CONTAINERS_TOO_DEEP"),
    ),
    workflow(
        "edge into a container",
        nodes(loop(), noop("in", parentId="loop"), noop("out"), edges=[edge("out", "in")]),
        ("/edges/0", "CROSSES_CONTAINER"),
    ),
    workflow(
        "edge out of a container",
        nodes(loop(), noop("in", parentId="loop"), noop("out"), edges=[edge("in", "out")]),
        ("/edges/0", "CROSSES_CONTAINER"),
    ),
    workflow(
        "edge from a container to its child",
        nodes(loop(), noop("in", parentId="loop"), edges=[edge("loop", "in")]),
        ("/edges/0", "CROSSES_CONTAINER"),
    ),
    workflow(
        "join of more edges than there are",
        nodes(noop(), noop("b", join=2), edges=[edge("a", "b")]),
        ("/nodes/1/join", "JOIN_UNREACHABLE"),
    ),
    workflow(
        "join that counts an edge twice",
        nodes(noop(), noop("b", join=2), edges=[edge("a", "b"), edge("a", "b")]),
        ("/nodes/1/join", "JOIN_UNREACHABLE"),
    ),
    workflow(
        "retry on a container",
        nodes(loop(retry={"maxAttempts": 2})),
        ("/nodes/0/retry", "RETRY_ON_CONTAINER"),
    ),
    workflow(
        "error edge with onError continue",
        nodes(noop(onError="continue"), noop("b"), edges=[edge("a", "b", "error")]),
        ("/nodes/0/onError", "ERROR_EDGE_CONFLICT"),
    ),
]

EXPRESSIONS = [
    workflow("syntax error", nodes(data("a", "${ input. }")), (V, "SYNTAX_ERROR")),
    workflow("expression that is not closed", nodes(data("a", "${ input.x")), (V, "SYNTAX_ERROR")),
    workflow("empty expression", nodes(data("a", "${ }")), (V, "SYNTAX_ERROR")),
    workflow("unknown variable", nodes(data("a", "${ inptu.x }")), (V, "UNKNOWN_VARIABLE"), hint="'input'"),
    workflow("Python in an expression", nodes(data("a", "${ __import__('os') }")), (V, "UNKNOWN_FUNCTION")),
    workflow(
        "node id as a variable",
        nodes(data("a", "${ a.output }")),
        (V, "UNKNOWN_VARIABLE"),
        hint="nodes.a.output",
    ),
    workflow("unknown function", nodes(data("a", "${ lenght(input) }")), (V, "UNKNOWN_FUNCTION")),
    workflow("wrong number of arguments", nodes(data("a", "${ size() }")), (V, "WRONG_ARGUMENTS")),
    workflow("bad regular expression", nodes(data("a", "${ 'a'.matches('(') }")), (V, "INVALID_REGEX")),
    workflow("integer of 70 bits", nodes(data("a", "${ 1180591620717411303424 }")), (V, "INVALID_LITERAL")),
    workflow(
        "expression too long", nodes(data("a", "${ " + "1+" * 3000 + "1 }")), (V, "EXPRESSION_TOO_LONG")
    ),
    workflow(
        "expression too deep",
        nodes(data("a", "${ " + "(" * 70 + "1" + ")" * 70 + " }")),
        (V, "EXPRESSION_TOO_DEEP"),
    ),
    workflow("reference to an unknown node", nodes(data("a", "${ nodes.b.output }")), (V, "UNKNOWN_NODE")),
    workflow(
        "reference to a node with a dash",
        nodes(noop("node-1"), data("b", "${ nodes.node.output }"), edges=[edge("node-1", "b")]),
        ("/nodes/1/config/values/v", "UNKNOWN_NODE"),
        hint='nodes["node-1"]',
    ),
    workflow("reference to itself", nodes(data("a", "${ nodes.a.output }")), (V, "NOT_UPSTREAM")),
    workflow(
        "reference to a node beside", nodes(data("a", "${ nodes.b.output }"), noop("b")), (V, "NOT_UPSTREAM")
    ),
    workflow(
        "reference to a node downstream",
        nodes(data("a", "${ nodes.b.output }"), noop("b"), edges=[edge("a", "b")]),
        (V, "NOT_UPSTREAM"),
    ),
    workflow(
        "reference into a container",
        nodes(
            loop(), noop("in", parentId="loop"), data("b", "${ nodes.in.output }"), edges=[edge("loop", "b")]
        ),
        ("/nodes/2/config/values/v", "NOT_UPSTREAM"),
        hint="nodes.loop.output",
    ),
    workflow(
        "reference to the container around",
        nodes(loop(), data("in", "${ nodes.loop.output }", parentId="loop")),
        ("/nodes/1/config/values/v", "NOT_UPSTREAM"),
    ),
    workflow(
        "reference to a sibling of the container that is not upstream of it",
        nodes(noop(), loop(), data("in", "${ nodes.a.output }", parentId="loop")),
        ("/nodes/2/config/values/v", "NOT_UPSTREAM"),
    ),
    workflow(
        "field that a node does not have",
        nodes(noop(), data("b", "${ nodes.a.body }"), edges=[edge("a", "b")]),
        ("/nodes/1/config/values/v", "UNKNOWN_FIELD"),
        hint="nodes.a.output.body",
    ),
    workflow("item outside a loop", nodes(data("a", "${ item }")), (V, "OUTSIDE_LOOP")),
    workflow(
        "item in the loop's own config",
        nodes(loop(config={"items": "${ item }"})),
        ("/nodes/0/config/items", "OUTSIDE_LOOP"),
    ),
    workflow(
        "loops outside a loop",
        nodes(loop(), data("a", "${ loops.loop.item }")),
        ("/nodes/1/config/values/v", "OUTSIDE_LOOP"),
    ),
    workflow(
        "another loop's item",
        nodes(loop(), loop("other"), data("in", "${ loops.other.item }", parentId="loop")),
        ("/nodes/2/config/values/v", "OUTSIDE_LOOP"),
    ),
    workflow(
        "loop field that does not exist",
        nodes(loop(), data("in", "${ loops.loop.items }", parentId="loop")),
        ("/nodes/1/config/values/v", "UNKNOWN_FIELD"),
        hint="'item'",
    ),
    workflow(
        "unknown var",
        nodes(data("a", "${ vars.ratio }"), vars={"ration": 1}),
        (V, "UNKNOWN_VARIABLE"),
        hint="'ration'",
    ),
    workflow(
        "expression in vars",
        nodes(noop(), vars={"a": {"b": "${ 1 }"}}),
        ("/vars/a/b", "EXPRESSION_NOT_ALLOWED"),
    ),
    workflow("bad expression in vars", nodes(noop(), vars={"a": "${ 1 + }"}), ("/vars/a", "SYNTAX_ERROR")),
    workflow(
        "bad expression in the output",
        nodes(noop(), output={"x": ["${ 1 + }"]}),
        ("/output/x/0", "SYNTAX_ERROR"),
    ),
    workflow("item in the output", nodes(noop(), output="${ item }"), ("/output", "OUTSIDE_LOOP")),
    workflow(
        "child node in the output",
        nodes(loop(), noop("in", parentId="loop"), output="${ nodes.in.output }"),
        ("/output", "NOT_UPSTREAM"),
    ),
    workflow(
        "nodes in the concurrency key",
        nodes(noop(), concurrency={"key": "${ nodes.a.output }"}),
        ("/concurrency/key", "UNKNOWN_VARIABLE"),
    ),
    workflow(
        "case that is a list",
        nodes({"id": "a", "type": "logic.switch", "config": {"cases": [[]]}}),
        ("/nodes/0/config/cases/0", "WRONG_TYPE"),
    ),
    workflow(
        "bad expression in a case",
        nodes(
            {"id": "a", "type": "logic.switch", "config": {"cases": [{"when": "${ inptu }", "handle": "x"}]}}
        ),
        ("/nodes/0/config/cases/0/when", "UNKNOWN_VARIABLE"),
    ),
    workflow(
        "condition that gives a string",
        nodes({"id": "a", "type": "logic.if", "config": {"condition": "${ string(input.x) }"}}),
        ("/nodes/0/config/condition", "WRONG_TYPE"),
    ),
    workflow(
        "condition with text around it",
        nodes({"id": "a", "type": "logic.if", "config": {"condition": "is it ${ input.x }"}}),
        ("/nodes/0/config/condition", "WRONG_TYPE"),
    ),
]

SCHEMAS = [
    workflow("schema of the wrong type", nodes(noop(), inputSchema=[]), ("/inputSchema", "WRONG_TYPE")),
    workflow(
        "schema with an unknown type",
        nodes(noop(), inputSchema={"type": "objekt"}),
        ("/inputSchema/type", "INVALID_SCHEMA"),
    ),
    workflow(
        "schema with a remote reference",
        nodes(noop(), inputSchema={"$ref": "http://evil.example/schema"}),
        ("/inputSchema/$ref", "REMOTE_REFERENCE"),
    ),
    workflow(
        "schema with a reference to a file",
        nodes(noop(), inputSchema={"items": {"$ref": "file:///etc/passwd"}}),
        ("/inputSchema/items/$ref", "REMOTE_REFERENCE"),
    ),
    workflow(
        "schema with a reference to nowhere",
        nodes(noop(), inputSchema={"$ref": "#/$defs/a"}),
        ("/inputSchema/$ref", "INVALID_SCHEMA"),
    ),
    workflow(
        "schema that is its own",
        nodes(noop(), inputSchema={"$ref": "#"}),
        ("/inputSchema", "SCHEMA_TOO_EXPENSIVE"),
    ),
    workflow(
        "schema with a pattern that needs backtracking",
        nodes(noop(), inputSchema={"properties": {"a": {"pattern": r"(a)\1"}}}),
        ("/inputSchema/properties/a/pattern", "INVALID_REGEX"),
    ),
]

SECRETS = [
    workflow(
        "a secret where none is taken",
        nodes(data("a", "${ secrets.TOKEN }")),
        ("/nodes/0/config/values/v", "SECRET_NOT_ALLOWED"),
    ),
    workflow(
        "an expression that computes with a secret",
        nodes(
            {
                "id": "a",
                "type": "http.request",
                "config": {"url": "https://a.example", "headers": {"x": "${ secrets.TOKEN + '!' }"}},
            }
        ),
        ("/nodes/0/config/headers/x", "SECRET_NOT_ALLOWED"),
    ),
]

SUBFLOWS = [
    workflow("a sub-flow of nothing", nodes(subflow()), ("/nodes/0/config", "MISSING_FIELD")),
    workflow(
        "a sub-flow of an unknown workflow",
        nodes(noop(), subflow(workflowId="nowhere")),
        ("/nodes/1/config/workflowId", "UNKNOWN_WORKFLOW"),
    ),
    workflow(
        "a sub-flow whose workflow is an expression",
        nodes(subflow(workflowId="${ input.which }")),
        ("/nodes/0/config/workflowId", "EXPRESSION_NOT_ALLOWED"),
    ),
    workflow(
        "a sub-flow with a mistake in its definition",
        nodes(subflow(workflow=nodes(data("b", "${ nodes.outside.output }"))), noop("outside")),
        ("/nodes/0/config/workflow/nodes/0/config/values/v", "UNKNOWN_NODE"),
    ),
]

SEVERAL = [
    workflow(
        "everything wrong at once, in document order",
        {
            "nmae": "x",
            "nodes": [
                {"id": "a", "type": "http.reqest", "timeoutMs": 0},
                {"id": "a", "type": "http.request", "config": {"url": 5, "metod": "GET"}},
                data("c", ["${ nodes.zz.output }", "${ 1 + }"]),
            ],
            "edges": [edge("c", "c"), edge("a", "nowhere")],
            "output": "${ itme }",
        },
        ("/nmae", "UNKNOWN_FIELD"),
        ("/nodes/0/type", "UNKNOWN_TYPE"),
        ("/nodes/0/timeoutMs", "OUT_OF_RANGE"),
        ("/nodes/1/id", "DUPLICATE_ID"),
        ("/nodes/1/config/url", "WRONG_TYPE"),
        ("/nodes/1/config/metod", "UNKNOWN_FIELD"),
        ("/nodes/2/config/values/v/0", "UNKNOWN_NODE"),
        ("/nodes/2/config/values/v/1", "SYNTAX_ERROR"),
        ("/edges/0", "SELF_EDGE"),
        ("/edges/1/target", "UNKNOWN_NODE"),
        ("/output", "UNKNOWN_VARIABLE"),
    ),
]

CASES: list[InvalidCase] = [
    *NOT_JSON,
    *SHAPE,
    *IDS,
    *NODES,
    *GRAPH,
    *EXPRESSIONS,
    *SCHEMAS,
    *SECRETS,
    *SUBFLOWS,
    *SEVERAL,
]
