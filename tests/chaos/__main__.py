"""`python -m tests.chaos`: breaks the running engine in every known way and counts what was lost."""

from __future__ import annotations

import argparse
import asyncio
import secrets
import shutil
import sys
import time
from collections.abc import Sequence
from random import Random

from tests.chaos.bench import Assignment, Bench
from tests.chaos.fault import Fault
from tests.chaos.faults.catalogue import ALWAYS, FAULTS
from tests.chaos.stage import temporary_folder
from tests.chaos.table import details, table

SHORT_EXECUTIONS, LONG_EXECUTIONS = 240, 2400
SHORT_ROUNDS = 6


def main(arguments: Sequence[str]) -> int:
    options = parser().parse_args(arguments)
    if options.list:
        for fault in FAULTS:
            print(f"{fault.name:26} {', '.join(fault.databases):20} {fault.summary}")
        return 0
    try:
        assignments = chosen(options)
    except ValueError as error:
        print(error, file=sys.stderr)
        return 2
    folder, began = temporary_folder(), time.monotonic()

    def say(what: str) -> None:
        print(f"[{time.monotonic() - began:6.1f} s] {what}", flush=True)

    form = "short" if options.short else "long"
    say(f"{form} form, seed {options.seed}: {len(assignments)} rounds; logs in {folder}")
    bench = Bench(folder, options.seed, short=options.short, keep=options.keep, say=say)
    rows = asyncio.run(bench.run(assignments))
    print(f"\n{table(rows)}\n")
    if said := details(rows):
        print(f"{said}\n")
    passed = all(row.passed for row in rows)
    repeat = f"--seed {options.seed}" + (" --short" if options.short else "")
    print(f"{'passed' if passed else 'FAILED'} in {time.monotonic() - began:.0f} s; again with {repeat}")
    if passed and not options.keep:
        shutil.rmtree(folder, ignore_errors=True)
    else:
        print(f"logs and databases: {folder}")
    return 0 if passed else 1


def parser() -> argparse.ArgumentParser:
    parsing = argparse.ArgumentParser(
        prog="python -m tests.chaos",
        description="Starts the real services, runs a seeded load of mixed workflows, breaks something, "
        "waits for quiet, and compares what callers were told with what the database, an outside witness and "
        "watchers of streams have seen. docs/chaos.md tells how to read the table.",
        epilog="Exit code 0: every round passed. 1: something was lost, done twice or never proven. "
        "2: wrong options.",
    )
    parsing.add_argument("--short", action="store_true", help="a few faults, at most three minutes in all")
    parsing.add_argument(
        "--seed",
        type=int,
        default=secrets.randbelow(10**6),
        help="repeats load and faults; random by default",
    )
    parsing.add_argument("--faults", metavar="A,B", help="only these; --list names them")
    parsing.add_argument("--database", choices=("sqlite", "postgresql"), help="only rounds on this database")
    parsing.add_argument(
        "--executions",
        type=int,
        metavar="N",
        help=f"started over all rounds; {LONG_EXECUTIONS} by default, {SHORT_EXECUTIONS} in the short form",
    )
    parsing.add_argument("--keep", action="store_true", help="keep logs and databases even if all passed")
    parsing.add_argument("--list", action="store_true", help="list the faults and end")
    return parsing


def chosen(options: argparse.Namespace) -> list[Assignment]:
    """The rounds to run, with the executions shared out among them. Raises ValueError."""
    faults = by_name(options.faults) if options.faults else FAULTS
    pairs = [
        (fault, database)
        for fault in faults
        for database in fault.databases
        if options.database in (None, database)
    ]
    if options.short and not options.faults:
        pairs = rotated([pair for pair in pairs if not pair[0].long_only], Random(options.seed))
    if not pairs:
        raise ValueError("no round is left: these faults do not happen on this database")
    total = options.executions or (SHORT_EXECUTIONS if options.short else LONG_EXECUTIONS)
    whole = sum(fault.share for fault, _ in pairs)
    return [
        Assignment(fault, database, max(1, round(total * fault.share / whole))) for fault, database in pairs
    ]


def by_name(names: str) -> list[Fault]:
    known = {fault.name: fault for fault in FAULTS}
    wanted = [name.strip() for name in names.split(",") if name.strip()]
    if unknown := [name for name in wanted if name not in known]:
        raise ValueError(f"no such fault: {', '.join(unknown)}; known: {', '.join(known)}")
    return [known[name] for name in wanted]


def rotated(pairs: Sequence[tuple[Fault, str]], chance: Random) -> list[tuple[Fault, str]]:
    """The short form: what must never be missing, and others in rotation by the seed; both databases."""
    kept = [pair for pair in pairs if (pair[0].name, pair[1]) in ALWAYS]
    others = [pair for pair in pairs if pair not in kept]
    return [*kept, *chance.sample(others, min(len(others), SHORT_ROUNDS - len(kept)))]


if __name__ == "__main__":
    sys.exit(main(sys.argv[1:]))
