"""Stored definitions are put in the places that name them; what cannot be found is named."""

from __future__ import annotations

from typing import Any

import pytest

from flow_engine.errors import WorkflowNotFound
from flow_engine.nodes.registry import built_in_registry
from flow_engine.payload import encode
from flow_engine.workflow.limits import WorkflowLimits
from flow_engine.workflow.validation import validate_workflow
from services.executor.persistence.contract import StoredWorkflow
from services.executor.subflows import Resolved, Subflows
from tests.unit.interpreter.virtual_time import database_now

TYPES = built_in_registry()


class Shelf:
    """Stored workflows: each definition under its id, a list of them as versions from 1."""

    def __init__(self, **workflows: Any) -> None:
        self.versions = {name: one if isinstance(one, list) else [one] for name, one in workflows.items()}
        self.asked = 0

    async def get_workflow(self, workflow_id: str, version: int = 0, namespace: str = "") -> StoredWorkflow:
        self.asked += 1
        versions = self.versions.get(workflow_id, [])
        number = version or len(versions)
        if not 1 <= number <= len(versions):
            raise WorkflowNotFound(workflow_id, version)
        text = encode(versions[number - 1])
        return StoredWorkflow(workflow_id, "", number, text, "", database_now(), database_now())


def leaf() -> dict[str, Any]:
    return {"nodes": [{"id": "n", "type": "flow.noop"}]}


def runs(*names: str, **fields: Any) -> dict[str, Any]:
    """A definition with a sub-flow for each name; "a@2" names a version."""
    nodes = []
    for index, name in enumerate(names):
        workflow_id, _, version = name.partition("@")
        config = {"workflowId": workflow_id, **({"version": int(version)} if version else {})}
        nodes.append({"id": f"s{index}", "type": "flow.subflow", "config": config})
    return {"nodes": nodes, **fields}


async def resolved(
    document: Any, shelf: Shelf, limits: WorkflowLimits | None = None, **names: Any
) -> Resolved:
    subflows = Subflows(shelf, TYPES, limits or WorkflowLimits())  # type: ignore[arg-type]
    return await subflows.resolve(document, len(encode(document)), "default", **names)


def why(found: Resolved) -> dict[str, str]:
    return {path + problem.path: problem.code for path, problem in found.not_found.items()}


async def test_the_version_that_was_found_is_kept() -> None:
    found = await resolved(runs("a", "a@1"), Shelf(a=[leaf(), runs("b")], b=leaf()))
    first, second = (node["config"] for node in found.document["nodes"])
    assert first["version"] == 2
    assert first["workflow"]["nodes"][0]["config"] == {"workflowId": "b", "version": 1, "workflow": leaf()}
    assert second == {"workflowId": "a", "version": 1, "workflow": leaf()}
    assert not found.not_found


async def test_each_stored_version_is_read_once() -> None:
    shelf = Shelf(a=runs("b", "b"), b=leaf())
    await resolved(runs("a", "a", "b"), shelf)
    assert shelf.asked == 2


@pytest.mark.parametrize(
    ("document", "problems"),
    [
        (runs("no"), {"/nodes/0/config/workflowId": "UNKNOWN_WORKFLOW"}),
        (runs("leaf@9"), {"/nodes/0/config/version": "UNKNOWN_WORKFLOW_VERSION"}),
        (runs("dangling"), {"/nodes/0/config/workflow/nodes/0/config/workflowId": "UNKNOWN_WORKFLOW"}),
        (runs("me", id="me"), {"/nodes/0/config/workflowId": "SUBFLOW_RECURSION"}),
        (
            runs("ping"),
            {"/nodes/0/config" + 2 * "/workflow/nodes/0/config" + "/workflowId": "SUBFLOW_RECURSION"},
        ),
        (runs("back", id="me"), {"/nodes/0/config/workflow/nodes/0/config/workflowId": "SUBFLOW_RECURSION"}),
        (runs("old@1", id="old"), {}),
    ],
)
async def test_what_cannot_be_found_is_named(document: Any, problems: dict[str, str]) -> None:
    shelf = Shelf(
        leaf=leaf(),
        dangling=runs("no"),
        ping=runs("pong"),
        pong=runs("ping"),
        back=runs("me"),
        old=[leaf(), runs("old")],
    )
    assert why(await resolved(document, shelf)) == problems


async def test_a_stored_version_that_names_itself_is_recursive() -> None:
    shelf = Shelf(old=[leaf(), runs("old@2")])
    found = await resolved(runs("old@2"), shelf, workflow_id="old", version=2)
    assert list(why(found).values()) == ["SUBFLOW_RECURSION"]


def again(recursion: int, **fields: Any) -> dict[str, Any]:
    """A definition that runs itself, as `me`."""
    config = {"workflowId": "me", "recursion": recursion}
    return {"nodes": [{"id": "s0", "type": "flow.subflow", "config": config}], **fields}


def levels(document: Any) -> list[Any]:
    """Ids of the first nodes, level by level."""
    (first, *_) = document["nodes"]
    return [first["id"], *(levels(inner) if (inner := first["config"].get("workflow")) else [])]


@pytest.mark.parametrize("stored", [False, True])
@pytest.mark.parametrize("most", [1, 7])
async def test_a_workflow_may_run_itself_as_deep_as_it_says(stored: bool, most: int) -> None:
    shelf = Shelf(me=[leaf(), again(most)])
    where: dict[str, Any] = {"workflow_id": "me", "version": 2} if stored else {}
    found = await resolved(again(most, id="me"), shelf, **where)
    assert not found.not_found
    assert levels(found.document) == ["s0"] * (most + 1) + ["tooDeep"]
    assert validate_workflow(found.document, TYPES) == []


async def test_workflows_may_run_each_other_in_turn_and_not_beyond_the_limits() -> None:
    def calls(name: str) -> dict[str, Any]:
        config = {"workflowId": name, "recursion": 1}
        return {"nodes": [{"id": f"to-{name}", "type": "flow.subflow", "config": config}]}

    found = await resolved(runs("ping"), Shelf(ping=calls("pong"), pong=calls("ping")))
    assert not found.not_found
    assert levels(found.document) == ["s0", *2 * ["to-pong", "to-ping"], "tooDeep"]
    deep = await resolved(again(7, id="me", more=runs()), Shelf(me=again(7)), WorkflowLimits(max_nodes=4))
    assert set(why(deep).values()) == {"TOO_MANY_NODES"}


async def test_what_would_grow_beyond_the_limits_is_not_even_put_together() -> None:
    wide: dict[str, Any] = {f"w{n}": runs(*[f"w{n + 1}"] * 10) for n in range(6)}
    found = await resolved(runs("w0"), Shelf(**wide, w6=leaf()))
    assert set(why(found).values()) == {"TOO_MANY_NODES"}
    found = await resolved(runs("a"), Shelf(a=leaf()), WorkflowLimits(max_bytes=100))
    assert set(why(found).values()) == {"TOO_LARGE"}


async def test_sub_flows_go_so_deep_and_no_deeper() -> None:
    deep: dict[str, Any] = {f"w{n}": runs(f"w{n + 1}") for n in range(30)}
    found = await resolved(runs("w0"), Shelf(**deep, w30=leaf()))
    assert set(why(found).values()) == {"SUBFLOW_TOO_DEEP"}
