"""Stored definitions: every change a new version that stays."""

from __future__ import annotations

import asyncio

import pytest

from flow_engine.errors import VersionConflict, WorkflowExists, WorkflowNotFound
from services.executor.persistence.store import SqlExecutionPersistence
from tests.integration.persistence.stage import Stage


async def test_versions_count_up_and_stay(stage: Stage) -> None:
    store = stage.store.workflows
    first = await store.create_workflow("w", "W", "hash1", b"one")
    assert (first.version, first.definition, first.created_at) == (1, b"one", stage.now)
    stage.pass_time(60)
    second = await store.update_workflow("w", "W2", "hash2", b"two", expected_version=1)
    assert (second.version, second.name, second.definition) == (2, "W2", b"two")
    assert (second.created_at, second.updated_at) == (first.created_at, stage.now)
    assert await store.get_workflow("w") == second
    assert (await store.get_workflow("w", 1)).definition == b"one"
    assert await stage.store.definition("hash1") == b"one"


async def test_the_same_definition_again_changes_nothing(stage: Stage) -> None:
    store = stage.store.workflows
    first = await store.create_workflow("w", "W", "hash", b"one")
    stage.pass_time(60)
    assert await store.update_workflow("w", "W", "hash", b"one") == first


async def test_conflicts_are_named(stage: Stage) -> None:
    store = stage.store.workflows
    await store.create_workflow("w", "W", "hash", b"one")
    with pytest.raises(WorkflowExists):
        await store.create_workflow("w", "W", "hash", b"one")
    with pytest.raises(VersionConflict):
        await store.update_workflow("w", "W", "hash2", b"two", expected_version=3)
    with pytest.raises(WorkflowNotFound):
        await store.update_workflow("v", "V", "hash", b"one")
    with pytest.raises(WorkflowNotFound):
        await store.get_workflow("w", 9)


async def test_what_is_deleted_is_gone_but_for_its_versions(stage: Stage) -> None:
    store = stage.store.workflows
    await store.create_workflow("w", "W", "hash", b"one")
    await store.delete_workflow("w")
    with pytest.raises(WorkflowNotFound):
        await store.get_workflow("w")
    with pytest.raises(WorkflowNotFound):
        await store.delete_workflow("w")
    assert await store.list_workflows(10) == []
    assert (await store.get_workflow("w", 1)).definition == b"one"
    again = await store.create_workflow("w", "W", "hash2", b"two")
    assert again.version == 2


async def test_the_list_is_by_id_and_without_definitions(stage: Stage) -> None:
    store = stage.store.workflows
    for name in "cab":
        await store.create_workflow(name, name.upper(), "hash", b"one")
    assert [w.id for w in await store.list_workflows(2)] == ["a", "b"]
    (last,) = await store.list_workflows(2, after="b")
    assert (last.id, last.name, last.definition) == ("c", "C", b"")


async def test_of_many_updates_from_one_version_one_wins(
    stage: Stage, second_store: SqlExecutionPersistence
) -> None:
    await stage.store.workflows.create_workflow("w", "W", "hash", b"one")
    answers = await asyncio.gather(
        *(
            (stage.store if n % 2 else second_store).workflows.update_workflow(
                "w", "W", f"hash{n}", b"%d" % n, expected_version=1
            )
            for n in range(6)
        ),
        return_exceptions=True,
    )
    assert sum(not isinstance(answer, VersionConflict) for answer in answers) == 1
    assert (await stage.store.workflows.get_workflow("w")).version == 2


async def test_labels_belong_to_the_workflow_and_lists_find_them(stage: Stage) -> None:
    store = stage.store.workflows
    first = await store.create_workflow("w", "W", "hash1", b"one", labels={"team": 'pay"ments', "tier": "1"})
    await store.create_workflow("v", "V", "hash1", b"one", labels={"team": "x"})
    assert dict(first.labels) == {"team": 'pay"ments', "tier": "1"}
    await store.update_workflow("w", "W", "hash2", b"two")
    changed = await store.label_workflow("w", lambda labels: {**labels, "tier": "2"})
    assert (changed.version, changed.labels["tier"]) == (2, "2")
    assert (await store.get_workflow("w", 1)).labels == changed.labels
    assert [w.id for w in await store.list_workflows(9, labels={"team": 'pay"ments', "tier": "2"})] == ["w"]
    assert await store.list_workflows(9, labels={"tier": "1"}) == []
    with pytest.raises(WorkflowNotFound):
        await store.label_workflow("nobody", dict)


async def test_versions_are_listed_newest_first(stage: Stage) -> None:
    store = stage.store.workflows
    await store.create_workflow("w", "W", "hash0", b"0")
    for n in range(1, 4):
        await store.update_workflow("w", f"W{n}", f"hash{n}", b"%d" % n)
    listed = await store.list_versions("w", 3)
    assert [(version.version, version.name) for version in listed] == [(4, "W3"), (3, "W2"), (2, "W1")]
    assert [version.version for version in await store.list_versions("w", 3, before=2)] == [1]
    with pytest.raises(WorkflowNotFound):
        await store.list_versions("nobody", 3)
