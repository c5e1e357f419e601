from __future__ import annotations

from pathlib import Path

from tests.infra.distribution import MODULES, group_of

ROOT = Path(__file__).parents[2]


def test_tests_of_one_stack_run_together_and_others_anywhere() -> None:
    assert group_of("tests/e2e/test_control.py::test_a[on-sqlite-queued]") == "on-sqlite"
    assert group_of("tests/e2e/test_time.py::test_a[queued-on-postgresql]") == "on-postgresql"
    assert group_of("tests/security/test_two_tenants.py::test_a") == "installation"
    assert group_of("tests/unit/test_docs.py::test_a[on-sqlites]") == ""


def test_the_modules_are_there() -> None:
    assert [module for module in MODULES if not (ROOT / module).exists()] == []
