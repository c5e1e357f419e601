"""WfFormat of WfCommons (https://wfcommons.org/format), versions 1.3 to 1.5, as definitions.

Only the shape and the runtimes of tasks are taken over: files, machines and commands are not.
"""

from __future__ import annotations

import re
from collections.abc import Iterable, Mapping
from typing import Any

YEAR_MS = 365 * 24 * 3_600_000  # the longest that logic.delay waits

Task = Mapping[str, Any]


class NotWfFormat(Exception):
    """The message says what is missing or wrong."""


def definition_of(
    instance: Mapping[str, Any], scale: float, workflow_id: str | None = None
) -> dict[str, Any]:
    """A definition with a `logic.delay` for every task, in the order of the file.

    scale: times the recorded runtime of each task; 0 needs no runtimes.
    Raises NotWfFormat.
    """
    name = str(instance.get("name") or "wfcommons")
    workflow = instance.get("workflow")
    if not isinstance(workflow, Mapping):
        raise NotWfFormat("there is no object `workflow`: this is no WfFormat file")
    tasks = _tasks(workflow)
    runtimes = _runtimes_seconds(workflow, tasks) if scale else {}
    return {
        "id": workflow_id or re.sub(r"[^a-z0-9]+", "-", name.lower()).strip("-"),
        "name": name,
        "description": f"{instance.get('description') or name} ({len(tasks)} tasks, runtimes × {scale:g})",
        "nodes": [
            {
                "id": task_id,
                "type": "logic.delay",
                "name": str(task.get("name") or task_id),
                "config": {"durationMs": _delay_ms(task_id, runtimes, scale)},
            }
            for task_id, task in tasks.items()
        ],
        "edges": [{"source": source, "target": target} for source, target in edges_of(tasks)],
    }


def edges_of(tasks: Mapping[str, Task]) -> list[tuple[str, str]]:
    """(parent, child) once each, in the order of the file. A file may name either side only."""
    edges: dict[tuple[str, str], None] = {}
    for task_id, task in tasks.items():
        for child in _ids(task.get("children")):
            edges[task_id, _known(child, tasks, task_id)] = None
    for task_id, task in tasks.items():
        for parent in _ids(task.get("parents")):
            edges[_known(parent, tasks, task_id), task_id] = None
    return list(edges)


def _tasks(workflow: Mapping[str, Any]) -> dict[str, Task]:
    """Tasks by id: in `specification` since 1.4, right in `workflow` before."""
    specification = workflow.get("specification")
    holder = specification if isinstance(specification, Mapping) else workflow
    listed = holder.get("tasks")
    if not isinstance(listed, list) or not listed:
        raise NotWfFormat("there are no tasks in workflow.specification.tasks or workflow.tasks")
    tasks: dict[str, Task] = {}
    for number, task in enumerate(listed):
        task_id = (task.get("id") or task.get("name")) if isinstance(task, Mapping) else None
        if not isinstance(task_id, str):
            raise NotWfFormat(f"task {number} has neither id nor name")
        if task_id in tasks:
            raise NotWfFormat(f"two tasks have the id {task_id!r}")
        tasks[task_id] = task
    return tasks


def _runtimes_seconds(workflow: Mapping[str, Any], tasks: Mapping[str, Task]) -> dict[str, float]:
    """Recorded runtimes by task id: in `execution` since 1.4, with the task before."""
    execution = workflow.get("execution")
    recorded = execution.get("tasks") if isinstance(execution, Mapping) else None
    found: dict[str, float] = {}
    for task_id, task in [*tasks.items(), *((str(t.get("id")), t) for t in recorded or ())]:
        runtime = task.get("runtimeInSeconds", task.get("runtime"))
        if isinstance(runtime, int | float) and not isinstance(runtime, bool) and runtime >= 0:
            found[task_id] = runtime
    return found


def _delay_ms(task_id: str, runtimes: Mapping[str, float], scale: float) -> int:
    if not scale:
        return 0
    if task_id not in runtimes:
        raise NotWfFormat(f"task {task_id!r} has no recorded runtime; use --scale 0 to go without")
    delay = round(runtimes[task_id] * 1000 * scale)
    if delay > YEAR_MS:
        raise NotWfFormat(f"task {task_id!r} would wait more than a year; use a smaller --scale")
    return delay


def _ids(value: Any) -> Iterable[str]:
    return [one for one in value if isinstance(one, str)] if isinstance(value, list) else []


def _known(task_id: str, tasks: Mapping[str, Task], named_by: str) -> str:
    if task_id not in tasks:
        raise NotWfFormat(f"task {named_by!r} names {task_id!r}, which is not among the tasks")
    return task_id
