from __future__ import annotations

import copy
from typing import Any

from flow_engine.nodes.registry import built_in_registry
from flow_engine.workflow.validation import compile_workflow, validate_workflow

TYPES = built_in_registry()

EXPORTED: dict[str, Any] = {
    "nodes": [
        {
            "id": "1",
            "type": "http.request",
            "position": {"x": 0, "y": 20.5},
            "data": {"label": "Fetch order", "color": "#fff", "url": "https://shop.example/${ input.id }"},
            "measured": {"width": 150, "height": 40},
            "selected": True,
            "dragging": False,
        },
        {
            "id": "2",
            "type": "human.approval",
            "position": {"x": 200, "y": 0},
            "data": {"label": "Ask", "title": "Approve?", "description": "An order", "icon": "hand"},
        },
        {
            "id": "loop",
            "type": "logic.foreach",
            "position": {"x": 0, "y": 0},
            "style": {"width": 400},
            "data": {"config": {"items": [1, 2]}, "label": "Each", "onError": "continue", "timeoutMs": 5000},
        },
        {
            "id": "3",
            "type": "data.set",
            "parentId": "loop",
            "extent": "parent",
            "expandParent": True,
            "position": {"x": 10, "y": 10},
            "data": {
                "config": {"values": {"v": "${ item }"}},
                "label": "Set",
                "retry": {"maxAttempts": 3},
                "join": "any",
            },
        },
    ],
    "edges": [
        {
            "id": "e1-2",
            "source": "1",
            "target": "2",
            "sourceHandle": None,
            "targetHandle": None,
            "type": "smoothstep",
            "animated": True,
            "markerEnd": {"type": "arrow"},
            "label": "then",
        },
        {"id": "e2-l", "source": "2", "sourceHandle": "approved", "target": "loop", "data": {"x": 1}},
    ],
    "viewport": {"x": 0, "y": 0, "zoom": 1.5},
}


def test_what_to_object_gives_is_taken_as_it_is() -> None:
    before = copy.deepcopy(EXPORTED)
    graph = compile_workflow(EXPORTED, TYPES)

    assert before == EXPORTED
    assert graph.nodes["1"].raw_config == {"url": "https://shop.example/${ input.id }"}
    assert graph.nodes["1"].name == "Fetch order"
    assert graph.nodes["2"].raw_config == {"title": "Approve?", "description": "An order"}
    assert graph.nodes["2"].incoming[0].handle == ""
    assert graph.nodes["loop"].raw_config == {"items": [1, 2]}
    assert (graph.nodes["loop"].on_error, graph.nodes["loop"].timeout_ms) == ("continue", 5000)
    assert graph.nodes["3"].parent_id == "loop"
    retry = graph.nodes["3"].retry
    assert retry is not None
    assert (graph.nodes["3"].needed, retry.max_attempts) == (1, 3)


def test_settings_in_flat_data_belong_to_the_config() -> None:
    node = {"id": "a", "type": "human.approval", "data": {"title": "Approve?", "timeoutMs": 1000}}
    graph = compile_workflow({"nodes": [node]}, TYPES)
    assert graph.nodes["a"].raw_config == {"title": "Approve?", "timeoutMs": 1000}
    assert graph.nodes["a"].timeout_ms is None


def test_data_beside_a_config_is_the_editors() -> None:
    node = {"id": "a", "type": "data.set", "config": {"values": {}}, "data": {"label": "x", "anything": 1}}
    assert compile_workflow({"nodes": [node]}, TYPES).nodes["a"].raw_config == {"values": {}}


def test_the_parent_node_of_older_versions_is_understood() -> None:
    nodes = [
        {"id": "loop", "type": "logic.foreach", "config": {"items": []}},
        {"id": "a", "type": "flow.noop", "parentNode": "loop", "data": {}},
    ]
    assert compile_workflow({"nodes": nodes}, TYPES).nodes["a"].parent_id == "loop"


def test_problems_name_the_place_in_the_document_as_sent() -> None:
    document = copy.deepcopy(EXPORTED)
    document["nodes"][0]["data"]["url"] = 5
    document["nodes"][2]["data"]["timeoutMs"] = 0
    document["nodes"][3]["data"]["config"]["values"]["v"] = "${ itm }"
    document["nodes"][3]["parent"] = "loop"
    document["nodes"][3]["data"]["retry"]["maxAttempts"] = 0

    assert [(problem.path, problem.code) for problem in validate_workflow(document, TYPES)] == [
        ("/nodes/0/data/url", "WRONG_TYPE"),
        ("/nodes/2/data/timeoutMs", "OUT_OF_RANGE"),
        ("/nodes/3/data/config/values/v", "UNKNOWN_VARIABLE"),
        ("/nodes/3/data/retry/maxAttempts", "OUT_OF_RANGE"),
        ("/nodes/3/parent", "UNKNOWN_FIELD"),
    ]
