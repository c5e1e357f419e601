"""What each finding means, and how to mend it."""

from __future__ import annotations

from datetime import UTC, datetime

import pytest

from services.executor.diagnosis import (
    ERROR,
    OK,
    WARNING,
    Check,
    database_check,
    disk_check,
    queue_check,
    schema_check,
    skew_check,
    workers_checks,
)
from services.executor.persistence.contract import QueueState
from services.executor.persistence.operations import LiveWorker, WorkerWord

NOW = datetime(2026, 1, 1, tzinfo=UTC)
GIB = 1 << 30


def worker(*capabilities: str, draining: bool = False) -> LiveWorker:
    word = WorkerWord("worker:1", "h", 1, "0.1.0", 16, 4, capabilities)
    return LiveWorker(word, "executor:1", NOW, NOW, draining)


@pytest.mark.parametrize(
    ("check", "state", "remedy"),
    [
        (database_check("SQLite", 0.01), OK, ""),
        (database_check("PostgreSQL", 0.5), WARNING, "load"),
        (skew_check("databaseClock", "database", -0.4), OK, ""),
        (skew_check("databaseClock", "database", 3.0), WARNING, "NTP"),
        (schema_check("0007", "0007"), OK, ""),
        (schema_check("0006", "0007"), ERROR, "flow db upgrade"),
        (schema_check("", "0007"), ERROR, "flow db upgrade"),
        (schema_check("0008", "0007"), ERROR, "update the program"),
        (queue_check(QueueState(0, 0.0), 100), OK, ""),
        (queue_check(QueueState(9, 61.0, ready=1), 100), WARNING, "add workers"),
        (queue_check(QueueState(9, 61.0, ready=0), 100), OK, ""),
        (queue_check(QueueState(100, 1.0, ready=1), 100), ERROR, "FLOW_QUEUE_MAX_PENDING"),
        (disk_check("/d", 50 * GIB, 100 * GIB), OK, ""),
        (disk_check("/d", 2 * GIB, 100 * GIB), WARNING, "make room"),
        (disk_check("/d", GIB // 100, 100 * GIB), ERROR, "make room"),
        (workers_checks([], [])[0], ERROR, "flow worker"),
        (workers_checks([worker(draining=True)], [])[0], ERROR, "--undo"),
        (workers_checks([worker()], [])[0], OK, ""),
        (workers_checks([worker("flow.noop")], [("acme.crm",)])[1], WARNING, "start a worker"),
    ],
)
def test_a_finding_comes_with_its_remedy(check: Check, state: str, remedy: str) -> None:
    assert check.state == state
    assert remedy in f"{check.finding} {check.remedy}"
    assert bool(check.remedy) is (state != OK)


def test_one_able_worker_is_enough() -> None:
    assert len(workers_checks([worker("a.b"), worker("acme.crm")], [("acme.crm",)])) == 1
