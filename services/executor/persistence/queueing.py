# ruff: noqa: S608 - the parts of statements are ours, values are always parameters
"""Which executions a claim gets: one statement on PostgreSQL, one transaction on SQLite. docs/queue.md.

The queue is many queues, one for each namespace and set of needs; the index has them one after another.
The statement goes from the first of each to the first of the next, so that its cost depends on how many
queues there are and how much is claimed, never on how deep they are. What waits for a key is not in the
index, and what this worker cannot run is a queue that it passes by.
"""

from __future__ import annotations

import json
from collections.abc import Sequence

from sqlalchemy import text

from services.executor.persistence.contract import Claim
from services.executor.persistence.tables import READY
from services.executor.persistence.transaction import Transaction

MOST_QUEUES = 1000
"""That one claim looks at; the next one goes on from there."""
MOST_TURNS = 10_000
"""Namespaces whose last turn is remembered."""

_CLAIM = """
WITH RECURSIVE firsts (at) AS (
    SELECT (
        SELECT id FROM workflow_executions
        WHERE {ready} AND namespace >= CAST(:begin AS TEXT)
        ORDER BY namespace, needs, queue_order, id LIMIT 1
    )
    WHERE NOT EXISTS (SELECT 1 FROM workers WHERE worker_id = :worker AND draining)
    UNION ALL
    SELECT (
        SELECT next.id FROM workflow_executions AS next
        WHERE next.status = 'pending' AND next.slot_wanted = '' AND next.rate_wanted = ''
            AND (next.namespace, next.needs) > (here.namespace, here.needs)
        ORDER BY next.namespace, next.needs, next.queue_order, next.id LIMIT 1
    )
    FROM firsts JOIN workflow_executions AS here ON here.id = firsts.at
    WHERE CAST(:namespace AS TEXT) IN ('', here.namespace)
),
found AS (SELECT at FROM firsts LIMIT :queues),
queues AS (
    SELECT first.namespace, first.needs
    FROM found
    JOIN workflow_executions AS first ON first.id = found.at
    WHERE CAST(:namespace AS TEXT) IN ('', first.namespace)
        AND (first.needs = '' OR CAST(:capabilities AS TEXT) = '[]' OR {able})
        AND NOT {full}
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

_OF_QUEUE = """
    SELECT {columns} FROM workflow_executions
    WHERE {ready} AND namespace = {queue}.namespace AND needs = {queue}.needs
    ORDER BY queue_order, id LIMIT {limit}
"""

_ABOUT = (
    "(SELECT count(*) FROM chosen) AS wanted, (SELECT count(*) FROM found) AS seen, "
    "(SELECT max(namespace) FROM queues) AS reached"
)
_POSTGRESQL = (
    _CLAIM.format(
        ready=READY,
        full="jsonb_exists(CAST(:full AS jsonb), first.namespace)",
        able="CAST(first.needs AS jsonb) <@ CAST(:capabilities AS jsonb)",
        turn="CAST(CAST(:turns AS jsonb) ->> spaces.namespace AS bigint)",
        heads="CROSS JOIN LATERAL ("
        + _OF_QUEUE.format(columns="id, queue_order", ready=READY, queue="queues", limit=":slots")
        + ") AS head",
    )
    + ", quotas AS (SELECT namespace, needs, count(*) AS quota FROM chosen GROUP BY namespace, needs) "
    # Those that another claim is at are passed over here: above they were not.
    f"SELECT mine.id, quotas.namespace, {_ABOUT} FROM quotas CROSS JOIN LATERAL ("
    + _OF_QUEUE.format(columns="id", ready=READY, queue="quotas", limit="quotas.quota")
    + " FOR NO KEY UPDATE SKIP LOCKED) AS mine"
)
_SQLITE = (
    _CLAIM.format(
        ready=READY,
        full="first.namespace IN (SELECT value FROM json_each(:full))",
        able="NOT EXISTS (SELECT 1 FROM json_each(first.needs) AS need "
        "WHERE need.value NOT IN (SELECT value FROM json_each(:capabilities)))",
        turn="(SELECT value FROM json_each(:turns) WHERE key = spaces.namespace)",
        heads="JOIN workflow_executions AS head ON head.id IN ("
        + _OF_QUEUE.format(columns="id", ready=READY, queue="queues", limit=":slots")
        + ")",
    )
    + f"SELECT id, namespace, {_ABOUT} FROM chosen"
)


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
    values = {
        "begin": claim.namespace or turns.begin,
        "namespace": claim.namespace,
        "worker": claim.worker_id,
        "slots": slots,
        "queues": MOST_QUEUES,
        "capabilities": json.dumps(list(claim.capabilities)),
        "turns": turns.as_json(),
        "full": json.dumps(list(claim.full)),
    }
    rows = await transaction.fetch(text(_SQLITE if sqlite else _POSTGRESQL).bindparams(**values))
    turns.took(list(dict.fromkeys(row.namespace for row in rows)))
    turns.begin = rows[0].reached if rows and rows[0].seen >= MOST_QUEUES else ""
    return [row.id for row in rows], rows[0].wanted if rows else 0
