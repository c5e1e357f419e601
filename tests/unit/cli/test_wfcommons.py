from __future__ import annotations

import hashlib
import json
from pathlib import Path
from typing import Any

import pytest

from services.cli.wfcommons import NotWfFormat, definition_of

EXAMPLES = Path(__file__).parents[3] / "examples"


def recorded(name: str) -> tuple[dict[str, Any], dict[str, Any]]:
    folder = EXAMPLES / "wfcommons"
    instance = json.loads((folder / f"{name}.dag.json").read_text())
    return instance, json.loads((folder / f"{name}.expected.json").read_text())["facts"]


@pytest.mark.parametrize("name", ["montage-500", "epigenomics-50"])
def test_tasks_and_edges_are_those_of_the_recorded_graph(name: str) -> None:
    instance, facts = recorded(name)

    definition = definition_of(instance, scale=0)

    assert len(definition["nodes"]) == facts["tasks"]
    assert len(definition["edges"]) == facts["edges"]
    listed = "\n".join(sorted(f"{edge['source']}>{edge['target']}" for edge in definition["edges"]))
    assert hashlib.sha256(listed.encode()).hexdigest() == facts["edge_list_sha256"]


def test_runtimes_are_scaled_to_milliseconds() -> None:
    instance, facts = recorded("montage-500")

    definition = definition_of(instance, scale=0.001)

    waits = [node["config"]["durationMs"] for node in definition["nodes"]]
    assert sum(waits) == pytest.approx(facts["sum_of_runtimes_s"], rel=0.01)
    assert all(isinstance(wait, int) for wait in waits)


def test_scale_zero_waits_for_nothing_and_needs_no_runtimes() -> None:
    definition = definition_of({"workflow": {"tasks": [{"id": "a"}]}}, scale=0)

    assert definition["nodes"] == [
        {"id": "a", "type": "logic.delay", "name": "a", "config": {"durationMs": 0}}
    ]


def test_the_older_format_keeps_tasks_and_runtimes_in_the_workflow() -> None:
    tasks = [{"name": "a", "runtime": 2, "children": ["b"]}, {"name": "b", "runtimeInSeconds": 0.5}]

    definition = definition_of({"name": "Old One", "workflow": {"tasks": tasks}}, scale=1)

    assert definition["id"] == "old-one"
    assert [node["config"]["durationMs"] for node in definition["nodes"]] == [2000, 500]
    assert definition["edges"] == [{"source": "a", "target": "b"}]


def test_an_edge_told_by_one_side_only_counts_once() -> None:
    tasks = [{"id": "a", "children": ["c"]}, {"id": "b"}, {"id": "c", "parents": ["a", "b"]}]

    definition = definition_of({"workflow": {"specification": {"tasks": tasks}}}, scale=0)

    assert definition["edges"] == [{"source": "a", "target": "c"}, {"source": "b", "target": "c"}]


@pytest.mark.parametrize(
    ("instance", "complaint"),
    [
        ({}, "no object `workflow`"),
        ({"workflow": {"tasks": []}}, "no tasks"),
        ({"workflow": {"tasks": [{}]}}, "task 0 has neither id nor name"),
        ({"workflow": {"tasks": [{"id": "a"}, {"id": "a"}]}}, "two tasks have the id 'a'"),
        (
            {"workflow": {"tasks": [{"id": "a", "runtime": 1, "children": ["x"]}]}},
            "'x', which is not among the tasks",
        ),
        ({"workflow": {"tasks": [{"id": "a"}]}}, "'a' has no recorded runtime"),
        ({"workflow": {"tasks": [{"id": "a", "runtime": 1e9}]}}, "more than a year"),
    ],
)
def test_what_is_no_wfformat_is_refused_with_the_reason(instance: dict[str, Any], complaint: str) -> None:
    with pytest.raises(NotWfFormat, match=complaint):
        definition_of(instance, scale=1)


def test_the_example_is_what_the_import_makes_of_the_recorded_file() -> None:
    instance, _ = recorded("montage-500")

    assert json.loads((EXAMPLES / "montage-500.json").read_text()) == definition_of(
        instance, 0, "montage-500"
    )
