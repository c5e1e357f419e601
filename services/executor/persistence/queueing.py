# ruff: noqa: S608 - the parts of statements are ours, values are always parameters
"""Which executions a claim gets: one statement on PostgreSQL, one transaction on SQLite. docs/queue.md.

The queue is many queues, one for each namespace and set of needs; the index has them one after another.
Nearly always there is but one, and a claim reads its head. Where there are more it goes from the first of
each to the first of the next. Either way its cost depends on how many queues there are and how much is
claimed, never on how deep they are. What waits for a key is not in the index, and what this worker cannot
run is a queue that it passes by.
"""

from __future__ import annotations

import json
from collections.abc import Sequence
from functools import cache
from typing import Any

import sqlalchemy
from sqlalchemy import text

from services.executor.persistence.contract import Claim
from services.executor.persistence.tables import READY
from services.executor.persistence.transaction import Transaction

MOST_QUEUES = 1000
"""That one claim looks at; the next one goes on from there."""
MOST_TURNS = 10_000
"""Namespaces whose last turn is remembered."""

_HEAD = """
    SELECT {columns} FROM {table}
    WHERE {ready} AND namespace = {queue}.namespace AND needs = {queue}.needs
    ORDER BY queue_order, id LIMIT {limit}
"""
_TAKES_WORK = "NOT EXISTS (SELECT 1 FROM workers WHERE worker_id = :worker AND draining)"

_ONLY = """
WITH first AS (
    SELECT namespace, needs FROM {table} WHERE {ready} {mine}
    ORDER BY namespace, needs, queue_order, id LIMIT 1
),
last AS (
    SELECT namespace, needs FROM {table} WHERE {ready} {mine}
    ORDER BY namespace DESC, needs DESC, queue_order DESC, id DESC LIMIT 1
),
single AS (
    SELECT first.namespace, first.needs
    FROM first JOIN last ON last.namespace = first.namespace AND last.needs = first.needs
    WHERE {takes_work} AND (first.needs = '' OR {able}) AND NOT {full}
)
"""
"""The queue, if there is but one and this worker may take from it."""

_MANY = """
WITH RECURSIVE {firsts},
found AS (SELECT namespace, needs FROM firsts LIMIT :queues),
queues AS (
    SELECT first.namespace, first.needs FROM found AS first
    WHERE (first.needs = '' OR {able}) AND NOT {full}
),
spaces AS (SELECT DISTINCT namespace FROM queues),
standing AS (
    SELECT spaces.namespace,
        CASE WHEN (SELECT count(*) FROM spaces) = 1 THEN 0 ELSE (
            SELECT count(*) FROM workflow_executions AS runs
            WHERE runs.status = 'running' AND runs.namespace = spaces.namespace
        ) END AS running,
        COALESCE({turn}, 0) AS turn
    FROM spaces
),
heads AS (
    SELECT queues.namespace, queues.needs, head.queue_order, head.id,
        row_number() OVER (PARTITION BY queues.namespace ORDER BY head.queue_order, head.id) AS place
    FROM queues
    {heads}
),
chosen AS (
    SELECT heads.namespace, heads.needs, heads.id
    FROM heads JOIN standing ON standing.namespace = heads.namespace
    ORDER BY standing.running + heads.place, standing.turn, heads.queue_order, heads.id
    LIMIT :slots
)
"""
"""Of each namespace its most urgent; then whoever has fewest running goes first, the one that got something
longest ago among equals, and at last the most urgent."""

_ABOUT = """
    (SELECT count(*) FROM chosen) AS wanted, (SELECT count(*) FROM found) AS seen,
    (SELECT max(namespace) FROM queues) AS reached
"""

# From the first of a queue to the first of the next, by the index. Of pairs that are compared SQLite looks up
# the first half only, and would read a whole queue to get past it.
_FIRSTS_POSTGRESQL = """firsts AS (
    (
        SELECT namespace, needs FROM workflow_executions
        WHERE {ready} {mine} AND namespace >= CAST(:begin AS TEXT) AND {takes_work}
        ORDER BY namespace, needs, queue_order, id LIMIT 1
    )
    UNION ALL
    SELECT next.namespace, next.needs FROM firsts CROSS JOIN LATERAL (
        SELECT namespace, needs FROM workflow_executions
        WHERE {ready} {mine} AND (namespace, needs) > (firsts.namespace, firsts.needs)
        ORDER BY namespace, needs, queue_order, id LIMIT 1
    ) AS next
)"""
_FIRSTS_SQLITE = """places (id) AS (
    SELECT (
        SELECT id FROM {table}
        WHERE {ready} {mine} AND namespace >= :begin
        ORDER BY namespace, needs, queue_order, id LIMIT 1
    )
    WHERE {takes_work}
    UNION ALL
    SELECT COALESCE(
        (
            SELECT id FROM {table}
            WHERE {ready} {mine} AND namespace = here.namespace AND needs > here.needs
            ORDER BY needs, queue_order, id LIMIT 1
        ),
        (
            SELECT id FROM {table} WHERE {ready} {mine} AND namespace > here.namespace
            ORDER BY namespace, needs, queue_order, id LIMIT 1
        )
    )
    FROM places JOIN workflow_executions AS here ON here.id = places.id
),
firsts AS (
    SELECT here.namespace, here.needs FROM places JOIN workflow_executions AS here ON here.id = places.id
)"""


@cache
def only_queue(*, sqlite: bool, one_namespace: bool) -> sqlalchemy.TextClause:
    """Ids from the only queue there is; nothing when there are more, or none."""
    parts = _parts(sqlite=sqlite, one_namespace=one_namespace)
    table = parts["table"]
    if sqlite:
        ids = (
            f"SELECT id, namespace FROM {table} WHERE {READY} "
            "AND namespace = (SELECT namespace FROM single) AND needs = (SELECT needs FROM single) "
            "ORDER BY queue_order, id LIMIT :slots"
        )
    else:
        head = _HEAD.format(columns="id", table=table, ready=READY, queue="single", limit=":slots")
        ids = (
            "SELECT mine.id, single.namespace "
            f"FROM single CROSS JOIN LATERAL ({head} FOR NO KEY UPDATE SKIP LOCKED) AS mine"
        )
    return text(_ONLY.format(**parts) + ids)


@cache
def many_queues(*, sqlite: bool, one_namespace: bool) -> sqlalchemy.TextClause:
    """Ids from all queues in turn, how many were wanted, and how far it looked."""
    parts = _parts(sqlite=sqlite, one_namespace=one_namespace)
    table = parts["table"]
    if sqlite:
        firsts = _FIRSTS_SQLITE.format(**parts)
        head = _HEAD.format(columns="id", table=table, ready=READY, queue="queues", limit=":slots")
        heads = f"JOIN workflow_executions AS head ON head.id IN ({head})"
        turn = "(SELECT value FROM json_each(:turns) WHERE key = spaces.namespace)"
        ids = f"SELECT id, namespace, {_ABOUT} FROM chosen"
    else:
        firsts = _FIRSTS_POSTGRESQL.format(**parts)
        head = _HEAD.format(
            columns="id, queue_order", table=table, ready=READY, queue="queues", limit=":slots"
        )
        heads = f"CROSS JOIN LATERAL ({head}) AS head"
        turn = "CAST(CAST(:turns AS jsonb) ->> spaces.namespace AS bigint)"
        # Those that another claim is at are passed over here: above they were not.
        head = _HEAD.format(columns="id", table=table, ready=READY, queue="quotas", limit="quotas.quota")
        ids = (
            ", quotas AS (SELECT namespace, needs, count(*) AS quota FROM chosen GROUP BY namespace, needs) "
            f"SELECT mine.id, quotas.namespace, {_ABOUT} "
            f"FROM quotas CROSS JOIN LATERAL ({head} FOR NO KEY UPDATE SKIP LOCKED) AS mine"
        )
    return text(_MANY.format(firsts=firsts, heads=heads, turn=turn, **parts) + ids)


def _parts(*, sqlite: bool, one_namespace: bool) -> dict[str, str]:
    able = "CAST(first.needs AS jsonb) <@ CAST(:capabilities AS jsonb)"
    full = "jsonb_exists(CAST(:full AS jsonb), first.namespace)"
    if sqlite:
        full = "first.namespace IN (SELECT value FROM json_each(:full))"
        able = (
            "NOT EXISTS (SELECT 1 FROM json_each(first.needs) AS need "
            "WHERE need.value NOT IN (SELECT value FROM json_each(:capabilities)))"
        )
    mine = "AND namespace = :namespace" if one_namespace else ""
    # Once statistics have been made of a full queue, SQLite prefers another index, and sorts.
    table = "workflow_executions INDEXED BY ix_executions_ready" if sqlite else "workflow_executions"
    return {
        "table": table,
        "ready": READY,
        "mine": mine,
        "takes_work": _TAKES_WORK,
        "able": able,
        "full": full,
    }


class Turns:
    """What one executor remembers between claims. Lost, it costs one turn out of order."""

    def __init__(self) -> None:
        self.begin = ""  # the namespace that the next claim begins at
        self._count = 0
        self._last: dict[str, int] = {}  # by namespace, oldest first

    def took(self, namespaces: Sequence[str]) -> None:
        self._count += 1
        for namespace in namespaces:
            self._last.pop(namespace, None)
            self._last[namespace] = self._count
        while len(self._last) > MOST_TURNS:
            del self._last[next(iter(self._last))]

    def as_json(self) -> str:
        return json.dumps(self._last)


async def next_in_turn(
    transaction: Transaction, claim: Claim, slots: int, turns: Turns, *, sqlite: bool
) -> tuple[list[str], int]:
    """Ids for so many slots, locked, and how many there would be if nobody else claimed."""
    form = {"sqlite": sqlite, "one_namespace": claim.namespace != ""}
    values: dict[str, Any] = {
        "worker": claim.worker_id,
        "slots": slots,
        "capabilities": json.dumps(list(claim.capabilities)),
        "full": json.dumps(list(claim.full)),
    }
    if claim.namespace:
        values["namespace"] = claim.namespace
    rows = await transaction.fetch(only_queue(**form), values)
    if rows:
        turns.took([rows[0].namespace])
        return [row.id for row in rows], len(rows)
    values |= {"begin": claim.namespace or turns.begin, "queues": MOST_QUEUES, "turns": turns.as_json()}
    rows = await transaction.fetch(many_queues(**form), values)
    turns.took(list(dict.fromkeys(row.namespace for row in rows)))
    turns.begin = rows[0].reached if rows and rows[0].seen >= MOST_QUEUES else ""
    return [row.id for row in rows], rows[0].wanted if rows else 0
