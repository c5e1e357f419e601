"""What the database says in the end, read without any code of the engine."""

from __future__ import annotations

import json
import sqlite3
from collections.abc import Iterator, Mapping, Sequence
from contextlib import contextmanager
from dataclasses import dataclass
from datetime import datetime
from typing import Any

import psycopg

Frame = dict[str, Any]
"""An event as clients see it; `time` still as text."""

TERMINAL = ("completed", "failed", "cancelled")


class Damaged(AssertionError):
    """The database itself is not sound any more."""


@dataclass(frozen=True, slots=True)
class Batch:
    """Events that were committed together. epoch: of the runner that wrote them; 0: an executor did."""

    first: int
    last: int
    epoch: int
    report_no: int
    events: Sequence[Frame]


@dataclass(frozen=True, slots=True)
class Record:
    """One execution: its row, and its history in the order of the first sequences of the batches."""

    id: str
    status: str
    mode: str
    epoch: int
    last_sequence: int
    tags: Sequence[str]
    error_code: str
    batches: Sequence[Batch]

    @property
    def events(self) -> list[Frame]:
        return [event for batch in self.batches for event in batch.events]


class Records:
    """Reads one database. URLs as the executor has them, but never through a proxy."""

    def __init__(self, url: str) -> None:
        self._url = url

    def open_executions(self) -> int:
        """How many have not ended. Raises OSError while the database does not answer."""
        statement = "SELECT count(*) FROM workflow_executions WHERE completed_at IS NULL"
        ((count,),) = self._query(statement)
        return int(count)

    def sequences(self, execution_ids: Sequence[str]) -> dict[str, int]:
        """The newest sequence of each."""
        statement = "SELECT id, last_sequence FROM workflow_executions"
        wanted = set(execution_ids)
        return {key: sequence for key, sequence in self._query(statement) if key in wanted}

    def owners(self) -> dict[str, int]:
        """How many running executions each owner of a lease has."""
        statement = (
            "SELECT lease_owner, count(*) FROM workflow_executions WHERE status = 'running' GROUP BY 1"
        )
        return dict(self._query(statement))

    def of_tag(self, tag: str) -> dict[str, Record]:
        """All executions whose first tag is this one, by id, and that the database is sound."""
        rows = self._query(
            "SELECT id, status, execution_mode, epoch, last_sequence, tags, error FROM workflow_executions"
        )
        mine = [row for row in rows if tag in json.loads(row[5])]
        batches = self._batches({row[0] for row in mine})
        self._check()
        return {row[0]: _record(row, batches.get(row[0], [])) for row in mine}

    def _batches(self, wanted: set[str]) -> dict[str, list[Batch]]:
        statement = (
            "SELECT execution_id, first_sequence, last_sequence, epoch, report_no, events "
            "FROM execution_events ORDER BY execution_id, first_sequence"
        )
        found: dict[str, list[Batch]] = {}
        for execution_id, first, last, epoch, report_no, events in self._query(statement):
            if execution_id in wanted:
                frames = [
                    {"sequence": first + index, "executionId": execution_id, **event}
                    for index, event in enumerate(json.loads(bytes(events)))
                ]
                found.setdefault(execution_id, []).append(Batch(first, last, epoch, report_no, frames))
        return found

    def _check(self) -> None:
        if self._url.startswith("sqlite"):
            answer = self._query("PRAGMA integrity_check")
            if answer != [("ok",)]:
                raise Damaged(str(answer[:5]))

    def _query(self, statement: str) -> list[Any]:
        try:
            with self._connection() as connection:
                return list(connection.execute(statement).fetchall())
        except (psycopg.OperationalError, sqlite3.OperationalError) as error:
            raise OSError(str(error)) from error

    @contextmanager
    def _connection(self) -> Iterator[Any]:
        connection: Any
        if self._url.startswith("sqlite"):
            connection = sqlite3.connect(self._url.removeprefix("sqlite:///"), timeout=10)
        else:
            connection = psycopg.connect(self._url, connect_timeout=5)
        try:
            yield connection
        finally:
            connection.close()


def _record(row: Sequence[Any], batches: Sequence[Batch]) -> Record:
    key, status, mode, epoch, last_sequence, tags, error = row
    code = json.loads(error).get("code", "") if error else ""
    return Record(key, status, mode, epoch, last_sequence, json.loads(tags), code, batches)


def seconds(event: Mapping[str, Any]) -> float:
    """When it happened, in seconds since 1970."""
    return datetime.fromisoformat(event["time"]).timestamp()
