"""Puts the definitions of stored workflows in the places that name them.

Done whenever a definition is started, analysed, checked or stored: what runs keeps the versions it began
with, whatever becomes of the stored workflows.
"""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass

from flow_engine.errors import Problem, WorkflowNotFound
from flow_engine.payload import JsonValue, decode
from flow_engine.workflow.findings import quoted
from flow_engine.workflow.limits import WorkflowLimits
from flow_engine.workflow.model_problems import Keys
from flow_engine.workflow.reading import NodeTypes
from flow_engine.workflow.subflows import Found, Reference, embedded, references
from services.executor.persistence.contract import WorkflowStore

Chain = tuple[tuple[str, int], ...]
"""(workflow, version) of the definitions around a place, outermost first; version 0 is not stored yet."""


@dataclass(frozen=True, slots=True)
class Resolved:
    """A definition with those that it names, as far as they were found."""

    document: JsonValue
    not_found: Mapping[str, Problem]  # by the pointer of a sub-flow's config; their own paths begin there
    node_count: int
    bytes: int  # about as many, as JSON text


TOO_DEEP = Resolved(
    {
        "nodes": [
            {
                "id": "tooDeep",
                "type": "flow.fail",
                "config": {
                    "code": "SUBFLOW_TOO_DEEP",
                    "message": "the workflow runs itself deeper than `recursion` allows",
                },
            }
        ]
    },
    {},
    node_count=1,
    bytes=160,
)
"""Stands where a workflow would run itself once more than it may."""


class Subflows:
    def __init__(self, workflows: WorkflowStore, types: NodeTypes, limits: WorkflowLimits) -> None:
        self._workflows = workflows
        self._types = types
        self._limits = limits

    def named(self, document: JsonValue) -> list[Reference]:
        """What is to be found before the definition can run."""
        return references(document, self._types)

    async def resolve(
        self, document: JsonValue, size: int, namespace: str, workflow_id: str = "", version: int = 0
    ) -> Resolved:
        """size: bytes of the document; workflow_id, version: under which it is stored, if it is."""
        own_id = document.get("id") if isinstance(document, dict) else None
        name = workflow_id or own_id
        chain: Chain = ((name, version),) if isinstance(name, str) else ()
        root = _Root(name if isinstance(name, str) else "", version, document, size)
        search = _Search(self._workflows, self._types, self._limits, namespace, root)
        return await search.resolved(document, size, chain)


@dataclass(frozen=True, slots=True)
class _Root:
    """The definition that all this is for. name: empty when it has none."""

    name: str
    version: int  # 0: it is not stored
    document: JsonValue
    size: int


class _Search:
    """One definition with all that it names, directly or not: each stored version is looked up once."""

    def __init__(
        self,
        workflows: WorkflowStore,
        types: NodeTypes,
        limits: WorkflowLimits,
        namespace: str,
        root: _Root,
    ) -> None:
        self._workflows = workflows
        self._types = types
        self._limits = limits
        self._namespace = namespace
        self._root = root
        self._known: dict[tuple[str, int, int], tuple[int, Resolved] | Problem] = {}

    async def resolved(self, document: JsonValue, size: int, chain: Chain) -> Resolved:
        found: dict[Keys, Found] = {}
        not_found: dict[str, Problem] = {}
        nodes = _nodes(document)
        for reference in references(document, self._types):
            one = await self._one(reference, chain)
            if isinstance(one, Problem):
                not_found[reference.path] = one
                continue
            version, inner = one
            nodes, size = nodes + inner.node_count, size + inner.bytes
            if too_much := self._too_much(nodes, size):
                not_found[reference.path] = too_much
                break
            found[reference.place] = Found(version, inner.document)
            for path, problem in inner.not_found.items():
                not_found[f"{reference.path}/workflow{path}"] = problem
        return Resolved(embedded(document, found), not_found, nodes, size)

    async def _one(self, reference: Reference, chain: Chain) -> tuple[int, Resolved] | Problem:
        if problem := self._recursion(reference, chain):
            return problem
        if reference.recursion and _times(reference, chain) > reference.recursion:
            return reference.version, TOO_DEEP
        unrolled = len(chain) - len({name for name, _ in chain})  # what is inside depends on how often
        key = (reference.workflow_id, reference.version, unrolled)
        if key not in self._known:
            self._known[key] = await self._found(reference, chain)
        return self._known[key]

    async def _found(self, reference: Reference, chain: Chain) -> tuple[int, Resolved] | Problem:
        root = self._root
        if reference.recursion and (reference.workflow_id, reference.version) == (root.name, 0):
            chain = (*chain, (root.name, root.version))
            return root.version, await self.resolved(root.document, root.size, chain)
        try:
            stored = await self._workflows.get_workflow(
                reference.workflow_id, reference.version, self._namespace
            )
        except WorkflowNotFound as error:
            if not reference.version:
                return Problem("/workflowId", "UNKNOWN_WORKFLOW", error.message)
            return Problem("/version", "UNKNOWN_WORKFLOW_VERSION", error.message)
        here = (stored.id, stored.version)
        if here in chain and not reference.recursion:
            return _circle(reference, chain)
        document = decode(stored.definition)
        return stored.version, await self.resolved(document, len(stored.definition), (*chain, here))

    def _recursion(self, reference: Reference, chain: Chain) -> Problem | None:
        """Whether following the reference leads back to where it stands."""
        if len(chain) > self._limits.max_subflow_depth + 1:
            message = f"sub-flows stand in one another more than {self._limits.max_subflow_depth} deep"
            return Problem("", "SUBFLOW_TOO_DEEP", message)
        if reference.recursion:
            return None
        around = {workflow_id for workflow_id, _ in chain}
        again = reference.workflow_id in around and not reference.version
        if again or (reference.workflow_id, reference.version) in chain:
            return _circle(reference, chain)
        return None

    def _too_much(self, nodes: int, size: int) -> Problem | None:
        if nodes > self._limits.max_nodes:
            message = (
                f"with the nodes of its sub-flows it has more than the limit of {self._limits.max_nodes:,}"
            )
            return Problem("", "TOO_MANY_NODES", message)
        if size > self._limits.max_bytes:
            message = (
                f"with the definitions of its sub-flows it has more than {self._limits.max_bytes:,} bytes"
            )
            return Problem("", "TOO_LARGE", message)
        return None


def _times(reference: Reference, chain: Chain) -> int:
    """How often the workflow stands around the reference already."""
    return sum(name == reference.workflow_id for name, _ in chain)


def _circle(reference: Reference, chain: Chain) -> Problem:
    first = next((n for n, (name, _) in enumerate(chain) if name == reference.workflow_id), 0)
    way = [*(quoted(name, 30) for name, _ in chain[first:]), quoted(reference.workflow_id, 30)]
    hint = "repeat nodes by a loop, name an older version, or say by `recursion` how deep it may go"
    return Problem("/workflowId", "SUBFLOW_RECURSION", f"a workflow runs itself: {' → '.join(way)}", hint)


def _nodes(document: JsonValue) -> int:
    nodes = document.get("nodes") if isinstance(document, dict) else None
    return len(nodes) if isinstance(nodes, list) else 0
