"""What two definitions differ in."""

from __future__ import annotations

from typing import Any

import pytest

from flow_engine.errors import InvalidRequest
from flow_engine.nodes.registry import load_registry
from flow_engine.payload import JsonValue
from flow_engine.workflow.diff import FieldChange, WorkflowDiff, diff, field_changes
from flow_engine.workflow.labels import relabelled

TYPES = load_registry()


def compared(before: JsonValue, after: JsonValue) -> WorkflowDiff:
    return diff(before, after, TYPES)


def node(node_id: str, node_type: str = "flow.noop", **more: Any) -> dict[str, Any]:
    return {"id": node_id, "type": node_type, **more}


def test_nodes_are_compared_by_id_and_edges_by_their_ends() -> None:
    before = {
        "nodes": [node("a"), node("call", "http.request", config={"url": "http://a", "method": "GET"})],
        "edges": [{"source": "a", "target": "call"}],
    }
    after = {
        "nodes": [
            node("call", "http.request", config={"url": "http://b", "method": "GET", "body": 1}, join="any"),
            node("tell"),
        ],
        "edges": [{"source": "call", "sourceHandle": "error", "target": "tell"}],
        "output": "${ input }",
    }
    found = compared(before, after)
    assert [(n.kind, n.node_id, n.path) for n in found.nodes] == [
        ("changed", "call", "/nodes/0"),
        ("added", "tell", "/nodes/1"),
        ("removed", "a", "/nodes/0"),
    ]
    assert found.nodes[0].changes == (
        FieldChange("/config/url", b'"http://a"', b'"http://b"'),
        FieldChange("/config/body", None, b"1"),
        FieldChange("/join", None, b'"any"'),
    )
    assert [(e.kind, e.source, e.handle, e.target) for e in found.edges] == [
        ("added", "call", "error", "tell"),
        ("removed", "a", "", "call"),
    ]
    assert found.settings == (FieldChange("/output", None, b'"${ input }"'),)


def test_what_an_editor_keeps_for_itself_does_not_count() -> None:
    plain = {"nodes": [node("a", "logic.delay", config={"durationMs": 5})], "edges": []}
    drawn = {
        "nodes": [node("a", "logic.delay", position={"x": 1, "y": 2}, data={"durationMs": 5})],
        "edges": [],
        "viewport": {"zoom": 2},
    }
    assert compared(plain, drawn).same


def test_the_order_of_nodes_and_edges_does_not_count() -> None:
    nodes, edges = [node("a"), node("b"), node("c")], [("a", "b"), ("a", "c")]
    document = {"nodes": nodes, "edges": [{"source": s, "target": t} for s, t in edges]}
    turned = {"nodes": nodes[::-1], "edges": document["edges"][::-1]}
    assert compared(document, turned).same


@pytest.mark.parametrize(
    ("before", "after", "expected"),
    [
        ({"a/b": {"c": 1}}, {"a/b": {"c": 2}}, [("/a~1b/c", b"1", b"2")]),
        ([1, 2, 3], [1, 5], [("/1", b"2", b"5"), ("/2", b"3", None)]),
        ([], [None], [("/0", None, b"null")]),
        (1, True, [("", b"1", b"true")]),
        (1, 1.0, [("", b"1", b"1.0")]),
        (2**53 + 1, 2**53, [("", b"9007199254740993", b"9007199254740992")]),
        ({"a": []}, {"a": {}}, [("/a", b"[]", b"{}")]),
        ({"a": 1, "b": 2}, {"b": 2, "a": 1}, []),
    ],
)
def test_the_smallest_values_that_differ_are_named(
    before: JsonValue, after: JsonValue, expected: list[tuple[str, bytes | None, bytes | None]]
) -> None:
    found = list(field_changes(before, after))
    assert [(change.path, change.before, change.after) for change in found] == expected


def test_labels_are_set_and_removed_and_what_cannot_be_one_is_named() -> None:
    assert relabelled({"a": "1", "b": "2"}, {"c": "3", "a": "9"}, ["b", "x"]) == {"a": "9", "c": "3"}
    with pytest.raises(InvalidRequest) as refused:
        relabelled({}, {"-x": "1", "ok": "a\nb", "team": "payments"})
    assert [problem.path for problem in refused.value.problems] == ["/labels/-x", "/labels/ok"]
    with pytest.raises(InvalidRequest, match="at most 32"):
        relabelled({f"a{n}": "" for n in range(30)}, {f"b{n}": "" for n in range(3)})
