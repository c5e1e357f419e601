"""The bench's choices and its table."""

from __future__ import annotations

import pytest

from tests.chaos.__main__ import chosen, main, parser
from tests.chaos.bench import Row
from tests.chaos.faults.catalogue import ALWAYS, FAULTS
from tests.chaos.oracle import Verdict, Violation
from tests.chaos.table import cells, details, table


def rounds(*arguments: str) -> list[tuple[str, str, int]]:
    return [(each.fault.name, each.database, each.count) for each in chosen(parser().parse_args(arguments))]


def test_the_long_form_meets_every_fault_on_every_database_it_can_happen_on() -> None:
    names = {(name, database) for name, database, _ in rounds()}
    assert names == {(fault.name, database) for fault in FAULTS for database in fault.databases}
    assert sum(count for _, _, count in rounds()) >= 2_000


def test_the_short_form_takes_a_few_on_both_databases_by_its_seed() -> None:
    first, again, other = (rounds("--short", "--seed", seed) for seed in ("1", "1", "2"))
    assert first == again != other
    assert {pair[:2] for pair in first} >= ALWAYS
    assert {database for _, database, _ in first} == {"sqlite", "postgresql"}


def test_over_enough_seeds_the_short_form_meets_every_fault() -> None:
    met = {name for seed in range(60) for name, _, _ in rounds("--short", "--seed", str(seed))}
    assert met == {fault.name for fault in FAULTS if not fault.long_only}


def test_faults_are_chosen_by_name() -> None:
    chosen_rounds = rounds(
        "--faults", "disk-full, worker-killed", "--executions", "30", "--database", "sqlite"
    )
    assert chosen_rounds == [("disk-full", "sqlite", 15), ("worker-killed", "sqlite", 15)]


@pytest.mark.parametrize(
    "arguments", [["--faults", "sunspots"], ["--faults", "disk-full", "--database", "postgresql"]]
)
def test_choices_that_leave_nothing_are_bad_use(
    arguments: list[str], capsys: pytest.CaptureFixture[str]
) -> None:
    assert main(arguments) == 2
    assert capsys.readouterr().err


def test_the_list_names_every_fault(capsys: pytest.CaptureFixture[str]) -> None:
    assert main(["--list"]) == 0
    told = capsys.readouterr().out
    assert all(fault.name in told and fault.summary in told for fault in FAULTS)


GOOD = Row("good", "sqlite", 100, Verdict([], 3), streams=20, recoveries=[0.5, 1.0, 2.0])
BAD = Row("bad", "postgresql", 90, Verdict([Violation("lost", "x", "is still running")] * 12, 0))
VOID = Row("void", "sqlite", 5, void="only 5 of 100 starts were acknowledged")


def test_a_row_that_is_void_or_violated_has_not_passed() -> None:
    assert [row.passed for row in (GOOD, BAD, VOID)] == [True, False, False]
    assert [cells(row)[-1] for row in (GOOD, BAD, VOID)] == ["ok", "VIOLATED", "VOID"]


def test_the_table_adds_up() -> None:
    last = table([GOOD, BAD, VOID]).splitlines()[-1].split()
    assert last == ["3", "rounds", "195", "12", "3", "0", "0", "20", "0", "0", "0", "0",
                    "1.0", "/", "2.0", "/", "2.0", "2", "failed"]  # fmt: skip


def test_violations_are_listed_and_the_rest_is_counted() -> None:
    lines = details([GOOD, BAD, VOID]).splitlines()
    assert lines[0] == "bad/postgresql: lost: x: is still running"
    assert lines[10] == "bad/postgresql: and 2 more"
    assert lines[-1] == "void/sqlite: VOID: only 5 of 100 starts were acknowledged"
