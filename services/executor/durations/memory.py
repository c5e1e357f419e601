"""Learning from ended executions, and remembering what was learned, in front of the database."""

from __future__ import annotations

from collections import defaultdict
from collections.abc import Callable, Sequence

from flow_engine.clock import Clock
from flow_engine.errors import Unavailable
from flow_engine.recent import Recent
from flow_engine.workflow.graph import WorkflowGraph
from services.executor.durations.learned import (
    NOTHING_KNOWN,
    Knowledge,
    Learned,
    decode_learned,
    encode_learned,
    learn,
)
from services.executor.persistence.statistics import SqlStatistics, rewrite_learned
from services.executor.persistence.transaction import Transaction
from services.executor.stats.tally import Ended

FRESH_SECONDS = 5.0
REMEMBERED = 512
ENOUGH = 32
"""Executions of one definition that one batch teaches of."""


class Durations:
    """What is known of definitions, at most some seconds old."""

    def __init__(self, statistics: SqlStatistics, clock: Clock) -> None:
        self._statistics = statistics
        self._clock = clock
        self._known: Recent[tuple[float, Knowledge]] = Recent(REMEMBERED)

    async def of(self, graph: WorkflowGraph, namespace: str) -> Knowledge:
        """Never fails: without the database, what was known last."""
        key = f"{namespace}/{graph.definition_hash}"
        known = self._known.get(key)
        if known is not None and self._clock.monotonic() - known[0] < FRESH_SECONDS:
            return known[1]
        try:
            texts = await self._statistics.learned(namespace, graph.definition_hash)
        except Unavailable:
            return known[1] if known else NOTHING_KNOWN
        knowledge = Knowledge(_learned(texts.get(graph.definition_hash)), _learned(texts.get("")))
        self._known.put(key, (self._clock.monotonic(), knowledge))
        return knowledge

    def forget(self) -> None:
        """Read anew from now on."""
        self._known = Recent(REMEMBERED)


async def learn_all(
    transaction: Transaction, executions: Sequence[Ended], graph_of: Callable[[Ended], WorkflowGraph | None]
) -> None:
    """Take in executions that are being counted: one row is rewritten for each definition among them."""
    known = [(ended, graph) for ended in executions if (graph := graph_of(ended)) is not None]
    if not known:
        return
    known = _newest_of_each(known)
    keys = {(ended.namespace, hash_) for ended, _ in known for hash_ in ("", ended.definition_hash)}

    def change(texts: dict[tuple[str, str], str]) -> None:
        learned = {key: _learned(texts.get(key)) for key in keys}
        for ended, graph in known:
            own, types = learned[ended.namespace, ended.definition_hash], learned[ended.namespace, ""]
            learn(own, types, ended, graph)
        texts.update({key: encode_learned(value) for key, value in learned.items()})

    await rewrite_learned(transaction, keys, change)


def _newest_of_each(known: Sequence[tuple[Ended, WorkflowGraph]]) -> list[tuple[Ended, WorkflowGraph]]:
    """Of many executions of one definition that ended within a second all teach the same."""
    by_definition: defaultdict[tuple[str, str], list[tuple[Ended, WorkflowGraph]]] = defaultdict(list)
    for ended, graph in known:
        by_definition[ended.namespace, ended.definition_hash].append((ended, graph))
    return [one for some in by_definition.values() for one in some[-ENOUGH:]]


def _learned(text: str | None) -> Learned:
    return Learned(nodes={}, overhead={}) if text is None else decode_learned(text)
